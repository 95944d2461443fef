//! Sigma correlations, made into the same rules as Panther's.
//!
//! | Sigma | Here |
//! |---|---|
//! | `temporal` | a group: each rule at least once; with a condition, the number of different rules is a figure |
//! | `temporal_ordered` | a sequence in the order of `rules` |
//! | `event_count`, `value_count`, `value_sum`, the number of rules, with `gt` or `gte` alone | as soon as a window of `timespan` has it |
//! | all others | when the window that the first event opened is over |
//!
//! An event without one of the `group-by` fields, or without the `field` of the condition, does not count. Names of fields are
//! those of the rules: each is looked up where the rule's log source has it.
use crate::rule::{
    Bound, Correlation, Figure, Item, MAX_COUNT, MAX_PARTS, MAX_WINDOW_MS, Part, Place, Range, Step, Test,
};
use detect::key::KeySpec;
use detect::sigma::correlation::{Kind, Operator, SigmaCorrelation, missing, named};
use detect::sigma::document::{Content, Document};
use detect::sigma::finding::{Finding, Kind as FindingKind};
use detect::sigma::mapping::Mappings;
use detect::sigma::rule::SigmaRule;
use model::{Path, Problem};
use serde_json::Value as J;
use std::sync::Arc;

/// The correlations of these documents; what is wrong with them.
pub fn rules(documents: &[Document], mappings: &Mappings) -> (Vec<Correlation>, Vec<Problem>) {
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    for d in documents {
        let mut findings = match &d.content {
            Content::Correlation(c) => missing(c, documents, d.line),
            _ if d.what == detect::sigma::What::Correlation => d.findings.clone(),
            _ => continue,
        };
        if let (Content::Correlation(c), true) = (&d.content, findings.is_empty()) {
            match rule(c, d, documents, mappings) {
                Ok(rule) => out.push(rule),
                Err(reason) => {
                    findings.push(Finding { kind: FindingKind::Unsupported, line: d.line, col: 1, reason, hint: None });
                }
            }
        }
        problems.extend(findings.iter().map(|f| f.problem(&d.setting, &d.file)));
    }
    (out, problems)
}

fn rule(
    c: &SigmaCorrelation,
    d: &Document,
    documents: &[Document],
    mappings: &Mappings,
) -> Result<Correlation, String> {
    if c.group_by.len() > MAX_PARTS {
        return Err(format!("it groups by more than {MAX_PARTS} fields"));
    }
    if c.timespan_ms > MAX_WINDOW_MS {
        return Err(format!("its timespan is longer than {} days", MAX_WINDOW_MS / 86_400_000));
    }
    let mut items = Vec::new();
    for reference in &c.rules {
        let Some(watched) = named(documents, reference) else { continue };
        let place = |field: &str| part(field, reference, watched, c, mappings);
        let key = c.group_by.iter().map(|f| place(f)).collect::<Result<Vec<_>, _>>()?;
        let measure = c.field.as_deref().map(place).transpose()?;
        items.push(Item { id: reference.clone(), rule: watched.id.as_str().into(), min: 1, max: None, key, measure });
    }
    let mut meta = c.meta.clone();
    let half = |salt: &str| model::key::key_hash(&[salt, &d.text]);
    meta.version = format!("{:016x}{:016x}", half("version"), half("rule"));
    Ok(Correlation {
        meta: Arc::new(meta),
        file: d.file.clone(),
        enabled: true,
        test: test(c, items.len())?,
        items,
        window_ms: c.timespan_ms,
        latest: false,
        labels: c.group_by.clone(),
        silences: !c.generate,
        tests: J::Null,
    })
}

/// Where a field of `group-by` or of the condition is in the events of a rule.
fn part(
    field: &str,
    reference: &str,
    watched: &Document,
    c: &SigmaCorrelation,
    mappings: &Mappings,
) -> Result<Part, String> {
    let name = match &watched.content {
        Content::Rule(r) => r.name.as_deref(),
        Content::Correlation(inner) => inner.name.as_deref(),
        _ => None,
    };
    let alias = c.aliases.get(field);
    let field = match alias {
        None => field,
        Some(of) => {
            match [Some(reference), name, Some(watched.id.as_str())].into_iter().flatten().find_map(|n| of.get(n)) {
                Some(field) => field.as_str(),
                None => return Err(format!("the alias `{field}` says nothing of the rule `{reference}`")),
            }
        }
    };
    match &watched.content {
        Content::Rule(rule) => of_rule(field, rule, mappings),
        // What another correlation finds has the names of its own grouping.
        _ => Ok(Part { all: vec![Place { log_type: None, field: KeySpec::Path(plain(field)) }] }),
    }
}

