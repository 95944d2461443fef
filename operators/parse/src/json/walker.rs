//! The walker: scratch memory, the choice of vector instructions, and the promises to the caller.
use super::columns::Columns;
use super::container::{Open, Stack};
use super::order::Orders;
use super::scan::{Index, KEPT, Quotes};
use super::trie::Trie;
use super::vectors::Vectors;
use super::walk::{Out, Walk};
use super::{JsonError, valid_utf8};
use model::raw::PAD;

/// What a walk found besides the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Bits [`super::Want::required`] of the paths that are present and not null.
    pub seen: u64,
    /// Wanted paths, or containers that lead to some, that occurred again in the same object. The last one counts.
    pub duplicates: u32,
}

/// Where the strings of a walked record end, for those who read its JSON once more. Positions count from the start of the
/// record.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    quotes: Quotes<'a>,
    len: usize,
    /// Some string of the record holds an escape.
    pub escapes: bool,
}

impl Strings<'_> {
    /// The closing quote of the string whose text begins at `at`.
    #[inline]
    pub fn end(&self, at: usize) -> Option<usize> {
        if at > self.len {
            return None;
        }
        // SAFETY: `at` lies in the record, or just behind it.
        let end = unsafe { self.quotes.next(at) };
        (end < self.len).then_some(end)
    }
}

/// Walks records. Holds scratch memory, so keep one per worker; it may be used with several tries in turn.
#[derive(Clone, Debug)]
pub struct Walker {
    strict: bool,
    vectors: Vectors,
    index: Index,
    /// Length of the record that the index is of.
    len: usize,
    visits: Visits,
    orders: Orders,
    stack: Stack,
    doubtful: Vec<u32>,
    /// A record that had no room behind it.
    copy: Vec<u8>,
    /// A key without its escapes.
    key: Vec<u8>,
}

/// Which trie nodes the current record has entered, so that a second container under the same key is noticed.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    /// Number of the walk that entered a node last. Numbers never repeat, so other tries' entries do no harm.
    pub last: Vec<u64>,
    /// Number of this walk.
    pub walk: u64,
}

impl Walker {
    /// See [`crate::json`] for what strict means.
    pub fn new(strict: bool) -> Walker {
        let vectors = Vectors::of_this_cpu().pop().unwrap_or(Vectors::Portable);
        Walker::with(vectors, strict)
    }

