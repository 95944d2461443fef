//! Grok: named regular expressions, used as `%{NAME}` or `%{NAME:field}` inside a regular expression.
use std::collections::BTreeMap;

/// Deepest use of names inside names.
const MAX_DEPTH: usize = 32;
/// Longest expanded expression, bytes.
const MAX_EXPANDED: usize = 256 * 1024;

/// An expression with all names replaced; capture group `g<i>` holds field `i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// Regular expression.
    pub regex: String,
    /// Field of group `g<i>`.
    pub fields: Vec<String>,
}

/// Replace the names in `pattern`. `own` are the schema's `patternDefinitions`; they go before the built-in ones.
pub fn expand(pattern: &str, own: &BTreeMap<String, String>) -> Result<Expanded, String> {
    let mut out = Expanded { regex: String::new(), fields: Vec::new() };
    go(pattern, own, &mut Vec::new(), &mut out)?;
    Ok(out)
}

fn go(p: &str, own: &BTreeMap<String, String>, stack: &mut Vec<String>, out: &mut Expanded) -> Result<(), String> {
    let mut rest = p;
    while let Some(at) = next_hole(rest) {
        out.regex.push_str(&rest[..at]);
        let end = rest[at..].find('}').ok_or_else(|| format!("`%{{` is not closed in `{p}`"))? + at;
        let (name, field) = rest[at + 2..end].split_once(':').unwrap_or((&rest[at + 2..end], ""));
        let (name, field) = (name.trim(), field.trim());
        if stack.iter().any(|s| s == name) || stack.len() >= MAX_DEPTH {
            return Err(format!("pattern %{{{name}}} contains itself"));
        }
        let body = own.get(name).map(String::as_str).or_else(|| builtin(name)).ok_or_else(|| unknown(name, own))?;
        match field {
            "" => out.regex.push_str("(?:"),
            f => {
                out.regex.push_str(&format!("(?P<g{}>", out.fields.len()));
                out.fields.push(f.to_string());
            }
        }
        stack.push(name.to_string());
        go(body, own, stack, out)?;
        stack.pop();
        out.regex.push(')');
        if out.regex.len() > MAX_EXPANDED {
            return Err(format!("the expression grows over {MAX_EXPANDED} bytes when its names are replaced"));
        }
        rest = &rest[end + 1..];
    }
    out.regex.push_str(rest);
    Ok(())
}

/// `%{` that is not escaped (`\%{`).
fn next_hole(s: &str) -> Option<usize> {
    s.match_indices("%{").map(|(i, _)| i).find(|&i| {
        let escapes = s.as_bytes()[..i].iter().rev().take_while(|b| **b == b'\\').count();
        escapes % 2 == 0
    })
}

fn unknown(name: &str, own: &BTreeMap<String, String>) -> String {
    let names = BUILTIN.iter().map(|(n, _)| *n).chain(own.keys().map(String::as_str));
    match crate::hint::nearest(name, names) {
        Some(n) => format!("pattern %{{{name}}} is not known; did you mean %{{{n}}}?"),
        None => format!("pattern %{{{name}}} is not known; define it in `patternDefinitions`"),
    }
}

fn builtin(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
}

