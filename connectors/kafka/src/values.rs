//! From the value of a Kafka record to events.
use crate::settings::{Config, Stream};
use model::path::{Path, Seg};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use stream::Batcher;

/// Hand out the events of one Kafka record; what is none becomes a reject.
pub(crate) fn events(value: Option<&[u8]>, offset: u64, config: &Config, out: &mut Batcher) {
    let Some(value) = value else {
        out.reject((offset, 0), "tombstone", "the record has no value (a tombstone)".into(), b"", 0);
        return;
    };
    match config.stream {
        Stream::Record => event(value, (offset, 0), config.max_record, out),
        Stream::Lines => lines(value, offset, config.max_record, out),
        Stream::JsonArray | Stream::CloudTrail => match elements(value, &config.array) {
            Ok(found) => {
                for (i, e) in (0..).zip(found) {
                    event(e.get().as_bytes(), (offset, i), config.max_record, out);
                }
            }
            Err(why) => out.reject((offset, 0), "bad_document", why, value, value.len() as u64),
        },
    }
}

fn event(bytes: &[u8], at: (u64, u32), max: usize, out: &mut Batcher) {
    if bytes.len() > max {
        let why = format!("an event of {} bytes, longer than max_record = {max}", bytes.len());
        out.reject(at, "record_too_long", why, bytes, bytes.len() as u64);
    } else {
        out.push(bytes, at.0, at.1);
    }
}

/// Lines that are not empty; the ordinal is the number of the line in the value.
fn lines(value: &[u8], offset: u64, max: usize, out: &mut Batcher) {
    for (i, line) in (0..).zip(value.split(|b| *b == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            event(line, (offset, i), max, out);
        }
    }
}

/// Elements of the array at `path`; null is an empty one.
fn elements<'a>(value: &'a [u8], path: &Path) -> Result<Vec<&'a RawValue>, String> {
    let mut here: &RawValue = serde_json::from_slice(value).map_err(|e| format!("the value is not JSON: {e}"))?;
    for seg in &path.0 {
        let Seg::Key(key) = seg else { return Err("only names of fields lead to an array".into()) };
        let fields: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(here.get()).map_err(|_| format!("expected an object with the field `{key}`"))?;
        here = fields.get(&**key).ok_or_else(|| format!("there is no field `{key}`"))?;
    }
    let array: Option<Vec<&RawValue>> =
        serde_json::from_str(here.get()).map_err(|_| "expected an array of records".to_string())?;
    Ok(array.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Packet, Record, Split};
    use std::sync::Arc;

    fn config(settings: serde_json::Value) -> Config {
        let mut all = serde_json::json!({"brokers": "a:1", "topics": ["t"], "max_record": "64B"});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        crate::settings::check(serde_json::from_value(all).unwrap()).unwrap_or_else(|p| panic!("{p:?}"))
    }

    /// Events as `ordinal:bytes`, rejects as `ordinal!code`.
    fn read(settings: serde_json::Value, value: Option<&[u8]>) -> Vec<String> {
        let (config, mut packets) = (config(settings), Vec::new());
        let split = Split {
            source: "s".into(),
            partition: 3,
            name: "t[0]".into(),
            from: 9,
            to: 10,
            detail: serde_json::Value::Null,
            lane: 0,
        };
        let origin = Arc::default();
        let mut keep = |p| packets.push(p);
        let mut out = Batcher::new(&split, &origin, &mut keep);
        events(value, 9, &config, &mut out);
        out.flush();
        let mut shown = Vec::new();
        for p in packets {
            match p {
                Packet::Raw(b) => shown.extend((0..b.records.len()).map(|i| {
                    assert_eq!(b.records[i].offset, 9);
                    format!("{}:{}", b.records[i].ordinal, String::from_utf8_lossy(b.bytes(i)))
                })),
                Packet::Records(r) => shown.extend(r.iter().map(|r| match r {
                    Record::Rejected(x) => format!("{}!{}", x.pos.ordinal, x.code),
                    _ => panic!("not a reject"),
                })),
                Packet::Events(_) => panic!("events"),
            }
        }
        shown
    }

    #[test]
    fn a_value_is_an_event() {
        let none = serde_json::json!({});
        assert_eq!(read(none.clone(), Some(b"{\"a\":1}\n")), ["0:{\"a\":1}\n"]);
        assert_eq!(read(none.clone(), None), ["0!tombstone"]);
        assert_eq!(read(none, Some(&[b'x'; 65])), ["0!record_too_long"]);
    }

    #[test]
    fn lines_keep_their_number() {
        let lines = serde_json::json!({"stream": "lines"});
        assert_eq!(read(lines.clone(), Some(b"a\r\n\nb\n")), ["0:a", "2:b"]);
        let long = [b"ok\n".as_slice(), &[b'x'; 70], b"\nok"].concat();
        assert_eq!(read(lines, Some(&long)), ["1!record_too_long", "0:ok", "2:ok"]);
    }

    #[test]
    fn documents_are_taken_apart() {
        let array = serde_json::json!({"stream": "json_array"});
        assert_eq!(read(array.clone(), Some(b" [ {\"a\": 1} ,2]")), ["0:{\"a\": 1}", "1:2"]);
        assert_eq!(read(array.clone(), Some(b"null")), [""; 0]);
        assert_eq!(read(array.clone(), Some(b"[1,")), ["0!bad_document"]);
        assert_eq!(read(array, Some(b"{}")), ["0!bad_document"]);
        let field = serde_json::json!({"stream": "json_array", "array_field": "d.r"});
        assert_eq!(read(field.clone(), Some(b"{\"x\":0,\"d\":{\"r\":[1,[2]]}}")), ["0:1", "1:[2]"]);
        assert_eq!(read(field, Some(b"{\"d\":{}}")), ["0!bad_document"]);
        let trail = serde_json::json!({"stream": "cloudtrail"});
        assert_eq!(read(trail, Some(b"{\"Records\":[{\"eventName\":\"x\"}]}")), ["0:{\"eventName\":\"x\"}"]);
    }
}
