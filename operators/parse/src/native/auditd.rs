//! Records of the Linux audit system, as auditd writes them:
//! `type=EXECVE msg=audit(1772356800.123:4711): argc=2 a0="cat" a1="/etc/shadow"`.
//!
//! - `node=…` may stand in front, and what a syslog daemon puts there.
//! - A text that has blanks or quotes in it is in hexadecimal digits, without quotes; the kernel does so for the fields
//!   in [`ENCODED`], and for the arguments of EXECVE. They are decoded, NUL between arguments becoming a space.
//! - The arguments of EXECVE are also one text, `command`.
//! - What user space says is in one value, `msg='op=… acct="root"'`; its fields are fields of the record. So are those of
//!   `SADDR={ … }`.
//! - The enriched format adds names for numbers, in capitals (`SYSCALL=execve`): they become `syscall_name`.
use super::{Native, NativeStream};
use crate::flat::FlatMap;

/// `Linux.Auditd`.
pub struct Auditd;

/// Fields whose text may be in hexadecimal digits.
const ENCODED: &[&str] = &[
    "acct",
    "cmd",
    "comm",
    "cwd",
    "data",
    "dir",
    "exe",
    "file",
    "grp",
    "key",
    "name",
    "path",
    "proctitle",
    "root_dir",
    "unit",
    "vm",
    "watch",
];

/// How deep values may hold records.
const DEPTH: usize = 3;

impl Native for Auditd {
    fn name(&self) -> &'static str {
        "auditd"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(Auditd)
    }
}

impl NativeStream for Auditd {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let (before, kind, stamp, rest) = head(line).ok_or("no `type=… msg=audit(…):` begins the record")?;
        let (time, serial) = stamp.split_once(':').ok_or("the stamp of the record has no serial number")?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !digits(time) || !digits(serial) {
            return Err("the stamp of the record is not `seconds:serial`".into());
        }
        if let Some(node) = before.split(' ').find_map(|w| w.strip_prefix("node=")) {
            out.put("node", node);
        }
        out.put("type", kind);
        out.put("timestamp", time);
        out.put("serial", serial);
        let mut reader = Reader { execve: kind == "EXECVE", long: String::new(), command: String::new(), out };
        reader.fields(rest, DEPTH);
        if reader.execve {
            let Reader { command, out, .. } = reader;
            out.put("command", &command);
        }
        Ok(Some(()))
    }
}

/// What stands before, the type, the stamp and the fields of a record.
fn head(line: &str) -> Option<(&str, &str, &str, &str)> {
    let at = match line.starts_with("type=") {
        true => 0,
        false => line.find(" type=")? + 1,
    };
    let (kind, rest) = line[at + "type=".len()..].split_once(" msg=audit(")?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-[]".contains(&b)) {
        return None;
    }
    // The daemon leaves out the colon in records of its own.
    let (stamp, rest) = rest.split_once(')')?;
    Some((&line[..at], kind, stamp, rest.strip_prefix(':').unwrap_or(rest)))
}

/// The fields of one record.
struct Reader<'a> {
    /// Its arguments are texts.
    execve: bool,
    /// An argument that comes in pieces, `a1[0]=… a1[1]=…`.
    long: String,
    /// The arguments in one line.
    command: String,
    out: &'a mut FlatMap,
}

impl Reader<'_> {
    /// Put `key=value …`; words without a `=` are skipped.
    fn fields(&mut self, text: &str, depth: usize) {
        // The names of the enriched format stand behind a group separator.
        let mut rest = text.trim_start_matches([' ', '\x1d']);
        while !rest.is_empty() {
            let end = rest.find([' ', '\x1d', '=']).unwrap_or(rest.len());
            let key = &rest[..end];
            let Some(after) = rest[end..].strip_prefix('=') else {
                rest = rest[end..].trim_start_matches([' ', '\x1d']);
                continue;
            };
            let (value, after) = value(after);
            match value {
                Value::Fields(inner) if depth > 0 => self.fields(inner, depth - 1),
                Value::Fields(inner) | Value::Quoted(inner) => self.put(key, inner, false),
                Value::Bare("?" | "(null)" | "(none)" | "") => {}
                Value::Bare(bare) => self.put(key, bare, true),
            }
            rest = after.trim_start_matches([' ', '\x1d']);
        }
    }

    fn put(&mut self, key: &str, value: &str, bare: bool) {
        let argument = self.execve && argument(key);
        let text = match bare && (argument || ENCODED.contains(&key)) {
            true => unhex(value),
            false => None,
        };
        let value = text.as_deref().unwrap_or(value);
        if argument {
            return self.argument(key, value);
        }
        if key.bytes().all(|b| b.is_ascii_uppercase()) {
            // Of a process that nobody logged in for.
            if value != "unset" {
                self.out.put(&format!("{}_name", key.to_ascii_lowercase()), value);
            }
            return;
        }
        self.out.put(key, value);
    }

    fn argument(&mut self, key: &str, value: &str) {
        let (name, piece) = key.split_once('[').map_or((key, None), |(name, piece)| (name, Some(piece)));
        if piece.is_none_or(|p| p == "0]") {
            self.long.clear();
            if name != "a0" {
                self.command.push(' ');
            }
        }
        self.command.push_str(value);
        match piece {
            None => self.out.put(name, value),
            // The last of a name is kept: the longest.
            Some(_) => {
                self.long.push_str(value);
                self.out.put(name, &self.long);
            }
        }
    }
}

