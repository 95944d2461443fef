//! Layouts behind a transform: the same columns, another view of the whole event.
//!
//! A reshaped layout is made once per input layout and kept, because consumers key their caches by its address.
use model::Layout;
use model::event::{Field, FullEvent};
use std::sync::Arc;

/// Layouts kept. There is one per log type and reload; beyond the limit the oldest is made again when it comes back.
pub const MAX_LAYOUTS: usize = 1_024;

/// Reshaped layouts by the address of the input's. The input is kept alive, so an address is never used twice.
#[derive(Default)]
pub struct Layouts(std::collections::VecDeque<(Arc<Layout>, Arc<Layout>)>);

impl Layouts {
    /// The reshaped layout of an input layout.
    pub fn of(&mut self, input: &Arc<Layout>, make: impl FnOnce(&Arc<Layout>) -> Layout) -> Arc<Layout> {
        if let Some((_, out)) = self.0.iter().find(|(i, _)| Arc::ptr_eq(i, input)) {
            return out.clone();
        }
        if self.0.len() == MAX_LAYOUTS {
            self.0.pop_front();
        }
        let out = Arc::new(make(input));
        self.0.push_back((input.clone(), out.clone()));
        out
    }
}

/// A copy of a layout with other fields and another view.
pub fn with(layout: &Layout, fields: Vec<Field>, full: Arc<dyn FullEvent>) -> Layout {
    Layout {
        log_type: layout.log_type.clone(),
        table: layout.table.clone(),
        version: layout.version,
        slots: layout.slots.clone(),
        index: layout.index.clone(),
        fields,
        full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch;

    #[test]
    fn is_made_once_and_the_number_kept_is_bounded() {
        let mut l = Layouts::default();
        let (mut made, inputs): (usize, Vec<_>) =
            (0, (0..=MAX_LAYOUTS).map(|_| batch("T", &["a"], &[]).layout).collect());
        let mut get = |i: usize, l: &mut Layouts| {
            l.of(&inputs[i], |x| {
                made += 1;
                with(x, vec![], x.full.clone())
            })
        };
        let first = get(0, &mut l);
        assert!(Arc::ptr_eq(&first, &get(0, &mut l)));
        (1..=MAX_LAYOUTS).for_each(|i| _ = get(i, &mut l));
        assert!(!Arc::ptr_eq(&first, &get(0, &mut l)), "the oldest was given up");
        assert_eq!((made, l.0.len()), (MAX_LAYOUTS + 2, MAX_LAYOUTS));
    }
}
