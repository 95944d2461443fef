//! Second step: one pass over a record, from quote to quote, guided by the trie.
use super::columns::Columns;
use super::escape;
use super::number::number_end;
use super::scan::{self, Index, Quotes, Words};
use super::skip;
use super::trie::{Hit, Leaf, MISS, NONE, Node, ROOT, Trie};
use super::{JsonError, MAX_DEPTH};
use model::event::tag;
use model::raw::PAD;

/// What a walk found besides the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Bits [`super::Want::required`] of the paths that are present and not null.
    pub seen: u64,
    /// Wanted paths, or containers that lead to some, that occurred again in the same object. The last one counts.
    pub duplicates: u32,
}

/// Walks records. Holds scratch memory, so keep one per worker; it may be used with several tries in turn.
#[derive(Clone, Debug)]
pub struct Walker {
    strict: bool,
    vector: bool,
    index: Index,
    visits: Visits,
    /// A record that had no room behind it.
    copy: Vec<u8>,
    /// A key without its escapes.
    key: Vec<u8>,
}

/// Which trie nodes the current record has entered, so that a second container under the same key is noticed.
#[derive(Clone, Debug, Default)]
struct Visits {
    /// Number of the walk that entered a node last. Numbers never repeat, so other tries' entries do no harm.
    last: Vec<u64>,
    walk: u64,
}

impl Walker {
    /// See [`super`] for what strict means.
    pub fn new(strict: bool) -> Walker {
        #[cfg(target_arch = "x86_64")]
        let vector = super::avx2::available();
        #[cfg(not(target_arch = "x86_64"))]
        let vector = false;
        Walker { vector, ..Walker::portable(strict) }
    }

    /// A walker that uses no vector instructions.
    pub(super) fn portable(strict: bool) -> Walker {
        let (index, visits) = (Index::default(), Visits::default());
        Walker { strict, vector: false, index, visits, copy: Vec::new(), key: Vec::new() }
    }

    /// Walk the record `data[start..start + len]` into row `row` of `cols`, whose tags must be absent there. Spans are
    /// offsets into `data`. Unescaped strings are appended to `side`, which will follow `data`'s used bytes at offset
    /// `side_base`.
    ///
    /// `data` is valid UTF-8 and has [`PAD`] readable bytes behind its last used one (without them the record is
    /// copied first: slow, not wrong). Panics if `cols` lacks the row or a slot of the trie's wants.
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
        let mut text = std::mem::take(&mut self.copy);
        text.clear();
        text.extend_from_slice(side.get(at..at + len).unwrap_or_default());
        text.extend_from_slice(&[0; PAD]);
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
                    let mut text = std::mem::take(&mut self.copy);
                    text.clear();
                    text.extend_from_slice(record);
                    text.extend_from_slice(&[0; PAD]);
                    let walked = self.walk_as(trie, &text, 0, len, base, row, cols, side, side_base);
                    self.copy = text;
                    walked
                }
                None => Err(JsonError::Syntax { at: 0, what: "the record lies outside its buffer" }),
            };
        };
        assert!(cols.holds(trie.slots(), row), "the columns lack a slot or a row");
        self.scan_text(text, len);
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
        #[cfg(target_arch = "x86_64")]
        if self.vector {
            // SAFETY: `vector` is only set if `avx2::available` said so.
            return unsafe { super::avx2::scan(text, len, &mut self.index) };
        }
        scan::scan::<Words>(text, len, &mut self.index);
    }

    fn run<const STRICT: bool>(
        &mut self,
        trie: &Trie,
        text: &[u8],
        len: usize,
        out: Out<'_>,
    ) -> Result<Walked, JsonError> {
        self.visits.walk += 1;
        if self.visits.last.len() < trie.nodes() {
            self.visits.last.resize(trie.nodes(), 0);
        }
        let mut walk = Walk::<STRICT> {
            text,
            len,
            quotes: self.index.quotes(),
            index: &self.index,
            escapes: !self.index.escapes.is_empty(),
            vector: self.vector,
            trie,
            out,
            visits: &mut self.visits,
            key: &mut self.key,
            found: Walked::default(),
            error: JsonError::NotAnObject,
        };
        match walk.record() {
            Some(()) => Ok(walk.found),
            None => Err(walk.error),
        }
    }
}

/// Where values go.
struct Out<'a> {
    tags: &'a mut [u8],
    spans: &'a mut [u64],
    stride: usize,
    row: usize,
    side: &'a mut Vec<u8>,
    side_base: usize,
    /// Offset of the record.
    base: usize,
}

