//! Loading from text: what is read, and what is said about what cannot be.
use super::*;
use crate::spec::Expiry;
use model::files::MemFiles;
use model::time::TimeFormat;

/// A table `geo` of one file.
pub fn spec(file: &str, key: Option<&str>, matching: Matching) -> TableSpec {
    TableSpec {
        name: "geo".into(),
        file: file.into(),
        key: key.map(String::from),
        matching,
        selectors: BTreeMap::new(),
        types: BTreeMap::new(),
        expires: None,
        setting: "table[0]".into(),
        declared_in: None,
    }
}

fn run(spec: &TableSpec, text: &str) -> (Option<Table>, Vec<Problem>) {
    let mut found = Vec::new();
    let table = load(spec, &MemFiles::of(&[(&spec.file, text)]), &mut found);
    (table, found)
}

fn row(t: &Table, key: &str) -> Option<J> {
    crate::lookup_row(t, key, 0).map(J::Object)
}

#[test]
fn csv_cells_are_text_unless_a_column_is_boolean_or_declared() {
    let mut s = spec("g.csv", Some("ip"), Matching::Exact);
    s.types.insert("asn".into(), ColumnType::Int);
    let (t, found) =
        run(&s, "\u{feff}ip,account,is_tor,asn,mixed\r\n1.1.1.1,0012,true,7,true\r\n2.2.2.2,\"a,b\",,8,x\r\n");
    assert!(found.is_empty(), "{found:?}");
    let t = t.unwrap();
    assert_eq!(
        row(&t, "1.1.1.1").unwrap(),
        serde_json::json!({"ip":"1.1.1.1","account":"0012","is_tor":true,"asn":7,"mixed":"true"})
    );
    assert_eq!(row(&t, "2.2.2.2").unwrap(), serde_json::json!({"ip":"2.2.2.2","account":"a,b","asn":8,"mixed":"x"}));
    assert_eq!(row(&t, "3.3.3.3"), None);
}

#[test]
fn bad_rows_are_counted_and_the_first_are_told_with_their_lines() {
    let mut s = spec("g.csv", Some("ip"), Matching::Exact);
    s.types.insert("asn".into(), ColumnType::Int);
    let text = format!("ip,asn\n1.1.1.1,1\n2.2.2.2\n3.3.3.3,x\n,4\n{}", "a,b,c\n".repeat(5));
    let (t, found) = run(&s, &text);
    assert!(t.is_none());
    let lines: Vec<u32> = found.iter().filter_map(|p| p.file.as_ref().map(|f| f.1)).collect();
    assert_eq!((lines.len(), lines[0]), (TOLD, 3));
    assert!(found.last().unwrap().message.contains("3 more rows"), "{found:?}");
    let (t, found) = run(&s, "ip,asn\n1.1.1.1,1\n,4\n");
    assert!(t.is_none() && found[0].message.contains("key is empty") && found[0].file.as_ref().unwrap().1 == 3);
}

#[test]
fn the_last_of_equal_keys_wins_with_a_warning() {
    let (t, found) = run(&spec("g.csv", Some("ip"), Matching::Exact), "ip,n\na,1\nb,2\na,3\n");
    assert_eq!(row(&t.unwrap(), "a").unwrap()["n"], "3");
    assert!(found[0].warning && found[0].file.as_ref().unwrap().1 == 2, "{found:?}");
}

#[test]
fn missing_things_are_named() {
    let (t, found) = run(&spec("g.csv", Some("address"), Matching::Exact), "ip,n\na,1\n");
    assert!(
        t.is_none()
            && found[0].message.contains("no column `address`")
            && found[0].hint.as_ref().unwrap().contains("ip, n")
    );
    let (t, found) = run(&spec("g.csv", None, Matching::Exact), "ip\na\n");
    assert!(t.is_none() && found[0].setting == "table[0].key");
    let (t, found) = run(&spec("g.xlsx", Some("ip"), Matching::Exact), "");
    assert!(t.is_none() && found[0].hint.as_ref().unwrap().contains(".mmdb"));
    let mut found = Vec::new();
    assert!(load(&spec("none.csv", Some("ip"), Matching::Exact), &MemFiles::default(), &mut found).is_none());
    assert!(found[0].message.contains("none.csv"));
}

#[test]
fn json_lines_nest_and_keys_may_be_arrays() {
    let text = "{\"hosts\":[\"a\",\"b\",7],\"asn\":{\"n\":1,\"names\":[\"x\"]},\"e\":{}}\n\n{\"hosts\":\"c\",\"asn\":{\"n\":2}}\n";
    let (t, found) = run(&spec("g.jsonl", Some("hosts"), Matching::Exact), text);
    assert!(found.is_empty(), "{found:?}");
    let t = t.unwrap();
    assert_eq!(row(&t, "b").unwrap()["asn"], serde_json::json!({"n":1,"names":["x"]}));
    assert_eq!(row(&t, "7"), row(&t, "a"));
    assert_eq!(row(&t, "c").unwrap()["asn"]["n"], 2);
    for (bad, why) in [
        ("[1]", "object"),
        ("{", "not JSON"),
        ("{\"hosts\":[null]}", "not a scalar"),
        ("{\"x\":1}\n{\"hosts\":\"a\"}", "key is empty"),
    ] {
        let (t, found) = run(&spec("g.jsonl", Some("hosts"), Matching::Exact), bad);
        assert!(t.is_none() && found[0].message.contains(why), "{bad}: {found:?}");
    }
}

#[test]
fn the_most_specific_valid_block_wins() {
    let mut s = spec("g.csv", Some("net"), Matching::Cidr);
    s.expires = Some(Expiry { column: "until".into(), format: TimeFormat::Rfc3339 });
    let (t, found) =
        run(&s, "net,n,until\n10.0.0.0/8,wide,\n10.1.0.0/16,narrow,1970-01-01T00:00:10Z\n2001:db8::/32,six,\n");
    assert!(found.is_empty(), "{found:?}");
    let t = t.unwrap();
    let at = |ip: &str, ms: i64| t.find(ip, ms);
    assert_eq!((at("10.1.2.3", 9_999), at("10.1.2.3", 10_000), at("10.2.0.0", 0)), (Some(1), Some(0), Some(0)));
    assert_eq!((at("2001:db8::7", 0), at("11.0.0.0", 0), at("x", 0)), (Some(2), None, None));
    let (t, found) = run(&s, "net,until\n10.0.0.0/8,soon\nhost,\n");
    assert!(t.is_none() && found.len() == 2, "{found:?}");
    assert!(found[0].message.contains("soon") && found[1].message.contains("`host` is not an address"));
    s.expires = Some(Expiry { column: "till".into(), format: TimeFormat::Rfc3339 });
    assert!(run(&s, "net,until\n10.0.0.0/8,\n").0.is_none());
}
