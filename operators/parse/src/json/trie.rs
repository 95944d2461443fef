//! The wanted paths, compiled to a trie of hash tables that are searched without copying the key.
//!
//! A key is known by its first eight bytes, its last eight bytes and its length: three words to compare, and only keys
//! of more than 16 bytes need a look at what lies between. Each node has its own small table, and is compiled with a
//! hash that lets no two of its keys collide (almost always: see [`Node::longest`]), so one probe tells.
use super::MAX_DEPTH;
use model::Path;
use model::path::Seg;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// No leaf, no child, no entry.
pub(super) const NONE: u32 = u32::MAX;
/// The node of the record's own object.
pub(super) const ROOT: u32 = 0;

/// One wanted path.
#[derive(Clone, Debug)]
pub struct Want {
    /// The path: keys and indices from the start of an array. Anything else is refused, see [`Trie::not_taken`].
    pub path: Path,
    /// Column that takes the value.
    pub slot: u32,
    /// Bit set `1 << tag` of the types that the value may have; 0 = any. A present value of another type (`null`
    /// counts as a type) fails the record, also where a later duplicate of the key would be right.
    pub allowed: u8,
    /// Bit of [`super::Walked::seen`] (0..=63) that is set if the value is present and not null.
    pub required: Option<u8>,
}

/// What is known about a want when its value is met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub slot: u32,
    /// Bit set of the tags that fail the record.
    pub forbidden: u8,
    /// Bit set of the tags that need no look, see [`Trie::expect`].
    pub easy: u8,
    /// The bit itself; 0 = not required.
    pub required: u64,
    /// Next want of the same path, or [`NONE`].
    pub next: u32,
}

/// Where a key or an index leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// First want of this path, or [`NONE`].
    pub leaf: u32,
    /// Node of the paths that go on from here, or [`NONE`]. [`ROOT`]: members count as those of the record.
    pub child: u32,
}

/// A value that nobody asked for.
pub(super) const MISS: Hit = Hit { leaf: NONE, child: NONE };

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: u64,
    tail: u64,
    len: u32,
    /// Start of the whole key in [`Trie::keys`].
    key: u32,
    hit: Hit,
}

/// No key is as long as this one claims to be.
const FREE: Entry = Entry { head: 0, tail: 0, len: NONE, key: 0, hit: MISS };

/// Table entries per key, at first and at most, while a hash without collisions is looked for.
const ROOM: [usize; 3] = [4, 8, 16];
/// Hashes tried per table size.
const TRIES: u64 = 32;

/// What the paths that lead here go on with.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Their number is a power of two.
    table: Vec<Entry>,
    /// Makes the hash.
    factor: u64,
    /// Longest way from where a key's hash points to its entry. Zero, unless no hash without collisions was found.
    longest: usize,
    /// Wanted elements if the value is an array, by index.
    pub elements: Vec<(u32, Hit)>,
}

/// Compiled set of paths. See [`Trie::compile`].
#[derive(Clone, Debug, Default)]
pub struct Trie {
    /// Of this process, with these wants: what is learned of one is good for its clones only.
    number: u64,
    nodes: Vec<Node>,
    keys: Vec<u8>,
    leaves: Vec<Leaf>,
    slots: Vec<u32>,
    not_taken: Vec<usize>,
}

/// An edge of the trie while it is built.
struct Edge {
    seg: Seg,
    hit: Hit,
}

impl Trie {
    /// Compile the wanted paths. Several may share a path. Paths that a forward walk cannot answer (`[*]`, negative
    /// indices, the empty path) are left out: see [`Trie::not_taken`].
    pub fn compile(wants: &[Want]) -> Trie {
        Trie::inlined(wants, &[])
    }

