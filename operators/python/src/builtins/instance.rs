//! `isinstance`.

use crate::exc::{ExcClass, R, type_error, unknown};
use crate::native::{Args, Vm};
use crate::value::{Type, Value};

pub(super) fn isinstance(_: &mut Vm, args: Args) -> R<Value> {
    args.check("isinstance", 2, 2)?;
    instance(&args.pos[0], &args.pos[1]).map(Value::Bool)
}

/// `isinstance(value, class)`.
///
/// # Errors
/// `TypeError` for something that is no class; unknown for a class that is not there.
pub fn instance(value: &Value, class: &Value) -> R<bool> {
    if let Value::Missing(name) = value {
        return unknown(format!("`{name}` is not available"));
    }
    match class {
        Value::Tuple(classes) => {
            for class in &classes.0 {
                if instance(value, class)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Class(class) => Ok(match value {
            Value::Object(o) => o.class.is(class),
            Value::Exc(e) => matches!(&e.class, ExcClass::User(own) if own.is(class)),
            _ => false,
        }),
        Value::Type(Type::Typing) => unknown("isinstance() with something of typing"),
        Value::Type(of) => Ok(is_a(value, *of)),
        Value::Missing(name) => unknown(format!("`{name}` is not available")),
        _ => type_error("isinstance() arg 2 must be a type, a tuple of types, or a union"),
    }
}

pub(super) fn is_a(value: &Value, of: Type) -> bool {
    let own = value.type_of();
    match of {
        Type::Object => true,
        Type::Int => matches!(own, Type::Int | Type::Bool),
        Type::Dict => matches!(own, Type::Dict | Type::OrderedDict),
        Type::Mapping => matches!(own, Type::Dict | Type::OrderedDict | Type::Event | Type::EvDict),
        Type::MutableMapping => matches!(own, Type::Dict | Type::OrderedDict),
        Type::Sequence => {
            matches!(own, Type::List | Type::Tuple | Type::Str | Type::Bytes | Type::Range | Type::EvList)
        }
        Type::Iterable => {
            matches!(
                own,
                Type::List
                    | Type::Tuple
                    | Type::Str
                    | Type::Bytes
                    | Type::Range
                    | Type::EvList
                    | Type::Dict
                    | Type::OrderedDict
                    | Type::Event
                    | Type::EvDict
                    | Type::Set
                    | Type::FrozenSet
                    | Type::View
                    | Type::Iterator
            )
        }
        Type::Date => matches!(own, Type::Date | Type::DateTime),
        Type::EvDict => matches!(own, Type::EvDict | Type::Event),
        Type::Exc(kind) => matches!(own, Type::Exc(k) if k.is(kind)),
        other => own == other,
    }
}
