//! The contract, function by function, and the event object.
use super::*;
use crate::rule::Body;
use model::Severity;
use serde_json::{Value as J, json};

/// A Lua rule with metadata to fall back to.
pub(super) fn rule(source: &str) -> Rule {
    let meta = RuleMeta {
        id: "R".into(),
        name: "Display".into(),
        severity: Severity::Medium,
        description: "static description".into(),
        reference: "static reference".into(),
        runbook: "static runbook".into(),
        ..RuleMeta::default()
    };
    Rule {
        meta: Arc::new(meta),
        file: "r.yml".into(),
        enabled: true,
        log_types: vec![],
        filters: vec![],
        body: Body::Lua { source: source.into(), chunk: "r.lua".into() },
        alert_title: None,
        alert_context: vec![],
        group_by: vec![],
        dynamic_severities: vec![],
        tests: J::Null,
    }
}

fn run(source: &str, event: J) -> Outcome {
    let engine = Engine::new(&[&rule(source)], Limits::default());
    engine.run(0, &engine.event(event))
}

fn found(aux: &str) -> Found {
    match run(&format!("function rule(event) return true end\n{aux}"), json!({"a": 1})) {
        Outcome::Match(f) => *f,
        other => panic!("{aux}: {other:?}"),
    }
}

/// Value of an expression over an event, as JSON.
fn eval(expr: &str, event: J) -> J {
    let source =
        format!("function rule(event) return true end function alert_context(event) return {{v = {expr}}} end");
    match run(&source, event) {
        Outcome::Match(f) => {
            let context: J = serde_json::from_str(&f.context.unwrap()).unwrap();
            context.get("v").cloned().unwrap_or(if context == json!({}) { J::Null } else { context })
        }
        other => panic!("{expr}: {other:?}"),
    }
}

