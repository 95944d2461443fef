//! What kind of stream it is, told from its first 64 KiB (decompressed).
use crate::form::{Codec, Stream};
use std::io::Read;

/// How much is looked at, bytes.
pub const WINDOW: usize = 64 << 10;

/// Codec and stream of what begins with these bytes ([`WINDOW`] of them, or all there are); `wanted` is the setting.
/// What cannot be decoded is taken for lines: the reader will find the same fault and reject it.
pub fn sniff(raw: &[u8], wanted: Stream) -> (Codec, Stream) {
    let codec = Codec::of(raw);
    if wanted != Stream::Auto {
        return (codec, wanted);
    }
    let mut text = Vec::new();
    match codec {
        Codec::Plain => return (codec, stream_of(&raw[..raw.len().min(WINDOW)])),
        Codec::Gzip => some_of(flate2::read::MultiGzDecoder::new(raw), &mut text),
        Codec::Zstd => {
            if let Ok(d) = zstd::stream::read::Decoder::new(raw) {
                some_of(d, &mut text)
            }
        }
    }
    (codec, stream_of(&text))
}

/// As much as can be decoded, up to the window; faults end it.
fn some_of(mut from: impl Read, out: &mut Vec<u8>) {
    let mut block = [0; 4096];
    while out.len() < WINDOW {
        match from.read(&mut block) {
            Ok(n) if n > 0 => out.extend_from_slice(&block[..n]),
            _ => break,
        }
    }
}

fn stream_of(text: &[u8]) -> Stream {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    match text.first() {
        Some(b'[') => {
            // Many line formats start with a bracket; an array of objects does not look like them.
            let inside = text[1..].trim_ascii_start();
            if matches!(inside.first(), Some(b'{' | b']')) && !line_is_value(text) {
                Stream::JsonArray
            } else {
                Stream::Lines
            }
        }
        Some(b'{') => object_stream(text),
        _ => Stream::Lines,
    }
}

/// True if the first line is one whole JSON value and another line follows: lines of JSON.
fn line_is_value(text: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', text) else { return false };
    !text[end..].trim_ascii().is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&text[..end]).is_ok()
}

fn object_stream(text: &[u8]) -> Stream {
    if records_array(text) {
        return Stream::CloudTrail;
    }
    let first_line = memchr::memchr(b'\n', text).map_or(text, |i| &text[..i]);
    let envelope = if first_line.trim_ascii().len() == 1 { text } else { first_line };
    let has = |needle: &[u8]| memchr::memmem::find(envelope, needle).is_some();
    if has(b"\"messageType\"") && has(b"\"logGroup\"") && has(b"\"logEvents\"") {
        return Stream::CloudWatch;
    }
    if first_line.len() == text.len() {
        // One line, perhaps longer than the window: values glued together, or a line.
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
        let glued = values.next().is_some_and(|v| v.is_ok()) && values.next().is_some_and(|v| v.is_ok());
        return if glued { Stream::Json } else { Stream::Lines };
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(first_line) {
        Ok(_) => Stream::Lines,
        // The object goes on after the line end, or a second one starts before it.
        Err(e) if e.is_eof() || first_line_starts_more(first_line) => Stream::Json,
        Err(_) => Stream::Lines,
    }
}

fn first_line_starts_more(line: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(line).into_iter::<serde::de::IgnoredAny>();
    values.next().is_some_and(|v| v.is_ok()) && line[values.byte_offset()..].trim_ascii_start().starts_with(b"{")
}

/// True for `{"Records":[`, white space anywhere between.
fn records_array(text: &[u8]) -> bool {
    ["{", "\"Records\"", ":", "["]
        .iter()
        .try_fold(text, |rest, token| rest.trim_ascii_start().strip_prefix(token.as_bytes()))
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_streams_apart() {
        for (text, want) in [
            ("", Stream::Lines),
            ("plain\nlines\n", Stream::Lines),
            ("{\"a\":1}\n{\"a\":2}\n", Stream::Lines),
            ("{\"a\":1}", Stream::Lines),
            ("\u{feff}{\"a\":1}\n{\"a\":2}\n", Stream::Lines),
            ("{\"a\":1}{\"a\":2}", Stream::Json),
            ("{\"a\":1} {\"a\":2}\n{}", Stream::Json),
            ("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", Stream::Json),
            ("{broken\n{\"a\":1}\n", Stream::Lines),
            ("[{\"a\":1},{\"a\":2}]", Stream::JsonArray),
            ("[\n {\"a\":1},\n {\"a\":2}]", Stream::JsonArray),
            ("[]", Stream::JsonArray),
            ("[{\"a\":1}]\n[{\"a\":1}]\n", Stream::Lines),
            ("[2024-01-01] nginx line\n", Stream::Lines),
            ("{\"Records\":[{\"eventVersion\":\"1.08\"}]}", Stream::CloudTrail),
            ("{ \"Records\" : [ ]}", Stream::CloudTrail),
            ("{\"Records\":7}\n{}", Stream::Lines),
            ("{\"messageType\":\"DATA_MESSAGE\",\"logGroup\":\"g\",\"logEvents\":[]}", Stream::CloudWatch),
        ] {
            assert_eq!(stream_of(text.as_bytes()), want, "{text}");
        }
        assert_eq!(Codec::of(b"\x1f\x8b\x08\x00"), Codec::Gzip);
        assert_eq!(Codec::of(&zstd::encode_all(&b"x"[..], 1).unwrap()), Codec::Zstd);
        assert_eq!(Codec::of(b"\x1f"), Codec::Plain);
    }
}
