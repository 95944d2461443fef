//! Data models: `event.udm` and what goes with it.

use std::rc::Rc;

use crate::event::{self, EvDict};
use crate::exc::{Kind, R, Stop, raise, type_error, unknown};
use crate::module::Module;
use crate::native::{Args, Vm};
use crate::ops;
use crate::stdlib::strptime;
use crate::unicode;
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

/// The keys of a path that goes through maps only, `$.a.b`; `None` for one with indexes, wildcards or quotes.
pub(crate) fn segments(path: &str) -> Option<impl Iterator<Item = &str>> {
    let path = path.strip_prefix('$').unwrap_or(path);
    let simple = !path.contains(['[', '*', '\'', '"', '`']);
    simple.then(|| path.split('.').filter(|key| !key.is_empty()))
}

/// A step of a path.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    Every,
}

/// The steps of any path: `a['odd key']`, `a[0].b`, `a[*]`, `a.*`.
fn steps(path: &str) -> R<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    let odd = || unknown(format!("the path {path} of a data model"));
    // A text up to its quote, and what follows the quote and `close`.
    let quoted = |text: &str, close: &str| -> Option<(usize, usize)> {
        let quote = text.chars().next()?;
        let end = 1 + text[1..].find(&format!("{quote}{close}"))?;
        Some((end, end + 1 + close.len()))
    };
    while !rest.is_empty() {
        let quote = |text: &str| text.starts_with(['\'', '"', '`']);
        if let Some(more) = rest.strip_prefix('.') {
            rest = more;
        } else if let Some(more) = rest.strip_prefix('[') {
            if quote(more) {
                let Some((end, after)) = quoted(more, "]") else { return odd() };
                steps.push(Step::Key(&more[1..end]));
                rest = &more[after..];
                continue;
            }
            let Some((inside, after)) = more.split_once(']') else { return odd() };
            match inside.parse() {
                _ if inside == "*" => steps.push(Step::Every),
                Ok(index) => steps.push(Step::Index(index)),
                Err(_) => return odd(),
            }
            rest = after;
        } else if quote(rest) {
            let Some((end, after)) = quoted(rest, "") else { return odd() };
            steps.push(Step::Key(&rest[1..end]));
            rest = &rest[after..];
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(if &rest[..end] == "*" { Step::Every } else { Step::Key(&rest[..end]) });
            rest = &rest[end..];
        }
    }
    Ok(steps)
}

/// What a path finds on the event as it is, where keys are exact; with its place if that is asked for.
///
/// # Errors
/// `Exception` if it finds several; unknown for a path that cannot be read.
fn find(vm: &mut Vm, map: &Rc<EvDict>, path: &str, place: Option<&mut String>) -> R<Option<Value>> {
    if let Some(keys) = segments(path) {
        let mut at = Value::EvDict(map.clone());
        for key in keys {
            at = match &at {
                Value::EvDict(e) => match e.exact(key) {
                    Some(value) => value,
                    None => return Ok(None),
                },
                _ => return Ok(None),
            };
        }
        if let Some(place) = place {
            *place = segments(path).into_iter().flatten().collect::<Vec<_>>().join(".");
        }
        return Ok(Some(at));
    }
    let mut hits = vec![(String::new(), Value::EvDict(map.clone()))];
    for step in steps(path)? {
        let mut below = Vec::new();
        for (place, value) in hits {
            let under = |part: &str| if place.is_empty() { part.to_string() } else { format!("{place}.{part}") };
            match (&value, &step) {
                (Value::EvDict(e), Step::Every) => below.extend(e.items().iter().map(|(k, v)| (under(k), v.clone()))),
                (Value::EvDict(e), Step::Key(key)) => below.extend(e.exact(key).map(|v| (under(key), v))),
                (Value::EvList(l), Step::Every) => {
                    below.extend(l.items.iter().enumerate().map(|(i, v)| (under(&format!("[{i}]")), v.clone())));
                }
                (Value::EvList(l), Step::Index(i)) => {
                    below.extend(l.items.get(*i).map(|v| (under(&format!("[{i}]")), v.clone())));
                }
                _ => {}
            }
        }
        vm.charge(below.len() as u64)?;
        vm.memory(below.iter().map(|(place, _)| 64 + place.len()).sum())?;
        hits = below;
    }
    if hits.len() > 1 {
        return raise(
            Kind::Exception,
            format!("the path {path} of the data model finds {} values, it must find one", hits.len()),
        );
    }
    Ok(hits.pop().map(|(found, value)| {
        if let Some(place) = place {
            *place = found;
        }
        value
    }))
}