    /// The same, where the members of an object that stands under one of these keys count as members of the record: their
    /// key leads back to the root.
    pub fn inlined(wants: &[Want], keys: &[Arc<str>]) -> Trie {
        let mut trie = Trie { number: new_number(), ..Trie::default() };
        let mut draft: Vec<Vec<Edge>> = vec![Vec::new()];
        for (number, want) in wants.iter().enumerate() {
            let can = |s: &Seg| matches!(s, Seg::Key(_)) || matches!(s, Seg::Index(n) if (0..NONE as i64).contains(n));
            if want.path.0.is_empty() || !want.path.0.iter().all(can) {
                trie.not_taken.push(number);
                continue;
            }
            trie.slots.push(want.slot);
            // A path deeper than any record that is accepted is never met; its column stays absent.
            if want.path.0.len() <= MAX_DEPTH {
                trie.plant(&mut draft, want);
            }
        }
        for key in keys {
            let seg = Seg::Key(key.clone());
            match draft[ROOT as usize].iter_mut().find(|e| e.seg == seg) {
                Some(edge) => edge.hit.child = ROOT,
                None => draft[ROOT as usize].push(Edge { seg, hit: Hit { child: ROOT, ..MISS } }),
            }
        }
        for edges in &draft {
            trie.freeze(edges);
        }
        trie.slots.sort_unstable();
        trie.slots.dedup();
        trie
    }

    /// Positions in the `wants` given to [`Trie::compile`] of the paths that are not in the trie. Ask for the array
    /// they lead through instead and search its raw text.
    pub fn not_taken(&self) -> &[usize] {
        &self.not_taken
    }

    /// Say of which types (bits `1 << tag`) a value of a slot needs no look once it is read, unless it is empty. Until
    /// then that is so for all. Walks keep the others in mind: see [`super::Walker::doubtful`].
    pub fn expect(&mut self, slot: u32, tags: u8) {
        self.number = new_number();
        self.leaves.iter_mut().filter(|leaf| leaf.slot == slot).for_each(|leaf| leaf.easy = tags);
    }

