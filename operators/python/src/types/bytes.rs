//! Methods of `bytes`, and encoding of texts.

use std::rc::Rc;

use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::value::Value;

fn encoding(args: &Args, name: &str) -> R<(String, String)> {
    args.check_named(name, 0, 2, &["encoding", "errors"])?;
    let text = |v: Option<&Value>, default: &str| match v {
        None => Ok(default.to_string()),
        Some(Value::Str(s)) => Ok(s.to_string()),
        Some(v) => type_error(format!("{name}() argument 'encoding' must be str, not {}", v.type_name())),
    };
    let encoding = text(args.get(0, "encoding"), "utf-8")?.to_lowercase().replace('_', "-");
    Ok((encoding, text(args.get(1, "errors"), "strict")?))
}

/// `str.encode`.
pub(super) fn encode(text: &str, args: Args) -> R<Value> {
    let (encoding, errors) = encoding(&args, "encode")?;
    match &*encoding {
        "utf-8" | "utf8" => Ok(Value::Bytes(Rc::from(text.as_bytes()))),
        "ascii" | "us-ascii" | "latin-1" | "latin1" | "iso-8859-1" => {
            let (limit, codec, range) =
                if encoding.contains("ascii") { (128, "ascii", 128) } else { (256, "latin-1", 256) };
            let mut out = Vec::with_capacity(text.len());
            for (i, c) in text.chars().enumerate() {
                match (u32::from(c) < limit, &*errors) {
                    (true, _) => out.push(u32::from(c) as u8),
                    (false, "ignore") => {}
                    (false, "replace") => out.push(b'?'),
                    (false, "strict") => {
                        let bad = text.chars().skip(i).take_while(|c| u32::from(*c) >= limit).count();
                        let code = u32::from(c);
                        let written = if code < 0x100 {
                            format!("\\x{code:02x}")
                        } else if code < 0x10000 {
                            format!("\\u{code:04x}")
                        } else {
                            format!("\\U{code:08x}")
                        };
                        return raise(
                            Kind::UnicodeEncodeError,
                            if bad == 1 {
                                format!(
                                    "'{codec}' codec can't encode character '{written}' in position {i}: ordinal not in range({range})"
                                )
                            } else {
                                format!(
                                    "'{codec}' codec can't encode characters in position {i}-{}: ordinal not in range({range})",
                                    i + bad - 1
                                )
                            },
                        );
                    }
                    _ => return unknown("this way of handling encoding errors"),
                }
            }
            Ok(Value::Bytes(Rc::from(out)))
        }
        "utf-16-le" | "utf-16le" => Ok(Value::Bytes(text.encode_utf16().flat_map(u16::to_le_bytes).collect())),
        _ => unknown(format!("the encoding {encoding}")),
    }
}

/// `bytes.decode`, and `str(bytes, encoding)`.
pub(crate) fn decode(bytes: &[u8], args: Args) -> R<Value> {
    let (encoding, errors) = encoding(&args, "decode")?;
    match (&*encoding, &*errors) {
        ("utf-8" | "utf8", "strict") => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::str(text)),
            Err(e) => {
                let at = e.valid_up_to();
                let reason = match (e.error_len(), bytes[at]) {
                    (None, _) => "unexpected end of data",
                    (_, 0x80..=0xc1 | 0xf5..) => "invalid start byte",
                    _ => "invalid continuation byte",
                };
                let end = at + e.error_len().unwrap_or(bytes.len() - at);
                raise(
                    Kind::UnicodeDecodeError,
                    if end - at == 1 {
                        format!("'utf-8' codec can't decode byte 0x{:02x} in position {at}: {reason}", bytes[at])
                    } else {
                        format!("'utf-8' codec can't decode bytes in position {at}-{}: {reason}", end - 1)
                    },
                )
            }
        },
        ("utf-8" | "utf8", "replace") => Ok(Value::str(String::from_utf8_lossy(bytes))),
        ("utf-8" | "utf8", "ignore") => {
            let text: String = bytes.utf8_chunks().map(|c| c.valid()).collect();
            Ok(Value::str(text))
        }
        ("ascii" | "us-ascii", "strict") => match bytes.iter().position(|b| !b.is_ascii()) {
            None => Ok(Value::str(String::from_utf8_lossy(bytes))),
            Some(at) => raise(
                Kind::UnicodeDecodeError,
                format!(
                    "'ascii' codec can't decode byte 0x{:02x} in position {at}: ordinal not in range(128)",
                    bytes[at]
                ),
            ),
        },
        ("ascii" | "us-ascii", "ignore") => {
            Ok(Value::str(bytes.iter().filter(|b| b.is_ascii()).map(|b| *b as char).collect::<String>()))
        }
        ("latin-1" | "latin1" | "iso-8859-1", _) => {
            Ok(Value::str(bytes.iter().map(|b| *b as char).collect::<String>()))
        }
        ("utf-16-le" | "utf-16le", "strict") => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect();
            match String::from_utf16(&units) {
                Ok(text) if bytes.len().is_multiple_of(2) => Ok(Value::str(text)),
                _ => raise(Kind::UnicodeDecodeError, utf16_error(bytes)),
            }
        }
        _ => unknown(format!("the encoding {encoding} with errors={errors}")),
    }
}

