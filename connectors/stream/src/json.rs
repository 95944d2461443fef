//! Records out of JSON that spans lines: values one after the other, and the elements of an array inside a document.
//!
//! A scanner that knows only brackets, strings and separators cuts the stream; the parser behind judges each record.
//! Memory is bounded by one record: of a longer one its beginning is kept for the reject, the rest is passed over.
use crate::batch::{Batcher, REJECT_RAW};
use crate::decode::{Decoded, Fault};
use crate::text::{skip_bom, skip_line};
use model::path::{Path, Seg};
use serde::Deserialize;

/// Deepest nesting of a record.
const MAX_DEPTH: usize = 128;
/// Largest CloudWatch Logs envelope (a subscription sends at most 1 MB).
const MAX_ENVELOPE: usize = 16 << 20;

/// Why a value could not be cut out.
enum Stop {
    /// The stream ended or failed.
    Fault(Fault),
    /// Not JSON, or not what was expected there.
    Wrong(String),
}

impl From<Fault> for Stop {
    fn from(f: Fault) -> Stop {
        Stop::Fault(f)
    }
}

/// A value that was passed, lying between the mark and the next byte unless it was too much.
enum Cut {
    Whole,
    TooLong { raw: Vec<u8>, size: u64 },
    TooDeep,
}

/// JSON values one after the other. What is not JSON is rejected up to the end of its line.
pub(crate) fn values(d: &mut Decoded, max: usize, out: &mut Batcher) -> Result<(), Fault> {
    skip_bom(d)?;
    while space(d)?.is_some() {
        let at = d.offset();
        match value(d, max).and_then(|cut| well_said(d, cut)) {
            Ok(cut) => emit(d, cut, (at, 0), max, out),
            Err(Stop::Fault(f)) => return Err(f),
            Err(Stop::Wrong(why)) => {
                while d.marked().len() < REJECT_RAW && !matches!(d.peek()?, Some(b'\n') | None) {
                    d.pos += 1;
                }
                let ended = matches!(d.peek()?, Some(b'\n') | None);
                let size = if ended { d.marked().len() as u64 } else { u64::MAX };
                out.reject((at, 0), "bad_json", why, d.marked(), size);
                d.drop_mark();
                skip_line(d)?;
            }
        }
        d.drop_mark();
    }
    Ok(())
}

/// A number or word between records must be one: text that is not JSON is rejected as a line, not in pieces.
fn well_said(d: &Decoded, cut: Cut) -> Result<Cut, Stop> {
    match d.marked().first() {
        Some(b'{' | b'[' | b'"') | None => Ok(cut),
        _ if !matches!(cut, Cut::Whole) => Ok(cut),
        _ => match serde_json::from_slice::<serde::de::IgnoredAny>(d.marked()) {
            Ok(_) => Ok(cut),
            Err(e) => Err(Stop::Wrong(e.to_string())),
        },
    }
}

/// Elements of the array at `path` of every document. A document of another shape is a fault of the file.
pub(crate) fn elements(d: &mut Decoded, path: &Path, max: usize, out: &mut Batcher) -> Result<(), Fault> {
    skip_bom(d)?;
    while space(d)?.is_some() {
        let (at, mut n) = (d.offset(), 0);
        match descend(d, &path.0, at, &mut n, max, out) {
            Ok(()) => {}
            Err(Stop::Fault(f)) => return Err(f),
            Err(Stop::Wrong(why)) => {
                let why = format!("{why} (byte {})", d.offset());
                return Err(Fault::Bad("file_error", why));
            }
        }
    }
    Ok(())
}

/// Messages of CloudWatch Logs envelopes.
pub(crate) fn cloudwatch(d: &mut Decoded, max: usize, out: &mut Batcher) -> Result<(), Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        message_type: String,
        #[serde(default)]
        log_events: Vec<LogEvent>,
    }
    #[derive(Deserialize)]
    struct LogEvent {
        message: String,
    }
    skip_bom(d)?;
    while space(d)?.is_some() {
        let at = d.offset();
        match value(d, MAX_ENVELOPE) {
            Ok(Cut::Whole) => match serde_json::from_slice::<Envelope>(d.marked()) {
                Ok(e) if e.message_type == "CONTROL_MESSAGE" => {}
                Ok(e) => {
                    for (i, event) in (0..).zip(e.log_events) {
                        push(event.message.as_bytes(), (at, i), max, out);
                    }
                }
                Err(e) => {
                    let why = format!("not a CloudWatch Logs envelope: {e}");
                    out.reject((at, 0), "file_error", why, d.marked(), d.marked().len() as u64);
                }
            },
            Ok(cut) => emit(d, cut, (at, 0), MAX_ENVELOPE, out),
            Err(Stop::Fault(f)) => return Err(f),
            Err(Stop::Wrong(why)) => return Err(Fault::Bad("file_error", why)),
        }
        d.drop_mark();
    }
    Ok(())
}

