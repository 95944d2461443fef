//! Records out of streams of bytes, whatever holds the bytes: a file, an object of a bucket.
//!
//! [`sniff()`] tells codec and stream from the first bytes; [`Ahead`] unpacks a stream, cuts it and hands out batches.
//! What cannot be read is rejected, with a code and a place; only raw bytes that cannot be had are an error.

mod ahead;
pub mod batch;
mod decode;
mod form;
mod json;
mod sniff;
mod text;

pub use ahead::Ahead;
pub use batch::Batcher;
pub use decode::Limits;
pub use form::{Codec, Stream};
pub use sniff::{WINDOW, sniff};

use decode::{Decoded, Fault};
use model::path::{Path, Seg};
use std::io::{self, Read};

/// How to read a stream.
#[derive(Clone, Debug)]
pub struct How {
    /// How it is packed.
    pub codec: Codec,
    /// How it is cut; `auto` is lines here.
    pub stream: Stream,
    /// Where the records of a `json_array` document are.
    pub array: Path,
    /// Longest record, bytes; a longer one is rejected.
    pub max_record: usize,
    /// Limits of unpacking.
    pub limits: Limits,
}

/// Read the whole of it. Errors: only those of `raw`.
fn read(raw: impl Read + 'static, how: &How, mut out: Batcher) -> io::Result<()> {
    let max = how.max_record;
    let mut d = match Decoded::new(raw, how.codec, how.limits) {
        Ok(d) => d,
        Err(Fault::Io(e)) => return Err(e),
        Err(Fault::Bad(code, why)) => {
            out.reject((0, 0), code, why, b"", 0);
            return Ok(());
        }
    };
    let done = match how.stream {
        Stream::Auto | Stream::Lines => text::read(&mut d, max, false, &mut out),
        Stream::Csv => text::read(&mut d, max, true, &mut out),
        Stream::Json => json::values(&mut d, max, &mut out),
        Stream::JsonArray => json::elements(&mut d, &how.array, max, &mut out),
        Stream::CloudTrail => json::elements(&mut d, &Path::key("Records"), max, &mut out),
        Stream::CloudWatch => json::cloudwatch(&mut d, max, &mut out),
    };
    out.flush();
    match done {
        Ok(()) => Ok(()),
        Err(Fault::Io(e)) => Err(e),
        Err(Fault::Bad(code, why)) => {
            let pending = d.pending();
            out.reject((d.offset(), 0), code, why, pending, pending.len() as u64);
            Ok(())
        }
    }
}

/// Read the setting `array_field`: a path such as `detail.records`.
pub fn array_path(text: &str) -> Result<Path, String> {
    let path = Path::parse(text).map_err(|e| e.to_string())?;
    if path.has_each() || path.0.iter().any(|s| matches!(s, Seg::Index(i) if *i < 0)) {
        return Err("only names and indexes from the start lead to an array".into());
    }
    Ok(path)
}

/// Bounds of a longest record, bytes: spans are 32 bits wide, and a batch is held several times.
pub const MAX_RECORD: std::ops::RangeInclusive<u64> = 64..=64 << 20;
