//! Times as text logs write them, turned into RFC 3339 text that the schema's fast path reads.
//!
//! A time without a year takes it from the epoch's clock, never from the wall: the same epoch gives the same event
//! in a replay next year.
use model::time::{civil, rfc3339_ns};
use std::fmt::Write;

/// How far ahead of the epoch's clock an event without a year may be before it counts as last year's.
pub const MAX_AHEAD_MS: i64 = 31 * 86_400_000;

/// Number of a month's English short name, 1 to 12; any case.
pub fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let at = NAMES.chunks(3).position(|m| m.eq_ignore_ascii_case(name))?;
    Some(at as u32 + 1)
}

/// Value of all-digit bytes; `None` for anything else.
pub fn number(digits: &[u8]) -> Option<u32> {
    let ok = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    ok.then(|| digits.iter().fold(0, |n, d| n * 10 + (d - b'0') as u32))
}

/// Days of a month.
fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Read `hh:mm:ss` at the start of `b`, as the same text if it is a time of day (a leap second is allowed).
pub fn time_of_day(b: &[u8]) -> Option<(u32, u32, u32)> {
    if b.len() < 8 || b[2] != b':' || b[5] != b':' {
        return None;
    }
    let (h, m, s) = (number(&b[..2])?, number(&b[3..5])?, number(&b[6..8])?);
    (h < 24 && m < 60 && s <= 60).then_some((h, m, s))
}

/// The time of web servers and S3, `17/May/2015:10:05:03 +0000` (a one-digit day is allowed), as RFC 3339 into `out`.
pub fn httpd(text: &str, out: &mut String) -> Option<()> {
    let b = text.as_bytes();
    let day_len = b.iter().position(|c| *c == b'/').filter(|n| (1..=2).contains(n))?;
    let (day, b) = (number(&b[..day_len])?, &b[day_len..]);
    if b.len() != 24 || b[0] != b'/' || b[4] != b'/' || b[9] != b':' || b[18] != b' ' {
        return None;
    }
    let (month, year, (h, m, s)) = (month(&b[1..4])?, number(&b[5..9])?, time_of_day(&b[10..18])?);
    let (sign, zone_h, zone_m) = (b[19], number(&b[20..22])?, number(&b[22..24])?);
    if day == 0 || day > days_in(year, month) || !matches!(sign, b'+' | b'-') || zone_h > 23 || zone_m > 59 {
        return None;
    }
    let sign = sign as char;
    out.clear();
    write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{sign}{zone_h:02}:{zone_m:02}").ok()?;
    rfc3339_ns(out).map(|_| ())
}

/// The time of BSD syslog, `Mar  6 04:07:28`, at the start of `text`, as RFC 3339 (UTC) into `out`; a year before the
/// time of day and a fraction of the second are read where present. Returns the length of the time. `now_ms` is the
/// epoch's clock, for the year.
pub fn bsd(text: &str, now_ms: i64, out: &mut String) -> Option<usize> {
    let b = text.as_bytes();
    let month = month(b.get(..3)?)?;
    let mut at = 3 + spaces(b.get(3..)?)?;
    let day_len = digits(&b[at..]).min(3);
    let day = number(&b[at..at + day_len]).filter(|_| day_len <= 2)?;
    at += day_len;
    at += spaces(&b[at..])?;
    let mut year = None;
    if digits(&b[at..]) == 4 {
        year = number(&b[at..at + 4]);
        at += 4;
        at += spaces(&b[at..])?;
    }
    let (h, m, s) = time_of_day(&b[at..])?;
    at += 8;
    let fraction = match b.get(at) {
        Some(b'.') => 1 + digits(&b[at + 1..]),
        _ => 0,
    };
    let fraction = if (2..=10).contains(&fraction) { &text[at..at + fraction] } else { "" };
    at += fraction.len();
    let write_in = |year: u32, out: &mut String| -> Option<i64> {
        out.clear();
        write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{fraction}Z").ok()?;
        rfc3339_ns(out)
    };
    if let Some(year) = year {
        write_in(year, out)?;
        return Some(at);
    }
    // The latest year that has this day and is not too far ahead. February 29 may be up to eight years back.
    let this_year = u32::try_from(civil(now_ms.div_euclid(86_400_000)).0).ok()?;
    (this_year.saturating_sub(8)..=this_year).rev().find(|year| {
        day <= days_in(*year, month)
            && write_in(*year, out).is_some_and(|ns| ns.div_euclid(1_000_000) - now_ms <= MAX_AHEAD_MS)
    })?;
    Some(at)
}