    /// Slots that a walk with this trie may write, ascending.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    fn plant(&mut self, draft: &mut Vec<Vec<Edge>>, want: &Want) {
        let mut node = ROOT as usize;
        let last = want.path.0.len() - 1;
        for (depth, seg) in want.path.0.iter().enumerate() {
            let place = draft[node].iter().position(|e| e.seg == *seg).unwrap_or_else(|| {
                draft[node].push(Edge { seg: seg.clone(), hit: MISS });
                draft[node].len() - 1
            });
            let fresh = draft.len();
            let hit = &mut draft[node][place].hit;
            if depth == last {
                let required = want.required.filter(|b| *b < 64).map_or(0, |b| 1 << b);
                let forbidden = if want.allowed == 0 { 0 } else { !want.allowed };
                let leaf = Leaf { slot: want.slot, forbidden, easy: !0, required, next: hit.leaf };
                hit.leaf = self.leaves.len() as u32;
                self.leaves.push(leaf);
            } else if hit.child == NONE {
                hit.child = fresh as u32;
                node = fresh;
                draft.push(Vec::new());
            } else {
                node = hit.child as usize;
            }
        }
    }

    fn freeze(&mut self, edges: &[Edge]) {
        let keys: Vec<(&Arc<str>, Hit)> =
            edges.iter().filter_map(|e| if let Seg::Key(k) = &e.seg { Some((k, e.hit)) } else { None }).collect();
        let mut elements: Vec<(u32, Hit)> = edges
            .iter()
            .filter_map(|e| if let Seg::Index(n) = e.seg { Some((n as u32, e.hit)) } else { None })
            .collect();
        elements.sort_unstable_by_key(|e| e.0);
        let entries: Vec<Entry> = keys.into_iter().map(|(key, hit)| self.entry(key, hit)).collect();
        let sizes = ROOM.iter().flat_map(|room| std::iter::repeat_n(entries.len() * room, TRIES as usize));
        let mut best: Option<Node> = None;
        for (number, size) in sizes.enumerate() {
            let node = Node::lay_out(&entries, size.next_power_of_two(), number as u64);
            if best.as_ref().is_none_or(|b| node.longest < b.longest) {
                best = Some(node);
            }
            if best.as_ref().is_some_and(|b| b.longest == 0) {
                break;
            }
        }
        self.nodes.extend(best.map(|node| Node { elements, ..node }));
    }

    fn entry(&mut self, key: &str, hit: Hit) -> Entry {
        let mut padded = key.as_bytes().to_vec();
        padded.resize(key.len() + 8, 0);
        // SAFETY: eight bytes were added.
        let (head, tail) = unsafe { ends(&padded, 0, key.len()) };
        let start = self.keys.len() as u32;
        self.keys.extend_from_slice(key.as_bytes());
        Entry { head, tail, len: key.len() as u32, key: start, hit }
    }

    #[inline(always)]
    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// Where the key `text[from..to]` leads from a node.
    ///
    /// # Safety
    /// `from <= to` and `to + 8 <= text.len()`.
    #[inline(always)]
    pub(super) unsafe fn find(&self, node: &Node, text: &[u8], from: usize, to: usize) -> Hit {
        let len = to - from;
        // SAFETY: the caller's promise.
        let (head, tail) = unsafe { ends(text, from, to) };
        let at = hash(head, tail, node.factor);
        // SAFETY: the length of a table is a power of two, so the masked index is less.
        let e = unsafe { node.table.get_unchecked(at & (node.table.len() - 1)) };
        if e.head == head && e.tail == tail && e.len as usize == len && (len <= 16 || self.same(e, text, from)) {
            return e.hit;
        }
        if node.longest == 0 || e.len == NONE {
            return MISS;
        }
        self.search(node, at, &text[from..to])
    }

    /// Does `text` have the whole key of the entry at `from`?
    #[inline(never)]
    fn same(&self, e: &Entry, text: &[u8], from: usize) -> bool {
        text[from..].starts_with(&self.keys[e.key as usize..][..e.len as usize])
    }

    /// [`Trie::find`] where the first probe does not tell: the places behind it.
    #[inline(never)]
    fn search(&self, node: &Node, at: usize, key: &[u8]) -> Hit {
        let places = (1..=node.longest).map(|way| &node.table[(at + way) & (node.table.len() - 1)]);
        let mut keys = places.take_while(|e| e.len != NONE);
        keys.find(|e| e.len as usize == key.len() && self.same(e, key, 0)).map_or(MISS, |e| e.hit)
    }

    #[inline(always)]
    pub(super) fn leaf(&self, leaf: u32) -> Leaf {
        self.leaves[leaf as usize]
    }

    /// The slot and the bit of a hit, if all there is to do with a value of this type that is not empty is to put it into
    /// the slot.
    pub(super) fn plain(&self, hit: Hit, kind: u8) -> Option<(u32, u64)> {
        let leaf = self.leaves.get(hit.leaf as usize)?;
        let plain =
            hit.child == NONE && leaf.next == NONE && leaf.forbidden >> kind & 1 == 0 && leaf.easy >> kind & 1 == 1;
        plain.then_some((leaf.slot, leaf.required))
    }

    /// Tells it from all others, its clones excepted.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Calls `each` with every child node and every leaf below a node, itself not included.
    pub(super) fn below(&self, node: u32, each: &mut impl FnMut(Hit, &Trie)) {
        let node = self.node(node);
        let keys = node.table.iter().filter(|e| e.len != NONE).map(|e| e.hit);
        for hit in keys.chain(node.elements.iter().map(|e| e.1)) {
            each(hit, self);
            if hit.child != NONE {
                self.below(hit.child, each);
            }
        }
    }
}

impl Node {
    /// A table of `size` entries with the hash of this number.
    fn lay_out(entries: &[Entry], size: usize, number: u64) -> Node {
        // Multiples of the golden ratio in 64 bits, made odd: as good as random factors.
        let factor = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (mut table, mut longest) = (vec![FREE; size], 0);
        for entry in entries {
            let start = hash(entry.head, entry.tail, factor);
            let (way, place) =
                (0..size).map(|way| (way, (start + way) % size)).find(|w| table[w.1].len == NONE).unwrap_or_default(); // never: there are more places than entries
            table[place] = *entry;
            longest = longest.max(way);
        }
        Node { table, factor, longest, elements: Vec::new() }
    }
}

fn new_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Relaxed) + 1
}

/// First and last eight bytes of `text[from..to]`; of a shorter key, all of it twice, zero-filled. Without branches:
/// key lengths vary too much to be predicted.
///
/// # Safety
/// `from <= to` and `to + 8 <= text.len()`.
#[inline(always)]
unsafe fn ends(text: &[u8], from: usize, to: usize) -> (u64, u64) {
    const KEEP: [u64; 9] = [
        0,
        0xFF,
        0xFFFF,
        0xFF_FFFF,
        0xFFFF_FFFF,
        0xFF_FFFF_FFFF,
        0xFFFF_FFFF_FFFF,
        0xFF_FFFF_FFFF_FFFF,
        0xFFFF_FFFF_FFFF_FFFF,
    ];
    let short = (to - from).min(8);
    // SAFETY: `from` and `to - short` are at most `to`, and eight bytes follow `to`.
    let word = |at: usize| u64::from_le_bytes(unsafe { *text.as_ptr().add(at).cast::<[u8; 8]>() });
    (word(from) & KEEP[short], word(to - short) & KEEP[short])
}

