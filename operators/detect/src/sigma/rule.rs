//! The keys of a Sigma rule beside its detection.
//!
//! | Sigma | here |
//! |---|---|
//! | `id`, else the title as `sigma.title-in-small-letters` | `RuleID` |
//! | `title` | `DisplayName`: the title of alerts and, as for any rule, their dedup string |
//! | `level`: informational, low, medium, high, critical; without one: medium | `Severity` |
//! | `description`, `references`, `falsepositives` | `Description`, `Reference`, `Runbook` |
//! | `tags` | `Tags`; those of MITRE ATT&CK also in `Reports` |
//! | `fields` | `AlertContext` |
//! | `status: deprecated`, `unsupported` | not loaded |
//!
//! Other keys are allowed and mean nothing here. Source: Sigma specification 2.1, "Components".
use super::detection::{Detection, detection};
use super::finding::Found;
use super::mapping::LogSource;
use super::value::Placeholders;
use crate::condition::nearest;
use crate::meta::keys::{BAD_ID, MAX_ITEMS, MAX_NAME, MAX_PROSE};
use model::{Judges, RuleMeta, Severity};
use serde_json::{Map, Value as J};
use std::collections::BTreeMap;

/// Keys of the specification.
const KNOWN: &[&str] = &[
    "author",
    "correlation",
    "date",
    "description",
    "detection",
    "falsepositives",
    "fields",
    "filter",
    "generate",
    "id",
    "level",
    "license",
    "logsource",
    "modified",
    "name",
    "references",
    "related",
    "scope",
    "status",
    "tags",
    "taxonomy",
    "title",
];

/// Characters of a key within which another one is probably meant.
const NEAR: usize = 2;

/// A rule that was read.
#[derive(Clone, Debug)]
pub struct SigmaRule {
    /// Facts that every match carries; the version is still to come.
    pub meta: RuleMeta,
    /// `name`, by which filters may refer to it.
    pub name: Option<String>,
    /// Events it is for.
    pub logsource: LogSource,
    /// What it asks.
    pub detection: Detection,
    /// `fields`.
    pub fields: Vec<String>,
}

/// Read a rule. `None` if something stands in the way; it is among the findings.
pub fn rule(map: &Map<String, J>, placeholders: &Placeholders, found: &mut Found) -> Option<SigmaRule> {
    status(map, found);
    if found.stops() {
        // What is wrong with a rule that is given up helps nobody.
        return None;
    }
    check_names(map, found);
    let meta = meta(map, found);
    taxonomy(map, found);
    let logsource = found.at_key("logsource", |found| logsource(map.get("logsource"), found));
    let detection = found.at_key("detection", |found| match map.get("detection") {
        Some(J::Object(d)) => {
            if d.contains_key("timeframe") {
                found.unsupported("`timeframe`, as Sigma 1 had it", "write a Sigma correlation");
            }
            detection(d, &["timeframe"], placeholders, found)
        }
        _ => {
            found.broken("the detection must be a mapping", "write searches and a `condition`");
            None
        }
    });
    let fields = list(map, "fields", found);
    if found.stops() {
        return None;
    }
    Some(SigmaRule { meta, name: text(map, "name", found), logsource: logsource?, detection: detection?, fields })
}

/// `id` and `title` of a document, as far as they are there.
pub fn identity(map: &Map<String, J>) -> (String, String) {
    let of = |key: &str| map.get(key).map(|v| crate::key::text(v).into_owned()).unwrap_or_default();
    let (id, title) = (of("id"), of("title"));
    match id.is_empty() {
        true => (format!("sigma.{}", slug(&title)), title),
        false => (id, title),
    }
}

