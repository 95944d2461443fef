//! Sigma rules from a folder to alerts, with the real binary: what the import tells is what a run does.
use serde_json::Value;
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"schema = 1
name = "sigma"
time = "event"

[engine]
data_dir = "${OUT}/state"

[sources.logs]
type = "file"
path = "logs.jsonl"
follow = false

[parse.events]
inputs = ["logs"]
log_types = ["Windows.EventLogs"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]
sigma_mappings = ["ours.yml"]

[dedup.window]
inputs = ["rules"]

[limit.storm]
inputs = ["window"]
limit = "1000/h"

[sinks.alerts]
type = "jsonl"
inputs = ["storm"]
path = "${OUT}/alerts.jsonl"
only = "new"
fields = ["rule=id", "severity=severity", "title=title", "image=alertContext.Image"]
"#;

/// Four rules, one of which needs the mapping and one that has no log type; a filter; a correlation.
const RULES: &[(&str, &str)] = &[
    (
        "rules/shell.yml",
        "title: Shell of a web server\nid: r-shell\nlevel: high\nfields: [Image]\n\
         logsource: {product: windows, category: process_creation}\n\
         detection:\n  parent: {'ParentImage|endswith': '\\w3wp.exe'}\n  child: {'Image|endswith': ['\\cmd.exe', '\\powershell.exe']}\n  condition: parent and child\n",
    ),
    (
        "rules/admin.yml",
        "title: An administrator\nid: r-admin\nlogsource: {product: windows, service: security}\n\
         detection: {s: {EventID: 4624, 'TargetUserName|expand': '%Admins%'}, condition: s}\n---\n\
         title: Something else\nid: r-azure\nlogsource: {product: azure, service: unheard-of}\ndetection: {s: {a: 1}, condition: s}\n",
    ),
    (
        "rules/more.yml",
        "title: Not from the jump host\nlogsource: {product: windows, service: security}\n\
         filter: {rules: [r-admin], jump: {IpAddress: 10.0.0.9}, condition: not jump}\n---\n\
         title: Many\ncorrelation: {type: event_count, rules: [r-admin], group-by: [IpAddress], timespan: 1h,\n\
         \x20 condition: {gte: 5}}\n",
    ),
    ("ours.yml", "placeholders: {Admins: ['adm_*']}\n"),
];

const EVENTS: &str = r#"{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","UtcTime":"2026-03-01 09:00:00.000","ParentImage":"C:\\x\\w3wp.exe","Image":"C:\\Windows\\CMD.exe"}
{"EventID":"4688","Channel":"Security","@timestamp":"2026-03-01T11:00:00Z","ParentProcessName":"c:\\x\\W3WP.exe","NewProcessName":"C:\\y\\powershell.exe"}
{"EventID":4624,"Channel":"Security","@timestamp":"2026-03-01T12:00:00Z","TargetUserName":"ADM_kim","IpAddress":"10.0.0.8"}
{"EventID":4624,"Channel":"Security","@timestamp":"2026-03-01T14:00:00Z","TargetUserName":"adm_kim","IpAddress":"10.0.0.9"}
{"EventID":4624,"Channel":"Security","@timestamp":"2026-03-01T16:00:00Z","TargetUserName":"kim","IpAddress":"10.0.0.8"}
"#;

fn pipeline() -> Pipeline {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    RULES.iter().for_each(|(file, text)| drop(p.file(file, text).unwrap()));
    p.file("logs.jsonl", EVENTS).unwrap();
    p
}

