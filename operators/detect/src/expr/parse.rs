//! Reads match expressions.
//!
//! Everything wrong is reported, each finding with the path of its setting (`Detection[0].Any[1].Condition`); what is
//! returned beside findings is incomplete and must not be run.
use super::lists::{KEY_KEYS, items, keyspec, kind, parse_keyspec, unknown_keys};
use super::{Comparison, Expr, Quantifier};
use crate::address;
use crate::condition::{CONDITIONS, Condition, Op, Takes, find, nearest};
use crate::key::KeySpec;
use crate::predicate::{IpKind, Members, OrderOp, Predicate, Scalar, TextOp, fold};
use crate::regex::Regex;
use model::{Path, Problem};
use serde_json::{Map, Value as J};

/// Deepest nesting of combinators and list comprehensions.
pub const MAX_DEPTH: usize = 32;
/// Most expressions of one list of a detection, counted over all levels.
pub const MAX_EXPRS: usize = 2_000;
/// Most `Values` of one condition.
pub const MAX_VALUES: usize = 10_000;

const COMBINATORS: [&str; 4] = ["All", "Any", "OnlyOne", "None"];

/// Read a list of match expressions (`Detection`, `Conditions`): all must hold. An empty list is a finding.
pub fn parse_exprs(v: &J, at: &str, problems: &mut Vec<Problem>) -> Vec<Expr> {
    if v.as_array().is_some_and(Vec::is_empty) {
        let hint = "say `Condition: AlwaysTrue` if every event is meant";
        problems.push(Problem::at(at, "the list of match expressions is empty").hint(hint));
    }
    Reader { problems, filter: false, element: false, depth: 0, count: 0 }.list(v, at)
}

/// Read `InlineFilters`, the reduced grammar: `KeyPath`, `Enrichment` and `FirstOf` specifiers, `All` and `Any`, no
/// list comprehension, no comparison of two keys, no absolute condition. Empty lists are allowed.
pub fn parse_filters(v: &J, at: &str, problems: &mut Vec<Problem>) -> Vec<Expr> {
    Reader { problems, filter: true, element: false, depth: 0, count: 0 }.list(v, at)
}

struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
    /// Reduced grammar of inline filters.
    filter: bool,
    /// Inside a list comprehension.
    element: bool,
    depth: usize,
    count: usize,
}

