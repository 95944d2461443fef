//! Policies and scheduled rules in the stream: which events they judge.
//!
//! A policy judges resources, a scheduled rule the rows of queries; neither names log types. The settings `resources` and
//! `queries` of a detect node say which log types carry them. From there on such a detection is a rule for these log types: one
//! that is for types of resources looks at events whose [`TYPE_FIELD`] is one of them.
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::predicate::{Members, Predicate, Scalar};
use crate::python::AnalysisType;
use crate::rule::{Body, Rule};
use model::{Path, Problem};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The field of a resource that says what it is, as `AWS.S3.Bucket`.
pub const TYPE_FIELD: &str = "ResourceType";

/// Give policies and scheduled rules the log types of what they judge. Queries that no scheduled rule is for, and resources
/// without a policy, are warned of.
pub fn assign(
    rules: &mut [Rule],
    resources: &[String],
    queries: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) {
    let mut policies = 0;
    let mut asked: Vec<&str> = Vec::new();
    for rule in rules.iter_mut() {
        let Body::Python(script) = &rule.body else { continue };
        match script.entry {
            AnalysisType::Rule => {}
            AnalysisType::Policy => {
                policies += 1;
                rule.log_types = resources.iter().map(|t| t.as_str().into()).collect();
                if !script.subjects.is_empty() {
                    let types: Vec<Scalar> = script.subjects.iter().map(|t| Scalar::Str(t.clone())).collect();
                    let key = KeySpec::Path(Path::key(TYPE_FIELD));
                    rule.filters.push(Expr::Test { key, test: Predicate::In(Members::of(types)), negated: false });
                }
            }
            AnalysisType::ScheduledRule => {
                for (query, log_type) in queries {
                    if script.subjects.iter().any(|s| **s == **query) {
                        asked.push(query);
                        rule.log_types.push(Arc::from(log_type.as_str()));
                    }
                }
                rule.log_types.sort();
                rule.log_types.dedup();
            }
        }
    }
    for query in queries.keys().filter(|q| !asked.contains(&q.as_str())) {
        let p = Problem::at(&format!("queries.{query}"), format!("no scheduled rule is for the query `{query}`"));
        problems.push(p.hint("write the name as it is in `ScheduledQueries`").warn());
    }
    if policies == 0 && !resources.is_empty() {
        problems.push(Problem::at("resources", "no rule is a policy, so nothing judges these").warn());
    }
}