/// `event.udm(*names, default=None)`.
///
/// The model decides first about a single name, by path (case-sensitive, on the raw event) or method; the default stands
/// for a path that leads nowhere only. Otherwise `p_udm.<name>`, then the event's own field; there a falsy value counts as
/// missing. What is found is read-only.
///
/// # Errors
/// What the method raises; as [`find`] and [`EvDict::find`].
pub fn udm(vm: &mut Vm, map: &Rc<EvDict>, args: Args) -> R<Value> {
    args.check_named("udm", 0, usize::MAX, &["default"])?;
    let none = Value::None;
    let default = args.kw("default").unwrap_or(&none);
    if let ([Value::Str(name)], Some(model)) = (args.pos, vm.model.clone())
        && let Some(mapping) = model.find(name)
    {
        return match mapping {
            Mapping::Path(path) => Ok(find(vm, map, path, None)?.unwrap_or_else(|| default.clone())),
            Mapping::Method(method) => match model.module.as_ref().and_then(|m| m.get(method)) {
                Some(function) => {
                    let value = vm.call(&function, Args::positional(&[Value::EvDict(map.clone())]))?;
                    event::read_only(vm, value)
                }
                None => unknown(format!("the method {method} of a data model")),
            },
        };
    }
    if args.pos.is_empty() {
        return Ok(default.clone());
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

/// `event.udm_path(name)`: the path that a name of the data model finds in the event, or the name of its method; `None` for
/// neither.
///
/// # Errors
/// `PantherError` without a data model; as [`find`].
pub fn udm_path(vm: &mut Vm, map: &Rc<EvDict>, args: Args) -> R<Value> {
    args.check_named("udm_path", 1, 1, &["key"])?;
    let Some(model) = vm.model.clone() else {
        let log_type = map.get("p_log_type").unwrap_or(Value::None);
        let log_type = crate::repr::to_str(vm, &log_type)?;
        return raise(Kind::PantherError, format!("there is no data model for the log type: {log_type}"));
    };
    let Some(Value::Str(name)) = args.get(0, "key") else { return Ok(Value::None) };
    Ok(match model.find(name) {
        Some(Mapping::Path(path)) => {
            let mut place = String::new();
            find(vm, map, path, Some(&mut place))?.map_or(Value::None, |_| Value::str(place))
        }
        Some(Mapping::Method(method)) => Value::Str(method.clone()),
        None => Value::None,
    })
}

/// `event.event_time_epoch()`: seconds since 1970 of `p_event_time` (`2024-05-01 10:00:00.000000000`, UTC); 0 without one,
/// and of a text in another form.
///
/// # Errors
/// `TypeError` if it is no text.
pub fn event_time_epoch(vm: &mut Vm, map: &Rc<EvDict>) -> R<Value> {
    let text = match map.get("p_event_time") {
        None | Some(Value::None) => return Ok(Value::Int(0)),
        Some(Value::Str(text)) => text,
        Some(other) => {
            let other = other.type_name();
            return type_error(format!("unsupported operand type(s) for +: '{other}' and 'str'"));
        }
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.chars().any(unicode::is_other_number) {
        return unknown("numbers of other scripts");
    }
    let seconds = match strptime(vm, whole, "%Y-%m-%d %H:%M:%S") {
        Ok(time) => time.instant().div_euclid(1_000_000),
        Err(Stop::Raise(e)) if e.class.kind().is(Kind::ValueError) => return Ok(Value::Int(0)),
        Err(stop) => return Err(stop),
    };
    let digits = fraction.chars().all(unicode::is_decimal);
    Ok(Value::Int(if digits { seconds.into() } else { 0 }))
}
