//! Small modules: `fnmatch`, `base64`, `binascii`, `math`, `functools`, `os`, `logging`.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose;

use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::native::{Args, NativeFn, Vm};
use crate::ops::{self, float_of, int_of};
use crate::value::Value;

/// `fnmatch`.
pub static FNMATCH: &[NativeFn] =
    &[NativeFn { name: "fnmatch", call: fnmatch }, NativeFn { name: "fnmatchcase", call: fnmatch }];

/// `base64`.
pub static BASE64: &[NativeFn] = &[
    NativeFn { name: "b64decode", call: b64decode },
    NativeFn { name: "b64encode", call: b64encode },
    NativeFn { name: "b32decode", call: b32decode },
];

/// `binascii`.
pub static BINASCII: &[NativeFn] = &[NativeFn { name: "unhexlify", call: unhexlify }];

/// `math`.
pub static MATH: &[NativeFn] = &[
    NativeFn { name: "sqrt", call: |_, a| real(a, "sqrt", |f| if f < 0.0 { None } else { Some(f.sqrt()) }) },
    NativeFn { name: "sin", call: |_, a| real(a, "sin", |f| if f.is_infinite() { None } else { Some(f.sin()) }) },
    NativeFn { name: "cos", call: |_, a| real(a, "cos", |f| if f.is_infinite() { None } else { Some(f.cos()) }) },
    NativeFn { name: "radians", call: |_, a| real(a, "radians", |f| Some(f * (std::f64::consts::PI / 180.0))) },
    NativeFn { name: "degrees", call: |_, a| real(a, "degrees", |f| Some(f * (180.0 / std::f64::consts::PI))) },
    NativeFn { name: "atan2", call: atan2 },
    NativeFn { name: "floor", call: |_, a| whole(a, "floor", f64::floor) },
    NativeFn { name: "ceil", call: |_, a| whole(a, "ceil", f64::ceil) },
    NativeFn { name: "isnan", call: isnan },
];

/// `functools`.
pub static FUNCTOOLS: &[NativeFn] = &[NativeFn { name: "reduce", call: reduce }];

/// `os`: an engine has no environment.
pub static OS: &[NativeFn] =
    &[NativeFn { name: "getenv", call: |_, a| Ok(a.pos.get(1).cloned().unwrap_or(Value::None)) }];

/// `logging`: what is logged goes nowhere.
pub static LOGGING: &[NativeFn] = &[
    NativeFn { name: "debug", call: |_, _| Ok(Value::None) },
    NativeFn { name: "info", call: |_, _| Ok(Value::None) },
    NativeFn { name: "warning", call: |_, _| Ok(Value::None) },
    NativeFn { name: "error", call: |_, _| Ok(Value::None) },
];

fn fnmatch(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_named("fnmatch", 2, 2, &["name", "pat"])?;
    let text = |at: usize, name: &str| match args.get(at, name) {
        Some(Value::Str(s)) => Ok(s.clone()),
        Some(Value::Bytes(_)) => unknown("fnmatch of bytes"),
        Some(Value::Missing(name)) => unknown(format!("`{name}` is not available")),
        Some(v) => type_error(format!("expected str, bytes or os.PathLike object, not {}", v.type_name())),
        None => type_error("fnmatch() missing a required argument"),
    };
    let (name, pattern) = (text(0, "name")?, text(1, "pat")?);
    vm.charge(1 + (name.len() as u64) / 8)?;
    let name: Vec<char> = name.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    glob(vm, &name, &pattern).map(Value::Bool)
}

