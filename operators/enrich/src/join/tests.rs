//! The join over batches made by hand.
use super::*;
use crate::load::load;
use crate::load::tests::spec;
use crate::spec::Matching;
use model::event::{FullEvent, Layout};
use model::files::MemFiles;
use model::raw::{Origin, RawRecord};
use std::collections::HashMap;

/// Indicators of the test: the text of column 0, split at commas.
struct Commas;

impl FullEvent for Commas {
    fn event(&self, _: &EventBatch, _: usize) -> serde_json::Map<String, J> {
        serde_json::Map::new()
    }
    fn any(&self, batch: &EventBatch, row: usize, _: &str, out: &mut Vec<String>) {
        out.extend(batch.value(0, row).text().split(',').map(String::from));
    }
}

/// A batch of one column.
fn batch(path: &str, values: &[Value]) -> EventBatch {
    let path = Path::parse(path).unwrap();
    let layout = Layout {
        log_type: "T".into(),
        table: "t".into(),
        version: 1,
        slots: vec![path.clone()],
        index: HashMap::from([(path, 0)]),
        fields: vec![],
        full: Arc::new(Commas),
    };
    let (mut data, mut pos, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    for v in values {
        let text = if matches!(v, Value::Bool(_)) { "" } else { v.text() };
        pos.push(data.len() as u64 | (text.len() as u64) << 32);
        data.extend_from_slice(text.as_bytes());
        tags.push(match v {
            Value::Absent => tag::ABSENT,
            Value::Null => tag::NULL,
            Value::Bool(false) => tag::FALSE,
            Value::Bool(true) => tag::TRUE,
            Value::Num(_) => tag::NUM,
            Value::Str(_) => tag::STR,
            Value::Arr(_) => tag::ARR,
            Value::Obj(_) => tag::OBJ,
        });
    }
    EventBatch {
        origin: Arc::new(Origin::default()),
        now_ms: 0,
        lane: 0,
        layout: Arc::new(layout),
        data: Arc::new(data),
        rows: vec![RawRecord::default(); values.len()],
        stride: values.len(),
        pos,
        tag: tags,
        event_time: vec![0; values.len()],
        enrich: vec![],
        header: None,
    }
}

fn join(text: &str, matching: Matching, selectors: &[(&str, &str)]) -> (Join, Needs) {
    let mut s = spec("g.csv", Some("k"), matching);
    for (log_type, selector) in selectors {
        s.selectors.entry((*log_type).into()).or_default().push((*selector).into());
    }
    let table = load(&s, &MemFiles::of(&[("g.csv", text)]), &mut Vec::new()).unwrap();
    let mut plan = Plan::default();
    plan.add(&s, Arc::new(table)).unwrap();
    let needs = plan.needs();
    (Join::new(Arc::new(plan)), needs)
}

fn run(j: &mut Join, b: EventBatch) -> (Arc<EventBatch>, BTreeMap<&'static str, u64>) {
    let mut cx = Ctx::default();
    j.map(Packet::Events(Arc::new(b)), &mut cx).unwrap();
    let counts = cx.counts.iter().map(|(c, table, n)| {
        assert_eq!(&**table, "geo");
        (*c, *n)
    });
    let counts = counts.collect();
    match cx.out.pop() {
        Some((0, Packet::Events(b))) => (b, counts),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_give_one_row_each_in_blocks() {
    let text: String = std::iter::once("k,n\n".to_string()).chain((0..1000).map(|i| format!("k{i},{i}\n"))).collect();
    let (mut j, needs) = join(&text, Matching::Exact, &[("T", "a.b")]);
    assert!(needs.of("T").contains(&Path::parse("a.b").unwrap()) && needs.of("U").is_empty());
    let keys: Vec<String> = (0..777).map(|i| format!("k{}", i * 2)).collect();
    let mut values: Vec<Value> = keys.iter().map(|k| Value::Str(k)).collect();
    values.extend([Value::Absent, Value::Null, Value::Str(""), Value::Bool(true), Value::Obj("{}")]);
    let (b, counts) = run(&mut j, batch("a.b", &values));
    let [EnrichColumn { rows: EnrichRows::One(rows), .. }] = &b.enrich[..] else { panic!("{:?}", b.enrich) };
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(*row, if i < 500 { i as u32 * 2 } else { NO_ROW }, "{i}");
    }
    assert_eq!((counts["hits"], counts["misses"]), (500, 278));
}

#[test]
fn numbers_match_as_text_and_other_log_types_pass_untouched() {
    let (mut j, _) = join("k,n\n7,a\n", Matching::Exact, &[("T", "x")]);
    let (b, _) = run(&mut j, batch("x", &[Value::Num("7"), Value::Num("7.0")]));
    assert!(matches!(&b.enrich[..], [EnrichColumn { rows: EnrichRows::One(r), .. }] if *r == [0, NO_ROW]));
    let (b, _) = run(&mut j, batch("y", &[Value::Num("7")]));
    assert!(b.enrich.is_empty(), "a layout without the column gets no enrichment");
    let (mut j, _) = join("k,n\n7,a\n", Matching::Exact, &[("U", "x")]);
    assert!(run(&mut j, batch("x", &[Value::Num("7")])).0.enrich.is_empty());
    let (mut j, _) = join("k,n\n7,a\n", Matching::Exact, &[("*", "x")]);
    assert_eq!(run(&mut j, batch("x", &[Value::Num("7")])).0.enrich.len(), 1);
}

#[test]
fn arrays_give_lists_and_do_not_change_their_neighbours() {
    let (mut j, _) = join("k,n\na,1\nb,2\n", Matching::Exact, &[("T", "x")]);
    let (b, _) = run(&mut j, batch("x", &[Value::Str("a"), Value::Arr(r#"["b","c",null,["a"],"a"]"#)]));
    let [EnrichColumn { rows: EnrichRows::One(one), .. }, EnrichColumn { rows: EnrichRows::Many(many), .. }] =
        &b.enrich[..]
    else {
        panic!("{:?}", b.enrich)
    };
    assert_eq!((one, &many[0].len()), (&vec![0, NO_ROW], &0));
    assert_eq!(many[1], [("b".to_string(), 1), ("a".to_string(), 0)]);
}

#[test]
fn each_and_indicators_give_lists() {
    let (mut j, needs) =
        join("k,n\n10.0.0.0/8,1\n", Matching::Cidr, &[("T", "$.x.list[*].ip"), ("T", "p_any_ip_addresses")]);
    assert_eq!(needs.of("T").into_iter().collect::<Vec<_>>(), [Path::parse("x.list").unwrap()]);
    let (b, counts) = run(
        &mut j,
        batch("x.list", &[Value::Arr(r#"[{"ip":"10.1.1.1"},{"ip":"9.9.9.9"},{}]"#), Value::Str("10.0.0.1,z")]),
    );
    let [EnrichColumn { rows: EnrichRows::Many(each), .. }, EnrichColumn { rows: EnrichRows::Many(any), .. }] =
        &b.enrich[..]
    else {
        panic!("{:?}", b.enrich)
    };
    assert_eq!((&each[0][..], &each[1][..]), (&[("10.1.1.1".to_string(), 0)][..], &[][..]));
    assert_eq!((&any[0][..], &any[1][..]), (&[][..], &[("10.0.0.1".to_string(), 0)][..]));
    assert_eq!(counts["hits"], 1);
}

#[test]
fn a_list_is_cut_at_the_limit() {
    let (mut j, _) = join("k,n\na,1\n", Matching::Exact, &[("T", "x[*]")]);
    let list = format!("[{}\"a\",\"a\"]", "\"a\",".repeat(MAX_VALUES - 1));
    let (b, counts) = run(&mut j, batch("x", &[Value::Arr(&list)]));
    assert!(matches!(&b.enrich[..], [EnrichColumn { rows: EnrichRows::Many(m), .. }] if m[0].len() == MAX_VALUES));
    assert_eq!(counts["values_over_limit"], 1);
}

#[test]
fn unreadable_selectors_are_told() {
    let mut s = spec("g.csv", Some("k"), Matching::Exact);
    s.selectors.insert("T".into(), vec!["a[".into(), "ok".into(), "b..c".into()]);
    let table = load(&s, &MemFiles::of(&[("g.csv", "k\na\n")]), &mut Vec::new()).unwrap();
    assert_eq!(Plan::default().add(&s, Arc::new(table)).unwrap_err().len(), 2);
}
