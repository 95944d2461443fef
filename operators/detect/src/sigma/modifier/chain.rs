//! The modifiers behind a field, and which of them go together.
use crate::condition::nearest;
use crate::like::date::DatePart;
use crate::predicate::OrderOp;
use crate::sigma::finding::Found;

/// Every modifier.
const KNOWN: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "week",
    "wide",
    "windash",
    "year",
];

/// What the modifiers of an item say together.
#[derive(Default)]
pub struct Chain<'k> {
    /// As written.
    pub names: Vec<&'k str>,
    /// Values are ANDed.
    pub all: bool,
    /// The case counts.
    pub cased: bool,
    /// `neq`.
    pub negated: bool,
    /// Placeholders are filled in.
    pub expand: bool,
    /// `re`, with its flags.
    pub regex: Option<String>,
    /// Values are networks.
    pub cidr: bool,
    /// The value says whether the field exists.
    pub exists: bool,
    /// Values are fields.
    pub fieldref: bool,
    /// Values are compared by order.
    pub order: Option<OrderOp>,
    /// A part of a date is compared.
    pub date: Option<DatePart>,
}

/// Read modifiers. What is wrong with them is among the findings.
pub fn chain<'k>(names: Vec<&'k str>, found: &mut Found) -> Option<Chain<'k>> {
    let mut c = Chain::default();
    for name in &names {
        let kind = [c.regex.is_some(), c.cidr, c.exists, c.fieldref].iter().filter(|b| **b).count();
        match *name {
            "all" => c.all = true,
            "cased" => c.cased = true,
            "neq" => c.negated = true,
            "expand" => c.expand = true,
            "re" if kind == 0 => c.regex = Some(String::new()),
            "cidr" if kind == 0 => c.cidr = true,
            "exists" if kind == 0 => c.exists = true,
            "fieldref" if kind == 0 => c.fieldref = true,
            "i" | "m" | "s" => match &mut c.regex {
                Some(flags) if !flags.contains(name) => flags.push_str(name),
                Some(_) => {}
                None => {
                    found.broken(format!("`{name}` belongs to a regular expression"), "write `re` before it");
                    return None;
                }
            },
            "lt" => c.order = Some(OrderOp::Less),
            "lte" => c.order = Some(OrderOp::LessOrEqual),
            "gt" => c.order = Some(OrderOp::Greater),
            "gte" => c.order = Some(OrderOp::GreaterOrEqual),
            "minute" => c.date = Some(DatePart::Minute),
            "hour" => c.date = Some(DatePart::Hour),
            "day" => c.date = Some(DatePart::Day),
            "week" => c.date = Some(DatePart::Week),
            "month" => c.date = Some(DatePart::Month),
            "year" => c.date = Some(DatePart::Year),
            known if KNOWN.contains(&known) && kind == 0 => {}
            "contains" | "startswith" | "endswith" if c.fieldref => {}
            known if KNOWN.contains(&known) => {
                found.broken(format!("the modifier `{known}` does not go with the ones before it"), "");
                return None;
            }
            unknown => {
                let near = nearest(unknown, KNOWN.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                found.broken(format!("`{unknown}` is not a modifier"), &near.unwrap_or_default());
                return None;
            }
        }
    }
    let kinds = [c.regex.is_some(), c.cidr, c.exists, c.fieldref, c.order.is_some() || c.date.is_some()];
    let changes = names.iter().any(|n| {
        matches!(*n, "contains" | "startswith" | "endswith" | "windash" | "wide")
            || n.starts_with("base64")
            || n.starts_with("utf16")
    });
    if kinds.iter().filter(|k| **k).count() > 1 || (changes && kinds.iter().any(|k| *k) && !c.fieldref) {
        found.broken(format!("the modifiers `{}` do not go together", names.join("|")), "");
        return None;
    }
    c.names = names;
    Some(c)
}
