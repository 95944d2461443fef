//! What a condition means for one value.
//!
//! This table is the contract of the YAML language where its sources leave room. *Missing* is a path that does not
//! exist; a negated condition is the plain negation of its row, so on a missing value it is **true** (inline filters
//! too). A rule that wants "present and different" says `IsNotNull` as well.
//!
//! | Condition | missing, null | text | number | bool | list | object |
//! |---|---|---|---|---|---|---|
//! | `Equals` | false | equal to a text `Value` | equal by value to a number | equal to a bool | false | false |
//! | `IEquals`, `[I]StartsWith`, `[I]EndsWith` | false | as named | false | false | false | false |
//! | `Contains`, `Has` | false | substring | false | false | an element equals `Value` | false |
//! | `Contains` in a filter | false | substring | false | false | as above; in a list of texts also a substring of one | false |
//! | `IContains` | false | substring, ignoring case | false | false | a text element equals, ignoring case | false |
//! | `IsIn` | false | one of `Values` | one of them, by value | one of them | an element is one of them | false |
//! | `IsGreaterThan` … | false | by bytes, if `Value` is a text | by value, if `Value` is a number | false | false | false |
//! | `Exists` | null: true, missing: false | true | true | true | true | true |
//! | `IsNull` | true | false | false | false | false | false |
//! | `IsNullOrEmpty` | true | `""` | false | false | `[]` | `{}` |
//! | `IsIPAddress`, `…v4…`, `…v6…`, `…Public`, `…Private` | false | the whole text is such an address | false | false | false | false |
//! | `IsIPAddressInCIDR` | false | an address or network that overlaps `Value` | false | false | false | false |
//! | `CIDRContainsIPAddresses` | false | as a list of one | false | false | an element overlaps `Value` | false |
//! | `Matches` | false | the regular expression is found in it | false | false | false | false |
//! | values of Sigma rules ([`Like`]) | false | a pattern fits | a pattern fits its text | … `true`, `false` | a value in it fits | a value in it fits |
//!
//! Types never mix, but in Sigma rules: the number 5 does not equal the text `"5"`. "Ignoring case" compares Unicode lower case.
//! `Matches` is an extension of this product: Rust syntax, unanchored, pattern ≤ [`MAX_PATTERN`] bytes, compiled size
//! ≤ [`MAX_PROGRAM`] bytes; of a longer text only the first [`MAX_HAYSTACK`] bytes are searched.
//!
//! [`MAX_PATTERN`]: crate::regex::MAX_PATTERN
//! [`MAX_PROGRAM`]: crate::regex::MAX_PROGRAM
//! [`MAX_HAYSTACK`]: crate::regex::MAX_HAYSTACK
use crate::address;
use crate::like::Like;
use crate::number::Num;
use crate::regex::Regex;
use ipnet::IpNet;
use serde_json::Value as J;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// A literal of a detection.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Str(Arc<str>),
    /// Number.
    Num(Num),
    /// `true`, `false`.
    Bool(bool),
}

impl Scalar {
    /// From YAML; `None` for null, lists and mappings.
    pub fn from_json(v: &J) -> Option<Scalar> {
        Some(match v {
            J::String(s) => Scalar::Str(s.as_str().into()),
            J::Number(n) => Scalar::Num(n.into()),
            J::Bool(b) => Scalar::Bool(*b),
            _ => return None,
        })
    }
    fn equals(&self, v: &J) -> bool {
        match (self, v) {
            (Scalar::Str(a), J::String(b)) => **a == **b,
            (Scalar::Num(a), J::Number(b)) => *a == Num::from(b),
            (Scalar::Bool(a), J::Bool(b)) => a == b,
            _ => false,
        }
    }
}

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextOp {
    /// All of it.
    Equals,
    /// The beginning.
    StartsWith,
    /// The end.
    EndsWith,
    /// Anywhere.
    Contains,
}

