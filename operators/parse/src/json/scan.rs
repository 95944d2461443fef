//! First step: 64 bytes at a time, where are the quotes?
//!
//! The result is a bit mask of all unescaped quotes, so that the walk goes from the start of a string to its end without
//! looking at it. Control characters in strings and the places of all escapes are noted by the way; both are rare in
//! logs, and a block without any takes one test for both.

/// Bytes per block: one bit of a `u64` each.
pub(super) const BLOCK: usize = 64;
/// Scratch memory kept between records, in bytes of record; a longer one gets its memory for itself.
pub(super) const KEPT: usize = 1 << 20;

/// What a scan finds in a record. Memory is reused from record to record.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Unescaped quotes, a word per block (little-endian on any machine), and two full words behind the last.
    quotes: Vec<u64>,
    /// Their places in order, and [`AFTER`] times the length of the record.
    places: Vec<u32>,
    /// Backslashes that begin an escape.
    pub escapes: Vec<u32>,
    /// First control character inside a string.
    pub control: Option<u32>,
    /// All bytes of the record are ASCII; false also if only some behind it, in its last block, are not.
    pub ascii: bool,
}

impl Index {
    /// Where the quotes are.
    #[inline]
    pub fn quotes(&self) -> Quotes<'_> {
        Quotes(&self.quotes)
    }

    /// The same, one by one; [`AFTER`] times the place behind the record follows.
    #[inline]
    pub fn places(&self) -> &[u32] {
        &self.places
    }
}

/// Bit mask of the unescaped quotes of a record.
#[derive(Clone, Copy)]
pub(super) struct Quotes<'a>(&'a [u64]);

impl Quotes<'_> {
    /// First quote from `at` on; beyond the record if there is none.
    ///
    /// # Safety
    /// `at` lies in the record, or at most [`BLOCK`] bytes behind it.
    #[inline(always)]
    pub unsafe fn next(self, at: usize) -> usize {
        // SAFETY: the caller's promise.
        let window = unsafe { self.window(at) };
        if window != 0 { at + window.trailing_zeros() as usize } else { self.later(at) }
    }

    /// As [`Quotes::next`], where it is far.
    #[inline(never)]
    fn later(self, at: usize) -> usize {
        let mut word = at / BLOCK;
        let mut mask = !0u64 << (at % BLOCK);
        while let Some(bits) = self.0.get(word) {
            let found = u64::from_le(*bits) & mask;
            if found != 0 {
                return word * BLOCK + found.trailing_zeros() as usize;
            }
            mask = !0;
            word += 1;
        }
        word * BLOCK
    }

    /// The bits of at least 57 bytes, the lowest for the byte at `at`.
    ///
    /// # Safety
    /// As [`Quotes::next`].
    #[inline(always)]
    unsafe fn window(self, at: usize) -> u64 {
        debug_assert!(at / 8 + 8 <= self.0.len() * 8);
        // SAFETY: bit `at` is in one of the words before the last, so the eight bytes from it on are in the slice.
        let bits = unsafe { self.0.as_ptr().cast::<u8>().add(at / 8).cast::<u64>().read_unaligned() };
        u64::from_le(bits) >> (at % 8)
    }

    /// The quotes of each block of the record.
    pub fn blocks(self) -> impl Iterator<Item = u64> {
        self.0[..self.0.len() - BEHIND].iter().map(|bits| u64::from_le(*bits))
    }
}

/// Places behind the last quote.
pub(super) const AFTER: usize = 6;
/// Places that may be written behind those of a block.
const SPARE: usize = 16;

/// Full words behind the mask: one to find, and one that may be read together with it.
const BEHIND: usize = 2;

/// 64 bytes, and what one wants to know about them.
pub(super) trait Lanes: Copy {
    fn load(block: &[u8; BLOCK]) -> Self;
    /// Bytes equal to this one.
    fn equal(self, byte: u8) -> u64;
    /// `{` and `[`; `}` and `]`.
    fn brackets(self) -> (u64, u64);
    /// Is there any backslash or control character?
    fn special(self) -> bool;
    /// Control characters (below 0x20).
    fn control(self) -> u64;
    /// Bits that are set in either.
    fn or(self, other: Self) -> Self;
    /// Is there any byte that is not ASCII?
    fn high(self) -> bool;
    /// Bit n is the parity of bits 0..=n.
    fn parity(bits: u64) -> u64;
    /// Writes `at` plus the number of each bit to `out`, in order, and perhaps more behind.
    ///
    /// # Safety
    /// There is room for [`BLOCK`] and [`SPARE`] places.
    #[inline(always)]
    unsafe fn places(mut bits: u64, at: u32, mut out: *mut u32) {
        // Eight at a time: how many there are is hard to foretell, that there are no more is not.
        loop {
            for n in 0..8 {
                // SAFETY: the caller's promise; no bit is left after the 64th.
                unsafe { out.add(n).write(at.wrapping_add(bits.trailing_zeros())) };
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                return;
            }
            // SAFETY: as above.
            out = unsafe { out.add(8) };
        }
    }
}

