//! Places boxes in layers from left to right (after Sugiyama): a node stands right of everything it reads; connections
//! that skip layers go through empty places in them, so that they pass between boxes; boxes are ordered by where their
//! neighbours stand and then pulled level with them.

/// Most empty places; a graph that would need more gets straight lines instead.
const DUMMIES_MAX: usize = 4096;
/// Passes over the layers, for the order and for the heights.
const SWEEPS: usize = 8;
/// Space between boxes of a layer.
const GAP_Y: f64 = 22.0;
/// Space between layers, besides the labels.
const GAP_X: f64 = 64.0;
/// Space around everything.
pub(super) const MARGIN: f64 = 16.0;

/// A box to place.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub w: f64,
    pub h: f64,
    /// Room for labels to its right.
    pub label: f64,
    /// Upper left corner, filled in.
    pub x: f64,
    pub y: f64,
}

/// The result.
pub(super) struct Layout {
    pub cells: Vec<Cell>,
    /// Points between the ends of each connection.
    pub bends: Vec<Vec<(f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// Place `cells` connected by `edges` (`from` before `to` in the order of the cells).
pub(super) fn place(cells: Vec<Cell>, edges: &[(usize, usize)]) -> Layout {
    let n = cells.len();
    let mut layer = vec![0usize; n];
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_by_key(|e| edges[*e].1);
    for &e in &order {
        let (from, to) = edges[e];
        layer[to] = layer[to].max(layer[from] + 1);
    }
    let mut g = Grid { cells, layer, links: Vec::new(), layers: Vec::new() };
    let chains = g.split(edges);
    g.fill_layers();
    g.sort_layers();
    g.set_x();
    g.set_y();
    let width = g.cells.iter().map(|c| c.x + c.w + c.label).fold(0.0, f64::max) + MARGIN;
    let height = g.cells.iter().map(|c| c.y + c.h).fold(0.0, f64::max) + MARGIN;
    let middle = |i: &usize| (g.cells[*i].x + g.cells[*i].w / 2.0, g.cells[*i].y + g.cells[*i].h / 2.0);
    let bends = chains.iter().map(|c| c.iter().map(middle).collect()).collect();
    g.cells.truncate(n);
    Layout { cells: g.cells, bends, width, height }
}

struct Grid {
    /// Boxes, then empty places.
    cells: Vec<Cell>,
    layer: Vec<usize>,
    /// Connections between neighbouring layers.
    links: Vec<(usize, usize)>,
    /// Cells of each layer from top to bottom.
    layers: Vec<Vec<usize>>,
}

impl Grid {
    /// Put empty places where connections cross layers; gives those of each connection.
    fn split(&mut self, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let skipped = |(a, b): &(usize, usize)| self.layer[*b].saturating_sub(self.layer[*a] + 1);
        let straight = edges.iter().map(skipped).sum::<usize>() > DUMMIES_MAX;
        let mut chains = Vec::with_capacity(edges.len());
        for &(from, to) in edges {
            let (mut chain, mut last) = (Vec::new(), from);
            for l in self.layer[from] + 1..self.layer[to] {
                if straight {
                    break;
                }
                let i = self.cells.len();
                self.cells.push(Cell { w: 0.0, h: 4.0, label: 0.0, x: 0.0, y: 0.0 });
                self.layer.push(l);
                self.links.push((last, i));
                chain.push(i);
                last = i;
            }
            self.links.push((last, to));
            chains.push(chain);
        }
        chains
    }
    fn fill_layers(&mut self) {
        let count = self.layer.iter().max().map_or(0, |m| m + 1);
        self.layers = vec![Vec::new(); count];
        for (i, l) in self.layer.iter().enumerate() {
            self.layers[*l].push(i);
        }
    }
    /// Neighbours on the left (`left`) or on the right of each cell.
    fn neighbours(&self, left: bool) -> Vec<Vec<usize>> {
        let mut out = vec![Vec::new(); self.cells.len()];
        for &(a, b) in &self.links {
            if left { out[b].push(a) } else { out[a].push(b) }
        }
        out
    }
    /// Order each layer by the mean place of the neighbours, going right and left in turn.
    fn sort_layers(&mut self) {
        let sides = [self.neighbours(true), self.neighbours(false)];
        let mut at = vec![0.0; self.cells.len()];
        let count = self.layers.len();
        for sweep in 0..SWEEPS {
            let right = sweep % 2 == 0;
            for step in 0..count {
                let l = if right { step } else { count - 1 - step };
                let near = &sides[usize::from(!right)];
                let mean = |i: usize| match near[i].len() {
                    0 => at[i],
                    n => near[i].iter().map(|k| at[*k]).sum::<f64>() / n as f64,
                };
                let mut keyed: Vec<(f64, usize)> = self.layers[l].iter().map(|i| (mean(*i), *i)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[l] = keyed.into_iter().map(|(_, i)| i).collect();
                for (place, i) in self.layers[l].iter().enumerate() {
                    at[*i] = place as f64 - self.layers[l].len() as f64 / 2.0;
                }
            }
        }
    }
    fn set_x(&mut self) {
        let mut x = MARGIN;
        for l in &self.layers {
            let width = l.iter().map(|i| self.cells[*i].w).fold(0.0, f64::max);
            let label = l.iter().map(|i| self.cells[*i].label).fold(0.0, f64::max);
            for &i in l {
                self.cells[i].x = x;
                if self.cells[i].w == 0.0 {
                    self.cells[i].w = width;
                }
            }
            x += width + label + GAP_X;
        }
    }
    /// Pull cells level with their neighbours, without changing the order or the space between them.
    fn set_y(&mut self) {
        let sides = [self.neighbours(true), self.neighbours(false)];
        for l in &self.layers {
            let mut y = 0.0;
            for &i in l {
                self.cells[i].y = y;
                y += self.cells[i].h + GAP_Y;
            }
        }
        let count = self.layers.len();
        for sweep in 0..SWEEPS {
            let right = sweep % 2 == 0;
            for step in 0..count {
                let l = if right { step } else { count - 1 - step };
                self.level(l, &sides[usize::from(!right)]);
            }
        }
        let top = self.cells.iter().map(|c| c.y).fold(f64::INFINITY, f64::min);
        self.cells.iter_mut().for_each(|c| c.y += MARGIN - top);
    }
    fn level(&mut self, l: usize, near: &[Vec<usize>]) {
        let row = &self.layers[l];
        let c = &self.cells;
        let wish = |i: usize| match near[i].len() {
            0 => c[i].y,
            n => near[i].iter().map(|k| c[*k].y + c[*k].h / 2.0).sum::<f64>() / n as f64 - c[i].h / 2.0,
        };
        let wishes: Vec<f64> = row.iter().map(|i| wish(*i)).collect();
        // The mean of the highest and the lowest placement that keep the distances keeps them as well.
        let (mut down, mut up) = (wishes.clone(), wishes);
        for k in 1..row.len() {
            down[k] = down[k].max(down[k - 1] + c[row[k - 1]].h + GAP_Y);
        }
        for k in (0..row.len().saturating_sub(1)).rev() {
            up[k] = up[k].min(up[k + 1] - c[row[k]].h - GAP_Y);
        }
        for (k, i) in row.clone().into_iter().enumerate() {
            self.cells[i].y = (down[k] + up[k]) / 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> Cell {
        Cell { w: 100.0, h: 40.0, label: 0.0, x: 0.0, y: 0.0 }
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_edges_go_right(
            n in 1usize..30,
            pairs in prop::collection::vec((0usize..30, 0usize..30), 0..80),
        ) {
            let edges: Vec<(usize, usize)> = pairs.into_iter().filter(|(a, b)| a < b && *b < n).collect();
            let l = place(vec![cell(); n], &edges);
            for (i, a) in l.cells.iter().enumerate() {
                prop_assert!(a.x >= MARGIN && a.y >= MARGIN - 1e-6 && a.x + a.w <= l.width && a.y + a.h <= l.height);
                for b in &l.cells[..i] {
                    let apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y + 1e-6 || b.y + b.h <= a.y + 1e-6;
                    prop_assert!(apart, "{a:?} {b:?}");
                }
            }
            for (a, b) in &edges {
                prop_assert!(l.cells[*a].x + l.cells[*a].w < l.cells[*b].x);
            }
        }
    }

    #[test]
    fn a_chain_is_level_and_a_dense_graph_gets_straight_lines() {
        let l = place(vec![cell(); 4], &[(0, 1), (1, 2), (2, 3)]);
        assert!(l.cells.iter().all(|c| (c.y - l.cells[0].y).abs() < 1e-6));
        let n = 100;
        let edges: Vec<_> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
        assert!(place(vec![cell(); n], &edges).bends.iter().all(Vec::is_empty));
        assert_eq!(place(Vec::new(), &[]).cells.len(), 0);
    }
}
