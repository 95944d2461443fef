//! Methods of `dict`, of the event and of the maps in it.

use std::rc::Rc;

use crate::eval::access::key_error;
use crate::event::{self, EvDict};
use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::module::thaw;
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::value::{Dict, Part, Value, View};

fn view(of: Value, part: Part) -> Value {
    Value::View(Rc::new(View { of, part }))
}

/// Call a method of a dict.
pub(super) fn method(vm: &mut Vm, dict: &Rc<Dict>, name: Name, args: Args) -> R<Value> {
    let this = || Value::Dict(dict.clone());
    match name {
        Name::get => {
            args.check("get", 1, 2)?;
            let found = dict.table.borrow().get(&args.pos[0])?.cloned();
            return Ok(found.unwrap_or_else(|| args.pos.get(1).cloned().unwrap_or(Value::None)));
        }
        Name::keys => {
            args.check("dict.keys", 0, 0)?;
            return Ok(view(this(), Part::Keys));
        }
        Name::values => {
            args.check("dict.values", 0, 0)?;
            return Ok(view(this(), Part::Values));
        }
        Name::items => {
            args.check("dict.items", 0, 0)?;
            return Ok(view(this(), Part::Items));
        }
        Name::copy => {
            args.check("dict.copy", 0, 0)?;
            let table = dict.table.borrow().clone();
            vm.memory(64 * table.len())?;
            return Ok(Value::Dict(Rc::new(Dict { table: table.into(), frozen: false.into(), ordered: dict.ordered })));
        }
        Name::fromkeys => return super::class_method(vm, crate::value::Type::Dict, &Rc::from("fromkeys"), args),
        _ => thaw(&dict.frozen)?,
    }
    match name {
        Name::update => {
            if args.pos.len() > 1 {
                return type_error(format!("update expected at most 1 argument, got {}", args.pos.len()));
            }
            if let Some(other) = args.pos.first() {
                for (key, value) in vm.pairs(other)? {
                    vm.memory(64)?;
                    dict.table.borrow_mut().set(key, value)?;
                }
            }
            for (key, value) in args.kw {
                dict.table.borrow_mut().set(Value::Str(key.clone()), value.clone())?;
            }
            Ok(Value::None)
        }
        Name::pop => {
            args.check("pop", 1, 2)?;
            // An empty dict does not even hash the key.
            if dict.table.borrow().is_empty() {
                return args.pos.get(1).cloned().ok_or_else(|| key_error(&args.pos[0]));
            }
            match (dict.table.borrow_mut().remove(&args.pos[0])?, args.pos.get(1)) {
                (Some(value), _) => Ok(value),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => Err(key_error(&args.pos[0])),
            }
        }
        Name::popitem => {
            args.check("dict.popitem", 0, 0)?;
            match dict.table.borrow_mut().pop_last() {
                Some((key, value)) => Ok(Value::tuple(vec![key, value])),
                None => raise(Kind::KeyError, "popitem(): dictionary is empty"),
            }
        }
        Name::setdefault => {
            args.check("setdefault", 1, 2)?;
            let default = args.pos.get(1).cloned().unwrap_or(Value::None);
            let found = dict.table.borrow().get(&args.pos[0])?.cloned();
            match found {
                Some(value) => Ok(value),
                None => {
                    vm.memory(64)?;
                    dict.table.borrow_mut().set(args.pos[0].clone(), default.clone())?;
                    Ok(default)
                }
            }
        }
        Name::clear => {
            args.check("dict.clear", 0, 0)?;
            dict.table.borrow_mut().clear();
            Ok(Value::None)
        }
        _ => unknown("a method of dict"),
    }
}

/// Call a method of the event or of a map in it.
pub(super) fn event_method(vm: &mut Vm, map: &Rc<EvDict>, name: Name, args: Args) -> R<Value> {
    let this = || Value::EvDict(map.clone());
    match name {
        Name::get => {
            args.check_named("get", 1, 2, &["default"])?;
            match map.find(&args.pos[0])? {
                Some(value) => Ok(value),
                None => Ok(args.get(1, "default").cloned().unwrap_or(Value::None)),
            }
        }
        Name::deep_get => {
            args.check_named("deep_get", 0, usize::MAX, &["default"])?;
            vm.charge(args.pos.len() as u64)?;
            event::deep_get(map, args.pos, args.kw("default").unwrap_or(&Value::None))
        }
        Name::deep_walk => {
            args.check_named("deep_walk", 0, usize::MAX, &["default", "return_val"])?;
            let all = Value::str("all");
            let found = event::deep_walk(
                map,
                args.pos,
                args.kw("default").unwrap_or(&Value::None),
                args.kw("return_val").unwrap_or(&all),
            )?;
            vm.charge(8)?;
            Ok(found)
        }
        Name::keys => {
            args.check("keys", 0, 0)?;
            Ok(view(this(), Part::Keys))
        }
        Name::values => {
            args.check("values", 0, 0)?;
            Ok(view(this(), Part::Values))
        }
        Name::items => {
            args.check("items", 0, 0)?;
            Ok(view(this(), Part::Items))
        }
        Name::copy | Name::to_dict => {
            args.check("copy", 0, 0)?;
            vm.memory(256 * map.items().len())?;
            Ok(event::plain(&this()))
        }
        Name::udm => crate::model::udm(vm, map, args),
        Name::udm_path => crate::model::udm_path(vm, map, args),
        Name::event_time_epoch => {
            args.check("event_time_epoch", 0, 0)?;
            crate::model::event_time_epoch(vm, map)
        }
        Name::lookup => unknown("event.lookup()"),
        _ => unknown("a method of the event"),
    }
}
