//! Sigma filters: one condition that several rules must fulfil besides their own.
//!
//! The condition is ANDed to the rules as it is written, so a filter that takes something out says `not selection`.
//! Source: Sigma specification 2.1, filters.
use super::detection::{Detection, detection};
use super::finding::Found;
use super::mapping::LogSource;
use super::rule::{SigmaRule, logsource};
use super::value::Placeholders;
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// A filter that was read.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Ids or names of its rules; `None`: all of its log source.
    pub rules: Option<Vec<String>>,
    /// Log source of its rules.
    pub logsource: LogSource,
    /// What they must fulfil.
    pub detection: Detection,
    /// The document.
    pub text: Arc<str>,
}

impl Filter {
    /// True if it applies to a rule.
    pub fn applies(&self, rule: &SigmaRule) -> bool {
        let named = |list: &Vec<String>| list.iter().any(|n| **n == *rule.meta.id || rule.name.as_ref() == Some(n));
        self.logsource.covers(&rule.logsource) && self.rules.as_ref().is_none_or(named)
    }
}

/// Read a filter.
pub fn filter(map: &Map<String, J>, text: &str, placeholders: &Placeholders, found: &mut Found) -> Option<Filter> {
    let logsource = found.at_key("logsource", |found| logsource(map.get("logsource"), found));
    let (rules, detection) = found.at_key("filter", |found| {
        let Some(J::Object(f)) = map.get("filter") else {
            found.broken("the filter must be a mapping", "write `rules`, searches and a `condition`");
            return (None, None);
        };
        let rules = match f.get("rules") {
            Some(J::String(s)) if s == "any" => Some(None),
            Some(J::String(one)) => Some(Some(vec![one.clone()])),
            Some(J::Array(list)) if !list.is_empty() && list.iter().all(J::is_string) => {
                Some(Some(list.iter().filter_map(J::as_str).map(String::from).collect()))
            }
            _ => {
                found.broken("`rules` must be a list of ids", "or `rules: any` for all rules of the log source");
                None
            }
        };
        (rules, detection(f, &["rules"], placeholders, found))
    });
    if found.stops() {
        return None;
    }
    Some(Filter { rules: rules?, logsource: logsource?, detection: detection?, text: text.into() })
}
