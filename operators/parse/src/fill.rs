//! The fast path: one record into one row of span columns, by a [`Plan`].
//!
//! No tree, no allocation per row for plain JSON: the walker writes spans, then only what the plan lists is touched
//! again: required fields, transformations, types, times, filters, indicator columns. Whatever fails leaves the row
//! as it was before.
use crate::aws;
use crate::decode::{convert_flat, convert_tagged, miss};
use crate::event::{BatchFacts, apply, batch_field};
use crate::flat::{FlatMap, FlatValue};
use crate::found::Found;
use crate::input::{raw_get, value, view};
use crate::json::{Columns, Strings, Walker};
use crate::miss::Miss;
use crate::plan::{NO_CHECK, Plan, Step, TypeCheck};
use crate::schema::Scan;
use crate::text::{Parser, TextStream};
use crate::typed::{Typed, check, is_empty_container};
use model::event::{Value, tag};
use model::path::Seg;
use model::time::{SameMinute, TimeFormat, text_ns};
use serde_json::Value as J;
use std::ops::Range;

/// Most bytes of computed values of one batch. Spans are 32 bits wide; this leaves them room.
pub const MAX_SIDE: usize = 1 << 30;

/// The bytes spans point into: the batch's, and behind them what is computed.
pub struct Buf<'a> {
    /// The batch's buffer.
    pub data: &'a [u8],
    /// Offset at which the computed bytes will be: the number of used bytes in `data`.
    pub base: usize,
    /// Computed bytes.
    pub side: Vec<u8>,
}

impl Buf<'_> {
    #[inline]
    fn text(&self, pos: u64) -> &str {
        let (o, n) = (pos as u32 as usize, (pos >> 32) as usize);
        let bytes = match o < self.base {
            true => &self.data[o..o + n],
            false => &self.side[o - self.base..o - self.base + n],
        };
        debug_assert!(std::str::from_utf8(bytes).is_ok());
        // SAFETY: spans lie in records that were checked to be UTF-8, cut at ASCII bytes by the walker and at
        // character boundaries by everything else; side bytes are written from `str`s.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }

    /// Append a computed text.
    fn push(&mut self, text: &str) -> u64 {
        let at = self.base + self.side.len();
        self.side.extend_from_slice(text.as_bytes());
        span(at, text.len())
    }

    /// Append a JSON array of strings.
    fn push_list<'s>(&mut self, values: &mut dyn Iterator<Item = &'s str>) -> u64 {
        let from = self.side.len();
        for v in values {
            self.side.push(if self.side.len() == from { b'[' } else { b',' });
            // Every byte is looked at, so that many are at once.
            let plain = v.bytes().fold(true, |plain, b| plain & (b >= b' ') & (b != b'"') & (b != b'\\'));
            match plain {
                true => {
                    self.side.push(b'"');
                    self.side.extend_from_slice(v.as_bytes());
                    self.side.push(b'"');
                }
                false => self.side.extend_from_slice(J::from(v).to_string().as_bytes()),
            }
        }
        self.side.push(b']');
        span(self.base + from, self.side.len() - from)
    }

    /// Append a JSON value: strings bare, containers as JSON text.
    fn push_json(&mut self, v: &J) -> (u8, u64) {
        match v {
            J::Null => (tag::NULL, 0),
            J::Bool(false) => (tag::FALSE, 0),
            J::Bool(true) => (tag::TRUE, 0),
            J::String(s) => (tag::STR, self.push(s)),
            J::Number(n) => (tag::NUM, self.push(&n.to_string())),
            J::Array(_) => (tag::ARR, self.push(&v.to_string())),
            J::Object(_) => (tag::OBJ, self.push(&v.to_string())),
        }
    }
}

fn span(at: usize, len: usize) -> u64 {
    at as u64 | (len as u64) << 32
}

/// Where the rows of one log type gather during one batch.
pub struct Rows {
    /// The columns, hidden slots included.
    pub cols: Columns,
    /// `p_event_time` of every row.
    pub event_time: Vec<i64>,
}

/// Result of one record.
pub enum Filled {
    /// A row, with the number of duplicate keys seen.
    Row(u32),
    /// Dropped by a filter.
    Filtered,
    /// A header or comment line.
    Skipped,
}

