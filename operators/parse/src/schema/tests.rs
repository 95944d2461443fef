//! The schema language: what is accepted, and that everything wrong is found and placed.
use super::*;

fn problems(text: &str) -> Vec<(u32, String, Option<String>)> {
    load("f.yml", text, None)
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|p| (p.file.as_ref().map_or(0, |f| f.1), p.message, p.hint))
        .collect()
}

const GOOD: &str = r#"
version: 0
schema: Custom.Good
description: d
referenceURL: https://example.com
fields:
  - name: time
    type: timestamp
    timeFormat: rfc3339
    isEventTime: true
    required: true
  - name: ip
    type: string
    indicators: [ip]
    validate: { ip: any }
  - name: who
    type: ref
    target: Person
  - name: tags
    type: array
    element: { type: string, indicators: [domain] }
  - name: n
    type: bigint
    rename: { from: N }
  - name: sub
    type: copy_target
definitions:
  Person:
    type: object
    fields:
      - { name: name, type: string, mask: { type: redact, to: "*" } }
      - { name: born, type: timestamp, timeFormat: unix, isEventTime: true }
"#;

#[test]
fn a_full_schema_loads() {
    let s = load("f.yml", &GOOD.replace("copy_target", "json"), None).unwrap();
    assert_eq!(&*s.name, "Custom.Good");
    assert_eq!(s.table(), "custom_good");
    assert_eq!(s.fields.len(), 6);
    assert_eq!(s.fields[4].source, Source::Key("N".into()));
    let times: Vec<String> = s.event_times().iter().map(|(p, _)| p.to_string()).collect();
    assert_eq!(times, ["time", "who.born"]);
    let indicators: Vec<String> = s.indicators().iter().map(|(p, _)| p.to_string()).collect();
    assert_eq!(indicators, ["ip", "tags[*]"]);
    assert!(s.fields[2].spec.rewrites() && !s.fields[3].spec.rewrites());
    let path = Path::parse("who.name").unwrap();
    assert!(matches!(s.fields[2].spec.at(&path.0[1..]).unwrap().kind, Kind::String));
    assert!(s.fields[2].spec.at(&Path::parse("x.y").unwrap().0[1..]).is_none());
}

#[test]
fn every_problem_is_reported_with_its_line() {
    let text = "version: 1\nschema: bad\nfeilds: []\nfields:\n  - name: a\n    type: strng\n  - name: b\n    type: timestamp\n  - name: c\n    type: int\n    indicators: [ip]\n  - name: c\n    type: string\n    indicators: [ipp]\n  - name: p_x\n    type: ref\n    target: Nope\n";
    let got = problems(text);
    let want = [
        (1, "must be 0"),
        (2, "not the name"),
        (3, "unknown key `feilds`"),
        (6, "unknown type"),
        (7, "needs `timeFormat`"),
        (11, "unknown key `indicators`"),
        (12, "twice"),
        (14, "unknown indicator"),
        (15, "`p_`"),
        (17, "no definition"),
    ];
    for (line, message) in want {
        assert!(got.iter().any(|(l, m, _)| *l == line && m.contains(message)), "{line} {message}: {got:#?}");
    }
    assert!(got.iter().any(|(_, _, h)| h.as_deref() == Some("did you mean `fields`?")), "{got:#?}");
    assert!(got.iter().any(|(_, _, h)| h.as_deref() == Some("did you mean `string`?")), "{got:#?}");
}

#[test]
fn syntax_errors_have_a_place() {
    let got = problems("version: 0\nfields: [\n");
    assert_eq!(got.len(), 1);
    assert!(got[0].0 >= 2 && got[0].1.contains("YAML"), "{got:?}");
}

#[test]
fn cycles_and_depth_are_bounded() {
    let cyclic = "version: 0\nschema: Custom.Cyc\nfields:\n  - { name: a, type: ref, target: Aa }\ndefinitions:\n  Aa:\n    type: array\n    element: { type: ref, target: Bb }\n  Bb:\n    type: array\n    element: { type: ref, target: Aa }\n";
    assert!(problems(cyclic).iter().any(|p| p.1.contains("contains itself")));
    let deep = |n: usize| {
        let open = "{type: array, element: ".repeat(n);
        let close = "}".repeat(n);
        format!(
            "version: 0\nschema: Custom.Deep\nfields:\n  - {{name: a, type: array, element: {open}{{type: int}}{close}}}\n"
        )
    };
    assert_eq!(problems(&deep(MAX_NESTING - 2)), vec![]);
    assert!(problems(&deep(MAX_NESTING - 1)).iter().any(|p| p.1.contains("levels")));
}

