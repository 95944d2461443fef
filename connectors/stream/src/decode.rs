//! The decompressed bytes of a stream, with limits: a small file must not become a large one without end.
use crate::form::Codec;
use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;

/// Output below this is never called a bomb.
pub(crate) const RATIO_FLOOR: u64 = 10 << 20;
/// How much is decoded at a time.
const BLOCK: usize = 64 << 10;

/// Limits of decompression.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes out per byte in, once 10 MiB have come out.
    pub ratio: u64,
    /// Most bytes out.
    pub decoded: u64,
}

/// Why there is no more.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bytes are not what they claim to be: code and reason of the reject.
    Bad(&'static str, String),
    /// The raw bytes cannot be read: stops the engine.
    Io(io::Error),
}

/// A decoded stream with a window that frames are cut from.
pub(crate) struct Decoded {
    from: Box<dyn Read>,
    codec: Codec,
    taken: Rc<Cell<u64>>,
    disk: Rc<RefCell<Option<io::Error>>>,
    limits: Limits,
    made: u64,
    /// Bytes not dropped yet.
    buf: Vec<u8>,
    /// Next byte to look at.
    pub(crate) pos: usize,
    /// Bytes from here on are kept while more are read; `pos` if nothing is marked.
    mark: Option<usize>,
    /// Offset of `buf[0]` in the stream.
    base: u64,
    eof: bool,
}

impl Decoded {
    /// Decode raw bytes.
    pub(crate) fn new(raw: impl Read + 'static, codec: Codec, limits: Limits) -> Result<Decoded, Fault> {
        let (taken, disk) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let raw = Taken { raw, taken: taken.clone(), disk: disk.clone() };
        let from: Box<dyn Read> = match codec {
            Codec::Plain => Box::new(raw),
            Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(raw).map_err(Fault::Io)?),
        };
        Ok(Decoded {
            from,
            codec,
            taken,
            disk,
            limits,
            made: 0,
            buf: Vec::new(),
            pos: 0,
            mark: None,
            base: 0,
            eof: false,
        })
    }

    /// Offset in the stream of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }
    /// Bytes from `pos` on that are here.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buf[self.pos..]
    }
    /// Keep everything from the next byte on.
    pub(crate) fn set_mark(&mut self) {
        self.mark = Some(self.pos);
    }
    /// Bytes from the mark to the next byte.
    pub(crate) fn marked(&self) -> &[u8] {
        &self.buf[self.mark.unwrap_or(self.pos)..self.pos]
    }
    /// Everything from the mark (or the next byte) on that is here.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buf[self.mark.unwrap_or(self.pos)..]
    }
    /// Let go of the mark.
    pub(crate) fn drop_mark(&mut self) {
        self.mark = None;
    }

    /// Next byte without taking it; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        while self.pos == self.buf.len() {
            if !self.more()? {
                return Ok(None);
            }
        }
        Ok(Some(self.buf[self.pos]))
    }

    /// Read another block behind what is here; false at the end of the stream.
    pub(crate) fn more(&mut self) -> Result<bool, Fault> {
        if self.eof {
            return Ok(false);
        }
        let keep = self.mark.unwrap_or(self.pos);
        if keep > 0 && keep * 2 >= self.buf.len() {
            self.buf.drain(..keep);
            self.base += keep as u64;
            self.pos -= keep;
            self.mark = self.mark.map(|_| 0);
        }
        let used = self.buf.len();
        self.buf.resize(used + BLOCK, 0);
        let got = self.from.read(&mut self.buf[used..]);
        self.buf.truncate(used + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) => self.eof = true,
            Ok(n) => self.made += n as u64,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(self.fault(e)),
        }
        self.check()?;
        Ok(!self.eof)
    }

    fn fault(&mut self, e: io::Error) -> Fault {
        match (self.disk.take(), self.codec) {
            (Some(e), _) => Fault::Io(e),
            (None, Codec::Gzip) => Fault::Bad("corrupt_gzip", format!("gzip: {e} at decoded byte {}", self.made)),
            (None, Codec::Zstd) => Fault::Bad("corrupt_zstd", format!("zstd: {e} at decoded byte {}", self.made)),
            (None, Codec::Plain) => Fault::Io(e),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let (name, taken) = (self.codec.name(), self.taken.get());
        if self.codec == Codec::Plain {
            return Ok(()); // nothing grows; the size is known before
        }
        if self.made > self.limits.decoded {
            let why = format!("{name}: more than max_decoded = {} bytes; the rest was not read", self.limits.decoded);
            return Err(Fault::Bad("too_large", why));
        }
        if self.made > RATIO_FLOOR && self.made / taken.max(1) >= self.limits.ratio {
            let ratio = self.limits.ratio;
            let why =
                format!("{name}: {taken} bytes became {}: over max_ratio = {ratio}; the rest was not read", self.made);
            return Err(Fault::Bad("over_ratio", why));
        }
        Ok(())
    }
}

/// Raw bytes, counted; that they cannot be read is told apart from bad data.
struct Taken<R> {
    raw: R,
    taken: Rc<Cell<u64>>,
    disk: Rc<RefCell<Option<io::Error>>>,
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.raw.read(buf) {
            Ok(n) => {
                self.taken.set(self.taken.get() + n as u64);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let said = io::Error::new(e.kind(), e.to_string());
                *self.disk.borrow_mut() = Some(e);
                Err(said)
            }
        }
    }
}
