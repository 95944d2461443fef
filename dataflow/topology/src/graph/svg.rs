//! SVG: boxes, curves with arrow heads, names of outputs. No scripts, no external fonts; the page shows through, so that
//! it is readable on light and on dark.
use super::layout::{Cell, Layout, place};
use super::{caption, color, dead, port};
use crate::plan::{PlanNode, Topology};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Width of a letter: an estimate for sans-serif, on the safe side.
const LETTER: f64 = 7.6;
const SMALL_LETTER: f64 = 6.2;
const LINE: &str = "#808890";

/// The topology as a picture.
pub fn svg(t: &Topology) -> String {
    let edges: Vec<(usize, usize, usize)> = t.edges().collect();
    let used: Vec<BTreeSet<usize>> =
        (0..t.nodes.len()).map(|i| edges.iter().filter(|e| e.0 == i).map(|e| e.1).collect()).collect();
    let cells = t.nodes.iter().zip(&used).map(|(n, u)| cell(n, u)).collect();
    let l = place(cells, &edges.iter().map(|e| (e.0, e.2)).collect::<Vec<_>>());
    let (w, h) = (l.width.ceil(), l.height.ceil());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         font-family=\"system-ui, sans-serif\">\n<title>{}</title>\n",
        escape(&t.name)
    );
    let _ = writeln!(
        out,
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{LINE}\"/></marker></defs>"
    );
    let ends = entries(&edges, &l, &used);
    for (i, (from, p, _)) in edges.iter().enumerate() {
        let from = (&t.nodes[*from], exit(&l.cells[*from], &used[*from], *p), *p);
        curve(&mut out, from, &l.bends[i], ends[i]);
    }
    for (i, u) in used.iter().enumerate() {
        labels(&mut out, &t.nodes[i], &l.cells[i], u);
        node(&mut out, &t.nodes[i], &l.cells[i]);
    }
    out.push_str("</svg>\n");
    out
}

fn cell(n: &PlanNode, used: &BTreeSet<usize>) -> Cell {
    let width = |s: &str, letter: f64| s.chars().count() as f64 * letter + 28.0;
    let note = dead(n);
    let wide = [width(&n.id, LETTER), width(&caption(n), SMALL_LETTER), width(note.as_deref().unwrap_or(""), 5.8)];
    let label = used.iter().map(|p| port(n, *p).len()).max().unwrap_or(0) as f64 * SMALL_LETTER;
    let lines = if note.is_some() { 62.0 } else { 48.0 };
    let h = f64::max(lines, used.len() as f64 * 18.0);
    Cell { w: wide.into_iter().fold(112.0, f64::max), h, label, x: 0.0, y: 0.0 }
}

/// Where each connection enters its box: those of one box share its left side, in the order in which they come in.
fn entries(edges: &[(usize, usize, usize)], l: &Layout, used: &[BTreeSet<usize>]) -> Vec<(f64, f64)> {
    let mut ends = vec![(0.0, 0.0); edges.len()];
    for (to, c) in l.cells.iter().enumerate() {
        let height = |i: usize| match l.bends[i].last() {
            Some((_, y)) => *y,
            None => exit(&l.cells[edges[i].0], &used[edges[i].0], edges[i].1).1,
        };
        let mut coming: Vec<usize> = (0..edges.len()).filter(|i| edges[*i].2 == to).collect();
        coming.sort_by(|a, b| height(*a).total_cmp(&height(*b)));
        for (at, i) in coming.iter().enumerate() {
            ends[*i] = (c.x - 2.0, c.y + c.h * (at as f64 + 1.0) / (coming.len() as f64 + 1.0));
        }
    }
    ends
}

/// Where an output leaves its box: the outputs that are read share its right side.
fn exit(c: &Cell, used: &BTreeSet<usize>, port: usize) -> (f64, f64) {
    let at = used.iter().position(|p| *p == port).unwrap_or(0) as f64;
    (c.x + c.w, c.y + c.h * (at + 1.0) / (used.len() as f64 + 1.0))
}

fn curve(out: &mut String, (node, (x, y), p): (&PlanNode, (f64, f64), usize), bends: &[(f64, f64)], end: (f64, f64)) {
    // A label stands above a straight piece, and the curve begins after it.
    let (mut d, mut y) = (format!("M{x:.1} {y:.1}"), y);
    let mut x = x + port(node, p).len() as f64 * SMALL_LETTER;
    let _ = write!(d, "H{x:.1}");
    for (bx, by) in bends.iter().copied().chain([end]) {
        let middle = (x + bx) / 2.0;
        let _ = write!(d, "C{middle:.1} {y:.1} {middle:.1} {by:.1} {bx:.1} {by:.1}");
        (x, y) = (bx, by);
    }
    let error = node.spec.outputs.get(p).is_some_and(|p| p.error);
    let dash = if error { " stroke-dasharray=\"4 3\"" } else { "" };
    let _ = writeln!(
        out,
        "<path d=\"{d}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"1.5\"{dash} marker-end=\"url(#arrow)\"/>"
    );
}

fn labels(out: &mut String, n: &PlanNode, c: &Cell, used: &BTreeSet<usize>) {
    for p in used.iter().filter(|p| !port(n, **p).is_empty()) {
        let (x, y) = exit(c, used, *p);
        let name = escape(port(n, *p));
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"{LINE}\">{name}</text>",
            x + 4.0,
            y - 4.0
        );
    }
}

fn node(out: &mut String, n: &PlanNode, c: &Cell) {
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"7\" fill=\"{}\"/>",
        escape(n.spec.doc),
        c.x,
        c.y,
        c.w,
        c.h,
        color(n.kind)
    );
    let note = dead(n);
    let top = c.y + (c.h - if note.is_some() { 62.0 } else { 48.0 }) / 2.0;
    let lines = [(20.0, 13, "600", n.id.to_string()), (36.0, 11, "400", caption(n))];
    for (dy, size, weight, text) in lines.into_iter().chain(note.map(|d| (52.0, 10, "400", d))) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"#fff\" \
             text-anchor=\"middle\">{}</text>",
            c.x + c.w / 2.0,
            top + dy,
            escape(&text)
        );
    }
    out.push_str("</g>\n");
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
