//! What a YAML rule says about an event it matched: title, dedup string, severity, context.
//!
//! | Part | From | Without it |
//! |---|---|---|
//! | title | `AlertTitle` | `DisplayName`, else the rule's id |
//! | severity | first entry of `DynamicSeverities` whose conditions all hold | `Severity` |
//! | dedup string | `GroupBy`: one value stands alone, several are joined with `:`; nothing but nulls gives the default | the title, else `defaultDedupString:<id>` |
//! | context | `AlertContext`, in its order; a missing value is null | none |
//!
//! Titles and dedup strings are cut to 1,000 characters; a context over 204,800 characters is replaced by an error.
use crate::contract::{Found, context_text, default_dedup};
use crate::eval;
use crate::key::KeySpec;
use crate::rule::Rule;
use crate::template::clip;
use model::{Severity, Value};
use serde_json::{Map, Value as J};
use std::borrow::Cow;

/// A value that was asked for: a span of a batch, or JSON.
#[derive(Clone, Debug)]
pub enum Got<'a> {
    /// From a column.
    Span(Value<'a>),
    /// From a whole event or a part of one; `None` = missing.
    Json(Option<Cow<'a, J>>),
}

impl Got<'_> {
    /// Missing or null.
    pub fn is_null(&self) -> bool {
        match self {
            Got::Span(v) => v.is_null(),
            Got::Json(v) => v.as_ref().is_none_or(|v| v.is_null()),
        }
    }
    /// Append its text: strings bare, nothing for null, JSON for the rest.
    pub fn push_text(&self, out: &mut String) {
        match self {
            Got::Span(v) => out.push_str(v.text()),
            Got::Json(Some(v)) => out.push_str(&crate::key::text(v)),
            Got::Json(None) => {}
        }
    }
    /// As owned JSON; missing is null.
    pub fn to_json(&self) -> J {
        match self {
            Got::Span(v) => v.to_json(),
            Got::Json(v) => v.as_deref().cloned().unwrap_or(J::Null),
        }
    }
}

/// An event that can be asked for values, in whatever form it is.
pub trait Values {
    /// Value of a key.
    fn get<'a>(&'a self, key: &KeySpec) -> Got<'a>;
    /// Severity of a match of this rule.
    fn severity(&self, rule: &Rule) -> Severity;
}

impl Values for J {
    fn get<'a>(&'a self, key: &KeySpec) -> Got<'a> {
        Got::Json(key.get(self))
    }
    fn severity(&self, rule: &Rule) -> Severity {
        let changed = rule.dynamic_severities.iter().find(|(_, conditions)| eval::all(conditions, self));
        changed.map_or(rule.meta.severity, |(s, _)| *s)
    }
}

/// Describe a match of a YAML rule.
pub fn describe(rule: &Rule, event: &dyn Values) -> Found {
    let meta = &rule.meta;
    let title = match &rule.alert_title {
        Some(t) => clip(t.render(|key, out| event.get(key).push_text(out))),
        None => clip(meta.name.clone()),
    };
    Found {
        dedup: dedup(rule, event, &title),
        title,
        description: meta.description.clone(),
        reference: meta.reference.clone(),
        severity: event.severity(rule),
        runbook: meta.runbook.clone(),
        destinations: None,
        context: (!rule.alert_context.is_empty()).then(|| context(rule, event)),
        unique: None,
        errors: Vec::new(),
    }
}

fn dedup(rule: &Rule, event: &dyn Values, title: &str) -> String {
    if rule.group_by.is_empty() && !title.is_empty() {
        return title.into();
    }
    let (mut text, mut empty) = (String::new(), true);
    for (i, key) in rule.group_by.iter().enumerate() {
        if i > 0 {
            text.push(':');
        }
        let before = text.len();
        event.get(key).push_text(&mut text);
        empty &= text.len() == before;
    }
    if empty { default_dedup(&rule.meta.id) } else { clip(text) }
}

fn context(rule: &Rule, event: &dyn Values) -> String {
    let values = rule.alert_context.iter().map(|(name, key)| (name.clone(), event.get(key).to_json()));
    context_text(&J::Object(values.collect::<Map<String, J>>()))
}
