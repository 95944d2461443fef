//! Sigma rules: read, mapped to log types, made into [`Rule`]s like any other.
//!
//! A file may hold several documents. [`document`] tells what they are; [`rule`], [`detection`], [`condition`], [`modifier`] and
//! [`value`] read the language; [`mapping`] says which events a log source means and what its fields are called;
//! [`lower`] makes the same expressions of it that a YAML detection has, so that Sigma rules share its index, its
//! caches and its measure of costs. What a value of an event has to do to fit is in [`crate::like`].
//!
//! A rule that is against the specification is an error. One that is understood but not run here (no log type for its
//! log source, a deprecated rule) is reported and left out. Correlations are read by [`correlation`] and run by the crate
//! `correlate`. Source of the language: Sigma specification 2.1 (rules, modifiers, filters, correlations).
pub mod condition;
pub mod correlation;
pub mod detection;
pub mod document;
pub mod filter;
pub mod finding;
pub mod lower;
pub mod mapping;
pub mod modifier;
pub mod rule;
pub mod survey;
pub mod value;

use crate::rule::Rule;
use document::{Content, Document};
use filter::Filter;
use finding::{Finding, Kind};
use lower::Forms;
use mapping::{LogSource, Mappings};
use model::Problem;
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of a document.
#[derive(Debug)]
pub struct Entry {
    /// Setting under which its file was named.
    pub setting: String,
    /// Its file.
    pub file: String,
    /// Line at which it begins.
    pub line: u32,
    /// What it is.
    pub what: What,
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its log source.
    pub logsource: Option<LogSource>,
    /// The rule, if it is one and can be run.
    pub rule: Option<Rule>,
    /// What was found out about it.
    pub findings: Vec<Finding>,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A rule.
    Rule,
    /// A filter.
    Filter,
    /// A correlation.
    Correlation,
    /// A document of Sigma 1 that others are completed by.
    Collection,
    /// Nothing of Sigma's.
    Other,
}

/// Apply filters to rules and make rules of this engine of them. The documents of all files belong together: a filter
/// may stand in another file than its rules.
pub fn finish(documents: Vec<Document>, mappings: &Mappings) -> Vec<Entry> {
    let filters: Vec<Filter> = documents
        .iter()
        .filter_map(|d| match &d.content {
            Content::Filter(f) => Some((**f).clone()),
            _ => None,
        })
        .collect();
    let mut used = vec![false; filters.len()];
    let (mut ids, mut forms) = (BTreeMap::new(), BTreeMap::new());
    let mut out: Vec<Entry> =
        documents.iter().map(|d| entry(d, &filters, &mut used, &mut ids, &mut forms, mappings)).collect();
    let unused = documents.iter().zip(&mut out).filter(|(d, _)| matches!(d.content, Content::Filter(_)));
    for ((d, entry), used) in unused.zip(used) {
        if !used {
            let reason = "the filter applies to no rule that is here".into();
            let hint = Some("`rules` names ids, and the log source must be that of the rules".into());
            entry.findings.push(Finding { kind: Kind::Warning, line: d.line, col: 1, reason, hint });
        }
    }
    for (d, entry) in documents.iter().zip(&mut out) {
        if let Content::Correlation(c) = &d.content {
            entry.findings.append(&mut correlation::missing(c, &documents, d.line));
        }
    }
    out
}

fn entry<'m>(
    d: &Document,
    filters: &[Filter],
    used: &mut [bool],
    ids: &mut BTreeMap<String, String>,
    forms: &mut BTreeMap<LogSource, Forms<'m>>,
    mappings: &'m Mappings,
) -> Entry {
    let mut entry = Entry {
        setting: d.setting.clone(),
        file: d.file.clone(),
        line: d.line,
        what: d.what,
        id: d.id.clone(),
        title: d.title.clone(),
        logsource: d.logsource.clone(),
        rule: None,
        findings: d.findings.clone(),
    };
    let Content::Rule(sigma) = &d.content else { return entry };
    let mut add = |kind, reason: String, hint: Option<String>| {
        entry.findings.push(Finding { kind, line: d.logsource_line, col: 1, reason, hint });
    };
    if let Some(first) = ids.get(&*sigma.meta.id) {
        let hint = Some("ids must differ: state and alerts are kept by id".into());
        add(Kind::Broken, format!("`id` `{}` is the id of the rule in {first} too", sigma.meta.id), hint);
        return entry;
    }
    ids.insert(sigma.meta.id.to_string(), d.file.clone());
    let mut applied = Vec::new();
    for (filter, used) in filters.iter().zip(used).filter(|(f, _)| f.applies(sigma)) {
        *used = true;
        applied.push(filter);
    }
    let forms = forms.entry(sigma.logsource.clone()).or_insert_with(|| Forms::new(mappings.shapes(&sigma.logsource)));
    match lower::lower(sigma, &applied, forms, &d.file, &d.text) {
        Ok(rule) => entry.rule = Some(rule),
        Err(e) => {
            let hint = forms.is_empty().then(|| "name a mapping for it in `sigma_mappings`".to_string());
            add(Kind::Unsupported, e, hint);
        }
    }
    entry
}

/// Findings for the check of a topology. What keeps many rules from being run is told once.
pub fn problems(entries: &[Entry]) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut groups: BTreeMap<(&str, &str), Vec<(&Entry, &Finding)>> = BTreeMap::new();
    for e in entries {
        for f in &e.findings {
            match f.kind {
                Kind::Unsupported => groups.entry((&e.setting, &f.reason)).or_default().push((e, f)),
                _ => out.push(f.problem(&e.setting, &e.file)),
            }
        }
    }
    for list in groups.values() {
        let (e, f) = list[0];
        let mut p = f.problem(&e.setting, &e.file);
        if list.len() > 1 {
            p.message = format!("{} Sigma rules are not loaded: {}; the first is here", list.len(), f.reason);
            if p.hint.is_none() {
                p.hint = Some("`millstream rules import sigma` lists them".into());
            }
        }
        out.push(p);
    }
    out
}

#[cfg(test)]
mod tests;
