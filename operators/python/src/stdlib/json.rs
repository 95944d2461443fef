//! `json`.

use std::rc::Rc;

use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::ops::MAX_NESTING;
use crate::table::Table;
use crate::value::Value;

mod write;

use write::dumps;

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[NativeFn { name: "loads", call: loads }, NativeFn { name: "dumps", call: dumps }];

struct Reader<'a> {
    text: &'a str,
    at: usize,
    steps: usize,
}

fn loads(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_named("loads", 1, 1, &["s"])?;
    let decoded;
    let text: &str = match args.get(0, "s") {
        Some(Value::Str(s)) => s,
        Some(Value::Bytes(b)) => match std::str::from_utf8(b) {
            Ok(text) => {
                decoded = text.to_string();
                &decoded
            }
            Err(_) => return unknown("json.loads of bytes that are no UTF-8"),
        },
        Some(Value::Missing(name)) => return unknown(format!("`{name}` is not available")),
        Some(v) => {
            return type_error(format!("the JSON object must be str, bytes or bytearray, not {}", v.type_name()));
        }
        None => return type_error("loads() missing 1 required positional argument: 's'"),
    };
    if text.starts_with('\u{feff}') {
        return fail(text, 0, "Unexpected UTF-8 BOM (decode using utf-8-sig)");
    }
    vm.charge(1 + text.len() as u64 / 16)?;
    vm.memory(text.len() * 4)?;
    let mut reader = Reader { text, at: 0, steps: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return fail(text, reader.at, "Extra data");
    }
    Ok(value)
}

/// A `JSONDecodeError` at a byte.
fn fail<T>(text: &str, at: usize, what: &str) -> R<T> {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    raise(Kind::JsonDecodeError, format!("{what}: line {line} column {column} (char {})", before.chars().count()))
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: u32) -> R<Value> {
        if depth > MAX_NESTING {
            return raise(
                Kind::RecursionError,
                "maximum recursion depth exceeded while decoding a JSON array from a unicode string",
            );
        }
        self.steps += 1;
        let start = self.at;
        Ok(match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Value::Str(self.string()?)
            }
            Some(b'{') => {
                self.at += 1;
                return self.object(depth);
            }
            Some(b'[') => {
                self.at += 1;
                return self.array(depth);
            }
            Some(b'n') if self.word("null") => Value::None,
            Some(b't') if self.word("true") => Value::Bool(true),
            Some(b'f') if self.word("false") => Value::Bool(false),
            Some(b'N') if self.word("NaN") => Value::Float(f64::NAN),
            Some(b'I') if self.word("Infinity") => Value::Float(f64::INFINITY),
            Some(b'-') if self.word("-Infinity") => Value::Float(f64::NEG_INFINITY),
            Some(b'-' | b'0'..=b'9') => return self.number(start),
            _ => return fail(self.text, start, "Expecting value"),
        })
    }

    fn number(&mut self, start: usize) -> R<Value> {
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        at = match bytes.get(at) {
            Some(b'0') => at + 1,
            Some(b'1'..=b'9') => digits(at),
            _ => return fail(self.text, start, "Expecting value"),
        };
        let mut float = false;
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            float = true;
            at = digits(at + 1);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            if bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                float = true;
                at = digits(at + 1 + sign);
            }
        }
        self.at = at;
        let text = &self.text[start..at];
        if float {
            return Ok(Value::Float(text.parse().unwrap_or(f64::NAN)));
        }
        crate::number::parse_int(text, 10)
    }

    fn string(&mut self) -> R<Rc<str>> {
        let begin = self.at - 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(|c: char| c == '"' || c == '\\' || (c as u32) < 0x20) else {
                return fail(self.text, begin, "Unterminated string starting at");
            };
            out.push_str(&rest[..stop]);
            self.at += stop;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Rc::from(out));
                }
                Some(b'\\') => {
                    let Some(c) = self.text[self.at + 1..].chars().next() else {
                        return fail(self.text, begin, "Unterminated string starting at");
                    };
                    self.at += 1 + c.len_utf8();
                    match c {
                        '"' | '\\' | '/' => out.push(c),
                        'b' => out.push('\u{8}'),
                        'f' => out.push('\u{c}'),
                        'n' => out.push('\n'),
                        'r' => out.push('\r'),
                        't' => out.push('\t'),
                        'u' => {
                            let at = self.at;
                            let unit = self.unit(at)?;
                            self.at += 4;
                            let c = match unit {
                                0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                                    let low = self.unit(self.at + 2)?;
                                    if !(0xdc00..0xe000).contains(&low) {
                                        return unknown("a lone surrogate in JSON");
                                    }
                                    self.at += 6;
                                    char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                                }
                                unit => char::from_u32(unit),
                            };
                            match c {
                                Some(c) => out.push(c),
                                None => return unknown("a lone surrogate in JSON"),
                            }
                        }
                        c => return fail(self.text, self.at - 1 - c.len_utf8(), "Invalid \\escape"),
                    }
                }
                _ => return fail(self.text, self.at, "Invalid control character at"),
            }
        }
    }

    fn unit(&self, at: usize) -> R<u32> {
        match self.text.get(at..at + 4) {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(u32::from_str_radix(digits, 16).unwrap_or(0))
            }
            _ => fail(self.text, at - 1, "Invalid \\uXXXX escape"),
        }
    }

    fn array(&mut self, depth: u32) -> R<Value> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                Some(b',') => self.at += 1,
                _ => return fail(self.text, self.at, "Expecting ',' delimiter"),
            }
            self.space();
        }
    }

    fn object(&mut self, depth: u32) -> R<Value> {
        let mut table = Table::default();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::dict(table));
        }
        loop {
            if self.peek() != Some(b'"') {
                return fail(self.text, self.at, "Expecting property name enclosed in double quotes");
            }
            self.at += 1;
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return fail(self.text, self.at, "Expecting ':' delimiter");
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            table.set(Value::Str(key), value)?;
            self.space();
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::dict(table));
                }
                Some(b',') => self.at += 1,
                _ => return fail(self.text, self.at, "Expecting ',' delimiter"),
            }
            self.space();
        }
    }
}
