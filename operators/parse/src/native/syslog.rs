//! What the two syslog formats share: the priority, the words for severities, the tag before a message.
use crate::flat::FlatMap;

/// Priority of a message that came without one: user, notice (RFC 3164, section 4.3.3).
pub const DEFAULT_PRIORITY: u8 = 13;

/// Highest priority: facility 23, severity 7.
const MAX_PRIORITY: u32 = 191;

/// Longest application name in front of a message; what is longer is part of the message.
const MAX_TAG: usize = 128;

/// Read `<13>` at the start of a line: the priority and what follows.
pub fn priority(line: &str) -> Option<(u8, &str)> {
    let (digits, rest) = line.strip_prefix('<')?.split_once('>')?;
    let value = super::clock::number(digits.as_bytes()).filter(|p| digits.len() <= 3 && *p <= MAX_PRIORITY)?;
    Some((value as u8, rest))
}

/// Severity (0 to 7) of a word such as `ERR` or `<Info>`; `None` if it is no such word.
pub fn severity(word: &str) -> Option<u8> {
    const WORDS: [&[&str]; 8] = [
        &["EMERG", "EMERGENCY", "PANIC"],
        &["ALERT"],
        &["CRIT", "CRITICAL"],
        &["ERR", "ERROR"],
        &["WARN", "WARNING"],
        &["NOTICE"],
        &["INFO"],
        &["DEBUG"],
    ];
    WORDS.iter().position(|w| w.iter().any(|w| w.eq_ignore_ascii_case(word))).map(|s| s as u8)
}

/// Put `priority` and its two parts.
pub fn put_priority(out: &mut FlatMap, priority: u8) {
    let mut digits = itoa(priority);
    out.put("priority", digits.as_str());
    digits = itoa(priority / 8);
    out.put("facility", digits.as_str());
    digits = itoa(priority % 8);
    out.put("severity", digits.as_str());
}

/// Decimal digits without a heap allocation.
fn itoa(n: u8) -> Digits {
    let mut d = Digits([b'0'; 3], 3);
    let mut n = n;
    while n > 0 || d.1 == 3 {
        d.1 -= 1;
        d.0[d.1] = b'0' + n % 10;
        n /= 10;
    }
    d
}

struct Digits([u8; 3], usize);

impl Digits {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[self.1..]).unwrap_or_default()
    }
}

/// `name: message`, `name[pid]: message` or `name[pid] message` at the start of `content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Application.
    pub name: &'a str,
    /// What stands in brackets.
    pub pid: &'a str,
    /// What follows.
    pub message: &'a str,
}

/// The tag of a message; `None` if it has none that is marked by a colon or a process id.
pub fn tag(content: &str) -> Option<Tag<'_>> {
    let end = memchr::memchr(b' ', content.as_bytes()).unwrap_or(content.len());
    let (word, message) = (&content[..end], &content[end..]);
    let (word, colon) = word.strip_suffix(':').map_or((word, false), |w| (w, true));
    let (name, pid) = match word.strip_suffix(']').and_then(|w| w.rsplit_once('[')) {
        Some((name, pid)) if !pid.is_empty() => (name, pid),
        _ if colon => (word, ""),
        _ => return None,
    };
    let plain = |b: u8| b.is_ascii_graphic() && !b"[]<>\"".contains(&b);
    let ok = !name.is_empty() && name.len() <= MAX_TAG && name.bytes().all(plain);
    ok.then_some(Tag { name, pid, message })
}

/// Put the message without the spaces around it and without a byte order mark.
pub fn put_message(out: &mut FlatMap, message: &str) {
    let message = message.trim().trim_start_matches('\u{feff}').trim();
    if !message.is_empty() {
        out.put("message", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_priorities() {
        assert_eq!(priority("<0>x"), Some((0, "x")));
        assert_eq!(priority("<191>"), Some((191, "")));
        for bad in ["<192>x", "<>x", "<-1>x", "<0001>x", "13>x", "<13", ""] {
            assert_eq!(priority(bad), None, "{bad}");
        }
        for (p, want) in [(0, ["0", "0", "0"]), (191, ["191", "23", "7"]), (78, ["78", "9", "6"])] {
            let mut out = FlatMap::default();
            out.begin("");
            put_priority(&mut out, p);
            assert_eq!(out.to_pairs("").iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn tags_are_marked_by_a_colon_or_a_process_id() {
        let is = |content, name, pid, message| assert_eq!(tag(content), Some(Tag { name, pid, message }), "{content}");
        is("sshd[42]: hi", "sshd", "42", " hi");
        is("kernel: [1.0] x", "kernel", "", " [1.0] x");
        is("fw[1985] <Info>: x", "fw", "1985", " <Info>: x");
        is("/sbin/anacron[1]:", "/sbin/anacron", "1", "");
        for none in ["log_tag this is", "---", "a:b c", "[x]: y", "<Info>: y", "", ": x", "\"quoted\": x"] {
            assert_eq!(tag(none), None, "{none}");
        }
        assert!(tag(&format!("{}: x", "a".repeat(MAX_TAG))).is_some());
        assert!(tag(&format!("{}: x", "a".repeat(MAX_TAG + 1))).is_none());
    }

    #[test]
    fn knows_words_for_severities() {
        assert_eq!(severity("err"), Some(3));
        assert_eq!(severity("EMERG"), Some(0));
        assert_eq!(severity("Debug"), Some(7));
        assert_eq!(severity("stdout"), None);
    }
}
