//! Which log type a record is, what becomes of those that are none, and that every record is counted once.
use super::*;
use crate::filter::{Filter, RawFilter};
use crate::testing::{Rig, batch, everything, schema};
use model::Needs;
use model::path::Path;
use serde_json::json;

fn two() -> Vec<Arc<crate::schema::Schema>> {
    vec![
        schema(
            "Custom.One",
            "",
            "  - { name: a, type: int, required: true }\n  - { name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true }\n",
        ),
        schema("Custom.Two", "", "  - { name: b, type: string, required: true }\n"),
    ]
}

#[test]
fn records_go_to_their_log_type_in_order() {
    let mut rig = Rig::new(&two(), &Needs::default());
    let lines: Vec<&[u8]> =
        vec![br#"{"a":1}"#, br#"{"b":"x"}"#, b"  ", br#"{"a":2}"#, br#"{"c":1}"#, b"not json", br#"{"b":"y"}"#];
    let out = rig.run(batch(&lines, true));
    let got: Vec<(String, Vec<u64>)> =
        out.events.iter().map(|b| (b.layout.log_type.to_string(), b.rows.iter().map(|r| r.offset).collect())).collect();
    assert_eq!(got, vec![("Custom.One".into(), vec![0, 21]), ("Custom.Two".into(), vec![8, 46])]);
    assert_eq!((out.count("parsed"), out.count("rejected"), out.count("empty")), (4, 2, 1));
    assert!(Arc::ptr_eq(&out.events[0].data, &out.events[1].data), "one buffer for all");
    let r = &out.rejected[0];
    assert_eq!(
        (r.stage.as_str(), r.code.as_str(), r.raw.as_slice()),
        ("classify", "no_schema_matched", &br#"{"c":1}"#[..])
    );
    assert_eq!(
        r.reason,
        "Custom.One: required field `a` is missing or null; Custom.Two: required field `b` is missing or null"
    );
}

#[test]
fn one_candidate_gives_its_own_code() {
    let mut rig = Rig::new(&two()[..1], &Needs::default());
    let lines: Vec<&[u8]> = vec![
        b"{",
        b"[1]",
        br#"{"t":"2024-01-01T00:00:00Z"}"#,
        br#"{"a":"x"}"#,
        br#"{"a":1,"t":"now"}"#,
        b"\xff{}",
        &[b'x'; 5000],
    ];
    let out = rig.run(batch(&lines, true));
    let codes: Vec<&str> = out.rejected.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(
        codes,
        ["bad_json", "bad_json", "missing_field", "wrong_type", "bad_time", "bad_utf8", "record_too_large"]
    );
    assert_eq!(out.rejected[5].raw, b"\xff{}");
}

#[test]
fn bad_utf8_rejects_its_own_record_only() {
    let mut rig = Rig::new(&two(), &Needs::default());
    let out = rig.run(batch(&[br#"{"a":1}"#, b"{\"b\":\"\xc3\"}", br#"{"a":3}"#], true));
    assert_eq!((out.count("parsed"), out.count("rejected")), (2, 1));
    assert_eq!(out.rejected[0].code, "bad_utf8");
    // The same whoever finds it: the walker, or a look at the batch where there are text formats or filters as well.
    let mut schemas = two();
    schemas.push(schema("Custom.Csv", "parser: { csv: { hasHeader: true } }", "  - { name: x, type: int }\n"));
    let filter: Vec<RawFilter> = serde_json::from_value(json!([{"mode": "exclude", "contains": "DROP"}])).unwrap();
    let rigs = [
        Rig::new(&two(), &Needs::default()),
        Rig::new(&schemas, &Needs::default()),
        Rig::with(&two(), &Needs::default(), &filter, &[]),
    ];
    for mut rig in rigs {
        let out = rig.run(batch(
            &[br#"{"b":"x"}"#, b" \t{\"b\":\"gr\xc3\xbcn \xff DROP\"", "{\"b\":\"gr\u{fc}n\"}".as_bytes()],
            true,
        ));
        assert_eq!((out.count("parsed"), out.count("rejected")), (2, 1));
        let reject = &out.rejected[0];
        assert_eq!((&*reject.code, &*reject.reason), ("bad_utf8", "not UTF-8 at byte 14 of the record"));
    }
}

#[test]
fn penalties_follow_the_stream() {
    let shared = Shared { node: "p".into(), raw_filters: RawFilters::default(), max_record: 4096 };
    let plans: Vec<_> = two().iter().map(|s| Arc::new(Plan::new(s, &Needs::default(), &[]))).collect();
    let mut c = Classifier::new(Arc::new(shared), &plans, true);
    let mut cx = Ctx::default();
    let mut run = |c: &mut Classifier, line: &[u8], first| {
        c.map(Packet::Raw(Arc::new(batch(&[line], first))), &mut cx).unwrap();
        c.candidates.iter().map(|c| c.penalty).collect::<Vec<_>>()
    };
    assert_eq!(run(&mut c, br#"{"b":"x"}"#, true), [2, 0]);
    assert_eq!(c.order, [1, 0]);
    assert_eq!(run(&mut c, br#"{"b":"x"}"#, false), [2, 0], "the right one is tried first");
    assert_eq!(run(&mut c, br#"{"a":1}"#, false), [0, 1]);
    assert_eq!(c.order, [0, 1]);
    assert_eq!(run(&mut c, br#"{}"#, false), [1, 2]);
    assert_eq!(run(&mut c, br#"{"a":1}"#, true), [0, 1], "a new split starts fresh");
}

#[test]
fn event_time_is_the_first_candidate_or_the_parse_time() {
    let mut rig = Rig::new(&two(), &Needs::default());
    let out = rig.run(batch(&[br#"{"a":1,"t":"2024-01-01T00:00:00.5Z"}"#, br#"{"a":1,"t":null}"#], true));
    assert_eq!(out.events[0].event_time, vec![1_704_067_200_500_000_000, crate::testing::NOW_MS * 1_000_000]);
    let whole = out.whole();
    assert_eq!(whole[0]["p_event_time"], "2024-01-01 00:00:00.500000000");
    assert_eq!(whole[1]["p_event_time"], whole[1]["p_parse_time"]);
    assert_eq!(whole[0]["p_source_file"], json!({"path": "logs/a.log"}));
    assert_eq!(whole[0]["p_source_id"], "src");
    assert_eq!(whole[0]["p_row_id"].as_str().unwrap().len(), 32);
}

#[test]
fn filters_drop_and_count() {
    let raw: Vec<RawFilter> = serde_json::from_value(json!([{"mode": "exclude", "contains": "DROP"}])).unwrap();
    let filters: Vec<Filter> = serde_json::from_value(json!([
        {"mode": "include", "log_types": ["Custom.One"], "where": {"field": "a", "op": "greater_than", "value": 1}},
        {"mode": "exclude", "where": {"any": [{"field": "b", "op": "starts_with", "value": "z"}, {"field": "a", "op": "equals", "value": 9}]}},
    ]))
    .unwrap();
    let mut rig = Rig::with(&two(), &Needs::default(), &raw, &filters);
    let lines: Vec<&[u8]> =
        vec![br#"{"a":1}"#, br#"{"a":2}"#, br#"{"a":9}"#, br#"{"b":"zz"}"#, br#"{"b":"y"}"#, br#"{"b":"DROP"}"#];
    let out = rig.run(batch(&lines, true));
    assert_eq!((out.count("parsed"), out.count("filtered"), out.count("rejected")), (2, 4, 0));
    let kept: Vec<String> = out.events.iter().map(|b| b.layout.log_type.to_string()).collect();
    assert_eq!(kept, ["Custom.One", "Custom.Two"]);
}

#[test]
fn headers_are_skipped_and_counted() {
    let s =
        schema("Custom.Csv", "parser: { csv: { hasHeader: true } }", "  - { name: x, type: int, required: true }\n");
    let mut rig = Rig::new(&[s], &Needs::default());
    let out = rig.run(batch(&[b"x,y", b"1,2", b"3,4"], true));
    assert_eq!((out.count("parsed"), out.count("skipped")), (2, 1));
    // The next batch of the same split: no header line of its own, the file's comes with it.
    let mut next = batch(&[b"5,6"], false);
    next.header = Some(Arc::from(&b"x,y"[..]));
    let out = rig.run(next);
    assert_eq!(out.whole()[0]["x"], 5);
}

#[test]
fn computed_values_stand_behind_the_raw_bytes() {
    let s = schema("Custom.Esc", "", "  - { name: s, type: string }\n");
    let needs = everything(&s);
    let mut rig = Rig::new(&[s], &needs);
    let raw = batch(&[br#"{"s":"a\nb"}"#, br#"{"s":"plain"}"#], true);
    let used = raw.data.len() - PAD;
    let out = rig.run(raw);
    let b = &out.events[0];
    let slot = b.layout.slot(&Path::key("s")).unwrap();
    assert_eq!(b.value(slot, 0).as_str(), Some("a\nb"));
    assert_eq!(b.value(slot, 1).as_str(), Some("plain"));
    assert!(b.spans(slot)[0] as u32 as usize >= used && (b.spans(slot)[1] as u32 as usize) < used);
    assert!(b.data[b.data.len() - PAD..].iter().all(|b| *b == 0));
}

#[test]
fn duplicate_keys_are_counted_and_the_last_counts() {
    let mut rig = Rig::new(&two(), &Needs::default());
    let out = rig.run(batch(&[br#"{"a":1,"a":2}"#], true));
    assert_eq!(out.count("duplicate_keys"), 1);
    assert_eq!(out.whole()[0]["a"], 2);
}

#[test]
fn a_long_reject_is_cut() {
    let s = schema("Custom.Long", "", "  - { name: s, type: string, required: true }\n");
    let plans = [Arc::new(Plan::new(&s, &Needs::default(), &[]))];
    let shared = Shared { node: "p".into(), raw_filters: RawFilters::default(), max_record: 8 };
    let mut c = Classifier::new(Arc::new(shared), &plans, true);
    for (len, cut) in [(MAX_REJECT_RAW, false), (MAX_REJECT_RAW + 1, true)] {
        let mut cx = Ctx::default();
        c.map(Packet::Raw(Arc::new(batch(&[&vec![b'x'; len]], true))), &mut cx).unwrap();
        let Packet::Records(r) = &cx.out[0].1 else { panic!() };
        let Record::Rejected(r) = &r[0] else { panic!() };
        assert_eq!((r.raw.len(), r.truncated), (MAX_REJECT_RAW, cut));
    }
}
