//! `difflib.SequenceMatcher(None, a, b).ratio()` of two texts: Ratcliff and Obershelp, with CPython's junk heuristic.

use std::collections::HashMap;

use super::Lib;
use crate::exc::{R, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::value::Value;

/// Two texts that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    a: Vec<char>,
    b: Vec<char>,
}

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[NativeFn { name: "SequenceMatcher", call: matcher }];

fn matcher(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_named("SequenceMatcher", 0, 3, &["isjunk", "a", "b"])?;
    match (args.get(0, "isjunk"), args.get(1, "a"), args.get(2, "b")) {
        (None | Some(Value::None), Some(Value::Str(a)), Some(Value::Str(b))) => {
            vm.memory(8 * (a.len() + b.len()))?;
            Ok(Value::lib(Lib::Matcher(Matcher { a: a.chars().collect(), b: b.chars().collect() })))
        }
        _ => unknown("a SequenceMatcher of something else than two texts"),
    }
}

/// `ratio()`.
///
/// # Errors
/// The budget of steps: the work is the product of the lengths at worst.
pub fn ratio(vm: &mut Vm, m: &Matcher) -> R<Value> {
    let mut places: HashMap<char, Vec<usize>> = HashMap::new();
    for (i, c) in m.b.iter().enumerate() {
        places.entry(*c).or_default().push(i);
    }
    // From 200 characters on, those that make up more than one percent are not matched from.
    if m.b.len() >= 200 {
        let most = m.b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    let mut matches = 0usize;
    let mut open = vec![(0, m.a.len(), 0, m.b.len())];
    while let Some((alo, ahi, blo, bhi)) = open.pop() {
        let (i, j, k) = longest(vm, m, &places, (alo, ahi, blo, bhi))?;
        if k > 0 {
            matches += k;
            if alo < i && blo < j {
                open.push((alo, i, blo, j));
            }
            if i + k < ahi && j + k < bhi {
                open.push((i + k, ahi, j + k, bhi));
            }
        }
    }
    let total = m.a.len() + m.b.len();
    Ok(Value::Float(if total == 0 { 1.0 } else { 2.0 * matches as f64 / total as f64 }))
}

/// The longest block in both, the first in `a` and then in `b` of several; grown over characters left out above.
fn longest(
    vm: &mut Vm,
    m: &Matcher,
    places: &HashMap<char, Vec<usize>>,
    (alo, ahi, blo, bhi): (usize, usize, usize, usize),
) -> R<(usize, usize, usize)> {
    let (mut bi, mut bj, mut best) = (alo, blo, 0);
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in alo..ahi {
        let mut next = HashMap::new();
        for &j in places.get(&m.a[i]).map_or(&[][..], |p| p) {
            if j < blo {
                continue;
            }
            if j >= bhi {
                break;
            }
            vm.charge(1)?;
            let k = j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or(0) + 1;
            next.insert(j, k);
            if k > best {
                (bi, bj, best) = (i + 1 - k, j + 1 - k, k);
            }
        }
        lengths = next;
    }
    while bi > alo && bj > blo && m.a[bi - 1] == m.b[bj - 1] {
        (bi, bj, best) = (bi - 1, bj - 1, best + 1);
    }
    while bi + best < ahi && bj + best < bhi && m.a[bi + best] == m.b[bj + best] {
        best += 1;
    }
    Ok((bi, bj, best))
}