/// What the filling of rows keeps from one record to the next. One per log type and worker.
#[derive(Default)]
pub struct Scratch {
    flat: FlatMap,
    /// Key number of each flat field of the last line: lines of a format mostly have the same fields.
    memo: Vec<u32>,
    text: Vec<u8>,
    found: Found,
    minute: SameMinute,
}

/// The state of one log type on one stream.
pub struct Filler {
    stream: Option<TextStream>,
    scratch: Scratch,
}

/// One record for [`Filler::fill`].
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// First byte, trimmed, in the buffer.
    pub start: usize,
    /// Length, trimmed.
    pub len: usize,
    /// Row to fill.
    pub row: usize,
    /// First line of the stream.
    pub header: Option<&'a str>,
    /// Event time if the fields tell none, nanoseconds since 1970.
    pub time_ns: i64,
}

impl Filler {
    /// State for a stream of the plan's log type.
    pub fn new(plan: &Plan) -> Filler {
        Filler { stream: new_stream(plan), scratch: Scratch::default() }
    }

    /// A new stream starts.
    pub fn reset(&mut self, plan: &Plan) {
        self.stream = new_stream(plan);
    }

    /// A new batch starts.
    pub fn clock(&mut self, now_ms: i64) {
        if let Some(s) = &mut self.stream {
            s.clock(now_ms);
        }
    }

    /// Fill a row. On `Err`, and where there is no row, its columns are absent and the side bytes as they were.
    #[inline]
    pub fn fill(
        &mut self,
        plan: &Plan,
        walker: &mut Walker,
        buf: &mut Buf<'_>,
        rows: &mut Rows,
        at: Place<'_>,
    ) -> Result<Filled, Miss> {
        let mark = buf.side.len();
        let out = self.try_fill(plan, walker, buf, rows, at);
        if !matches!(out, Ok(Filled::Row(_))) {
            buf.side.truncate(mark);
            for slot in 0..plan.slots {
                rows.cols.clear(slot as u32, at.row);
            }
        }
        out
    }

    fn try_fill(
        &mut self,
        plan: &Plan,
        walker: &mut Walker,
        buf: &mut Buf<'_>,
        rows: &mut Rows,
        at: Place<'_>,
    ) -> Result<Filled, Miss> {
        let mut duplicates = 0;
        let mut row = Row { plan, buf, cols: &mut rows.cols, row: at.row };
        match &mut self.stream {
            None => {
                let (data, base) = (row.buf.data, row.buf.base);
                let side = &mut row.buf.side;
                let walked = walker
                    .walk(&plan.trie, data, at.start, at.len, at.row, row.cols, side, base)
                    .map_err(Miss::Json)?;
                duplicates = walked.duplicates;
                if walked.seen & plan.required_bits != plan.required_bits {
                    let bit = (plan.required_bits & !walked.seen).trailing_zeros() as usize;
                    return Err(Miss::Missing(plan.required_names[bit].clone()));
                }
            }
            Some(stream) => {
                let line = row.buf.text(span(at.start, at.len));
                match stream.parse(line, at.header, &mut self.scratch.flat).map_err(Miss::Text)? {
                    None => return Ok(Filled::Skipped),
                    Some(()) => row.flat(&mut self.scratch, at.start),
                }
            }
        }
        row.required()?;
        row.steps(&mut self.scratch.text)?;
        row.types(self.stream.is_none().then(|| walker.doubtful()))?;
        let time = row.time(&mut self.scratch.minute)?.unwrap_or(at.time_ns);
        if !plan.filters.is_empty() && plan.filters.drops(&|slot| row.value(slot)) {
            return Ok(Filled::Filtered);
        }
        let record = self.stream.is_none().then(|| (walker.strings(), at.start..at.start + at.len));
        row.anys(&mut self.scratch.found, record);
        if row.buf.side.len() > MAX_SIDE {
            return Err(Miss::TooLarge);
        }
        rows.event_time.push(time);
        Ok(Filled::Row(duplicates))
    }
}

fn new_stream(plan: &Plan) -> Option<TextStream> {
    match &plan.schema.parser {
        Parser::Json => None,
        Parser::Text(p) => Some(p.stream()),
    }
}