fn push(bytes: &[u8], at: (u64, u32), max: usize, out: &mut Batcher) {
    if bytes.len() > max {
        let why = format!("a record longer than max_line = {max} bytes");
        out.reject(at, "record_too_long", why, bytes, bytes.len() as u64);
    } else {
        out.push(bytes, at.0, at.1);
    }
}

fn emit(d: &mut Decoded, cut: Cut, at: (u64, u32), max: usize, out: &mut Batcher) {
    match cut {
        Cut::Whole => push(d.marked(), at, max, out),
        Cut::TooLong { raw, size } => {
            out.reject(at, "record_too_long", format!("a record longer than max_line = {max} bytes"), &raw, size)
        }
        Cut::TooDeep => {
            let (raw, why) = (d.marked(), format!("nested deeper than {MAX_DEPTH} levels"));
            out.reject(at, "too_deep", why, raw, raw.len() as u64)
        }
    }
}

/// Walk to the array at `path` and hand out its elements; `n` counts them over the document.
fn descend(d: &mut Decoded, path: &[Seg], at: u64, n: &mut u32, max: usize, out: &mut Batcher) -> Result<(), Stop> {
    let here = space(d)?;
    match (path.split_first(), here) {
        (None, Some(b'[')) => list(d, |d, _| {
            let cut = value(d, max)?;
            emit(d, cut, (at, *n), max, out);
            d.drop_mark();
            *n += 1;
            Ok(())
        }),
        (None, Some(b'n')) => skip(d),
        (None, _) => Err(Stop::Wrong("expected an array of records".into())),
        (Some((Seg::Key(key), rest)), Some(b'{')) => {
            let mut found = false;
            members(d, |d, name| {
                if name == &**key {
                    found = true;
                    descend(d, rest, at, n, max, out)
                } else {
                    skip(d)
                }
            })?;
            if found { Ok(()) } else { Err(Stop::Wrong(format!("there is no field `{key}`"))) }
        }
        (Some((Seg::Index(want), rest)), Some(b'[')) => {
            let mut found = false;
            list(d, |d, i| {
                if i == *want {
                    found = true;
                    descend(d, rest, at, n, max, out)
                } else {
                    skip(d)
                }
            })?;
            if found { Ok(()) } else { Err(Stop::Wrong(format!("there is no element {want}"))) }
        }
        (Some((Seg::Key(key), _)), _) => Err(Stop::Wrong(format!("expected an object with the field `{key}`"))),
        (Some((s, _)), _) => Err(Stop::Wrong(format!("expected an array for {s:?}"))),
    }
}

/// Pass a value nobody wants.
fn skip(d: &mut Decoded) -> Result<(), Stop> {
    value(d, 0)?;
    d.drop_mark();
    Ok(())
}

/// Pass an array, `each` taking every element.
fn list(d: &mut Decoded, mut each: impl FnMut(&mut Decoded, i64) -> Result<(), Stop>) -> Result<(), Stop> {
    d.pos += 1;
    if space(d)? == Some(b']') {
        d.pos += 1;
        return Ok(());
    }
    for i in 0.. {
        space(d)?;
        each(d, i)?;
        if separator(d, b']')? {
            break;
        }
    }
    Ok(())
}

/// Pass an object, `each` taking every value with its name.
fn members(d: &mut Decoded, mut each: impl FnMut(&mut Decoded, &str) -> Result<(), Stop>) -> Result<(), Stop> {
    d.pos += 1;
    if space(d)? == Some(b'}') {
        d.pos += 1;
        return Ok(());
    }
    loop {
        if space(d)? != Some(b'"') {
            return Err(Stop::Wrong("expected a field name".into()));
        }
        let name = match value(d, REJECT_RAW)? {
            Cut::Whole => serde_json::from_slice::<String>(d.marked()).map_err(|e| Stop::Wrong(e.to_string()))?,
            _ => String::new(), // no path asks for a name this long
        };
        d.drop_mark();
        if space(d)? != Some(b':') {
            return Err(Stop::Wrong("expected `:`".into()));
        }
        d.pos += 1;
        space(d)?;
        each(d, &name)?;
        if separator(d, b'}')? {
            return Ok(());
        }
    }
}

/// After an element: true at the closing bracket, false at a comma.
fn separator(d: &mut Decoded, close: u8) -> Result<bool, Stop> {
    let c = space(d)?;
    match c {
        Some(c) if c == close || c == b',' => {
            d.pos += 1;
            Ok(c == close)
        }
        Some(_) => Err(Stop::Wrong(format!("expected `,` or `{}`", close as char))),
        None => Err(cut_short()),
    }
}

