//! `json.dumps`.

use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::{Args, Vm};
use crate::number::float_repr;
use crate::ops::{MAX_NESTING, int_of};
use crate::value::Value;

pub(super) struct Style {
    pub(super) item: String,
    pub(super) key: String,
    pub(super) indent: Option<String>,
    pub(super) sort: bool,
    pub(super) ascii: bool,
}

pub(super) fn dumps(vm: &mut Vm, args: Args) -> R<Value> {
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

pub(super) fn quote(text: &str, ascii: bool, out: &mut String) {
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

pub(super) fn float(f: f64) -> String {
    match f {
        f if f.is_nan() => "NaN".into(),
        f if f.is_infinite() => if f > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        f => float_repr(f),
    }
}

pub(super) fn write(
    vm: &mut Vm,
    value: &Value,
    style: &Style,
    default: Option<&Value>,
    depth: u32,
    out: &mut String,
) -> R<()> {
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
