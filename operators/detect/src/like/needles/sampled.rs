//! Long needles, found by looking at every fourth byte of a text.
//!
//! Whatever text a needle of seven bytes or more stands in, four bytes of it stand at a place that four divides. So of each
//! needle four *windows* of four bytes are put into a table, one for each way it can lie; a text is read window by window,
//! and a byte per hash rejects nearly all of them. Where one is in the table, the needle is compared as a whole. A
//! needle may choose which of its bytes the windows are: it takes those that are rare in texts and in other needles, so that
//! what thousands of them begin with is compared with none.
//!
//! An automaton reads every byte, takes several times the instructions for each, and a hundred times the memory.
use crate::columns::hasher;
use hashbrown::HashMap;

/// Bytes of a window, and from one to the next.
const WINDOW: usize = 4;
/// Shortest needle.
pub const MIN: usize = 2 * WINDOW - 1;
/// Windows that are looked at before one asks whether any of them may be in the table.
const BLOCK: usize = 4 * WINDOW;
/// Bits of the hashes of few and of many needles, and how many are few. A byte for each hash stays in the nearest cache.
const FEW_BITS: u32 = 12;
const MANY_BITS: u32 = 15;
const FEW: usize = 64;
/// The bit by which capital letters of ASCII differ from small ones, in each byte of a window.
const CASE: u32 = 0x2020_2020;

/// Needles that are searched for.
pub struct Sampled {
    /// All needles, one behind the other.
    texts: String,
    needles: Vec<Needle>,
    /// Needles are in lower case, and capital letters of ASCII are taken for small ones.
    fold: bool,
    /// Not zero for each hash that a window has.
    filter: Filter,
    /// Start of the windows of a hash.
    buckets: Vec<u32>,
    windows: Vec<Window>,
}

enum Filter {
    Few(Box<[u8; 1 << FEW_BITS]>),
    Many(Box<[u8; 1 << MANY_BITS]>),
}

#[derive(Clone, Copy)]
struct Needle {
    start: u32,
    len: u32,
    number: u32,
}

#[derive(Clone, Copy)]
struct Window {
    bytes: u32,
    /// Index in `needles`.
    needle: u32,
    /// Where it stands in the needle.
    offset: u32,
}

impl Sampled {
    /// From needles of at least [`MIN`] bytes and what each is known by; `None` without any. With `fold` they are in lower case,
    /// and stand where they are found in the lower case of a text too.
    pub fn new(list: &[(u32, &str)], fold: bool) -> Option<Sampled> {
        if list.is_empty() {
            return None;
        }
        let mut held: HashMap<u32, u32, ahash::RandomState> = HashMap::with_hasher(hasher());
        for (_, text) in list {
            text.as_bytes().windows(WINDOW).for_each(|w| *held.entry(number(w)).or_default() += 1);
        }
        let few = list.len() <= FEW;
        let mut out = Sampled {
            texts: String::with_capacity(list.iter().map(|(_, t)| t.len()).sum()),
            needles: Vec::with_capacity(list.len()),
            fold,
            filter: if few { Filter::Few(zeros()) } else { Filter::Many(zeros()) },
            buckets: vec![0; (1 << if few { FEW_BITS } else { MANY_BITS }) + 1],
            windows: Vec::with_capacity(list.len() * WINDOW),
        };
        for (known_by, text) in list {
            let needle = out.needles.len() as u32;
            out.needles.push(Needle { start: out.texts.len() as u32, len: text.len() as u32, number: *known_by });
            out.texts.push_str(text);
            let first = rarest(text.as_bytes(), &held);
            for offset in first..first + WINDOW {
                let bytes = out.seen(&text.as_bytes()[offset..offset + WINDOW]);
                out.windows.push(Window { bytes, needle, offset: offset as u32 });
            }
        }
        out.sort();
        Some(out)
    }

    /// Lay the windows out by hash.
    fn sort(&mut self) {
        let mut windows = std::mem::take(&mut self.windows);
        windows.sort_unstable_by_key(|w| (self.hash(w.bytes), w.bytes, w.needle, w.offset));
        for w in &windows {
            let hash = self.hash(w.bytes);
            match &mut self.filter {
                Filter::Few(f) => f[hash] = 1,
                Filter::Many(f) => f[hash] = 1,
            }
            self.buckets[hash + 1] += 1;
        }
        for i in 1..self.buckets.len() {
            self.buckets[i] += self.buckets[i - 1];
        }
        self.windows = windows;
    }

    /// A window as it is compared.
    fn seen(&self, window: &[u8]) -> u32 {
        number(window) | if self.fold { CASE } else { 0 }
    }

    fn hash(&self, bytes: u32) -> usize {
        match self.filter {
            Filter::Few(_) => hash::<FEW_BITS>(bytes),
            Filter::Many(_) => hash::<MANY_BITS>(bytes),
        }
    }

    /// Calls `hit` with what each needle is known by, wherever it stands in the text; stops when it says so. True if it did.
    pub fn find(&self, text: &[u8], hit: &mut dyn FnMut(u32) -> bool) -> bool {
        match (&self.filter, self.fold) {
            (Filter::Few(f), true) => self.scan::<FEW_BITS, CASE, _>(f, text, hit),
            (Filter::Few(f), false) => self.scan::<FEW_BITS, 0, _>(f, text, hit),
            (Filter::Many(f), true) => self.scan::<MANY_BITS, CASE, _>(f, text, hit),
            (Filter::Many(f), false) => self.scan::<MANY_BITS, 0, _>(f, text, hit),
        }
    }