fn of_rule(field: &str, rule: &SigmaRule, mappings: &Mappings) -> Result<Part, String> {
    let (mut all, mut why): (Vec<Place>, Option<String>) = (Vec::new(), None);
    for shape in mappings.shapes(&rule.logsource) {
        match shape.targets(field) {
            Err(e) => why = why.or(Some(e)),
            Ok(targets) if targets.iter().any(|t| !t.forms.is_empty()) => {
                why = why.or(Some(format!("the field {field} is only a part of a value in {}", shape.log_type)));
            }
            Ok(targets) => {
                let mut keys: Vec<KeySpec> = targets.into_iter().map(|t| KeySpec::Path(t.path)).collect();
                let field = if keys.len() == 1 { keys.remove(0) } else { KeySpec::FirstOf(keys) };
                let place = Place { log_type: Some(shape.log_type.clone()), field };
                match all.iter_mut().find(|p| p.log_type == place.log_type) {
                    // Two forms of one log type: the field is where either has it.
                    Some(old) if *old != place => old.field = either(&old.field, &place.field),
                    Some(_) => {}
                    None => all.push(place),
                }
            }
        }
    }
    match all.is_empty() {
        true => Err(why.unwrap_or_else(|| format!("no log type for {}", rule.logsource))),
        false => Ok(Part { all }),
    }
}

fn either(a: &KeySpec, b: &KeySpec) -> KeySpec {
    let flat = |k: &KeySpec| match k {
        KeySpec::FirstOf(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut all = flat(a);
    all.extend(flat(b));
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|k| seen.insert(k.clone()));
    all.truncate(detect::key::MAX_FIRST_OF);
    KeySpec::FirstOf(all)
}

fn plain(field: &str) -> Path {
    Path(field.split('.').map(|k| model::path::Seg::Key(k.into())).collect())
}

fn test(c: &SigmaCorrelation, items: usize) -> Result<Test, String> {
    let range = range(&c.condition)?;
    let most = |(n, bound): (f64, Bound)| n + f64::from(bound == Bound::Out) > MAX_COUNT as f64;
    if range.low.is_some_and(most) && matches!(c.kind, Kind::EventCount | Kind::ValueCount) {
        return Err(format!("it counts beyond {MAX_COUNT}"));
    }
    let figure = match c.kind {
        Kind::Temporal if c.condition.is_empty() => return Ok(Test::Group { need: items }),
        Kind::Temporal => Figure::Items,
        Kind::TemporalOrdered => {
            let all = range.holds(items as f64) && !range.holds(items as f64 - 1.0);
            if !c.condition.is_empty() && !all {
                return Err("`temporal_ordered` needs all of its rules; its condition says otherwise".into());
            }
            let step = |item| Step { item, within_ms: c.timespan_ms };
            return Ok(Test::Sequence((0..items).map(step).collect()));
        }
        Kind::EventCount => Figure::Count,
        Kind::ValueCount => Figure::Distinct,
        Kind::ValueSum => Figure::Sum,
        Kind::ValueAvg => Figure::Mean,
        Kind::ValuePercentile => Figure::Percentile(c.percentile),
        Kind::ValueMedian => Figure::Median,
    };
    Ok(Test::Tally { figure, range })
}

fn range(condition: &[(Operator, f64)]) -> Result<Range, String> {
    let mut out = Range::default();
    for (operator, n) in condition {
        let twice = match operator {
            Operator::Gt => out.low.replace((*n, Bound::Out)).is_some(),
            Operator::Gte => out.low.replace((*n, Bound::In)).is_some(),
            Operator::Lt => out.high.replace((*n, Bound::Out)).is_some(),
            Operator::Lte => out.high.replace((*n, Bound::In)).is_some(),
            Operator::Eq => out.low.replace((*n, Bound::In)).is_some() | out.high.replace((*n, Bound::In)).is_some(),
            Operator::Neq => out.not.replace(*n).is_some(),
        };
        if twice {
            return Err("its condition has two bounds of one kind".into());
        }
    }
    Ok(out)
}
