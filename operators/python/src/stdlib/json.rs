//! `json`.

use std::rc::Rc;

use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::number::float_repr;
use crate::ops::{MAX_NESTING, int_of};
use crate::table::Table;
use crate::value::Value;

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

struct Style {
    item: String,
    key: String,
    indent: Option<String>,
    sort: bool,
    ascii: bool,
}

fn dumps(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_named("dumps", 1, 1, &["obj", "indent", "sort_keys", "separators", "ensure_ascii", "default"])?;
    let Some(value) = args.get(0, "obj") else {
        return type_error("dumps() missing 1 required positional argument: 'obj'");
    };
    let flag = |name: &str, default: bool| match args.kw(name) {
        None => Ok(default),
        Some(v) => crate::ops::truthy(v),
    };
    let indent = match args.kw("indent") {
        None | Some(Value::None) => None,
        Some(Value::Str(s)) => Some(s.to_string()),
        Some(v) => int_of(v).map(|n| " ".repeat(n.clamp(0, 100) as usize)),
    };
    let (item, key) = match args.kw("separators") {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
        Some(Value::Tuple(t)) => match &t.0[..] {
            [Value::Str(a), Value::Str(b)] => (a.to_string(), b.to_string()),
            _ => return unknown("these separators"),
        },
        _ => return unknown("these separators"),
    };
    let style = Style { item, key, indent, sort: flag("sort_keys", false)?, ascii: flag("ensure_ascii", true)? };
    let default = args.kw("default").filter(|v| !v.is_none());
    let mut out = String::new();
    write(vm, value, &style, default, 0, &mut out)?;
    vm.memory(out.len())?;
    Ok(Value::str(out))
}

fn quote(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && !(' '..='~').contains(&c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn float(f: f64) -> String {
    match f {
        f if f.is_nan() => "NaN".into(),
        f if f.is_infinite() => if f > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        f => float_repr(f),
    }
}

fn write(vm: &mut Vm, value: &Value, style: &Style, default: Option<&Value>, depth: u32, out: &mut String) -> R<()> {
    if depth > MAX_NESTING {
        return raise(Kind::RecursionError, "maximum recursion depth exceeded while encoding a JSON object");
    }
    vm.charge(1)?;
    let newline = |out: &mut String, depth: u32| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth as usize));
        }
    };
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Str(s) => quote(s, style.ascii, out),
        Value::List(_) | Value::Tuple(_) => {
            let items = match value {
                Value::List(l) => l.items.borrow().clone(),
                Value::Tuple(t) => t.0.clone(),
                _ => Vec::new(),
            };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(&style.item);
                }
                newline(out, depth + 1);
                write(vm, item, style, default, depth + 1, out)?;
            }
            if !items.is_empty() {
                newline(out, depth);
            }
            out.push(']');
        }
        Value::Dict(d) => {
            let mut entries: Vec<(Value, Value)> =
                d.table.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            if style.sort {
                let mut failed = None;
                entries.sort_by(|a, b| {
                    crate::ops::order(&a.0, &b.0, "<", 0)
                        .unwrap_or_else(|e| {
                            failed = Some(e);
                            None
                        })
                        .unwrap_or(std::cmp::Ordering::Equal)
                });
                if let Some(e) = failed {
                    return Err(e);
                }
            }
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(&style.item);
                }
                newline(out, depth + 1);
                let text = match key {
                    Value::Str(s) => s.to_string(),
                    Value::None => "null".into(),
                    Value::Bool(b) => b.to_string(),
                    Value::Int(i) => i.to_string(),
                    Value::Float(f) => float(*f),
                    other => {
                        return type_error(format!(
                            "keys must be str, int, float, bool or None, not {}",
                            other.type_name()
                        ));
                    }
                };
                quote(&text, style.ascii, out);
                out.push_str(&style.key);
                write(vm, value, style, default, depth + 1, out)?;
            }
            if !entries.is_empty() {
                newline(out, depth);
            }
            out.push('}');
        }
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        other => match default {
            Some(function) => {
                let value = vm.call(function, Args::positional(std::slice::from_ref(other)))?;
                return write(vm, &value, style, default, depth + 1, out);
            }
            None => {
                let name = other.type_name();
                let short = name.rsplit('.').next().unwrap_or(&name);
                return type_error(format!("Object of type {short} is not JSON serializable"));
            }
        },
    }
    Ok(())
}
