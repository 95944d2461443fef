//! From a Sigma rule to a rule of this engine.
//!
//! A rule is one rule here, however many forms its events have: the forms are alternatives of one tree (Sysmon 1 or
//! Security 4688), and its log types are told apart inside. So its id is one id to dedup windows, storm limits and costs.
//! It costs nothing: what a form asks of another log type is known when a program is compiled for one log type, and
//! equal questions of different rules are one question (`columns/plan.rs`).
use super::condition::Cond;
use super::detection::{Detection, Search};
use super::filter::Filter;
use super::mapping::{Shape, Target};
use super::modifier::{Ask, Item, Wanted};
use super::rule::SigmaRule;
use crate::expr::{Comparison, Expr};
use crate::key::{KeySpec, MAX_FIRST_OF};
use crate::like::glob::Glob;
use crate::like::{Like, Pattern};
use crate::predicate::{Predicate, Scalar};
use crate::rule::{Body, Rule};
use model::Path;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Most items of a condition, counted wherever a search is named.
pub const MAX_TESTS: usize = 50_000;

/// The forms of the events of a log source.
pub struct Forms<'m> {
    shapes: Vec<&'m Shape>,
    /// Each of them as text: a part of the version of all rules for the log source, hundreds as they may be.
    texts: Vec<String>,
    /// What makes an event one of the log source, by shape.
    when: Vec<Result<Vec<Expr>, String>>,
}

impl<'m> Forms<'m> {
    /// Of these shapes.
    pub fn new(shapes: Vec<&'m Shape>) -> Forms<'m> {
        let texts = shapes.iter().map(|s| format!("{s:?}")).collect();
        let when = |shape: &&Shape| {
            // `when` is written with the names of the log type.
            let plain = Shape { fields: Default::default(), strict: false, ..(*shape).clone() };
            let lowering = Lowering { shape: &plain, likes: &Likes::default() };
            shape.when.iter().map(|i| lowering.item(i)).collect()
        };
        let when = shapes.iter().map(when).collect();
        Forms { shapes, texts, when }
    }

    /// True if no mapping knows the log source.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }
}

/// The rule for these forms of its events, with the filters that apply to it. The error says why no form will do.
pub fn lower(sigma: &SigmaRule, filters: &[&Filter], of: &Forms, file: &str, text: &str) -> Result<Rule, String> {
    let (mut forms, mut texts, mut why) = (Vec::new(), Vec::new(), None);
    let likes = Likes::default();
    for ((shape, text), when) in of.shapes.iter().zip(&of.texts).zip(&of.when) {
        let lowering = Lowering { shape, likes: &likes };
        match when.clone().and_then(|when| lowering.form(sigma, filters, when)) {
            Ok(exprs) => {
                forms.push((*shape, exprs));
                texts.push(text.as_str());
            }
            Err(e) => why = why.or(Some(e)),
        }
    }
    if forms.is_empty() {
        return Err(why.unwrap_or_else(|| format!("no log type for {}", sigma.logsource)));
    }
    let mut log_types: Vec<Arc<str>> = forms.iter().map(|(s, _)| s.log_type.clone()).collect();
    log_types.sort();
    log_types.dedup();
    let alone = log_types.len() == 1;
    let used: Vec<&Shape> = forms.iter().map(|(s, _)| *s).collect();
    let mut alternatives: Vec<Vec<Expr>> = forms
        .into_iter()
        .map(|(shape, mut exprs)| {
            if !alone {
                exprs.insert(0, is_log_type(&shape.log_type));
            }
            exprs
        })
        .collect();
    let body = match alternatives.len() {
        1 => alternatives.remove(0),
        _ => vec![Expr::Any(alternatives.into_iter().map(Expr::All).collect())],
    };
    let mut meta = sigma.meta.clone();
    meta.version = version(text, filters, &texts);
    Ok(Rule {
        meta: Arc::new(meta),
        file: file.into(),
        enabled: true,
        log_types,
        filters: Vec::new(),
        body: Body::Yaml(body),
        alert_title: None,
        alert_context: context(&sigma.fields, &used),
        group_by: Vec::new(),
        dynamic_severities: Vec::new(),
        tests: serde_json::Value::Null,
    })
}

fn is_log_type(name: &Arc<str>) -> Expr {
    let key = KeySpec::Path(Path::key("p_log_type"));
    Expr::Test { key, test: Predicate::Equals(Scalar::Str(name.clone())), negated: false }
}

/// Lists of values that were made into patterns, by where they are in the rule: the forms of an event mostly ask for the same,
/// and thousands of patterns are kept once.
type Likes = RefCell<HashMap<(*const Wanted, usize), Like>>;

/// A rule on its way to one form of its events.
struct Lowering<'a> {
    shape: &'a Shape,
    likes: &'a Likes,
}

