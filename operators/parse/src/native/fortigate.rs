//! Logs of FortiGate, `key=value` with the value in double quotes where it is a text:
//! `date=2026-03-01 time=09:16:00 devname="fw" logid="0100044547" type="event" … msg="Edit firewall.policy 8"`.
//!
//! What stands before `date=` is the transport's (a priority, mostly) and is not looked at. `\"` in a text is a quote.
//! The time becomes one field, `timestamp`, with the time zone of the machine; older versions do not tell it, and UTC is
//! taken.
use super::{Native, NativeStream};
use crate::flat::FlatMap;
use std::borrow::Cow;

/// `Fortinet.FortiGate`.
pub struct FortiGate;

impl Native for FortiGate {
    fn name(&self) -> &'static str {
        "fortigate"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(FortiGate)
    }
}

impl NativeStream for FortiGate {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let at = line.find("date=").ok_or("there is no `date=` in the line")?;
        if !(at == 0 || line[..at].ends_with(['>', ' '])) {
            return Err("`date=` does not begin the fields".into());
        }
        let (mut date, mut time, mut zone) = (None, None, None);
        let mut rest = &line[at..];
        while let Some((key, value, after)) = field(rest)? {
            match key {
                "date" => date = Some(value.clone()),
                "time" => time = Some(value.clone()),
                "tz" => zone = zone_of(&value),
                _ => {}
            }
            if !value.is_empty() && value != "N/A" {
                out.put(key, &value);
            }
            rest = after;
        }
        let (date, time) = (date.unwrap_or_default(), time.ok_or("there is no `time=` in the line")?);
        out.put("timestamp", &format!("{date}T{time}{}", zone.as_deref().unwrap_or("Z")));
        Ok(Some(()))
    }
}

/// `-0700` as RFC 3339 writes it.
fn zone_of(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', '-'])?;
    let four = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    four.then(|| format!("{}{}:{}", &text[..1], &digits[..2], &digits[2..]))
}

type Field<'a> = (&'a str, Cow<'a, str>, &'a str);

/// The first field of `text`, and what follows it; none at the end.
fn field(text: &str) -> Result<Option<Field<'_>>, String> {
    let text = text.trim_start_matches([' ', ',']);
    if text.is_empty() {
        return Ok(None);
    }
    let (key, rest) = text.split_once('=').ok_or("the line ends within a field")?;
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return Err(format!("no name of a field: {}", key.chars().take(40).collect::<String>()));
    }
    let Some(inner) = rest.strip_prefix('"') else {
        let end = rest.find([' ', ',']).unwrap_or(rest.len());
        return Ok(Some((key, Cow::Borrowed(&rest[..end]), &rest[end..])));
    };
    let (mut escaped, mut decode) = (false, false);
    let end = inner.bytes().position(|b| {
        let quote = b == b'"' && !escaped;
        decode |= b == b'"' && escaped;
        escaped = b == b'\\' && !escaped;
        quote
    });
    let end = end.ok_or("a text of the line does not end")?;
    let value = &inner[..end];
    let value = if decode { Cow::Owned(value.replace("\\\"", "\"")) } else { Cow::Borrowed(value) };
    Ok(Some((key, value, &inner[end + 1..])))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field as get, parse};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_fields_and_the_time() {
        let line = r#"<189>date=2026-03-01 time=09:16:00 eventtime=1772385360150014241 tz="-0800" type="event" srcip=192.0.2.7 group="N/A" cfgobj="" msg="say \"hi\", C:\ x=y""#;
        let f = parse(&FortiGate, line).unwrap().unwrap();
        for (name, want) in [
            ("timestamp", Some("2026-03-01T09:16:00-08:00")),
            ("type", Some("event")),
            ("srcip", Some("192.0.2.7")),
            ("group", None),
            ("cfgobj", None),
            ("msg", Some(r#"say "hi", C:\ x=y"#)),
        ] {
            assert_eq!(get(&f, name), want, "{name}");
        }
        let f = parse(&FortiGate, "date=2026-03-01 time=09:16:00 logid=0100").unwrap().unwrap();
        assert_eq!(get(&f, "timestamp"), Some("2026-03-01T09:16:00Z"));
        let f = parse(&FortiGate, "date=2026-03-01,time=09:16:00,logid=0100").unwrap().unwrap();
        assert_eq!((get(&f, "date"), get(&f, "logid")), (Some("2026-03-01"), Some("0100")));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "update=1 time=09:16:00",
            "date=2026-03-01",
            "date=2026-03-01 time=09:16:00 and more",
            "date=2026-03-01 time=09:16:00 msg=\"x",
            "date=2026-03-01 time=09:16:00 a b=c",
        ] {
            assert!(parse(&FortiGate, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,60}|date=[0-9a-z=\"\\\\ ,]{0,60}") {
            let _ = parse(&FortiGate, line.trim());
        }
    }
}
