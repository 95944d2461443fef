//! What walks have learned about the order of keys.
//!
//! Programs write their records by templates: a key is nearly always followed by the same one. So the walk first compares
//! the text with the key that stood at this place last time. Its length and what it leads to are known before the text is
//! looked at, and so a right guess takes the place of the hash and of the search for what is wanted. A wrong one costs the
//! comparison; what is found then is the next guess, and the old one the second.
//!
//! Guesses decide nothing: a key is taken for a learned one if all its bytes are. Objects that hold nothing wanted need
//! none: of their keys only the quotes are looked at.
use super::trie::{Hit, MISS, NONE, Trie};
use model::event::tag;

/// A key that cannot be learned: too long, with an escape, or one too many. Also what nothing is known to follow.
pub(super) const UNKNOWN: u16 = 0;
/// What the first key of an object follows.
pub(super) const START: u16 = u16::MAX;

/// Most keys that are remembered of a trie; all are forgotten when there are more. A power of two.
const MAX_KEYS: usize = 512;
/// Most keys that are learned from one record. One with more new keys follows no template; it would only push others out.
const MAX_NEW: usize = 64;
/// Most tries of which something is remembered; all are forgotten when there are more. Each takes some 37 KiB.
const MAX_TRIES: usize = 128;
/// Bytes that are compared at once: a key, its closing quote and the colon.
const COMPARED: usize = 32;
/// What follows a key.
const BEHIND: &[u8; 2] = b"\":";
/// Longest key that is learned, bytes.
const LONGEST: usize = COMPARED - BEHIND.len();
/// Places of the hash table, half of them free: a power of two.
const PLACES: usize = 2 * MAX_KEYS;
/// How many of them are looked at for a key: a sender may choose its keys so that they collide.
const PROBES: usize = 16;

/// A key in the objects of a node, and what comes behind it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Key {
    /// The key, its closing quote and the colon; then zeros.
    text: [u8; COMPARED],
    /// A bit for each byte that is none of them.
    unused: u32,
    /// Where the key leads.
    pub hit: Hit,
    /// The slot, if all there is to do with a string is to put it there; otherwise [`NONE`].
    pub slot: u32,
    /// What a value that is not null sets in [`super::Walked::seen`].
    pub required: u64,
    /// Number of bytes of the key, its closing quote and the colon.
    pub len: u8,
    /// The next key of the object, as it was last time.
    pub next: u16,
    /// The one that was expected before that.
    second: u16,
}

/// What no text in a record equals, since it is not UTF-8.
const NO_KEY: Key = Key {
    text: [0xFF; COMPARED],
    unused: 0,
    hit: MISS,
    slot: NONE,
    required: 0,
    len: 0,
    next: UNKNOWN,
    second: UNKNOWN,
};

impl Key {
    /// Does `text[from..]` begin with this key, its closing quote and a colon?
    ///
    /// # Safety
    /// 32 bytes follow `from` in the text.
    #[inline(always)]
    pub unsafe fn is_at(&self, text: &[u8], from: usize) -> bool {
        debug_assert!(from + COMPARED <= text.len());
        // SAFETY: the caller's promise.
        let here = unsafe { &*text.as_ptr().add(from).cast::<[u8; COMPARED]>() };
        equal(here, &self.text) | self.unused == !0
    }
}

/// A bit for each byte that is the same.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn equal(a: &[u8; COMPARED], b: &[u8; COMPARED]) -> u32 {
    use std::arch::x86_64::*;
    let half = |n: usize| {
        // SAFETY: every x86-64 has SSE2; both arrays have 16 bytes from 0 and from 16 on.
        unsafe {
            let (a, b) = (_mm_loadu_si128(a.as_ptr().add(n).cast()), _mm_loadu_si128(b.as_ptr().add(n).cast()));
            _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) as u32
        }
    };
    half(0) | half(16) << 16
}

/// A bit for each byte that is the same.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn equal(a: &[u8; COMPARED], b: &[u8; COMPARED]) -> u32 {
    (0..COMPARED).fold(0, |bits, n| bits | u32::from(a[n] == b[n]) << n)
}

