//! The containers of a record: what the walk has to know of each that leads to something wanted, while it is inside; and
//! the way through all others.
use super::order::START;
use super::trie::{Hit, MISS, NONE, ROOT};
use super::walk::Walk;
use super::{JsonError, MAX_DEPTH};
use model::event::tag;

/// An open object or array in which something is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Node of the wanted paths that lead into it.
    node: u32,
    /// The wants of its text; [`NONE`]: there are none.
    leaf: u32,
    /// Place of its opening bracket.
    start: u32,
    /// Of an array, the number of the element that the walk is at.
    element: u32,
    /// Of a value in an object, the key whose value it is.
    key: u16,
    /// Its closing bracket.
    end: u8,
    /// [`Walk::inlined`] outside.
    inlined: bool,
}

/// The open containers, the record's own first.
pub(super) type Stack = [Open; MAX_DEPTH + 1];

/// Where the walk is: in the innermost open container.
pub(super) struct Here {
    /// Number of the container in the stack. What is asked for often of it stands here as well.
    pub depth: usize,
    pub node: u32,
    /// The bracket that ends the container.
    pub end: u8,
    /// The last key of the object.
    pub key: u16,
    /// The key that is expected next.
    pub guess: u16,
}

/// The bracket that ends what this one begins.
#[inline(always)]
pub(super) fn end_of(bracket: u8) -> u8 {
    bracket + (b'}' - b'{')
}

/// What goes on or ends in a container was expected.
#[cold]
pub(super) fn expected(end: u8) -> &'static str {
    if end == b'}' { "expected `,` or `}` in an object" } else { "expected `,` or `]` in an array" }
}

impl<const STRICT: bool> Walk<'_, STRICT> {
    /// Goes into the object of the record.
    #[inline(always)]
    pub fn begin(&mut self) -> Here {
        self.stack[0] = Open { node: ROOT, leaf: NONE, end: b'}', ..Open::default() };
        Here { depth: 0, node: ROOT, end: b'}', key: START, guess: self.order.first(ROOT) }
    }

    /// Goes into a container whose opening bracket is at `at`.
    #[inline(always)]
    pub fn open(&mut self, here: &mut Here, at: usize, end: u8, node: u32, mut leaf: u32) -> Option<()> {
        self.deeper(at, here.depth + 1)?;
        let (key, outer) = (here.key, self.inlined);
        if node == ROOT {
            // Members that count as those of the record are no value themselves.
            leaf = NONE;
            self.inlined = true;
        }
        *here = Here { depth: here.depth + 1, node, end, key: START, guess: self.order.first(node) };
        self.stack[here.depth] = Open { node, leaf, start: at as u32, element: 0, key, end, inlined: outer };
        Some(())
    }

    /// May a container begin at `at`, at this depth?
    #[inline(always)]
    fn deeper(&mut self, at: usize, depth: usize) -> Option<()> {
        if depth >= MAX_DEPTH {
            self.error = JsonError::TooDeep;
            return None;
        }
        self.more(at)
    }

    /// Leaves the container that ends before `at`. False if that was the record.
    #[inline(always)]
    pub fn close(&mut self, here: &mut Here, at: usize) -> Option<bool> {
        if here.depth == 0 {
            return Some(false);
        }
        let inner = self.stack[here.depth];
        self.put_container(inner.leaf, inner.end, inner.start as usize, at)?;
        self.more(at)?;
        self.inlined = inner.inlined;
        here.depth -= 1;
        let outer = &self.stack[here.depth];
        (here.node, here.end) = (outer.node, outer.end);
        (here.key, here.guess) = (inner.key, self.order.key(inner.key).next);
        Some(true)
    }

    /// To the end of a container in which nobody wants anything, from its opening bracket on; it is at this depth.
    #[inline(always)]
    pub fn pass(&mut self, at: usize, depth: usize) -> Option<usize> {
        if STRICT { self.check(at, depth) } else { self.skip(at) }
    }

    /// As [`Walk::pass`], and makes sure that it is JSON.
    #[inline(never)]
    fn check(&mut self, mut at: usize, depth: usize) -> Option<usize> {
        self.deeper(at, depth)?;
        // The kinds of the containers outside, the innermost lowest: is it an object? `MAX_DEPTH` bits at most.
        let (mut outer, mut open) = (0u128, 0);
        let mut end = end_of(self.raw(at));
        let mut next = self.step(&mut at, 1);
        let mut empty = next == end;
        loop {
            // A member or an element is at `at`, or nothing is in the container.
            let mut value = !empty;
            if value && end == b'}' {
                if next != b'"' {
                    return self.fail(at, "expected a key in quotes");
                }
                value = self.members(&mut at)?;
                next = self.step(&mut at, 0);
            }
            empty = false;
            if value && next == b'"' {
                at = self.string(at)? + 1;
            } else if value && (next == b'{' || next == b'[') {
                open += 1;
                self.deeper(at, depth + open)?;
                outer = outer << 1 | u128::from(end == b'}');
                end = end_of(next);
                next = self.step(&mut at, 1);
                empty = next == end;
                continue;
            } else if value {
                at = self.scalar_end(at, next)?.1;
            }
            // Behind a value.
            loop {
                let sign = self.step(&mut at, 0);
                if sign == b',' {
                    next = self.step(&mut at, 1);
                    break;
                }
                if sign != end {
                    return self.fail(at, expected(end));
                }
                at += 1;
                self.more(at)?;
                if open == 0 {
                    return Some(at);
                }
                open -= 1;
                end = if outer & 1 == 1 { b'}' } else { b']' };
                outer >>= 1;
            }
        }
    }

    /// The node of the paths that lead into a container; [`NONE`] if there are none.
    #[inline(always)]
    pub fn enter(&mut self, hit: Hit, object: bool) -> u32 {
        if hit.child == NONE || hit.child == ROOT {
            return if object { hit.child } else { NONE };
        }
        let inside = self.visit(hit) && (object || !self.trie.node(hit.child).elements.is_empty());
        if inside { hit.child } else { NONE }
    }

    /// Where an element of an array leads.
    #[inline(always)]
    pub fn element(&self, node: u32, number: u32) -> Hit {
        let elements = &self.trie.node(node).elements;
        elements.binary_search_by_key(&number, |e| e.0).map_or(MISS, |n| elements[n].1)
    }

    /// Where the next element of the array leads; nothing if the rest of it is to be skipped.
    #[inline(always)]
    pub fn next_element(&mut self, here: &Here) -> Option<Hit> {
        let element = &mut self.stack[here.depth].element;
        *element += 1;
        let number = *element;
        let wanted = || self.trie.node(here.node).elements.last().is_some_and(|e| e.0 >= number);
        (STRICT || wanted()).then(|| self.element(here.node, number))
    }

    /// The text of a container, if somebody wants it. `bracket` is its last.
    #[inline(always)]
    pub fn put_container(&mut self, leaf: u32, bracket: u8, start: usize, end: usize) -> Option<()> {
        if leaf == NONE {
            return Some(());
        }
        let base = self.out.base;
        self.put(leaf, if bracket == b'}' { tag::OBJ } else { tag::ARR }, start, base + start, base + end)
    }
}
