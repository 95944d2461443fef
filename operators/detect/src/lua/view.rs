//! The event as a rule sees it: read-only, converted field by field when asked.
//!
//! | expression | gives |
//! |---|---|
//! | `event.field`, `event["a field"]` | the field, keys case-insensitive (exact first, else the first that fits); `nil` if absent or JSON null |
//! | `event.list[1]`, `event.list[-1]` | first and last element: lists count from 1, as everywhere in Lua |
//! | `#event.list`, `for i, v in event.list do`, `pairs`, `ipairs` | length and iteration, in the order of the input |
//! | `event:get(key, default)` | the field, or the default if it is absent; also for fields named like a method |
//! | `event:deep_get(k1, k2, …, {default = d})` | a nested value |
//! | `event:deep_walk(k1, k2, …, {default = d, return_val = "all"})` | every value along the keys, lists flattened, no duplicates; one hit comes alone, several as a table; `"first"`, `"last"` pick one |
//! | `event:udm(name, default)` | data-model field: `p_udm.<name>`, then the field itself; empty values count as absent |
//! | `event:lookup(table, key)` | row of an enrichment table that this event was joined to, by the value that matched |
//! | `event:event_time_epoch()` | `p_event_time` in seconds, 0 if absent |
//! | `event:to_table()` | a deep copy as ordinary tables |
//! | `tostring(event)` | its JSON |
//!
//! Nested objects and lists are views themselves and have the same methods. JSON null reads as `nil`. Numbers are
//! doubles, as all numbers in Luau: integers beyond 2^53 are rounded in Lua but come out of `alert_context` unharmed
//! when the object around them is passed on whole.
use super::meter::Meter;
use mlua::{AnyUserData, Function, Lua, MetaMethod, UserData, UserDataMethods, Value, Variadic};
use serde_json::{Map, Number, Value as J};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a library function that visits every value of an event is charged per value: a few tenths of a microsecond.
const TICKS_PER_VALUE: usize = 4;

/// JSON with shared containers, so that a view of a part costs one count.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Num(Number),
    Str(Rc<str>),
    Arr(Rc<Vec<Node>>),
    Obj(Rc<Vec<(String, Node)>>),
}

impl Node {
    /// Take JSON over; `bytes` grows by about what the node takes.
    pub(super) fn new(v: J, bytes: &mut usize) -> Node {
        *bytes += std::mem::size_of::<Node>();
        match v {
            J::Null => Node::Null,
            J::Bool(b) => Node::Bool(b),
            J::Number(n) => Node::Num(n),
            J::String(s) => {
                *bytes += s.len();
                Node::Str(s.into())
            }
            J::Array(a) => Node::Arr(Rc::new(a.into_iter().map(|v| Node::new(v, bytes)).collect())),
            J::Object(o) => {
                let mut entry = |(k, v): (String, J)| {
                    *bytes += k.len();
                    (k, Node::new(v, bytes))
                };
                Node::Obj(Rc::new(o.into_iter().map(&mut entry).collect()))
            }
        }
    }

    pub(super) fn to_json(&self) -> J {
        match self {
            Node::Null => J::Null,
            Node::Bool(b) => J::Bool(*b),
            Node::Num(n) => J::Number(n.clone()),
            Node::Str(s) => J::String(s.to_string()),
            Node::Arr(a) => J::Array(a.iter().map(Node::to_json).collect()),
            Node::Obj(o) => J::Object(o.iter().map(|(k, v)| (k.clone(), v.to_json())).collect::<Map<_, _>>()),
        }
    }

    /// The view of an event. What is not an object reads as an empty one.
    pub(super) fn object(&self, lua: &Lua) -> mlua::Result<AnyUserData> {
        lua.create_userdata(View(match self {
            Node::Obj(_) | Node::Arr(_) => self.clone(),
            _ => Node::Obj(Rc::default()),
        }))
    }