/// See the module. Belongs to one trie.
#[derive(Clone, Debug)]
pub(super) struct Order {
    keys: Box<[Key; MAX_KEYS]>,
    /// The node of the objects of each key.
    nodes: Box<[u32; MAX_KEYS]>,
    /// How many keys there are.
    count: usize,
    /// How many there may be at the end of this record.
    limit: usize,
    /// The first key of the objects of each node, as it was last time, and the one that was expected before that.
    first: Vec<[u16; 2]>,
    /// Numbers of keys by the hash of their node and text; [`UNKNOWN`] where there is none.
    table: Box<[u16; PLACES]>,
}

impl Order {
    /// Nothing learned yet of a trie with so many nodes.
    fn new(nodes: usize) -> Order {
        Order {
            keys: vec![NO_KEY; MAX_KEYS].try_into().expect("of this length"),
            nodes: vec![NONE; MAX_KEYS].try_into().expect("of this length"),
            count: 1,
            limit: MAX_KEYS,
            first: vec![[UNKNOWN; 2]; nodes],
            table: vec![UNKNOWN; PLACES].try_into().expect("of this length"),
        }
    }
}

/// What was learned, by trie.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    all: Vec<(u64, Order)>,
    /// The one that was asked for last: records of one kind come in a row.
    last: usize,
}

impl Orders {
    /// What was learned for a trie, ready for a record.
    #[inline]
    pub fn of(&mut self, trie: &Trie) -> &mut Order {
        let number = trie.number();
        if self.all.get(self.last).is_none_or(|o| o.0 != number) {
            self.last = self.find(trie);
        }
        let order = &mut self.all[self.last].1;
        order.begin();
        order
    }

    #[inline(never)]
    fn find(&mut self, trie: &Trie) -> usize {
        let number = trie.number();
        if let Some(at) = self.all.iter().position(|o| o.0 == number) {
            return at;
        }
        if self.all.len() == MAX_TRIES {
            self.all.clear();
        }
        self.all.push((number, Order::new(trie.nodes())));
        self.all.len() - 1
    }
}

impl Order {
    /// Makes ready for a record. Forgets everything if there is too much of it.
    #[inline]
    fn begin(&mut self) {
        if self.count == MAX_KEYS {
            *self = Order::new(self.first.len());
        }
        self.limit = (self.count + MAX_NEW).min(MAX_KEYS);
    }

    /// A key by its number.
    #[inline(always)]
    pub fn key(&self, number: u16) -> &Key {
        &self.keys[number as usize % MAX_KEYS]
    }

    #[inline(always)]
    fn node(&self, number: u16) -> u32 {
        self.nodes[number as usize % MAX_KEYS]
    }

    /// The number of the key that is expected first in an object of a node.
    #[inline(always)]
    pub fn first(&self, node: u32) -> u16 {
        self.first[node as usize][0]
    }

    /// The second guess in an object of a node, behind a key.
    #[inline]
    pub fn second(&self, node: u32, before: u16) -> u16 {
        if before == START { self.first[node as usize][1] } else { self.key(before).second }
    }

    /// The number of the key `text[from..to]` in an object of a node, or [`UNKNOWN`].
    ///
    /// # Safety
    /// 32 bytes follow `from` in the text.
    #[inline]
    pub unsafe fn number(&self, node: u32, text: &[u8], from: usize, to: usize) -> u16 {
        if to - from > LONGEST {
            return UNKNOWN;
        }
        // SAFETY: the caller's promise.
        let text = unsafe { alone(text, from, to - from) };
        for place in places(&text, node) {
            let number = self.table[place];
            if number == UNKNOWN || (equal(&self.key(number).text, &text) == !0 && self.node(number) == node) {
                return number;
            }
        }
        UNKNOWN
    }