impl TextOp {
    /// Compare; with `fold`, ignoring case (`needle` is already folded).
    #[inline]
    pub fn holds(self, fold_case: bool, text: &str, needle: &str) -> bool {
        let text = if fold_case { fold(text) } else { Cow::Borrowed(text) };
        match self {
            TextOp::Equals => *text == *needle,
            TextOp::StartsWith => text.starts_with(needle),
            TextOp::EndsWith => text.ends_with(needle),
            TextOp::Contains => text.contains(needle),
        }
    }
}

/// Order that a comparison accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOp {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl OrderOp {
    /// True if the order is one it accepts.
    pub fn accepts(self, o: Option<Ordering>) -> bool {
        match self {
            OrderOp::Greater => o == Some(Ordering::Greater),
            OrderOp::GreaterOrEqual => matches!(o, Some(Ordering::Greater | Ordering::Equal)),
            OrderOp::Less => o == Some(Ordering::Less),
            OrderOp::LessOrEqual => matches!(o, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

/// What an IP condition asks of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpKind {
    /// Any address.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Globally reachable.
    Public,
    /// Not globally reachable.
    Private,
}

/// Members of `IsIn`, ready to look up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// Texts, sorted.
    pub strings: Vec<Arc<str>>,
    /// Numbers.
    pub numbers: Vec<Num>,
    /// `[false, true]`.
    pub bools: [bool; 2],
}

impl Members {
    /// From literals.
    pub fn of(values: impl IntoIterator<Item = Scalar>) -> Members {
        let mut m = Members::default();
        for v in values {
            match v {
                Scalar::Str(s) => m.strings.push(s),
                Scalar::Num(n) => m.numbers.push(n),
                Scalar::Bool(b) => m.bools[b as usize] = true,
            }
        }
        m.strings.sort_unstable();
        m.strings.dedup();
        m
    }
    fn has_str(&self, s: &str) -> bool {
        self.strings.binary_search_by(|m| (**m).cmp(s)).is_ok()
    }
    fn has(&self, v: &J) -> bool {
        match v {
            J::String(s) => self.has_str(s),
            J::Number(n) => self.numbers.contains(&n.into()),
            J::Bool(b) => self.bools[*b as usize],
            _ => false,
        }
    }
}

/// A condition with its literals, affirmative.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// The path exists.
    Exists,
    /// Missing or null.
    Null,
    /// Missing, null or of length 0.
    Empty,
    /// Anything but a text that is not empty; not to be written in a rule.
    NoText {
        /// Also where the path is missing, or null.
        missing: bool,
    },
    /// There and not null; not to be written in a rule.
    Present,
    /// A text of more bytes; not to be written in a rule.
    Longer(usize),
    /// Equal to a scalar.
    Equals(Scalar),
    /// Compares texts; `text` is folded if `fold`.
    Text {
        /// What part.
        op: TextOp,
        /// Ignore case.
        fold: bool,
        /// Literal.
        text: Arc<str>,
    },
    /// Text contains, list contains. `text` is folded if `fold`.
    Contains {
        /// Literal.
        value: Scalar,
        /// Ignore case.
        fold: bool,
        /// Also look for it inside the elements of a list of texts (inline filters).
        parts: bool,
    },
    /// Equal to one of several.
    In(Members),
    /// Compares by order.
    Order(OrderOp, Scalar),
    /// An address of a kind.
    Ip(IpKind),
    /// An address or network that overlaps this one.
    InCidr(IpNet),
    /// A list of which an element overlaps this network.
    CidrContains(IpNet),
    /// A regular expression.
    Matches(Regex),
    /// A value that fits one of several patterns, compared as text.
    Like(Like),
}

