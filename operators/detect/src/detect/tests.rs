//! The detect node from its settings to its matches.
use super::*;
use crate::columns::tests::support;
use model::files::MemFiles;
use model::operator::STOPPED;
use model::{Ctx, Match, Packet, Path, Record, Severity};
use serde_json::{Value as J, json};

const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [Test.Type]\n";

fn files(list: &[(&str, String)]) -> MemFiles {
    MemFiles::of(&list.iter().map(|(p, t)| (*p, t.as_str())).collect::<Vec<_>>())
}

fn yaml(id: &str, rest: &str) -> String {
    format!("{HEAD}RuleID: {id}\n{rest}")
}

fn open(files: &MemFiles, settings: J) -> Opened {
    DetectPart.open("rules", &settings, files)
}

fn node(files: &MemFiles) -> Arc<dyn Node> {
    let opened = open(files, json!({"rules": ["rules"]}));
    opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems))
}

/// Run events through a node; a batch per slice.
fn run(node: &dyn Node, batches: &[&[J]], store_events: bool) -> (Vec<Match>, Vec<(&'static str, Arc<str>, u64)>) {
    let cx = BuildCx {
        id: "rules".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events,
        groups: 128,
        shard: 0,
        data_dir: Default::default(),
        work_dir: Default::default(),
        event_time: true,
        once: true,
        ..Default::default()
    };
    let Ok(Built::Map(mut map)) = node.build(&cx) else { panic!("detect is a map") };
    let layout = support::layout("Test.Type", &node.needs().of("Test.Type"));
    let mut ctx = Ctx::default();
    for events in batches {
        map.map(Packet::Events(Arc::new(support::batch(&layout, events))), &mut ctx).unwrap();
    }
    let records = ctx.out.into_iter().flat_map(|(port, p)| match p {
        Packet::Records(r) if port == 0 => r,
        other => panic!("{other:?}"),
    });
    let matches = records.map(|r| match r {
        Record::Match(m) => *m,
        other => panic!("{other:?}"),
    });
    (matches.collect(), ctx.counts)
}

/// Run events through a node with the detections of the folder `d`.
pub(crate) fn run_files(files: &MemFiles, log_type: &str, events: &[J]) -> Vec<Match> {
    let (rules, problems) = Rules::open(&json!({"rules": ["d"]}), files).unwrap_or_else(|p| panic!("{p:?}"));
    assert!(problems.iter().all(|p| p.warning), "{problems:?}");
    let mut out = Vec::new();
    let layout = support::layout(log_type, &rules.needs().of(log_type));
    rules.detect(false).batch(&Arc::new(support::batch(&layout, events)), &mut out);
    let one = |r| if let Record::Match(m) = r { *m } else { panic!("{r:?}") };
    out.into_iter().map(one).collect()
}

fn sample() -> MemFiles {
    let full = "DisplayName: Sign-in\nDetection:\n  - {Key: name, Condition: Equals, Value: login}\n\
        AlertTitle: 'Login of {user.name} from {p_enrichment.geo.ip.country}'\n\
        GroupBy: [{KeyPath: user.name}, {Key: ip}]\n\
        AlertContext:\n  - {KeyName: z, KeyValue: {Key: ip}}\n  - {KeyName: a, KeyValue: {KeyPath: 'list[*].n'}}\n  - {KeyName: n, KeyValue: {Key: gone}}\n\
        DynamicSeverities:\n  - {ChangeTo: Critical, Conditions: [{KeyPath: user.name, Condition: Equals, Value: root}]}\n";
    let lua = "function rule(e) if e.name == 'boom' then error('no') end return e.name == 'login' end\n\
        function title(e) return 'lua ' .. e.user.name end";
    files(&[
        ("rules/b.yml", yaml("B", full)),
        (
            "rules/a.yml",
            yaml("A", "Filename: a.lua\nInlineFilters:\n  - {KeyPath: name, Condition: IsIn, Values: [login, boom]}\n"),
        ),
        ("rules/a.lua", lua.into()),
        ("rules/c.yml", yaml("C", "Detection:\n  - {Key: name, Condition: Equals, Value: plain}\n")),
        (
            "rules/d.yml",
            yaml("D", "Detection:\n  - {Condition: AlwaysTrue}\n").replace("Enabled: true", "Enabled: false"),
        ),
    ])
}

#[test]
fn matches_come_by_row_and_rule_with_all_they_carry() {
    let events = [
        json!({"name": "other"}),
        json!({"name": "login", "user": {"name": "ann"}, "ip": "1.1.1.1", "list": [{"n": 1}, {}, {"n": 2}],
               "p_enrichment": {"geo": {"ip": {"p_match": "1.1.1.1", "country": "DE"}}}}),
        json!({"name": "boom", "user": {"name": "x"}}),
        json!({"name": "login", "user": {"name": "root"}}),
        json!({"name": "plain"}),
    ];
    let (matches, counts) = run(&*node(&sample()), &[&events], true);
    let seen: Vec<(u64, &str)> = matches.iter().map(|m| (m.pos.offset, &*m.rule.id)).collect();
    assert_eq!(seen, [(1, "A"), (1, "B"), (2, "A"), (3, "A"), (3, "B"), (4, "C")]);

    let b = &matches[1];
    assert_eq!(
        (b.title.as_str(), b.dedup.as_str(), b.severity),
        ("Login of ann from DE", "ann:1.1.1.1", Severity::Low)
    );
    assert_eq!(b.context.as_deref(), Some(r#"{"z":"1.1.1.1","a":[1,2],"n":null}"#));
    assert_eq!((b.error.as_deref(), b.destinations.as_ref(), &*b.log_type, b.now_ms), (None, None, "Test.Type", 1_000));
    let event: J = serde_json::from_str(b.event.as_deref().unwrap()).unwrap();
    assert_eq!(event["p_enrichment"]["geo"]["ip"], json!({"p_match": "1.1.1.1", "country": "DE"}));

    assert_eq!((matches[0].title.as_str(), matches[0].dedup.as_str()), ("lua ann", "lua ann"));
    let error = &matches[2];
    assert!(error.error.as_deref().unwrap().contains("no"), "{error:?}");
    assert_eq!(error.dedup, "RuntimeError");
    assert_eq!((matches[4].title.as_str(), matches[4].severity), ("Login of root from ", Severity::Critical));
    assert_eq!(matches[4].dedup, "root:");
    assert_eq!((matches[5].title.as_str(), matches[5].dedup.as_str()), ("C", "C"));

    let want = [("events", "", 5), ("matches", "A", 2), ("errors", "A", 1), ("matches", "B", 2), ("matches", "C", 1)];
    assert_eq!(counts.iter().map(|(n, r, c)| (*n, &**r, *c)).collect::<Vec<_>>(), want);
}

#[test]
fn a_rule_in_quarantine_is_an_error_of_its_events_and_runs_again_when_it_is_let_go() {
    let forever = ("rules/d.lua", "function rule(e) while true do end end".to_string());
    let mut list = vec![
        ("rules/d.yml", yaml("D", "Filename: d.lua\n")),
        ("rules/e.yml", yaml("E", "Filename: e.lua\n")),
        ("rules/e.lua", "function rule(e) return true end".to_string()),
    ];
    list.push(forever);
    let node = node(&files(&list));
    let Ok(Built::Map(mut map)) = node.build(&BuildCx::default()) else { panic!("detect is a map") };
    let layout = support::layout("Test.Type", &node.needs().of("Test.Type"));
    let mut run = |out: &[Arc<str>]| {
        let mut cx = Ctx::default();
        map.quarantine(out);
        map.map(Packet::Events(Arc::new(support::batch(&layout, &[json!({"a": 1})]))), &mut cx).unwrap();
        let Some((0, Packet::Records(records))) = cx.out.pop() else { panic!("{:?}", cx.out) };
        let dedup = |r: &Record| if let Record::Match(m) = r { m.dedup.clone() } else { panic!("{r:?}") };
        let stopped = cx.counts.iter().filter(|c| c.0 == STOPPED).map(|c| c.2).sum::<u64>();
        (records.iter().map(dedup).collect::<Vec<_>>(), stopped)
    };
    let stopped = (vec!["TimeLimitError".to_string(), "E".to_string()], 1);
    assert_eq!(run(&[]), stopped);
    assert_eq!(run(&["D".into(), "Gone".into()]), (vec!["QuarantineError".to_string(), "E".to_string()], 0));
    assert_eq!(run(&[]), stopped);
}

#[test]
fn correlations_get_the_events_that_they_read_and_silence_what_is_only_a_signal() {
    let any = "Detection: [{Key: a, Condition: Exists}]\n";
    let list = [("rules/a.yml", yaml("A", any)), ("rules/b.yml", yaml("B", any)), ("rules/c.yml", yaml("C", any))];
    let node = node(&files(&list));
    let mut needs = Needs::default();
    needs.events_of.insert("B".into());
    needs.signals_of.insert("C".into());
    let run = |needs: Needs| {
        let cx = BuildCx { needs, ..BuildCx::default() };
        let Ok(Built::Map(mut map)) = node.build(&cx) else { panic!("detect is a map") };
        let layout = support::layout("Test.Type", &node.needs().of("Test.Type"));
        let mut cx = Ctx::default();
        map.map(Packet::Events(Arc::new(support::batch(&layout, &[json!({"a": 1})]))), &mut cx).unwrap();
        let Some((0, Packet::Records(records))) = cx.out.pop() else { panic!("{:?}", cx.out) };
        let of = |r: &Record| {
            let Record::Match(m) = r else { panic!("{r:?}") };
            (m.rule.id.to_string(), m.event.is_some(), m.rule.create_alert)
        };
        records.iter().map(of).collect::<Vec<_>>()
    };
    let all = |want: [(bool, bool); 3]| {
        ["A", "B", "C"].map(String::from).into_iter().zip(want).map(|(id, (e, a))| (id, e, a)).collect::<Vec<_>>()
    };
    assert_eq!(run(Needs::default()), all([(false, true); 3]));
    assert_eq!(run(needs), all([(false, true), (true, true), (false, false)]));
}

#[test]
fn the_batch_an_event_is_in_changes_nothing() {
    let names = ["login", "boom", "plain", "other"];
    let events: Vec<J> =
        (0..200).map(|i| json!({"name": names[i * 7 % 4], "user": {"name": format!("u{}", i % 9)}})).collect();
    let node = node(&sample());
    let strip =
        |m: Vec<Match>| m.into_iter().map(|m| (m.rule.id.clone(), m.title, m.dedup, m.error)).collect::<Vec<_>>();
    let whole = strip(run(&*node, &[&events], false).0);
    assert!(whole.len() > 100);
    for size in [1, 7, 64] {
        let parts: Vec<&[J]> = events.chunks(size).collect();
        assert_eq!(strip(run(&*node, &parts, false).0), whole, "batches of {size}");
    }
    assert!(run(&*node, &[&events], false).0.iter().all(|m| m.event.is_none()));
}

#[test]
fn group_by_of_nothing_but_nulls_is_the_default() {
    let f = files(&[("rules/x.yml", yaml("X", "Detection: [{Condition: AlwaysTrue}]\nGroupBy: [{Key: a}]\n"))]);
    let (m, _) = run(&*node(&f), &[&[json!({}), json!({"a": ""}), json!({"a": 5}), json!({"a": "v"})]], false);
    let dedup: Vec<&str> = m.iter().map(|m| m.dedup.as_str()).collect();
    assert_eq!(dedup, ["defaultDedupString:X", "defaultDedupString:X", "5", "v"]);
}

#[test]
fn long_titles_are_cut_and_large_contexts_replaced() {
    let rest =
        "Detection: [{Condition: AlwaysTrue}]\nAlertTitle: '{a}'\nAlertContext: [{KeyName: a, KeyValue: {Key: a}}]\n";
    let f = files(&[("rules/x.yml", yaml("X", rest))]);
    let (m, _) = run(&*node(&f), &[&[json!({"a": "x".repeat(204_792)}), json!({"a": "x".repeat(204_793)})]], false);
    assert_eq!((m[0].title.len(), m[0].dedup.len()), (1_000, 1_000));
    assert!(m[0].title.ends_with("x... (truncated)"));
    assert_eq!(m[0].context.as_ref().map(String::len), Some(204_800));
    assert!(m[1].context.as_deref().unwrap().contains("size is [204801] characters"));
}

#[test]
fn needs_every_column_its_rules_read() {
    let needs = node(&sample()).needs();
    let paths: Vec<String> = needs.of("Test.Type").iter().map(Path::to_string).collect();
    assert_eq!(paths, ["gone", "ip", "list", "name", "user.name"]);
    assert!(needs.of("Other.Type").is_empty());
}

#[test]
fn findings_and_choices_of_rules() {
    let opened = open(&sample(), json!({"rules": ["rules"], "log_types": ["Test.Typo"]}));
    assert!(opened.node.is_some());
    assert_eq!(
        opened.problems.iter().map(|p| (p.setting.as_str(), p.warning)).collect::<Vec<_>>(),
        [("log_types[0]", true), ("rules", true)]
    );
    assert_eq!(node(&sample()).summary(), "3 rules, 1 Lua, 1 disabled, not loaded");

    let bad = files(&[("rules/x.yml", yaml("X", "Detection: [{Key: a, Condition: equals, Value: 1}, {Key: a}]\n"))]);
    let opened = open(&bad, json!({"rules": ["rules", "nowhere"], "lua_time": "5ms", "lua_memory": "1MiB"}));
    assert!(opened.node.is_none());
    assert_eq!(opened.problems.len(), 3, "{:?}", opened.problems);
    assert!(open(&bad, json!({"rules": ["rules"], "rule": 1})).node.is_none());
    assert_eq!(DetectPart.schema()["properties"]["lua_time"]["default"], json!("10ms"));
}
