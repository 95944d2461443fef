//! Which objects of a bucket are read, and as what: the longest matching prefix decides.
use model::path::Path;
use std::sync::Arc;
use stream::Stream;

/// How objects are read.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) stream: Stream,
    pub(crate) array: Path,
    /// `p_source_label`; the source's id if none.
    pub(crate) label: Option<Arc<str>>,
}

/// Objects below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    pub(crate) prefix: String,
    /// Prefixes that are left out; `*` is anything within one part of the key.
    pub(crate) exclude: Vec<String>,
    pub(crate) form: Form,
}

/// The form of an object, or `None` if it is not to be read.
pub(crate) fn form<'a>(prefixes: &'a [Prefix], key: &str) -> Option<&'a Form> {
    let fits = prefixes.iter().filter(|p| key.starts_with(&p.prefix));
    // Of two that are equally long the later one.
    let longest = fits.max_by_key(|p| p.prefix.len())?;
    (!longest.exclude.iter().any(|x| begins(x.as_bytes(), key.as_bytes()))).then_some(&longest.form)
}

/// True if the key begins as the pattern says. Takes time in proportion to both lengths, whatever the pattern.
fn begins(pattern: &[u8], key: &[u8]) -> bool {
    // Places of the key up to where the pattern so far can have matched.
    let mut at = vec![false; key.len() + 1];
    at[0] = true;
    for p in pattern {
        if *p == b'*' {
            for i in 0..key.len() {
                at[i + 1] |= at[i] && key[i] != b'/';
            }
        } else {
            for i in (0..key.len()).rev() {
                at[i + 1] = at[i] && key[i] == *p;
            }
            at[0] = false;
        }
    }
    at.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let p = |prefix: &str, exclude: &[&str], label: &str| Prefix {
            prefix: prefix.into(),
            exclude: exclude.iter().map(|x| x.to_string()).collect(),
            form: Form { stream: Stream::Auto, array: Path::default(), label: Some(label.into()) },
        };
        let all = [
            p("", &[], "rest"),
            p("logs/", &["logs/tmp", "logs/*/debug/"], "logs"),
            p("logs/app/", &[], "first"),
            p("logs/app/", &["logs/app/*-skip/*.bak"], "app"),
        ];
        let label = |k: &str| form(&all, k).map(|f| f.label.as_deref().unwrap().to_string());
        for (key, want) in [
            ("x", Some("rest")),
            ("logs", Some("rest")),
            ("logs/x", Some("logs")),
            ("logs/tmp/x", None),
            ("logs/temp", Some("logs")),
            ("logs/a/debug/x", None),
            ("logs/a/b/debug/x", Some("logs")),
            ("logs/app/tmp", Some("app")),
            ("logs/app/debug/x", Some("app")),
            ("logs/app/a-skip/x.bak.gz", None),
            ("logs/app/a-skip/x", Some("app")),
        ] {
            assert_eq!(label(key).as_deref(), want, "{key}");
        }
        assert!(form(&all[1..], "other").is_none());
        let long = "a".repeat(1024);
        assert!(!begins(b"*a*a*a*a*a*a*a*a*a*ab", long.as_bytes()));
        assert!(begins(b"", b"") && begins(b"*", b"") && begins(b"a*", b"a/b") && !begins(b"a*c", b"a/c"));
    }
}
