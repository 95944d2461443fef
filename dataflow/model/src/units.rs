//! Durations, sizes and rates as people write them: `"90s"`, `"64MiB"`, `"1000/h"`.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::fmt;

/// A length of time in milliseconds, written `"250ms"`, `"90s"`, `"5m"`, `"1h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dur(pub u64);

/// A number of bytes, written `"512B"`, `"64KiB"`, `"1MiB"`, `"2GiB"` (also `kB`, `MB`, `GB` for powers of ten).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A count per time, written `"1000/h"`, `"50/m"`, `"10/s"`, `"1000/90s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In how many milliseconds.
    pub per_ms: u64,
}

fn split(s: &str) -> Option<(u64, &str)> {
    let s = s.trim();
    let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    Some((s[..end].parse().ok()?, s[end..].trim()))
}

impl Dur {
    /// Read `"90s"`.
    pub fn parse(s: &str) -> Result<Dur, String> {
        let bad = || format!("`{s}` is not a duration: write a whole number and ms, s, m, h or d, as in \"90s\"");
        let (n, unit) = split(s).ok_or_else(bad)?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        n.checked_mul(ms).map(Dur).ok_or_else(bad)
    }
}

impl Size {
    /// Read `"64MiB"`.
    pub fn parse(s: &str) -> Result<Size, String> {
        let bad = || format!("`{s}` is not a size: write a whole number and B, KiB, MiB or GiB, as in \"64MiB\"");
        let (n, unit) = split(s).ok_or_else(bad)?;
        let b = match unit {
            "B" | "" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(bad()),
        };
        n.checked_mul(b).map(Size).ok_or_else(bad)
    }
}

impl Rate {
    /// Read `"1000/h"`.
    pub fn parse(s: &str) -> Result<Rate, String> {
        let bad = || format!("`{s}` is not a rate: write a count and a time, as in \"1000/h\"");
        let (n, per) = s.split_once('/').ok_or_else(bad)?;
        let per = per.trim();
        let per_ms = if per.starts_with(|c: char| c.is_ascii_digit()) {
            Dur::parse(per)
        } else {
            Dur::parse(&format!("1{per}"))
        };
        Ok(Rate { count: n.trim().parse().map_err(|_| bad())?, per_ms: per_ms.map_err(|_| bad())?.0.max(1) })
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, u) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .into_iter()
            .find(|(m, _)| self.0 > 0 && self.0.is_multiple_of(*m))
            .map_or((self.0, "ms"), |(m, u)| (self.0 / m, u));
        write!(f, "{n}{u}")
    }
}
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, u) = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(m, _)| self.0 > 0 && self.0.is_multiple_of(*m))
            .map_or((self.0, "B"), |(m, u)| (self.0 / m, u));
        write!(f, "{n}{u}")
    }
}
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = Dur(self.per_ms).to_string();
        write!(
            f,
            "{}/{}",
            self.count,
            d.strip_prefix('1').filter(|u| !u.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(&d)
        )
    }
}

macro_rules! as_string {
    ($t:ident, $pattern:literal, $doc:literal) => {
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $t::parse(&Cow::<str>::deserialize(d)?).map_err(D::Error::custom)
            }
        }
        impl schemars::JsonSchema for $t {
            fn schema_name() -> Cow<'static, str> {
                stringify!($t).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $doc })
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}
as_string!(Dur, "^\\s*[0-9]+\\s*(ms|s|m|h|d)\\s*$", "a duration such as \"90s\" (ms, s, m, h, d)");
as_string!(Size, "^\\s*[0-9]+\\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?\\s*$", "a size such as \"64MiB\" (B, KiB, MiB, GiB)");
as_string!(Rate, "^\\s*[0-9]+\\s*/\\s*[0-9]*(ms|s|m|h|d)\\s*$", "a rate such as \"1000/h\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        assert_eq!(Dur::parse("90s").unwrap().0, 90_000);
        assert_eq!(Dur::parse("1h").unwrap().to_string(), "1h");
        assert_eq!(Size::parse("64MiB").unwrap().0, 64 << 20);
        assert_eq!(Size::parse("64MiB").unwrap().to_string(), "64MiB");
        assert_eq!(Rate::parse("1000/h").unwrap(), Rate { count: 1000, per_ms: 3_600_000 });
        assert_eq!(Rate::parse("1000/h").unwrap().to_string(), "1000/h");
        for bad in ["", "x", "1", "1 week", "99999999999999999999s", "1.5s"] {
            assert!(Dur::parse(bad).is_err(), "{bad}");
        }
        assert!(Rate::parse("10").is_err() && Size::parse("1TB").is_err());
    }
}
