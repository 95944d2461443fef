//! Second step: one pass over a record, from quote to quote, guided by the trie. This file knows the grammar,
//! [`super::container`] what is open, and [`super::wanted`] what to do with a value that somebody asked for.
use super::JsonError;
use super::container::{Here, Stack, end_of, expected};
use super::escape;
use super::number::number_end;
use super::order::{Order, UNKNOWN};
use super::scan::{Index, Quotes};
use super::trie::{Hit, MISS, NONE, Trie};
use super::vectors::Vectors;
use super::walker::{Visits, Walked};
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

/// What a position is the place of.
enum Part {
    /// The opening quote of a key.
    Key,
    /// A value, or white space before it.
    Value,
    /// What is behind a value.
    Sign,
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
    /// The places of the quotes, see [`Index::places`].
    pub places: &'a [u32],
    /// Number of the first quote that is not behind the walk.
    pub quote: usize,
    /// What else the scan found.
    pub index: &'a Index,
    /// Does any string hold an escape?
    pub escapes: bool,
    pub vectors: Vectors,
    pub trie: &'a Trie,
    pub out: Out<'a>,
    pub visits: &'a mut Visits,
    pub order: &'a mut Order,
    pub stack: &'a mut Stack,
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
        let end = self.object(start)?;
        let rest = self.blank(end);
        if rest != self.len {
            return self.fail(rest, "text after the end of the object");
        }
        Some(())
    }

    /// The object of the record, from its `{` on, with all that is in it.
    fn object(&mut self, mut at: usize) -> Option<usize> {
        let mut here = self.begin();
        let mut next = self.step(&mut at, 1);
        if next == b'}' {
            return Some(at + 1);
        }
        'members: loop {
            if next != b'"' {
                return self.fail(at, "expected a key in quotes");
            }
            // What leads to the value that is next, if one is.
            let mut value = match self.expected(&mut at, &mut here)? {
                Part::Key => Some(self.key(&mut at, &mut here)?),
                Part::Value => Some(self.order.key(here.key).hit),
                Part::Sign => None,
            };
            loop {
                if let Some(hit) = value {
                    let first = self.step(&mut at, 0);
                    if first == b'"' {
                        at = self.text(at, hit)?;
                    } else if first != b'{' && first != b'[' {
                        at = self.scalar(at, first, hit)?;
                    } else {
                        let (start, end) = (at, end_of(first));
                        let node = self.enter(hit, first == b'{');
                        if node == NONE {
                            at = self.pass(start, here.depth + 1)?;
                            self.put_container(hit.leaf, end, start, at)?;
                        } else {
                            self.open(&mut here, at, end, node, hit.leaf)?;
                            next = self.step(&mut at, 1);
                            if next != end && first == b'{' {
                                continue 'members;
                            }
                            if next != end {
                                value = Some(self.element(node, 0));
                                continue;
                            }
                        }
                    }
                }
                // Behind a value.
                loop {
                    let sign = self.step(&mut at, 0);
                    if sign == here.end {
                        at += 1;
                    } else if sign != b',' {
                        return self.fail(at, expected(here.end));
                    } else if here.end == b'}' {
                        next = self.step(&mut at, 1);
                        continue 'members;
                    } else if let Some(hit) = self.next_element(&here) {
                        at += 1;
                        value = Some(hit);
                        break;
                    } else {
                        at = self.skip(at)?;
                    }
                    if !self.close(&mut here, at)? {
                        return Some(at);
                    }
                }
            }
        }
    }

    /// Members that are as they were last time, from the opening quote of a key on, as long as there is no white space and
    /// values are strings. `at` and `key` become the first place that is not so, and the last key before it.
    ///
    /// Here time is made or lost. No position follows from another: they are those of the next quotes, so that the
    /// machine can look at several members at once.
    #[inline(always)]
    fn expected(&mut self, at: &mut usize, here: &mut Here) -> Option<Part> {
        loop {
            let (from, mut guess) = (self.place(0) + 1, here.guess);
            let mut known = self.order.key(guess);
            // SAFETY: `PAD` bytes follow the record, in which the quote is, or just behind it.
            if !unsafe { known.is_at(self.text, from) } {
                guess = self.order.second(here.node, here.key);
                known = self.order.key(guess);
                // SAFETY: as above.
                if !unsafe { known.is_at(self.text, from) } {
                    *at = from - 1;
                    return Some(Part::Key);
                }
                self.order.follows(here.key, guess);
                known = self.order.key(guess);
            }
            let (value, end) = (from + known.len as usize, self.place(3));
            if self.place(2) != value {
                // A key that runs over the end of the record is not the record's.
                if value >= self.len {
                    *at = from - 1;
                    return Some(Part::Key);
                }
                (here.key, here.guess) = (guess, known.next);
                self.quote += 2;
                *at = value;
                return Some(Part::Value);
            }
            if end + 1 >= self.len {
                return self.cut_short(value, end);
            }
            (here.key, here.guess) = (guess, known.next);
            let (slot, required, hit) = (known.slot, known.required, known.hit);
            if slot != NONE && !self.escapes && end != value + 1 && self.put_new(slot, value + 1, end) {
                self.found.seen |= required;
            } else if hit != MISS {
                self.put_string(hit, value + 1, end)?;
            }
            self.quote += 4;
            if self.pair(end + 1) != *b",\"" || self.place(0) != end + 2 {
                *at = end + 1;
                return Some(Part::Sign);
            }
        }
    }

    /// Members that nobody wants, from the opening quote of a key on, as long as there is no white space and values are
    /// strings. `at` becomes the place of the first value that is not so, if true, and otherwise that behind the last.
    #[inline(always)]
    pub fn members(&mut self, at: &mut usize) -> Option<bool> {
        loop {
            let (end, open, close) = (self.place(1), self.place(2), self.place(3));
            if open != end + 2 || self.raw(end + 1) != b':' {
                *at = self.string(*at)? + 1;
                return self.colon(at).map(|()| true);
            }
            if close + 1 >= self.len {
                return self.cut_short(open, close);
            }
            self.quote += 4;
            *at = close + 1;
            if self.pair(*at) != *b",\"" || self.place(0) != close + 2 {
                return Some(false);
            }
            *at += 1;
        }
    }

    /// The colon behind a key.
    #[inline(always)]
    fn colon(&mut self, at: &mut usize) -> Option<()> {
        if self.step(at, 0) != b':' {
            return self.fail(*at, "expected `:` after a key");
        }
        *at += 1;
        Some(())
    }

    /// Another key than those that were expected, from its quote on, and the colon behind it. Gives where it leads.
    #[inline(never)]
    fn key(&mut self, at: &mut usize, here: &mut Here) -> Option<Hit> {
        let node = here.node;
        let (from, to) = (*at + 1, self.string(*at)?);
        // SAFETY: `PAD` bytes follow the record, in which the key is.
        let mut key = unsafe { self.order.number(node, self.text, from, to) };
        let mut hit = self.order.key(key).hit;
        if key == UNKNOWN {
            hit = self.find(self.trie.node(node), from, to);
            key = self.order.learn((node, hit), self.trie, &self.text[from..to]);
        }
        self.order.follows(here.key, key);
        (here.key, here.guess) = (key, self.order.key(key).next);
        *at = to + 1;
        self.colon(at)?;
        Some(hit)
    }

    /// The place of the quote that is this many after the next.
    #[inline(always)]
    fn place(&self, after: usize) -> usize {
        debug_assert!(self.quote + after < self.places.len());
        // SAFETY: `quote` passes quotes of the record only, and `AFTER` places follow the last.
        unsafe { *self.places.get_unchecked(self.quote + after) as usize }
    }

    /// A string from its opening quote on; gives the position of its closing quote.
    #[inline(always)]
    pub fn string(&mut self, at: usize) -> Option<usize> {
        debug_assert_eq!(self.place(0), at);
        let end = self.place(1);
        if end + 1 >= self.len {
            return self.cut_short(at, end);
        }
        self.quote += 2;
        Some(end)
    }

    /// A string, from its opening quote on.
    #[inline(always)]
    fn text(&mut self, at: usize, hit: Hit) -> Option<usize> {
        let end = self.string(at)?;
        if hit != MISS {
            self.put_string(hit, at + 1, end)?;
        }
        Some(end + 1)
    }

    /// A number, `true`, `false` or `null`.
    #[inline(always)]
    fn scalar(&mut self, at: usize, first: u8, hit: Hit) -> Option<usize> {
        let (kind, end) = self.scalar_end(at, first)?;
        if hit != MISS {
            self.visit(hit);
            if hit.leaf != NONE {
                self.put(hit.leaf, kind, at, self.out.base + at, self.out.base + end)?;
            }
        }
        Some(end)
    }

    #[inline(always)]
    pub fn scalar_end(&mut self, at: usize, first: u8) -> Option<(u8, usize)> {
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
        // What runs over the end of the record was not all its own, and a bracket comes behind it.
        self.more(end)?;
        Some((kind, end))
    }

    /// To the end of the container whose opening bracket, or a comma of its own, is at `at`.
    pub fn skip(&mut self, at: usize) -> Option<usize> {
        match self.vectors.skip(self.text, self.quotes, at) {
            Some(end) if end < self.len => {
                while self.place(0) < end {
                    self.quote += 1;
                }
                Some(end)
            }
            _ => self.fail(self.len, "the container does not end"),
        }
    }

    /// Moves on by `by` bytes and over white space; gives the byte there. That may be the one behind the record, which has
    /// no quote there: what is done with a string, a number or a bracket finds out.
    #[inline(always)]
    pub fn step(&self, at: &mut usize, by: usize) -> u8 {
        *at += by;
        let next = self.raw(*at);
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
        if at < self.len { self.raw(at) } else { 0 }
    }

    /// A byte of the record, or one of those behind it.
    #[inline(always)]
    pub fn raw(&self, at: usize) -> u8 {
        debug_assert!(at < self.text.len());
        // SAFETY: positions are at most a few bytes behind the record, see the type; `PAD` bytes are there.
        unsafe { *self.text.get_unchecked(at) }
    }

    /// A string that begins at `at` does not end before `end`, where its last quote would be: it has none, or nothing is
    /// behind it.
    #[cold]
    #[inline(never)]
    pub fn cut_short<T>(&mut self, at: usize, end: usize) -> Option<T> {
        self.fail(if end < self.len { self.len } else { at }, "the string does not end")
    }

    /// The record must go on at `at`: what is open has not ended.
    #[inline(always)]
    pub fn more(&mut self, at: usize) -> Option<()> {
        if at >= self.len { self.fail(at, "") } else { Some(()) }
    }

    #[cold]
    #[inline(never)]
    pub fn fail<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
        let what = if at >= self.len { "the record ends too early" } else { what };
        self.error = JsonError::Syntax { at: at.min(self.len), what };
        None
    }
}
