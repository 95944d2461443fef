//! A value against its declared type (functional spec §1.6). One set of rules for the columns and for whole events.
//!
//! Accepted beyond the exact type: numbers and booleans as text, numeric text as a number, `"true"` and `"false"` as
//! booleans. Nothing is rounded or cut. Null, and empty text for anything but free JSON inside, is no value.
use crate::schema::{Kind, Spec};
use model::event::{Value, tag};

/// What a value is, by its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The same text under this tag.
    Same(u8),
    /// Other text, because the text as written is not a JSON number.
    Number(String),
    /// The text of a boolean.
    Text(&'static str),
    /// No value.
    Absent,
}

/// Why a value does not have its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another type.
    Type,
    /// Not a time.
    Time,
    /// `validate` refuses it.
    Denied,
}

/// Tag of a value.
pub fn tag_of(v: &Value) -> u8 {
    match v {
        Value::Absent => tag::ABSENT,
        Value::Null => tag::NULL,
        Value::Bool(false) => tag::FALSE,
        Value::Bool(true) => tag::TRUE,
        Value::Num(_) => tag::NUM,
        Value::Str(_) => tag::STR,
        Value::Arr(_) => tag::ARR,
        Value::Obj(_) => tag::OBJ,
    }
}

/// True for `{}` and `[]`, with white space inside.
pub fn is_empty_container(raw: &str) -> bool {
    raw.len() >= 2 && raw[1..raw.len() - 1].bytes().all(|b| b.is_ascii_whitespace())
}

/// Check a value against its type.
#[inline]
pub fn check(spec: &Spec, v: Value<'_>) -> Result<Typed, Fault> {
    match v {
        Value::Absent | Value::Null | Value::Str("") => return Ok(Typed::Absent),
        Value::Obj(raw) | Value::Arr(raw) if is_empty_container(raw) && spec.kind.is_container() => {
            return Ok(Typed::Absent);
        }
        _ => {}
    }
    match &spec.kind {
        Kind::String => string(spec, v),
        Kind::SmallInt => integer(v, i16::MIN as i64, i16::MAX as i64),
        Kind::Int => integer(v, i32::MIN as i64, i32::MAX as i64),
        Kind::BigInt => integer(v, i64::MIN, i64::MAX),
        Kind::Float => float(v),
        Kind::Boolean => match v {
            Value::Bool(b) => Ok(Typed::Same(if b { tag::TRUE } else { tag::FALSE })),
            Value::Str("true") => Ok(Typed::Same(tag::TRUE)),
            Value::Str("false") => Ok(Typed::Same(tag::FALSE)),
            _ => Err(Fault::Type),
        },
        Kind::Timestamp(format) => match v {
            Value::Str(s) => format.parse(s).map(|_| Typed::Same(tag::STR)).ok_or(Fault::Time),
            Value::Num(s) => format.parse(s).map(|_| Typed::Same(tag::NUM)).ok_or(Fault::Time),
            _ => Err(Fault::Type),
        },
        Kind::Object(_) if !matches!(v, Value::Obj(_)) => Err(Fault::Type),
        Kind::Array(_) if !matches!(v, Value::Arr(_)) => Err(Fault::Type),
        Kind::Object(_) | Kind::Array(_) | Kind::Json => Ok(Typed::Same(tag_of(&v))),
    }
}

fn string(spec: &Spec, v: Value<'_>) -> Result<Typed, Fault> {
    let (typed, text) = match v {
        Value::Str(s) | Value::Num(s) => (Typed::Same(tag::STR), s),
        Value::Bool(true) => (Typed::Text("true"), "true"),
        Value::Bool(false) => (Typed::Text("false"), "false"),
        _ => return Err(Fault::Type),
    };
    match &spec.validate {
        Some(rule) if !rule.accepts(text) => Err(Fault::Denied),
        _ => Ok(typed),
    }
}

fn integer(v: Value<'_>, min: i64, max: i64) -> Result<Typed, Fault> {
    let (Value::Num(s) | Value::Str(s)) = v else { return Err(Fault::Type) };
    let t = s.trim();
    if t.is_empty() {
        return Ok(Typed::Absent);
    }
    let n: i64 = t.parse().map_err(|_| Fault::Type)?;
    if n < min || n > max {
        return Err(Fault::Type);
    }
    // `007`, `+7` and ` 7` are numbers to people, not to JSON.
    let digits = s.strip_prefix('-').unwrap_or(s).as_bytes();
    let plain = digits[0].is_ascii_digit() && (digits.len() == 1 || digits[0] != b'0') && t.len() == s.len();
    Ok(if plain { Typed::Same(tag::NUM) } else { Typed::Number(n.to_string()) })
}

