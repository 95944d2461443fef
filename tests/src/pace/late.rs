//! How late events were, by the second in which they were due. Late counts from the planned time, whenever an event was
//! really sent: what a system delays, it cannot hide by delaying the sender too.
use std::time::Duration;

/// Upper edges of the classes of lateness, milliseconds; one more class has no edge.
pub const EDGES_MS: [u64; 13] = [10, 25, 50, 100, 150, 250, 500, 1_000, 2_500, 5_000, 15_000, 30_000, 60_000];
/// Number of classes.
pub const CLASSES: usize = EDGES_MS.len() + 1;

/// Events that were due in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// How many of them there are, by class of lateness.
    pub classes: [u32; CLASSES],
    /// Least lateness, microseconds.
    pub least_us: u32,
    /// Greatest lateness, microseconds.
    pub most_us: u32,
}

/// When events are due: event `n` at `began + n / rate`.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first one is, microseconds since 1970.
    pub began_us: u64,
    /// Events per second.
    pub rate: u64,
}

impl Schedule {
    /// Second in which event `n` is due, and its lateness in microseconds if it is seen at `now_us`.
    pub fn late(&self, n: u64, now_us: u64) -> (u64, u64) {
        let due = n * 1_000_000 / self.rate;
        (due / 1_000_000, now_us.saturating_sub(self.began_us + due))
    }
}

/// Lateness of the events of a run.
#[derive(Clone, Debug, Default)]
pub struct Late {
    us: Vec<u32>,
    /// By second of the due time.
    pub seconds: Vec<Second>,
}

impl Late {
    /// Count an event.
    pub fn add(&mut self, second: u64, late_us: u64) {
        let us = late_us.min(u32::MAX as u64) as u32;
        self.us.push(us);
        let second = second as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Second::default());
        }
        let s = &mut self.seconds[second];
        let first = s.classes.iter().all(|n| *n == 0);
        s.classes[EDGES_MS.partition_point(|e| e * 1000 < us as u64)] += 1;
        s.least_us = if first { us } else { s.least_us.min(us) };
        s.most_us = s.most_us.max(us);
    }
    /// Nothing more comes; to be called before [`Late::quantile`].
    pub fn sort(&mut self) {
        self.us.sort_unstable();
    }
    /// Lateness that a share `q` of the events does not exceed.
    pub fn quantile(&self, q: f64) -> Duration {
        let at = ((self.us.len() as f64 * q).ceil() as usize).clamp(1, self.us.len().max(1)) - 1;
        Duration::from_micros(self.us.get(at).copied().unwrap_or_default().into())
    }
    /// One line with the usual quantiles.
    pub fn line(&self) -> String {
        let ms = |q| self.quantile(q).as_secs_f64() * 1e3;
        format!(
            "p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, p99.9 {:.0} ms, max {:.0} ms ({} events)",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(0.999),
            ms(1.0),
            self.us.len()
        )
    }
    /// The first second from which on no event was later than `calm`.
    pub fn calm_from(&self, calm: Duration) -> usize {
        let calm = calm.as_micros() as u64;
        self.seconds.iter().rposition(|s| s.most_us as u64 > calm).map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_list() {
        let mut late = Late::default();
        (1..=1000).rev().for_each(|us| late.add(0, us));
        late.sort();
        let us = |q| late.quantile(q).as_micros();
        assert_eq!((us(0.5), us(0.99), us(1.0), us(0.0)), (500, 990, 1000, 1));
        assert_eq!(Late::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn a_stall_is_seen_by_every_event_that_was_due_in_it() {
        // A system that answers at once, but for a stall from second 2 to 5; its sender is held up as well and sends what
        // it owes in a burst. Measured from the time of sending, nothing would be late.
        let schedule = Schedule { began_us: 1_000_000, rate: 100 };
        let mut late = Late::default();
        for n in 0..1000 {
            let due = n * 10_000;
            let seen = if (2_000_000..5_000_000).contains(&due) { 5_000_000 } else { due };
            let (second, us) = schedule.late(n, schedule.began_us + seen);
            late.add(second, us);
        }
        late.sort();
        assert_eq!(late.seconds.len(), 10);
        assert_eq!(late.quantile(0.7), Duration::ZERO);
        assert_eq!(late.quantile(0.8).as_millis(), 1000);
        assert_eq!(late.quantile(1.0).as_millis(), 3000);
        assert_eq!((late.seconds[2].least_us, late.seconds[2].most_us), (2_010_000, 3_000_000));
        assert_eq!(late.seconds[2].classes[9], 50, "later than 2.5 s");
        assert_eq!((late.calm_from(Duration::from_millis(1)), late.calm_from(Duration::from_secs(3))), (5, 0));
    }
}