/// Items of a search.
fn items(s: &Search) -> usize {
    match s {
        Search::All(v) | Search::Any(v) => v.iter().map(items).sum(),
        Search::Item(_) => 1,
    }
}

/// Items of a condition: a search counts wherever it is named.
fn size(c: &Cond, sizes: &[usize]) -> usize {
    match c {
        Cond::Search(i) => sizes[*i],
        Cond::Not(c) => size(c, sizes),
        Cond::All(v) | Cond::Any(v) => v.iter().map(|c| size(c, sizes)).fold(0, usize::saturating_add),
    }
}

fn condition(c: &Cond, searches: &[Expr]) -> Expr {
    match c {
        Cond::Search(i) => searches[*i].clone(),
        Cond::Not(c) => Expr::None(vec![condition(c, searches)]),
        Cond::All(v) => Expr::All(v.iter().map(|c| condition(c, searches)).collect()),
        Cond::Any(v) => Expr::Any(v.iter().map(|c| condition(c, searches)).collect()),
    }
}

impl Lowering<'_> {
    /// What the form of the event must fulfil, in all, beside what makes it one of the log source.
    fn form(&self, sigma: &SigmaRule, filters: &[&Filter], when: Vec<Expr>) -> Result<Vec<Expr>, String> {
        let mut out = when;
        out.push(self.detection(&sigma.detection)?);
        for filter in filters {
            out.push(self.detection(&filter.detection)?);
        }
        Ok(out)
    }

    fn detection(&self, d: &Detection) -> Result<Expr, String> {
        let sizes: Vec<usize> = d.searches.iter().map(items).collect();
        if size(&d.condition, &sizes) > MAX_TESTS {
            return Err(format!("the condition asks more than {MAX_TESTS} questions"));
        }
        let searches = d.searches.iter().map(|s| self.search(s)).collect::<Result<Vec<_>, _>>()?;
        Ok(condition(&d.condition, &searches))
    }

    fn search(&self, s: &Search) -> Result<Expr, String> {
        let all = |v: &[Search]| v.iter().map(|s| self.search(s)).collect::<Result<Vec<_>, _>>();
        Ok(match s {
            Search::All(v) => Expr::All(all(v)?),
            Search::Any(v) => Expr::Any(all(v)?),
            Search::Item(i) => self.item(i)?,
        })
    }

    fn item(&self, item: &Item) -> Result<Expr, String> {
        let targets = match &item.field {
            Some(field) => Some(self.shape.targets(field)?),
            None => self.shape.keywords.clone(),
        };
        let expr = match &item.ask {
            Ask::Values { values, all: false } => self.values_in(&targets, values)?,
            Ask::Values { values, all: true } => {
                let each = values.iter().map(|v| self.values_in(&targets, std::slice::from_ref(v)));
                Expr::All(each.collect::<Result<_, _>>()?)
            }
            Ask::Exists(yes) => {
                let test = |t: &Target| test(&t.path, Predicate::Exists);
                let some = any(targets.iter().flatten().map(test).collect());
                if *yes { some } else { Expr::None(vec![some]) }
            }
            Ask::Fields { op, fold, names, all } => {
                let one = |name: &String| -> Result<Expr, String> {
                    let others = self.shape.targets(name)?;
                    let parts = targets.iter().flatten().chain(&others).find(|t| !t.forms.is_empty());
                    if let Some(target) = parts {
                        return Err(only_texts(target));
                    }
                    let pair = |a: &Target, b: &Target| Expr::Compare {
                        left: KeySpec::path(a.path.clone()),
                        right: KeySpec::path(b.path.clone()),
                        how: Comparison::Like(*op, *fold),
                        negated: false,
                    };
                    let left = targets.iter().flatten();
                    Ok(any(left.flat_map(|a| others.iter().map(move |b| pair(a, b))).collect()))
                };
                let each = names.iter().map(one).collect::<Result<Vec<_>, _>>()?;
                if *all { Expr::All(each) } else { any(each) }
            }
        };
        Ok(if item.negated { Expr::None(vec![expr]) } else { expr })
    }

    /// One of the values in one of the places: one test per place, however many values there are.
    fn values_in(&self, targets: &Option<Vec<Target>>, values: &[Wanted]) -> Result<Expr, String> {
        let Some(targets) = targets else {
            let patterns = values.iter().flat_map(Wanted::patterns).collect();
            let key = KeySpec::Path(Path::default());
            return Ok(Expr::Test { key, test: Predicate::Like(Like::event(patterns)), negated: false });
        };
        let mut out = Vec::new();
        for target in targets {
            let empty = |v: &&Wanted| target.forms.is_empty() && v.is_empty();
            let like = self.like(target, values)?;
            if !like.patterns().is_empty() {
                out.push(test(&target.path, Predicate::Like(like)));
            }
            match (values.iter().any(|v| empty(&v)), values.iter().any(|v| matches!(v, Wanted::Null))) {
                (true, _) => out.push(test(&target.path, Predicate::Empty)),
                (false, true) => out.push(test(&target.path, Predicate::Null)),
                (false, false) => {}
            }
        }
        Ok(any(out))
    }

    /// The values as they stand at a place.
    fn like(&self, target: &Target, values: &[Wanted]) -> Result<Like, String> {
        let whole = target.forms.is_empty();
        let key = (values.as_ptr(), values.len());
        if let (true, Some(like)) = (whole, self.likes.borrow().get(&key)) {
            return Ok(like.clone());
        }
        let mut patterns = Vec::new();
        for v in values.iter().filter(|v| !(whole && v.is_empty())) {
            patterns.extend(patterns_at(target, v)?);
        }
        let like = Like::new(patterns);
        if whole {
            self.likes.borrow_mut().insert(key, like.clone());
        }
        Ok(like)
    }
}

