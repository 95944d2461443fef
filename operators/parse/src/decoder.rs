//! One record at a time, without a topology: for the command line, tests and schema authors.
use crate::decode::{decode_flat, decode_json};
use crate::flat::FlatMap;
use crate::miss::Miss;
use crate::record::trimmed;
use crate::schema::Schema;
use crate::text::{Parser, TextStream};
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// Decodes the records of one stream by one schema.
pub struct Decoder {
    schema: Arc<Schema>,
    stream: Option<TextStream>,
    flat: FlatMap,
}

impl Decoder {
    /// On a new stream.
    pub fn new(schema: Arc<Schema>) -> Decoder {
        let stream = match &schema.parser {
            Parser::Json => None,
            Parser::Text(p) => Some(p.stream()),
        };
        Decoder { schema, stream, flat: FlatMap::default() }
    }

    /// The clock (milliseconds since 1970) for the records that follow: times without a year take theirs from it.
    pub fn clock(&mut self, now_ms: i64) {
        if let Some(stream) = &mut self.stream {
            stream.clock(now_ms);
        }
    }

    /// The event's own fields (without standard fields). `Ok(None)`: an empty, header or comment line. `header` is the
    /// first line of the file, if there is one.
    pub fn decode(&mut self, record: &str, header: Option<&str>) -> Result<Option<Map<String, J>>, Miss> {
        let text = std::str::from_utf8(trimmed(record.as_bytes())).unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        match &mut self.stream {
            None => decode_json(&self.schema, text).map(Some),
            Some(stream) => match stream.parse(text, header, &mut self.flat).map_err(Miss::Text)? {
                None => Ok(None),
                Some(()) => decode_flat(&self.schema, &self.flat, text).map(Some),
            },
        }
    }
}

/// Decode one record on a stream of its own: see [`Decoder::decode`].
pub fn decode_one(schema: &Arc<Schema>, line: &str) -> Result<Option<Map<String, J>>, Miss> {
    Decoder::new(schema.clone()).decode(line, None)
}