fn float(v: Value<'_>) -> Result<Typed, Fault> {
    match v {
        Value::Num(_) => Ok(Typed::Same(tag::NUM)),
        Value::Str(s) if s.trim().is_empty() => Ok(Typed::Absent),
        Value::Str(s) => match serde_json::from_str::<serde_json::Number>(s) {
            Ok(_) if s.trim().len() == s.len() => Ok(Typed::Same(tag::NUM)),
            _ => {
                let n: f64 = s.trim().parse().map_err(|_| Fault::Type)?;
                let n = serde_json::Number::from_f64(n).ok_or(Fault::Type)?;
                Ok(Typed::Number(n.to_string()))
            }
        },
        _ => Err(Fault::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Validate;
    use model::time::TimeFormat;
    use std::sync::Arc;

    fn ok(kind: Kind, v: Value) -> Typed {
        check(&Spec::of(kind), v).unwrap()
    }
    fn err(kind: Kind, v: Value) -> Fault {
        check(&Spec::of(kind), v).unwrap_err()
    }

    #[test]
    fn text_takes_scalars() {
        assert_eq!(ok(Kind::String, Value::Str("x")), Typed::Same(tag::STR));
        assert_eq!(ok(Kind::String, Value::Num("1.50")), Typed::Same(tag::STR));
        assert_eq!(ok(Kind::String, Value::Bool(true)), Typed::Text("true"));
        assert_eq!(ok(Kind::String, Value::Str("")), Typed::Absent);
        assert_eq!(err(Kind::String, Value::Obj("{}")), Fault::Type);
        let mut spec = Spec::of(Kind::String);
        spec.validate = Some(Arc::new(Validate::Allow(vec!["a".into()])));
        assert_eq!(check(&spec, Value::Str("b")), Err(Fault::Denied));
        assert_eq!(check(&spec, Value::Str("a")), Ok(Typed::Same(tag::STR)));
    }

    #[test]
    fn integers_keep_their_range() {
        assert_eq!(ok(Kind::SmallInt, Value::Num("32767")), Typed::Same(tag::NUM));
        assert_eq!(err(Kind::SmallInt, Value::Num("32768")), Fault::Type);
        assert_eq!(ok(Kind::Int, Value::Num("-2147483648")), Typed::Same(tag::NUM));
        assert_eq!(err(Kind::Int, Value::Num("2147483648")), Fault::Type);
        assert_eq!(ok(Kind::BigInt, Value::Str("9223372036854775807")), Typed::Same(tag::NUM));
        assert_eq!(err(Kind::BigInt, Value::Num("9223372036854775808")), Fault::Type);
        assert_eq!(err(Kind::BigInt, Value::Num("1.0")), Fault::Type);
        assert_eq!(ok(Kind::Int, Value::Str("007")), Typed::Number("7".into()));
        assert_eq!(ok(Kind::Int, Value::Str("+7")), Typed::Number("7".into()));
        assert_eq!(ok(Kind::Int, Value::Str(" 7 ")), Typed::Number("7".into()));
        assert_eq!(ok(Kind::Int, Value::Str("-0")), Typed::Same(tag::NUM));
        assert_eq!(ok(Kind::Int, Value::Str("0")), Typed::Same(tag::NUM));
        assert_eq!(ok(Kind::Int, Value::Str(" ")), Typed::Absent);
        assert_eq!(err(Kind::Int, Value::Str("x")), Fault::Type);
        assert_eq!(err(Kind::Int, Value::Bool(true)), Fault::Type);
    }

    #[test]
    fn floats_booleans_times() {
        assert_eq!(ok(Kind::Float, Value::Str("1.5")), Typed::Same(tag::NUM));
        assert_eq!(ok(Kind::Float, Value::Str(".5")), Typed::Number("0.5".into()));
        assert_eq!(err(Kind::Float, Value::Str("NaN")), Fault::Type);
        assert_eq!(ok(Kind::Boolean, Value::Str("true")), Typed::Same(tag::TRUE));
        assert_eq!(err(Kind::Boolean, Value::Num("1")), Fault::Type);
        let time = || Kind::Timestamp(TimeFormat::Rfc3339);
        assert_eq!(ok(time(), Value::Str("2024-01-01T00:00:00Z")), Typed::Same(tag::STR));
        assert_eq!(err(time(), Value::Str("yesterday")), Fault::Time);
        assert_eq!(err(time(), Value::Bool(true)), Fault::Type);
        assert_eq!(ok(Kind::Timestamp(TimeFormat::Unix), Value::Num("1.5")), Typed::Same(tag::NUM));
    }

    #[test]
    fn containers() {
        assert_eq!(ok(Kind::Json, Value::Obj("{ }")), Typed::Absent);
        assert_eq!(ok(Kind::Json, Value::Num("1")), Typed::Same(tag::NUM));
        assert_eq!(ok(Kind::Array(Box::new(Spec::of(Kind::Json))), Value::Arr("[1]")), Typed::Same(tag::ARR));
        assert_eq!(err(Kind::Object(vec![]), Value::Arr("[1]")), Fault::Type);
        assert_eq!(ok(Kind::Json, Value::Null), Typed::Absent);
    }
}