fn utf16_error(bytes: &[u8]) -> String {
    let unit = |i: usize| bytes.get(i..i + 2).map(|p| u16::from_le_bytes([p[0], p[1]]));
    let mut at = 0;
    while let Some(u) = unit(at) {
        match u {
            0xd800..0xdc00 => match unit(at + 2) {
                Some(0xdc00..0xe000) => at += 4,
                Some(_) => {
                    return format!(
                        "'utf-16-le' codec can't decode bytes in position {at}-{}: illegal UTF-16 surrogate",
                        at + 1
                    );
                }
                None => {
                    return format!(
                        "'utf-16-le' codec can't decode bytes in position {at}-{}: unexpected end of data",
                        bytes.len() - 1
                    );
                }
            },
            0xdc00..0xe000 => {
                return format!("'utf-16-le' codec can't decode bytes in position {at}-{}: illegal encoding", at + 1);
            }
            _ => at += 2,
        }
    }
    format!("'utf-16-le' codec can't decode byte 0x{:02x} in position {at}: truncated data", bytes.last().unwrap_or(&0))
}

/// `bytes.fromhex`.
pub(super) fn from_hex(args: Args) -> R<Value> {
    args.check("fromhex", 1, 1)?;
    let Value::Str(text) = &args.pos[0] else {
        return type_error(format!("fromhex() argument must be str, not {}", args.pos[0].type_name()));
    };
    let mut out = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        if chars[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let digit = |i: usize| chars.get(i).and_then(|c| c.to_digit(16));
        match (digit(at), digit(at + 1)) {
            (Some(a), Some(b)) => out.push((a * 16 + b) as u8),
            (first, _) => {
                let bad = if first.is_some() { at + 1 } else { at };
                return value_error(format!("non-hexadecimal number found in fromhex() arg at position {bad}"));
            }
        }
        at += 2;
    }
    Ok(Value::Bytes(Rc::from(out)))
}

/// `int.from_bytes`.
pub(super) fn int_from(args: Args) -> R<Value> {
    let Some(Value::Bytes(bytes)) = args.get(0, "bytes") else {
        return unknown("int.from_bytes of something else than bytes");
    };
    let big = match args.get(1, "byteorder") {
        None => true,
        Some(Value::Str(s)) if &**s == "big" => true,
        Some(Value::Str(s)) if &**s == "little" => false,
        Some(_) => return value_error("byteorder must be either 'little' or 'big'"),
    };
    if bytes.len() > 15 {
        return unknown("an integer beyond 120 bits from bytes");
    }
    if args.kw("signed").is_some() {
        return unknown("int.from_bytes with signed");
    }
    let fold = |acc: i128, b: &u8| (acc << 8) | i128::from(*b);
    Ok(Value::Int(if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }))
}

/// Call a method of bytes.
pub(super) fn method(vm: &mut Vm, bytes: &Rc<[u8]>, name: Name, text: &str, args: Args) -> R<Value> {
    vm.memory(bytes.len())?;
    match name {
        Name::decode => decode(bytes, args),
        Name::hex => {
            if !args.pos.is_empty() || !args.kw.is_empty() {
                return unknown("bytes.hex() with a separator");
            }
            Ok(Value::str(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()))
        }
        Name::startswith | Name::endswith => match args.pos {
            [Value::Bytes(part)] if name == Name::startswith => Ok(Value::Bool(bytes.starts_with(part))),
            [Value::Bytes(part)] => Ok(Value::Bool(bytes.ends_with(part))),
            [Value::Str(_)] => type_error(format!("{text} first arg must be bytes or a tuple of bytes, not str")),
            _ => unknown(format!("bytes.{text}()")),
        },
        Name::lower | Name::upper if !args.pos.is_empty() || !args.kw.is_empty() => {
            args.check(&format!("bytes.{text}"), 0, 0).map(|()| Value::None)
        }
        Name::lower => Ok(Value::Bytes(Rc::from(bytes.to_ascii_lowercase()))),
        Name::upper => Ok(Value::Bytes(Rc::from(bytes.to_ascii_uppercase()))),
        _ => unknown(format!("bytes.{text}()")),
    }
}