    #[inline(always)]
    fn scan<const BITS: u32, const FOLD: u32, const N: usize>(
        &self,
        filter: &[u8; N],
        text: &[u8],
        hit: &mut dyn FnMut(u32) -> bool,
    ) -> bool {
        const { assert!(N == 1 << BITS) };
        let seen = |w: &[u8; WINDOW]| u32::from_le_bytes(*w) | FOLD;
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        for (i, block) in blocks.iter().enumerate() {
            let windows = block.as_chunks::<WINDOW>().0;
            let any = windows.iter().fold(0, |any, w| any | filter[hash::<BITS>(seen(w))]);
            if any != 0 && self.windows(text, i * BLOCK, windows, hit) {
                return true;
            }
        }
        self.windows(text, blocks.len() * BLOCK, rest.as_chunks::<WINDOW>().0, hit)
    }

    /// Needles that have one of these windows where they stand.
    #[inline(never)]
    fn windows(&self, text: &[u8], mut at: usize, windows: &[[u8; WINDOW]], hit: &mut dyn FnMut(u32) -> bool) -> bool {
        for w in windows {
            let bytes = self.seen(w);
            let hash = self.hash(bytes);
            let (start, end) = (self.buckets[hash] as usize, self.buckets[hash + 1] as usize);
            for w in self.windows[start..end].iter().filter(|w| w.bytes == bytes) {
                let needle = self.needles[w.needle as usize];
                if self.stands(needle, text, at.wrapping_sub(w.offset as usize)) && hit(needle.number) {
                    return true;
                }
            }
            at += WINDOW;
        }
        false
    }

    fn stands(&self, needle: Needle, text: &[u8], from: usize) -> bool {
        let whole = &self.texts.as_bytes()[needle.start as usize..][..needle.len as usize];
        let here = text.get(from..).and_then(|rest| rest.get(..whole.len()));
        here.is_some_and(|here| if self.fold { here.eq_ignore_ascii_case(whole) } else { here == whole })
    }
}

fn zeros<const N: usize>() -> Box<[u8; N]> {
    Box::new([0; N])
}

#[inline(always)]
fn hash<const BITS: u32>(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
}

#[inline(always)]
fn number(window: &[u8]) -> u32 {
    window.try_into().map_or(0, u32::from_le_bytes)
}

/// Where the four windows of a needle begin that lead to the fewest comparisons: each is as often met as its characters let
/// expect, and then compared with all needles that have it.
fn rarest(needle: &[u8], held: &HashMap<u32, u32, ahash::RandomState>) -> usize {
    let met = |w: &[u8]| w.iter().map(|b| f64::from(PER_MILLE[*b as usize])).product::<f64>();
    let costs: Vec<f64> = needle.windows(WINDOW).map(|w| met(w) * f64::from(1 + held[&number(w)])).collect();
    let runs = costs.windows(WINDOW).map(|run| run.iter().sum::<f64>());
    runs.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(first, _)| first)
}

/// How often bytes are met in a thousand of the lower case of logs, roughly.
const PER_MILLE: [u8; 256] = {
    let mut table = [1; 256];
    let known = *b" 60e90t65a60o60i60s60n55r55l35d30c30m25p25u25h20w18f15g15y12b12v10k7x6j2q2z2.15\\30-10/8_5:8";
    let mut i = 0;
    while i < known.len() {
        let (byte, mut rate) = (known[i], 0);
        i += 1;
        while i < known.len() && known[i].is_ascii_digit() {
            rate = rate * 10 + (known[i] - b'0');
            i += 1;
        }
        table[byte as usize] = rate;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = 10;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_all_begin_with_is_no_window() {
        let needles: Vec<String> = (0..500).map(|i| format!(r"\software\microsoft\{i:03}-{i:03}")).collect();
        let list: Vec<(u32, &str)> = (0..).zip(needles.iter().map(String::as_str)).collect();
        let s = Sampled::new(&list, true).unwrap();
        assert!(s.windows.iter().all(|w| w.offset > 10));
        let of = |bytes: u32| s.windows.iter().filter(|w| w.bytes == bytes).count();
        assert!(s.windows.iter().map(|w| of(w.bytes)).max().unwrap() <= 4);
        assert!(Sampled::new(&[], true).is_none());
        // Nor what every second text has.
        let s = Sampled::new(&[(0, "event::clear")], true).unwrap();
        assert_eq!(s.windows.iter().map(|w| w.offset).min(), Some(3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
        #[test]
        fn finds_what_stands_in_a_text(
            needles in prop_oneof![
                prop::collection::vec("[ab]{7,9}|[abü@`]{7,30}", 1..20),
                prop::collection::vec("[abc]{7,9}", FEW + 1..2 * FEW),
            ],
            text in "[abAB]{0,40}|[abü@`]{0,60}",
            fold: bool,
            inside in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let cut = text.floor_char_boundary(at.index(text.len() + 1));
            let text = format!("{}{}{}", &text[..cut], inside.get(&needles), &text[cut..]);
            let list: Vec<(u32, &str)> = (0..).zip(needles.iter().map(String::as_str)).collect();
            let s = Sampled::new(&list, fold).unwrap();
            let mut got = Vec::new();
            let stopped = s.find(text.as_bytes(), &mut |n| {
                got.push(n);
                false
            });
            prop_assert!(!stopped);
            got.sort_unstable();
            got.dedup();
            let form = if fold { text.to_ascii_lowercase() } else { text.clone() };
            let want: Vec<u32> = list.iter().filter(|(_, n)| form.contains(n)).map(|(i, _)| *i).collect();
            prop_assert_eq!(got, want);
            let stopped = s.find(text.as_bytes(), &mut |_| true);
            prop_assert!(stopped);
        }
    }
}
