//! `s3://bucket/prefix?endpoint=…&region=…`: where objects are, and how names become keys.
use crate::access::Access;
use model::Result;

/// Longest key S3 takes, bytes.
const KEY_MAX: usize = 1024;

/// A bucket and a prefix in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    /// Empty, or ends with `/`.
    pub(crate) prefix: String,
}

impl Place {
    /// Key of an object. Errors: a name that is not of the form [`model::Objects`] asks for.
    pub(crate) fn key(&self, name: &str) -> Result<String> {
        let fits = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=-".contains(&b))
        };
        let key = self.key_of(name);
        if !name.split('/').all(fits) || key.len() > KEY_MAX {
            return Err(
                format!("`{name}` cannot be the name of an object in s3://{}/{}", self.bucket, self.prefix).into()
            );
        }
        Ok(key)
    }
    /// Key of a name or the beginning of one, unchecked.
    pub(crate) fn key_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
    /// Name of a key below the prefix.
    pub(crate) fn name_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.prefix).filter(|n| !n.is_empty())
    }
}

/// Read a URL.
pub(crate) fn parse(url: &str) -> Result<(Place, Access)> {
    let bad = |why: &str| -> model::Error {
        format!("`{url}`: {why}; write s3://bucket/prefix, with ?endpoint=http://host:port&region=… where needed")
            .into()
    };
    let rest = url.strip_prefix("s3://").ok_or_else(|| bad("it does not begin with s3://"))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    let of_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.' || b == b'_';
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(of_bucket) {
        return Err(bad("the bucket's name must be 3 to 63 of a-z, 0-9, `-` and `.`"));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.starts_with('/') || prefix.contains("//") {
        return Err(bad("the prefix has an empty part"));
    }
    let place =
        Place { bucket: bucket.into(), prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } };
    let mut access = Access::default();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("a parameter has no `=`"))?;
        let value = decode(value).ok_or_else(|| bad("a parameter is not UTF-8"))?;
        match name {
            "endpoint" if value.starts_with("http://") || value.starts_with("https://") => {
                access.endpoint = Some(value.trim_end_matches('/').into())
            }
            "endpoint" => return Err(bad("the endpoint must begin with http:// or https://")),
            "region" if !value.is_empty() => access.region = Some(value),
            "anonymous" if value == "true" || value == "false" => access.anonymous = value == "true",
            _ => return Err(bad(&format!("`{pair}` is not understood"))),
        }
    }
    Ok((place, access))
}

/// Undo percent encoding (`+` stays what it is).
pub(crate) fn decode(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((b, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.filter(|h| *b == b'%' && h.bytes().all(|b| b.is_ascii_hexdigit())) {
            Some(h) => {
                out.push(u8::from_str_radix(h, 16).ok()?);
                rest = &tail[2..];
            }
            None => {
                out.push(*b);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_keys() {
        let (p, a) = parse("s3://logs.example/a/b/?endpoint=http%3A%2F%2F127.0.0.1:5000/&region=eu-central-1").unwrap();
        assert_eq!((p.bucket.as_str(), p.prefix.as_str()), ("logs.example", "a/b/"));
        assert_eq!((a.endpoint.as_deref(), a.region.as_deref()), (Some("http://127.0.0.1:5000"), Some("eu-central-1")));
        assert_eq!(p.key("x/year=2026/y_1-2.json").unwrap(), "a/b/x/year=2026/y_1-2.json");
        assert_eq!((p.name_of("a/b/c"), p.name_of("a/b/"), p.name_of("other")), (Some("c"), None, None));
        for bad in ["", "/x", "x/", "a//b", "..", "a/../b", "a b", "ä", &"x".repeat(1100)] {
            assert!(p.key(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("s3://bucket").unwrap().0.prefix, "");
        for (bad, why) in [
            ("http://x", "begin with s3://"),
            ("s3://", "3 to 63"),
            ("s3://UPPER/x", "3 to 63"),
            ("s3://bucket//x", "empty part"),
            ("s3://bucket?endpoint=ftp://x", "must begin with http"),
            ("s3://bucket?secret=x", "`secret=x` is not understood"),
            ("s3://bucket?region", "no `=`"),
        ] {
            assert!(parse(bad).err().unwrap().to_string().contains(why), "{bad}");
        }
    }

    #[test]
    fn percent_encoding() {
        assert_eq!(decode("a%2Fb+c%20%e4%b8%80%").unwrap(), "a/b+c 一%");
        assert_eq!(decode("%zz%+1").unwrap(), "%zz%+1");
        assert!(decode("%ff").is_none());
    }
}