    pub(super) fn to_lua(&self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Node::Null => Value::Nil,
            Node::Bool(b) => Value::Boolean(*b),
            Node::Num(n) => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
            Node::Str(s) => Value::String(lua.create_string(&**s)?),
            Node::Arr(_) | Node::Obj(_) => Value::UserData(lua.create_userdata(View(self.clone()))?),
        })
    }

    /// As ordinary Lua tables; costs [`TICKS_PER_VALUE`].
    pub(super) fn tables(&self, lua: &Lua) -> mlua::Result<Value> {
        self.charge(lua)?;
        self.copy(lua)
    }

    /// Charge for a walk over everything in here.
    fn charge(&self, lua: &Lua) -> mlua::Result<()> {
        let (mut values, mut bytes) = (0, 0);
        self.measure(&mut values, &mut bytes);
        Meter::charge(lua, values.saturating_mul(TICKS_PER_VALUE))
    }

    fn copy(&self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Node::Arr(a) => {
                let t = lua.create_table_with_capacity(a.len(), 0)?;
                a.iter().enumerate().try_for_each(|(i, v)| t.raw_set(i + 1, v.copy(lua)?))?;
                Ok(Value::Table(t))
            }
            Node::Obj(o) => {
                let t = lua.create_table_with_capacity(0, o.len())?;
                o.iter().try_for_each(|(k, v)| t.raw_set(&**k, v.copy(lua)?))?;
                Ok(Value::Table(t))
            }
            scalar => scalar.to_lua(lua),
        }
    }

    /// A field: the exact key, else the first that differs in case only.
    fn field(&self, key: &str) -> Option<&Node> {
        let Node::Obj(o) = self else { return None };
        let exact = o.iter().find(|(k, _)| k == key);
        exact.or_else(|| o.iter().find(|(k, _)| same_folded(k, key))).map(|(_, v)| v)
    }

    /// An element; 1 is the first, -1 the last.
    fn element(&self, index: f64) -> Option<&Node> {
        let Node::Arr(a) = self else { return None };
        let at = if index < 0.0 { a.len() as f64 + index } else { index - 1.0 };
        (at >= 0.0 && at.fract() == 0.0 && at < a.len() as f64).then(|| &a[at as usize])
    }

    fn child(&self, key: &Value) -> Option<&Node> {
        match key {
            Value::String(s) => self.field(&s.to_str().ok()?),
            Value::Integer(i) => self.element(*i as f64),
            Value::Number(n) => self.element(*n),
            _ => None,
        }
    }

    /// Values along keys; lists are entered wherever they stand.
    fn walk<'a>(&'a self, keys: &[Value], seen: &mut BTreeSet<String>, out: &mut Vec<&'a Node>) {
        match (self, keys.split_first()) {
            (Node::Arr(a), _) => a.iter().for_each(|e| e.walk(keys, seen, out)),
            (Node::Null, _) => {}
            (hit, None) => {
                if seen.insert(hit.to_json().to_string()) {
                    out.push(hit);
                }
            }
            (node, Some((key, rest))) => {
                if let Some(next) = node.child(key) {
                    next.walk(rest, seen, out);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Node::Null | Node::Bool(false) => true,
            Node::Bool(true) => false,
            Node::Num(n) => n.as_f64() == Some(0.0),
            Node::Str(s) => s.is_empty(),
            Node::Arr(a) => a.is_empty(),
            Node::Obj(o) => o.is_empty(),
        }
    }

    fn measure(&self, values: &mut usize, bytes: &mut usize) {
        *values += 1;
        match self {
            Node::Str(s) => *bytes += s.len(),
            Node::Arr(a) => a.iter().for_each(|v| v.measure(values, bytes)),
            Node::Obj(o) => o.iter().for_each(|(k, v)| {
                *bytes += k.len();
                v.measure(values, bytes)
            }),
            _ => {}
        }
    }
}