    /// From now on, `number` is expected behind the key `before` of the same object, or first in those of its node.
    #[inline]
    pub fn follows(&mut self, before: u16, number: u16) {
        if number == UNKNOWN || before == UNKNOWN {
            return;
        }
        let node = self.node(number);
        let (next, second) = if before == START {
            let [next, second] = &mut self.first[node as usize];
            (next, second)
        } else {
            let key = &mut self.keys[before as usize % MAX_KEYS];
            (&mut key.next, &mut key.second)
        };
        if *next != number {
            (*next, *second) = (number, *next);
        }
    }

    /// Remember a key that has no number yet, and that was found to lead to `hit` from a node. Gives its number.
    #[inline(never)]
    pub fn learn(&mut self, (node, hit): (u32, Hit), trie: &Trie, key: &[u8]) -> u16 {
        let number = self.count;
        if key.len() > LONGEST || number >= self.limit || key.contains(&b'\\') {
            return UNKNOWN;
        }
        let len = key.len() + BEHIND.len();
        let mut text = [0; COMPARED];
        text[..key.len()].copy_from_slice(key);
        text[key.len()..len].copy_from_slice(BEHIND);
        let Some(place) = places(&text, node).find(|place| self.table[*place] == UNKNOWN) else { return UNKNOWN };
        let (slot, required) = trie.plain(hit, tag::STR).unwrap_or((NONE, 0));
        let unused = (!0u64 << len) as u32;
        self.keys[number] = Key { text, unused, hit, slot, required, len: len as u8, ..NO_KEY };
        self.nodes[number] = node;
        self.table[place] = number as u16;
        self.count += 1;
        number as u16
    }
}

/// The places of the hash table where a key may be, the likeliest first.
#[inline]
fn places(text: &[u8; COMPARED], node: u32) -> impl Iterator<Item = usize> {
    let word = |n: usize| u64::from_le_bytes(text.as_chunks().0[n]);
    let seed = word(0) ^ word(1).rotate_left(21) ^ word(2).rotate_left(42) ^ word(3) ^ u64::from(node) << 40;
    let start = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize;
    (start..start + PROBES).map(|n| n % PLACES)
}

/// The key at `from`, of at most [`LONGEST`] bytes, as [`Key`] has it.
///
/// # Safety
/// [`COMPARED`] bytes follow `from` in the text.
#[inline]
unsafe fn alone(text: &[u8], from: usize, len: usize) -> [u8; COMPARED] {
    debug_assert!(from + COMPARED <= text.len());
    // SAFETY: the caller's promise.
    let mut out = unsafe { *text.as_ptr().add(from).cast::<[u8; COMPARED]>() };
    let (keep, behind) = (&KEEP[COMPARED - len..][..COMPARED], &ENDS[COMPARED - len..][..COMPARED]);
    for n in 0..COMPARED {
        out[n] = out[n] & keep[n] | behind[n];
    }
    out
}

/// From byte `COMPARED - n` on, `n` bytes of ones and zeros behind them.
const KEEP: [u8; 2 * COMPARED] = {
    let mut keep = [0; 2 * COMPARED];
    let mut n = 0;
    while n < COMPARED {
        keep[n] = 0xFF;
        n += 1;
    }
    keep
};

