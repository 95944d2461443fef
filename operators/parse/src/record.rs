//! The bytes of a record before any parser sees them.

/// A UTF-8 byte order mark, which some producers put at the start of a file.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A record without white space around it and without a byte order mark.
#[inline]
pub fn trimmed(record: &[u8]) -> &[u8] {
    let t = record.trim_ascii();
    match t.strip_prefix(BOM) {
        Some(rest) => rest.trim_ascii(),
        None => t,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims() {
        assert_eq!(trimmed(b" \t{} \r"), b"{}");
        assert_eq!(trimmed(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(trimmed(b" \r"), b"");
    }
}
