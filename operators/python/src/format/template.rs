//! `str.format`.

use super::format;
use crate::exc::{R, unknown, value_error};
use crate::native::{Args, Vm};
use crate::repr::{to_repr, to_str};
use crate::value::Value;

/// `str.format(*args, **kwargs)`.
///
/// # Errors
/// `IndexError`, `KeyError`, `ValueError` as in Python.
pub fn str_format(vm: &mut Vm, template: &str, args: &Args) -> R<String> {
    let mut auto = Some(0);
    expand(vm, template, args, &mut auto, 0)
}

pub(super) fn expand(vm: &mut Vm, template: &str, args: &Args, auto: &mut Option<usize>, depth: u32) -> R<String> {
    if depth > 1 {
        return value_error("Max string recursion exceeded");
    }
    let chars: Vec<char> = template.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '{' if chars.get(at) == Some(&'{') => {
                out.push('{');
                at += 1;
            }
            '}' if chars.get(at) == Some(&'}') => {
                out.push('}');
                at += 1;
            }
            '}' => return value_error("Single '}' encountered in format string"),
            '{' => {
                let start = at;
                let mut level = 1;
                while level > 0 {
                    match chars.get(at) {
                        Some('{') => level += 1,
                        Some('}') => level -= 1,
                        Some(_) => {}
                        None if at == start => return value_error("Single '{' encountered in format string"),
                        None => return value_error("expected '}' before end of string"),
                    }
                    at += 1;
                }
                let field: String = chars[start..at - 1].iter().collect();
                let text = replace(vm, &field, args, auto, depth)?;
                out.push_str(&text);
            }
            c => out.push(c),
        }
    }
    vm.memory(out.len())?;
    Ok(out)
}

pub(super) fn replace(vm: &mut Vm, field: &str, args: &Args, auto: &mut Option<usize>, depth: u32) -> R<String> {
    let split = field.find(['!', ':']).unwrap_or(field.len());
    let (name, rest) = field.split_at(split);
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => match rest.split_once(':') {
            Some((conversion, spec)) => (conversion, spec),
            None => (rest, ""),
        },
        None => ("", rest.strip_prefix(':').unwrap_or("")),
    };
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, path) = name.split_at(end);
    let mut value = if first.is_empty() || first.bytes().all(|b| b.is_ascii_digit()) {
        let index = match (first.parse::<usize>(), *auto) {
            (Ok(i), None) => i,
            (Ok(i), Some(0)) => {
                *auto = None;
                i
            }
            (Ok(_), Some(_)) => {
                return value_error("cannot switch from automatic field numbering to manual field specification");
            }
            (Err(_), Some(i)) => {
                *auto = Some(i + 1);
                i
            }
            (Err(_), None) => {
                return value_error("cannot switch from manual field specification to automatic field numbering");
            }
        };
        match args.pos.get(index) {
            Some(v) => v.clone(),
            None => {
                return crate::exc::raise(
                    crate::exc::Kind::IndexError,
                    format!("Replacement index {index} out of range for positional args tuple"),
                );
            }
        }
    } else {
        match args.kw(first) {
            Some(v) => v.clone(),
            None => return crate::exc::raise(crate::exc::Kind::KeyError, first),
        }
    };
    let mut path = path;
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = vm.attribute(&value, &rest[..end])?;
            path = &rest[end..];
        } else {
            let Some((key, rest)) = path[1..].split_once(']') else {
                return value_error("Missing ']' in format string");
            };
            let key = key.parse::<i128>().map_or_else(|_| Value::str(key), Value::Int);
            value = vm.index(&value, &key)?;
            path = rest;
        }
    }
    let spec = if spec.contains(['{', '}']) { expand(vm, spec, args, auto, depth + 1)? } else { spec.to_string() };
    let value = match conversion {
        "" => value,
        "s" => Value::str(to_str(vm, &value)?),
        "r" => Value::str(to_repr(vm, &value)?),
        _ => return unknown("a conversion other than !r and !s"),
    };
    format(vm, &value, &spec)
}
