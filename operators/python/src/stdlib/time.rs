//! `datetime` and `time`. The only clock is the one that the evaluation was given; local time is UTC.

use super::{Lib, civil, strptime};
use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::ops::{Bin, float_of, int_of};
use crate::repr::str_repr;
use crate::value::{Type, Value};

const DAY: i64 = 86_400_000_000;

/// A fixed distance from UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of UTC.
    pub offset: i64,
    /// Its name, if it was given one.
    pub name: Option<String>,
}

impl Zone {
    /// `timezone.utc`.
    pub fn utc() -> Zone {
        Zone { offset: 0, name: None }
    }

    /// `str(zone)`.
    pub fn text(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None if self.offset == 0 => "UTC".into(),
            None => format!("UTC{}", offset_text(self.offset, true)),
        }
    }
}

fn offset_text(offset: i64, colon: bool) -> String {
    let n = offset.abs();
    let sign = if offset < 0 { '-' } else { '+' };
    let colon = if colon { ":" } else { "" };
    let seconds = if n % 60 != 0 { format!("{colon}{:02}", n % 60) } else { String::new() };
    format!("{sign}{:02}{colon}{:02}{seconds}", n / 3600, n / 60 % 60)
}

/// A `datetime`, or a `date`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Microseconds of the wall clock since 1970.
    pub micros: i64,
    /// Its zone; none: naive.
    pub zone: Option<Zone>,
    /// True for a `date`.
    pub date: bool,
}

impl DateTime {
    /// The first one.
    pub const MIN: DateTime = DateTime { micros: -62_135_596_800_000_000, zone: None, date: false };
    /// The last one.
    pub const MAX: DateTime = DateTime { micros: 253_402_300_799_999_999, zone: None, date: false };

    /// Microseconds since 1970 in UTC.
    pub fn instant(&self) -> i64 {
        self.micros - self.zone.as_ref().map_or(0, |z| z.offset * 1_000_000)
    }

    /// Year, month, day.
    pub fn day(&self) -> (i64, i64, i64) {
        civil::date(self.micros.div_euclid(DAY))
    }

    /// Hour, minute, second, microsecond.
    pub fn clock(&self) -> (i64, i64, i64, i64) {
        let t = self.micros.rem_euclid(DAY);
        (t / 3_600_000_000, t / 60_000_000 % 60, t / 1_000_000 % 60, t % 1_000_000)
    }

    fn weekday(&self) -> i64 {
        (self.micros.div_euclid(DAY) + 3).rem_euclid(7)
    }

    fn year_day(&self) -> i64 {
        let (y, ..) = self.day();
        self.micros.div_euclid(DAY) - civil::days(y, 1, 1) + 1
    }
}

fn value(d: DateTime) -> Value {
    Value::lib(Lib::DateTime(d))
}

fn in_range(micros: i128, zone: Option<Zone>, date: bool) -> R<Value> {
    match i64::try_from(micros) {
        Ok(micros) if (DateTime::MIN.micros..=DateTime::MAX.micros).contains(&micros) => {
            Ok(value(DateTime { micros, zone, date }))
        }
        _ => raise(Kind::OverflowError, "date value out of range"),
    }
}

/// Functions of `time`.
pub static TIME: &[NativeFn] = &[
    NativeFn { name: "time", call: |vm, _| Ok(Value::Float(vm.clock as f64 / 1e6)) },
    NativeFn { name: "mktime", call: mktime },
];

fn mktime(_: &mut Vm, args: Args) -> R<Value> {
    args.check("mktime", 1, 1)?;
    let Value::Tuple(t) = &args.pos[0] else { return unknown("time.mktime of this") };
    let plain = |v: &Value| int_of(v).is_some_and(|i| i.abs() < 1_000_000);
    if t.0.len() != 9 || !t.0.iter().all(plain) {
        return unknown("time.mktime of this");
    }
    let part = |i: usize| t.0.get(i).and_then(int_of).unwrap_or(0) as i64;
    let days = civil::days(part(0), part(1), part(2));
    Ok(Value::Float((days * 86_400 + part(3) * 3_600 + part(4) * 60 + part(5)) as f64))
}

