//! Lines out of a byte range of a plain file: the fast path.
//!
//! A record belongs to the split that holds its first byte, so splits can lie anywhere and are read independently: the
//! reader passes over a record that began before, and reads on behind its range to finish its last one. Reads start
//! at a page of the file and land on a page of memory: a read that is off by a few bytes costs several times as much.
use super::batch::{Batcher, MAX_HEADER, REJECT_RAW, spare};
use super::detail::Detail;
use model::raw::PAD;
use model::{RawRecord, Result, Split};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Alignment of reads, in the file and in memory.
const PAGE: usize = 4096;
/// Read behind the range at once, to finish the last record; a longer one is read on its own.
const OVER: u64 = 16 << 10;

/// Read the records of a split.
pub(crate) fn read(file: &File, split: &Split, detail: &Detail, max_line: usize, out: &mut Batcher) -> Result<()> {
    let (from, to) = (split.from, split.to);
    let starts_here = from == 0 || detail.fresh || byte(file, from - 1)? == b'\n';
    let base = from & !(PAGE as u64 - 1);
    let stop = detail.end.min(to + OVER).max(to);
    let (data, skew) = read_pages(file, base, (stop - base) as usize)?;
    let offset_of = |i: usize| base + (i - skew) as u64;
    let limit = skew + (to - base) as usize;
    let mut start = skew + (from - base) as usize;
    if from == 0 && data[start..].starts_with(b"\xef\xbb\xbf") {
        start += 3;
    }
    if !starts_here {
        match memchr::memchr(b'\n', &data[start..limit]) {
            Some(i) => start += i + 1,
            None => return Ok(()),
        }
    }
    let mut records = Vec::with_capacity((limit - start) / 256);
    let mut ends = memchr::memchr_iter(b'\n', &data[start..]);
    let first = start;
    let mut long = None;
    while start < limit {
        let end = match ends.next() {
            Some(i) => first + i,
            None if stop == detail.end => data.len(),
            None => {
                long = Some(offset_of(start));
                break;
            }
        };
        add(&data, start, end, offset_of(start), max_line, &mut records, out);
        start = end + 1;
    }
    out.send(data, records);
    match long {
        Some(at) => read_long(file, at, detail, max_line, out),
        None => Ok(()),
    }
}

/// One line, from `start` to `end`; over-long ones are rejected.
fn add(data: &[u8], start: usize, end: usize, at: u64, max: usize, records: &mut Vec<RawRecord>, out: &mut Batcher) {
    if end - start > max {
        too_long(&data[start..end], (end - start) as u64, at, max, out);
    } else {
        let end = if end > start && data[end - 1] == b'\r' { end - 1 } else { end };
        records.push(RawRecord { start: start as u32, len: (end - start) as u32, ordinal: 0, offset: at });
    }
}

fn too_long(raw: &[u8], size: u64, at: u64, max: usize, out: &mut Batcher) {
    out.reject((at, 0), "line_too_long", format!("a line longer than max_line = {max} bytes"), raw, size);
}

/// The record at `at`, which goes on far behind its split: a batch of its own.
fn read_long(file: &File, at: u64, detail: &Detail, max_line: usize, out: &mut Batcher) -> Result<()> {
    let base = at & !(PAGE as u64 - 1);
    let stop = detail.end.min(at + max_line.max(REJECT_RAW) as u64 + 1);
    let (data, skew) = read_pages(file, base, (stop - base) as usize)?;
    let start = skew + (at - base) as usize;
    let mut records = Vec::new();
    match memchr::memchr(b'\n', &data[start..]) {
        Some(i) => add(&data, start, start + i, at, max_line, &mut records, out),
        // The size of the whole line is not looked for: `size` only says that there is more.
        None if data.len() - start > max_line => too_long(&data[start..], u64::MAX, at, max_line, out),
        None => add(&data, start, data.len(), at, max_line, &mut records, out),
    }
    out.send(data, records);
    Ok(())
}

/// First line of the file, if it is short enough and ends before `end`. The flag says whether a line end was seen:
/// only then will it stay what it is.
pub(crate) fn header(file: &File, end: u64) -> Result<(Option<Arc<[u8]>>, bool)> {
    let mut head = vec![0; end.min(MAX_HEADER as u64 + 4) as usize];
    file.read_exact_at(&mut head, 0)?;
    let line_end = memchr::memchr(b'\n', &head);
    let line = &head[..line_end.unwrap_or(head.len())];
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(((line.len() <= MAX_HEADER).then(|| line.into()), line_end.is_some()))
}

fn byte(file: &File, at: u64) -> Result<u8> {
    let mut b = [0];
    file.read_exact_at(&mut b, at)?;
    Ok(b[0])
}

/// `len` bytes of the file from `base` (a page) on, page-aligned in memory: the bytes start at the returned index of
/// the vector, and end it. The room behind is what [`Batcher::send`] and the parser append.
fn read_pages(file: &File, base: u64, len: usize) -> Result<(Vec<u8>, usize)> {
    let mut data: Vec<u8> = Vec::with_capacity(PAGE + len + PAD + spare(PAGE + len));
    let skew = data.as_ptr().align_offset(PAGE) % PAGE;
    data.resize(skew, 0);
    let mut got = 0;
    while got < len {
        // SAFETY: `got < len` bytes behind `skew` are filled; the capacity holds `len`, so the target is inside it.
        let n = unsafe {
            let to = data.as_mut_ptr().add(skew + got);
            libc::pread(file.as_raw_fd(), to.cast(), len - got, (base as usize + got) as libc::off_t)
        };
        match n {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was").into()),
            n if n > 0 => got += n as usize,
            _ => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e.into());
                }
            }
        }
    }
    // SAFETY: `skew` bytes were set above and `len` were written by the system.
    unsafe { data.set_len(skew + len) };
    Ok((data, skew))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_file_are_pages_of_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let text: Vec<u8> = (0..20_000u32).flat_map(|i| i.to_le_bytes()).collect();
        std::fs::write(&path, &text).unwrap();
        let f = File::open(&path).unwrap();
        let (data, skew) = read_pages(&f, 8192, 50_000).unwrap();
        assert_eq!(data[skew..], text[8192..58_192]);
        assert_eq!((data.as_ptr() as usize + skew) % PAGE, 0);
        assert!(data.capacity() - data.len() >= PAD + spare(data.len()), "nothing is copied later");
        assert!(read_pages(&f, 0, text.len() + 1).unwrap_err().to_string().contains("shorter than it was"));
    }
}
