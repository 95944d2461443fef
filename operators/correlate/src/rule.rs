//! A correlation rule in the shape the operator runs, wherever it was written: Panther's YAML ([`crate::panther`]) or Sigma
//! ([`crate::sigma`]).
//!
//! A rule has items; an item is a detection whose matches count as its signals. All signals of a match share one value (or
//! one for each part of the key), read from the event or from its `p_alert_context`. Signals of one rule and one value
//! meet in one place, so nothing here is ever joined across values.
use detect::key::KeySpec;
use model::RuleMeta;
use std::sync::Arc;

/// Most items of a rule.
pub const MAX_ITEMS: usize = 100;
/// Most parts of a key: criteria of a group, fields of `group-by`.
pub const MAX_PARTS: usize = 16;
/// Most signals that a rule may ask for at once: as many as are held of one value.
pub const MAX_COUNT: u64 = crate::held::MAX_HELD as u64;
/// Longest window.
pub const MAX_WINDOW_MS: i64 = 90 * 86_400_000;

/// One correlation rule.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// Facts that every match carries.
    pub meta: Arc<RuleMeta>,
    /// Content file it was read from.
    pub file: String,
    /// `Enabled`; a disabled rule is checked and tested but never run.
    pub enabled: bool,
    /// What it watches.
    pub items: Vec<Item>,
    /// What has to be true of the signals of one value.
    pub test: Test,
    /// Time that a match spans at most, milliseconds.
    pub window_ms: i64,
    /// Where several windows would do, the last one is told and not the first.
    pub latest: bool,
    /// Names of the parts of the key.
    pub labels: Vec<String>,
    /// The detections that it watches make no alerts of their own where it is run: their matches are signals.
    pub silences: bool,
    /// `Tests`, as written.
    pub tests: serde_json::Value,
}

/// A detection whose matches a rule counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name in the rule.
    pub id: String,
    /// Id of the detection.
    pub rule: Arc<str>,
    /// Fewest signals.
    pub min: u64,
    /// Most signals; 0 = it must be absent.
    pub max: Option<u64>,
    /// Where the value of each part of the key is.
    pub key: Vec<Part>,
    /// Where the value is that the rule counts or adds up.
    pub measure: Option<Part>,
}

impl Item {
    /// True if it opens no window: it must be absent.
    pub fn absent(&self) -> bool {
        self.max == Some(0)
    }
}

/// Where a value of a match is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// It must stand at every one of these.
    pub all: Vec<Place>,
}

/// A field of an event or of an alert context, as it is called for one log type or for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Only of events of this log type.
    pub log_type: Option<Arc<str>>,
    /// The field; below `p_alert_context`, of the context.
    pub field: KeySpec,
}

/// What has to be true of the signals of one value within the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// So many items must have their signals, in any order.
    Group {
        /// Items of which the counts must be right.
        need: usize,
    },
    /// The items that must be there, in this order.
    Sequence(Vec<Step>),
    /// A figure over all signals must be in a range.
    Tally {
        /// The figure.
        figure: Figure,
        /// The range.
        range: Range,
    },
}

/// A place in a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The item.
    pub item: usize,
    /// It follows the step before within this time, milliseconds; of an item that must be absent: it does not follow (or,
    /// if it stands first, does not come before) within this time.
    pub within_ms: i64,
}

/// A figure over signals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// How many there are.
    Count,
    /// How many different values.
    Distinct,
    /// Of how many items there are any.
    Items,
    /// The sum of the values.
    Sum,
    /// Their mean.
    Mean,
    /// The smallest value that at least so many per cent of the values do not exceed.
    Percentile(f64),
    /// The value in the middle; of an even number of values, the mean of the two.
    Median,
}

/// Bounds of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// At least, or more than.
    pub low: Option<(f64, Bound)>,
    /// At most, or less than.
    pub high: Option<(f64, Bound)>,
    /// Any other than this.
    pub not: Option<f64>,
}

/// Whether a bound is itself inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is.
    In,
    /// It is not.
    Out,
}

impl Range {
    /// True if a figure is in it.
    pub fn holds(&self, x: f64) -> bool {
        let low = self.low.is_none_or(|(b, at)| if at == Bound::In { x >= b } else { x > b });
        let high = self.high.is_none_or(|(b, at)| if at == Bound::In { x <= b } else { x < b });
        low && high && self.not.is_none_or(|n| x != n)
    }
    /// True if it has no upper end: what only grows stays in it.
    pub fn upwards(&self) -> bool {
        self.low.is_some() && self.high.is_none() && self.not.is_none()
    }
}

/// When a rule is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as a signal completes it: more signals could only make it truer.
    Complete,
    /// When the window that a signal opened is over: what comes later in it may still undo it.
    Over,
    /// The same, and windows do not overlap: what one window held is not looked at again.
    Tumbling,
}

impl Correlation {
    /// When it is decided.
    pub fn when(&self) -> When {
        match &self.test {
            Test::Tally { figure: Figure::Count | Figure::Distinct | Figure::Items | Figure::Sum, range }
                if range.upwards() =>
            {
                When::Complete
            }
            Test::Tally { .. } => When::Tumbling,
            _ if self.items.iter().any(|i| i.max.is_some()) => When::Over,
            _ => When::Complete,
        }
    }
    /// How long before the newest a signal may still matter, milliseconds, not counting delay.
    pub fn reach_ms(&self) -> i64 {
        if self.when() == When::Over { 2 * self.window_ms } else { self.window_ms }
    }
    /// Hash of what decides: state made under another one means something else.
    pub fn shape(&self) -> u64 {
        let text = format!("{:?} {:?} {} {} {:?}", self.items, self.test, self.window_ms, self.latest, self.labels);
        model::key::key_hash(&[&text])
    }
}
