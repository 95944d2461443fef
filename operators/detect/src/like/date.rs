//! Parts of a date as it is written: no time zone is applied, no other form is read.
//!
//! Source: Sigma specification 2.1, time modifiers ("not designed to handle timezone or format conversions"). Read is
//! `2026-03-01`, with a time behind a `T` or a space: `2026-03-01 09:20:00.123456000`.
use jiff::civil::Date;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    Day,
    /// Week of the ISO year, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// The year.
    Year,
}

impl DatePart {
    /// This part of a text, if the text is a date that has it.
    pub fn of(self, text: &str) -> Option<i32> {
        let b = text.as_bytes();
        let digits = |from: usize, n: usize| -> Option<i32> {
            let part = b.get(from..from + n)?;
            part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |v, d| v * 10 + i32::from(d - b'0')))
        };
        if b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') {
            return None;
        }
        let date = || Date::new(digits(0, 4)? as i16, digits(5, 2)? as i8, digits(8, 2)? as i8).ok();
        let date = date()?;
        // Behind the date is its end, or a time.
        let time = match b.get(10) {
            None => None,
            Some(b'T' | b't' | b' ') => match (digits(11, 2), b.get(13), digits(14, 2)) {
                (Some(hour @ 0..=23), Some(b':'), Some(minute @ 0..=59)) => Some((hour, minute)),
                _ => return None,
            },
            Some(_) => return None,
        };
        Some(match self {
            DatePart::Minute => time?.1,
            DatePart::Hour => time?.0,
            DatePart::Day => i32::from(date.day()),
            DatePart::Week => i32::from(date.iso_week_date().week()),
            DatePart::Month => i32::from(date.month()),
            DatePart::Year => i32::from(date.year()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DatePart::*;

    #[test]
    fn parts_as_written() {
        let t = "2026-03-01T23:59:58.5+05:00";
        let all = [Minute, Hour, Day, Week, Month, Year].map(|p| p.of(t));
        assert_eq!(all, [59, 23, 1, 9, 3, 2026].map(Some));
        assert_eq!((Hour.of("2026-03-01 07:00:00.000000000"), Hour.of("2026-03-01")), (Some(7), None));
        assert_eq!(Week.of("2026-01-01"), Some(1));
        for bad in ["", "2026", "2026-13-01", "2026-02-30", "2026-03-01x", "2026-03-01T24:00", "1772356800", "2026-3-1"]
        {
            assert_eq!(Year.of(bad), None, "{bad}");
        }
    }
}