/// Small letters and digits, everything else as one dash.
fn slug(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        match c {
            c if c.is_alphanumeric() => out.extend(c.to_lowercase()),
            _ if out.is_empty() || out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    out.trim_end_matches('-').to_string()
}

/// Keys of one's own are allowed; one that is nearly a key of the specification is probably that.
fn check_names(map: &Map<String, J>, found: &mut Found) {
    for key in map.keys().filter(|k| !KNOWN.contains(&k.as_str())) {
        let near = nearest(key, KNOWN.iter().copied().filter(|k| !map.contains_key(*k)));
        if let Some(near) = near.filter(|n| strsim::damerau_levenshtein(n, &key.to_lowercase()) <= NEAR) {
            let hint = format!("did you mean `{near}`?");
            found.at_key(key, |found| found.warning(format!("`{key}` is not a key of Sigma"), &hint));
        }
    }
}

/// Facts of a document that its matches carry.
pub fn meta(map: &Map<String, J>, found: &mut Found) -> RuleMeta {
    let (id, title) = identity(map);
    if title.is_empty() {
        found.broken("`title` is missing", "write `title: What it finds`");
    }
    if let Some(c) = id.chars().find(|c| BAD_ID.contains(c) || c.is_control()) {
        found.at_key("id", |found| found.broken(format!("holds {c:?}, which is not allowed in an id"), ""));
    }
    if id.chars().count().max(title.chars().count()) > MAX_NAME {
        found.broken(format!("`id` and `title` have at most {MAX_NAME} characters"), "");
    }
    let tags = list(map, "tags", found);
    let falsepositives = list(map, "falsepositives", found);
    let runbook = match falsepositives.as_slice() {
        [] => String::new(),
        all => format!("Known false positives: {}", all.join("; ")),
    };
    let clip = |s: String| match s.char_indices().nth(MAX_PROSE) {
        Some((end, _)) => s[..end].to_string(),
        None => s,
    };
    RuleMeta {
        id: id.into(),
        name: title,
        severity: severity(map, found),
        dedup_period_ms: 3_600_000,
        threshold: 1,
        judges: Judges::Events,
        create_alert: true,
        reports: reports(&tags),
        tags: sorted(tags),
        description: clip(text(map, "description", found).unwrap_or_default()),
        reference: clip(list(map, "references", found).join("\n")),
        runbook: clip(runbook),
        ..RuleMeta::default()
    }
}

fn severity(map: &Map<String, J>, found: &mut Found) -> Severity {
    match text(map, "level", found).as_deref() {
        Some("informational") => Severity::Info,
        Some("low") => Severity::Low,
        Some("medium") | None => Severity::Medium,
        Some("high") => Severity::High,
        Some("critical") => Severity::Critical,
        Some(other) => {
            let hint = "write informational, low, medium, high or critical";
            found.at_key("level", |found| found.broken(format!("cannot be `{other}`"), hint));
            Severity::Medium
        }
    }
}

/// A document that is given up is reported.
pub fn status(map: &Map<String, J>, found: &mut Found) {
    let status = text(map, "status", found);
    found.at_key("status", |found| match status.as_deref() {
        Some(s @ ("deprecated" | "unsupported")) => found.unsupported(format!("status: {s}"), ""),
        Some("stable" | "test" | "experimental") | None => {}
        Some(other) => {
            let hint = "write stable, test, experimental, deprecated or unsupported";
            found.warning(format!("`{other}` is not a status"), hint);
        }
    });
}

fn taxonomy(map: &Map<String, J>, found: &mut Found) {
    if let Some(other) = text(map, "taxonomy", found).filter(|t| t != "sigma") {
        found.at_key("taxonomy", |found| {
            found.unsupported(format!("taxonomy: {other}"), "rules are written in the taxonomy `sigma`");
        });
    }
}

/// Read a log source.
pub fn logsource(v: Option<&J>, found: &mut Found) -> Option<LogSource> {
    let Some(J::Object(map)) = v else {
        found.broken("the log source must be a mapping", "write `product`, `category` or `service`");
        return None;
    };
    let mut of = |key: &str| text(map, key, found).filter(|t| !t.is_empty()).map(|t| t.to_lowercase());
    let out = LogSource { product: of("product"), category: of("category"), service: of("service") };
    if out == LogSource::default() {
        found.broken("the log source names nothing", "write `product`, `category` or `service`");
        return None;
    }
    Some(out)
}

/// Tactics of MITRE ATT&CK by the names that tags give them.
const TACTICS: &[(&str, &str)] = &[
    ("collection", "TA0009"),
    ("command-and-control", "TA0011"),
    ("credential-access", "TA0006"),
    ("defense-evasion", "TA0005"),
    ("defense-impairment", "TA0112"),
    ("discovery", "TA0007"),
    ("execution", "TA0002"),
    ("exfiltration", "TA0010"),
    ("impact", "TA0040"),
    ("initial-access", "TA0001"),
    ("lateral-movement", "TA0008"),
    ("persistence", "TA0003"),
    ("privilege-escalation", "TA0004"),
    ("reconnaissance", "TA0043"),
    ("resource-development", "TA0042"),
    ("stealth", "TA0005"),
];

/// Tactics and techniques. Which tactic a technique serves is only known if the rule names one tactic: then they are
/// written together, as in other rules (`TA0006:T1110`); otherwise each stands by itself.
fn reports(tags: &[String]) -> BTreeMap<String, Vec<String>> {
    let named = || tags.iter().filter_map(|t| t.to_lowercase().strip_prefix("attack.").map(|t| t.replace('_', "-")));
    let tactic = |t: String| TACTICS.iter().find(|(name, _)| *name == t).map(|(_, id)| id.to_string());
    let technique = |t: String| {
        let digits = t.strip_prefix('t')?;
        let well =
            digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
        well.then(|| t.to_uppercase())
    };
    let tactics = sorted(named().filter_map(tactic).collect());
    let techniques = sorted(named().filter_map(technique).collect());
    let list = match (tactics.as_slice(), techniques.is_empty()) {
        ([one], false) => techniques.iter().map(|t| format!("{one}:{t}")).collect(),
        _ => tactics.into_iter().chain(techniques).collect::<Vec<_>>(),
    };
    match list.is_empty() {
        true => BTreeMap::new(),
        false => BTreeMap::from([("MITRE ATT&CK".to_string(), list)]),
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}

/// A text; absent and null are the same.
pub fn text(map: &Map<String, J>, key: &str, found: &mut Found) -> Option<String> {
    match map.get(key)? {
        J::Null => None,
        v @ (J::String(_) | J::Number(_) | J::Bool(_)) => Some(crate::key::text(v).trim_end().to_string()),
        _ => {
            found.at_key(key, |found| found.broken("must be a text", ""));
            None
        }
    }
}

/// A list of texts; one text is a list of one.
pub fn list(map: &Map<String, J>, key: &str, found: &mut Found) -> Vec<String> {
    let items: Vec<&J> = match map.get(key) {
        None | Some(J::Null) => return Vec::new(),
        Some(J::Array(a)) => a.iter().collect(),
        Some(one) => vec![one],
    };
    if items.len() > MAX_ITEMS || items.iter().any(|v| v.is_array() || v.is_object()) {
        found.at_key(key, |found| found.broken(format!("must be a list of at most {MAX_ITEMS} texts"), ""));
        return Vec::new();
    }
    items.iter().map(|v| crate::key::text(v).trim_end().to_string()).filter(|t| !t.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(v: J) -> (Option<SigmaRule>, Vec<String>) {
        let mut found = Found::default();
        let out = rule(v.as_object().unwrap(), &Placeholders::new(), &mut found);
        (out, found.placed("", 0).into_iter().map(|f| format!("{:?}: {}", f.kind, f.reason)).collect())
    }

    fn with(key: &str, v: J) -> J {
        let mut rule = json!({
            "title": "A  Title, (really)", "logsource": {"product": "Windows"}, "detection": {"s": {"a": 1}, "condition": "s"},
        });
        rule[key] = v;
        rule
    }

    #[test]
    fn facts_of_a_rule() {
        let tags = json!(["attack.execution", "attack.T1059.001", "attack.t1105", "cve.2021-44228", "attack.g0010"]);
        let (r, found) = read(with("tags", tags));
        assert_eq!(found, Vec::<String>::new());
        let r = r.unwrap();
        assert_eq!(
            (&*r.meta.id, &*r.meta.name, r.meta.severity),
            ("sigma.a-title-really", "A  Title, (really)", Severity::Medium)
        );
        assert_eq!(r.meta.reports["MITRE ATT&CK"], ["TA0002:T1059.001", "TA0002:T1105"]);
        assert_eq!(r.meta.tags.len(), 5);
        assert_eq!(r.logsource.product.as_deref(), Some("windows"));
        let (r, _) = read(with("tags", json!(["attack.defense_impairment", "attack.t1562", "attack.stealth"])));
        assert_eq!(r.unwrap().meta.reports["MITRE ATT&CK"], ["TA0005", "TA0112", "T1562"]);
        let (r, _) = read(with("falsepositives", json!(["Admins", "Backups"])));
        assert_eq!(r.unwrap().meta.runbook, "Known false positives: Admins; Backups");
        let (r, _) = read(with("references", json!(["https://a.example", "https://b.example"])));
        assert_eq!(r.unwrap().meta.reference, "https://a.example\nhttps://b.example");
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        for (key, v, want) in [
            ("level", json!("hihg"), "Broken: `level`: cannot be `hihg`"),
            ("status", json!("deprecated"), "Unsupported: status: deprecated"),
            ("taxonomy", json!("acme"), "Unsupported: taxonomy: acme"),
            ("title", json!(""), "Broken: `title` is missing"),
            ("id", json!("a<b"), "Broken: `id`: holds '<'"),
            ("logsource", json!({}), "Broken: `logsource`: the log source names nothing"),
            ("detection", json!([]), "Broken: `detection`: the detection must be a mapping"),
            ("tags", json!([["x"]]), "Broken: `tags`: must be a list"),
        ] {
            let (rule, found) = read(with(key, v));
            assert!(rule.is_none() && found.iter().any(|f| f.starts_with(want)), "{key}: {found:?}");
        }
        let mut given_up = with("status", json!("unsupported"));
        given_up["level"] = json!("hihg");
        assert_eq!(read(given_up).1, ["Unsupported: status: unsupported"]);
        let (rule, found) = read(with("falsepositive", json!("x")));
        assert!(rule.is_some() && found == ["Warning: `falsepositive` is not a key of Sigma"], "{found:?}");
        let (_, found) = read(with("regression_tests_path", json!("x")));
        assert_eq!(found, Vec::<String>::new());
    }
}
