//! `fnmatch`.

use crate::exc::{R, type_error, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::value::Value;

/// `fnmatch`.
pub static FNMATCH: &[NativeFn] =
    &[NativeFn { name: "fnmatch", call: fnmatch }, NativeFn { name: "fnmatchcase", call: fnmatch }];

pub(super) fn fnmatch(vm: &mut Vm, args: Args) -> R<Value> {
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
pub(super) fn glob(vm: &mut Vm, name: &[char], pattern: &[char]) -> R<bool> {
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

pub(super) fn end_of_class(pattern: &[char], start: usize) -> Option<usize> {
    let mut at = start + 1;
    if pattern.get(at) == Some(&'!') {
        at += 1;
    }
    if pattern.get(at) == Some(&']') {
        at += 1;
    }
    pattern[at.min(pattern.len())..].iter().position(|c| *c == ']').map(|i| at + i)
}

pub(super) fn in_class(class: &[char], c: char) -> bool {
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