/// Iterative matching with one point to go back to, so that a pattern of many stars costs at most text times pattern.
fn glob(vm: &mut Vm, name: &[char], pattern: &[char]) -> R<bool> {
    let (mut n, mut p) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() || p < pattern.len() {
        vm.charge(u64::from(n % 16 == 15))?;
        if p < pattern.len() {
            match pattern[p] {
                '*' => {
                    back = Some((p + 1, n));
                    p += 1;
                    continue;
                }
                '?' if n < name.len() => {
                    (n, p) = (n + 1, p + 1);
                    continue;
                }
                '[' => {
                    let set = end_of_class(pattern, p);
                    let matched = match set {
                        Some(end) => n < name.len() && in_class(&pattern[p + 1..end], name[n]),
                        None => n < name.len() && name[n] == '[',
                    };
                    if matched {
                        (n, p) = (n + 1, set.map_or(p + 1, |end| end + 1));
                        continue;
                    }
                }
                c if n < name.len() && name[n] == c && c != '?' => {
                    (n, p) = (n + 1, p + 1);
                    continue;
                }
                _ => {}
            }
        }
        match back {
            Some((star, from)) if from < name.len() => {
                back = Some((star, from + 1));
                (p, n) = (star, from + 1);
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn end_of_class(pattern: &[char], start: usize) -> Option<usize> {
    let mut at = start + 1;
    if pattern.get(at) == Some(&'!') {
        at += 1;
    }
    if pattern.get(at) == Some(&']') {
        at += 1;
    }
    pattern[at.min(pattern.len())..].iter().position(|c| *c == ']').map(|i| at + i)
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, class) = match class.first() {
        Some('!') => (true, &class[1..]),
        _ => (false, class),
    };
    let mut found = false;
    let mut at = 0;
    while at < class.len() {
        if at + 2 < class.len() && class[at + 1] == '-' {
            found |= class[at] <= c && c <= class[at + 2];
            at += 3;
        } else {
            found |= class[at] == c;
            at += 1;
        }
    }
    found != negated
}

fn bytes_arg(args: &Args) -> R<Rc<[u8]>> {
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

fn b64decode(vm: &mut Vm, args: Args) -> R<Value> {
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

fn data_error(count: usize) -> String {
    format!("Invalid base64-encoded string: number of data characters ({count}) cannot be 1 more than a multiple of 4")
}

fn b64encode(_: &mut Vm, args: Args) -> R<Value> {
    args.check_named("b64encode", 1, 1, &["s"])?;
    match args.get(0, "s") {
        Some(Value::Bytes(b)) => Ok(Value::Bytes(Rc::from(general_purpose::STANDARD.encode(b).into_bytes()))),
        Some(v) => type_error(format!("a bytes-like object is required, not '{}'", v.type_name())),
        None => type_error("missing a required argument: 's'"),
    }
}

fn b32decode(_: &mut Vm, args: Args) -> R<Value> {
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

fn unhexlify(_: &mut Vm, args: Args) -> R<Value> {
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

fn number(v: &Value) -> R<f64> {
    match float_of(v) {
        Some(f) => Ok(f),
        None => match v {
            Value::Missing(name) => unknown(format!("`{name}` is not available")),
            v => type_error(format!("must be real number, not {}", v.type_name())),
        },
    }
}

fn real(args: Args, name: &str, f: fn(f64) -> Option<f64>) -> R<Value> {
    args.check(name, 1, 1)?;
    match f(number(&args.pos[0])?) {
        Some(f) => Ok(Value::Float(f)),
        None => value_error("math domain error"),
    }
}

fn whole(args: Args, name: &str, f: fn(f64) -> f64) -> R<Value> {
    args.check(name, 1, 1)?;
    match int_of(&args.pos[0]) {
        Some(i) => Ok(Value::Int(i)),
        None => crate::number::int_from_float(f(number(&args.pos[0])?)),
    }
}

fn atan2(_: &mut Vm, args: Args) -> R<Value> {
    args.check("atan2", 2, 2)?;
    Ok(Value::Float(number(&args.pos[0])?.atan2(number(&args.pos[1])?)))
}

fn isnan(_: &mut Vm, args: Args) -> R<Value> {
    args.check("isnan", 1, 1)?;
    Ok(Value::Bool(number(&args.pos[0])?.is_nan()))
}

fn reduce(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("reduce", 2, 3)?;
    let mut iter = Iter::over(&args.pos[1])?;
    let mut total = match args.pos.get(2) {
        Some(v) => v.clone(),
        None => match iter.next(vm)? {
            Some(v) => v,
            None => return type_error("reduce() of empty iterable with no initial value"),
        },
    };
    while let Some(item) = iter.next(vm)? {
        total = vm.call(&args.pos[0], Args::positional(&[total, item]))?;
    }
    Ok(total)
}
