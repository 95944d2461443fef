//! Running a compiled detection on an event.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use crate::cache::Session;
use crate::compile::Compiled;
use crate::event::{self, EvDict, Source};
use crate::exc::{Place, Stop};
use crate::model::DataModel;
use crate::native::{Args, Limits, Vm};
use crate::ops;
use crate::value::Value;

/// An event, converted once for all detections.
#[derive(Clone, Debug)]
pub struct Event(pub Rc<EvDict>);

impl Event {
    /// An event from a JSON object.
    pub fn new(map: &Map<String, Json>) -> Event {
        Event(event::event(map))
    }

    /// An event whose fields are read when a detection asks for them.
    pub fn of(source: Rc<dyn Source>) -> Event {
        Event(Rc::new(EvDict::from(source)))
    }
}

/// A Python exception that ended a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Name of its class.
    pub class: String,
    /// Its text, `str(e)`.
    pub message: String,
    /// `repr(e)`: the title of an error record.
    pub repr: String,
    /// Where it came up.
    pub at: Option<Place>,
}

/// How a function ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With a value.
    Value(Value),
    /// With an exception.
    Raised(Raised),
    /// With something that is not built; the text says what.
    Unknown(String),
    /// The budget of steps or memory is used up.
    Exhausted(&'static str),
}

/// What detections are called with.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Data model of the event's log type.
    pub model: Option<Rc<DataModel>>,
    /// The clock, microseconds since 1970: what `datetime.now()` gives.
    pub clock: i64,
    /// Budgets of each function.
    pub limits: Limits,
    /// The key-value cache, begun for this event; without it a use of one is unknown.
    pub cache: Option<Rc<RefCell<Session>>>,
}

impl Compiled {
    /// Make the globals that functions assign what they were after loading. To be called before the first function of
    /// an event: what a detection remembers of one event must not decide over the next, or a replay would differ.
    pub fn begin(&self) {
        self.module.reset();
        self.library.reset();
    }

    /// Call a function of the detection with an event.
    pub fn call(&self, name: &str, event: &Event, setting: &Setting) -> Outcome {
        self.call_value(name, Value::EvDict(event.0.clone()), setting)
    }

    /// Call a function with any value: a policy gets a plain dict.
    pub fn call_value(&self, name: &str, argument: Value, setting: &Setting) -> Outcome {
        let Some(function) = self.module.get(name) else {
            return Outcome::Unknown(format!("the detection has no function {name}"));
        };
        let mut vm = Vm::new(setting.limits, setting.clock);
        vm.model = setting.model.clone();
        vm.cache = setting.cache.clone();
        let result = outcome(vm.call(&function, Args::positional(&[argument])));
        if let Some(session) = &setting.cache {
            session.borrow_mut().function_ended(matches!(result, Outcome::Unknown(_) | Outcome::Exhausted(_)));
        }
        result
    }
}

/// What a result means to the engine.
pub fn outcome(result: Result<Value, Stop>) -> Outcome {
    match result {
        Ok(value) => Outcome::Value(value),
        Err(Stop::Raise(e)) => {
            let mut vm = Vm::new(Limits::default(), 0);
            let value = Value::Exc(e.clone());
            let message = crate::repr::to_str(&mut vm, &value).unwrap_or_default();
            let repr = crate::repr::to_repr(&mut vm, &value).unwrap_or_default();
            let at = e.at.borrow().clone();
            Outcome::Raised(Raised { class: e.class.name().into(), message, repr, at })
        }
        Err(Stop::Unknown(what)) => Outcome::Unknown(what.to_string()),
        Err(Stop::Steps) => Outcome::Exhausted("steps"),
        Err(Stop::Memory) => Outcome::Exhausted("memory"),
    }
}

/// A value as JSON. Sets and tuples become lists, keys texts; `None` if a part has no JSON form.
pub fn to_json(value: &Value) -> Option<Json> {
    json(value, 0)
}

fn json(value: &Value, depth: u32) -> Option<Json> {
    if depth > ops::MAX_NESTING {
        return None;
    }
    let list = |items: &[Value]| items.iter().map(|v| json(v, depth + 1)).collect::<Option<Vec<_>>>().map(Json::Array);
    Some(match value {
        Value::None => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
            (Ok(i), _) => i.into(),
            (_, Ok(u)) => u.into(),
            _ => serde_json::Number::from_f64(*i as f64)?.into(),
        },
        Value::Float(f) => serde_json::Number::from_f64(*f)?.into(),
        Value::Str(s) => Json::String(s.to_string()),
        Value::List(l) => return list(&l.items.borrow()),
        Value::Tuple(t) => return list(&t.0),
        Value::EvList(l) => return list(&l.items),
        Value::Set(s) => return list(&s.table.borrow().keys().cloned().collect::<Vec<_>>()),
        Value::EvDict(e) => {
            let mut map = Map::new();
            for (key, value) in e.items() {
                map.insert(key.to_string(), json(value, depth + 1)?);
            }
            Json::Object(map)
        }
        Value::Dict(d) => {
            let mut map = Map::new();
            for (key, value) in d.table.borrow().iter() {
                let key = match key {
                    Value::Str(s) => s.to_string(),
                    Value::None => "null".into(),
                    Value::Bool(b) => b.to_string(),
                    Value::Int(i) => i.to_string(),
                    Value::Float(f) => crate::number::float_repr(*f),
                    _ => return None,
                };
                map.insert(key, json(value, depth + 1)?);
            }
            Json::Object(map)
        }
        _ => return None,
    })
}
