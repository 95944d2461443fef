//! The columns that a walk fills.
use model::event::tag;

/// Spans and tags of a batch, slot-major: the value of `slot` in `row` is at `slot * stride + row` in both vectors.
/// They go into [`model::EventBatch`] as they are.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Capacity of a column in rows.
    pub stride: usize,
    /// `offset | length << 32` into the batch buffer; meaningless where the tag says absent, null or a boolean.
    pub pos: Vec<u64>,
    /// Type of the value: [`model::event::tag`].
    pub tag: Vec<u8>,
}

impl Columns {
    /// Columns for `slots` paths and at most `rows` rows, all absent.
    pub fn new(slots: usize, rows: usize) -> Columns {
        let stride = rows.max(1);
        Columns { stride, pos: vec![0; slots * stride], tag: vec![tag::ABSENT; slots * stride] }
    }
    /// Make all values absent and room for `rows` rows, with the same slots; memory is kept.
    pub fn clear_for(&mut self, rows: usize) {
        let slots = self.slots();
        self.stride = rows.max(1);
        self.pos.resize(slots * self.stride, 0);
        self.tag.clear();
        self.tag.resize(slots * self.stride, tag::ABSENT);
    }
    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.tag.len() / self.stride.max(1)
    }
    /// Is there a place for these slots, in ascending order, in this row?
    #[inline]
    pub(super) fn holds(&self, slots: &[u32], row: usize) -> bool {
        let fits = |last: &u32| *last as usize * self.stride + row < self.tag.len().min(self.pos.len());
        row < self.stride && slots.last().is_none_or(fits)
    }
    /// Make one value absent.
    #[inline]
    pub fn clear(&mut self, slot: u32, row: usize) {
        self.tag[slot as usize * self.stride + row] = tag::ABSENT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_keeps_the_slots_and_forgets_the_values() {
        let mut c = Columns::new(3, 4);
        c.tag.fill(tag::STR);
        c.clear(2, 3);
        assert_eq!((c.tag[11], c.tag[10]), (tag::ABSENT, tag::STR));
        for rows in [9, 2, 0] {
            c.clear_for(rows);
            assert_eq!((c.slots(), c.stride), (3, rows.max(1)));
            assert_eq!(c.tag, vec![tag::ABSENT; 3 * rows.max(1)]);
            assert_eq!(c.pos.len(), c.tag.len());
        }
    }
}
