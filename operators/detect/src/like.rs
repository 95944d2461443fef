//! Values compared as texts, as Sigma compares them.
//!
//! A number, `true` and `false` are compared by the text they are written as: `4688`, `"4688"` and `4688.0` are one
//! value. A list or an object fits if something inside it does, at any depth; null, and what is missing, never fit.
//! Texts fold to Unicode lower case before they are compared, unless a pattern asks for the case it has.
//! Sources of the behaviour: Sigma specification 2.1, detection and modifiers; what it leaves open (types other than
//! texts, lists) is fixed here.
pub mod date;
pub mod glob;
pub mod needles;
pub mod witness;

use crate::address;
use crate::number::Num;
use crate::predicate::{OrderOp, fold};
use crate::regex::Regex;
use date::DatePart;
use glob::{Glob, Shape};
use ipnet::IpNet;
use needles::Needles;
use serde_json::Value as J;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// From this many patterns on, a text is searched for all of them at once.
const SEARCH_FROM: usize = 8;
/// The same for texts of so many bytes: with shorter ones, among them `true` and `false`, which are asked about without an event,
/// each pattern is soon done.
const SEARCH_TEXT: usize = 16;

/// A text, and its lower case once somebody asks for it.
pub struct Text<'t> {
    text: &'t str,
    ascii: bool,
    folded: OnceCell<Cow<'t, str>>,
}

impl<'t> Text<'t> {
    /// This text.
    pub fn new(text: &'t str) -> Text<'t> {
        Text { text, ascii: text.is_ascii(), folded: OnceCell::new() }
    }

    /// As it is.
    pub fn as_str(&self) -> &'t str {
        self.text
    }

    /// True if it has no other characters.
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// In lower case.
    pub fn folded(&self) -> &str {
        self.folded.get_or_init(|| fold(self.text))
    }
}

/// What one value may fit.
#[derive(Clone)]
pub enum Pattern {
    /// A text with wildcards.
    Glob(Glob),
    /// A regular expression, found anywhere in the text.
    Regex(Regex),
    /// An address in a network.
    Net(IpNet),
    /// A number, also one written as a text, by order.
    Order(OrderOp, Num),
    /// A part of a date, compared with a number; without an order: equal to it.
    Date(DatePart, Option<OrderOp>, Num),
}

impl Pattern {
    /// A regular expression within the limits; `flags` are those of `(?…)`.
    pub fn regex(pattern: &str, flags: &str) -> Result<Pattern, String> {
        let text = if flags.is_empty() { pattern.to_string() } else { format!("(?{flags}){pattern}") };
        Regex::new(&text).map(Pattern::Regex)
    }

    /// True if a text fits.
    pub fn fits(&self, of: &Text) -> bool {
        let text = of.as_str();
        match self {
            Pattern::Glob(g) => g.fits(if g.folds() { of.folded() } else { text }),
            Pattern::Regex(r) => r.is_match(text),
            Pattern::Net(net) => address::parse(text).is_some_and(|ip| holds(net, ip)),
            Pattern::Order(op, n) => number(text).is_some_and(|v| op.accepts(v.compare(*n))),
            Pattern::Date(part, op, n) => part.of(text).map(|v| Num::Int(v.into())).is_some_and(|v| match op {
                Some(op) => op.accepts(v.compare(*n)),
                None => v == *n,
            }),
        }
    }

    /// True for a pattern that one comparison decides.
    fn is_plain(&self) -> bool {
        match self {
            Pattern::Glob(g) => matches!(g.shape(), Shape::Equals(_)),
            _ => false,
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Glob(g) => write!(f, "{g:?}"),
            Pattern::Regex(r) => write!(f, "re {:?}", r.as_str()),
            Pattern::Net(net) => write!(f, "net {net}"),
            Pattern::Order(op, n) => write!(f, "{op:?} {n:?}"),
            Pattern::Date(part, op, n) => write!(f, "{part:?} {op:?} {n:?}"),
        }
    }
}