impl Reader<'_> {
    fn bad(&mut self, at: &str, message: impl Into<String>, hint: &str) {
        let p = Problem::at(at, message);
        self.problems.push(if hint.is_empty() { p } else { p.hint(hint) });
    }

    fn list(&mut self, v: &J, at: &str) -> Vec<Expr> {
        if self.depth == MAX_DEPTH {
            self.bad(at, format!("nested deeper than {MAX_DEPTH} levels"), "split the detection");
            return Vec::new();
        }
        self.depth += 1;
        let items = items(v, at, self.problems);
        let out = items.iter().enumerate().filter_map(|(i, e)| self.expr(e, &format!("{at}[{i}]"))).collect();
        self.depth -= 1;
        out
    }

    fn expr(&mut self, v: &J, at: &str) -> Option<Expr> {
        self.count += 1;
        if self.count > MAX_EXPRS {
            if self.count == MAX_EXPRS + 1 {
                self.bad(at, format!("more than {MAX_EXPRS} match expressions"), "use IsIn, or split the detection");
            }
            return None;
        }
        let Some(map) = v.as_object() else {
            self.bad(at, format!("expected a match expression, found {}", kind(v)), "write a mapping with `Condition`");
            return None;
        };
        match COMBINATORS.iter().find(|c| map.contains_key(**c)) {
            Some(name) => self.combinator(name, map, at),
            None => self.condition(map, at),
        }
    }

    fn combinator(&mut self, name: &str, map: &Map<String, J>, at: &str) -> Option<Expr> {
        unknown_keys(map, &[name], at, self.problems);
        let allowed = !self.filter || matches!(name, "All" | "Any");
        if !allowed {
            self.bad(&format!("{at}.{name}"), format!("`{name}` is not allowed in inline filters"), "use All or Any");
        }
        let list = self.list(&map[name], &format!("{at}.{name}"));
        let expr = match name {
            "All" => Expr::All(list),
            "Any" => Expr::Any(list),
            "OnlyOne" => Expr::OnlyOne(list),
            _ => Expr::None(list),
        };
        allowed.then_some(expr)
    }

    fn condition(&mut self, map: &Map<String, J>, at: &str) -> Option<Expr> {
        let known =
            ["Key", "DeepKey", "KeyPath", "Enrichment", "FirstOf", "Condition", "Value", "Values", "Expressions"];
        let before = self.problems.len();
        unknown_keys(map, &known, at, self.problems);
        let cond = self.name(map, at)?;
        let key = keyspec(map, at, false, self.problems).ok()?;
        self.check_key(cond, key.as_ref(), map, at);
        // An element of a list of scalars is tested without a key: the element itself.
        let key = match key {
            None if self.element && cond.op.takes() != Takes::Nothing && !two_keys(map) => {
                Some(KeySpec::Path(Path::default()))
            }
            k => k,
        };
        self.check_extra(cond, map, at);
        let expr = match (cond.op.takes(), key) {
            (Takes::Nothing, None) => Some(Expr::Always(!cond.negated)),
            (Takes::Nothing, Some(_)) => {
                self.bad(at, format!("`{}` takes no key", cond.name), "");
                None
            }
            (Takes::Value | Takes::Values, None) => self.compare(cond, map, at),
            (_, None) => {
                self.bad(at, format!("`{}` needs a key specifier", cond.name), "write Key, DeepKey or KeyPath");
                None
            }
            (Takes::Expressions, Some(key)) => self.elements(cond, key, map, at),
            (_, Some(key)) => {
                let test = self.test(cond, map, at)?;
                Some(Expr::Test { key, test, negated: cond.negated })
            }
        };
        expr.filter(|_| self.problems.len() == before)
    }

    fn name(&mut self, map: &Map<String, J>, at: &str) -> Option<&'static Condition> {
        let filter = self.filter;
        let names = move || CONDITIONS.iter().filter(move |c| c.filter || !filter).map(|c| c.name);
        let at_name = format!("{at}.Condition");
        let Some(name) = map.get("Condition").and_then(J::as_str) else {
            self.bad(&at_name, "the name of a condition is missing", "for example `Condition: Equals`");
            return None;
        };
        match find(name) {
            Some(c) if c.filter || !filter => Some(c),
            Some(c) => {
                self.bad(
                    &at_name,
                    format!("`{}` is not allowed in inline filters", c.name),
                    "test it in the detection",
                );
                None
            }
            None => {
                let hint = nearest(name, names()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
                self.bad(&at_name, format!("`{name}` is not a condition"), &hint);
                None
            }
        }
    }

    fn check_key(&mut self, cond: &Condition, key: Option<&KeySpec>, map: &Map<String, J>, at: &str) {
        if self.filter && (map.contains_key("Key") || map.contains_key("DeepKey")) {
            self.bad(at, "inline filters name keys with `KeyPath` only", "write the key as `KeyPath`");
        }
        if self.element && key.is_some_and(has_enrichment) {
            self.bad(
                at,
                format!("`{}` on an enrichment inside a list comprehension", cond.name),
                "test the enrichment outside of `Expressions`",
            );
        }
    }

    /// Reports settings that a condition does not take.
    fn check_extra(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) {
        let takes = cond.op.takes();
        let two = two_keys(map);
        let allowed = |k: &str| match k {
            "Value" => takes == Takes::Value && !two,
            "Values" => takes == Takes::Values || (takes == Takes::Value && two),
            _ => takes == Takes::Expressions,
        };
        for k in ["Value", "Values", "Expressions"] {
            // Older content writes `Value: true` beside conditions that need no value.
            let old = k == "Value" && takes == Takes::Key && map.get(k) == Some(&J::Bool(true));
            if map.contains_key(k) && !allowed(k) && !old {
                let hint = match (k, takes) {
                    ("Values", Takes::Value) => "use `Value`, or the condition `IsIn`",
                    ("Value", Takes::Values) => "use `Values`",
                    _ => "",
                };
                self.bad(&format!("{at}.{k}"), format!("`{}` does not take `{k}`", cond.name), hint);
            }
        }
    }

    fn elements(&mut self, cond: &Condition, key: KeySpec, map: &Map<String, J>, at: &str) -> Option<Expr> {
        let at = format!("{at}.Expressions");
        let Some(v) = map.get("Expressions") else {
            self.bad(&at, format!("`{}` needs a list of match expressions", cond.name), "");
            return None;
        };
        let outer = std::mem::replace(&mut self.element, true);
        let exprs = self.list(v, &at);
        self.element = outer;
        let which = match cond.op {
            Op::AllElements => Quantifier::All,
            Op::OnlyOneElement => Quantifier::One,
            _ => Quantifier::Any,
        };
        Some(Expr::Elements { key, which, negated: cond.negated, exprs })
    }

    fn compare(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) -> Option<Expr> {
        if !two_keys(map) {
            self.bad(
                at,
                format!("`{}` needs a key specifier", cond.name),
                "write Key, DeepKey or KeyPath, or two key specifiers in `Values`",
            );
            return None;
        }
        let at = format!("{at}.Values");
        let how = match cond.op {
            _ if self.filter => None,
            Op::Equals => Some(Comparison::Equals),
            Op::IEquals => Some(Comparison::Text(TextOp::Equals, true)),
            Op::StartsWith => Some(Comparison::Text(TextOp::StartsWith, false)),
            Op::IStartsWith => Some(Comparison::Text(TextOp::StartsWith, true)),
            Op::EndsWith => Some(Comparison::Text(TextOp::EndsWith, false)),
            Op::IEndsWith => Some(Comparison::Text(TextOp::EndsWith, true)),
            Op::Contains => Some(Comparison::Contains(false)),
            Op::IContains => Some(Comparison::Contains(true)),
            Op::IsIn => Some(Comparison::In),
            Op::InCidr => Some(Comparison::InCidr),
            Op::CidrContains => Some(Comparison::CidrContains),
            op => order(op).map(Comparison::Order),
        };
        let Some(how) = how else {
            let why = if self.filter {
                "inline filters do not compare two keys".into()
            } else {
                format!("`{}` does not compare two keys", cond.name)
            };
            self.bad(&at, why, "name one key and give a `Value`");
            return None;
        };
        let list = items(&map["Values"], &at, self.problems);
        if list.len() != 2 {
            self.bad(&at, format!("exactly two key specifiers are compared, found {}", list.len()), "");
            return None;
        }
        let left = parse_keyspec(&list[0], &format!("{at}[0]"), self.problems);
        let right = parse_keyspec(&list[1], &format!("{at}[1]"), self.problems);
        let (left, right) = (left?, right?);
        if self.element && (has_enrichment(&left) || has_enrichment(&right)) {
            self.bad(&at, "an enrichment inside a list comprehension", "compare it outside of `Expressions`");
        }
        Some(Expr::Compare { left, right, how, negated: cond.negated })
    }

    fn test(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) -> Option<Predicate> {
        let text =
            |op, fold_case| move |s: &str| Predicate::Text { op, fold: fold_case, text: folded(s, fold_case).into() };
        Some(match cond.op {
            Op::Exists => Predicate::Exists,
            Op::IsNull => Predicate::Null,
            Op::IsNullOrEmpty => Predicate::Empty,
            Op::IsIp => Predicate::Ip(IpKind::Any),
            Op::IsIpv4 => Predicate::Ip(IpKind::V4),
            Op::IsIpv6 => Predicate::Ip(IpKind::V6),
            Op::IsIpPublic => Predicate::Ip(IpKind::Public),
            Op::IsIpPrivate => Predicate::Ip(IpKind::Private),
            Op::Equals => Predicate::Equals(self.scalar(cond, map, at)?),
            Op::IEquals => text(TextOp::Equals, true)(self.text(cond, map, at)?),
            Op::StartsWith => text(TextOp::StartsWith, false)(self.text(cond, map, at)?),
            Op::IStartsWith => text(TextOp::StartsWith, true)(self.text(cond, map, at)?),
            Op::EndsWith => text(TextOp::EndsWith, false)(self.text(cond, map, at)?),
            Op::IEndsWith => text(TextOp::EndsWith, true)(self.text(cond, map, at)?),
            Op::Contains => Predicate::Contains { value: self.scalar(cond, map, at)?, fold: false, parts: self.filter },
            Op::IContains => {
                let value = Scalar::Str(folded(self.text(cond, map, at)?, true).into());
                Predicate::Contains { value, fold: true, parts: false }
            }
            Op::IsIn => Predicate::In(self.members(cond, map, at)?),
            Op::InCidr => Predicate::InCidr(self.net(cond, map, at)?),
            Op::CidrContains => Predicate::CidrContains(self.net(cond, map, at)?),
            Op::Matches => match Regex::new(self.text(cond, map, at)?) {
                Ok(regex) => Predicate::Matches(regex),
                Err(e) => {
                    self.bad(
                        &format!("{at}.Value"),
                        e,
                        "the syntax is that of the Rust regex crate: no look-around, no back-references",
                    );
                    return None;
                }
            },
            op => {
                let v = self.scalar(cond, map, at)?;
                if matches!(v, Scalar::Bool(_)) {
                    self.bad(&format!("{at}.Value"), format!("`{}` compares numbers or texts", cond.name), "");
                }
                Predicate::Order(order(op)?, v)
            }
        })
    }

    fn scalar(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) -> Option<Scalar> {
        let at = format!("{at}.Value");
        let hint = match map.get("Value") {
            None if map.contains_key("Values") => return None, // reported by check_extra
            None => "",
            Some(v) => match Scalar::from_json(v) {
                Some(s) => return Some(s),
                None if v.is_null() => "use IsNull or DoesNotExist",
                None => "use IsIn and `Values` for several values",
            },
        };
        self.bad(&at, format!("`{}` needs a text, a number, true or false", cond.name), hint);
        None
    }

    fn text<'a>(&mut self, cond: &Condition, map: &'a Map<String, J>, at: &str) -> Option<&'a str> {
        match map.get("Value") {
            Some(J::String(s)) => Some(s),
            None if map.contains_key("Values") => None, // reported by check_extra
            Some(v) => {
                self.bad(
                    &format!("{at}.Value"),
                    format!("`{}` needs a text, found {}", cond.name, kind(v)),
                    "put it in quotes",
                );
                None
            }
            None => {
                self.bad(&format!("{at}.Value"), format!("`{}` needs a text", cond.name), "");
                None
            }
        }
    }

    fn net(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) -> Option<ipnet::IpNet> {
        let s = self.text(cond, map, at)?;
        let net = address::parse_net(s);
        if net.is_none() {
            self.bad(
                &format!("{at}.Value"),
                format!("`{s}` is not a network"),
                "for example `10.0.0.0/8` or `2001:db8::/32`",
            );
        }
        net
    }

    fn members(&mut self, cond: &Condition, map: &Map<String, J>, at: &str) -> Option<Members> {
        let at = format!("{at}.Values");
        let Some(v) = map.get("Values") else {
            self.bad(&at, format!("`{}` needs a list of values", cond.name), "");
            return None;
        };
        let list = items(v, &at, self.problems);
        if list.len() > MAX_VALUES {
            self.bad(&at, format!("{} values, the limit is {MAX_VALUES}", list.len()), "use a lookup table");
            return None;
        }
        let mut out = Vec::with_capacity(list.len());
        for (i, v) in list.iter().enumerate() {
            match Scalar::from_json(v) {
                Some(s) => out.push(s),
                None => self.bad(
                    &format!("{at}[{i}]"),
                    format!("expected a text, a number, true or false, found {}", kind(v)),
                    "",
                ),
            }
        }
        Some(Members::of(out))
    }
}

