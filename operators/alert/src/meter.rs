//! How much one detection has alerted lately, and whether it may go on.
//!
//! Two ways to count. *Window*: a window opens with the first alert that reaches the meter, lets the first N pass and
//! opens anew when an alert's age reaches its length. *Hand*: a sliding time of 60 buckets; once more than N would
//! have passed in it, the detection is held until a person releases it.
//!
//! An alert that was suppressed must stay so: the meter remembers its id, so that later updates of it are suppressed
//! as well.
use hashbrown::HashSet;
use model::Result;
use model::codec::{Reader, Writer};
use model::units::Rate;
use std::collections::{BTreeMap, VecDeque};

/// Parts the sliding time is divided into: minutes of an hour.
const BUCKETS: u64 = 60;
/// Suppressed alerts a meter remembers. Beyond it the oldest is forgotten: updates of it would pass again, and a
/// destination that never saw it has nothing to update.
pub const MAX_REMEMBERED: usize = 100_000;

/// What becomes of a new alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is suppressed, and it is the first one over the limit.
    Trip,
    /// It is suppressed.
    Suppress,
}

/// The count of one detection and kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Gauge {
    /// Released with the window.
    Window {
        /// First alert of the window, milliseconds of the alert clock.
        start: Option<i64>,
        /// Alerts that passed in it.
        passed: u64,
        /// True once one was suppressed in it.
        tripped: bool,
    },
    /// Released by hand.
    Hand {
        /// Alerts that passed, by start of their bucket.
        buckets: BTreeMap<i64, u64>,
        /// True from the first suppressed alert until the release.
        held: bool,
    },
}

impl Gauge {
    /// A gauge that has counted nothing.
    pub fn new(by_hand: bool) -> Gauge {
        match by_hand {
            true => Gauge::Hand { buckets: BTreeMap::new(), held: false },
            false => Gauge::Window { start: None, passed: 0, tripped: false },
        }
    }

    /// Decides on a new alert at `clock`.
    pub fn offer(&mut self, clock: i64, limit: Rate) -> Verdict {
        let per = i64::try_from(limit.per_ms).unwrap_or(i64::MAX);
        match self {
            Gauge::Window { start, passed, tripped } => {
                if start.is_none_or(|s| clock.saturating_sub(s) >= per) {
                    (*start, *passed, *tripped) = (Some(clock), 0, false);
                }
                if *passed < limit.count {
                    *passed += 1;
                    return Verdict::Pass;
                }
                if std::mem::replace(tripped, true) { Verdict::Suppress } else { Verdict::Trip }
            }
            Gauge::Hand { held: true, .. } => Verdict::Suppress,
            Gauge::Hand { buckets, held } => {
                let width = i64::try_from((limit.per_ms / BUCKETS).max(1)).unwrap_or(i64::MAX);
                let mut bucket = clock - clock.rem_euclid(width);
                let newest = buckets.last_key_value().map_or(bucket, |(b, _)| bucket.max(*b));
                let oldest = newest.saturating_sub(per).saturating_add(width);
                // An alert from before the sliding time (event time only) counts into its oldest bucket.
                bucket = bucket.max(oldest);
                *buckets = buckets.split_off(&oldest);
                if buckets.values().sum::<u64>() < limit.count {
                    *buckets.entry(bucket).or_default() += 1;
                    return Verdict::Pass;
                }
                *held = true;
                buckets.clear();
                Verdict::Trip
            }
        }
    }

    /// Forgets counts that another time base has given. A held detection stays held: only a person releases it.
    pub fn forget_times(&mut self) {
        match self {
            Gauge::Hand { buckets, .. } => buckets.clear(),
            window => *window = Gauge::new(false),
        }
    }

    /// Lets a suppressed detection alert again, from zero. True if it was suppressed.
    pub fn release(&mut self) -> bool {
        let was = matches!(self, Gauge::Hand { held: true, .. } | Gauge::Window { tripped: true, .. });
        if was {
            *self = Gauge::new(matches!(self, Gauge::Hand { .. }));
        }
        was
    }
}

/// Ids of suppressed alerts, oldest first.
#[derive(Debug, Default, PartialEq)]
pub struct Remembered {
    order: VecDeque<(i64, u128)>,
    ids: HashSet<u128>,
}

impl Remembered {
    /// Remembers an id until the epoch clock reaches `until`; true if the oldest had to be forgotten for it.
    pub fn add(&mut self, id: u128, until: i64) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back((until, id));
        self.order.len() > MAX_REMEMBERED && self.order.pop_front().is_some_and(|(_, old)| self.ids.remove(&old))
    }
    /// True if the id is remembered.
    pub fn has(&self, id: u128) -> bool {
        self.ids.contains(&id)
    }
    /// Forgets what can get no more updates; true if that forgot anything.
    pub fn expire(&mut self, now: i64) -> bool {
        let before = self.order.len();
        while let Some((until, id)) = self.order.front()
            && *until <= now
        {
            self.ids.remove(id);
            self.order.pop_front();
        }
        self.order.len() != before
    }
}

