//! `base64` and `binascii`.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose;

use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::ops::{self};
use crate::value::Value;

/// `base64`.
pub static BASE64: &[NativeFn] = &[
    NativeFn { name: "b64decode", call: b64decode },
    NativeFn { name: "b64encode", call: b64encode },
    NativeFn { name: "b32decode", call: b32decode },
];

/// `binascii`.
pub static BINASCII: &[NativeFn] = &[NativeFn { name: "unhexlify", call: unhexlify }];

pub(super) fn bytes_arg(args: &Args) -> R<Rc<[u8]>> {
    match args.get(0, "s") {
        Some(Value::Bytes(b)) => Ok(b.clone()),
        Some(Value::Str(s)) if s.is_ascii() => Ok(Rc::from(s.as_bytes())),
        Some(Value::Str(_)) => value_error("string argument should contain only ASCII characters"),
        Some(Value::Missing(name)) => unknown(format!("`{name}` is not available")),
        Some(v) => {
            type_error(format!("argument should be a bytes-like object or ASCII string, not '{}'", v.type_name()))
        }
        None => type_error("missing a required argument: 's'"),
    }
}

pub(super) fn b64decode(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_named("b64decode", 1, 3, &["s", "altchars", "validate"])?;
    if args.get(1, "altchars").is_some_and(|v| !v.is_none()) {
        return unknown("altchars");
    }
    let validate = match args.get(2, "validate") {
        Some(v) => ops::truthy(v)?,
        None => false,
    };
    let bytes = bytes_arg(&args)?;
    vm.memory(bytes.len())?;
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    if validate {
        // Strict mode: any other character, or padding out of place, is an error.
        let body = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
        if bytes.first() == Some(&b'=') {
            return raise(Kind::BinasciiError, "Leading padding not allowed");
        }
        if bytes[..body].iter().any(|b| !in_alphabet(*b)) {
            return raise(Kind::BinasciiError, "Only base64 data is allowed");
        }
        let pads = bytes.len() - body;
        let needed = (4 - body % 4) % 4;
        if bytes[body..].iter().any(|b| *b != b'=') {
            return raise(Kind::BinasciiError, "Discontinuous padding not allowed");
        }
        if body % 4 == 1 {
            return raise(Kind::BinasciiError, data_error(body));
        }
        if pads > needed {
            return raise(Kind::BinasciiError, "Excess data after padding");
        }
        if pads < needed {
            return raise(Kind::BinasciiError, "Incorrect padding");
        }
    }
    // Otherwise what is not of the alphabet is skipped, and padding ends a group.
    let mut clean = Vec::with_capacity(bytes.len());
    let mut pads = 0;
    let mut complete = false;
    for &b in bytes.iter() {
        if b == b'=' {
            pads += 1;
            if clean.len() % 4 >= 2 && clean.len() % 4 + pads >= 4 {
                complete = true;
                break;
            }
        } else if in_alphabet(b) {
            pads = 0;
            clean.push(b);
        }
    }
    let rest = clean.len() % 4;
    if rest == 1 {
        return raise(Kind::BinasciiError, data_error(clean.len()));
    }
    if rest != 0 && !complete {
        return raise(Kind::BinasciiError, "Incorrect padding");
    }
    let config = general_purpose::GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engine = general_purpose::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    match engine.decode(&clean) {
        Ok(out) => Ok(Value::Bytes(Rc::from(out))),
        Err(_) => unknown("this base64"),
    }
}

pub(super) fn data_error(count: usize) -> String {
    format!("Invalid base64-encoded string: number of data characters ({count}) cannot be 1 more than a multiple of 4")
}

pub(super) fn b64encode(_: &mut Vm, args: Args) -> R<Value> {
    args.check_named("b64encode", 1, 1, &["s"])?;
    match args.get(0, "s") {
        Some(Value::Bytes(b)) => Ok(Value::Bytes(Rc::from(general_purpose::STANDARD.encode(b).into_bytes()))),
        Some(v) => type_error(format!("a bytes-like object is required, not '{}'", v.type_name())),
        None => type_error("missing a required argument: 's'"),
    }
}

pub(super) fn b32decode(_: &mut Vm, args: Args) -> R<Value> {
    args.check_named("b32decode", 1, 2, &["s", "casefold"])?;
    let fold = match args.get(1, "casefold") {
        Some(v) => ops::truthy(v)?,
        None => false,
    };
    let bytes = bytes_arg(&args)?;
    let bytes = if fold { bytes.to_ascii_uppercase() } else { bytes.to_vec() };
    if bytes.len() % 8 != 0 {
        return raise(Kind::BinasciiError, "Incorrect padding");
    }
    let body = bytes.iter().rposition(|b| *b != b'=').map_or(0, |i| i + 1);
    let pads = bytes.len() - body;
    let mut out = Vec::new();
    let (mut acc, mut bits) = (0u64, 0);
    for &b in &bytes[..body] {
        let digit = match b {
            b'A'..=b'Z' => b - b'A',
            b'2'..=b'7' => b - b'2' + 26,
            _ => return raise(Kind::BinasciiError, "Non-base32 digit found"),
        };
        acc = (acc << 5) | u64::from(digit);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits) as u8);
            acc &= (1 << bits) - 1;
        }
    }
    if !matches!(pads, 0 | 1 | 3 | 4 | 6) {
        return raise(Kind::BinasciiError, "Incorrect padding");
    }
    Ok(Value::Bytes(Rc::from(out)))
}

pub(super) fn unhexlify(_: &mut Vm, args: Args) -> R<Value> {
    args.check("unhexlify", 1, 1)?;
    let bytes = bytes_arg(&args)?;
    if bytes.len() % 2 != 0 {
        return raise(Kind::BinasciiError, "Odd-length string");
    }
    let digit = |b: u8| (b as char).to_digit(16);
    let mut out = Vec::new();
    for pair in bytes.chunks_exact(2) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(a), Some(b)) => out.push((a * 16 + b) as u8),
            _ => return raise(Kind::BinasciiError, "Non-hexadecimal digit found"),
        }
    }
    Ok(Value::Bytes(Rc::from(out)))
}
