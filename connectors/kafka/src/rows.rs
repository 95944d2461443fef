//! The rows of one epoch on their way out, as the bytes that will be produced. They stay until the commit is known,
//! so that an unknown outcome can be produced again.
//!
//! A row is `key length | value length | headers length` (u32, little endian; a missing key is `u32::MAX`), key,
//! value, headers; a header is `name length | value length` (u16, u32), name, value. The digest is over all of it.
use crate::mark::hash;

/// Buffer kept from epoch to epoch; a larger one is given back.
const KEEP: usize = 8 << 20;
const NO_KEY: u32 = u32::MAX;
/// Bytes before a row's key.
const HEAD: usize = 12;

/// Rows in order.
#[derive(Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    count: u64,
}

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    headers: &'a [u8],
}

impl Rows {
    /// Add a row.
    pub(crate) fn push(&mut self, key: Option<&[u8]>, value: &[u8], headers: &[(&str, &[u8])]) {
        let head = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value);
        let start = self.bytes.len();
        for (name, value) in headers {
            self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value);
        }
        let lengths = [key.map_or(NO_KEY, |k| k.len() as u32), value.len() as u32, (self.bytes.len() - start) as u32];
        for (i, n) in lengths.iter().enumerate() {
            self.bytes[head + 4 * i..head + 4 * i + 4].copy_from_slice(&n.to_le_bytes());
        }
        self.count += 1;
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Hash of all rows in order (hex).
    pub(crate) fn digest(&self) -> String {
        hash(&self.bytes)
    }

    /// All rows in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(HEAD)?;
            let n = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
            let (key, tail) = tail.split_at(if n(0) == NO_KEY { 0 } else { n(0) as usize });
            let (value, tail) = tail.split_at(n(4) as usize);
            let (headers, tail) = tail.split_at(n(8) as usize);
            rest = tail;
            Some(Row { key: (n(0) != NO_KEY).then_some(key), value, headers })
        })
    }

    /// Forget them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.count = 0;
    }
}

impl<'a> Row<'a> {
    /// A row without headers.
    pub(crate) fn plain(key: &'a [u8], value: &'a [u8]) -> Row<'a> {
        Row { key: Some(key), value, headers: &[] }
    }

    /// Headers in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(6)?;
            let (name, tail) = tail.split_at(u16::from_le_bytes([head[0], head[1]]) as usize);
            let (value, tail) = tail.split_at(u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize);
            rest = tail;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut r = Rows::default();
        r.push(Some(b"k"), b"value", &[("a", b"1"), ("b", b"")]);
        r.push(None, b"", &[]);
        r.push(Some(b""), b"x", &[("c", &[0xff])]);
        let rows: Vec<Row> = r.iter().collect();
        assert_eq!(
            rows.iter().map(|r| (r.key, r.value)).collect::<Vec<_>>(),
            [(Some(b"k".as_slice()), b"value".as_slice()), (None, b""), (Some(b""), b"x")]
        );
        assert_eq!(rows[0].headers().collect::<Vec<_>>(), [("a", b"1".as_slice()), ("b", b"")]);
        assert_eq!(rows[2].headers().collect::<Vec<_>>(), [("c", [0xffu8].as_slice())]);
        let digest = r.digest();
        let mut other = Rows::default();
        other.push(None, b"kvalue", &[("a", b"1"), ("b", b"")]);
        assert!(other.digest() != digest && r.count() == 3);
        r.clear();
        assert_eq!((r.count(), r.iter().count(), r.digest()), (0, 0, Rows::default().digest()));
    }
}
