//! Paths into an event: `a.b[0].c`, `a[*].b`, `a."odd.key"`.
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Seg {
    /// Key of an object.
    Key(Arc<str>),
    /// Element of an array; negative counts from the end.
    Index(i64),
    /// Every element of an array.
    Each,
}

/// A path from the root of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path(pub Vec<Seg>);

impl Path {
    /// Parse `a.b[0].c`, `a[*].b`, `a."odd.key"` (also with a leading `$.`). Errors say what and where (byte).
    pub fn parse(text: &str) -> Result<Path, String> {
        let s = text.strip_prefix("$.").unwrap_or(text);
        let (b, mut i, mut out) = (s.as_bytes(), 0usize, Vec::new());
        let err = |at: usize, what: &str| format!("path `{text}`: {what} at byte {at}");
        loop {
            if i < b.len() && b[i] == b'"' {
                let end = s[i + 1..].find('"').ok_or_else(|| err(i, "quote is not closed"))? + i + 1;
                out.push(Seg::Key(s[i + 1..end].into()));
                i = end + 1;
            } else {
                let end = s[i..].find(['.', '[']).map_or(s.len(), |n| i + n);
                if end > i {
                    out.push(Seg::Key(s[i..end].into()));
                } else if i >= b.len() || b[i] != b'[' || !out.is_empty() {
                    return Err(err(i, "a name is missing"));
                }
                i = end;
            }
            while i < b.len() && b[i] == b'[' {
                let end = s[i..].find(']').ok_or_else(|| err(i, "`[` is not closed"))? + i;
                let inner = s[i + 1..end].trim();
                out.push(match inner {
                    "*" => Seg::Each,
                    q if q.len() >= 2 && q.starts_with(['"', '\'']) => Seg::Key(q[1..q.len() - 1].into()),
                    n => Seg::Index(n.parse().map_err(|_| err(i + 1, "`[…]` takes a number, `*` or a quoted key"))?),
                });
                i = end + 1;
            }
            if i >= b.len() {
                return Ok(Path(out));
            }
            if b[i] != b'.' {
                return Err(err(i, "expected `.` or `[`"));
            }
            i += 1;
        }
    }
    /// A path of one key.
    pub fn key(name: &str) -> Path {
        Path(vec![Seg::Key(name.into())])
    }
    /// First key, if the path starts with one.
    pub fn root(&self) -> Option<&str> {
        match self.0.first() {
            Some(Seg::Key(k)) => Some(k),
            _ => None,
        }
    }
    /// True if the path holds a `[*]`.
    pub fn has_each(&self) -> bool {
        self.0.contains(&Seg::Each)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, s) in self.0.iter().enumerate() {
            match s {
                Seg::Key(k) => {
                    let dot = if i > 0 { "." } else { "" };
                    let q = if k.is_empty() || k.contains(['.', '[', ']', '"']) { "\"" } else { "" };
                    write!(f, "{dot}{q}{k}{q}")?
                }
                Seg::Index(n) => write!(f, "[{n}]")?,
                Seg::Each => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for p in ["a", "a.b[0].c", "a[*].b", "a.\"odd.key\".c", "a[-1]", "a[0][1].b"] {
            assert_eq!(Path::parse(p).unwrap().to_string(), p);
        }
        assert_eq!(Path::parse("$.a.b").unwrap().to_string(), "a.b");
        assert_eq!(Path::parse("a[\"x.y\"]").unwrap().to_string(), "a.\"x.y\"");
        for bad in ["", ".", "a.", "a[", "a[x]", "a..b", "a\"b\"x[", "a.\"b"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