enum Value<'a> {
    Quoted(&'a str),
    Bare(&'a str),
    Fields(&'a str),
}

/// The value at the start of `text`, and what follows it. A quote that does not end takes the rest.
fn value(text: &str) -> (Value<'_>, &str) {
    if let Some(inner) = text.strip_prefix('"') {
        let (value, after) = inner.split_once('"').unwrap_or((inner, ""));
        return (Value::Quoted(value), after);
    }
    if let Some(inner) = text.strip_prefix('\'') {
        let (value, after) = inner.split_once('\'').unwrap_or((inner, ""));
        return (Value::Fields(value), after);
    }
    if let Some(inner) = text.strip_prefix('{') {
        let (value, after) = inner.split_once('}').unwrap_or((inner, ""));
        return (Value::Fields(value.trim()), after);
    }
    let end = text.find([' ', '\x1d']).unwrap_or(text.len());
    (Value::Bare(&text[..end]), &text[end..])
}

/// True of `a0`, `a17` and `a1[0]`, not of `a1_len`.
fn argument(key: &str) -> bool {
    let number = key.strip_prefix('a').map(|k| k.split_once('[').map_or(k, |(n, _)| n));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Text from hexadecimal digits. None if they are not: the kernel writes capitals, two digits a byte.
fn unhex(text: &str) -> Option<String> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    if text.len() < 2 || !text.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    let mut bytes = bytes?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    for b in &mut bytes {
        if *b == 0 {
            *b = b' ';
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, want: &[(&str, Option<&str>)]) {
        let f = parse(&Auditd, line).unwrap().unwrap();
        for (name, value) in want {
            assert_eq!(field(&f, name), *value, "{name} of {line}");
        }
    }

    #[test]
    fn reads_arguments() {
        check(
            "type=EXECVE msg=audit(1772356800.123:4711): argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F202268692200",
            &[
                ("type", Some("EXECVE")),
                ("timestamp", Some("1772356800.123")),
                ("serial", Some("4711")),
                ("argc", Some("3")),
                ("a0", Some("sh")),
                ("a2", Some("echo \"hi\"")),
                ("command", Some("sh -c echo \"hi\"")),
            ],
        );
        // In a system call they are numbers.
        check(
            "type=SYSCALL msg=audit(1.2:3): a0=55D0 comm=7368",
            &[("a0", Some("55D0")), ("comm", Some("sh")), ("command", None)],
        );
    }

    #[test]
    fn reads_an_argument_in_pieces() {
        let line = "type=EXECVE msg=audit(1.2:3): argc=3 a0=\"x\" a1_len=6 a1[0]=616263 a1[1]=646566 a2=\"y\"";
        let f = parse(&Auditd, line).unwrap().unwrap();
        let all: Vec<&str> = f.iter().filter(|(n, _)| n == "a1").map(|(_, v)| v.as_str()).collect();
        assert_eq!(all.last(), Some(&"abcdef"));
        assert_eq!((field(&f, "a2"), field(&f, "command")), (Some("y"), Some("x abcdef y")));
    }

    #[test]
    fn reads_what_user_space_says_and_names() {
        check(
            "node=web-1 type=USER_AUTH msg=audit(1.2:3): pid=7 uid=0 msg='op=PAM:authentication acct=\"root\" \
             exe=\"/usr/bin/su\" hostname=? addr=192.0.2.7 res=failed'\x1dUID=\"root\" AUID=\"unset\" SADDR={ saddr_fam=inet laddr=192.0.2.9 lport=53 }",
            &[
                ("node", Some("web-1")),
                ("pid", Some("7")),
                ("op", Some("PAM:authentication")),
                ("acct", Some("root")),
                ("exe", Some("/usr/bin/su")),
                ("hostname", None),
                ("addr", Some("192.0.2.7")),
                ("res", Some("failed")),
                ("uid", Some("0")),
                ("uid_name", Some("root")),
                ("auid_name", None),
                ("laddr", Some("192.0.2.9")),
            ],
        );
        check(
            "Nov 24 09:00:00 h audispd: type=AVC msg=audit(1.2:3): avc:  denied  { read } for  pid=9 comm=\"x\" name=\"a b\"",
            &[("pid", Some("9")), ("name", Some("a b")), ("node", None)],
        );
    }

    #[test]
    fn reads_records_of_the_daemon() {
        check(
            "type=DAEMON_CONFIG msg=audit(1.2:34) config changed, auid=0 pid=1512 res=success",
            &[("type", Some("DAEMON_CONFIG")), ("serial", Some("34")), ("auid", Some("0")), ("res", Some("success"))],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "type=EXECVE",
            "type=EXECVE msg=audit(1.2): a0=x",
            "type=EXECVE msg=audit(x:3): a0=x",
            "type= msg=audit(1.2:3): a0=x",
            "msg=audit(1.2:3): type=EXECVE",
            "Nov 24 09:00:00 h sshd[7]: x",
        ] {
            assert!(parse(&Auditd, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,60}|type=EXECVE msg=audit\\(1\\.2:3\\): [a0-9=\"'{}\\[\\] A-F]{0,60}") {
            let _ = parse(&Auditd, line.trim());
        }
    }
}