/// State of one detection and kind.
#[derive(Debug, PartialEq)]
pub struct Meter {
    /// The count.
    pub gauge: Gauge,
    /// What was suppressed.
    pub suppressed: Remembered,
}

impl Meter {
    /// A meter that has seen nothing.
    pub fn new(by_hand: bool) -> Meter {
        Meter { gauge: Gauge::new(by_hand), suppressed: Remembered::default() }
    }

    /// Appends the state.
    pub fn save(&self, w: &mut Writer) {
        match &self.gauge {
            Gauge::Window { start, passed, tripped } => {
                w.byte(0);
                w.flag(start.is_some());
                w.int(start.unwrap_or(0));
                w.uint(*passed);
                w.flag(*tripped);
            }
            Gauge::Hand { buckets, held } => {
                w.byte(1);
                w.flag(*held);
                w.uint(buckets.len() as u64);
                for (b, n) in buckets {
                    w.int(*b);
                    w.uint(*n);
                }
            }
        }
        w.uint(self.suppressed.order.len() as u64);
        for (until, id) in &self.suppressed.order {
            w.int(*until);
            w.id(*id);
        }
    }

    /// Reads the state.
    pub fn load(r: &mut Reader) -> Result<Meter> {
        let gauge = match r.byte()? {
            0 => {
                let (has, start) = (r.flag()?, r.int()?);
                Gauge::Window { start: has.then_some(start), passed: r.uint()?, tripped: r.flag()? }
            }
            1 => {
                let held = r.flag()?;
                let buckets = (0..r.uint()?).map(|_| Ok((r.int()?, r.uint()?))).collect::<Result<_>>()?;
                Gauge::Hand { buckets, held }
            }
            other => return Err(format!("limit state: unknown kind {other} of meter").into()),
        };
        let mut suppressed = Remembered::default();
        for _ in 0..r.uint()? {
            let (until, id) = (r.int()?, r.id()?);
            suppressed.add(id, until);
        }
        Ok(Meter { gauge, suppressed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::*;

    const LIMIT: Rate = Rate { count: 1000, per_ms: 3_600_000 };

    #[test]
    fn the_thousandth_passes_and_the_next_trips() {
        for by_hand in [false, true] {
            let mut g = Gauge::new(by_hand);
            assert!((0..1000).all(|i| g.offer(i, LIMIT) == Pass));
            assert_eq!((g.offer(1000, LIMIT), g.offer(1001, LIMIT)), (Trip, Suppress));
            assert!(g.release() && !g.release());
            assert_eq!(g.offer(1002, LIMIT), Pass);
        }
    }

    #[test]
    fn a_window_reopens_at_its_length_and_not_before() {
        let mut g = Gauge::new(false);
        (0..1001).for_each(|_| _ = g.offer(500, LIMIT));
        assert_eq!(g.offer(500 + 3_599_999, LIMIT), Suppress);
        assert_eq!(g.offer(-5, LIMIT), Suppress, "an earlier alert belongs to the open window");
        assert_eq!(g.offer(500 + 3_600_000, LIMIT), Pass);
    }

    #[test]
    fn the_sliding_hour_moves_by_minutes() {
        let mut g = Gauge::new(true);
        assert!((0..999).all(|_| g.offer(0, LIMIT) == Pass));
        assert_eq!(g.offer(59 * 60_000 + 59_999, LIMIT), Pass);
        let mut later = g.clone();
        assert_eq!(g.offer(59 * 60_000 + 59_999, LIMIT), Trip, "minute 0 still counts in minute 59");
        assert_eq!(later.offer(60 * 60_000, LIMIT), Pass, "minute 0 has left the hour");
        assert_eq!(g.offer(1_000_000_000, LIMIT), Suppress, "held until released, whatever the time");
        let Gauge::Hand { buckets, .. } = &later else { panic!() };
        assert!(buckets.len() <= BUCKETS as usize);
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_pass() {
        for by_hand in [false, true] {
            assert_eq!(Gauge::new(by_hand).offer(0, Rate { count: 0, per_ms: 1 }), Trip);
        }
    }

    #[test]
    fn remembers_up_to_the_limit() {
        let mut r = Remembered::default();
        assert!((0..MAX_REMEMBERED as u128).all(|i| !r.add(i, i as i64)));
        assert!(!r.add(0, 5), "known already");
        assert!(r.add(u128::MAX, i64::MAX));
        assert!(!r.has(0) && r.has(1) && r.has(u128::MAX));
        assert!(r.expire(MAX_REMEMBERED as i64));
        assert!(!r.has(1) && r.has(u128::MAX) && r.order.len() == 1 && r.ids.len() == 1);
    }
}
