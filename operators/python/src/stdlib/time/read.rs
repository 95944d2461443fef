//! Times of text in the ISO form.

use super::super::strptime;
use super::{DateTime, Zone, of_parts};
use crate::exc::{R, unknown};

/// A time in the extended ISO form, as Python 3.11 reads it; `None` if it is none.
///
/// # Errors
/// Unknown for the basic form and for week dates; `ValueError` for parts out of range.
pub fn parse_iso(text: &str) -> R<Option<DateTime>> {
    let b = text.as_bytes();
    let digits = |from: usize, n: usize| -> Option<i64> {
        let part = text.get(from..from + n)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    if b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') {
        let basic = text.len() >= 7
            && text.bytes().take(4).all(|b| b.is_ascii_digit())
            && (text.contains('W') || digits(0, 8).is_some());
        return if basic { unknown("a date in the basic ISO form") } else { Ok(None) };
    }
    let (Some(y), Some(mo), Some(d)) = (digits(0, 4), digits(5, 2), digits(8, 2)) else { return Ok(None) };
    let mut parts = [y, mo, d, 0, 0, 0, 0];
    if b.len() == 10 {
        return of_parts(parts, None, false).map(Some);
    }
    let Some(separator) = text[10..].chars().next() else { return Ok(None) };
    let mut at = 10 + separator.len_utf8();
    for i in 0..3 {
        if i > 0 {
            if b.get(at) != Some(&b':') {
                break;
            }
            at += 1;
        }
        let Some(n) = digits(at, 2) else { return Ok(None) };
        parts[3 + i] = n;
        at += 2;
        if i == 0 && b.get(at).is_some_and(u8::is_ascii_digit) {
            return unknown("a time in the basic ISO form");
        }
    }
    if matches!(b.get(at), Some(b'.' | b',')) {
        let start = at + 1;
        at = start;
        while b.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == start {
            return Ok(None);
        }
        let micros: String = text[start..at].chars().chain("000000".chars()).take(6).collect();
        parts[6] = micros.parse().unwrap_or(0);
    }
    let zone = match text.get(at..) {
        None | Some("") => None,
        Some("Z") => Some(Zone::utc()),
        Some(zone) => match strptime::offset(zone) {
            Some(offset) => Some(Zone { offset, name: None }),
            None => return Ok(None),
        },
    };
    of_parts(parts, zone, false).map(Some)
}
