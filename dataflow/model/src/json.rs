//! Paths over owned JSON, for the few events that are looked at whole.
use crate::path::{Path, Seg};
use serde_json::Value;

/// Value at a path without `[*]`; `None` if it does not exist.
pub fn get<'a>(root: &'a Value, path: &[Seg]) -> Option<&'a Value> {
    path.iter().try_fold(root, |v, s| match s {
        Seg::Key(k) => v.get(&**k),
        Seg::Index(i) => {
            let a = v.as_array()?;
            let i = if *i < 0 { a.len().checked_sub(i.unsigned_abs() as usize)? } else { *i as usize };
            a.get(i)
        }
        Seg::Each => None,
    })
}

/// Levels of brackets from which on `serde_json` makes no value of a text.
const TOO_DEEP: usize = 128;

/// False if a text can be checked, but no value be made of it, because it is nested too deep. Few texts hold so many
/// brackets at all; only those are tried.
pub(crate) fn shallow(text: &str) -> bool {
    let brackets = text.bytes().filter(|b| matches!(b, b'{' | b'[')).count();
    brackets < TOO_DEEP || serde_json::from_str::<Value>(text).is_ok()
}

/// Every value at a path, `[*]` expanded (nested arrays of hits are not flattened).
pub fn get_all<'a>(root: &'a Value, path: &Path) -> Vec<&'a Value> {
    fn go<'a>(v: &'a Value, path: &[Seg], out: &mut Vec<&'a Value>) {
        match path.iter().position(|s| *s == Seg::Each) {
            None => out.extend(get(v, path)),
            Some(i) => {
                if let Some(Value::Array(a)) = get(v, &path[..i]) {
                    a.iter().for_each(|e| go(e, &path[i + 1..], out));
                }
            }
        }
    }
    let mut out = Vec::new();
    go(root, &path.0, &mut out);
    out
}
