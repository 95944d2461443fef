//! `datetime` and `time`. The only clock is the one that the evaluation was given; local time is UTC.

use super::{Lib, civil};
use crate::exc::{R, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::ops::int_of;
use crate::value::{Type, Value};

mod class_methods;
mod delta;
mod read;
mod write;

pub use class_methods::{CLASS_METHODS, class_method};
pub use delta::{binary, delta, delta_attribute, delta_repr, delta_text, seconds_of};
pub use read::parse_iso;
use write::offset_text;
pub use write::{DAYS, MONTHS, iso, repr, strftime};

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
