//! `worker.channel`: what the module of the key-value cache asks of whoever holds the entries.
//!
//! `panther_detection_helpers.caching` is one Python source for workers and for compiled detections, so that both mean the
//! same; this function is all that differs.

use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::value::Value;

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[NativeFn { name: "cache", call: cache }];

/// True for the function through which everything reads and writes the cache.
pub fn is_cache(function: &NativeFn) -> bool {
    // The one address of it is that in the table of modules.
    matches!(super::member("worker.channel", "cache"), Value::Native(own) if std::ptr::eq(own, function))
}

fn cache(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("cache", 2, 3)?;
    let (Value::Str(operation), Value::Str(key)) = (&args.pos[0], &args.pos[1]) else {
        return type_error("cache() takes an operation and a key");
    };
    let Some(session) = vm.cache.clone() else { return unknown("the key-value cache, which there is none of here") };
    let mut session = session.borrow_mut();
    let answer = match args.pos.get(2) {
        Some(entry) if &**operation == "put" => {
            let Some(entry) = crate::run::to_json(entry) else { return unknown("such an entry of the cache") };
            session.put(key, &entry).map(|()| Value::None)
        }
        _ => match session.get(key) {
            Ok(Some(held)) => {
                // Objects of a set's texts are larger than the texts.
                vm.memory(2 * held.size() + 64 * held.strings.as_ref().map_or(0, Vec::len))?;
                Ok(crate::event::plain_from_json(&held.to_json()))
            }
            other => other.map(|_| Value::None),
        },
    };
    match answer {
        Ok(value) => Ok(value),
        Err(why) => raise(Kind::RuntimeError, why),
    }
}
