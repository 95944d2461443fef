//! BSD syslog (RFC 3164) as it is met in files and on the wire, read with best effort:
//! `<13>Mar  6 04:07:28 host app[42]: message`.
//!
//! Every part but the message may be missing. Files usually lack the priority, which then is 13 as a relay would put
//! it (section 4.3.3). RFC 3339 times are read too (rsyslog's default since 2009), and the variant of ChromeOS, where
//! a word for the severity stands in place of the host. A time without a year gets one from the epoch's clock.
use super::{Native, NativeStream, clock, columns, syslog};
use crate::flat::FlatMap;

/// `Syslog.RFC3164`.
pub struct Rfc3164;

impl Native for Rfc3164 {
    fn name(&self) -> &'static str {
        "syslog_rfc3164"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(Rfc3164Stream::default())
    }
}

#[derive(Default)]
struct Rfc3164Stream {
    now_ms: i64,
    time: String,
}

impl NativeStream for Rfc3164Stream {
    fn clock(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let (given, rest) = match syslog::priority(line) {
            Some((priority, rest)) => (Some(priority), rest.trim_start()),
            None => (None, line),
        };
        if given.is_some() && is_versioned(rest) {
            return Err("a version follows the priority: this is RFC 5424".into());
        }
        let head = self.time(rest, given.is_some())?;
        let mut severity = None;
        let mut content = head.rest;
        let mut host = "";
        if head.host_follows {
            let (word, after) = content.split_once(' ').unwrap_or((content, ""));
            severity = syslog::severity(word).filter(|_| given.is_none());
            if head.rfc3339 && given.is_none() && is_container_runtime(word, after) {
                return Err("a line of a container runtime's log, not of syslog".into());
            } else if severity.is_some() {
                content = after.trim_start();
            } else if syslog::tag(content).is_none() {
                (host, content) = (word, after.trim_start());
            }
        }
        let tag = syslog::tag(content);
        let mut message = tag.map_or(content, |t| t.message);
        if let Some((word, after)) = message.trim_start().strip_prefix('<').and_then(|m| m.split_once(">:"))
            && tag.is_some()
            && given.is_none()
            && let Some(found) = syslog::severity(word)
        {
            (severity, message) = (Some(found), after);
        }
        let default = syslog::DEFAULT_PRIORITY;
        syslog::put_priority(out, given.unwrap_or(severity.map_or(default, |s| default / 8 * 8 + s)));
        columns::text(out, "timestamp", head.time);
        columns::text(out, "hostname", host);
        if let Some(tag) = tag {
            out.put("appname", tag.name);
            columns::text(out, "procid", tag.pid);
        }
        syslog::put_message(out, message);
        Ok(Some(()))
    }
}

/// What stands before the host.
struct Head<'a> {
    /// RFC 3339, or empty.
    time: &'a str,
    rfc3339: bool,
    rest: &'a str,
    /// False where the line goes straight to its tag or message.
    host_follows: bool,
}

impl Rfc3164Stream {
    /// Read the time. A line must have one unless it has a priority.
    fn time<'a>(&'a mut self, text: &'a str, has_priority: bool) -> Result<Head<'a>, String> {
        if let Some(time) = clock::rfc3339(text) {
            let rest = text[time.len()..].trim_start();
            return Ok(Head { time, rfc3339: true, rest, host_follows: true });
        }
        match clock::bsd(text, self.now_ms, &mut self.time) {
            Some(len) => {
                let rest = &text[len..];
                let host_follows = !rest.starts_with(':');
                let rest = rest.trim_start_matches(':').trim_start();
                Ok(Head { time: &self.time, rfc3339: false, rest, host_follows })
            }
            None if has_priority => Ok(Head { time: "", rfc3339: false, rest: text, host_follows: false }),
            None => Err("the line starts with neither a priority nor a time (`Mar  6 04:07:28` or RFC 3339)".into()),
        }
    }
}

/// True if `1 ` or `12 ` follows the priority.
fn is_versioned(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (1..=2).contains(&digits) && rest.as_bytes().get(digits) == Some(&b' ')
}

/// True for the log of a Kubernetes container runtime: `time stdout F message`.
fn is_container_runtime(stream: &str, after: &str) -> bool {
    matches!(stream, "stdout" | "stderr")
        && (after.starts_with("F ") || after.starts_with("P ") || matches!(after, "F" | "P"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    /// Priority, time, host, application, process, message of a line.
    fn read(line: &str) -> [String; 6] {
        let f = parse(&Rfc3164, line).unwrap().unwrap();
        ["priority", "timestamp", "hostname", "appname", "procid", "message"]
            .map(|n| field(&f, n).unwrap_or("").to_string())
    }

    #[test]
    fn reads_the_variants_in_use() {
        for (line, want) in [
            (
                "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                ["34", "2026-10-11T22:14:15Z", "mymachine", "su", "", "'su root' failed"],
            ),
            (
                "Jan  2 07:53:01 h.example.com CRON[31]: (root) CMD",
                ["13", "2026-01-02T07:53:01Z", "h.example.com", "CRON", "31", "(root) CMD"],
            ),
            (
                "Feb 29 01:15:43: --- last message repeated 5 times ---",
                ["13", "2024-02-29T01:15:43Z", "", "", "", "--- last message repeated 5 times ---"],
            ),
            (
                "Nov 18 08:30:20 kernel: [997.3] sda2: rw=0",
                ["13", "2026-11-18T08:30:20Z", "", "kernel", "", "[997.3] sda2: rw=0"],
            ),
            (
                "Jan 22 07:54:32 host Job `cron.daily' terminated",
                ["13", "2026-01-22T07:54:32Z", "host", "", "", "Job `cron.daily' terminated"],
            ),
            ("Mar 23 23:01:18.123 host app[1]:  x ", ["13", "2026-03-23T23:01:18.123Z", "host", "app", "1", "x"]),
            (
                "2026-10-25T12:37:25.007960-07:00 ERR kernel: [  316.5] ath",
                ["11", "2026-10-25T12:37:25.007960-07:00", "", "kernel", "", "[  316.5] ath"],
            ),
            (
                "Mar 11 19:26:45 mac fw[1985] <Info>: Allow",
                ["14", "2026-03-11T19:26:45Z", "mac", "fw", "1985", "Allow"],
            ),
            (
                "<15>2021-03-06T04:07:33.194677+00:00 host log_tag debug",
                ["15", "2021-03-06T04:07:33.194677+00:00", "host", "", "", "log_tag debug"],
            ),
            (
                "<189>Oct 11 22:14:15.003: %SYS-5-CONFIG_I: Configured",
                ["189", "2026-10-11T22:14:15.003Z", "", "%SYS-5-CONFIG_I", "", "Configured"],
            ),
            ("<86>sshd[7]: x", ["86", "", "", "sshd", "7", "x"]),
            ("<13>no time at all", ["13", "", "", "", "", "no time at all"]),
            ("<13>", ["13", "", "", "", "", ""]),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }

    #[test]
    fn other_formats_are_refused() {
        for line in [
            "<34>1 2003-10-11T22:14:15.003Z host su - ID47 - x",
            "2016-10-06T00:17:09.669794202Z stdout P log content 1",
            "MMM 22 07:54:32 host anacron[2]: x",
            "\tmany syslog parsers.",
            r#"{"message":"x"}"#,
        ] {
            assert!(parse(&Rfc3164, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,60}|(<[0-9]{1,3}>)?(Mar  6 04:07:28 |2021-03-06T04:07:33Z )?[a-zA-Z0-9:\\[\\]<> ]{0,40}") {
            let _ = parse(&Rfc3164, line.trim());
        }
    }
}
