//! What a walk does with keys that may be wanted and with values that are.
use super::JsonError;
use super::escape;
use super::trie::{Hit, Leaf, MISS, NONE, Node, ROOT};
use super::walk::Walk;
use model::event::tag;

impl<const STRICT: bool> Walk<'_, STRICT> {
    /// `from..to` is what [`Walk::string`] made of a key.
    #[inline(always)]
    pub fn find(&mut self, node: &Node, from: usize, to: usize) -> Hit {
        if self.escapes {
            return self.find_escaped(node, from, to);
        }
        // SAFETY: `string` gives ends that are not before its start and lie in the record, which `PAD` bytes follow.
        unsafe { self.trie.find(node, self.text, from, to) }
    }

    /// As [`Walk::find`], in a record with escapes.
    #[inline(never)]
    fn find_escaped(&mut self, node: &Node, from: usize, to: usize) -> Hit {
        if self.escapes_in(from, to).is_none() {
            // SAFETY: as in `find`.
            return unsafe { self.trie.find(node, self.text, from, to) };
        }
        self.key.clear();
        // A bad escape is an error in strict mode, and was found before; otherwise such a key is nobody's key.
        if escape::unescape(&self.text[from..to], true, self.key).is_err() {
            return MISS;
        }
        let len = self.key.len();
        self.key.extend_from_slice(&[0; 8]);
        // SAFETY: eight bytes were added.
        unsafe { self.trie.find(node, self.key, 0, len) }
    }

    /// Notes that a value that may hold wanted ones begins. If the same key was met before, what was found below it no
    /// longer counts. False if instead this one does not count: see [`Walk::inlined`].
    #[inline(always)]
    pub fn visit(&mut self, hit: Hit) -> bool {
        // Neither `NONE` nor `ROOT`: what is inlined comes in several parts, which add up.
        if hit.child.wrapping_add(1) <= ROOT + 1 {
            return true;
        }
        let last = &mut self.visits.last[hit.child as usize];
        if *last != self.visits.walk {
            *last = self.visits.walk;
        } else if self.inlined {
            return false;
        } else {
            self.forget(hit);
        }
        true
    }

    #[cold]
    fn forget(&mut self, hit: Hit) {
        // The leaf of the same path counts for itself.
        self.found.duplicates += u32::from(hit.leaf == NONE);
        let (found, visits, out) = (&mut self.found, &mut self.visits, &mut self.out);
        self.trie.below(hit.child, &mut |below, trie| {
            let mut next = below.leaf;
            while next != NONE {
                let leaf = trie.leaf(next);
                found.seen &= !leaf.required;
                out.tags[leaf.slot as usize * out.stride + out.row] = tag::ABSENT;
                next = leaf.next;
            }
            if below.child != NONE {
                visits.last[below.child as usize] = 0;
            }
        });
    }

    #[inline(always)]
    pub fn put_string(&mut self, hit: Hit, from: usize, to: usize) -> Option<()> {
        self.visit(hit);
        if hit.leaf == NONE {
            return Some(());
        }
        if self.escapes
            && let Some(first) = self.escapes_in(from, to)
        {
            return self.put_escaped(hit.leaf, from, to, first);
        }
        let base = self.out.base;
        self.put(hit.leaf, tag::STR, from - 1, base + from, base + to)
    }

    /// The number of the first escape in a string, if there is one. Strings are asked about in their order.
    #[inline(always)]
    fn escapes_in(&mut self, from: usize, to: usize) -> Option<usize> {
        let escapes = &self.index.escapes;
        while escapes.get(self.next_escape).is_some_and(|at| (*at as usize) < from) {
            self.next_escape += 1;
        }
        escapes.get(self.next_escape).is_some_and(|at| (*at as usize) < to).then_some(self.next_escape)
    }

    #[inline(never)]
    fn put_escaped(&mut self, leaf: u32, from: usize, to: usize, first: usize) -> Option<()> {
        let start = self.out.side.len();
        let escapes = &self.index.escapes[first..];
        match escape::unescape_known(self.text, from, to, escapes, !STRICT, self.out.side) {
            Ok(used) => self.next_escape = first + used,
            Err((at, what)) => return self.fail(from + at, what),
        }
        let (start, end) = (self.out.side_base + start, self.out.side_base + self.out.side.len());
        if end > u32::MAX as usize {
            return self.fail(from, "a buffer is limited to 4 GiB");
        }
        self.put(leaf, tag::STR, from - 1, start, end)
    }

    /// A wanted value that begins at `at` of the record and lies at `from..to` of the batch buffer.
    #[inline(always)]
    pub fn put(&mut self, first: u32, kind: u8, at: usize, from: usize, to: usize) -> Option<()> {
        let leaf = self.trie.leaf(first);
        let again = self.put_leaf(leaf, kind, at, from, to)?;
        self.found.duplicates += u32::from(again);
        // Several wants of one path are rare.
        let mut next = leaf.next;
        while next != NONE {
            let leaf = self.trie.leaf(next);
            self.put_leaf(leaf, kind, at, from, to)?;
            next = leaf.next;
        }
        Some(())
    }

    /// A string without escapes, in the only slot that wants it, if that has no value yet. Gives false if it has one.
    #[inline(always)]
    pub fn put_new(&mut self, slot: u32, from: usize, to: usize) -> bool {
        let place = slot as usize * self.out.stride + self.out.row;
        debug_assert!(place < self.out.tags.len() && place < self.out.spans.len());
        // SAFETY: before the walk, `Columns::holds` has said yes to every slot of the trie in this row.
        let (tag, span) = unsafe { (self.out.tags.get_unchecked_mut(place), self.out.spans.get_unchecked_mut(place)) };
        let new = *tag == tag::ABSENT;
        if new {
            *tag = tag::STR;
            *span = (self.out.base + from) as u64 | ((to - from) as u64) << 32;
        }
        new
    }

    /// Gives true if there was a value already.
    #[inline(always)]
    fn put_leaf(&mut self, leaf: Leaf, kind: u8, at: usize, from: usize, to: usize) -> Option<bool> {
        if leaf.forbidden >> kind & 1 != 0 {
            self.error = JsonError::WrongType { slot: leaf.slot, at };
            return None;
        }
        let empty = match kind {
            tag::OBJ | tag::ARR => matches!(self.pair(at)[1], 0..=b' ' | b'}' | b']'),
            _ => from == to,
        };
        let place = leaf.slot as usize * self.out.stride + self.out.row;
        debug_assert!(place < self.out.tags.len() && place < self.out.spans.len());
        // SAFETY: before the walk, `Columns::holds` has said yes to every slot of the trie in this row.
        let (tag, span) = unsafe { (self.out.tags.get_unchecked_mut(place), self.out.spans.get_unchecked_mut(place)) };
        let again = *tag != tag::ABSENT;
        if again && self.inlined {
            return Some(false);
        }
        if empty || leaf.easy >> kind & 1 == 0 {
            self.doubtful.push(leaf.slot);
        }
        *tag = kind;
        *span = from as u64 | ((to - from) as u64) << 32;
        let present = if kind == tag::NULL { 0 } else { leaf.required };
        self.found.seen = self.found.seen & !leaf.required | present;
        Some(again)
    }
}