/// One row being filled.
struct Row<'r, 'd> {
    plan: &'r Plan,
    buf: &'r mut Buf<'d>,
    cols: &'r mut Columns,
    row: usize,
}

impl Row<'_, '_> {
    #[inline]
    fn at(&self, slot: u32) -> usize {
        slot as usize * self.cols.stride + self.row
    }
    #[inline]
    fn tag(&self, slot: u32) -> u8 {
        self.cols.tag[self.at(slot)]
    }
    #[inline]
    fn value(&self, slot: u32) -> Value<'_> {
        let i = self.at(slot);
        match self.cols.tag[i] {
            t @ (tag::STR | tag::NUM | tag::OBJ | tag::ARR) => value(t, self.buf.text(self.cols.pos[i])),
            t => value(t, ""),
        }
    }
    #[inline]
    fn set(&mut self, slot: u32, tag: u8, pos: u64) {
        let i = self.at(slot);
        self.cols.tag[i] = tag;
        self.cols.pos[i] = pos;
    }

    fn is_null(&self, slot: u32) -> bool {
        matches!(self.tag(slot), tag::ABSENT | tag::NULL)
    }

    fn required(&self) -> Result<(), Miss> {
        for (slot, name) in &self.plan.required_slots {
            if self.is_null(*slot) {
                return Err(Miss::Missing(name.clone()));
            }
        }
        for (object, slot, name) in &self.plan.required_below {
            if self.tag(*object) == tag::OBJ && self.is_null(*slot) {
                return Err(Miss::Missing(name.clone()));
            }
        }
        Ok(())
    }

    fn steps(&mut self, scratch: &mut Vec<u8>) -> Result<(), Miss> {
        for step in &self.plan.steps {
            match step {
                Step::Concat { from, separator, to } => self.concat(from, separator, *to, scratch),
                Step::Split { from, separator, index, to } => self.split(*from, separator, *index, *to),
                Step::Mask { from, mask, to } => match self.tag(*from) {
                    tag::STR | tag::NUM | tag::TRUE | tag::FALSE => {
                        let text = mask.text(self.value(*from).text());
                        let pos = self.buf.push(&text);
                        self.set(*to, tag::STR, pos);
                    }
                    t => self.set(*to, t, self.cols.pos[self.at(*from)]),
                },
                Step::Rebuild { from, field, to, below } => self.rebuild(*from, *field, *to, below)?,
            }
        }
        for (slot, name) in &self.plan.required_made {
            if self.is_null(*slot) {
                return Err(Miss::Missing(name.clone()));
            }
        }
        Ok(())
    }

    fn concat(&mut self, from: &[u32], separator: &str, to: u32, scratch: &mut Vec<u8>) {
        scratch.clear();
        for slot in from {
            let text = self.value(*slot).text();
            if !text.is_empty() {
                if !scratch.is_empty() {
                    scratch.extend_from_slice(separator.as_bytes());
                }
                scratch.extend_from_slice(text.as_bytes());
            }
        }
        if !scratch.is_empty() {
            let at = self.buf.base + self.buf.side.len();
            self.buf.side.extend_from_slice(scratch);
            self.set(to, tag::STR, span(at, scratch.len()));
        }
    }

    fn split(&mut self, from: u32, separator: &str, index: i64, to: u32) {
        let text = self.value(from).text();
        let Some(part) = crate::decode::split_part(text, separator, index) else { return };
        // A boolean has no bytes in the buffer; anything else does, and its part is a part of them.
        match self.tag(from) {
            tag::TRUE | tag::FALSE => {
                let part = part.to_string();
                let pos = self.buf.push(&part);
                self.set(to, tag::STR, pos);
            }
            _ => {
                let offset = part.as_ptr() as usize - text.as_ptr() as usize;
                let len = part.len();
                let whole = self.cols.pos[self.at(from)] as u32 as usize;
                self.set(to, tag::STR, span(whole + offset, len));
            }
        }
    }

    fn rebuild(&mut self, from: u32, field: usize, to: u32, below: &[(Vec<Seg>, u32)]) -> Result<(), Miss> {
        let f = &self.plan.schema.fields[field];
        if self.is_null(from) {
            return Ok(());
        }
        let (t, text) = (self.tag(from), self.value(from).text());
        let built = match self.plan.schema.parser {
            Parser::Json => convert_tagged(&f.spec, t, text, &f.name)?,
            Parser::Text(_) => convert_flat(&f.spec, t, text, &f.name)?,
        };
        let Some(built) = built else { return Ok(()) };
        let (t, pos) = self.buf.push_json(&built);
        self.set(to, t, pos);
        for (path, slot) in below {
            if let Some(v) = model::json::get(&built, path) {
                let (t, pos) = self.buf.push_json(v);
                self.set(*slot, t, pos);
            }
        }
        Ok(())
    }

    /// Hold values against their types: those of a walk that need a look, and those that were made; without a walk all.
    fn types(&mut self, doubtful: Option<&[u32]>) -> Result<(), Miss> {
        let plan = self.plan;
        let Some(doubtful) = doubtful else { return plan.checks.iter().try_for_each(|c| self.check(c)) };
        let of = doubtful.iter().map(|slot| plan.check_of[*slot as usize]).filter(|n| *n != NO_CHECK);
        of.chain(plan.late_checks.iter().copied()).try_for_each(|n| self.check(&plan.checks[n as usize]))
    }

    #[inline(always)]
    fn check(&mut self, c: &TypeCheck) -> Result<(), Miss> {
        let i = self.at(c.slot);
        let t = self.cols.tag[i];
        if t == tag::ABSENT {
            return Ok(());
        }
        if c.easy & 1 << t == 0 {
            return self.hold(c, t);
        }
        let empty = match t {
            tag::STR => self.cols.pos[i] >> 32 == 0,
            tag::OBJ | tag::ARR => is_empty_container(self.buf.text(self.cols.pos[i])),
            _ => false,
        };
        if empty {
            self.cols.tag[i] = tag::ABSENT;
        }
        Ok(())
    }

    #[inline(never)]
    fn hold(&mut self, c: &TypeCheck, t: u8) -> Result<(), Miss> {
        let i = self.at(c.slot);
        match check(&c.spec, self.value(c.slot)) {
            Ok(Typed::Same(t)) => self.cols.tag[i] = t,
            Ok(Typed::Absent) => self.cols.tag[i] = tag::ABSENT,
            Ok(Typed::Number(n)) => {
                let pos = self.buf.push(&n);
                self.set(c.slot, tag::NUM, pos);
            }
            Ok(Typed::Text(s)) => {
                let pos = self.buf.push(s);
                self.set(c.slot, tag::STR, pos);
            }
            Err(fault) if c.strict => return Err(miss(&c.spec, fault, t, &c.name)),
            // Kept as it is, unless that is nothing.
            Err(_) => {
                if let Value::Arr(raw) | Value::Obj(raw) = self.value(c.slot)
                    && is_empty_container(raw)
                {
                    self.cols.tag[i] = tag::ABSENT;
                }
            }
        }
        Ok(())
    }

    /// The event time: the first candidate that has a value.
    fn time(&mut self, minute: &mut SameMinute) -> Result<Option<i64>, Miss> {
        let mut first = None;
        for c in &self.plan.times {
            let ns = match self.value(c.slot) {
                Value::Str("") | Value::Null => {
                    let i = self.at(c.slot);
                    self.cols.tag[i] = tag::ABSENT;
                    continue;
                }
                Value::Absent => continue,
                Value::Str(s) if matches!(c.format, TimeFormat::Rfc3339) => minute.rfc3339_ns(s),
                Value::Str(s) | Value::Num(s) => c.format.parse(s),
                _ if c.strict => {
                    let (want, got) = ("timestamp", crate::miss::tag_name(self.tag(c.slot)));
                    return Err(Miss::WrongType { field: c.name.clone(), want, got });
                }
                _ => None,
            };
            match ns {
                Some(ns) => first = first.or(Some(ns)),
                None if c.strict => return Err(Miss::BadTime(c.name.clone())),
                None => {}
            }
        }
        Ok(first)
    }

    /// Gather the indicators. `record`: the strings of the record as the walker found them, and its place.
    fn anys(&mut self, found: &mut Found, record: Option<(Strings<'_>, Range<usize>)>) {
        if self.plan.any_fields == 0 {
            return;
        }
        found.restart(self.plan.any_fields);
        for (slot, below, scan) in &self.plan.any_sources {
            match (self.value(*slot), scan) {
                (Value::Absent | Value::Null, _) => {}
                (Value::Str(s), Scan::With(list)) if below.0.is_empty() => {
                    list.iter().for_each(|scanner| found.scan(*scanner, s));
                }
                (Value::Obj(raw) | Value::Arr(raw), Scan::Aws) if below.0.is_empty() => {
                    // What a transformation made lies behind the records.
                    let from = self.cols.pos[self.at(*slot)] as u32 as usize;
                    let within = record.as_ref().filter(|(_, place)| place.contains(&from));
                    aws::search_text(raw, within.map(|(strings, place)| (*strings, from - place.start)), found);
                }
                (v, _) => {
                    let v = v.to_json();
                    model::json::get_all(&v, below).into_iter().for_each(|v| apply(scan, v, found));
                }
            }
        }
        found.each(|any, values| {
            let Some((_, slot)) = self.plan.anys.iter().find(|(a, _)| *a == any) else { return };
            let pos = self.buf.push_list(values);
            self.set(*slot, tag::ARR, pos);
        });
    }

    /// Write what a text parser found into the slots that read it.
    fn flat(&mut self, scratch: &mut Scratch, start: usize) {
        let (plan, flat) = (self.plan, &scratch.flat);
        scratch.memo.resize(flat.len(), u32::MAX);
        for i in 0..flat.len() {
            let name = flat.name(i);
            let known = plan.keys.targets.get(scratch.memo[i] as usize).is_some_and(|(k, _)| **k == *name);
            if !known {
                scratch.memo[i] = plan.keys.number.get(name).copied().unwrap_or(u32::MAX);
            }
            let Some((_, targets)) = plan.keys.targets.get(scratch.memo[i] as usize) else { continue };
            let pos = match flat.place(i) {
                FlatValue::Line(r) => span(start + r.start, r.len()),
                FlatValue::Own(_) => {
                    let text = flat.text(i, "");
                    self.buf.push(text)
                }
            };
            for (below, slot) in targets {
                self.flat_value(flat.is_json(i), pos, below, *slot);
            }
        }
    }

    fn flat_value(&mut self, json: bool, pos: u64, below: &[Seg], slot: u32) {
        if !json && below.is_empty() {
            return self.set(slot, tag::STR, pos);
        }
        let text = self.buf.text(pos);
        let Some(raw) = raw_get(text, below) else { return };
        let (t, text) = view(raw);
        let pos = match t {
            tag::STR | tag::NUM | tag::OBJ | tag::ARR => {
                let text = text.into_owned();
                self.buf.push(&text)
            }
            _ => 0,
        };
        self.set(slot, t, pos);
    }
}

/// Fill the standard columns of all rows (`row_id`, by row, gives the hex form).
pub fn standard(
    plan: &Plan,
    facts: &BatchFacts<'_>,
    buf: &mut Buf<'_>,
    rows: &mut Rows,
    row_id: impl Fn(usize) -> String,
) {
    let count = rows.event_time.len();
    for (slot, name, below) in &plan.standard {
        let at = |row: usize| *slot as usize * rows.cols.stride + row;
        match (&**name, below.is_empty()) {
            ("p_event_time" | "p_row_id", true) => {
                for row in 0..count {
                    let text = if &**name == "p_row_id" { row_id(row) } else { text_ns(rows.event_time[row]) };
                    rows.cols.pos[at(row)] = buf.push(&text);
                    rows.cols.tag[at(row)] = tag::STR;
                }
            }
            _ => {
                let field = batch_field(facts, name);
                let Some(v) = field.as_ref().and_then(|v| model::json::get(v, below)) else { continue };
                let (t, pos) = buf.push_json(v);
                for row in 0..count {
                    rows.cols.pos[at(row)] = pos;
                    rows.cols.tag[at(row)] = t;
                }
            }
        }
    }
}
