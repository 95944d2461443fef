//! The slow path, and the truth: one record to one whole normalised event.
//!
//! Fields come in schema order with their declared types; keys the schema does not know are dropped; null and empty
//! values are left out. Only what the classifier may ask of a record can fail it: required fields (at the top and in
//! the objects below it), the types of top-level fields, times, `validate`. A nested value of another type is kept as
//! it is: a log type is not refused over a detail deep inside.
use crate::flat::FlatMap;
use crate::input::{FlatInput, In, Input, RawObject, raw_array, value, view};
use crate::json::JsonError;
use crate::miss::{Miss, tag_name};
use crate::schema::{Fetch, Field, Kind, Schema, Source, Spec};
use crate::typed::{Fault, Typed, check};
use model::event::tag;
use serde_json::{Map, Value as J};
use std::borrow::Cow;
use std::sync::Arc;

/// Decode a JSON record.
pub fn decode_json(schema: &Schema, record: &str) -> Result<Map<String, J>, Miss> {
    let object = RawObject::parse(record).map_err(|e| match record.trim_start().starts_with('{') {
        false => Miss::Json(JsonError::NotAnObject),
        true => Miss::Json(JsonError::Syntax { at: e.column().saturating_sub(1), what: "the record is not valid" }),
    })?;
    decode_fields(schema, &object.inlining(&schema.inline))
}

/// Decode what a text parser made of a line.
pub fn decode_flat(schema: &Schema, flat: &FlatMap, line: &str) -> Result<Map<String, J>, Miss> {
    decode_fields(schema, &FlatInput { flat, line })
}

fn decode_fields(schema: &Schema, input: &dyn Input) -> Result<Map<String, J>, Miss> {
    let mut out = Map::new();
    for f in &schema.fields {
        let Some(v) = source_value(schema, f, input) else {
            if f.required {
                return Err(Miss::Missing(f.name.clone()));
            }
            continue;
        };
        let v = masked(f, v);
        let typed = convert(&f.spec, &v, &f.name, true)?;
        if let Some(typed) = typed {
            out.insert(f.name.to_string(), typed);
        }
    }
    Ok(out)
}

/// Value of a top-level field before its mask and type.
pub fn source_value<'a>(schema: &Schema, field: &Field, input: &'a dyn Input) -> Option<In<'a>> {
    use model::path::Seg;
    match &field.source {
        Source::Key(_) if !field.aliases.is_empty() => input.named(&field.aliases),
        Source::Key(k) => input.get(&[Seg::Key(k.clone())]),
        Source::Copy(path) => input.get(&path.0),
        Source::Concat(from, separator) => concat(from, separator, input).map(|t| In::Text(t.into())),
        Source::Split { from, separator, index } => {
            let text = fetch_text(schema, from, input)?;
            let part = split_part(&text, separator, *index)?;
            Some(In::Text(part.to_string().into()))
        }
    }
}

fn concat(from: &[Fetch], separator: &str, input: &dyn Input) -> Option<String> {
    let texts = from.iter().filter_map(|f| match f {
        Fetch::Input(p) => input.get(&p.0).map(|v| v.text().into_owned()),
        Fetch::Field(_) => None,
    });
    let texts: Vec<String> = texts.filter(|t| !t.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join(separator))
}

fn fetch_text(schema: &Schema, from: &Fetch, input: &dyn Input) -> Option<String> {
    match from {
        Fetch::Input(p) => input.get(&p.0).map(|v| v.text().into_owned()),
        Fetch::Field(i) => match &schema.fields.get(*i)?.source {
            Source::Concat(from, separator) => concat(from, separator, input),
            _ => None,
        },
    }
}

/// Part of a text, by index; negative counts from the end. `None` if there is no such part or it is empty.
pub fn split_part<'a>(text: &'a str, separator: &str, index: i64) -> Option<&'a str> {
    let nth = |n: u64| usize::try_from(n).ok();
    let part = match index {
        i if i >= 0 => text.split(separator).nth(nth(i as u64)?),
        i => text.rsplit(separator).nth(nth(i.unsigned_abs() - 1)?),
    };
    part.filter(|p| !p.is_empty())
}

fn masked<'a>(field: &Field, v: In<'a>) -> In<'a> {
    match &field.mask {
        // Only scalars can be of the type that a mask needs; a container stays what it is and fails its type.
        Some(m) if !matches!(&v, In::Json(j) if j.starts_with(['{', '['])) => In::Text(m.text(&v.text()).into()),
        _ => v,
    }
}

/// A value by its declared type; `None` is no value. `strict`: this is a top-level field or in objects below one, so
/// faults fail the record; elsewhere a value that does not fit is kept as it is.
fn convert(spec: &Spec, v: &In<'_>, name: &Arc<str>, strict: bool) -> Result<Option<J>, Miss> {
    match v {
        In::Json(j) => convert_json(spec, j, name, true, strict),
        In::Text(t) => convert_text(spec, t, name, strict),
    }
}

/// Plain text: containers are JSON in it, as if every one were `isEmbeddedJSON`.
fn convert_text(spec: &Spec, text: &str, name: &Arc<str>, strict: bool) -> Result<Option<J>, Miss> {
    if spec.kind.is_container() {
        let t = text.trim();
        if t.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok() {
            return convert_json(spec, t, name, true, strict);
        }
    }
    scalar(spec, tag::STR, text, name)
}

