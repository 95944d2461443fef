//! Points in time as nanoseconds since 1970 (i64): parsing of the schema's formats, printing of the product's.
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Text format of a timestamp field (functional spec §1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeFormat {
    /// RFC 3339.
    Rfc3339,
    /// Seconds, decimals allowed.
    Unix,
    /// Milliseconds.
    UnixMs,
    /// Microseconds.
    UnixUs,
    /// Nanoseconds.
    UnixNs,
    /// RFC 3339, or unix seconds or nanoseconds by magnitude.
    Cloudflare,
    /// strftime directives; no zone means UTC.
    Strftime(Arc<str>),
}

impl TimeFormat {
    /// From the schema's `timeFormat`.
    pub fn parse_name(name: &str) -> Result<TimeFormat, String> {
        Ok(match name {
            "rfc3339" => TimeFormat::Rfc3339,
            "unix" => TimeFormat::Unix,
            "unix_ms" => TimeFormat::UnixMs,
            "unix_us" => TimeFormat::UnixUs,
            "unix_ns" => TimeFormat::UnixNs,
            "cloudflare" => TimeFormat::Cloudflare,
            f if f.contains('%') => {
                const KNOWN: &str = "aAbBcCdfHIjmMpSUwWxXyYzZeTnk%-";
                let mut it = f.chars();
                while let Some(c) = it.next() {
                    if c == '%' {
                        match it.next() {
                            Some(d) if KNOWN.contains(d) => {}
                            d => return Err(format!("timeFormat `{f}`: unknown directive `%{}`", d.unwrap_or(' '))),
                        }
                    }
                }
                TimeFormat::Strftime(f.into())
            }
            other => {
                return Err(format!(
                    "timeFormat `{other}` is not known (rfc3339, unix, unix_ms, unix_us, unix_ns, cloudflare or a strftime format)"
                ));
            }
        })
    }
    /// Nanoseconds since 1970, `None` if the text is not a time of this format.
    pub fn parse(&self, text: &str) -> Option<i64> {
        match self {
            TimeFormat::Rfc3339 => rfc3339_ns(text),
            TimeFormat::Unix => decimal(text, 1_000_000_000),
            TimeFormat::UnixMs => decimal(text, 1_000_000),
            TimeFormat::UnixUs => decimal(text, 1_000),
            TimeFormat::UnixNs => decimal(text, 1),
            TimeFormat::Cloudflare => rfc3339_ns(text).or_else(|| {
                let scale = if text.trim_start_matches('-').len() > 12 { 1 } else { 1_000_000_000 };
                decimal(text, scale)
            }),
            TimeFormat::Strftime(f) => strptime(f, text),
        }
    }

    /// Append how most sources write a time in this format: UTC, and no more decimals than it has (RFC 3339: in threes).
    /// True if that is a number, and not a text.
    pub fn write(&self, ns: i64, out: &mut String) -> bool {
        match self {
            TimeFormat::Rfc3339 | TimeFormat::Cloudflare => {
                out.push_str(&text_ns(ns));
                let at = out.len() - 19;
                out.replace_range(at..at + 1, "T");
                while let Some(short) = out.strip_suffix("000").filter(|s| s.len() > at + 9) {
                    out.truncate(short.len());
                }
                if out.ends_with('.') {
                    out.pop();
                }
                out.push('Z');
                return false;
            }
            TimeFormat::Unix => write_decimal(ns, 9, out),
            TimeFormat::UnixMs => write_decimal(ns, 6, out),
            TimeFormat::UnixUs => write_decimal(ns, 3, out),
            TimeFormat::UnixNs => write_decimal(ns, 0, out),
            TimeFormat::Strftime(f) => {
                let zoned = jiff::Timestamp::from_nanosecond(ns.into()).map(|t| t.to_zoned(jiff::tz::TimeZone::UTC));
                let text = zoned.ok().and_then(|z| jiff::fmt::strtime::format(&**f, &z).ok());
                out.push_str(&text.unwrap_or_default());
                return false;
            }
        }
        true
    }
}

/// A number of nanoseconds as a decimal with the point `places` from its end.
fn write_decimal(ns: i64, places: u32, out: &mut String) {
    let (scale, size) = (10u64.pow(places), ns.unsigned_abs());
    if ns < 0 {
        out.push('-');
    }
    out.push_str(&(size / scale).to_string());
    if size % scale > 0 {
        let decimals = format!("{:0width$}", size % scale, width = places as usize);
        out.push('.');
        out.push_str(decimals.trim_end_matches('0'));
    }
}

/// Decimal number times `scale`, exact to the nanosecond.
fn decimal(text: &str, scale: i64) -> Option<i64> {
    let t = text.trim();
    if let Some((m, e)) = t.split_once(['e', 'E']) {
        let f: f64 = format!("{m}e{e}").parse().ok()?;
        let v = f * scale as f64;
        return (v.abs() < 9.2e18).then_some(v as i64);
    }
    let (neg, t) = t.strip_prefix('-').map_or((false, t), |r| (true, r));
    let (int, frac) = t.split_once('.').unwrap_or((t, ""));
    if int.is_empty() || !int.bytes().chain(frac.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut v = int.parse::<i64>().ok()?.checked_mul(scale)?;
    let mut s = scale;
    for d in frac.bytes() {
        s /= 10;
        v = v.checked_add((d - b'0') as i64 * s)?;
    }
    Some(if neg { -v } else { v })
}

/// Days since 1970 of a civil date.
pub fn days(y: i64, m: i64, d: i64) -> i64 {
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * m + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Civil date of days since 1970.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + (m <= 2) as i64, m as u32, (doy - (153 * mp + 2) / 5 + 1) as u32)
}

/// RFC 3339 (`T` or space, any fraction, `Z` or offset) to nanoseconds.
#[inline]
pub fn rfc3339_ns(text: &str) -> Option<i64> {
    within_minute(text.as_bytes(), minute(text.as_bytes())?)
}

/// Times of a stream come close to each other: while they are of one minute, only their seconds are read.
#[derive(Clone, Debug)]
pub struct SameMinute {
    /// What the last time began with, up to its seconds.
    head: [u8; 17],
    secs: i64,
}

impl Default for SameMinute {
    fn default() -> SameMinute {
        // No text has such a byte.
        SameMinute { head: [0xFF; 17], secs: 0 }
    }
}

impl SameMinute {
    /// As [`rfc3339_ns`].
    #[inline]
    pub fn rfc3339_ns(&mut self, text: &str) -> Option<i64> {
        let b = text.as_bytes();
        if b.len() < 20 || b[..17] != self.head {
            let secs = minute(b)?;
            self.head.copy_from_slice(&b[..17]);
            self.secs = secs;
        }
        within_minute(b, self.secs)
    }
}

#[inline]
fn two(b: &[u8], i: usize) -> Option<i64> {
    let (a, c) = (b[i].wrapping_sub(b'0'), b[i + 1].wrapping_sub(b'0'));
    (a < 10 && c < 10).then(|| i64::from(a * 10 + c))
}

/// Seconds since 1970 of the minute that the text begins with, offset left out; `Some` only of 20 bytes or more.
#[inline(never)]
fn minute(b: &[u8]) -> Option<i64> {
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    if !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let (y, m, d) = (two(b, 0)? * 100 + two(b, 2)?, two(b, 5)?, two(b, 8)?);
    let (h, mi) = (two(b, 11)?, two(b, 14)?);
    let leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let month = [31, 28 + leap as i64, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&m) || d < 1 || d > month[m as usize - 1] || h > 23 || mi > 59 {
        return None;
    }
    Some(days(y, m, d) * 86_400 + h * 3600 + mi * 60)
}

/// The rest of a text of 20 bytes or more whose minute is known.
#[inline]
fn within_minute(b: &[u8], minute: i64) -> Option<i64> {
    let s = two(b, 17).filter(|s| *s <= 60)?;
    let (mut i, mut ns, mut scale) = (19, 0i64, 100_000_000i64);
    if b[i] == b'.' {
        i += 1;
        let from = i;
        while i < b.len() && b[i].is_ascii_digit() {
            ns += (b[i] - b'0') as i64 * scale;
            scale /= 10;
            i += 1;
        }
        if i == from {
            return None;
        }
    }
    let offset = match b.get(i)? {
        b'Z' | b'z' if i + 1 == b.len() => 0,
        c @ (b'+' | b'-') if i + 6 == b.len() && b[i + 3] == b':' => {
            let (oh, om) = (two(b, i + 1)?, two(b, i + 4)?);
            if oh > 23 || om > 59 {
                return None;
            }
            (oh * 3600 + om * 60) * if *c == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    (minute + s - offset).checked_mul(1_000_000_000)?.checked_add(ns)
}

fn strptime(format: &str, text: &str) -> Option<i64> {
    if let Some(ns) = plain(format, text.trim()) {
        return Some(ns);
    }
    let parse = |format: &str| jiff::fmt::strtime::parse(format, text.trim()).ok();
    // No zone means UTC, also where the format ends in one: Suricata writes it only if it knows it.
    let mut tm = parse(format).or_else(|| parse(format.strip_suffix("%z")?.trim_end()))?;
    if tm.offset().is_none() && tm.iana_time_zone().is_none() {
        tm.set_offset(Some(jiff::tz::Offset::UTC));
    }
    i64::try_from(tm.to_timestamp().ok()?.as_nanosecond()).ok()
}

/// The most common formats, in a tenth of the time that reading any format takes; `None` for others, and for a text that is
/// not written to the letter.
fn plain(format: &str, text: &str) -> Option<i64> {
    let (date, rest) =
        ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"].iter().find_map(|f| Some((f, format.strip_prefix(f)?)))?;
    let fraction = match rest {
        "" => false,
        ".%f" => true,
        _ => return None,
    };
    let b = text.as_bytes();
    let decimals = if fraction { 1..=9 } else { 0..=0 };
    if b.len() < 19
        || b[10] != date.as_bytes()[8]
        || !decimals.contains(&b.len().saturating_sub(19 + fraction as usize))
    {
        return None;
    }
    if fraction && !(b[19] == b'.' && b[20..].iter().all(u8::is_ascii_digit)) {
        return None;
    }
    // A leap second is left to the slow way.
    if b[17] == b'6' {
        return None;
    }
    let mut zoned = [b'Z'; 30];
    zoned[..b.len()].copy_from_slice(b);
    rfc3339_ns(std::str::from_utf8(&zoned[..=b.len()]).ok()?)
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ` of milliseconds.
pub fn rfc3339_ms(ms: i64) -> String {
    let (d, t) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (y, m, day) = civil(d);
    format!("{y:04}-{m:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z", t / 3_600_000, t / 60_000 % 60, t / 1000 % 60, t % 1000)
}

/// `YYYY-MM-DD HH:MM:SS.fffffffff` of nanoseconds: the text form of stored timestamps (functional spec §2.1).
pub fn text_ns(ns: i64) -> String {
    let (secs, frac) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (d, t) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (y, m, day) = civil(d);
    format!("{y:04}-{m:02}-{day:02} {:02}:{:02}:{:02}.{frac:09}", t / 3600, t / 60 % 60, t % 60)
}

/// As [`text_ns`], of milliseconds.
pub fn text_ms(ms: i64) -> String {
    text_ns(ms.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_that_is_known_changes_no_time() {
        let mut same = SameMinute::default();
        for head in [
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "2026-03-01T12:00:",
            "2026-03-01T12:00:",
            "2026-03-01 12:01:",
            "2026-02-30T12:00:",
            "",
            "2026-03-01T12:00:",
        ] {
            for rest in ["00Z", "59.5Z", "60Z", "61Z", "0", "00+01:30", "x1Z", "01.Z", ""] {
                let text = format!("{head}{rest}");
                assert_eq!(same.rfc3339_ns(&text), rfc3339_ns(&text), "{text}");
            }
        }
    }

    #[test]
    fn rfc3339_agrees_with_jiff() {
        for t in [
            "2026-03-01T12:00:00Z",
            "2024-02-29T23:59:59.123456789Z",
            "1969-12-31T23:59:59.5Z",
            "2020-01-01T00:00:00+05:30",
        ] {
            let want: jiff::Timestamp = t.parse().unwrap();
            assert_eq!(rfc3339_ns(t), Some(want.as_nanosecond() as i64), "{t}");
        }
        for bad in [
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z",
        ] {
            assert_eq!(rfc3339_ns(bad), None, "{bad}");
        }
    }

    #[test]
    fn unix_formats_are_exact() {
        assert_eq!(TimeFormat::Unix.parse("1565807105.721324"), Some(1_565_807_105_721_324_000));
        assert_eq!(TimeFormat::UnixMs.parse("1565807105721"), Some(1_565_807_105_721_000_000));
        assert_eq!(TimeFormat::Unix.parse("-1.5"), Some(-1_500_000_000));
        assert_eq!(TimeFormat::Unix.parse("1.565807105e9"), Some(1_565_807_105_000_000_000));
        assert_eq!(TimeFormat::Unix.parse("x"), None);
        let f = TimeFormat::parse_name("%d/%b/%Y:%H:%M:%S %z").unwrap();
        assert_eq!(f.parse("17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000_000_000));
        assert_eq!(f.parse("17/May/2015:10:05:03"), Some(1_431_857_103_000_000_000));
        assert_eq!(f.parse("17/May/2015:10:05:03 x"), None);
        assert!(TimeFormat::parse_name("%Q").is_err());
    }

    #[test]
    fn plain_formats_are_read_as_any_format() {
        let slow = |format: &str, text: &str| {
            let tm = jiff::fmt::strtime::parse(format, text).ok()?;
            tm.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp().as_nanosecond() as i64)
        };
        let dates = ["2020-06-10", "2024-02-29", "2023-02-29", "1969-12-31", "0001-01-01", "2020-13-01", "2020-6-1"];
        let times = [
            "02:51:03",
            "23:59:59",
            "23:59:60",
            "24:00:00",
            "2:51:03",
            "02:51:03.6",
            "02:51:03.642",
            "02:51:03.123456789",
            "02:51:03.1234567891",
            "02:51:03.",
            "02:51:03.x",
            "02:51:03Z",
            "02:51",
            "02:5a:03",
        ];
        let mut fast = 0;
        for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f"] {
            for (date, time, between) in
                dates.iter().flat_map(|d| times.iter().flat_map(move |t| [(d, t, " "), (d, t, "T"), (d, t, "é")]))
            {
                let text = format!("{date}{between}{time}");
                if let Some(ns) = plain(format, &text) {
                    fast += 1;
                    // Years that nanoseconds cannot hold are `None` in both.
                    assert_eq!(slow(format, &text), Some(ns), "{format} {text}");
                }
            }
        }
        assert_eq!(fast, 30);
        assert_eq!(plain("%Y-%m-%d %H:%M", "2020-06-10 02:51"), None);
    }

    #[test]
    fn every_format_is_written_as_it_is_read() {
        for (format, text) in [
            ("rfc3339", "2026-03-01T12:00:00Z"),
            ("rfc3339", "2026-03-01T12:00:00.100Z"),
            ("rfc3339", "2026-03-01T12:00:00.000001Z"),
            ("cloudflare", "1969-12-31T23:59:59.999999999Z"),
            ("unix", "1565807105"),
            ("unix", "-1.5"),
            ("unix_ms", "1565807105721"),
            ("unix_us", "1565807105721.001"),
            ("unix_ns", "-7"),
            ("%d/%b/%Y:%H:%M:%S %z", "17/May/2015:10:05:03 +0000"),
        ] {
            let f = TimeFormat::parse_name(format).unwrap();
            let mut out = String::from("x");
            let number = f.write(f.parse(text).unwrap(), &mut out);
            assert_eq!((&out[1..], number), (text, format.starts_with("unix")), "{format}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        assert_eq!(rfc3339_ms(1_431_857_103_007), "2015-05-17T10:05:03.007Z");
        assert_eq!(text_ns(1_431_857_103_000_000_001), "2015-05-17 10:05:03.000000001");
        assert_eq!(text_ms(-1), "1969-12-31 23:59:59.999000000");
    }
}