/// Scans `text[..len]`; `text` goes on for at least [`BLOCK`] bytes.
#[inline(always)]
pub(super) fn scan<L: Lanes>(text: &[u8], len: usize, index: &mut Index) {
    prepare(index, len);
    let Index { quotes, places, escapes, control, ascii } = index;
    let (out, all) = (places.as_mut_ptr(), L::load(&[0; BLOCK]));
    let mut state = State { at: 0, inside: 0, escaped: 0, all, out, count: 0, escapes, control };
    let (whole, part) = text.as_chunks::<BLOCK>().0.split_at(len / BLOCK);
    for (block, quotes) in whole.iter().zip(quotes.iter_mut()) {
        *quotes = state.block(block, !0).to_le();
    }
    let rest = len % BLOCK;
    if rest != 0 {
        quotes[whole.len()] = state.block(&part[0], (1 << rest) - 1).to_le();
    }
    *ascii = !state.all.high();
    let count = state.count;
    // SAFETY: that many were written.
    unsafe { places.set_len(count) };
    places.extend_from_slice(&[len as u32; AFTER]);
}

/// What goes from block to block.
struct State<'a, L> {
    /// Position of the block.
    at: usize,
    /// 1 if the block begins inside a string.
    inside: u64,
    /// 1 if the block's first character is escaped.
    escaped: u64,
    /// The bits of all bytes so far.
    all: L,
    /// Where the places go, and how many are there.
    out: *mut u32,
    count: usize,
    escapes: &'a mut Vec<u32>,
    control: &'a mut Option<u32>,
}

impl<L: Lanes> State<'_, L> {
    /// Gives the quotes. `used`: bytes of the block that belong to the record.
    #[inline(always)]
    fn block(&mut self, block: &[u8; BLOCK], used: u64) -> u64 {
        let lanes = L::load(block);
        self.all = self.all.or(lanes);
        let mut quotes = lanes.equal(b'"') & used;
        if lanes.special() || self.escaped != 0 {
            let backslash = lanes.equal(b'\\') & used;
            if backslash | self.escaped != 0 {
                let (marked, escaped) = escapes(backslash, self.escaped, self.at, self.escapes);
                quotes &= !marked;
                self.escaped = escaped;
            }
            // From each opening quote up to the byte before its closing quote.
            let in_string = L::parity(quotes) ^ 0u64.wrapping_sub(self.inside);
            let control = lanes.control() & in_string & used;
            if control != 0 && self.control.is_none() {
                *self.control = Some(self.at as u32 + control.trailing_zeros());
            }
        }
        let count = quotes.count_ones() as usize;
        // SAFETY: `prepare` has made room for a place for each byte, and more.
        unsafe { L::places(quotes, self.at as u32, self.out.add(self.count)) };
        self.count += count;
        self.inside ^= count as u64 & 1;
        self.at += BLOCK;
        quotes
    }
}

fn prepare(index: &mut Index, len: usize) {
    let words = len.div_ceil(BLOCK);
    if index.quotes.capacity() > KEPT / BLOCK + BEHIND && words <= KEPT / BLOCK {
        *index = Index::default();
    }
    // All words before the last two will be written.
    index.quotes.resize(words + BEHIND, 0);
    index.quotes[words..].fill(!0);
    index.places.clear();
    index.places.reserve(words * BLOCK + SPARE);
    index.escapes.clear();
    index.control = None;
}

/// Marks the characters that a backslash escapes; `escaped` is 1 if the one before the block escapes its first. The second
/// value is the same for the next block.
#[inline(never)]
fn escapes(backslash: u64, escaped: u64, at: usize, starts: &mut Vec<u32>) -> (u64, u64) {
    // Backslashes that begin an escape are every other one of a run. A subtraction carries through each run, and so finds
    // them, and the character behind a run that ends with one, for all runs at once (the method of simdjson).
    let possible = backslash & !escaped;
    let codes = (possible << 1 | ODD).wrapping_sub(possible) ^ ODD;
    let marked = codes ^ (backslash | escaped);
    let mut begin = codes & backslash;
    let carried = begin >> 63;
    starts.reserve(BLOCK);
    while begin != 0 {
        starts.push(at as u32 + begin.trailing_zeros());
        begin &= begin - 1;
    }
    (marked, carried)
}

/// Every other bit.
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// Words of eight bytes: any machine.
#[derive(Clone, Copy)]
pub(super) struct Words([u64; 8]);

const EACH: u64 = 0x0101_0101_0101_0101;

impl Words {
    /// Bytes that are zero after `change`.
    #[inline(always)]
    fn zero(self, change: impl Fn(u64) -> u64) -> u64 {
        let mut mask = 0;
        for (n, word) in self.0.iter().enumerate() {
            let word = change(*word);
            let top = EACH * 0x80;
            // Top bit of every byte that is zero; exact, since no byte carries into the next.
            let zero = !(((word & !top) + !top) | word | !top);
            // The multiplication moves bit 8i to bit 56 + i.
            mask |= ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * n);
        }
        mask
    }
}