fn same_folded(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// A container of the event in the hands of a rule.
pub(super) struct View(Node);

impl View {
    pub(super) fn to_json(&self) -> J {
        self.0.to_json()
    }

    /// Number of values and bytes of text inside.
    pub(super) fn size(&self) -> (usize, usize) {
        let (mut values, mut bytes) = (0, 0);
        self.0.measure(&mut values, &mut bytes);
        (values, bytes)
    }

    fn get(&self, lua: &Lua, key: &Value) -> mlua::Result<Value> {
        self.0.child(key).map_or(Ok(Value::Nil), |n| n.to_lua(lua))
    }

    /// A function that gives the next key and value at each call.
    pub(super) fn iterator(&self, lua: &Lua) -> mlua::Result<Function> {
        let (node, next) = (self.0.clone(), std::cell::Cell::new(0));
        lua.create_function(move |lua, _: Variadic<Value>| {
            let i = next.replace(next.get() + 1);
            match &node {
                Node::Arr(a) => match a.get(i) {
                    Some(v) => Ok((Value::Number((i + 1) as f64), v.to_lua(lua)?)),
                    None => Ok((Value::Nil, Value::Nil)),
                },
                Node::Obj(o) => match o.get(i) {
                    Some((k, v)) => Ok((Value::String(lua.create_string(k)?), v.to_lua(lua)?)),
                    None => Ok((Value::Nil, Value::Nil)),
                },
                _ => Ok((Value::Nil, Value::Nil)),
            }
        })
    }

    fn deep_walk(&self, lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
        self.0.charge(lua)?;
        let (keys, options) = Options::split(&args)?;
        let (mut seen, mut hits) = (BTreeSet::new(), Vec::new());
        self.0.walk(keys, &mut seen, &mut hits);
        match (hits.as_slice(), options.pick.as_str()) {
            ([], _) => Ok(options.default),
            ([one], _) | ([one, ..], "first") | ([.., one], "last") => one.to_lua(lua),
            (all, "all") => {
                let t = lua.create_table_with_capacity(all.len(), 0)?;
                all.iter().enumerate().try_for_each(|(i, n)| t.raw_set(i + 1, n.to_lua(lua)?))?;
                Ok(Value::Table(t))
            }
            (_, other) => Err(mlua::Error::runtime(format!(
                "deep_walk: return_val is {other:?}, must be \"all\", \"first\" or \"last\""
            ))),
        }
    }

    fn lookup(&self, lua: &Lua, (table, key): (String, Value)) -> mlua::Result<Value> {
        let key = match &key {
            Value::String(s) => s.to_string_lossy(),
            Value::Integer(i) => i.to_string(),
            Value::Number(n) => n.to_string(),
            _ => return Ok(Value::Nil),
        };
        let is_hit = |row: &&Node| matches!(row.field("p_match"), Some(Node::Str(s)) if **s == *key);
        let selectors = self.0.field("p_enrichment").and_then(|e| e.field(&table));
        let Some(Node::Obj(selectors)) = selectors else { return Ok(Value::Nil) };
        let rows = selectors.iter().flat_map(|(_, rows)| match rows {
            Node::Arr(a) => a.as_slice(),
            one => std::slice::from_ref(one),
        });
        rows.into_iter().find(is_hit).map_or(Ok(Value::Nil), |row| row.to_lua(lua))
    }

    fn udm(&self, lua: &Lua, name: &str, default: Value) -> mlua::Result<Value> {
        let fields = [self.0.field("p_udm").and_then(|u| u.field(name)), self.0.field(name)];
        let hit = fields.into_iter().flatten().find(|n| !n.is_empty());
        hit.map_or(Ok(default), |n| n.to_lua(lua))
    }

    fn epoch(&self) -> i64 {
        let Some(Node::Str(text)) = self.0.field("p_event_time") else { return 0 };
        let ns = model::time::rfc3339_ns(text).or_else(|| model::time::rfc3339_ns(&format!("{text}Z")));
        ns.map_or(0, |ns| ns.div_euclid(1_000_000_000))
    }
}

/// Named arguments: a table behind the keys.
struct Options {
    default: Value,
    pick: String,
}

impl Options {
    fn split(args: &[Value]) -> mlua::Result<(&[Value], Options)> {
        let Some((Value::Table(t), keys)) = args.split_last() else {
            return Ok((args, Options { default: Value::Nil, pick: "all".into() }));
        };
        let pick = t.raw_get::<Option<String>>("return_val")?.unwrap_or_else(|| "all".into());
        Ok((keys, Options { default: t.raw_get("default")?, pick }))
    }
}

impl UserData for View {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("get", |lua, v, (key, default): (Value, Value)| {
            Ok(match v.get(lua, &key)? {
                Value::Nil => default,
                hit => hit,
            })
        });
        methods.add_method("deep_get", |lua, v, args: Variadic<Value>| {
            let (keys, options) = Options::split(&args)?;
            let hit = keys.iter().try_fold(&v.0, |n, k| n.child(k));
            hit.filter(|n| **n != Node::Null).map_or(Ok(options.default), |n| n.to_lua(lua))
        });
        methods.add_method("deep_walk", |lua, v, args| v.deep_walk(lua, args));
        methods.add_method("lookup", |lua, v, args| v.lookup(lua, args));
        methods.add_method("udm", |lua, v, (name, default): (String, Value)| v.udm(lua, &name, default));
        methods.add_method("event_time_epoch", |_, v, ()| Ok(v.epoch()));
        methods.add_method("to_table", |lua, v, ()| v.0.tables(lua));
        methods.add_meta_method(MetaMethod::Index, |lua, v, key: Value| v.get(lua, &key));
        methods.add_meta_method(MetaMethod::NewIndex, |_, _, _: (Value, Value)| {
            Err::<(), _>(mlua::Error::runtime("the event is read-only; to_table() gives a copy"))
        });
        methods.add_meta_method(MetaMethod::Len, |_, v, ()| {
            Ok(match &v.0 {
                Node::Arr(a) => a.len(),
                Node::Obj(o) => o.len(),
                _ => 0,
            })
        });
        methods.add_meta_method(MetaMethod::Iter, |lua, v, ()| v.iterator(lua));
        methods.add_meta_method(MetaMethod::ToString, |lua, v, ()| {
            v.0.charge(lua)?;
            Ok(v.to_json().to_string())
        });
        methods.add_meta_method(MetaMethod::Eq, |_, v, other: Value| {
            Ok(matches!(&other, Value::UserData(u) if u.borrow::<View>().is_ok_and(|o| o.0 == v.0)))
        });
    }
}
