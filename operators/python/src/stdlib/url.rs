//! `urllib.parse`: `urlparse`, `parse_qs`, `quote`, `unquote`.

use crate::exc::{R, attribute_error, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::table::Table;
use crate::value::Value;

/// Result of `urlparse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    netloc: String,
    path: String,
    params: String,
    query: String,
    fragment: String,
}

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[
    NativeFn { name: "urlparse", call: urlparse },
    NativeFn { name: "parse_qs", call: parse_qs },
    NativeFn { name: "unquote", call: |_, a| unquote_of(a, false) },
    NativeFn { name: "unquote_plus", call: |_, a| unquote_of(a, true) },
];

fn text(args: &Args, at: usize) -> R<String> {
    match args.pos.get(at) {
        Some(Value::Str(s)) => Ok(s.to_string()),
        Some(Value::Missing(name)) => unknown(format!("`{name}` is not available")),
        Some(v) => type_error(format!("a text is required, not {}", v.type_name())),
        None => type_error("missing a required argument"),
    }
}

fn urlparse(_: &mut Vm, args: Args) -> R<Value> {
    args.check("urlparse", 1, 1)?;
    let Value::Str(_) = &args.pos[0] else { return unknown("urlparse of something else than a text") };
    let raw = text(&args, 0)?;
    let url: String = raw
        .trim_start_matches(|c: char| (c as u32) <= 0x20)
        .chars()
        .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
        .collect();
    let (mut scheme, mut rest) = (String::new(), &url[..]);
    if let Some(at) = url.find(':')
        && at > 0
        && url.as_bytes()[0].is_ascii_alphabetic()
        && url[..at].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        scheme = url[..at].to_lowercase();
        rest = &url[at + 1..];
    }
    let mut netloc = "";
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        (netloc, rest) = after.split_at(end);
        if netloc.contains('[') != netloc.contains(']') {
            return value_error("Invalid IPv6 URL");
        }
        if netloc.contains('[') || !netloc.is_ascii() {
            return unknown("this host of a URL");
        }
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let with_params = [
        "", "ftp", "hdl", "prospero", "http", "imap", "https", "shttp", "rtsp", "rtspu", "sip", "sips", "mms", "sftp",
        "tel",
    ];
    let mut path = rest.to_string();
    let mut params = String::new();
    if with_params.contains(&&*scheme) {
        let from = rest.rfind('/').unwrap_or(0);
        if let Some(at) = rest[from..].find(';') {
            path = rest[..from + at].to_string();
            params = rest[from + at + 1..].to_string();
        }
    }
    Ok(Value::lib(super::Lib::Url(Url {
        scheme,
        netloc: netloc.into(),
        path,
        params,
        query: query.into(),
        fragment: fragment.into(),
    })))
}

/// An attribute of a parsed URL.
///
/// # Errors
/// Unknown for what is not built.
pub fn attribute(u: &Url, name: &str) -> R<Option<Value>> {
    let host = u.netloc.rsplit_once('@').map_or(&*u.netloc, |(_, h)| h);
    Ok(Some(match name {
        "scheme" => Value::str(&u.scheme),
        "netloc" => Value::str(&u.netloc),
        "path" => Value::str(&u.path),
        "params" => Value::str(&u.params),
        "query" => Value::str(&u.query),
        "fragment" => Value::str(&u.fragment),
        "hostname" => {
            let name = host.split(':').next().unwrap_or("");
            if name.is_empty() { Value::None } else { Value::str(name.to_lowercase()) }
        }
        "port" | "username" | "password" | "geturl" => return unknown(format!("{name} of a parsed URL")),
        _ => return Ok(None),
    }))
}

fn unquote(text: &str, plus: bool) -> String {
    let text = if plus { text.replace('+', " ") } else { text.to_string() };
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(a), Some(b)) => {
                out.push((a * 16 + b) as u8);
                at += 3;
            }
            (b, ..) => {
                out.push(b);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn unquote_of(args: Args, plus: bool) -> R<Value> {
    args.check("unquote", 1, 1)?;
    match &args.pos[0] {
        Value::Str(s) => Ok(Value::str(unquote(s, plus))),
        Value::Bytes(_) => unknown("unquote of bytes"),
        v if plus => attribute_error(v, "replace"),
        // CPython looks for a % first, and then calls a method of a text.
        v @ (Value::List(_)
        | Value::Tuple(_)
        | Value::Dict(_)
        | Value::Set(_)
        | Value::EvDict(_)
        | Value::EvList(_)) => match crate::ops::contains(v, &Value::str("%"))? {
            false => attribute_error(v, "split"),
            true => unknown("unquote of a container"),
        },
        v => type_error(format!("argument of type '{}' is not iterable", v.type_name())),
    }
}

fn parse_qs(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("parse_qs", 1, 1)?;
    let Value::Str(query) = &args.pos[0] else { return unknown("parse_qs of something else than a text") };
    vm.memory(query.len() * 4)?;
    let mut table = Table::default();
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if value.is_empty() {
            continue;
        }
        let key = Value::str(unquote(name, true));
        let value = Value::str(unquote(value, true));
        match table.get(&key)? {
            Some(Value::List(list)) => list.items.borrow_mut().push(value),
            _ => table.set(key, Value::list(vec![value]))?,
        }
    }
    Ok(Value::dict(table))
}
