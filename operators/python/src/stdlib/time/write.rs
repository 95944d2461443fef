//! Times as text.

use super::{DateTime, Zone};
use crate::exc::{R, unknown};

pub(super) fn offset_text(offset: i64, colon: bool) -> String {
    let n = offset.abs();
    let sign = if offset < 0 { '-' } else { '+' };
    let colon = if colon { ":" } else { "" };
    let seconds = if n % 60 != 0 { format!("{colon}{:02}", n % 60) } else { String::new() };
    format!("{sign}{:02}{colon}{:02}{seconds}", n / 3600, n / 60 % 60)
}

/// `isoformat()` with a separator.
pub fn iso(d: &DateTime, separator: char) -> String {
    let (y, mo, day) = d.day();
    if d.date {
        return format!("{y:04}-{mo:02}-{day:02}");
    }
    let (h, mi, s, us) = d.clock();
    let micros = if us != 0 { format!(".{us:06}") } else { String::new() };
    let zone = d.zone.as_ref().map_or(String::new(), |z| offset_text(z.offset, true));
    format!("{y:04}-{mo:02}-{day:02}{separator}{h:02}:{mi:02}:{s:02}{micros}{zone}")
}

/// `repr(datetime)`.
///
/// # Errors
/// Unknown with a zone.
pub fn repr(d: &DateTime) -> R<String> {
    let (y, mo, day) = d.day();
    if d.date {
        return Ok(format!("datetime.date({y}, {mo}, {day})"));
    }
    let (h, mi, s, us) = d.clock();
    let mut parts = vec![y, mo, day, h, mi];
    if s != 0 || us != 0 {
        parts.push(s);
    }
    if us != 0 {
        parts.push(us);
    }
    let list: Vec<String> = parts.iter().map(i64::to_string).collect();
    match &d.zone {
        None => Ok(format!("datetime.datetime({})", list.join(", "))),
        Some(z) if z.offset == 0 && z.name.is_none() => {
            Ok(format!("datetime.datetime({}, tzinfo=datetime.timezone.utc)", list.join(", ")))
        }
        Some(_) => unknown("repr() of a datetime with a zone"),
    }
}

/// Names of months and days, as `strftime` and `strptime` have them in the C locale.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days from Monday.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// `strftime`.
///
/// # Errors
/// Unknown for a letter that is not built.
pub fn strftime(d: &DateTime, format: &str) -> R<String> {
    let ((y, mo, day), (h, mi, s, us)) = (d.day(), d.clock());
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let hour12 = if h % 12 == 0 { 12 } else { h % 12 };
        out.push_str(&match chars.next() {
            // The C library writes a year below 1000 without zeros.
            Some('Y') => y.to_string(),
            Some('m') => format!("{mo:02}"),
            Some('d') => format!("{day:02}"),
            Some('H') => format!("{h:02}"),
            Some('I') => format!("{hour12:02}"),
            Some('M') => format!("{mi:02}"),
            Some('S') => format!("{s:02}"),
            Some('f') => format!("{us:06}"),
            Some('y') => format!("{:02}", y % 100),
            Some('j') => format!("{:03}", d.year_day()),
            Some('p') => if h < 12 { "AM" } else { "PM" }.into(),
            Some('b' | 'h') => MONTHS[mo as usize - 1][..3].into(),
            Some('B') => MONTHS[mo as usize - 1].into(),
            Some('a') => DAYS[d.weekday() as usize][..3].into(),
            Some('A') => DAYS[d.weekday() as usize].into(),
            Some('w') => ((d.weekday() + 1) % 7).to_string(),
            Some('u') => (d.weekday() + 1).to_string(),
            Some('F') => format!("{y}-{mo:02}-{day:02}"),
            Some('T') => format!("{h:02}:{mi:02}:{s:02}"),
            Some('z') => d.zone.as_ref().map_or(String::new(), |z| offset_text(z.offset, false)),
            Some('Z') => d.zone.as_ref().map_or(String::new(), Zone::text),
            // The C library takes the wall clock for local time, which is UTC here.
            Some('s') => d.micros.div_euclid(1_000_000).to_string(),
            Some('%') => "%".into(),
            other => return unknown(format!("%{} in strftime", other.unwrap_or(' '))),
        });
    }
    Ok(out)
}
