//! `fastmatch`: literal text with `%{name}` holes, matched left to right without backtracking.
use crate::flat::FlatMap;

/// Patterns, tried in order.
#[derive(Clone, Debug)]
pub struct FastMatch {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// Text the line starts with.
    prefix: String,
    holes: Vec<Hole>,
}

#[derive(Clone, Debug)]
struct Hole {
    /// Empty: matched and discarded.
    name: String,
    /// Literal behind the hole; empty = the hole takes the rest of the line.
    until: String,
    /// The hole stands between two quotes of this kind: backslash escapes inside are decoded.
    quote: Option<u8>,
}

impl FastMatch {
    /// Compile the patterns.
    pub fn new(patterns: &[String]) -> Result<FastMatch, String> {
        if patterns.is_empty() {
            return Err("fastmatch needs at least one pattern in `match`".into());
        }
        Ok(FastMatch { patterns: patterns.iter().map(|p| Pattern::parse(p)).collect::<Result<_, _>>()? })
    }

    /// Match a line; the first pattern that fits wins.
    pub fn parse(&self, line: &str, out: &mut FlatMap) -> Result<(), String> {
        for p in &self.patterns {
            out.clear();
            if p.take(line, out) {
                return Ok(());
            }
        }
        Err(match self.patterns.len() {
            1 => "the line does not have the form of the pattern".into(),
            n => format!("the line has the form of none of the {n} patterns"),
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let mut pieces = text.split("%{");
        let prefix = pieces.next().unwrap_or_default().to_string();
        let mut holes: Vec<Hole> = Vec::new();
        for piece in pieces {
            let (name, until) =
                piece.split_once('}').ok_or_else(|| format!("pattern `{text}`: `%{{` is not closed"))?;
            if holes.last().is_some_and(|h| h.until.is_empty()) {
                return Err(format!("pattern `{text}`: no text between two holes"));
            }
            let before = holes.last().map_or(prefix.as_str(), |h| h.until.as_str());
            let quote = match (before.as_bytes().last(), until.as_bytes().first()) {
                (Some(a @ (b'"' | b'\'')), Some(b)) if a == b => Some(*a),
                _ => None,
            };
            holes.push(Hole { name: name.trim().into(), until: until.into(), quote });
        }
        if holes.is_empty() {
            return Err(format!("pattern `{text}` has no `%{{name}}` hole"));
        }
        Ok(Pattern { prefix, holes })
    }

    fn take<'a>(&self, line: &'a str, out: &mut FlatMap) -> bool {
        let Some(mut rest) = line.strip_prefix(self.prefix.as_str()) else { return false };
        for hole in &self.holes {
            let value: &'a str;
            if hole.until.is_empty() {
                (value, rest) = (rest, "");
            } else {
                let Some(at) = find(rest, &hole.until, hole.quote) else { return false };
                (value, rest) = (&rest[..at], &rest[at + hole.until.len()..]);
            }
            if !hole.name.is_empty() {
                match hole.quote {
                    Some(_) if value.contains('\\') => out.put(&hole.name, &unescape(value)),
                    _ => out.put(&hole.name, value),
                }
            }
        }
        rest.is_empty()
    }
}

/// First place of `literal`; between quotes, one whose quote is not escaped.
fn find(text: &str, literal: &str, quote: Option<u8>) -> Option<usize> {
    if quote.is_none() {
        return memchr::memmem::find(text.as_bytes(), literal.as_bytes());
    }
    let (b, mut i) = (text.as_bytes(), 0);
    while i < b.len() {
        match b[i] {
            b'\\' => i += 2,
            _ if b[i..].starts_with(literal.as_bytes()) => return Some(i),
            _ => i += 1,
        }
    }
    None
}

/// Decode `\n`, `\t`, `\r`; any other escaped character is itself.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut it = text.chars();
    while let Some(c) = it.next() {
        match c {
            '\\' => match it.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c) => out.push(c),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(patterns: &[&str], line: &str) -> Option<Vec<(String, String)>> {
        let f = FastMatch::new(&patterns.iter().map(|p| p.to_string()).collect::<Vec<_>>()).unwrap();
        let mut out = FlatMap::default();
        out.begin(line);
        f.parse(line, &mut out).ok().map(|_| out.to_pairs(line))
    }

    fn pairs(p: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(p.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
    }

    #[test]
    fn holes_take_the_text_between_literals() {
        let p = "%{ip} - %{} [%{time}] \"%{req}\" %{rest}";
        assert_eq!(
            run(&[p], r#"1.1.1.1 - bob [now] "GET \"/\"" 200 5"#),
            pairs(&[("ip", "1.1.1.1"), ("time", "now"), ("req", "GET \"/\""), ("rest", "200 5")])
        );
        assert_eq!(run(&[p], "1.1.1.1 bob"), None);
        assert_eq!(run(&["x=%{x};"], "x=1;"), pairs(&[("x", "1")]));
        assert_eq!(run(&["x=%{x};"], "x=1;y"), None, "text behind the last literal");
        assert_eq!(run(&["x=%{x};"], " x=1;"), None, "the prefix is the start of the line");
    }

    #[test]
    fn first_pattern_wins() {
        assert_eq!(run(&["a %{x}", "%{y}"], "a 1"), pairs(&[("x", "1")]));
        assert_eq!(run(&["a %{x}", "%{y}"], "b 1"), pairs(&[("y", "b 1")]));
        assert_eq!(run(&["%{x}-%{y}!", "%{z}"], "1-2"), pairs(&[("z", "1-2")]), "fields of a failed try are gone");
    }

    #[test]
    fn patterns_are_checked() {
        for bad in ["%{a}%{b}", "%{a", "no hole"] {
            assert!(FastMatch::new(&[bad.to_string()]).is_err(), "{bad}");
        }
        assert!(FastMatch::new(&[]).is_err());
    }
}
