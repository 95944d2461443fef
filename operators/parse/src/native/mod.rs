//! Native parsers: formats that no declarative parser describes well, written in code and named in a schema with
//! `parser: { native: { name: … } }`.
//!
//! A native parser turns a line into a [`FlatMap`]; the schema then types it, like the output of every other text
//! parser. State (a header, a `#fields` line) lives in the stream, which lives for one split of the input.
use crate::flat::FlatMap;

mod alb;
mod auditd;
mod clock;
mod columns;
mod fortigate;
mod s3_access;
mod syslog;
mod syslog_rfc3164;
mod syslog_rfc5424;
mod sysmon_linux;
#[cfg(test)]
mod testing;
mod vpcflow;
mod web_access;

/// A format, as listed in [`all`].
pub trait Native: Send + Sync {
    /// Name in the schema: lower case, the format's own word (`vpcflow`, `syslog_rfc3164`).
    fn name(&self) -> &'static str;
    /// A parser with fresh state.
    fn new_stream(&self) -> Box<dyn NativeStream>;
}

/// A parser on one stream of lines.
pub trait NativeStream: Send {
    /// The epoch's clock (milliseconds since 1970) for the lines that follow: called before the lines of a batch. Only
    /// formats whose times have no year look at it.
    fn clock(&mut self, _now_ms: i64) {}
    /// Parse a line (trimmed, not empty) into `out`, which is empty.
    ///
    /// `header` is the first line of the stream where its type has lines; it stays available in the middle of a file,
    /// where this stream never saw it go by. `Ok(Some(()))`: an event. `Ok(None)`: a header or comment line, matched
    /// but no event. `Err`: not this format, with the reason for a person; what is in `out` is then ignored.
    fn parse(&mut self, line: &str, header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String>;
}

/// Every native parser, in order of name.
pub fn all() -> &'static [&'static dyn Native] {
    ALL
}

/// The native parser of this name.
pub fn find(name: &str) -> Option<&'static dyn Native> {
    ALL.iter().copied().find(|n| n.name() == name)
}

static ALL: &[&dyn Native] = &[
    &alb::Alb,
    &web_access::ApacheCombined,
    &auditd::Auditd,
    &fortigate::FortiGate,
    &web_access::NginxAccess,
    &s3_access::S3Access,
    &syslog_rfc3164::Rfc3164,
    &syslog_rfc5424::Rfc5424,
    &sysmon_linux::SysmonLinux,
    &vpcflow::VpcFlow,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, n) in all().iter().enumerate() {
            assert!(all()[..i].iter().all(|o| o.name() < n.name()), "{} is out of order or twice", n.name());
            assert_eq!(find(n.name()).map(|f| f.name()), Some(n.name()));
        }
        assert!(find("no such format").is_none());
    }
}