/// The RFC 3339 time at the start of `text`, up to a space or the end; `T` is required.
pub fn rfc3339(text: &str) -> Option<&str> {
    let end = memchr::memchr(b' ', text.as_bytes()).unwrap_or(text.len());
    let time = &text[..end];
    (time.len() >= 20 && time.as_bytes()[10] == b'T' && rfc3339_ns(time).is_some()).then_some(time)
}

/// Number of leading spaces, at least one.
fn spaces(b: &[u8]) -> Option<usize> {
    Some(b.iter().take_while(|c| **c == b' ').count()).filter(|n| *n > 0)
}

fn digits(b: &[u8]) -> usize {
    b.iter().take_while(|c| c.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-24T00:00:00Z.
    const NOW: i64 = 1_795_478_400_000;

    #[test]
    fn reads_web_server_times() {
        let mut out = String::new();
        for (text, want) in [
            ("17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03+00:00"),
            ("2/jan/2006:15:04:05 -0730", "2006-01-02T15:04:05-07:30"),
            ("29/Feb/2024:00:00:60 +0000", "2024-02-29T00:00:60+00:00"),
        ] {
            assert_eq!(httpd(text, &mut out), Some(()), "{text}");
            assert_eq!(out, want);
            assert!(rfc3339_ns(&out).is_some(), "{out}");
        }
        for bad in [
            "29/Feb/2023:00:00:00 +0000",
            "00/May/2015:10:05:03 +0000",
            "17/Mai/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:05:03 0000",
            "",
            "/",
        ] {
            assert_eq!(httpd(bad, &mut out), None, "{bad}");
        }
    }

    #[test]
    fn reads_syslog_times() {
        let mut out = String::new();
        for (text, len, want) in [
            ("Mar  6 04:07:28 host", 15, "2026-03-06T04:07:28Z"),
            ("Mar 23 23:01:18.123 host", 19, "2026-03-23T23:01:18.123Z"),
            ("Feb 29 01:15:43: x", 15, "2024-02-29T01:15:43Z"),
            ("Jan 2 2021 03:04:05: %ASA", 19, "2021-01-02T03:04:05Z"),
            ("Mar 6 04:07:28.", 14, "2026-03-06T04:07:28Z"),
        ] {
            assert_eq!(bsd(text, NOW, &mut out), Some(len), "{text}");
            assert_eq!(out, want);
        }
        for bad in [
            "MMM 22 07:54:32",
            "Feb 30 01:15:43",
            "Feb 29 2023 01:15:43",
            "Mar 6 24:00:00",
            "Mar6 04:07:28",
            "Mar 123 04:07:28",
            "Ma",
            "",
        ] {
            assert_eq!(bsd(bad, NOW, &mut out), None, "{bad}");
        }
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_far_ahead() {
        let at = |now: &str| rfc3339_ns(now).unwrap() / 1_000_000;
        let mut out = String::new();
        for (now, text, year) in [
            ("2026-01-01T00:00:00Z", "Dec 31 23:59:59", "2025"),
            ("2026-12-31T23:59:59Z", "Jan  1 00:00:00", "2026"),
            ("2026-01-01T00:00:00Z", "Feb  1 00:00:00", "2026"),
            ("2026-01-01T00:00:00Z", "Feb  1 00:00:01", "2025"),
            ("2024-01-05T00:00:00Z", "Feb 29 00:00:00", "2020"),
            ("2024-02-05T00:00:00Z", "Feb 29 00:00:00", "2024"),
            ("2104-01-05T00:00:00Z", "Feb 29 00:00:00", "2096"),
        ] {
            assert_eq!(bsd(text, at(now), &mut out), Some(15), "{text} at {now}");
            assert_eq!(&out[..4], year, "{text} at {now}");
        }
    }

    #[test]
    fn finds_rfc3339_times() {
        assert_eq!(rfc3339("2016-10-25T12:37:23.297265-07:00 INFO x"), Some("2016-10-25T12:37:23.297265-07:00"));
        assert_eq!(rfc3339("2016-10-25 12:37:23Z x"), None);
        assert_eq!(rfc3339("2016-10-25T12:37:23 x"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(
            text in "\\PC{0,40}|(Mar|Feb) [0-9 :.]{0,20}|[0-9/A-Za-z]{0,12}:[0-9: +]{0,16}",
            now in any::<i64>(),
        ) {
            let mut out = String::new();
            if bsd(&text, now, &mut out).is_some() {
                prop_assert!(rfc3339_ns(&out).is_some(), "{} from {}", out, text);
            }
            if httpd(&text, &mut out).is_some() {
                prop_assert!(rfc3339_ns(&out).is_some(), "{} from {}", out, text);
            }
            let _ = rfc3339(&text);
        }
    }
}
