//! Arguments into the slots of parameters.

use super::super::Frame;
use crate::exc::{R, type_error};
use crate::native::Args;
use crate::value::{Func, Value};

/// Put arguments into the slots of the parameters.
pub(super) fn bind(func: &Func, frame: &mut Frame, this: Option<Value>, args: Args) -> R<()> {
    let code = &func.code;
    let params = &code.params;
    let name = &code.qualified;
    let count = params.names.len();
    let given = usize::from(this.is_some()) + args.pos.len();
    let mut values = this.into_iter().chain(args.pos.iter().cloned());
    for (slot, value) in (0..count as u32).zip(&mut values) {
        frame.store(slot, value);
    }
    let mut next = (count + params.keyword_only.len()) as u32;
    if params.rest {
        frame.store(next, Value::tuple(values.collect()));
        next += 1;
    } else if given > count {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let defaults = func.defaults.len();
        let verb = if given == 1 { "was" } else { "were" };
        return type_error(if defaults > 0 {
            format!("{name}() takes from {} to {count} positional arguments but {given} {verb} given", count - defaults)
        } else {
            format!("{name}() takes {count} positional argument{} but {given} {verb} given", plural(count))
        });
    }
    let mut extra = crate::table::Table::default();
    for (key, value) in args.kw {
        let slot = params
            .names
            .iter()
            .skip(params.positional_only)
            .position(|n| n == key)
            .map(|i| i + params.positional_only)
            .or_else(|| params.keyword_only.iter().position(|n| n == key).map(|i| i + count));
        match slot {
            Some(slot) if slot < count && slot < given => {
                return type_error(format!("{name}() got multiple values for argument '{key}'"));
            }
            Some(slot) => frame.store(slot as u32, value.clone()),
            None if params.kw_rest => extra.set(Value::Str(key.clone()), value.clone())?,
            None => return type_error(format!("{name}() got an unexpected keyword argument '{key}'")),
        }
    }
    if params.kw_rest {
        frame.store(next, Value::dict(extra));
    }
    let first_default = count - func.defaults.len();
    let mut missing = Vec::new();
    for slot in given.min(count)..count {
        if matches!(frame.load(slot as u32), Value::Unbound) {
            match slot.checked_sub(first_default) {
                Some(i) => frame.store(slot as u32, func.defaults[i].clone()),
                None => missing.push(format!("'{}'", params.names[slot])),
            }
        }
    }
    required(name, "positional", &missing)?;
    let mut missing = Vec::new();
    for (i, key) in params.keyword_only.iter().enumerate() {
        let slot = (count + i) as u32;
        if matches!(frame.load(slot), Value::Unbound) {
            match func.kw_defaults.iter().find(|(n, _)| n == key) {
                Some((_, value)) => frame.store(slot, value.clone()),
                None => missing.push(format!("'{key}'")),
            }
        }
    }
    required(name, "keyword-only", &missing)
}

pub(super) fn required(name: &str, what: &str, missing: &[String]) -> R<()> {
    let list = match missing {
        [] => return Ok(()),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    };
    let plural = if missing.len() == 1 { "" } else { "s" };
    type_error(format!("{name}() missing {} required {what} argument{plural}: {list}", missing.len()))
}