/// Methods of a `datetime`.
pub const METHODS: &[&str] = &[
    "isoformat",
    "strftime",
    "timestamp",
    "timetuple",
    "date",
    "replace",
    "weekday",
    "isoweekday",
    "utcoffset",
    "astimezone",
    "total_seconds",
    "ctime",
    "time",
    "toordinal",
    "tzname",
];
/// Methods of its class.
pub const CLASS_METHODS: &[&str] =
    &["now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "fromisoformat", "strptime"];

/// Build a date and time of its parts.
///
/// # Errors
/// `ValueError` for a part out of range.
pub fn of_parts(parts: [i64; 7], zone: Option<Zone>, date: bool) -> R<DateTime> {
    let [y, mo, d, h, mi, s, us] = parts;
    if !(1..=9999).contains(&y) {
        return value_error(format!("year {y} is out of range"));
    }
    if !(1..=12).contains(&mo) {
        return value_error("month must be in 1..12");
    }
    if d < 1 || d > civil::month_days(y, mo) {
        return value_error("day is out of range for month");
    }
    for (v, most, name) in [(h, 23, "hour"), (mi, 59, "minute"), (s, 59, "second"), (us, 999_999, "microsecond")] {
        if !(0..=most).contains(&v) {
            return value_error(format!("{name} must be in 0..{most}"));
        }
    }
    let micros = civil::days(y, mo, d) * DAY + ((h * 60 + mi) * 60 + s) * 1_000_000 + us;
    Ok(DateTime { micros, zone, date })
}

fn int(v: &Value) -> R<i64> {
    match int_of(v).and_then(|i| i64::try_from(i).ok()) {
        Some(i) => Ok(i),
        None => type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
    }
}

fn zone_of(v: Option<&Value>) -> R<Option<Zone>> {
    match v {
        None | Some(Value::None) => Ok(None),
        Some(Value::Lib(l)) => match &**l {
            Lib::Zone(z) => Ok(Some(z.clone())),
            _ => type_error("tzinfo argument must be None or of a tzinfo subclass"),
        },
        Some(Value::Missing(name)) => unknown(format!("`{name}` is not available")),
        Some(v) => {
            type_error(format!("tzinfo argument must be None or of a tzinfo subclass, not type '{}'", v.type_name()))
        }
    }
}

const PARTS: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];

/// `datetime(…)`, `date(…)`.
///
/// # Errors
/// `TypeError`, `ValueError` for the parts.
pub fn construct(of: Type, args: Args) -> R<Value> {
    let date = of == Type::Date;
    let names: Vec<&str> = PARTS.into_iter().chain(["tzinfo"]).collect();
    args.check_named(of.name(), 3, if date { 3 } else { 8 }, if date { &names[..3] } else { &names })?;
    let mut parts = [0; 7];
    for (i, name) in PARTS.iter().enumerate() {
        match args.get(i, name) {
            Some(v) => parts[i] = int(v)?,
            None if i < 3 => return type_error(format!("function missing required argument '{name}' (pos {})", i + 1)),
            None => {}
        }
    }
    of_parts(parts, zone_of(args.get(7, "tzinfo"))?, date).map(value)
}

/// `timedelta(…)`.
///
/// # Errors
/// `TypeError` for parts that are no numbers.
pub fn delta(args: Args) -> R<Value> {
    const NAMES: [&str; 7] = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
    const UNITS: [i128; 7] = [86_400_000_000, 1_000_000, 1, 1_000, 60_000_000, 3_600_000_000, 604_800_000_000];
    args.check_named("timedelta", 0, 7, &NAMES)?;
    let mut total = 0i128;
    let mut fraction = 0.0;
    for (i, name) in NAMES.iter().enumerate() {
        match args.get(i, name) {
            None => {}
            Some(Value::Float(f)) => {
                if !f.is_finite() || f.abs() > 1e15 {
                    return unknown("a timedelta of a float this large");
                }
                total += f.trunc() as i128 * UNITS[i];
                fraction += f.fract() * UNITS[i] as f64;
            }
            Some(v) => match int_of(v) {
                Some(n) => match n.checked_mul(UNITS[i]) {
                    Some(n) if n.abs() < 1 << 120 => total += n,
                    _ => return unknown("a timedelta beyond 120 bits"),
                },
                None => {
                    return type_error(format!("unsupported type for timedelta {name} component: {}", v.type_name()));
                }
            },
        }
    }
    limited(total + fraction.round_ties_even() as i128)
}