fn error(source: &str) -> (String, String) {
    match run(source, json!({})) {
        Outcome::Error { kind, message } => (kind, message),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn absent_functions_fall_back_to_metadata() {
    let f = found("");
    assert_eq!((f.title.as_str(), f.dedup.as_str()), ("Display", "Display"));
    assert_eq!((f.description.as_str(), f.reference.as_str()), ("static description", "static reference"));
    assert_eq!((f.runbook.as_str(), f.severity), ("static runbook", Severity::Medium));
    assert_eq!((f.destinations, f.context, f.unique, f.errors), (None, None, None, vec![]));
}

#[test]
fn functions_say_what_the_match_is() {
    let f = found(
        "function title(e) return 'T' .. e.a end function description() return 'D' end
         function reference() return 'F' end function severity() return 'high' end function runbook() return 'B' end
         function destinations() return {'x', 'y'} end function dedup(e) return 'k' .. tostring(e.a) end
         function alert_context(e) return {n = e.a, list = {1, 2}, all = e} end function unique() return 'u' end",
    );
    assert_eq!((f.title.as_str(), f.description.as_str(), f.reference.as_str()), ("T1", "D", "F"));
    assert_eq!((f.severity, f.runbook.as_str(), f.dedup.as_str()), (Severity::High, "B", "k1"));
    assert_eq!(f.destinations.unwrap(), ["x", "y"]);
    assert_eq!(f.context.unwrap(), r#"{"all":{"a":1},"list":[1,2],"n":1}"#);
    assert_eq!((f.unique.as_deref(), f.errors), (Some("u"), vec![]));
}

#[test]
fn failing_functions_never_lose_the_match() {
    for bad in ["error('x')", "return 1", "return nil", "return {}", "return function() end"] {
        let all: String = ["title", "description", "reference", "severity", "runbook", "dedup", "unique"]
            .map(|name| format!("function {name}() {bad} end\n"))
            .concat();
        let f = found(&all);
        assert_eq!((f.title.as_str(), f.dedup.as_str()), ("R", "defaultDedupString:R"), "{bad}");
        assert_eq!((f.description.as_str(), f.reference.as_str(), f.runbook.as_str()), ("", "", ""), "{bad}");
        assert_eq!((f.severity, f.unique.as_ref(), f.errors.len()), (Severity::Medium, None, 7), "{bad}");
    }
    let f = found("function title() error('boom') end");
    assert_eq!(f.errors, [("title", "RuntimeError: r.lua:2: boom".to_string())]);
    assert_eq!(f.dedup, "R", "without dedup() the title counts, whatever it became");
}

#[test]
fn texts_are_cut_at_the_limit() {
    for name in ["title", "description", "reference", "runbook", "dedup", "unique"] {
        for (n, cut) in [(1000, false), (1001, true)] {
            let f = found(&format!("function {name}() return string.rep('ä', {n}) end"));
            let text = match name {
                "title" => f.title,
                "description" => f.description,
                "reference" => f.reference,
                "runbook" => f.runbook,
                "dedup" => f.dedup,
                _ => f.unique.unwrap(),
            };
            assert_eq!((text.chars().count(), text.ends_with("ä... (truncated)")), (1000, cut), "{name} {n}");
        }
    }
    assert_eq!(found("function dedup() return '' end").dedup, "defaultDedupString:R");
    assert_eq!(found("function title() return '' end").dedup, "defaultDedupString:R");
}

#[test]
fn severities_and_destinations() {
    for (said, want, errors) in [
        ("'CRITICAL'", Severity::Critical, 0),
        ("'iNfO'", Severity::Info, 0),
        ("'default'", Severity::Medium, 0),
        ("'urgent'", Severity::Medium, 1),
        ("''", Severity::Medium, 1),
    ] {
        let f = found(&format!("function severity() return {said} end"));
        assert_eq!((f.severity, f.errors.len()), (want, errors), "{said}");
    }
    let list = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    for (said, want, errors) in [
        ("nil".to_string(), None, 0),
        ("{}".into(), Some(vec![]), 0),
        (format!("{{{}}}", list(10).iter().map(|i| format!("'{i}'")).collect::<Vec<_>>().join(",")), Some(list(10)), 0),
        (format!("{{{}}}", list(11).iter().map(|i| format!("'{i}'")).collect::<Vec<_>>().join(",")), Some(list(10)), 0),
        ("'x'".into(), None, 1),
        ("{1}".into(), None, 1),
        ("{a = 'x'}".into(), None, 1),
    ] {
        let f = found(&format!("function destinations() return {said} end"));
        assert_eq!((f.destinations, f.errors.len()), (want, errors), "{said}");
    }
}

#[test]
fn contexts_are_plain_json_of_bounded_size() {
    let context = |body: &str| found(&format!("function alert_context(e) {body} end")).context.unwrap();
    assert_eq!(context("return {}"), "{}");
    assert_eq!(
        context("return {b = 1, a = 2.5, [3] = true, c = {d = {}}}"),
        r#"{"3":true,"a":2.5,"b":1,"c":{"d":{}}}"#
    );
    assert_eq!(context("return e"), r#"{"a":1}"#);
    for (body, what) in [
        ("return nil", "must return a table"),
        ("return {1, 2}", "a list"),
        ("return 'x'", "string"),
        ("return {x = 0/0}", "cannot be JSON"),
        ("return {x = math.huge}", "cannot be JSON"),
        ("return {f = print}", "a function cannot be JSON"),
        ("return {[true] = 1}", "a boolean cannot be a key"),
        ("local t = {} t.t = t return t", "nested deeper"),
        ("error({a = 1})", "RuntimeError"),
    ] {
        let got = context(body);
        let json: J = serde_json::from_str(&got).unwrap();
        assert!(json["_error"].as_str().unwrap().contains(what), "{body}: {got}");
    }
    // `{"a":"…"}` is eight characters around the text.
    assert_eq!(context("return {a = string.rep('x', 204800 - 8)}").len(), 204_800);
    assert_eq!(
        context("return {a = string.rep('x', 204801 - 8)}"),
        r#"{"_error":"alert_context size is [204801] characters, bigger than maximum of [204800] characters"}"#
    );
}

#[test]
fn a_rule_must_return_a_boolean() {
    for (source, kind, what) in [
        ("function rule() return 1 end", "FunctionReturnTypeError", "rule() must return a boolean, got integer"),
        ("function rule() return nil end", "FunctionReturnTypeError", "got nil"),
        ("function rule() return 'true' end", "FunctionReturnTypeError", "got string"),
        ("function rule(e) return e.x.y end", "RuntimeError", "r.lua:1: attempt to index nil with 'y'"),
        ("function rule(e) return nope(e) end", "RuntimeError", "attempt to call a nil value"),
        ("function rule(", "LoadError", "r.lua:1:"),
        ("local x = 1", "LoadError", "no function `rule(event)`"),
        ("rule = true", "LoadError", "no function `rule(event)`"),
        ("error('at load')", "LoadError", "r.lua:1: at load"),
        ("\u{1b}Lua", "LoadError", "r.lua:1:"),
    ] {
        let (k, m) = error(source);
        assert!(k == kind && m.contains(what), "{source}: {k}: {m}");
    }
    assert_eq!(run("function rule() return false end", json!({})), Outcome::No);
}

#[test]
fn check_gives_the_line() {
    assert_eq!(check("function rule(event)\n return true end", "a.lua"), Ok(()));
    let (line, message) = check("function rule(event)\n  return = 1\nend", "a.lua").unwrap_err();
    assert!(line == 2 && message.contains("a.lua:2"), "{line} {message}");
    assert_eq!(check("x = 1", "a.lua").unwrap_err().0, 0);
}

#[test]
fn events_are_case_insensitive_read_only_and_lazy() {
    let event = json!({
        "Name": "exact", "name": "lower", "nested": {"Key": [1, {"x": "y"}]}, "none": null, "get": "field",
        "big": 9007199254740993u64, "STRASSE": 1, "p_event_time": "2024-01-02 03:04:05.678",
    });
    for (expr, want) in [
        ("event.name", json!("lower")),
        ("event.Name", json!("exact")),
        ("event.NAME", json!("exact")),
        ("event.nested.key[1]", json!(1)),
        ("event.NESTED.KEY[2].X", json!("y")),
        ("event.nested.Key[-1].x", json!("y")),
        ("event.nested.Key[0]", J::Null),
        ("event.nested.Key[3]", J::Null),
        ("#event.nested.Key", json!(2)),
        ("event.none", J::Null),
        ("event:get('none', 'default')", json!("default")),
        ("event:get('get')", json!("field")),
        ("event:deep_get('nested', 'key', 2, 'x')", json!("y")),
        ("event:deep_get('nested', 'gone', {default = 7})", json!(7)),
        ("event.nested", json!({"Key": [1, {"x": "y"}]})),
        ("event.big", json!(9007199254740992u64)),
        ("{whole = event}", json!({"whole": event})),
        ("tostring(event.nested)", json!(r#"{"Key":[1,{"x":"y"}]}"#)),
        ("type(event)", json!("userdata")),
        ("event:event_time_epoch()", json!(1_704_164_645)),
        ("event.nested == event.nested", json!(true)),
        ("event:to_table().nested.Key[2].x", json!("y")),
    ] {
        assert_eq!(eval(expr, event.clone()), want, "{expr}");
    }
    let (_, message) = error("function rule(e) e.x = 1 return true end");
    assert!(message.contains("read-only"), "{message}");
}

#[test]
fn events_iterate_in_their_order() {
    let event = json!({"z": 1, "a": {"l": ["p", null, "q"]}, "m": 3});
    let join = |loops: &str| {
        let body = format!("(function() local out = '' {loops} return out end)()");
        eval(&body, event.clone())
    };
    assert_eq!(join("for k in event do out ..= k end"), json!("zam"));
    assert_eq!(join("for k in pairs(event) do out ..= k end"), json!("zam"));
    assert_eq!(join("for i, v in event.a.l do out ..= i .. tostring(v) end"), json!("1p2nil3q"));
    assert_eq!(join("for i, v in ipairs(event.a.l) do out ..= i .. tostring(v) end"), json!("1p2nil3q"));
    assert_eq!(join("for k, v in pairs({1, 2}) do out ..= k * v end"), json!("14"));
}

#[test]
fn walks_and_lookups() {
    let event = json!({
        "l": [{"a": [{"b": 1}, {"b": 2}]}, {"a": {"b": 2}}, {"a": null}], "one": {"x": [["v"]]},
        "p_udm": {"source_ip": "1.2.3.4", "empty": ""}, "empty": "field", "user": "u",
        "p_enrichment": {"geo": {"ip": {"p_match": "1.1.1.1", "country": "DE"}, "p_any_ip_addresses": [
            {"p_match": "2.2.2.2", "country": "FR"}, {"p_match": "3.3.3.3", "country": "US"}]}},
    });
    for (expr, want) in [
        ("event:deep_walk('l', 'a', 'b')", json!([1, 2])),
        ("event:deep_walk('l', 'a', 'b', {return_val = 'first'})", json!(1)),
        ("event:deep_walk('l', 'a', 'b', {return_val = 'last'})", json!(2)),
        ("event:deep_walk('one', 'x')", json!("v")),
        ("event:deep_walk('gone', 'x', {default = 'd'})", json!("d")),
        ("event:udm('source_ip')", json!("1.2.3.4")),
        ("event:udm('empty')", json!("field")),
        ("event:udm('user')", json!("u")),
        ("event:udm('gone', 'd')", json!("d")),
        ("event:lookup('geo', '3.3.3.3').country", json!("US")),
        ("event:lookup('geo', '1.1.1.1').country", json!("DE")),
        ("event:lookup('geo', '9.9.9.9')", J::Null),
        ("event:lookup('tor', '1.1.1.1')", J::Null),
    ] {
        assert_eq!(eval(expr, event.clone()), want, "{expr}");
    }
}

#[test]
fn libraries() {
    for (expr, want) in [
        ("json.decode('{\"a\": [1, null, \"x\"]}').a[3]", json!("x")),
        ("json.decode('nope')", J::Null),
        ("json.decode(nil)", J::Null),
        ("json.encode({b = 1, a = {1, 2}})", json!(r#"{"a":[1,2],"b":1}"#)),
        ("ip.is_private('10.0.0.1') and not ip.is_public('10.0.0.1')", json!(true)),
        ("ip.is_public('8.8.8.8')", json!(true)),
        ("ip.valid('8.8.8')", json!(false)),
        ("ip.valid(nil)", json!(false)),
        ("ip.in_cidr('10.1.2.3', '10.1.0.0/16')", json!(true)),
        ("ip.in_cidr('2001:db8::1', '2001:db8::/32')", json!(true)),
        ("ip.in_cidr('x', '10.1.0.0/16')", json!(false)),
        ("('a,b'):split(',')", json!(["a", "b"])),
        ("string.format('%s %d %s', 'x', 3, {})", json!("x 3 table")),
        ("tostring({})", json!("table")),
        ("tostring(print)", json!("function")),
        ("`{1}-{'b'}`", json!("1-b")),
        ("('abc'):find('c', 1, true)", json!(3)),
        ("(string.rep('a', 20000) .. 'needle'):find('needle', 1, true)", json!(20001)),
        ("(string.rep('a', 20000) .. 'needle'):find('needle', -3, true)", J::Null),
        ("#(string.rep('a--', 10000)):split('--')", json!(10001)),
        ("select(2, pcall(error, 'x'))", json!("x")),
        ("select(2, pcall(function() return event.x.y end)) ~= nil", json!(true)),
        ("select(2, xpcall(function() error('x', 0) end, function(e) return 'handled ' .. e end))", json!("handled x")),
        ("(function() local t = {3, 1, 2} table.sort(t) return t end)()", json!([1, 2, 3])),
    ] {
        assert_eq!(eval(expr, json!({})), want, "{expr}");
    }
}

#[test]
fn nothing_outlives_an_event() {
    let counter = "local n = 0 seen = seen or {} function rule(e) n += 1 m = (m or 0) + 1 seen[#seen + 1] = 1
                   return n == 1 and m == 1 and #seen == 1 end";
    let spy = "function rule(e) return m == nil and seen == nil end";
    let (a, b) = (rule(counter), rule(spy));
    let engine = Engine::new(&[&a, &b], Limits::default());
    for _ in 0..3 {
        let event = engine.event(json!({}));
        for rule in [0, 1, 0] {
            assert!(matches!(engine.run(rule, &event), Outcome::Match(_)), "rule {rule}");
        }
    }
}

#[test]
fn within_an_event_globals_are_shared() {
    let f = found("function rule(e) who = 'ann' return true end function title() return 'by ' .. who end");
    assert_eq!(f.title, "by ann");
}

#[test]
fn many_large_events_do_not_pile_up() {
    let engine = Engine::new(&[&rule("function rule(e) return #e.text > 10 end")], Limits::default());
    let text = "x".repeat(1 << 20);
    for _ in 0..64 {
        let event = engine.event(json!({"text": text, "nested": {"a": 1}}));
        assert!(matches!(engine.run(0, &event), Outcome::Match(_)));
        assert!(engine.held.get() <= MAX_HELD + (2 << 20));
    }
}

#[test]
fn mocks_replace_functions_and_constants() {
    let source = "LIMIT = 3 function fetch(x) return x end
                  function rule(e) return fetch('a') == 'mocked' and LIMIT == 9 end";
    let mut engine = Engine::new(&[&rule(source)], Limits::default());
    assert_eq!(engine.run(0, &engine.event(json!({}))), Outcome::No);
    engine.mock(0, &[("fetch".into(), json!("mocked")), ("LIMIT".into(), json!(9))]);
    assert!(matches!(engine.run(0, &engine.event(json!({}))), Outcome::Match(_)));
    engine.mock(0, &[("nope".into(), json!(1))]);
    assert!(matches!(engine.run(0, &engine.event(json!({}))), Outcome::Error { .. }));
}

#[test]
fn print_counts_and_does_nothing() {
    let engine = Engine::new(&[&rule("function rule(e) print('x', e) print() return true end")], Limits::default());
    assert!(matches!(engine.run(0, &engine.event(json!({}))), Outcome::Match(_)));
    assert_eq!(engine.prints(), 2);
}