fn folded(s: &str, fold_case: bool) -> String {
    if fold_case { fold(s).into_owned() } else { s.into() }
}

fn order(op: Op) -> Option<OrderOp> {
    Some(match op {
        Op::Greater => OrderOp::Greater,
        Op::GreaterOrEqual => OrderOp::GreaterOrEqual,
        Op::Less => OrderOp::Less,
        Op::LessOrEqual => OrderOp::LessOrEqual,
        _ => return None,
    })
}

/// True if `Values` holds key specifiers instead of literals and no key stands beside it.
fn two_keys(map: &Map<String, J>) -> bool {
    !KEY_KEYS.iter().any(|k| map.contains_key(*k))
        && map.get("Values").and_then(J::as_array).is_some_and(|a| a.iter().any(J::is_object))
}

fn has_enrichment(key: &KeySpec) -> bool {
    match key {
        KeySpec::Path(_) => false,
        KeySpec::Enrich(_) => true,
        KeySpec::FirstOf(specs) => specs.iter().any(has_enrichment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::MAX_FIRST_OF;
    use serde_json::json;

    fn problems(v: J) -> Vec<String> {
        let mut p = Vec::new();
        parse_exprs(&v, "Detection", &mut p);
        p.into_iter().map(|p| format!("{}: {} ({})", p.setting, p.message, p.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let got = problems(json!([
            {"Key": "a", "Condition": "equals", "Value": "x"},
            {"Any": [{"KeyPth": "a", "Condition": "Exists"}, {"Key": "a", "Condition": "StartsWith", "Value": 5}]},
            {"Key": "a", "KeyPath": "a", "Condition": "Exists"},
            {"Key": "a", "Condition": "Equals", "Values": [1]},
            {"Key": "a", "Condition": "IsIn", "Values": [1, null]},
            {"Key": "a", "Condition": "IsIPAddressInCIDR", "Value": "10.0.0.0/40"},
            {"Key": "a", "Condition": "Matches", "Value": "("},
            "x",
            {"Condition": "Equals", "Values": [{"Key": "a"}]},
        ]));
        let has = |text: &str| assert!(got.iter().any(|g| g.contains(text)), "{text} not in {got:#?}");
        has("Detection[0].Condition: `equals` is not a condition (did you mean `Equals`?)");
        has("Detection[1].Any[0].KeyPth: `KeyPth` is not a key that is known here (did you mean `KeyPath`?)");
        has("Detection[1].Any[1].Value: `StartsWith` needs a text, found a number (put it in quotes)");
        has("Detection[2]: `Key` and `KeyPath` both name a key");
        has("Detection[3].Values: `Equals` does not take `Values` (use `Value`, or the condition `IsIn`)");
        has("Detection[4].Values[1]: expected a text, a number, true or false, found nothing");
        has("Detection[5].Value: `10.0.0.0/40` is not a network");
        has("Detection[6].Value: ");
        has("Detection[7]: expected a match expression, found a text");
        has("Detection[8].Values: exactly two key specifiers are compared, found 1");
    }

    #[test]
    fn limits_are_at_their_numbers() {
        let deep = |n: usize| (0..n).fold(json!([{"Condition": "AlwaysTrue"}]), |v, _| json!([{"All": v}]));
        assert_eq!(problems(deep(MAX_DEPTH - 1)), Vec::<String>::new());
        assert_eq!(problems(deep(MAX_DEPTH)).len(), 1);
        let wide = |n: usize| json!(vec![json!({"Condition": "AlwaysTrue"}); n]);
        assert_eq!(problems(wide(MAX_EXPRS)).len(), 0);
        assert_eq!(problems(wide(MAX_EXPRS + 5)).len(), 1);
        let values = |n: usize| json!([{"Key": "a", "Condition": "IsIn", "Values": (0..n).collect::<Vec<_>>()}]);
        assert_eq!(problems(values(MAX_VALUES)).len(), 0);
        assert_eq!(problems(values(MAX_VALUES + 1)).len(), 1);
        let first = |n: usize| json!([{"FirstOf": vec![json!({"Key": "a"}); n], "Condition": "Exists"}]);
        assert_eq!(problems(first(MAX_FIRST_OF)).len(), 0);
        assert_eq!(problems(first(MAX_FIRST_OF + 1)).len(), 1);
        assert_eq!(problems(json!([])).len(), 1);
    }

    #[test]
    fn filters_take_the_reduced_grammar() {
        let check = |v: J| {
            let mut p = Vec::new();
            parse_filters(&v, "InlineFilters", &mut p);
            p.len()
        };
        assert_eq!(check(json!([{"All": []}])), 0);
        assert_eq!(check(json!([{"Any": [{"KeyPath": "a.b", "Condition": "Contains", "Value": "x"}]}])), 0);
        assert_eq!(
            check(
                json!([{"Enrichment": {"Table": "t", "Selector": "s", "FieldPath": "f"}, "Condition": "IsIn", "Values": [1]}])
            ),
            0
        );
        for bad in [
            json!([{"None": []}]),
            json!([{"Key": "a", "Condition": "Equals", "Value": 1}]),
            json!([{"KeyPath": "a", "Condition": "IEquals", "Value": "x"}]),
            json!([{"Condition": "AlwaysTrue"}]),
            json!([{"Condition": "Equals", "Values": [{"KeyPath": "a"}, {"KeyPath": "b"}]}]),
            json!([{"KeyPath": "a", "Condition": "AnyElement", "Expressions": [{"Key": "x", "Condition": "Exists"}]}]),
        ] {
            assert!(check(bad.clone()) > 0, "{bad}");
        }
    }
}
