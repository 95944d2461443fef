//! Few samples, told honestly: a median with the smallest and the largest, and ratios of runs taken in turn.
use serde::Serialize;

/// Median, smallest and largest of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle sample, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Of `values`; none if there are none or one is not a number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
        let mut v: Vec<f64> = values.into_iter().collect();
        if v.is_empty() || v.iter().any(|x| !x.is_finite()) {
            return None;
        }
        v.sort_unstable_by(f64::total_cmp);
        let half = v.len() / 2;
        let median = if v.len() % 2 == 1 { v[half] } else { (v[half - 1] + v[half]) / 2.0 };
        Some(Summary { median, min: v[0], max: v[v.len() - 1] })
    }

    /// With `form` for a number: `0.85 (0.83–0.91)`, or only the median when all samples look the same.
    pub fn text(&self, form: impl Fn(f64) -> String) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(form);
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// How much more than `ours` `theirs` is, by pairs of runs that followed each other; a load that both met cancels out.
pub fn pairwise(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
    Summary::of(ours.iter().zip(theirs).map(|(a, b)| b / a))
}

/// `1204113` → `1,204,113`.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A number of at least zero with about three significant digits: `0.853`, `12.3`, `1,204`.
pub fn short(x: f64) -> String {
    match x.abs() {
        a if a >= 99.95 => group(x.round() as u64),
        a if a >= 9.995 => format!("{x:.1}"),
        a if a >= 0.9995 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// A large number by its size, to three digits: `853`, `12.3k`, `1.20M`.
pub fn scaled(x: f64) -> String {
    match x {
        x if x >= 999_500.0 => short(x / 1e6) + "M",
        x if x >= 1000.0 => short(x / 1e3) + "k",
        x => short(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_unsorted() {
        assert_eq!(Summary::of([3.0]), Some(Summary { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(Summary::of([9.0, 1.0, 2.0]), Some(Summary { median: 2.0, min: 1.0, max: 9.0 }));
        assert_eq!(Summary::of([4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
    }

    #[test]
    fn nothing_is_not_a_figure() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([1.0, f64::NAN]), None);
        assert_eq!(pairwise(&[0.0], &[1.0]), None, "a run without CPU time is no divisor");
    }

    #[test]
    fn pairs_cancel_a_common_load() {
        // The machine was twice as slow for the second pair: the ratio of medians is the same, the pairs show it exactly.
        let r = pairwise(&[1.0, 2.0, 1.0], &[3.0, 6.0, 3.0]).unwrap();
        assert_eq!((r.median, r.min, r.max), (3.0, 3.0, 3.0));
        assert_eq!(pairwise(&[1.0, 1.0], &[5.0]).unwrap().median, 5.0, "an unfinished pair is left out");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_204_113].map(group), ["0", "999", "1,000", "1,204,113"]);
        assert_eq!(
            [0.0, 0.8526, 0.9996, 9.999, 12.34, 99.96, 1234.4].map(short),
            ["0.000", "0.853", "1.00", "10.0", "12.3", "100", "1,234"]
        );
        assert_eq!(
            [0.5, 853.0, 12_345.0, 999_600.0, 1_204_113.0].map(scaled),
            ["0.500", "853", "12.3k", "1.00M", "1.20M"]
        );
    }

    #[test]
    fn a_range_is_shown_only_when_there_is_one() {
        let s = |a, b, c| Summary { median: a, min: b, max: c }.text(short);
        assert_eq!(s(0.85, 0.83, 0.91), "0.850 (0.830–0.910)");
        assert_eq!(s(1.0, 1.0, 1.0), "1.00");
    }
}
