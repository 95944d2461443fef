//! Names of conditions: one table of everything a `Condition:` may say.
//!
//! Sources of the grammar spell some names in two ways; both are read. A negated condition is exactly the negation of
//! its affirmative twin, also for a missing value (see [`crate::predicate`] for what each means).

/// What a condition does, without its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal to a scalar.
    Equals,
    /// Equal to a text, ignoring case.
    IEquals,
    /// Text begins with.
    StartsWith,
    /// Text begins with, ignoring case.
    IStartsWith,
    /// Text ends with.
    EndsWith,
    /// Text ends with, ignoring case.
    IEndsWith,
    /// Text contains a text, or list contains a scalar.
    Contains,
    /// As [`Op::Contains`], ignoring case.
    IContains,
    /// Equal to one of several scalars.
    IsIn,
    /// Greater than.
    Greater,
    /// Greater than or equal to.
    GreaterOrEqual,
    /// Less than.
    Less,
    /// Less than or equal to.
    LessOrEqual,
    /// The path exists.
    Exists,
    /// Missing or null.
    IsNull,
    /// Missing, null, or of length 0.
    IsNullOrEmpty,
    /// A text that is an IP address.
    IsIp,
    /// A text that is an IPv4 address.
    IsIpv4,
    /// A text that is an IPv6 address.
    IsIpv6,
    /// A globally reachable address.
    IsIpPublic,
    /// An address that is not globally reachable.
    IsIpPrivate,
    /// An address or network that overlaps a network.
    InCidr,
    /// A list of addresses of which one is in a network.
    CidrContains,
    /// A regular expression finds something in the text.
    Matches,
    /// True.
    AlwaysTrue,
    /// At least one element of a list fulfils all expressions.
    AnyElement,
    /// Every element does.
    AllElements,
    /// Exactly one element does.
    OnlyOneElement,
}

/// What stands beside a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A key alone.
    Key,
    /// A key and `Value`; or two keys in `Values`.
    Value,
    /// A key and `Values`; or two keys in `Values`.
    Values,
    /// A key and `Expressions`.
    Expressions,
    /// Nothing.
    Nothing,
}

impl Op {
    /// What stands beside it.
    pub fn takes(self) -> Takes {
        use Op::*;
        match self {
            AlwaysTrue => Takes::Nothing,
            AnyElement | AllElements | OnlyOneElement => Takes::Expressions,
            IsIn => Takes::Values,
            Exists | IsNull | IsNullOrEmpty | IsIp | IsIpv4 | IsIpv6 | IsIpPublic | IsIpPrivate => Takes::Key,
            _ => Takes::Value,
        }
    }
}

/// A name in the table.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Preferred spelling.
    pub name: &'static str,
    /// Other spellings that are read.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub op: Op,
    /// True = the opposite of `op`.
    pub negated: bool,
    /// Allowed in `InlineFilters`.
    pub filter: bool,
}

const fn c(name: &'static str, aliases: &'static [&'static str], op: Op, negated: bool, filter: bool) -> Condition {
    Condition { name, aliases, op, negated, filter }
}

/// Every condition, in the order of the reference.
pub const CONDITIONS: &[Condition] = &[
    c("Equals", &[], Op::Equals, false, true),
    c("DoesNotEqual", &[], Op::Equals, true, true),
    c("IEquals", &[], Op::IEquals, false, false),
    c("IDoesNotEqual", &["DoesNotIEqual"], Op::IEquals, true, false),
    c("StartsWith", &[], Op::StartsWith, false, true),
    c("DoesNotStartWith", &[], Op::StartsWith, true, true),
    c("IStartsWith", &[], Op::IStartsWith, false, false),
    c("IDoesNotStartWith", &["DoesNotIStartWith"], Op::IStartsWith, true, false),
    c("EndsWith", &[], Op::EndsWith, false, true),
    c("DoesNotEndWith", &[], Op::EndsWith, true, true),
    c("IEndsWith", &[], Op::IEndsWith, false, false),
    c("IDoesNotEndWith", &["DoesNotIEndWith"], Op::IEndsWith, true, false),
    c("Contains", &["Has"], Op::Contains, false, true),
    c("DoesNotContain", &["DoesNotHave"], Op::Contains, true, true),
    c("IContains", &[], Op::IContains, false, false),
    c("IDoesNotContain", &["DoesNotIContain"], Op::IContains, true, false),
    c("IsIn", &[], Op::IsIn, false, true),
    c("IsNotIn", &[], Op::IsIn, true, true),
    c("IsGreaterThan", &[], Op::Greater, false, true),
    c("IsGreaterThanOrEquals", &["IsGreaterThanOrEqual"], Op::GreaterOrEqual, false, true),
    c("IsLessThan", &[], Op::Less, false, true),
    c("IsLessThanOrEquals", &["IsLessThanOrEqual"], Op::LessOrEqual, false, true),
    c("Exists", &[], Op::Exists, false, true),
    c("DoesNotExist", &[], Op::Exists, true, true),
    c("IsNull", &[], Op::IsNull, false, true),
    c("IsNotNull", &[], Op::IsNull, true, true),
    c("IsNullOrEmpty", &[], Op::IsNullOrEmpty, false, true),
    c("IsNotNullOrEmpty", &[], Op::IsNullOrEmpty, true, true),
    c("IsIPAddress", &[], Op::IsIp, false, false),
    c("IsIPv4Address", &[], Op::IsIpv4, false, false),
    c("IsIPv6Address", &[], Op::IsIpv6, false, false),
    c("IsIPAddressPublic", &[], Op::IsIpPublic, false, true),
    c("IsIPAddressPrivate", &[], Op::IsIpPrivate, false, true),
    c("IsIPAddressInCIDR", &[], Op::InCidr, false, true),
    c("IsIPAddressNotInCIDR", &[], Op::InCidr, true, true),
    c("CIDRContainsIPAddresses", &[], Op::CidrContains, false, true),
    c("CIDRDoesNotContainIPAddresses", &[], Op::CidrContains, true, true),
    c("Matches", &[], Op::Matches, false, true),
    c("DoesNotMatch", &[], Op::Matches, true, true),
    c("AlwaysTrue", &[], Op::AlwaysTrue, false, false),
    c("AlwaysFalse", &[], Op::AlwaysTrue, true, false),
    c("AnyElement", &[], Op::AnyElement, false, false),
    c("NoElement", &[], Op::AnyElement, true, false),
    c("AllElements", &[], Op::AllElements, false, false),
    c("OnlyOneElement", &[], Op::OnlyOneElement, false, false),
];

/// Condition of a name; also the shorter spellings of the table.
pub fn find(name: &str) -> Option<&'static Condition> {
    CONDITIONS.iter().find(|c| c.name == name || c.aliases.contains(&name))
}

/// The known name nearest to a wrong one, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.len() / 3 + 1;
    known
        .map(|k| (strsim::damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase()), k))
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_nearest_helps() {
        let mut all: Vec<&str> =
            CONDITIONS.iter().flat_map(|c| [c.name].into_iter().chain(c.aliases.iter().copied())).collect();
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
        assert!(all.iter().all(|a| find(a).is_some()));
        let names = || CONDITIONS.iter().map(|c| c.name);
        assert_eq!(nearest("equals", names()), Some("Equals"));
        assert_eq!(nearest("IsNotInn", names()), Some("IsNotIn"));
        assert_eq!(nearest("Zebra", names()), None);
    }
}
