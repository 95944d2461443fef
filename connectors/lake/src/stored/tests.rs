//! What went into the columns comes back: whole events, columns, times and positions, of every shipped log type.
use super::*;
use crate::table;
use model::files::MemFiles;
use model::{BuildCx, Built, Ctx, EventBatch, Kind, Needs, Packet, Path};
use parse::StoredTypes;
use serde_json::{Value as J, json};
use std::path::PathBuf;

const NOW_MS: i64 = 1_772_323_200_123;

fn needs() -> Needs {
    let mut needs = Needs::default();
    needs.all("*");
    let standard = ["p_row_id", "p_event_time", "p_parse_time", "p_source_file", "p_log_type"];
    standard.iter().chain(table::INDICATORS).for_each(|name| needs.path("*", Path::key(name)));
    needs
}

fn raw(lines: &str) -> RawBatch {
    let origin = Origin { source: "s".into(), label: "the s".into(), index: 3, partition: 7, name: "in/a.log".into() };
    let mut b = RawBatch { origin: Arc::new(origin), now_ms: NOW_MS, first: true, ..RawBatch::default() };
    b.header = lines.lines().next().map(|l| Arc::from(l.as_bytes()));
    for (n, line) in lines.lines().enumerate() {
        let start = b.data.len() as u32;
        let ordinal = n as u32 % 3;
        b.records.push(RawRecord { start, len: line.len() as u32, ordinal, offset: u64::from(start) });
        b.data.extend_from_slice(line.as_bytes());
        b.data.push(b'\n');
    }
    b.data.extend_from_slice(&[0; PAD]);
    b
}

fn events(cx: Ctx) -> Vec<Arc<EventBatch>> {
    let mut out = Vec::new();
    for (port, packet) in cx.out {
        match packet {
            Packet::Events(b) => out.push(b),
            Packet::Records(r) => assert!(port == 1 && r.is_empty(), "{r:?}"),
            Packet::Raw(_) => panic!("raw"),
        }
    }
    out
}

/// Everything that can be asked of an event, by its position.
fn told(batches: &[Arc<EventBatch>]) -> BTreeMap<(u64, u32), J> {
    let mut out = BTreeMap::new();
    for b in batches {
        for row in 0..b.len() {
            let of = |(path, slot): (&Path, u32)| json!([path.to_string(), format!("{:?}", b.value(slot, row))]);
            // A time inside an object has a column while it decides the event time; nobody asked for it.
            let asked = |(path, _): &(&Path, u32)| path.0.len() == 1;
            let columns: Vec<J> =
                b.layout.slots.iter().zip(0..).filter(asked).map(of).filter(|c| c[1] != "Absent").collect();
            let pos = b.pos_of(row);
            let event = b.layout.full.event(b, row);
            let all = json!([columns, event, b.event_time[row], b.now_ms, format!("{pos:?}"), b.layout.version]);
            out.insert((pos.offset, pos.ordinal), all);
        }
    }
    out
}

/// Parse lines; as they are, and by way of the lake's columns.
fn both_ways(settings: J, files: &MemFiles, lines: &str) -> [BTreeMap<(u64, u32), J>; 2] {
    let cx = BuildCx { needs: needs(), ..BuildCx::default() };
    let part = parse::parts().into_iter().find(|p| p.spec().kind == Kind::Parse).unwrap();
    let node = part.open("events", &settings, files).node.unwrap();
    let Built::Map(mut map) = node.build(&cx).unwrap() else { panic!("no map") };
    let mut out = Ctx::default();
    map.map(Packet::Raw(Arc::new(raw(lines))), &mut out).unwrap();
    let direct = events(out);
    let types = StoredTypes::open("events", &settings, files).ok().unwrap();
    let log_types = types.fields().map(|(name, fields)| (name.clone(), fields)).collect();
    let wanted = Wanted { from_ns: i64::MIN, to_ns: i64::MAX, log_types };
    let mut back = Vec::new();
    for batch in &direct {
        let schema = table::schema(&batch.layout, true);
        let rows = (0..batch.len() as u32).collect();
        let columns = table::columns(&[(batch.clone(), rows)], &schema, true).unwrap();
        for s in stored(&columns, &wanted).unwrap() {
            let mut out = Ctx::default();
            let mut parser = types.parser(&s.log_type, s.version, &s.texts, &needs()).unwrap();
            parser.parse(s.raw, s.times, &mut out).unwrap();
            back.extend(events(out));
        }
    }
    assert!(!direct.is_empty(), "no event");
    [told(&direct), told(&back)]
}

