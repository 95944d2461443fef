//! The whole way, from text to plan.
use crate::fake::{WHOLE, findings, parts, run};
use crate::{Loaded, State, Topology, diff, graph, json_schema, validate::validate};
use model::{Flow, Path};
use serde_json::Value as J;

fn loaded(text: &str) -> Topology {
    let l = run(&[("topology.toml", text)]);
    assert!(l.topology.is_some(), "{}", l.render(false));
    l.topology.unwrap()
}

/// `text` with one line replaced, as a finding: `line:col message (hint)`.
fn finding(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    let l = run(&[("t.toml", &WHOLE.replacen(from, to, 1))]);
    brief(&l)
}

fn brief(l: &Loaded) -> String {
    let one = |d: &crate::Diagnostic| {
        let hint = d.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        let warn = if d.warning { "warning: " } else { "" };
        format!("{}:{} {warn}{}{hint}", d.line, d.col, d.message)
    };
    l.diagnostics.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_knows_what_only_the_graph_knows() {
    let l = run(&[("topology.toml", WHOLE)]);
    assert_eq!(l.render(false), "");
    let t = l.topology.unwrap();
    assert_eq!((t.name.as_str(), t.event_time, t.engine.epoch.0, t.engine.lanes), ("whole", true, 100, 2));
    let ids: Vec<&str> = t.nodes.iter().map(|n| &*n.id).collect();
    assert_eq!(ids, ["hook", "trail", "events", "only", "geo", "rules", "dedup", "storm", "alerts", "matches"]);
    assert_eq!(t.nodes[2].inputs, [(1, 0), (0, 0)], "as written");
    assert_eq!((t.nodes[0].index, t.nodes[1].index), (0, 1));
    let needs = t.node("events").unwrap().needs.clone();
    assert_eq!(needs.of("AWS.CloudTrail").len(), 3, "filter, selector and rule: {needs:?}");
    assert!(needs.of("Other").contains(&Path::key("rule_field")));
    assert!(!needs.wants_all("AWS.CloudTrail"), "the lake stores matches, not events");
    assert!(t.node("rules").unwrap().store_events);
    assert_eq!(t.node("events").unwrap().dead_letter, [1]);
    assert_eq!(t.node("only").unwrap().flows, [Flow::Events, Flow::Events]);
    assert_eq!(t.env_used, ["INPUT"]);
    assert_eq!(t.node("trail").unwrap().settings["path"], "from-env.jsonl");
    assert_eq!(t.node("rules").unwrap().content.keys().collect::<Vec<_>>(), ["rules/a.yml"]);
}

#[test]
fn needs_and_stored_events_follow_the_connections() {
    let t = loaded(&WHOLE.replace("inputs = [\"dedup.matches\"]", "inputs = [\"only\"]"));
    assert!(t.node("events").unwrap().needs.wants_all("AWS.CloudTrail"));
    assert!(!t.node("rules").unwrap().store_events);
    let through = WHOLE.replace("inputs = [\"dedup.matches\"]", "inputs = [\"hits\"]")
        + "\n[transforms.hits]\ninputs = [\"rules\"]\nfield = \"x\"\n";
    let t = loaded(&through);
    assert_eq!(t.node("hits").unwrap().flows[0], Flow::Matches, "a transform passes on what it reads");
    assert!(t.node("rules").unwrap().store_events);
}

#[test]
fn order_does_not_depend_on_how_the_file_is_written() {
    let mut blocks: Vec<&str> = WHOLE.split("\n\n").collect();
    let head = blocks.remove(0);
    blocks.reverse();
    let a = loaded(WHOLE);
    let b = loaded(&format!("{head}\n\n{}\n", blocks.join("\n\n")));
    let ids = |t: &Topology| t.nodes.iter().map(|n| (n.id.clone(), n.settings_hash.clone())).collect::<Vec<_>>();
    assert_eq!(ids(&a), ids(&b));
    assert!(diff(&a, &b).is_empty());
}

#[test]
fn secrets_never_show() {
    let t = loaded(WHOLE);
    let hook = t.node("hook").unwrap();
    assert_eq!(hook.settings["token"], "SECRET[env.TOKEN]");
    let all = format!("{t:?} {} {} {}", graph::dot(&t), graph::mermaid(&t), graph::svg(&t));
    assert!(!all.contains("hunter2"));
    let text = finding("url = \"http://x\"", "url = \"SECRET[env.TOKEN]/x\"");
    assert_eq!(text, "15:7 `SECRET[env.TOKEN]/x` with token SECRET[env.TOKEN] is no address");
    let text = finding("name = \"whole\"", "name = \"SECRET[env.TOKEN]\"");
    assert!(text.contains("secrets may stand in the settings of nodes only"), "{text}");
    let text = finding("limit = \"1000/h\"", "limit = \"SECRET[env.TOKEN]\"");
    assert!(text.contains("`SECRET[env.TOKEN]` is not a rate"), "{text}");
    let text = finding("SECRET[env.TOKEN]", "SECRET[env.GONE]");
    assert_eq!(text, "16:9 no secret SECRET[env.GONE]: no variable GONE");
}

#[test]
fn variables_are_filled_in_after_parsing() {
    let t = loaded(&WHOLE.replace("field = \"eventName\"", "field = \"${A}${NO:-!}$${x}\""));
    assert_eq!(t.node("only").unwrap().settings["field"], "a-value!${x}");
    let t = loaded(&WHOLE.replace("lanes = 2", "lanes = \"${N}\""));
    assert_eq!(t.engine.lanes, 7, "read as a number where one is wanted");
    assert_eq!(t.env_used, ["INPUT", "N"]);
    assert_eq!(
        finding("field = \"eventName\"", "field = \"${GONE}\""),
        "24:9 the variable GONE is not set (set it, or give a default: ${GONE:-…})"
    );
    assert_eq!(finding("lanes = 2", "lanes = \"${A}\""), "7:9 `lanes` must be an integer, got a string");
}

#[test]
fn settings_of_the_head() {
    assert_eq!(finding("schema = 1", "schema = 2"), "1:10 schema 2 is not supported; this version reads schema 1");
    assert_eq!(
        finding("schema = 1", "schema = \"1\""),
        "1:10 `schema` must be the integer 1, got a string (write `schema = 1` on top)"
    );
    assert!(finding("schema = 1\n", "").contains("`schema` is missing"));
    assert_eq!(
        finding("time = \"event\"", "time = \"evnt\""),
        "3:8 `time` must be `event` or `processing`, got `evnt` (did you mean `event`?)"
    );
    assert_eq!(finding("name = \"whole\"", "name = 'a b'").lines().count(), 1);
    assert_eq!(
        finding("epoch = \"100ms\"", "epoch = 100"),
        "6:9 `epoch` must be a duration such as \"90s\" (ms, s, m, h, d), got the integer 100 (write \"100s\" or \"100ms\")"
    );
    assert_eq!(
        finding("epoch = \"100ms\"", "epoch = \"20s\""),
        "5:1 `checkpoint` (10s) is shorter than `epoch` (20s) (a snapshot is taken between two epochs: give it at least the time of one)"
    );
    assert_eq!(finding("lanes = 2", "lans = 2"), "7:1 `engine` has no setting `lans` (did you mean `lanes`?)");
    assert_eq!(finding("lanes = 2", "lanes = 0"), "7:9 `lanes` must be at least 1, got 0");
    assert!(finding("[engine]", "[engin]").starts_with("5:2 unknown key `engin` (did you mean `engine`?)"));
}

#[test]
fn types_and_names() {
    assert_eq!(finding("type = \"file\"\n", ""), "9:1 `trail` has no `type` (one of `file`, `http`)");
    assert_eq!(
        finding("type = \"file\"", "type = \"fil\""),
        "10:8 there is no source of type `fil` (did you mean `file`?)"
    );
    assert_eq!(
        finding("type = \"file\"", "type = \"lake\""),
        "10:8 there is no source of type `lake` (`lake` belongs into [sinks.trail])"
    );
    let text = finding("[detect.rules]", "[detect.trail]");
    assert!(text.starts_with("32:9 the name `trail` is taken: it is given first at t.toml:9:10"), "{text}");
    let text = finding("[parse.events]", "[parse.Events]");
    assert!(text.starts_with("18:8 `Events` cannot be a name of a node"), "{text}");
    let text = finding("[sinks.alerts]", "[sinks.ledger]");
    assert_eq!(text, "45:8 `ledger` is the name of a sink that every run has (choose another name)");
    let text = finding("[detect.rules]", "[detct.rules]");
    assert_eq!(text, "32:2 unknown key `detct` (did you mean `detect`?)", "nothing about the graph: a node is missing");
    let text = finding("[detect.rules]", "sources.x = 1\n[detect.rules]");
    assert_eq!(text, "32:1 `table[0]` has no setting `sources` (it has: `file`, `name`, `selectors`)");
    let shape = |t: &str| brief(&run(&[("t.toml", &format!("schema = 1\n{t}"))]));
    assert_eq!(
        shape("sources = 3"),
        "2:11 `sources` is a section of named nodes, got an integer (write [sources.<name>])"
    );
    assert_eq!(
        shape("[sources]\nx = 'y'"),
        "3:5 `sources.x` is a node and must be a table, got a string (write [sources.x])"
    );
    assert_eq!(shape("[[sinks]]\n"), "2:1 `sinks` is a section of named nodes, got an array (write [sinks.<name>])");
    assert_eq!(
        shape("sinks.a = { type = 'lake', inputs = ['s'], path = 1 }\nsources.s.type = 'file'\nsources.s.path = 'x'"),
        "2:38 `s` gives raw records, `a` takes events or matches (put a parse node between)\n2:51 `path` must be a string, got the integer 1"
    );
}

#[test]
fn connections() {
    let geo = "inputs = [\"geo\"]";
    assert_eq!(
        finding(geo, "inputs = [\"goe\"]"),
        "33:11 there is no node `goe` (did you mean `geo`?)\n26:1 warning: nobody reads from `geo` (name it in the inputs of a node, or take it out)"
    );
    assert!(
        finding(geo, "inputs = [\"geo.x\"]")
            .starts_with("33:11 `geo` has no output `x` (it has only one: write \"geo\")")
    );
    assert!(
        finding("\"storm.suppressed\"", "\"storm.supressed\"")
            .starts_with("47:20 `storm` has no output `supressed` (did you mean `suppressed`?)")
    );
    assert!(
        finding(geo, "inputs = \"geo\"")
            .starts_with("33:10 `inputs` must be a list, got a string (write inputs = [\"geo\"])")
    );
    assert!(
        finding(geo, "")
            .starts_with("32:1 `rules` has no inputs (write inputs = [\"…\"] with one of `events`, `only`, `geo`)")
    );
    assert!(finding(geo, "inputs = []").starts_with("32:1 `rules` has no inputs"));
    assert!(finding(geo, "inputs = [\"geo\", 1]").starts_with("33:18 `inputs` takes strings, got an integer"));
    assert_eq!(finding(geo, "inputs = [\"geo\", \"geo\"]"), "33:18 `geo` is in the list twice");
    assert!(finding(geo, "inputs = [\"alerts\"]").starts_with("33:11 `alerts` is a sink and has no outputs"));
    assert!(finding("url = ", "inputs = [\"trail\"]\nurl = ").starts_with("15:1 a source has no inputs"));
}

#[test]
fn flows() {
    assert_eq!(
        finding("inputs = [\"dedup\"]", "inputs = [\"rules\"]"),
        "41:11 `rules` gives matches, `storm` takes alerts (put a dedup node between)"
    );
    assert!(finding("inputs = [\"dedup\"]", "inputs = [\"trail\"]").starts_with(
        "41:11 `trail` gives raw records, `storm` takes alerts (put parse, detect and dedup nodes between)"
    ));
    assert_eq!(
        finding("inputs = [\"dedup.matches\"]", "inputs = [\"dedup\"]"),
        "53:11 `dedup` gives alerts, `matches` takes events or matches (read \"dedup.matches\" instead)"
    );
    assert_eq!(
        finding("inputs = [\"dedup.matches\"]", "inputs = [\"dedup.matches\", \"geo\"]"),
        "53:28 `matches` mixes matches (`dedup`) and events (`geo`) (give each its own sink)"
    );
    assert!(finding("inputs = [\"events\"]", "inputs = [\"events\", \"rules\"]").contains("form a loop"));
    let mixed = format!("{WHOLE}\n[transforms.x]\ninputs = [\"geo\", \"rules\"]\nfield = \"f\"\n");
    assert!(brief(&run(&[("t.toml", &mixed)])).contains("`x` mixes events (`geo`) and matches (`rules`)"));
}

#[test]
fn loops_are_named_once() {
    let text = finding("inputs = [\"events\"]", "inputs = [\"geo\"]");
    assert_eq!(
        text.lines().next(),
        Some("27:11 the nodes form a loop: geo → only → geo (take out one of these inputs)")
    );
    assert!(finding("inputs = [\"only\"]", "inputs = [\"geo\"]").contains("27:11 the nodes form a loop: geo → geo"));
    let two = finding("inputs = [\"events\"]", "inputs = [\"geo\"]").matches("form a loop").count();
    assert_eq!(two, 1);
}

#[test]
fn ends_and_loose_ends() {
    let text = brief(&run(&[("t.toml", "schema = 1\n")]));
    assert_eq!(
        text,
        "0:0 there is no source (add a [sources.<name>])\n0:0 warning: there is no sink: nothing comes out (add a [sinks.<name>])"
    );
    let l = run(&[("t.toml", "schema = 1\n[sources.a]\ntype = 'file'\npath = 'x'\n")]);
    assert!(l.topology.is_some() && l.diagnostics.iter().all(|d| d.warning));
    assert!(brief(&l).contains("2:1 warning: nobody reads from `a`"));
    let l = run(&[("t.toml", "")]);
    assert!(l.topology.is_none() && brief(&l).contains("`schema` is missing"));
}

#[test]
fn problems_of_parts_point_into_the_topology_and_into_content() {
    assert_eq!(
        finding("\"${INPUT:-in.jsonl}\"", "'/forbidden'"),
        "11:8 cannot read `/forbidden` (choose another file)"
    );
    assert_eq!(finding("[\"sourceIPAddress\"]", "['a', '.x']"), "30:40 bad path `.x` of geo");
    let text = findings(&[("t.toml", WHOLE), ("rules/b.yml", "RuleID: b\nž Severty: x\r\n"), ("rules/c.yml", "Old\n")]);
    assert_eq!(
        text,
        "rules/b.yml:2:3: error: unknown key `Severty`\n   | ž Severty: x\n   |   ^^^^^^^\n   = help: did you mean `Severity`?\n\
         rules/c.yml:1:1: warning: an old rule\n   | Old\n   | ^^^\n"
    );
    let l = run(&[("t.toml", WHOLE), ("rules/c.yml", "Old\n")]);
    assert!(l.topology.is_some() && l.diagnostics[0].node.as_deref() == Some("rules"));
}

#[test]
fn includes() {
    let (head, rest) = WHOLE.split_once("[sources.trail]").unwrap();
    let head = format!("include = [\"nodes/*.toml\", \"*.toml\"]\n{head}");
    let rest = format!("[sources.trail]{rest}");
    let l = run(&[("topology.toml", &head), ("nodes/a.toml", &rest)]);
    assert_eq!(l.render(false), "");
    assert_eq!(l.topology.unwrap().nodes.len(), 10);
    let more = "name = \"x\"\nnonsense = 1\n[sinks.alerts]\ntype = 'lake'\ninputs = ['events']\npath = ''\n";
    let text = findings(&[("topology.toml", &head), ("nodes/a.toml", &rest), ("nodes/b.toml", more)]);
    for want in [
        "nodes/b.toml:1:1: error: an included file holds nodes only; `name` belongs into the topology itself",
        "nodes/b.toml:2:1: error: unknown key `nonsense`",
        "nodes/b.toml:3:8: error: the name `alerts` is taken: it is given first at nodes/a.toml:37:8",
    ] {
        assert!(text.contains(want), "{text}");
    }
    let text = findings(&[("topology.toml", &head), ("nodes/a.toml", &rest), ("nodes/b.toml", "[sinks.x\npath = ")]);
    assert!(text.contains("nodes/b.toml:1:9: error: TOML: "), "{text}");
    let text = findings(&[("topology.toml", "schema = 1\ninclude = ['gone/*.toml', 3]\n")]);
    assert!(text.contains("2:12: error: no file matches `gone/*.toml`"), "{text}");
    assert!(text.contains("2:27: error: `include` takes strings, got an integer"), "{text}");
    assert!(findings(&[("topology.toml", "schema = 1\ninclude = 'x'\n")]).contains("`include` is a list of files"));
    assert!(
        brief(&crate::load("gone.toml", &model::files::MemFiles::default(), &|_| None, &|_| Ok("".into()), &parts()))
            .contains("cannot read gone.toml")
    );
}

#[test]
fn limits_hold_at_the_limit() {
    let source = |n: usize| format!("[sources.s{n}]\ntype = 'file'\npath = 'x'\n");
    for (n, ok) in [(crate::NODES_MAX, true), (crate::NODES_MAX + 1, false)] {
        let text: String = std::iter::once("schema = 1\n".to_string()).chain((0..n).map(source)).collect();
        assert_eq!(run(&[("t.toml", &text)]).topology.is_some(), ok, "{n} nodes");
    }
    for (n, ok) in [(crate::ID_LEN_MAX, true), (crate::ID_LEN_MAX + 1, false)] {
        let text = format!("schema = 1\n[sources.{}]\ntype = 'file'\npath = 'x'\n", "a".repeat(n));
        assert_eq!(run(&[("t.toml", &text)]).topology.is_some(), ok, "{n} letters");
    }
    for (n, ok) in [(crate::FILE_BYTES_MAX, true), (crate::FILE_BYTES_MAX + 1, false)] {
        let text = format!("schema = 1\n{}", source(0));
        let text = format!("{text}#{}", "x".repeat(n - text.len() - 1));
        assert_eq!(run(&[("t.toml", &text)]).topology.is_some(), ok, "{n} bytes");
    }
    for (n, ok) in [(crate::INCLUDED_FILES_MAX, true), (crate::INCLUDED_FILES_MAX + 1, false)] {
        let entry = format!("schema = 1\ninclude = ['n/*.toml']\n{}", source(0));
        let names: Vec<String> = (0..n).map(|i| format!("n/{i:05}.toml")).collect();
        let files: Vec<(&str, &str)> =
            std::iter::once(("t.toml", entry.as_str())).chain(names.iter().map(|n| (n.as_str(), ""))).collect();
        assert_eq!(run(&files).topology.is_some(), ok, "{n} files");
    }
}

#[test]
fn edits_say_what_becomes_of_state() {
    let old = loaded(WHOLE);
    let same = diff(&old, &loaded(WHOLE));
    assert!(same.is_empty() && same.unchanged == 10);
    assert_eq!(same.render(false), "Nothing changes: 10 nodes stay as they are.\n");

    let edit = WHOLE
        .replace("window = \"1h\"", "window = \"2h\"")
        .replace("limit = \"1000/h\"", "limit = \"1000/d\"")
        .replace("[sinks.matches]", "[sinks.hits]")
        .replace("inputs = [\"storm\", \"storm.suppressed\"]", "inputs = [\"storm\"]")
        .replace("lanes = 2", "lanes = 3");
    let p = diff(&old, &loaded(&edit));
    assert_eq!(
        (p.added.as_slice(), p.removed.as_slice(), p.lost.as_slice()),
        (["hits".to_string()].as_slice(), ["matches".to_string()].as_slice(), ["matches".to_string()].as_slice())
    );
    let states: Vec<_> = p.changed.iter().map(|c| (c.id.as_str(), c.what.join(","), c.state)).collect();
    assert_eq!(states, [("dedup", "window".to_string(), State::Kept), ("storm", "limit".to_string(), State::Reset)]);
    let text = p.render(false);
    assert!(
        text.contains(
            "~ dedup  (state kept: the edit does not change what the state means)\n    window: \"1h\" → \"2h\"\n"
        ),
        "{text}"
    );
    assert!(text.contains("~ alerts  inputs: [storm, storm.suppressed] → [storm]\n"), "{text}");
    assert!(text.contains("~ engine.lanes: 2 → 3\n- matches  (its state is lost)\n+ hits\n"), "{text}");
    assert!(text.ends_with("Plan: 1 added, 1 removed, 2 changed, 1 rewired, 6 unchanged.\n"), "{text}");
    assert!(serde_json::to_value(&p).unwrap()["changed"][1]["state"] == "reset");

    let clock = diff(&old, &loaded(&WHOLE.replace("time = \"event\"\n", "")));
    let ids: Vec<_> = clock.changed.iter().map(|c| (c.id.as_str(), c.state)).collect();
    assert_eq!(ids, [("dedup", State::Reset), ("storm", State::Reset)]);

    let content = run(&[("t.toml", WHOLE), ("rules/a.yml", "RuleID: b\n")]).topology.unwrap();
    let p = diff(&old, &content);
    assert_eq!(
        (p.changed[0].id.as_str(), p.changed[0].what.join(","), p.changed[0].state),
        ("rules", "rules/a.yml".into(), State::None)
    );
    let kind =
        diff(&old, &loaded(&WHOLE.replace("[sinks.matches]\ntype = \"lake\"", "[sinks.matches]\ntype = \"jsonl\"")));
    assert_eq!(kind.changed[0].what, ["type"]);
    assert_eq!(kind.changed[0].state, State::Reset);
}

#[test]
fn pictures() {
    let t = loaded(WHOLE);
    let dot = graph::dot(&t);
    assert!(dot.contains("\"dedup\" -> \"matches\" [label=\"matches\"];"), "{dot}");
    assert!(dot.contains("\"events\" [label=\"events\\nparse\\nrejected → dead letters\""), "{dot}");
    let mermaid = graph::mermaid(&t);
    assert!(
        mermaid.contains("  n6 -- matches --> n9\n")
            && mermaid.contains("n0[\"<b>hook</b><br/>http source\"]:::sources"),
        "{mermaid}"
    );
    let svg = graph::svg(&t);
    assert_eq!(svg.matches("<rect").count(), 10);
    assert_eq!(svg.matches("marker-end").count(), t.edges().count());
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    if let Some(dir) = std::env::var_os("TOPOLOGY_SVG") {
        std::fs::write(dir, svg).unwrap();
    }
}

#[test]
fn the_schema_accepts_what_the_check_accepts() {
    let schema = json_schema(&parts());
    let as_json = |text: &str| {
        let v: toml::Value = toml::from_str(text).unwrap();
        serde_json::to_value(v).unwrap()
    };
    let ok = |text: &str| validate(&schema, &as_json(text), "the topology");
    assert_eq!(ok(WHOLE), []);
    assert_eq!(ok(&WHOLE.replace("lanes = 2", "lanes = \"${N}\"").replace("\"1h\"", "\"${W}\"")), []);
    for (from, to) in [
        ("schema = 1", "schema = 2"),
        ("path = \"alerts.jsonl\"", "pth = \"x\""),
        ("lanes = 2", "lanes = 0"),
        ("limit = \"1000/h\"", "limit = 3"),
        ("type = \"http\"", "type = \"htp\""),
        ("inputs = [\"geo\"]\n", ""),
        ("[detect.rules]", "[detect.Rules]"),
        ("[detect.rules]", "[detct.rules]"),
        ("type = \"file\"\n", ""),
    ] {
        assert_eq!(ok(&WHOLE.replacen(from, to, 1)).len(), 1, "{from} -> {to}");
    }
    let mut refs = Vec::new();
    collect_refs(&schema, &mut refs);
    assert!(!refs.is_empty());
    for r in refs {
        assert!(schema.pointer(&r[1..]).is_some(), "{r} leads nowhere");
    }
    let doc = &schema["$defs"]["sources.file"]["properties"]["path"]["description"];
    assert_eq!(doc, "File to read. A folder gives all its files.");
}

fn collect_refs(v: &J, out: &mut Vec<String>) {
    match v {
        J::Object(m) => {
            out.extend(m.get("$ref").and_then(J::as_str).map(str::to_string));
            m.values().for_each(|v| collect_refs(v, out));
        }
        J::Array(a) => a.iter().for_each(|v| collect_refs(v, out)),
        _ => {}
    }
}

#[test]
fn line_ends_and_byte_order_marks_do_not_matter() {
    let crlf = format!("\u{feff}{}", WHOLE.replace('\n', "\r\n"));
    assert_eq!(diff(&loaded(WHOLE), &loaded(&crlf)).render(false), "Nothing changes: 10 nodes stay as they are.\n");
    let text = findings(&[("t.toml", &crlf.replace("schema = 1", "schéma = 1"))]);
    assert!(text.contains("t.toml:1:"), "{text}");
    let text = findings(&[("t.toml", &crlf.replace("field = \"eventName\"", "field = \"žž\" # ž\r\nfild = 1"))]);
    assert_eq!(
        text.lines().take(3).collect::<Vec<_>>(),
        ["t.toml:25:1: error: the `filter` transform has no setting `fild`", "   | fild = 1", "   | ^^^^",]
    );
}

#[test]
fn loading_is_quick() {
    let source = |n: usize| format!("[sources.s{n}]\ntype = 'file'\npath = 'x'\npoll = '1s'\n");
    let text: String = std::iter::once("schema = 1\n".to_string()).chain((0..200).map(source)).collect();
    let timed = |_| {
        let start = std::time::Instant::now();
        assert!(run(&[("t.toml", &text)]).topology.is_some());
        start.elapsed()
    };
    // The best of a few: a busy machine is not a slow program.
    let best = (0..5).map(timed).min().unwrap();
    assert!(best.as_millis() < 250, "200 nodes took {best:?}");
    println!("200 nodes took {best:?}");
}

mod mistakes;
mod property;