/// The built-in names (functional spec §1.7). Without look-around or back-references: every expression runs in
/// linear time.
const BUILTIN: &[(&str, &str)] = &[
    ("DATA", r".*?"),
    ("GREEDYDATA", r".*"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("WORD", r"\b\w+\b"),
    ("QUOTEDSTRING", r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"#),
    ("QS", r"%{QUOTEDSTRING}"),
    ("HEXDIGIT", r"[0-9a-fA-F]"),
    ("UUID", r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
    ("INT", r"[+-]?[0-9]+"),
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("NUMBER", r"%{BASE10NUM}"),
    ("BASE16NUM", r"[+-]?(?:0[xX])?[0-9a-fA-F]+"),
    ("POSINT", r"\b[1-9][0-9]*\b"),
    ("NONNEGINT", r"\b[0-9]+\b"),
    ("CISCOMAC", r"(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}"),
    ("WINDOWSMAC", r"(?:[0-9a-fA-F]{2}-){5}[0-9a-fA-F]{2}"),
    ("COMMONMAC", r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}"),
    ("MAC", r"%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC}"),
    (
        "IPV6",
        concat!(
            r"(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}",
            r"|(?:[0-9a-fA-F]{1,4}:){6}%{IPV4}",
            r"|(?:[0-9a-fA-F]{1,4}:){1,7}(?::[0-9a-fA-F]{1,4}){1,6}",
            r"|(?:[0-9a-fA-F]{1,4}:){1,5}(?::[0-9a-fA-F]{1,4}){0,4}:%{IPV4}",
            r"|(?:[0-9a-fA-F]{1,4}:){1,7}:",
            r"|::(?:[fF]{4}(?::0{1,4})?:)?%{IPV4}",
            r"|:(?::[0-9a-fA-F]{1,4}){1,7}",
            r"|::",
        ),
    ),
    ("IPV4INT", r"25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2}"),
    ("IPV4", r"\b(?:%{IPV4INT}\.){3}%{IPV4INT}\b"),
    ("IP", r"%{IPV6}|%{IPV4}"),
    ("HOSTNAME", r"\b[0-9A-Za-z_][0-9A-Za-z_-]{0,62}(?:\.[0-9A-Za-z_][0-9A-Za-z_-]{0,62})*\.?"),
    ("HOST", r"%{HOSTNAME}"),
    ("IPORHOST", r"%{IP}|%{HOSTNAME}"),
    ("HOSTPORT", r"%{IPORHOST}:%{POSINT}"),
    ("USERNAME", r"[a-zA-Z0-9._-]+"),
    ("USER", r"%{USERNAME}"),
    ("UNIXPATH", r"(?:/[\w_%!$@:.,+~-]*)+"),
    ("WINPATH", r"(?:[A-Za-z]:|\\)(?:\\[^\\?*]*)+"),
    ("PATH", r"%{UNIXPATH}|%{WINPATH}"),
    ("TTY", r"/dev/(?:pts|tty(?:[pq])?)(?:\w+)?/?(?:[0-9]+)?"),
    ("URIPROTO", r"[A-Za-z][A-Za-z0-9+.-]*"),
    ("URIHOST", r"%{IPORHOST}(?::%{POSINT})?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIPARAM", r"\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\[\]<>-]*"),
    ("URIPATHPARAM", r"%{URIPATH}(?:%{URIPARAM})?"),
    ("URI", r"%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?"),
    (
        "MONTH",
        concat!(
            r"\b(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?",
            r"|[Aa]ug(?:ust)?|[Ss]ep(?:t(?:ember)?)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)\b",
        ),
    ),
    ("MONTHNUM", r"0?[1-9]|1[0-2]"),
    ("MONTHNUM2", r"0[1-9]|1[0-2]"),
    ("MONTHDAY", r"0[1-9]|[12][0-9]|3[01]|[1-9]"),
    ("DAY", r"\b(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)\b"),
    ("YEAR", r"[0-9]{4}|[0-9]{2}"),
    ("HOUR", r"2[0-3]|[01]?[0-9]"),
    ("MINUTE", r"[0-5][0-9]"),
    ("SECOND", r"(?:60|[0-5]?[0-9])(?:[:.,][0-9]+)?"),
    ("KITCHEN", r"%{HOUR}:%{MINUTE} ?(?:[AaPp][Mm])?"),
    ("TIME", r"%{HOUR}:%{MINUTE}:%{SECOND}"),
    ("DATE_US", r"%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", r"%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("ISO8601_TIMEZONE", r"Z|[+-]%{HOUR}(?::?%{MINUTE})?"),
    ("ISO8601_SECOND", r"%{SECOND}"),
    (
        "TIMESTAMP_ISO8601",
        r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?",
    ),
    ("DATE", r"%{DATE_US}|%{DATE_EU}"),
    ("DATETIME", r"%{DATE}[- ]%{TIME}"),
    ("TZ", r"[A-Z]{3,4}"),
    ("TZOFFSET", r"[+-][0-9]{2}:?[0-9]{2}"),
    ("TIMESTAMP_RFC822", r"%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}"),
    ("TIMESTAMP_RFC2822", r"%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} (?:%{TZOFFSET}|%{TZ})"),
    ("TIMESTAMP_OTHER", r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}"),
    ("TIMESTAMP_EVENTLOG", r"[0-9]{4}%{MONTHNUM2}(?:0[1-9]|[12][0-9]|3[01])(?:2[0-3]|[01][0-9])%{MINUTE}[0-5][0-9]"),
    ("SYSLOGTIMESTAMP", r"%{MONTH} +%{MONTHDAY} %{TIME}"),
    ("HTTPDATE", r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{TZOFFSET}"),
    ("NS", r"%{NOTSPACE}"),
    ("PID", r"[0-9]+"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(name: &str, text: &str) -> bool {
        let e = expand(&format!("^%{{{name}}}$"), &BTreeMap::new()).unwrap();
        regex::Regex::new(&e.regex).unwrap().is_match(text)
    }

    #[test]
    fn every_builtin_compiles() {
        for (name, _) in BUILTIN {
            matches(name, "");
        }
    }

    #[test]
    fn builtins_match_what_they_name() {
        for (name, good) in [
            ("IP", "10.1.2.3"),
            ("IP", "2001:db8::1"),
            ("IPV6", "::ffff:10.0.0.1"),
            ("IPV6", "fe80::"),
            ("IPV6", "1:2:3:4:5:6:7:8"),
            ("HOSTNAME", "a-b.example.com"),
            ("HOSTPORT", "example.com:443"),
            ("MAC", "00:1b:44:11:3a:b7"),
            ("UUID", "123e4567-e89b-12d3-a456-426614174000"),
            ("HTTPDATE", "17/May/2015:10:05:03 +0000"),
            ("SYSLOGTIMESTAMP", "Jan  2 15:04:05"),
            ("TIMESTAMP_ISO8601", "2024-01-02T03:04:05.678Z"),
            ("TIMESTAMP_RFC2822", "Mon, 02 Jan 2006 15:04:05 -0700"),
            ("TIMESTAMP_EVENTLOG", "20240102030405"),
            ("URI", "https://u:p@example.com:8080/a/b?c=d"),
            ("WINPATH", r"C:\Windows\System32"),
            ("UNIXPATH", "/usr/bin/env"),
            ("QS", r#""a \" b""#),
            ("NUMBER", "-1.5"),
            ("BASE16NUM", "0xff"),
        ] {
            assert!(matches(name, good), "{name} {good}");
        }
        for (name, bad) in
            [("IPV4", "256.1.1.1"), ("MAC", "00:1b"), ("UUID", "x"), ("POSINT", "0"), ("MONTH", "Foo"), ("IPV6", "1:2")]
        {
            assert!(!matches(name, bad), "{name} {bad}");
        }
    }

    #[test]
    fn fields_get_groups_in_order() {
        let own = BTreeMap::from([("A".to_string(), "a+%{INT:inner}".to_string())]);
        let e = expand(r"%{A:x} \%{ %{WORD:y}", &own).unwrap();
        assert_eq!(e.fields, ["x", "inner", "y"]);
        assert!(e.regex.starts_with("(?P<g0>a+(?P<g1>"), "{}", e.regex);
        assert!(e.regex.contains(r"\%{"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        let own = BTreeMap::from([("A".to_string(), "%{B}".to_string()), ("B".to_string(), "%{A}".to_string())]);
        assert!(expand("%{A}", &own).unwrap_err().contains("itself"));
        assert!(expand("%{WORDS}", &own).unwrap_err().contains("%{WORD}"));
        assert!(expand("%{A", &own).is_err());
    }
}