#[test]
fn sigma_rules_alert_like_any_other() {
    let p = pipeline();
    let out = p.millstream(&["check"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{err}");
    assert!(err.contains("no log type for product=azure service=unheard-of"), "{err}");
    p.once(1).unwrap();
    // No node runs the correlation, so the rule that it names alerts by itself.
    let alerts = p.rows("alerts.jsonl");
    let of = |key: &str| alerts.iter().map(|a| a[key].as_str().unwrap_or_default().to_string()).collect::<Vec<_>>();
    assert_eq!(of("rule"), ["r-shell", "r-shell", "r-admin"]);
    assert_eq!(of("severity"), ["HIGH", "HIGH", "MEDIUM"]);
    assert_eq!(of("image"), [r"C:\Windows\CMD.exe", r"C:\y\powershell.exe", ""]);
    assert_eq!(of("title")[2], "An administrator");
    let out = p.millstream(&["rules", "cost", "topology.toml", "--output", "json"]).unwrap();
    let costs: Value = serde_json::from_slice(&out.stdout).unwrap();
    let rules = costs["rules"]["rules"].as_array().unwrap();
    let matched: u64 = rules.iter().map(|r| r["matches"].as_u64().unwrap()).sum();
    assert_eq!((rules.len(), matched), (2, 3), "{costs}");
}

#[test]
fn an_import_tells_what_runs_and_why_the_rest_does_not() {
    let p = pipeline();
    let import = |more: &[&str]| p.millstream(&[&["rules", "import", "sigma", "rules"], more].concat()).unwrap();
    let out = import(&["--mapping", "ours.yml", "--strict"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && text.contains("2 of 3 rules are supported, 1 are not"), "{text}");
    assert!(text.contains("1 of 1 correlations are supported"), "{text}");
    // Without values a placeholder stands for its own text, and that is told.
    let all: Value = serde_json::from_slice(&import(&["--output", "json"]).stdout).unwrap();
    assert_eq!((&all["supported"], &all["unsupported"], &all["broken"]), (&2.into(), &1.into(), &0.into()));
    let admin = all["documents"].as_array().unwrap().iter().find(|d| d["id"] == "r-admin").unwrap();
    assert_eq!(admin["outcome"], "supported");
    assert_eq!(admin["findings"][0]["reason"], "the placeholder %Admins% has no values and stands for itself");
    p.file("rules/broken.yml", "title: B\nlogsource: {product: windows}\ndetection: {condition: s}\n").unwrap();
    assert_eq!(import(&[]).status.code(), Some(0));
    assert_eq!(import(&["--strict"]).status.code(), Some(1));
    let out = p.millstream(&["check"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(78) && err.contains("broken.yml:3:") && err.contains("no search `s`"), "{err}");
}

/// Rules of every kind of pattern, and events made of their parts.
fn generated(p: &Pipeline) {
    let mut seed = 20_260_301_u64;
    let mut draw = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    const WORDS: [&str; 18] = [
        r"\\windows\\system32\\",
        "powershell",
        "CMD.exe",
        " -enc ",
        "-e",
        "whoami",
        "mimikatz",
        "Invoke-Expression",
        "é",
        "İx",
        "Σ",
        r"\\software\\microsoft\\",
        "run",
        "a",
        "http://",
        "sekurlsa::logonpasswords",
        "/c",
        "x",
    ];
    const FIELDS: [&str; 4] = ["Image", "CommandLine", "ScriptBlockText", "TargetObject"];
    let word = |draw: &mut dyn FnMut(usize) -> usize| WORDS[draw(WORDS.len())].replace(r"\\", r"\");
    let mut rules = Vec::new();
    for i in 0..300 {
        let item = |draw: &mut dyn FnMut(usize) -> usize| {
            let modifier =
                ["", "|contains", "|startswith", "|endswith", "|contains|all", "|re", "|contains|windash"][draw(7)];
            let values: Vec<String> = (0..1 + draw(3))
                .map(|_| match modifier {
                    "|re" => format!("(?i){}[a-z]*", ["who", "mimi", "run", "http"][draw(4)]),
                    "" => format!("{}*{}", word(draw), word(draw)),
                    _ => (0..1 + draw(2)).map(|_| word(draw)).collect(),
                })
                .collect();
            (format!("{}{modifier}", FIELDS[draw(4)]), values)
        };
        let (a, b) = (item(&mut draw), item(&mut draw));
        let condition = ["a and b", "a or b", "a and not b", "not a and b"][draw(4)];
        let event_id = [1, 4104, 12][draw(3)];
        let detection = serde_json::json!({
            "a": {a.0: a.1, "EventID": event_id}, "b": {b.0: b.1}, "condition": condition,
        });
        rules.push(format!(
            "title: Generated {i}\nid: g-{i:03}\nlogsource: {{product: windows, service: sysmon}}\ndetection: {detection}\n"
        ));
    }
    p.file("rules/generated.yml", &rules.join("---\n")).unwrap();
    let mut events = String::new();
    for i in 0..1_500 {
        let mut event = serde_json::json!({
            "EventID": ([1, 4104, 12, 7][draw(4)]), "Channel": "Microsoft-Windows-Sysmon/Operational",
            "UtcTime": format!("2026-03-01 09:{:02}:{:02}.000", i / 60, i % 60),
        });
        for field in FIELDS {
            // Some texts are long, so that all of a search is used; some are there twice.
            let text: String = (0..[0, 1, 2, 3, 40][draw(5)]).map(|_| word(&mut draw)).collect();
            if draw(4) > 0 {
                event[field] = if draw(3) == 0 { text.to_uppercase().into() } else { text.into() };
            }
        }
        events += &format!("{event}\n");
    }
    p.file("logs.jsonl", &events).unwrap();
}

#[test]
fn the_engine_finds_what_a_scan_of_all_rules_finds() {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("ours.yml", "placeholders: {Admins: ['adm_*']}\n").unwrap();
    generated(&p);
    let out = p.millstream(&["rules", "cost", "topology.toml", "--scan", "--output", "json"]).unwrap();
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    let scan = &all["rules"]["scan"];
    assert!(out.status.success() && scan["lost"] == 0 && scan["surplus"] == 0, "{scan}");
    assert_eq!((&scan["rules"], &scan["events"]), (&300.into(), &1_500.into()));
    // Most rules are true of some event and false of others.
    let matches = scan["matches"].as_array().unwrap();
    let some = matches.iter().filter(|m| m[1].as_u64().is_some_and(|n| n < 1_400)).count();
    assert!(some > 100, "{matches:?}");
    let text = p.millstream(&["rules", "cost", "topology.toml", "--scan"]).unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("the engine has the same"));
}
