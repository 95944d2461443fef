//! Helpers for the tests of native parsers.
use super::Native;
use crate::flat::FlatMap;

/// Fields of one line, in order.
pub type Fields = Vec<(String, String)>;

/// 2026-11-24T00:00:00Z: the epoch's clock in these tests.
pub const NOW_MS: i64 = 1_795_478_400_000;

/// Parse lines with one stream.
pub fn parse_lines(native: &dyn Native, header: Option<&str>, lines: &[&str]) -> Vec<Result<Option<Fields>, String>> {
    let mut stream = native.new_stream();
    stream.clock(NOW_MS);
    let mut one = |line: &&str| {
        let mut out = FlatMap::default();
        out.begin(line);
        Ok(stream.parse(line, header, &mut out)?.map(|()| out.to_pairs(line)))
    };
    lines.iter().map(&mut one).collect()
}

/// Parse one line of a stream without a header.
pub fn parse(native: &dyn Native, line: &str) -> Result<Option<Fields>, String> {
    parse_lines(native, None, &[line]).remove(0)
}

/// Value of a field.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}