impl Lanes for Words {
    #[inline(always)]
    fn load(block: &[u8; BLOCK]) -> Self {
        let words = block.as_chunks::<8>().0;
        Words(std::array::from_fn(|n| u64::from_le_bytes(words[n])))
    }
    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        self.zero(|w| w ^ (EACH * byte as u64))
    }
    #[inline(always)]
    fn brackets(self) -> (u64, u64) {
        // `[` and `]` become `{` and `}` with bit 0x20.
        let folded = Words(self.0.map(|w| w | (EACH * 0x20)));
        (folded.equal(b'{'), folded.equal(b'}'))
    }
    #[inline(always)]
    fn special(self) -> bool {
        self.equal(b'\\') | self.control() != 0
    }
    #[inline(always)]
    fn control(self) -> u64 {
        self.zero(|w| w & (EACH * 0xE0))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Words(std::array::from_fn(|n| self.0[n] | other.0[n]))
    }
    #[inline(always)]
    fn high(self) -> bool {
        self.0.iter().any(|w| w & (EACH * 0x80) != 0)
    }
    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        [1, 2, 4, 8, 16, 32].iter().fold(bits, |b, n| b ^ b << n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::Vectors;
    use super::*;
    use proptest::prelude::*;

    /// Quotes, escapes, control character; one byte after the other.
    fn naive(record: &[u8]) -> (Vec<usize>, Vec<u32>, Option<u32>) {
        let (mut quotes, mut escapes, mut control) = (vec![], vec![], None);
        let mut escaped = false;
        for (i, c) in record.iter().enumerate() {
            if *c == b'"' && !escaped {
                quotes.push(i);
            }
            if quotes.len() % 2 == 1 && *c < 0x20 && control.is_none() {
                control = Some(i as u32);
            }
            escaped = *c == b'\\' && !escaped;
            if escaped {
                escapes.push(i as u32);
            }
        }
        (quotes, escapes, control)
    }

    fn compare(record: &[u8], run: impl Fn(&[u8], usize, &mut Index)) {
        let mut text = record.to_vec();
        text.extend_from_slice(&[b'"'; 2 * BLOCK]);
        let (quotes, escapes, control) = naive(record);
        let mut index = Index::default();
        // The second time on used memory.
        for len in [record.len() / 2, record.len()] {
            run(&text, len, &mut index);
        }
        for at in 0..record.len() + BLOCK {
            // SAFETY: as far as one may ask.
            let found = unsafe { index.quotes().next(at) };
            let expected = quotes.iter().find(|q| **q >= at);
            assert_eq!((found < record.len()).then_some(&found), expected, "from {at}");
        }
        let (places, behind) = index.places().split_at(quotes.len());
        assert!(places.iter().map(|at| *at as usize).eq(quotes) && behind == [record.len() as u32; AFTER]);
        assert_eq!((&index.escapes, index.control), (&escapes, control));
        assert_eq!(index.ascii, record.is_ascii());
    }

    fn all(record: &[u8]) {
        for vectors in Vectors::of_this_cpu() {
            compare(record, |text, len, index| vectors.scan(text, len, index));
        }
    }

    #[test]
    fn backslashes_and_quotes_straddle_blocks() {
        for run in 0..70 {
            for start in 50..70 {
                let mut record = vec![b'{'; start];
                record.push(b'"');
                record.extend(vec![b'\\'; run]);
                record.extend_from_slice(b"\"}\"]\x01\"");
                all(&record);
            }
        }
        all(&[b'"'; 300]);
        all(b"");
    }

    #[test]
    fn memory_of_a_long_record_is_given_back() {
        let mut index = Index::default();
        scan::<Words>(&vec![b' '; 2 * KEPT + 64], 2 * KEPT, &mut index);
        assert!(index.quotes.capacity() >= 2 * KEPT / BLOCK);
        scan::<Words>(&[b' '; 128], 10, &mut index);
        assert!(index.quotes.capacity() < KEPT / BLOCK);
    }

    proptest! {
        #[test]
        fn vector_and_portable_scans_equal_the_naive_one(
            record in proptest::collection::vec(prop_oneof![
                4 => Just(b'"'), 4 => Just(b'\\'), 1 => Just(b'{'), 1 => Just(b'['), 1 => Just(b'}'), 1 => Just(b']'),
                1 => Just(0x1F), 6 => any::<u8>(),
            ], 0..400),
        ) {
            all(&record);
        }

        #[test]
        fn each_class_is_exact(block in any::<[u8; 64]>()) {
            let bits = |f: &dyn Fn(u8) -> bool| block.iter().rev().fold(0u64, |m, c| m << 1 | u64::from(f(*c)));
            let words = Words::load(&block);
            prop_assert_eq!(words.equal(block[7]), bits(&|c| c == block[7]));
            prop_assert_eq!(words.control(), bits(&|c| c < 0x20));
            prop_assert_eq!(words.special(), bits(&|c| c < 0x20 || c == b'\\') != 0);
            prop_assert_eq!(words.high(), !block.is_ascii());
            prop_assert_eq!(words.brackets(), (bits(&|c| c == b'{' || c == b'['), bits(&|c| c == b'}' || c == b']')));
        }
    }
}
