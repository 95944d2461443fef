//! Numbers as detections compare them: by value, integers exactly.
//!
//! `22`, `22.0` and `2.2e1` are equal. Two integers compare exactly over the whole range of 64-bit JSON integers;
//! an integer against a fraction compares as 64-bit floats. `NaN` cannot be written in JSON.
use std::cmp::Ordering;

/// A JSON number.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    /// Fits a signed or unsigned 64-bit integer.
    Int(i128),
    /// Everything else.
    Float(f64),
}

impl Num {
    /// From JSON number text. Text beyond the range of a 64-bit float (`1e400`) becomes infinite.
    pub fn parse(text: &str) -> Num {
        // 18 digits cannot overflow; this is nearly every number of a log.
        if text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            return Num::Int(text.bytes().fold(0i64, |n, b| n * 10 + (b - b'0') as i64) as i128);
        }
        // serde_json, not `str::parse`: the whole-event evaluator reads numbers with it, and both must agree.
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(n) => Num::from(&n),
            Err(_) => Num::Float(text.parse().unwrap_or(f64::INFINITY)),
        }
    }
    fn float(self) -> f64 {
        match self {
            Num::Int(i) => i as f64,
            Num::Float(f) => f,
        }
    }
    /// Order by value; `None` only for `NaN`.
    pub fn compare(self, other: Num) -> Option<Ordering> {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Num) -> bool {
        self.compare(*other) == Some(Ordering::Equal)
    }
}

impl From<&serde_json::Number> for Num {
    fn from(n: &serde_json::Number) -> Num {
        match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Num::Int(i as i128),
            (_, Some(u)) => Num::Int(u as i128),
            _ => Num::Float(n.as_f64().unwrap_or(f64::INFINITY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(Num::parse("22"), Num::parse("22.0"));
        assert_eq!(Num::parse("22"), Num::parse("2.2e1"));
        assert_eq!(Num::parse("-0"), Num::parse("0"));
        assert_ne!(Num::parse("18446744073709551615"), Num::parse("18446744073709551614"));
        assert!(Num::parse("-9223372036854775808").compare(Num::parse("0")) == Some(Ordering::Less));
        assert!(Num::parse("1e400").compare(Num::parse("1e300")) == Some(Ordering::Greater));
    }
}