/// Eight bytes as a little-endian word.
#[inline(always)]
pub(super) fn word(text: &[u8], at: usize) -> u64 {
    let mut w = [0; 8];
    w.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(w)
}

#[inline(always)]
fn hash(head: u64, tail: u64, factor: u64) -> usize {
    ((head ^ tail.rotate_left(29)).wrapping_mul(factor) >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(path: &str, slot: u32) -> Want {
        Want { path: Path::parse(path).unwrap(), slot, allowed: 0, required: None }
    }
    fn find(t: &Trie, node: u32, key: &str) -> Hit {
        let padded = format!("{key}{:8}", "");
        // SAFETY: eight bytes follow the key.
        unsafe { t.find(t.node(node), padded.as_bytes(), 0, key.len()) }
    }
    fn slots_at(t: &Trie, hit: Hit) -> Vec<u32> {
        let (mut leaf, mut out) = (hit.leaf, vec![]);
        while leaf != NONE {
            out.push(t.leaf(leaf).slot);
            leaf = t.leaf(leaf).next;
        }
        out.sort_unstable();
        out
    }

    #[test]
    fn finds_every_key_length_and_nothing_else() {
        let keys: Vec<String> = (1..40).map(|n| "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"[..n].into()).collect();
        let mut wants: Vec<Want> = keys.iter().enumerate().map(|(i, k)| want(k, i as u32)).collect();
        wants.push(Want { path: Path::key(""), slot: 99, allowed: 0, required: None });
        let t = Trie::compile(&wants);
        for (i, k) in keys.iter().enumerate() {
            assert_eq!(slots_at(&t, find(&t, ROOT, k)), [i as u32]);
            let mut other = k.clone().into_bytes();
            other[k.len() / 2] ^= 1;
            assert_eq!(find(&t, ROOT, std::str::from_utf8(&other).unwrap()), MISS, "{k}");
        }
        assert_eq!(slots_at(&t, find(&t, ROOT, "")), [99]);
        assert_eq!(find(&t, ROOT, "\0"), MISS);
    }

    #[test]
    fn shares_prefixes_and_paths_and_names_what_it_cannot_take() {
        let t = Trie::compile(&[
            want("a.b", 0),
            want("a", 1),
            want("a.b", 2),
            want("a[1].c", 3),
            want("a[*].c", 4),
            want("a[-1]", 5),
            Want { path: Path::default(), slot: 6, allowed: 0, required: None },
        ]);
        assert_eq!(t.not_taken(), [4, 5, 6]);
        assert_eq!(t.slots(), [0, 1, 2, 3]);
        let a = find(&t, ROOT, "a");
        assert_eq!(slots_at(&t, a), [1]);
        assert_eq!(slots_at(&t, find(&t, a.child, "b")), [0, 2]);
        let [(1, second)] = t.node(a.child).elements[..] else { panic!("one element") };
        assert_eq!(slots_at(&t, find(&t, second.child, "c")), [3]);
        let mut seen = vec![];
        t.below(ROOT, &mut |hit, t| seen.extend(slots_at(t, hit)));
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn many_keys_collide_and_are_found() {
        let wants: Vec<Want> = (0..3000).map(|n| want(&format!("key{n}"), n)).collect();
        let t = Trie::compile(&wants);
        assert!(t.node(ROOT).longest > 0, "as many keys as this should collide");
        for n in 0..3000 {
            assert_eq!(slots_at(&t, find(&t, ROOT, &format!("key{n}"))), [n]);
            assert_eq!(find(&t, ROOT, &format!("kez{n}")), MISS);
        }
        let few = Trie::compile(&wants[..40]);
        assert_eq!(few.node(ROOT).longest, 0);
    }

    #[test]
    fn an_empty_trie_finds_nothing() {
        let t = Trie::compile(&[]);
        assert_eq!(find(&t, ROOT, "a"), MISS);
    }
}
