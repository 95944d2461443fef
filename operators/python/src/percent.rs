//! `text % values`.

use crate::exc::{R, type_error, unknown, value_error};
use crate::native::Vm;
use crate::number::int_from_float;
use crate::ops::{float_of, int_of};
use crate::repr::{to_repr, to_str};
use crate::value::Value;

/// `template % values`.
///
/// # Errors
/// `TypeError` for too few, too many or wrong values, `ValueError` for an unknown letter.
pub fn percent(template: &str, values: &Value) -> R<String> {
    let mut vm = Vm::detached();
    let vm = &mut vm;
    let tuple;
    let items: &[Value] = match values {
        Value::Tuple(t) => &t.0,
        other => {
            tuple = [other.clone()];
            &tuple
        }
    };
    let mut next = 0;
    let mut named = false;
    let mut out = String::new();
    let chars: Vec<char> = template.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut value = None;
        if chars.get(at) == Some(&'(') {
            let Some(end) = chars[at..].iter().position(|c| *c == ')') else {
                return value_error("incomplete format key");
            };
            let key: String = chars[at + 1..at + end].iter().collect();
            at += end + 1;
            named = true;
            match values {
                Value::Dict(_) | Value::EvDict(_) => value = Some(vm.index(values, &Value::str(key))?),
                _ => return type_error("format requires a mapping"),
            }
        }
        let (mut left, mut plus, mut space, mut zero, mut alternate) = (false, false, false, false, false);
        while let Some(c @ ('-' | '+' | ' ' | '0' | '#')) = chars.get(at) {
            match c {
                '-' => left = true,
                '+' => plus = true,
                ' ' => space = true,
                '0' => zero = true,
                _ => alternate = true,
            }
            at += 1;
        }
        let digits = |at: &mut usize| {
            let start = *at;
            while chars.get(*at).is_some_and(char::is_ascii_digit) {
                *at += 1;
            }
            chars[start..*at].iter().collect::<String>().parse::<usize>().unwrap_or(0)
        };
        let width = digits(&mut at);
        let precision = (chars.get(at) == Some(&'.')).then(|| {
            at += 1;
            digits(&mut at)
        });
        if width > crate::format::MAX_WIDTH || precision.unwrap_or(0) > crate::format::MAX_WIDTH {
            return Err(crate::exc::Stop::Memory);
        }
        let Some(&letter) = chars.get(at) else { return value_error("incomplete format") };
        at += 1;
        if letter == '%' {
            out.push('%');
            continue;
        }
        if letter == '*' {
            return unknown("a width of * in a % format");
        }
        let value = match value {
            Some(v) => v,
            None => {
                next += 1;
                match items.get(next - 1) {
                    Some(v) => v.clone(),
                    None => return type_error("not enough arguments for format string"),
                }
            }
        };
        let sign = |negative: bool| {
            if negative {
                "-"
            } else if plus {
                "+"
            } else if space {
                " "
            } else {
                ""
            }
        };
        let (head, body) = match letter {
            's' => ("", cut(to_str(vm, &value)?, precision)),
            'r' => ("", cut(to_repr(vm, &value)?, precision)),
            'd' | 'i' | 'u' => {
                let i = match &value {
                    Value::Float(f) => int_of(&int_from_float(*f)?).unwrap_or(0),
                    v => match int_of(v) {
                        Some(i) => i,
                        None => {
                            return type_error(format!(
                                "%{letter} format: a real number is required, not {}",
                                v.type_name()
                            ));
                        }
                    },
                };
                (sign(i < 0), format!("{:0>1$}", i.unsigned_abs(), precision.unwrap_or(0)))
            }
            'x' | 'X' | 'o' => match int_of(&value) {
                Some(i) => {
                    let n = i.unsigned_abs();
                    let text = match letter {
                        'x' => format!("{n:x}"),
                        'X' => format!("{n:X}"),
                        _ => format!("{n:o}"),
                    };
                    let prefix = if alternate { ["0", &letter.to_string()].concat() } else { String::new() };
                    (sign(i < 0), prefix + &text)
                }
                None => {
                    return type_error(format!("%{letter} format: an integer is required, not {}", value.type_name()));
                }
            },
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
                let Some(f) = float_of(&value) else {
                    return type_error(format!("must be real number, not {}", value.type_name()));
                };
                let spec = format!(".{}{letter}", precision.unwrap_or(6));
                let text = crate::format::format(vm, &Value::Float(f), &spec)?;
                (sign(text.starts_with('-')), text.trim_start_matches('-').to_string())
            }
            'c' => match &value {
                Value::Str(s) if s.chars().count() == 1 => ("", s.to_string()),
                _ => return unknown("%c of something else than a character"),
            },
            c => {
                return value_error(format!(
                    "unsupported format character '{c}' (0x{:x}) at index {}",
                    c as u32,
                    at - 1
                ));
            }
        };
        let length = head.len() + body.chars().count();
        let room = width.saturating_sub(length);
        let numeric = !matches!(letter, 's' | 'r' | 'c');
        if left {
            out.push_str(&format!("{head}{body}{}", " ".repeat(room)));
        } else if zero && numeric {
            out.push_str(&format!("{head}{}{body}", "0".repeat(room)));
        } else {
            out.push_str(&format!("{}{head}{body}", " ".repeat(room)));
        }
    }
    let taken = named || next >= items.len();
    let forgiving = matches!(
        values,
        Value::Dict(_) | Value::EvDict(_) | Value::List(_) | Value::EvList(_) | Value::Bytes(_) | Value::Range(_)
    );
    let excused = forgiving && next == 0;
    if !taken && !excused {
        return type_error("not all arguments converted during string formatting");
    }
    Ok(out)
}

fn cut(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(p) => text.chars().take(p).collect(),
        None => text,
    }
}
