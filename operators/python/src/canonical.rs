//! A text for every value by which two evaluators are compared.

use crate::event;
use crate::native::{Limits, Vm};
use crate::number::float_repr;
use crate::repr::str_repr;
use crate::value::{Type, Value};

/// A text that says type and content, with sets in order: what `canonical` of `oracle.py` writes.
pub fn canonical(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(canonical).collect::<Vec<_>>().join(", ");
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Str(_) | Value::Bytes(_) => {
            crate::repr::to_repr(&mut Vm::new(Limits::default(), 0), value).unwrap_or_default()
        }
        Value::Float(f) => float_repr(*f),
        Value::List(l) => format!("[{}]", list(&l.items.borrow())),
        Value::Tuple(t) if t.0.is_empty() => "(,)".into(),
        Value::Tuple(t) => format!("({},)", list(&t.0)),
        Value::Dict(d) => {
            let entries: Vec<String> =
                d.table.borrow().iter().map(|(k, v)| format!("{}: {}", canonical(k), canonical(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Set(s) => {
            let mut items: Vec<String> = s.table.borrow().keys().map(canonical).collect();
            items.sort();
            let items: Vec<String> = items.iter().map(|i| str_repr(i)).collect();
            format!("<{} [{}]>", value.type_of().name(), items.join(", "))
        }
        Value::EvDict(_) | Value::EvList(_) => {
            format!("<{} {}>", value.type_of().name(), canonical(&event::plain(value)))
        }
        Value::Class(_) => "<type>".into(),
        Value::Type(Type::Exc(_)) => "<type>".into(),
        other => {
            let name = other.type_name();
            format!("<{}>", name.rsplit('.').next().unwrap_or(&name))
        }
    }
}
