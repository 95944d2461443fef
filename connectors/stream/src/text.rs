//! Lines out of a stream that is read in one go: compressed files, and CSV, where a quoted field may hold line ends.
use crate::batch::{Batcher, MAX_HEADER};
use crate::decode::{Decoded, Fault};

/// Cut the whole stream into records. `quoted`: a line end between double quotes is part of the record.
pub(crate) fn read(d: &mut Decoded, max_line: usize, quoted: bool, out: &mut Batcher) -> Result<(), Fault> {
    let mut first = true;
    skip_bom(d)?;
    while d.peek()?.is_some() {
        d.set_mark();
        let at = d.offset();
        let ended = line_end(d, max_line, quoted)?;
        let line = d.marked();
        if line.len() > max_line {
            let size = if ended { line.len() as u64 } else { u64::MAX };
            out.reject((at, 0), "line_too_long", format!("a line longer than max_line = {max_line} bytes"), line, size);
            d.drop_mark();
            if !ended {
                skip_line(d)?;
            }
        } else {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if first && line.len() <= MAX_HEADER {
                out.header = Some(line.into());
            }
            out.push(line, at, 0);
            d.drop_mark();
        }
        if d.peek()? == Some(b'\n') {
            d.pos += 1;
        }
        first = false;
    }
    Ok(())
}

/// Pass a byte order mark.
pub(crate) fn skip_bom(d: &mut Decoded) -> Result<(), Fault> {
    while d.rest().len() < 3 && d.more()? {}
    if d.rest().starts_with(b"\xef\xbb\xbf") {
        d.pos += 3;
    }
    Ok(())
}

/// Go to the end of the line: true if it is a line end, false at the end of the stream or beyond `max` bytes.
fn line_end(d: &mut Decoded, max: usize, quoted: bool) -> Result<bool, Fault> {
    let mut inside = false;
    loop {
        let rest = d.rest();
        let next = if quoted { memchr::memchr2(b'"', b'\n', rest) } else { memchr::memchr(b'\n', rest) };
        match next {
            Some(i) if rest[i] == b'"' => {
                inside = !inside;
                d.pos += i + 1;
            }
            Some(i) if inside => d.pos += i + 1,
            Some(i) => {
                d.pos += i;
                return Ok(true);
            }
            None => {
                d.pos += rest.len();
                if d.marked().len() > max || !d.more()? {
                    return Ok(false);
                }
            }
        }
        if d.marked().len() > max {
            return Ok(false);
        }
    }
}

/// Go to the next line end whatever lies before it; the number of bytes passed.
pub(crate) fn skip_line(d: &mut Decoded) -> Result<usize, Fault> {
    let mut passed = 0;
    loop {
        match memchr::memchr(b'\n', d.rest()) {
            Some(i) => {
                d.pos += i;
                return Ok(passed + i);
            }
            None => {
                passed += d.rest().len();
                d.pos += d.rest().len();
                if !d.more()? {
                    return Ok(passed);
                }
            }
        }
    }
}