/// A value as it stands at a place.
fn patterns_at(target: &Target, v: &Wanted) -> Result<Vec<Pattern>, String> {
    match v {
        _ if target.forms.is_empty() => Ok(v.patterns()),
        Wanted::Null => Ok(Vec::new()),
        Wanted::Other(_) => Err(only_texts(target)),
        Wanted::Text(texts, cased) => {
            let all = texts.iter().flat_map(|parts| {
                target.forms.iter().map(move |(before, after)| {
                    let whole = before.iter().chain(parts).chain(after).cloned().collect();
                    Pattern::Glob(Glob::new(whole, *cased))
                })
            });
            Ok(all.collect())
        }
    }
}

fn only_texts(target: &Target) -> String {
    format!("only texts can be compared with a part of {}", target.path)
}

fn test(path: &Path, test: Predicate) -> Expr {
    Expr::Test { key: KeySpec::path(path.clone()), test, negated: false }
}

fn any(mut list: Vec<Expr>) -> Expr {
    if list.len() == 1 { list.remove(0) } else { Expr::Any(list) }
}

/// `fields`: values that an alert shows.
fn context(fields: &[String], shapes: &[&Shape]) -> Vec<(String, KeySpec)> {
    let key = |field: &String| {
        let at = shapes.iter().filter_map(|s| s.targets(field).ok()).flatten();
        let paths: BTreeSet<Path> = at.map(|t| t.path).take(MAX_FIRST_OF).collect();
        let mut keys: Vec<KeySpec> = paths.into_iter().map(KeySpec::path).collect();
        match keys.len() {
            0 => None,
            1 => keys.pop(),
            _ => Some(KeySpec::FirstOf(keys)),
        }
    };
    let mut out: Vec<(String, KeySpec)> = Vec::new();
    for field in fields {
        if let (false, Some(key)) = (out.iter().any(|(name, _)| name == field), key(field)) {
            out.push((field.clone(), key));
        }
    }
    out
}

/// 32 hex digits over everything that decides what the rule does.
fn version(text: &str, filters: &[&Filter], shapes: &[&str]) -> String {
    let filters: String = filters.iter().map(|f| &*f.text).collect();
    let shapes = format!("[{}]", shapes.join(", "));
    let half = |salt: &str| model::key::key_hash(&[salt, text, &filters, &shapes]);
    format!("{:016x}{:016x}", half("version"), half("rule"))
}