#[test]
fn transformations_are_resolved_in_their_order() {
    let text = r#"
version: 0
schema: Custom.Trans
fields:
  - { name: userId, type: string, rename: { from: PIN } }
  - { name: again, type: string, copy: { from: userId } }
  - { name: both, type: string, concat: { paths: [again, b.c], separator: "-" } }
  - { name: part, type: string, split: { from: both, separator: "-", index: 1 } }
"#;
    let s = load("f.yml", text, None).unwrap();
    let pin = Path::key("PIN");
    assert_eq!(s.fields[1].source, Source::Copy(pin.clone()));
    assert_eq!(
        s.fields[2].source,
        Source::Concat(vec![Fetch::Input(pin), Fetch::Input(Path::parse("b.c").unwrap())], "-".into())
    );
    assert!(matches!(&s.fields[3].source, Source::Split { from: Fetch::Field(2), index: 1, .. }));
    let two = text.replace("rename: { from: PIN }", "rename: { from: PIN }, copy: { from: x }");
    assert!(problems(&two).iter().any(|p| p.1.contains("one place")));
    let mask = text.replace("userId, type: string", "userId, type: int, mask: { type: hash }");
    assert!(problems(&mask).iter().any(|p| p.1.contains("only a string")));
}

#[test]
fn parsers_are_checked() {
    let with =
        |p: &str| format!("version: 0\nschema: Custom.Pars\nparser: {p}\nfields: [{{ name: a, type: string }}]\n");
    for good in [
        "{ csv: { hasHeader: true } }",
        "{ csv: { columns: [a], delimiter: ' ', emptyValues: ['-'], trimSpace: true, skipLines: 1, skipPrefix: '#' } }",
        "{ fastmatch: { match: ['%{a} %{b}'], expandFields: { c: 'x %{a}' } } }",
        "{ regex: { match: ['%{X:a}', ' %{IP:b}'], patternDefinitions: { X: 'x+' } } }",
    ] {
        assert_eq!(problems(&with(good)), vec![], "{good}");
    }
    for (bad, message) in [
        ("{ csv: {} }", "columns"),
        ("{ csv: { hasHeader: true, delimiter: ';' } }", "delimiter"),
        ("{ fastmatch: { match: ['%{a}%{b}'] } }", "no text between"),
        ("{ regex: { match: ['%{NOPE:a}'] } }", "not known"),
        ("{ native: { name: no_such_format } }", "no native parser"),
        ("{ csv: { hasHeader: true }, regex: { match: [] } }", "exactly one"),
        ("{ xml: {} }", "unknown key"),
    ] {
        assert!(problems(&with(bad)).iter().any(|p| p.1.contains(message)), "{bad}: {:?}", problems(&with(bad)));
    }
}

#[test]
fn free_json_names_its_indicators_by_path() {
    let text = "version: 0\nschema: Custom.Rows\nfields:\n  - name: row\n    type: json\n    indicators:\n      host: [ip]\n      a.b[*]: [domain, ip]\n";
    let s = load("f.yml", text, None).unwrap();
    let found: Vec<String> = s.indicators().iter().map(|(p, _)| p.to_string()).collect();
    assert_eq!(found, ["row.host", "row.a.b[*]"]);
    for (bad, want) in [("host: [ipp]", "unknown indicator `ipp`"), ("a..b: [ip]", "a name is missing")] {
        let got = problems(&text.replace("host: [ip]", bad));
        assert!(got.iter().any(|(line, m, _)| *line == 7 && m.contains(want)), "{got:?}");
    }
    let got = problems(&text.replace("indicators:\n      host: [ip]\n      a.b[*]: [domain, ip]", "indicators: [ip]"));
    assert!(got.iter().any(|(_, m, _)| m.contains("must be a mapping")), "{got:?}");
}

#[test]
fn aliases_and_inlined_objects_are_checked() {
    let head = "version: 0\nschema: Custom.Test\n";
    let text = format!(
        "{head}fields:\n  - {{name: a, type: string, aliases: [b, c]}}\n  - {{name: b, type: string}}\n  - {{name: o, type: json, aliases: [p]}}\n  - {{name: d, type: string, copy: {{from: a}}, aliases: [q]}}\n"
    );
    let found: Vec<(u32, String)> = problems(&text).into_iter().map(|p| (p.0, p.1)).collect();
    assert_eq!(
        found,
        [
            (4, "`b` is also a name of another field".to_string()),
            (6, "field `o` is a json: only one value has aliases".into()),
            (7, "field `d` is made of other values and has no aliases".into()),
        ]
    );
    let csv = format!(
        "{head}parser: {{csv: {{columns: [a]}}}}\ninline: [x]\nfields:\n  - {{name: a, type: string, aliases: [b]}}\n"
    );
    let found: Vec<String> = problems(&csv).into_iter().map(|p| p.1).collect();
    assert_eq!(
        found,
        ["`inline` is for JSON: this log type has a `parser`", "`aliases` is for JSON: this log type has a `parser`"]
    );
}
