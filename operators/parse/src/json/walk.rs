//! Second step: one pass over a record, from quote to quote, guided by the trie. This file knows the grammar;
//! [`super::wanted`] what to do with a value that somebody asked for.
use super::escape;
use super::number::number_end;
use super::scan::{Index, Quotes};
use super::trie::{Hit, MISS, NONE, ROOT, Trie};
use super::vectors::Vectors;
use super::walker::{Visits, Walked};
use super::{JsonError, MAX_DEPTH};
use model::event::tag;

/// Where values go.
pub(super) struct Out<'a> {
    pub tags: &'a mut [u8],
    pub spans: &'a mut [u64],
    pub stride: usize,
    pub row: usize,
    pub side: &'a mut Vec<u8>,
    pub side_base: usize,
    /// Offset of the record.
    pub base: usize,
}

/// The walk over one record. Methods take the position `at` to go on from, and give the one behind what they have read,
/// or `None` and leave the reason in `error`. A position is at most a few bytes behind the record: nothing is read on
/// after a byte that is not the record's own.
pub(super) struct Walk<'a, const STRICT: bool> {
    /// The record and [`model::raw::PAD`] bytes behind it.
    pub text: &'a [u8],
    /// Length of the record.
    pub len: usize,
    pub quotes: Quotes<'a>,
    /// What else the scan found.
    pub index: &'a Index,
    /// Does any string hold an escape?
    pub escapes: bool,
    pub vectors: Vectors,
    pub trie: &'a Trie,
    pub out: Out<'a>,
    pub visits: &'a mut Visits,
    /// The walk is in an object whose members count as those of the record. They do not replace what is there already;
    /// members of the record itself do.
    pub inlined: bool,
    /// See [`super::Walker::doubtful`].
    pub doubtful: &'a mut Vec<u32>,
    /// Number of the first escape that is not behind the walk.
    pub next_escape: usize,
    /// Scratch: a key without its escapes.
    pub key: &'a mut Vec<u8>,
    pub found: Walked,
    /// Why a method gave `None`. Until then what is true of a record that is no object.
    pub error: JsonError,
}

impl<const STRICT: bool> Walk<'_, STRICT> {
    /// The whole record: an object, and white space around it.
    pub fn record(&mut self) -> Option<()> {
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
                b'}' => return Some(at + 1),
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
        for element in 0.. {
            let hit = wanted.next_if(|w| w.0 == element).map_or(MISS, |w| w.1);
            at = self.value(at, next, hit, depth)?;
            match self.step(&mut at, 0) {
                b',' if !STRICT && wanted.peek().is_none() => return self.skip(at),
                b',' => next = self.step(&mut at, 1),
                b']' => return Some(at + 1),
                _ => return self.fail(at, "expected `,` or `]` in an array"),
            }
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
    #[inline(always)]
    fn value(&mut self, at: usize, first: u8, hit: Hit, depth: usize) -> Option<usize> {
        match first {
            b'"' => {
                let end = self.string(at)?;
                if hit != MISS {
                    self.put_string(hit, at + 1, end)?;
                }
                Some(end + 1)
            }
            b'{' | b'[' => self.container(at, first, hit, depth + 1),
            _ => self.scalar(at, first, hit),
        }
    }

    /// An object or array, by its opening bracket `open`. Raw text if it is wanted, and values inside if some are.
    #[inline(never)]
    fn container(&mut self, at: usize, open: u8, hit: Hit, depth: usize) -> Option<usize> {
        if hit.child == ROOT && open == b'{' {
            let outer = std::mem::replace(&mut self.inlined, true);
            let end = self.object(at, ROOT, depth);
            self.inlined = outer;
            return end;
        }
        let child = if self.visit(hit) { hit.child } else { NONE };
        let end = if child != NONE && open == b'{' {
            self.object(at, child, depth)?
        } else if child != NONE && !self.trie.node(child).elements.is_empty() {
            self.array(at, child, depth)?
        } else if STRICT {
            self.read(at, open, depth)?
        } else {
            self.skip(at)?
        };
        if hit.leaf != NONE {
            let kind = if open == b'{' { tag::OBJ } else { tag::ARR };
            self.put(hit.leaf, kind, at, self.out.base + at, self.out.base + end)?;
        }
        Some(end)
    }

    /// A number, `true`, `false` or `null`.
    #[inline(never)]
    fn scalar(&mut self, at: usize, first: u8, hit: Hit) -> Option<usize> {
        self.visit(hit);
        let (kind, end) = self.scalar_end(at, first)?;
        if hit.leaf != NONE {
            self.put(hit.leaf, kind, at, self.out.base + at, self.out.base + end)?;
        }
        Some(end)
    }

    #[inline(always)]
    fn scalar_end(&mut self, at: usize, first: u8) -> Option<(u8, usize)> {
        let is = |from: usize, word: &[u8; 4]| self.text[from..].first_chunk() == Some(word);
        let (kind, end) = match first {
            b't' if is(at, b"true") => (tag::TRUE, at + 4),
            b'f' if is(at + 1, b"alse") => (tag::FALSE, at + 5),
            b'n' if is(at, b"null") => (tag::NULL, at + 4),
            b'-' | b'0'..=b'9' => match number_end(self.text, at) {
                Ok(end) => (tag::NUM, end),
                Err(wrong) => return self.fail(wrong, "not a number"),
            },
            _ => return self.fail(at, "expected a value"),
        };
        // What runs over the end of the record was not all its own.
        if end > self.len { self.fail(end, "") } else { Some((kind, end)) }
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
                first => at = self.scalar(at, first, MISS)?,
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
        match self.vectors.skip(self.text, self.quotes, at) {
            Some(end) if end <= self.len => Some(end),
            _ => self.fail(self.len, "the container does not end"),
        }
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
    pub fn pair(&self, at: usize) -> [u8; 2] {
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

    #[cold]
    #[inline(never)]
    pub fn fail<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
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