impl Predicate {
    /// For a missing (`exists` false) or null value.
    #[inline]
    pub fn on_null(&self, exists: bool) -> bool {
        match self {
            Predicate::Exists => exists,
            Predicate::Null | Predicate::Empty => true,
            Predicate::NoText { missing } => *missing,
            _ => false,
        }
    }
    /// For a text.
    pub fn on_str(&self, s: &str) -> bool {
        match self {
            Predicate::Exists | Predicate::Present => true,
            Predicate::Null => false,
            Predicate::Empty | Predicate::NoText { .. } => s.is_empty(),
            Predicate::Longer(bytes) => s.len() > *bytes,
            Predicate::Equals(v) => matches!(v, Scalar::Str(t) if **t == *s),
            Predicate::Text { op, fold, text } => op.holds(*fold, s, text),
            Predicate::Contains { value: Scalar::Str(t), fold, .. } => TextOp::Contains.holds(*fold, s, t),
            Predicate::Contains { .. } => false,
            Predicate::In(m) => m.has_str(s),
            Predicate::Order(op, Scalar::Str(t)) => op.accepts(Some(s.cmp(t))),
            Predicate::Order(..) => false,
            Predicate::Ip(kind) => address::parse(s).is_some_and(|ip| match kind {
                IpKind::Any => true,
                IpKind::V4 => ip.is_ipv4(),
                IpKind::V6 => ip.is_ipv6(),
                IpKind::Public => address::is_public(ip),
                IpKind::Private => address::is_private(ip),
            }),
            Predicate::InCidr(net) | Predicate::CidrContains(net) => {
                address::parse_net(s).is_some_and(|n| address::overlap(&n, net))
            }
            Predicate::Matches(regex) => regex.is_match(s),
            Predicate::Like(like) => like.on_text(s),
        }
    }
    /// For a number.
    pub fn on_num(&self, n: Num) -> bool {
        match self {
            Predicate::Exists | Predicate::Present | Predicate::NoText { .. } => true,
            Predicate::Equals(Scalar::Num(v)) => *v == n,
            Predicate::In(m) => m.numbers.contains(&n),
            Predicate::Order(op, Scalar::Num(v)) => op.accepts(n.compare(*v)),
            Predicate::Like(like) => like.on_num(n),
            _ => false,
        }
    }
    /// For a bool.
    pub fn on_bool(&self, b: bool) -> bool {
        match self {
            Predicate::Exists | Predicate::Present | Predicate::NoText { .. } => true,
            Predicate::Equals(v) => *v == Scalar::Bool(b),
            Predicate::In(m) => m.bools[b as usize],
            Predicate::Like(like) => like.on_bool(b),
            _ => false,
        }
    }
    /// For a list.
    pub fn on_list(&self, list: &[J]) -> bool {
        match self {
            Predicate::Exists | Predicate::Present | Predicate::NoText { .. } => true,
            Predicate::Empty => list.is_empty(),
            Predicate::Contains { value, fold: false, parts } => {
                list.iter().any(|e| value.equals(e)) || (*parts && part_of_a_text(list, value))
            }
            Predicate::Contains { value: Scalar::Str(t), fold: true, .. } => {
                list.iter().any(|e| e.as_str().is_some_and(|s| *fold(s) == **t))
            }
            Predicate::In(m) => list.iter().any(|e| m.has(e)),
            Predicate::CidrContains(net) => {
                list.iter().any(|e| e.as_str().and_then(address::parse_net).is_some_and(|n| address::overlap(&n, net)))
            }
            _ => false,
        }
    }
    /// For an object of which only this is known; a predicate that [`Predicate::reads_objects`] is asked for the whole.
    pub fn on_object(&self, empty: bool) -> bool {
        match self {
            Predicate::Exists | Predicate::Present | Predicate::NoText { .. } => true,
            Predicate::Empty => empty,
            _ => false,
        }
    }
    /// For an owned value; `None` = missing.
    pub fn on_json(&self, v: Option<&J>) -> bool {
        match v {
            Some(v @ (J::Array(_) | J::Object(_))) if self.reads_objects() => match self {
                Predicate::Like(like) => like.on_json(v),
                _ => false,
            },
            None => self.on_null(false),
            Some(J::Null) => self.on_null(true),
            Some(J::String(s)) => self.on_str(s),
            Some(J::Number(n)) => self.on_num(n.into()),
            Some(J::Bool(b)) => self.on_bool(*b),
            Some(J::Array(a)) => self.on_list(a),
            Some(J::Object(o)) => self.on_object(o.is_empty()),
        }
    }
    /// True if the outcome for a text depends on the text.
    pub fn reads_texts(&self) -> bool {
        match self {
            Predicate::Exists | Predicate::Present | Predicate::Null => false,
            Predicate::Equals(v) | Predicate::Contains { value: v, .. } | Predicate::Order(_, v) => {
                matches!(v, Scalar::Str(_))
            }
            Predicate::In(m) => !m.strings.is_empty(),
            _ => true,
        }
    }
    /// True if the outcome for a list depends on its elements.
    pub fn reads_lists(&self) -> bool {
        let scalars = matches!(self, Predicate::Contains { .. } | Predicate::In(_) | Predicate::CidrContains(_));
        scalars || self.reads_objects()
    }
    /// True if the outcome for an object depends on its values.
    pub fn reads_objects(&self) -> bool {
        matches!(self, Predicate::Like(_))
    }
    /// True if the outcome for a number depends on the number.
    pub fn reads_numbers(&self) -> bool {
        matches!(self, Predicate::Equals(Scalar::Num(_)) | Predicate::Order(_, Scalar::Num(_)))
            || matches!(self, Predicate::In(m) if !m.numbers.is_empty())
            || matches!(self, Predicate::Like(_))
    }
}

