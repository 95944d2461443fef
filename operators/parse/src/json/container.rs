//! The containers of a record: what the walk has to know of each while it is inside.
use super::MAX_DEPTH;
use super::order::START;
use super::trie::{Hit, MISS, NONE, ROOT};
use super::walk::Walk;
use model::event::tag;

/// An open object or array.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Node of the wanted paths that lead into it; [`NONE`]: there are none.
    node: u32,
    /// The wants of its text; [`NONE`]: there are none.
    leaf: u32,
    /// Place of its opening bracket.
    start: u32,
    /// Of an array, the number of the element that the walk is at.
    element: u32,
    /// Of a value in an object, the key whose value it is.
    key: u16,
    object: bool,
    /// [`Walk::inlined`] outside.
    inlined: bool,
}

/// The open containers, the record's own first.
pub(super) type Stack = [Open; MAX_DEPTH + 1];

/// Where the walk is: in the innermost open container.
pub(super) struct Here {
    /// Number of the container in the stack. What is asked for often of it stands here as well.
    depth: usize,
    pub node: u32,
    pub object: bool,
    /// The last key of an object that somebody wants something of.
    pub key: u16,
    /// The key that is expected next.
    pub guess: u16,
}

impl Here {
    /// The bracket that ends the container.
    #[inline(always)]
    pub fn end(&self) -> u8 {
        if self.object { b'}' } else { b']' }
    }

    #[cold]
    pub fn expected(&self) -> &'static str {
        if self.object { "expected `,` or `}` in an object" } else { "expected `,` or `]` in an array" }
    }
}

impl<const STRICT: bool> Walk<'_, STRICT> {
    /// Goes into the object of the record.
    #[inline(always)]
    pub fn begin(&mut self) -> Here {
        self.stack[0] = Open { node: ROOT, leaf: NONE, object: true, ..Open::default() };
        Here { depth: 0, node: ROOT, object: true, key: START, guess: self.order.first(ROOT) }
    }

    /// Goes into a container whose opening bracket is at `at`.
    #[inline(always)]
    pub fn open(&mut self, here: &mut Here, at: usize, object: bool, node: u32, leaf: u32) -> Option<()> {
        here.depth += 1;
        if here.depth >= MAX_DEPTH {
            return self.too_deep();
        }
        let key = here.key;
        (here.node, here.object, here.key) = (node, object, START);
        // Members that count as those of the record are no value themselves.
        let inlined = node == ROOT;
        let leaf = if inlined { NONE } else { leaf };
        let outer = self.inlined;
        self.inlined |= inlined;
        self.stack[here.depth] = Open { node, leaf, start: at as u32, element: 0, key, object, inlined: outer };
        Some(())
    }

    /// Leaves the container that ends before `at`. False if that was the record.
    #[inline(always)]
    pub fn close(&mut self, here: &mut Here, at: usize) -> Option<bool> {
        let inner = self.stack[here.depth];
        self.put_container(inner.leaf, inner.object, inner.start as usize, at)?;
        if here.depth == 0 {
            return Some(false);
        }
        self.inlined = inner.inlined;
        here.depth -= 1;
        let outer = &self.stack[here.depth];
        (here.node, here.object) = (outer.node, outer.object);
        if here.object {
            (here.key, here.guess) = (inner.key, self.order.key(inner.key).next);
        }
        Some(true)
    }

    /// The node of the paths that lead into a container, [`NONE`] if there are none; nothing if it is to be skipped.
    #[inline(always)]
    pub fn enter(&mut self, hit: Hit, object: bool) -> Option<u32> {
        let child = if hit.child == NONE { NONE } else { self.enter_wanted(hit, object) };
        (STRICT || child != NONE).then_some(child)
    }

    #[inline(never)]
    fn enter_wanted(&mut self, hit: Hit, object: bool) -> u32 {
        if hit.child == ROOT {
            return if object { ROOT } else { NONE };
        }
        let inside = self.visit(hit) && (object || !self.trie.node(hit.child).elements.is_empty());
        if inside { hit.child } else { NONE }
    }

    /// Where an element of an array leads.
    #[inline(always)]
    pub fn element(&self, node: u32, number: u32) -> Hit {
        if node == NONE {
            return MISS;
        }
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

    /// The text of a container, if somebody wants it.
    #[inline(always)]
    pub fn put_container(&mut self, leaf: u32, object: bool, start: usize, end: usize) -> Option<()> {
        if leaf == NONE {
            return Some(());
        }
        let base = self.out.base;
        self.put(leaf, if object { tag::OBJ } else { tag::ARR }, start, base + start, base + end)
    }
}