/// One of several patterns fits.
#[derive(Clone)]
pub struct Like(Arc<Inner>);

struct Inner {
    patterns: Box<[Pattern]>,
    /// The value is a whole event: fields of the product itself (`p_…`) are left out.
    event: bool,
    /// All patterns at once, if there are many; made when the first text is asked about. Columns have automata of their own,
    /// so most of these are never made.
    needles: OnceLock<Box<Needles>>,
    /// Outcomes for `false` and `true`: every index of a column asks for them.
    bools: OnceLock<[bool; 2]>,
}

impl Like {
    /// A value fits one of these.
    pub fn new(patterns: Vec<Pattern>) -> Like {
        Like::of(patterns, false)
    }

    /// Some value of a whole event fits one of these: a search for keywords.
    pub fn event(patterns: Vec<Pattern>) -> Like {
        Like::of(patterns, true)
    }

    fn of(patterns: Vec<Pattern>, event: bool) -> Like {
        Like(Arc::new(Inner { patterns: patterns.into(), event, needles: OnceLock::new(), bools: OnceLock::new() }))
    }

    /// The patterns.
    pub fn patterns(&self) -> &[Pattern] {
        &self.0.patterns
    }

    /// True if one comparison decides.
    pub fn is_plain(&self) -> bool {
        matches!(self.patterns(), [p] if p.is_plain())
    }

    /// For a text.
    pub fn on_text(&self, text: &str) -> bool {
        let (text, patterns) = (Text::new(text), &self.0.patterns);
        if patterns.len() < SEARCH_FROM || text.as_str().len() < SEARCH_TEXT {
            return patterns.iter().any(|p| p.fits(&text));
        }
        let needles = self.0.needles.get_or_init(|| Needles::new(patterns.iter().map(|p| (0, p))).into());
        needles.find(&text, &mut |_| true)
    }

    /// For a number.
    pub fn on_num(&self, n: Num) -> bool {
        self.on_text(NumText::of(n).as_str())
    }

    /// For `true` and `false`.
    pub fn on_bool(&self, b: bool) -> bool {
        self.0.bools.get_or_init(|| ["false", "true"].map(|text| self.on_text(text)))[usize::from(b)]
    }

    /// For any value.
    pub fn on_json(&self, v: &J) -> bool {
        match v {
            J::Object(o) if self.0.event => o.iter().any(|(key, v)| !key.starts_with("p_") && self.inside(v)),
            v => self.inside(v),
        }
    }

    fn inside(&self, v: &J) -> bool {
        scalars(v, &mut |text| self.on_text(text))
    }
}

/// True if `test` holds for a text, number or bool that is this value or inside of it.
pub fn scalars(v: &J, test: &mut dyn FnMut(&str) -> bool) -> bool {
    match v {
        J::Null => false,
        J::Bool(b) => test(if *b { "true" } else { "false" }),
        J::Number(n) => test(NumText::of(n.into()).as_str()),
        J::String(s) => test(s),
        J::Array(a) => a.iter().any(|v| scalars(v, test)),
        J::Object(o) => o.values().any(|v| scalars(v, test)),
    }
}

/// Equal conditions print equally: a plan finds out by this that two rules ask the same.
impl fmt::Debug for Like {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Like{}{:?}", if self.0.event { " event" } else { "" }, self.0.patterns)
    }
}