/// Inline filters look for a text also inside the elements, if all of them are texts.
fn part_of_a_text(list: &[J], value: &Scalar) -> bool {
    let Scalar::Str(t) = value else { return false };
    list.iter().all(J::is_string) && list.iter().any(|e| e.as_str().is_some_and(|s| s.contains(&**t)))
}

/// Lower case; borrowed where nothing changes.
pub fn fold(s: &str) -> Cow<'_, str> {
    if !changes(s) {
        return Cow::Borrowed(s);
    }
    let mut out = String::new();
    lower(s, &mut out);
    Cow::Owned(out)
}

fn changes(s: &str) -> bool {
    s.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii())
}

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// Append what [`str::to_lowercase`] gives. Logs are ASCII but for some characters: what lies between these is taken at once.
fn lower(s: &str, out: &mut String) {
    out.reserve(s.len());
    let (before, mut rest) = (out.len(), s);
    while !rest.is_empty() {
        let blocks = rest.as_bytes().chunks_exact(BLOCK).take_while(|b| b.is_ascii()).count() * BLOCK;
        let ascii = blocks + rest.as_bytes()[blocks..].iter().take_while(|b| b.is_ascii()).count();
        let from = out.len();
        out.push_str(&rest[..ascii]);
        out[from..].make_ascii_lowercase();
        let mut chars = rest[ascii..].chars();
        let next = chars.next();
        if next == Some('Σ') {
            // Its form depends on what stands around it.
            out.truncate(before);
            return out.push_str(&s.to_lowercase());
        }
        out.extend(next.into_iter().flat_map(char::to_lowercase));
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_unicode_lower_case() {
        assert_eq!(fold("ÄÖ Ü"), "äö ü");
        assert!(matches!(fold("plain"), Cow::Borrowed(_)));
        for text in ["ÄÖ Ü", "Plain", "plain", "", "ΑΣ", "ΣΑ Σ. Σ", "K\u{212a}", "İ\u{307}I"] {
            assert_eq!(fold(text), text.to_lowercase());
            let long = format!("{text}{}{text}{}É", "X y".repeat(30), "Z".repeat(BLOCK));
            assert_eq!(fold(&long), long.to_lowercase());
        }
        // The Kelvin sign is longer than the k it folds to.
        assert!(TextOp::Equals.holds(true, "\u{212a}", "k"));
        assert!(TextOp::EndsWith.holds(true, "TASK\u{212a}", "kk"));
    }
}