fn times(micros: i128, by: &Value) -> R<Value> {
    match micros.checked_mul(int_of(by).unwrap_or(0)) {
        Some(micros) => limited(micros),
        None => unknown("a timedelta beyond 128 bits"),
    }
}

fn limited(micros: i128) -> R<Value> {
    let days = micros.div_euclid(i128::from(DAY));
    if days.abs() > 999_999_999 {
        return raise(Kind::OverflowError, format!("days={days}; must have magnitude <= 999999999"));
    }
    Ok(Value::lib(Lib::Delta(micros)))
}

/// `timezone(offset, name)`.
///
/// # Errors
/// `TypeError` without a timedelta.
pub fn zone(args: Args) -> R<Value> {
    args.check("timezone", 1, 2)?;
    match &args.pos[0] {
        Value::Lib(l) => match &**l {
            Lib::Delta(d) if d.abs() >= i128::from(DAY) => {
                value_error("offset must be a timedelta strictly between -timedelta(hours=24) and timedelta(hours=24).")
            }
            Lib::Delta(d) if d % 1_000_000 != 0 => unknown("a time zone with microseconds"),
            Lib::Delta(d) => Ok(Value::lib(Lib::Zone(Zone { offset: (*d / 1_000_000) as i64, name: None }))),
            _ => type_error("timezone() argument 1 must be datetime.timedelta"),
        },
        v => type_error(format!("timezone() argument 1 must be datetime.timedelta, not {}", v.type_name())),
    }
}

/// Seconds of a `timedelta`.
pub fn seconds_of(micros: i128) -> f64 {
    micros as f64 / 1e6
}

/// An attribute of a `timedelta`.
pub fn delta_attribute(micros: i128, name: &str) -> Option<Value> {
    let day = i128::from(DAY);
    Some(Value::Int(match name {
        "days" => micros.div_euclid(day),
        "seconds" => micros.rem_euclid(day) / 1_000_000,
        "microseconds" => micros.rem_euclid(1_000_000),
        _ => return None,
    }))
}

/// `str(timedelta)`.
pub fn delta_text(micros: i128) -> String {
    let day = i128::from(DAY);
    let (days, rest) = (micros.div_euclid(day), micros.rem_euclid(day));
    let (s, us) = (rest / 1_000_000, rest % 1_000_000);
    let mut out = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        d => format!("{d} days, "),
    };
    out.push_str(&format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60));
    if us != 0 {
        out.push_str(&format!(".{us:06}"));
    }
    out
}