/// From byte `COMPARED - n` on, what follows a key of `n` bytes.
const ENDS: [u8; 2 * COMPARED] = {
    let mut ends = [0; 2 * COMPARED];
    ends[COMPARED] = BEHIND[0];
    ends[COMPARED + 1] = BEHIND[1];
    ends
};

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(key: &str) -> Vec<u8> {
        let mut text = key.as_bytes().to_vec();
        text.extend_from_slice(b"\":1,\"other\":2");
        text.resize(key.len() + 2 * COMPARED, b'.');
        text
    }
    fn learned(order: &mut Order, node: u32, key: &str) -> u16 {
        order.learn((node, MISS), &Trie::default(), key.as_bytes())
    }
    fn number(order: &Order, node: u32, key: &str) -> u16 {
        // SAFETY: that many bytes were added.
        unsafe { order.number(node, &padded(key), 0, key.len()) }
    }

    #[test]
    fn a_key_is_known_by_its_node_and_all_its_bytes() {
        let mut order = Order::new(9);
        let long = "thirty-bytes-are-what-is-taken";
        for len in 0..=long.len() {
            let key = &long[..len];
            let it = learned(&mut order, 7, key);
            assert_eq!((number(&order, 7, key), order.key(it).len as usize), (it, len + 2));
            for (node, other) in [(8, key), (7, &*format!("{key}x"))] {
                assert_eq!(number(&order, node, other), UNKNOWN);
            }
            // SAFETY: `padded` has that many bytes.
            let is_at = |text: &str| unsafe { order.key(it).is_at(&padded(text), 0) };
            assert!(is_at(key));
            for at in 0..len {
                let mut other = key.as_bytes().to_vec();
                other[at] ^= 1;
                assert!(!is_at(std::str::from_utf8(&other).unwrap()));
            }
        }
        for taken in ["thirty-one-bytes-are-one-too-ma", "back\\slash"] {
            assert_eq!(learned(&mut order, 7, taken), UNKNOWN);
        }
    }

    #[test]
    fn the_last_follower_is_the_guess() {
        let mut order = Order::new(9);
        let [a, b, c] = ["a", "b", "c"].map(|key| learned(&mut order, 3, key));
        assert_eq!(order.first(3), UNKNOWN);
        order.follows(START, a);
        order.follows(a, b);
        assert_eq!((order.first(3), order.key(a).next), (a, b));
        order.follows(a, c);
        order.follows(a, UNKNOWN);
        order.follows(UNKNOWN, b);
        assert_eq!((order.key(a).next, order.second(3, a), order.key(UNKNOWN).next), (c, b, UNKNOWN));
        order.follows(a, c);
        assert_eq!((order.key(a).next, order.second(3, a)), (c, b), "as before");
        let other = learned(&mut order, 4, "a");
        order.follows(START, other);
        assert_eq!((order.first(3), order.first(4)), (a, other));
        order.follows(START, b);
        assert_eq!((order.first(3), order.second(3, START), order.second(4, START)), (b, a, UNKNOWN));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut orders, tries) = (Orders::default(), [(); MAX_TRIES + 1].map(|_| Trie::compile(&[])));
        let fill = |orders: &mut Orders, records: usize| {
            let (mut key, mut counts) = (0, vec![]);
            for _ in 0..records {
                let order = orders.of(&tries[0]);
                for _ in 0..2 * MAX_NEW {
                    key += 1;
                    learned(order, 0, &key.to_string());
                }
                counts.push(order.count);
            }
            counts
        };
        let full = MAX_KEYS / MAX_NEW;
        let counts = fill(&mut orders, full + 1);
        assert_eq!((counts[0], counts[1]), (1 + MAX_NEW, 1 + 2 * MAX_NEW), "from each record so many");
        assert_eq!(counts[full - 1], MAX_KEYS);
        assert_eq!(counts[full], 1 + MAX_NEW, "all forgotten before the next record");
        for trie in &tries {
            learned(orders.of(trie), 0, "a");
            assert!(orders.all.len() <= MAX_TRIES);
        }
        assert_eq!((orders.of(&tries[MAX_TRIES]).count, orders.all.len()), (2, 1));
    }

    #[test]
    fn keys_that_collide_cost_a_few_looks() {
        // Of many keys only so many can stand where one hash points; the others stay unknown.
        let mut order = Order::new(9);
        // SAFETY: `padded` has that many bytes.
        let place = |key: &str| places(&unsafe { alone(&padded(key), 0, key.len()) }, 0).next();
        let first = place("0");
        let same: Vec<String> = (0..200_000).map(|n| n.to_string()).filter(|key| place(key) == first).collect();
        assert!(same.len() > 2 * PROBES, "{}", same.len());
        let known = same.iter().filter(|key| learned(&mut order, 0, key) != UNKNOWN).count();
        assert_eq!(known, PROBES);
        assert!(same[..PROBES].iter().all(|key| number(&order, 0, key) != UNKNOWN));
        assert_eq!(number(&order, 0, &same[PROBES]), UNKNOWN);
    }
}