/// Next byte that is not white space.
fn space(d: &mut Decoded) -> Result<Option<u8>, Fault> {
    loop {
        match d.peek()? {
            Some(b' ' | b'\t' | b'\r' | b'\n') => d.pos += 1,
            c => return Ok(c),
        }
    }
}

fn cut_short() -> Stop {
    Stop::Fault(Fault::Bad("file_error", "the file ends inside a JSON value".into()))
}

/// Pass one value, the mark at its first byte. Beyond `max` bytes nothing but its beginning is kept.
fn value(d: &mut Decoded, max: usize) -> Result<Cut, Stop> {
    d.set_mark();
    let mut scan = Scan::default();
    let mut over: Option<(Vec<u8>, u64)> = None;
    loop {
        if d.peek()?.is_none() {
            return if scan.scalar { Ok(finish(d, scan, over, max)) } else { Err(cut_short()) };
        }
        let room = (max + 1).saturating_sub(d.marked().len()).max(1);
        let here = d.rest();
        let (passed, step) = scan.run(&here[..here.len().min(room)]);
        d.pos += passed;
        match step {
            Step::Go => {}
            Step::End => return Ok(finish(d, scan, over, max)),
            Step::Wrong(why) => return Err(Stop::Wrong(why)),
        }
        if d.marked().len() > max {
            let passed = d.marked().len() as u64;
            match &mut over {
                Some((_, size)) => *size += passed,
                none => *none = Some((d.marked()[..REJECT_RAW.min(d.marked().len())].to_vec(), passed)),
            }
            d.set_mark();
        }
    }
}

fn finish(d: &Decoded, scan: Scan, over: Option<(Vec<u8>, u64)>, max: usize) -> Cut {
    match over {
        Some((raw, size)) => Cut::TooLong { raw, size: size + d.marked().len() as u64 },
        None if d.marked().len() > max => {
            Cut::TooLong { raw: d.marked()[..REJECT_RAW.min(d.marked().len())].to_vec(), size: d.marked().len() as u64 }
        }
        None if scan.deepest > MAX_DEPTH => Cut::TooDeep,
        None => Cut::Whole,
    }
}

/// How a run over some bytes of a value ended.
enum Step {
    /// The value goes on.
    Go,
    /// It ends here.
    End,
    /// It is no JSON.
    Wrong(String),
}

#[derive(Default)]
struct Scan {
    in_string: bool,
    escaped: bool,
    /// Inside a number or a word.
    scalar: bool,
    depth: usize,
    deepest: usize,
    /// One bit per open bracket: set for an object. Levels beyond are counted only.
    kinds: u128,
}

impl Scan {
    /// Pass bytes up to the end of the value, if it is among them; how many, and why no more.
    fn run(&mut self, bytes: &[u8]) -> (usize, Step) {
        let mut i = 0;
        while i < bytes.len() {
            if self.in_string && !self.escaped {
                // Most bytes of a log are inside strings.
                let rest = &bytes[i..];
                i += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                if i == bytes.len() {
                    break;
                }
            }
            let c = bytes[i];
            if self.scalar {
                if ends_scalar(c) {
                    return (i, Step::End);
                }
            } else if self.in_string {
                if self.string(c) {
                    return (i + 1, Step::End);
                }
            } else {
                match self.token(c) {
                    Step::Go => {}
                    step => return (i + 1, step),
                }
            }
            i += 1;
        }
        (i, Step::Go)
    }

    /// A byte outside of strings and top-level scalars.
    fn token(&mut self, c: u8) -> Step {
        match c {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
                if self.depth <= MAX_DEPTH {
                    self.kinds = self.kinds << 1 | (c == b'{') as u128;
                }
            }
            b'}' | b']' => return self.close(c),
            _ if self.depth > 0 => {}
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.scalar = true,
            _ => return Step::Wrong(format!("`{}` starts no JSON value", (c as char).escape_default())),
        }
        Step::Go
    }

    /// A byte inside a string; true if the value ends with it.
    fn string(&mut self, c: u8) -> bool {
        match c {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        !self.in_string && self.depth == 0
    }

    fn close(&mut self, c: u8) -> Step {
        let fits = self.depth > MAX_DEPTH || (self.kinds & 1 == 1) == (c == b'}');
        if self.depth == 0 || !fits {
            return Step::Wrong(format!("`{}` closes nothing", c as char));
        }
        if self.depth <= MAX_DEPTH {
            self.kinds >>= 1;
        }
        self.depth -= 1;
        if self.depth == 0 { Step::End } else { Step::Go }
    }
}

fn ends_scalar(c: u8) -> bool {
    matches!(c, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'[' | b'"')
}