/// True if a network holds an address; an IPv4-mapped one counts as the IPv4 address it carries.
fn holds(net: &IpNet, ip: IpAddr) -> bool {
    let mapped = match ip {
        IpAddr::V6(a) => a.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    net.contains(&ip) || mapped.is_some_and(|ip| net.contains(&ip))
}

/// Number that a text is.
fn number(text: &str) -> Option<Num> {
    let first = *text.as_bytes().first()?;
    if !first.is_ascii_digit() && first != b'-' {
        return None;
    }
    serde_json::from_str::<serde_json::Number>(text).ok().map(|n| Num::from(&n))
}

/// Text of a number, made without memory of its own.
pub struct NumText {
    bytes: [u8; NumText::MAX],
    len: usize,
}

impl NumText {
    /// The smallest 64-bit float has 342 characters.
    const MAX: usize = 400;

    /// `4688` for 4688, 4688.0 and 4.688e3.
    pub fn of(n: Num) -> NumText {
        let mut out = NumText { bytes: [0; NumText::MAX], len: 0 };
        let written = match n {
            Num::Int(i) => write!(out, "{i}"),
            Num::Float(f) => write!(out, "{f}"),
        };
        debug_assert!(written.is_ok());
        out
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for NumText {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use glob::Part;
    use serde_json::json;

    pub fn glob(text: &str) -> Pattern {
        Pattern::Glob(glob::tests::of(text, false))
    }

    #[test]
    fn numbers_and_bools_are_texts() {
        let like = Like::new(vec![glob("4688")]);
        for yes in [json!(4688), json!("4688"), json!(4688.0), json!([1, [4688]]), json!({"a": {"b": "4688"}})] {
            assert!(like.on_json(&yes), "{yes}");
        }
        for no in [json!(null), json!(46880), json!([]), json!({}), json!("4688.0"), json!([null]), json!(true)] {
            assert!(!like.on_json(&no), "{no}");
        }
        assert!(Like::new(vec![glob("TRUE")]).on_json(&json!(true)));
        assert!(Like::new(vec![glob("*")]).on_json(&json!("")));
        assert_eq!(NumText::of(Num::Float(5e-324)).as_str().len(), 326);
        assert_eq!(NumText::of(Num::Float(-f64::MAX)).as_str().len(), 310);
        assert_eq!(NumText::of(Num::Int(u64::MAX.into())).as_str(), "18446744073709551615");
    }

    #[test]
    fn order_reads_numbers_in_texts() {
        let like = Like::new(vec![Pattern::Order(OrderOp::GreaterOrEqual, Num::Int(10))]);
        assert!(like.on_text("10") && like.on_text("1e3") && like.on_num(Num::Float(10.5)));
        assert!(!like.on_text("9.9") && !like.on_text("x") && !like.on_text("") && !like.on_text("inf"));
    }

    #[test]
    fn networks_hold_addresses() {
        let like = Like::new(vec![Pattern::Net("10.0.0.0/8".parse().unwrap())]);
        assert!(like.on_text("10.255.0.1") && like.on_text("::ffff:10.0.0.1"));
        assert!(!like.on_text("11.0.0.1") && !like.on_text("10.0.0.0/8") && !like.on_text("fe80::1"));
        assert!(Like::new(vec![Pattern::Net("fe80::/10".parse().unwrap())]).on_text("fe80::1"));
    }

    #[test]
    fn an_event_is_searched_without_the_fields_of_the_product() {
        let like = Like::event(vec![glob("*evil*")]);
        assert!(like.on_json(&json!({"a": {"p_b": ["so EVIL"]}})));
        assert!(!like.on_json(&json!({"p_log_type": "Evil", "p_source_file": {"path": "evil.log"}})));
    }

    #[test]
    fn many_patterns_are_one_search_with_the_same_answer() {
        let texts = ["cmd.exe", "c:\\x\\cmd.EXE", "", "whoami /all", "aXb", "-enc", "zz9"];
        let parts = ["*cmd*", "*.exe", "who*", "a?b", "", "*-e*c*", "z?9", "*all", "n1", "n2"];
        let like = Like::new(parts.iter().map(|p| glob(p)).collect());
        for text in texts {
            let alone = parts.iter().any(|p| Like::new(vec![glob(p)]).on_text(text));
            assert_eq!(like.on_text(text), alone, "{text}");
        }
        assert!(!like.on_text("nothing of it"));
        let dash = Pattern::Glob(Glob::new(vec![Part::Many, Part::Dash, Part::Text("x".into())], false));
        assert!(Like::new(vec![dash]).on_text("a \u{2013}X"));
    }
}