#[test]
fn samples_of_every_log_type_come_back_as_they_were() {
    let root = std::path::Path::new("../../operators/parse/schemas");
    let list = |p: &std::path::Path| -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(p).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all
    };
    let mut n = 0;
    for folder in list(root).iter().filter(|p| p.is_dir()).flat_map(|p| list(p)).filter(|p| p.is_dir()) {
        let schema = std::fs::read_to_string(folder.join("schema.yml")).unwrap();
        let name = schema.lines().find_map(|l| l.strip_prefix("schema: ")).unwrap().trim();
        let sample = list(&folder).into_iter().find(|f| f.file_stem().is_some_and(|s| s == "sample")).unwrap();
        let accepted = lines_of(name, &std::fs::read_to_string(sample).unwrap());
        let [direct, back] = both_ways(json!({ "log_types": [name] }), &MemFiles::default(), &accepted);
        for (at, event) in &direct {
            assert_eq!(back.get(at), Some(event), "{name} at {at:?}");
        }
        assert_eq!(direct.len(), back.len(), "{name}");
        n += 1;
    }
    assert!(n > 40, "{n} log types");
}

/// The lines of a sample that are no examples of what is refused.
fn lines_of(log_type: &str, text: &str) -> String {
    let schema = parse::Schemas::builtin().get(log_type).unwrap().clone();
    let header = text.lines().next();
    let mut decoder = parse::Decoder::new(schema);
    decoder.clock(NOW_MS);
    text.lines().filter(|l| decoder.decode(l, header).is_ok()).map(|l| format!("{l}\n")).collect()
}

const SCHEMA: &str = r#"
version: 0
schema: Custom.Odd
fields:
  - { name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true }
  - { name: u, type: timestamp, timeFormat: unix }
  - { name: f, type: float }
  - { name: b, type: boolean }
  - { name: i, type: int, rename: { from: I } }
  - { name: j, type: json }
  - { name: s, type: string, mask: { type: redact, to: X } }
  - { name: e, type: object, isEmbeddedJSON: true, fields: [ { name: x, type: int, required: true } ] }
  - { name: c, type: string, copy: { from: o.deep }, indicators: [ip] }
  - name: o
    type: object
    fields:
      - { name: deep, type: string }
      - { name: at, type: timestamp, timeFormat: unix_ms }
      - { name: l, type: array, element: { type: json } }
  - { name: cc, type: string, concat: { paths: [I, f], separator: ":" } }
"#;

#[test]
fn values_that_columns_do_not_tell_come_back_as_they_were() {
    let files = MemFiles::of(&[("s/Custom.Odd.yml", SCHEMA)]);
    let lines = [
        r#"{"t":"2026-03-01T12:00:00Z","u":5,"f":1.5,"b":true,"I":7,"j":"text","s":"secret","e":"{\"x\": 1}"}"#,
        r#"{"t":"2026-03-01T14:00:00.000+02:00","u":"5","f":1.50,"b":"true","I":"007","j":"7","e":""}"#,
        r#"{"t":"2026-03-01 12:00:00Z","u":5.0,"f":"1e3","b":"false","I":-0,"j":7,"o":{"deep":"192.0.2.1","l":[]}}"#,
        r#"{"t":"2026-03-01T12:00:00.5Z","u":"1.25","f":5,"I":null,"j":"{\"a\": 1}","o":{"at":5,"more":{"x":"ü\n"}}}"#,
        r#"{"t":"2026-03-01T12:00:00.500Z","f":5.0,"j":{"a": "1" , "b":[1.50]},"s":"","o":{"l":[null, 1, "1"]}}"#,
        r#"{"f":0.1,"j":"true"}"#,
        r#"{"u":-1.5,"j":false,"I":2147483647}"#,
        r#"{"f":1e300,"j":"-","s":"\u00e9\"\\"}"#,
        "{}",
    ];
    let settings = json!({ "log_types": ["Custom.Odd"], "schemas": ["s"] });
    let [direct, back] = both_ways(settings, &files, &(lines.join("\n") + "\n"));
    assert_eq!(direct.len(), lines.len());
    for (at, event) in &direct {
        assert_eq!(back.get(at), Some(event), "at {at:?}");
    }
    assert_eq!(direct.len(), back.len());
}