/// A JSON text by its declared type. `top`: a wrong type fails the record.
pub fn convert_json(spec: &Spec, json: &str, name: &Arc<str>, top: bool, strict: bool) -> Result<Option<J>, Miss> {
    let (t, text) = view(json);
    let (t, text): (u8, Cow<str>) = match (spec.embedded, t) {
        (true, tag::STR) => match embedded(&text) {
            Some(None) => return Ok(None),
            Some(Some(inner)) => {
                let (t, text) = view(inner);
                (t, text.into_owned().into())
            }
            None if top => return Err(wrong(spec, tag::STR, name)),
            None => return Ok(keep(json)),
        },
        _ => (t, text),
    };
    match of_kind(spec, t, &text, name, strict) {
        Err(_) if !top && !matches!(spec.kind, Kind::Object(_)) => Ok(keep(json)),
        Err(Miss::WrongType { .. }) if !top && t != tag::OBJ => Ok(keep(json)),
        fits => fits,
    }
}

/// A value of known tag, strings unescaped, by the declared type of a top-level field.
pub fn convert_tagged(spec: &Spec, t: u8, text: &str, name: &Arc<str>) -> Result<Option<J>, Miss> {
    if !(spec.embedded && t == tag::STR) {
        return of_kind(spec, t, text, name, true);
    }
    match embedded(text) {
        Some(None) => Ok(None),
        Some(Some(inner)) => {
            let (t, text) = view(inner);
            of_kind(spec, t, &text, name, true)
        }
        None => Err(wrong(spec, tag::STR, name)),
    }
}

/// As [`convert_tagged`], for the value of a text parser: see [`decode_flat`].
pub fn convert_flat(spec: &Spec, t: u8, text: &str, name: &Arc<str>) -> Result<Option<J>, Miss> {
    match t {
        tag::STR => convert_text(spec, text, name, true),
        _ => convert_tagged(spec, t, text, name),
    }
}

fn of_kind(spec: &Spec, t: u8, text: &str, name: &Arc<str>, strict: bool) -> Result<Option<J>, Miss> {
    match (&spec.kind, t) {
        (_, tag::NULL) => Ok(None),
        (Kind::Object(fields), tag::OBJ) => object(fields, text, name, strict),
        (Kind::Array(e), tag::ARR) => Ok(array(e, text, name)),
        _ => scalar(spec, t, text, name),
    }
}

/// JSON inside a string: `None` if it is not JSON, `Some(None)` if the string is empty.
pub fn embedded(text: &str) -> Option<Option<&str>> {
    let t = text.trim();
    if t.is_empty() {
        return Some(None);
    }
    serde_json::from_str::<&serde_json::value::RawValue>(t).ok().map(|r| Some(r.get()))
}

fn keep(json: &str) -> Option<J> {
    let v: J = serde_json::from_str(json).unwrap_or_else(|_| J::String(view(json).1.into_owned()));
    (!is_empty(&v)).then_some(v)
}

fn is_empty(v: &J) -> bool {
    match v {
        J::Null => true,
        J::String(s) => s.is_empty(),
        J::Array(a) => a.is_empty(),
        J::Object(o) => o.is_empty(),
        _ => false,
    }
}

fn object(fields: &[Field], text: &str, name: &Arc<str>, strict: bool) -> Result<Option<J>, Miss> {
    let Ok(object) = RawObject::parse(text) else { return Ok(keep(text)) };
    let mut out = Map::new();
    for f in fields {
        let path: Arc<str> = if strict && f.required { format!("{name}.{}", f.name).into() } else { f.name.clone() };
        let key = match &f.source {
            Source::Key(k) => k,
            _ => &f.name,
        };
        let raw = object.key(key).filter(|r| *r != "null");
        let Some(raw) = raw else {
            if strict && f.required {
                return Err(Miss::Missing(path));
            }
            continue;
        };
        let path: Arc<str> = if strict { format!("{name}.{}", f.name).into() } else { path };
        let v = match &f.mask {
            Some(m) => Some(J::String(m.text(&view(raw).1))),
            None => convert_json(&f.spec, raw, &path, false, strict)?,
        };
        if let Some(v) = v.filter(|v| !is_empty(v)) {
            out.insert(f.name.to_string(), v);
        }
    }
    Ok((!out.is_empty()).then_some(J::Object(out)))
}

/// Elements keep their places, so nulls stay. Nothing in an array fails the record.
fn array(element: &Spec, text: &str, name: &Arc<str>) -> Option<J> {
    let items = raw_array(text)?;
    let each = |raw: &&str| convert_json(element, raw, name, false, false).ok().flatten().unwrap_or(J::Null);
    let out: Vec<J> = items.iter().map(each).collect();
    (!out.is_empty()).then_some(J::Array(out))
}

fn scalar(spec: &Spec, t: u8, text: &str, name: &Arc<str>) -> Result<Option<J>, Miss> {
    match check(spec, value(t, text)) {
        Ok(Typed::Absent) => Ok(None),
        Ok(Typed::Same(t)) => Ok(Some(value(t, text).to_json())),
        Ok(Typed::Number(n)) => Ok(Some(value(tag::NUM, &n).to_json())),
        Ok(Typed::Text(s)) => Ok(Some(J::String(s.into()))),
        Err(fault) => Err(miss(spec, fault, t, name)),
    }
}

/// A fault of a field as a reason.
pub fn miss(spec: &Spec, fault: Fault, t: u8, name: &Arc<str>) -> Miss {
    match fault {
        Fault::Type => wrong(spec, t, name),
        Fault::Time => Miss::BadTime(name.clone()),
        Fault::Denied => {
            let wants = spec.validate.as_ref().map_or(String::new(), |v| v.wants());
            Miss::Denied { field: name.clone(), wants }
        }
    }
}

fn wrong(spec: &Spec, t: u8, name: &Arc<str>) -> Miss {
    Miss::WrongType { field: name.clone(), want: spec.kind.name(), got: tag_name(t) }
}

#[cfg(test)]
mod tests;