    /// A walker that uses these instructions.
    pub(super) fn with(vectors: Vectors, strict: bool) -> Walker {
        Walker {
            strict,
            vectors,
            index: Index::default(),
            len: 0,
            visits: Visits::default(),
            orders: Orders::default(),
            stack: [Open::default(); _],
            doubtful: Vec::new(),
            copy: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Walk the record `data[start..start + len]` into row `row` of `cols`, whose tags must be absent there. Spans are
    /// offsets into `data`. Unescaped strings are appended to `side`, which will follow `data`'s used bytes at offset
    /// `side_base`.
    ///
    /// `data` has [`PAD`] readable bytes behind its last used one (without them the record is copied first: slow, not
    /// wrong). Panics if `cols` lacks the row or a slot of the trie's wants.
    ///
    /// On failure the row is absent in all of the trie's slots, and `side` is as it was.
    pub fn walk(
        &mut self,
        trie: &Trie,
        data: &[u8],
        start: usize,
        len: usize,
        row: usize,
        cols: &mut Columns,
        side: &mut Vec<u8>,
        side_base: usize,
    ) -> Result<Walked, JsonError> {
        self.walk_as(trie, data, start, len, start, row, cols, side, side_base)
    }

    /// As [`Walker::walk`], for JSON held in a string that is itself in `side`, at `side[at..at + len]`.
    pub fn walk_side(
        &mut self,
        trie: &Trie,
        at: usize,
        len: usize,
        row: usize,
        cols: &mut Columns,
        side: &mut Vec<u8>,
        side_base: usize,
    ) -> Result<Walked, JsonError> {
        let text = self.padded(side.get(at..at + len).unwrap_or_default());
        let walked = self.walk_as(trie, &text, 0, len, side_base + at, row, cols, side, side_base);
        self.copy = text;
        walked
    }

    /// As [`Walker::walk`], with spans that begin at `base`: the record's first byte will be there in the batch buffer,
    /// wherever it is now.
    pub fn walk_as(
        &mut self,
        trie: &Trie,
        data: &[u8],
        start: usize,
        len: usize,
        base: usize,
        row: usize,
        cols: &mut Columns,
        side: &mut Vec<u8>,
        side_base: usize,
    ) -> Result<Walked, JsonError> {
        if base + len > u32::MAX as usize {
            return Err(JsonError::Syntax { at: 0, what: "a buffer is limited to 4 GiB" });
        }
        let Some(text) = data.get(start..start + len + PAD) else {
            return match data.get(start..start + len) {
                Some(record) => {
                    let text = self.padded(record);
                    let walked = self.walk_as(trie, &text, 0, len, base, row, cols, side, side_base);
                    self.copy = text;
                    walked
                }
                None => Err(JsonError::Syntax { at: 0, what: "the record lies outside its buffer" }),
            };
        };
        assert!(cols.holds(trie.slots(), row), "the columns lack a slot or a row");
        self.scan_text(text, len);
        if !self.index.ascii
            && let Err(at) = valid_utf8(&text[..len])
        {
            return Err(JsonError::NotUtf8 { at });
        }
        let before = side.len();
        let Columns { stride, pos, tag } = &mut *cols;
        let out = Out { tags: tag, spans: pos, stride: *stride, row, side: &mut *side, side_base, base };
        let walked = match self.strict {
            true => self.run::<true>(trie, text, len, out),
            false => self.run::<false>(trie, text, len, out),
        };
        if walked.is_err() {
            side.truncate(before);
            for slot in trie.slots() {
                cols.clear(*slot, row);
            }
        }
        walked
    }

    /// Slots of the record that was walked last whose value needs a look: it may be empty, or of a type that
    /// [`Trie::expect`] did not name. Some of them more than once, or without a value by now.
    #[inline]
    pub fn doubtful(&self) -> &[u32] {
        &self.doubtful
    }

    /// The strings of the record that was walked last.
    #[inline]
    pub fn strings(&self) -> Strings<'_> {
        Strings { quotes: self.index.quotes(), len: self.len, escapes: !self.index.escapes.is_empty() }
    }

    /// A padded copy, in memory to be given back to `self.copy`.
    fn padded(&mut self, record: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.copy);
        text.clear();
        text.shrink_to(KEPT);
        text.extend_from_slice(record);
        text.extend_from_slice(&[0; PAD]);
        text
    }

    /// Only the first step, for measurements: whether a string holds an escape.
    #[doc(hidden)]
    pub fn scan_only(&mut self, data: &[u8], start: usize, len: usize) -> bool {
        data.get(start..start + len + PAD).is_some_and(|text| {
            self.scan_text(text, len);
            !self.index.escapes.is_empty()
        })
    }

    #[inline]
    fn scan_text(&mut self, text: &[u8], len: usize) {
        self.len = len;
        self.vectors.scan(text, len, &mut self.index);
    }

    fn run<const STRICT: bool>(
        &mut self,
        trie: &Trie,
        text: &[u8],
        len: usize,
        out: Out<'_>,
    ) -> Result<Walked, JsonError> {
        self.visits.walk += 1;
        self.doubtful.clear();
        if self.visits.last.len() < trie.nodes() {
            self.visits.last.resize(trie.nodes(), 0);
        }
        let mut walk = Walk::<STRICT> {
            text,
            len,
            quotes: self.index.quotes(),
            places: self.index.places(),
            quote: 0,
            index: &self.index,
            escapes: !self.index.escapes.is_empty(),
            vectors: self.vectors,
            trie,
            out,
            visits: &mut self.visits,
            order: self.orders.of(trie),
            stack: &mut self.stack,
            inlined: false,
            doubtful: &mut self.doubtful,
            next_escape: 0,
            key: &mut self.key,
            found: Walked::default(),
            error: JsonError::NotAnObject,
        };
        let walked = match walk.record() {
            Some(()) => Ok(walk.found),
            None => Err(walk.error),
        };
        self.key.clear();
        self.key.shrink_to(KEPT);
        walked
    }
}
