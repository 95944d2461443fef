//! Data models: `event.udm` and what goes with it.

use std::rc::Rc;

use crate::event::{self, EvDict};
use crate::exc::{R, raise, type_error, unknown};
use crate::module::Module;
use crate::native::{Args, Vm};
use crate::ops;
use crate::value::Value;

/// The data model of a log type.
#[derive(Debug, Default)]
pub struct DataModel {
    /// Names and where their values are.
    pub mappings: Vec<(Rc<str>, Mapping)>,
    /// The module that holds its methods.
    pub module: Option<Rc<Module>>,
}

/// Where a value of a data model is.
#[derive(Debug)]
pub enum Mapping {
    /// A path as it is written, `$.a.b` or `a.b`.
    Path(Rc<str>),
    /// A function of the model's module.
    Method(Rc<str>),
}

impl DataModel {
    pub(crate) fn find(&self, name: &str) -> Option<&Mapping> {
        self.mappings.iter().find(|(n, _)| &**n == name).map(|(_, m)| m)
    }
}

/// The segments of a plain dotted path.
pub(crate) fn segments(path: &str) -> R<Vec<&str>> {
    let plain = path.strip_prefix("$.").unwrap_or(path);
    if plain.contains(['[', '*', '?', '(', '$']) || plain.contains("..") {
        return unknown(format!("the path {path} of a data model"));
    }
    Ok(plain.split('.').map(|s| s.trim_matches(['\'', '"', '`'])).collect())
}

/// `event.udm(name, default=None)`.
///
/// The model decides first, by path (case-sensitive, on the raw event) or method. A name that it maps and that gives
/// nothing is the default. Otherwise `p_udm.<name>`, then the event's own field; there a falsy value counts as missing.
///
/// # Errors
/// What the method raises; unknown for a path with wildcards.
pub fn udm(vm: &mut Vm, map: &Rc<EvDict>, args: Args) -> R<Value> {
    args.check_named("udm", 0, usize::MAX, &["default"])?;
    let none = Value::None;
    let default = args.kw("default").unwrap_or(&none);
    if let ([Value::Str(name)], Some(model)) = (args.pos, vm.model.clone())
        && let Some(mapping) = model.find(name)
    {
        let value = match mapping {
            Mapping::Path(path) => {
                let mut at = Some(Value::EvDict(map.clone()));
                for segment in segments(path)? {
                    at = match at {
                        Some(Value::EvDict(e)) => e.exact(segment).cloned(),
                        _ => None,
                    };
                }
                event::plain(&at.unwrap_or(Value::None))
            }
            Mapping::Method(method) => match model.module.as_ref().and_then(|m| m.get(method)) {
                Some(function) => vm.call(&function, Args::positional(&[Value::EvDict(map.clone())]))?,
                None => return unknown(format!("the method {method} of a data model")),
            },
        };
        return Ok(if value.is_none() { default.clone() } else { value });
    }
    let mut keys = vec![Value::str("p_udm")];
    keys.extend(args.pos.iter().cloned());
    for keys in [&keys[..], args.pos] {
        let value = event::deep_get(map, keys, &Value::None)?;
        if ops::truthy(&value)? {
            return Ok(value);
        }
    }
    Ok(default.clone())
}

/// `event.udm_path(name)`: the path of a name in the data model, or the name of its method.
///
/// # Errors
/// `TypeError` for something else than one text.
pub fn udm_path(vm: &mut Vm, args: Args) -> R<Value> {
    let [Value::Str(name)] = args.pos else { return type_error("udm_path() takes one text") };
    Ok(match vm.model.as_ref().and_then(|m| m.find(name)) {
        Some(Mapping::Path(path)) => Value::str(path.strip_prefix("$.").unwrap_or(path)),
        Some(Mapping::Method(method)) => Value::Str(method.clone()),
        None => Value::None,
    })
}

/// `event.event_time_epoch()`: seconds of `p_event_time`, which is UTC; 0 without one.
///
/// # Errors
/// `ValueError` if it is no time.
pub fn event_time_epoch(map: &Rc<EvDict>) -> R<Value> {
    let Some(Value::Str(text)) = map.get("p_event_time") else { return Ok(Value::Int(0)) };
    match crate::stdlib::time_of(text) {
        Some(micros) => Ok(Value::Int(micros.div_euclid(1_000_000).into())),
        None => raise(crate::exc::Kind::ValueError, format!("time data {} is not a time", crate::repr::str_repr(text))),
    }
}