/// The walk over one record. Methods take the position `at` to go on from, and give the one behind what they have read,
/// or `None` and leave the reason in `error`. A position is at most a few bytes behind the record: nothing is read on
/// after a byte that is not the record's own.
struct Walk<'a, const STRICT: bool> {
    /// The record and [`PAD`] bytes behind it.
    text: &'a [u8],
    /// Length of the record.
    len: usize,
    quotes: Quotes<'a>,
    index: &'a Index,
    /// Does any string hold an escape?
    escapes: bool,
    vector: bool,
    trie: &'a Trie,
    out: Out<'a>,
    visits: &'a mut Visits,
    key: &'a mut Vec<u8>,
    found: Walked,
    error: JsonError,
}

impl<const STRICT: bool> Walk<'_, STRICT> {
    fn record(&mut self) -> Option<()> {
        if STRICT {
            if let Some(at) = self.index.control {
                return self.fail(at as usize, "control character in a string");
            }
            if let Err((at, what)) = escape::check(&self.text[..self.len], &self.index.escapes) {
                return self.fail(at, what);
            }
        }
        let start = self.blank(0);
        if self.byte(start) != b'{' {
            return None;
        }
        let end = self.object(start, ROOT, 1)?;
        let rest = self.blank(end);
        if rest != self.len {
            return self.fail(rest, "text after the end of the object");
        }
        Some(())
    }

    /// An object with wanted members, from its `{` on.
    fn object(&mut self, mut at: usize, node: u32, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return self.too_deep();
        }
        let node = self.trie.node(node);
        let mut next = self.step(&mut at, 1);
        if next == b'}' {
            return Some(at + 1);
        }
        loop {
            if next != b'"' {
                return self.fail(at, "expected a key in quotes");
            }
            let end = self.string(at)?;
            let hit = self.find(node, at + 1, end);
            at = end + 1;
            // Most members of log events are strings, without any white space: those take the short way.
            if self.pair(at) == *b":\"" {
                let end = self.string(at + 1)?;
                if hit != MISS {
                    self.put_string(hit, at + 2, end)?;
                }
                at = end + 1;
            } else {
                let first = self.colon(&mut at)?;
                at = self.value(at, first, hit, depth)?;
            }
            if self.pair(at) == *b",\"" {
                at += 1;
                next = b'"';
                continue;
            }
            next = self.step(&mut at, 0);
            match next {
                b',' => next = self.step(&mut at, 1),
                b'}' => {
                    return Some(at + 1);
                }
                _ => return self.fail(at, "expected `,` or `}` in an object"),
            }
        }
    }

    /// An array with wanted elements, from its `[` on.
    fn array(&mut self, mut at: usize, node: u32, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return self.too_deep();
        }
        let mut wanted = self.trie.node(node).elements.iter().copied().peekable();
        let mut next = self.step(&mut at, 1);
        if next == b']' {
            return Some(at + 1);
        }
        for element in 0u32.. {
            let hit = wanted.next_if(|w| w.0 == element).map_or(MISS, |w| w.1);
            at = self.value(at, next, hit, depth)?;
            match self.step(&mut at, 0) {
                b',' if !STRICT && wanted.peek().is_none() => return self.skip(at),
                b',' => next = self.step(&mut at, 1),
                b']' => {
                    return Some(at + 1);
                }
                _ => return self.fail(at, "expected `,` or `]` in an array"),
            };
        }
        None
    }

    /// The colon behind a key; leaves `at` at the value and gives its first byte.
    #[inline(always)]
    fn colon(&mut self, at: &mut usize) -> Option<u8> {
        if self.step(at, 0) != b':' {
            return self.fail(*at, "expected `:` after a key");
        }
        Some(self.step(at, 1))
    }

    /// A key that nobody wants, and its colon; `next` is the byte at `at`. Gives the first byte of the value.
    #[inline(always)]
    fn key(&mut self, at: &mut usize, next: u8) -> Option<u8> {
        if next != b'"' {
            return self.fail(*at, "expected a key in quotes");
        }
        *at = self.string(*at)? + 1;
        if self.pair(*at) == *b":\"" {
            *at += 1;
            return Some(b'"');
        }
        self.colon(at)
    }

    /// A string from its opening quote on; gives the position of its closing quote.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<usize> {
        // SAFETY: `at` is at most a few bytes behind the record, see the type.
        let end = unsafe { self.quotes.next(at + 1) };
        if end >= self.len {
            return self.fail(at, "the string does not end");
        }
        Some(end)
    }

    /// Any value, wanted or not, of which `first` is the first byte.
    fn value(&mut self, mut at: usize, first: u8, hit: Hit, depth: usize) -> Option<usize> {
        let from = at;
        let kind = match first {
            b'"' => {
                let end = self.string(at)?;
                if hit != MISS {
                    self.put_string(hit, from + 1, end)?;
                }
                return Some(end + 1);
            }
            open @ (b'{' | b'[') => {
                self.visit(hit);
                at = self.container(at, open, hit.child, depth + 1)?;
                if open == b'{' { tag::OBJ } else { tag::ARR }
            }
            first => {
                self.visit(hit);
                self.scalar(&mut at, first)?
            }
        };
        if hit.leaf != NONE {
            let base = self.out.base;
            self.put(hit.leaf, kind, from, base + from, base + at)?;
        }
        Some(at)
    }

    fn container(&mut self, at: usize, open: u8, child: u32, depth: usize) -> Option<usize> {
        if child != NONE {
            if open == b'{' {
                return self.object(at, child, depth);
            }
            if !self.trie.node(child).elements.is_empty() {
                return self.array(at, child, depth);
            }
        }
        if STRICT { self.read(at, open, depth) } else { self.skip(at) }
    }

    /// A container without wanted values, read to the letter, from its opening bracket on.
    fn read(&mut self, mut at: usize, mut next: u8, depth: usize) -> Option<usize> {
        // Kinds of the open containers, innermost in the lowest bit; 1 is an object.
        let mut kinds = 0u128;
        let mut open = 0;
        loop {
            // `next` begins a value.
            match next {
                b'"' => at = self.string(at)? + 1,
                b'{' | b'[' => {
                    if depth + open > MAX_DEPTH {
                        return self.too_deep();
                    }
                    let object = next == b'{';
                    let inner = self.step(&mut at, 1);
                    if inner == if object { b'}' } else { b']' } {
                        at += 1;
                    } else {
                        kinds = kinds << 1 | u128::from(object);
                        open += 1;
                        next = inner;
                        if object {
                            next = self.key(&mut at, inner)?;
                        }
                        continue;
                    }
                }
                first => {
                    self.scalar(&mut at, first)?;
                }
            }
            // Behind a value.
            loop {
                if open == 0 {
                    return Some(at);
                }
                let object = kinds & 1 == 1;
                let sign = self.step(&mut at, 0);
                if sign == b',' {
                    next = self.step(&mut at, 1);
                    if object {
                        next = self.key(&mut at, next)?;
                    }
                    break;
                }
                if sign != if object { b'}' } else { b']' } {
                    return self.fail(at, "expected `,` or the end of the container");
                }
                at += 1;
                kinds >>= 1;
                open -= 1;
            }
        }
    }

    /// To the end of the container whose opening bracket, or a comma of its own, is at `at`.
    fn skip(&mut self, at: usize) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        let end = if self.vector {
            // SAFETY: `vector` is only set if `avx2::available` said so.
            unsafe { super::avx2::skip(self.text, self.quotes, at) }
        } else {
            skip::skip::<Words>(self.text, self.quotes, at)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let end = skip::skip::<Words>(self.text, self.quotes, at);
        match end {
            Some(end) if end <= self.len => Some(end),
            _ => self.fail(self.len, "the container does not end"),
        }
    }

    /// A number, `true`, `false` or `null`.
    #[inline(always)]
    fn scalar(&mut self, at: &mut usize, first: u8) -> Option<u8> {
        let rest = self.text.get(*at..self.len).unwrap_or_default();
        let (kind, len) = match first {
            b't' if rest.starts_with(b"true") => (tag::TRUE, 4),
            b'f' if rest.starts_with(b"false") => (tag::FALSE, 5),
            b'n' if rest.starts_with(b"null") => (tag::NULL, 4),
            b'-' | b'0'..=b'9' => match number_end(self.text, *at) {
                Ok(end) if end < self.len => (tag::NUM, end - *at),
                Ok(_) => return self.fail(self.len, ""),
                Err(wrong) => return self.fail(wrong, "not a number"),
            },
            _ => return self.fail(*at, "expected a value"),
        };
        *at += len;
        Some(kind)
    }

    /// Moves on by `by` bytes and over white space; gives the byte there.
    #[inline(always)]
    fn step(&self, at: &mut usize, by: usize) -> u8 {
        *at += by;
        let next = self.byte(*at);
        if next > b' ' {
            return next;
        }
        *at = self.blank(*at);
        self.byte(*at)
    }

    /// Position of the next byte that is no white space, at most the end of the record.
    #[inline(never)]
    fn blank(&self, mut at: usize) -> usize {
        while at < self.len && matches!(self.text[at], b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        at
    }

    /// Two bytes, which may lie behind the record. A quote among them is checked by [`Walk::string`]: it knows those in
    /// the record only.
    #[inline(always)]
    fn pair(&self, at: usize) -> [u8; 2] {
        debug_assert!(at + 2 <= self.text.len());
        // SAFETY: positions are at most a few bytes behind the record, see the type; `PAD` bytes are there.
        unsafe { *self.text.as_ptr().add(at).cast::<[u8; 2]>() }
    }

    /// A byte of the record; zero, which no grammar rule takes, from its end on.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        // SAFETY: the record is shorter than `text`.
        if at < self.len { unsafe { *self.text.get_unchecked(at) } } else { 0 }
    }

    /// `from..to` is what [`Walk::string`] made of a key.
    #[inline(always)]
    fn find(&mut self, node: &Node, from: usize, to: usize) -> Hit {
        if self.escapes {
            return self.find_escaped(node, from, to);
        }
        // SAFETY: `string` gives ends that are not before its start and lie in the record, which `PAD` bytes follow.
        unsafe { self.trie.find(node, self.text, from, to) }
    }

    /// As [`Walk::find`], in a record with escapes.
    #[inline(never)]
    fn find_escaped(&mut self, node: &Node, from: usize, to: usize) -> Hit {
        if !escape::has_backslash(self.text, from, to) {
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
    /// longer counts.
    #[inline(always)]
    fn visit(&mut self, hit: Hit) {
        if hit.child == NONE {
            return;
        }
        let last = &mut self.visits.last[hit.child as usize];
        if *last == self.visits.walk {
            self.forget(hit);
        } else {
            *last = self.visits.walk;
        }
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
    fn put_string(&mut self, hit: Hit, from: usize, to: usize) -> Option<()> {
        self.visit(hit);
        if hit.leaf == NONE {
            return Some(());
        }
        if self.escapes && memchr::memchr(b'\\', &self.text[from..to]).is_some() {
            return self.put_escaped(hit.leaf, from, to);
        }
        let base = self.out.base;
        self.put(hit.leaf, tag::STR, from - 1, base + from, base + to)
    }

    #[cold]
    fn put_escaped(&mut self, leaf: u32, from: usize, to: usize) -> Option<()> {
        let start = self.out.side.len();
        if let Err((at, what)) = escape::unescape(&self.text[from..to], !STRICT, self.out.side) {
            return self.fail(from + at, what);
        }
        let (start, end) = (self.out.side_base + start, self.out.side_base + self.out.side.len());
        if end > u32::MAX as usize {
            return self.fail(from, "a buffer is limited to 4 GiB");
        }
        self.put(leaf, tag::STR, from - 1, start, end)
    }

    /// A wanted value that begins at `at` of the record and lies at `from..to` of the batch buffer.
    #[inline(always)]
    fn put(&mut self, first: u32, kind: u8, at: usize, from: usize, to: usize) -> Option<()> {
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

    /// Gives true if there was a value already.
    #[inline(always)]
    fn put_leaf(&mut self, leaf: Leaf, kind: u8, at: usize, from: usize, to: usize) -> Option<bool> {
        if leaf.forbidden >> kind & 1 != 0 {
            self.error = JsonError::WrongType { slot: leaf.slot, at };
            return None;
        }
        let place = leaf.slot as usize * self.out.stride + self.out.row;
        debug_assert!(place < self.out.tags.len() && place < self.out.spans.len());
        // SAFETY: before the walk, `Columns::holds` has said yes to every slot of the trie in this row.
        let (tag, span) = unsafe { (self.out.tags.get_unchecked_mut(place), self.out.spans.get_unchecked_mut(place)) };
        let again = *tag != tag::ABSENT;
        *tag = kind;
        *span = from as u64 | ((to - from) as u64) << 32;
        let present = if kind == tag::NULL { 0 } else { leaf.required };
        self.found.seen = self.found.seen & !leaf.required | present;
        Some(again)
    }

    #[cold]
    #[inline(never)]
    fn fail<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
        let what = if at >= self.len { "the record ends too early" } else { what };
        self.error = JsonError::Syntax { at: at.min(self.len), what };
        None
    }

    #[cold]
    fn too_deep<T>(&mut self) -> Option<T> {
        self.error = JsonError::TooDeep;
        None
    }
}