/// `repr(timedelta)`.
pub fn delta_repr(micros: i128) -> String {
    let mut parts = Vec::new();
    for name in ["days", "seconds", "microseconds"] {
        if let Some(Value::Int(i)) = delta_attribute(micros, name)
            && i != 0
        {
            parts.push(format!("{name}={i}"));
        }
    }
    format!("datetime.timedelta({})", if parts.is_empty() { "0".into() } else { parts.join(", ") })
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

/// An attribute of a `datetime`.
pub fn attribute(d: &DateTime, name: &str) -> Option<Value> {
    let (y, mo, day) = d.day();
    let (h, mi, s, us) = d.clock();
    Some(Value::Int(i128::from(match name {
        "year" => y,
        "month" => mo,
        "day" => day,
        "tzinfo" if !d.date => return Some(d.zone.clone().map_or(Value::None, |z| Value::lib(Lib::Zone(z)))),
        "hour" if !d.date => h,
        "minute" if !d.date => mi,
        "second" if !d.date => s,
        "microsecond" if !d.date => us,
        _ => return None,
    })))
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

/// Call a method of a `datetime`.
///
/// # Errors
/// What the method raises; unknown for one that is not built.
pub fn method(d: &DateTime, name: &str, args: Args) -> R<Value> {
    match name {
        "isoformat" => {
            args.check_named("isoformat", 0, 1, &["sep"])?;
            let separator = match args.get(0, "sep") {
                None => 'T',
                Some(Value::Str(s)) if s.chars().count() == 1 => s.chars().next().unwrap_or('T'),
                _ => return unknown("this separator of isoformat()"),
            };
            Ok(Value::str(iso(d, separator)))
        }
        "strftime" => match args.pos {
            [Value::Str(f)] => strftime(d, f).map(Value::str),
            _ => type_error("strftime() argument 1 must be str"),
        },
        "timestamp" if !d.date => Ok(Value::Float(d.instant() as f64 / 1e6)),
        "weekday" => Ok(Value::Int(d.weekday().into())),
        "isoweekday" => Ok(Value::Int((d.weekday() + 1).into())),
        "toordinal" => Ok(Value::Int(i128::from(d.micros.div_euclid(DAY)) + 719_163)),
        "date" if !d.date => Ok(value(DateTime { micros: d.micros.div_euclid(DAY) * DAY, zone: None, date: true })),
        "timetuple" => {
            let ((y, mo, day), (h, mi, s, _)) = (d.day(), d.clock());
            let parts = [y, mo, day, h, mi, s, d.weekday(), d.year_day(), -1];
            Ok(Value::tuple(parts.iter().map(|p| Value::Int((*p).into())).collect()))
        }
        "replace" => {
            let ((y, mo, day), (h, mi, s, us)) = (d.day(), d.clock());
            let mut parts = [y, mo, day, h, mi, s, us];
            for (i, name) in PARTS.iter().enumerate() {
                if let Some(v) = args.get(i, name) {
                    parts[i] = int(v)?;
                }
            }
            let zone = match args.kw("tzinfo") {
                None => d.zone.clone(),
                some => zone_of(some)?,
            };
            of_parts(parts, zone, d.date).map(value)
        }
        "utcoffset" => {
            Ok(d.zone.as_ref().map_or(Value::None, |z| Value::lib(Lib::Delta(i128::from(z.offset) * 1_000_000))))
        }
        "astimezone" => {
            let zone = match zone_of(args.pos.first())? {
                Some(zone) => zone,
                None => Zone::utc(),
            };
            let micros = d.instant() + zone.offset * 1_000_000;
            Ok(value(DateTime { micros, zone: Some(zone), date: false }))
        }
        _ => unknown(format!("datetime.{name}()")),
    }
}

/// Call a method of the class.
///
/// # Errors
/// What the method raises; unknown for one that is not built.
pub fn class_method(vm: &mut Vm, of: Type, name: &str, args: Args) -> R<Value> {
    let date = of == Type::Date;
    match (of, name) {
        (Type::DateTime, "now") | (Type::DateTime | Type::Date, "today") | (Type::DateTime, "utcnow") => {
            let zone = zone_of(args.get(0, "tz"))?;
            let mut micros = vm.clock + zone.as_ref().map_or(0, |z| z.offset * 1_000_000);
            if date {
                micros = micros.div_euclid(DAY) * DAY;
            }
            Ok(value(DateTime { micros, zone, date }))
        }
        (Type::DateTime, "fromtimestamp" | "utcfromtimestamp") => {
            let Some(f) = args.pos.first().and_then(float_of) else {
                return match args.pos.first() {
                    Some(v) => type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
                    None => type_error("fromtimestamp() missing required argument 'timestamp' (pos 1)"),
                };
            };
            if f.is_nan() {
                return value_error("Invalid value NaN (not a number)");
            }
            let zone = if name == "utcfromtimestamp" { None } else { zone_of(args.get(1, "tz"))? };
            let (whole, fraction) = (f.floor(), f - f.floor());
            let micros = whole * 1e6 + (fraction * 1e6).round_ties_even();
            if micros.abs() > 9e18 || !(DateTime::MIN.micros as f64..=DateTime::MAX.micros as f64).contains(&micros) {
                let year = (f / 31_556_952.0 + 1970.0).trunc();
                return if year.abs() < 1e9 {
                    value_error(format!("year {year} is out of range"))
                } else {
                    raise(Kind::OverflowError, "timestamp out of range for platform time_t")
                };
            }
            let offset = zone.as_ref().map_or(0, |z| z.offset * 1_000_000);
            Ok(value(DateTime { micros: micros as i64 + offset, zone, date: false }))
        }
        (_, "fromisoformat") => match args.pos {
            [Value::Str(text)] => match parse_iso(text)? {
                Some(d) if date => Ok(value(DateTime { micros: d.micros.div_euclid(DAY) * DAY, zone: None, date })),
                Some(d) => Ok(value(d)),
                None => value_error(format!("Invalid isoformat string: {}", str_repr(text))),
            },
            _ => type_error("fromisoformat: argument must be str"),
        },
        (Type::DateTime, "strptime") => match args.pos {
            [Value::Str(text), Value::Str(format)] => strptime::strptime(vm, text, format).map(value),
            [Value::Str(_), v] | [v, _] => {
                let at = if matches!(args.pos[0], Value::Str(_)) { 1 } else { 0 };
                let name = if v.is_none() { "None".into() } else { v.type_name() };
                type_error(format!("strptime() argument {} must be str, not {name}", at + 1))
            }
            _ => type_error(format!("strptime() takes exactly 2 arguments ({} given)", args.pos.len())),
        },
        // An unbound method: datetime.isoformat(x).
        _ => match args.pos.split_first() {
            Some((Value::Lib(l), rest)) => match &**l {
                Lib::DateTime(d) => method(d, name, Args { pos: rest, kw: args.kw }),
                _ => unknown(format!("{}.{name}()", of.name())),
            },
            _ => unknown(format!("{}.{name}()", of.name())),
        },
    }
}

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

/// `+` and `-` of times.
///
/// # Errors
/// `OverflowError` out of range, `TypeError` for naive with aware.
pub fn binary(op: Bin, a: &Value, b: &Value) -> R<Option<Value>> {
    let lib = |v: &Value| match v {
        Value::Lib(l) => Some(l.clone()),
        _ => None,
    };
    let (x, y) = (lib(a), lib(b));
    Ok(Some(match (op, x.as_deref(), y.as_deref()) {
        (Bin::Add | Bin::Sub, Some(Lib::DateTime(d)), Some(Lib::Delta(t))) => {
            let by = if op == Bin::Add { *t } else { -*t };
            let by = if d.date { by.div_euclid(i128::from(DAY)) * i128::from(DAY) } else { by };
            in_range(i128::from(d.micros) + by, d.zone.clone(), d.date)?
        }
        (Bin::Add, Some(Lib::Delta(t)), Some(Lib::DateTime(d))) => {
            let by = if d.date { t.div_euclid(i128::from(DAY)) * i128::from(DAY) } else { *t };
            in_range(i128::from(d.micros) + by, d.zone.clone(), d.date)?
        }
        (Bin::Sub, Some(Lib::DateTime(x)), Some(Lib::DateTime(y))) => {
            if x.date != y.date {
                return Ok(None);
            }
            if x.zone.is_some() != y.zone.is_some() {
                return type_error("can't subtract offset-naive and offset-aware datetimes");
            }
            Value::lib(Lib::Delta(i128::from(x.instant()) - i128::from(y.instant())))
        }
        (Bin::Add, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => limited(x + y)?,
        (Bin::Sub, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => limited(x - y)?,
        (Bin::Mul, Some(Lib::Delta(x)), None) if int_of(b).is_some() => times(*x, b)?,
        (Bin::Mul, None, Some(Lib::Delta(y))) if int_of(a).is_some() => times(*y, a)?,
        (Bin::Div, Some(Lib::Delta(_)), Some(Lib::Delta(0))) => {
            return raise(Kind::ZeroDivisionError, "division by zero");
        }
        (Bin::Div, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => Value::Float(*x as f64 / *y as f64),
        (Bin::Mul | Bin::Div | Bin::FloorDiv | Bin::Mod, Some(Lib::Delta(_)), _) => {
            return unknown("this operator on a timedelta");
        }
        _ => return Ok(None),
    }))
}
