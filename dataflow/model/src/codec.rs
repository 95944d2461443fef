//! The bytes of a key group's state: variable-length integers and length-prefixed text, nothing else. Written by hand so that
//! equal state gives equal bytes for ever, and so that damaged bytes give an error that names the place.
use crate::Result;

/// Appends values to a state object.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts with a format version.
    pub fn new(version: u8) -> Writer {
        Writer(vec![version])
    }
    /// Forgets what was written, and keeps the room for it.
    pub fn clear(&mut self) {
        self.0.clear();
    }
    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
    /// What another one wrote.
    pub fn append(&mut self, mut other: Writer) {
        self.0.append(&mut other.0);
    }
    /// One byte.
    pub fn byte(&mut self, b: u8) {
        self.0.push(b);
    }
    /// A flag.
    pub fn flag(&mut self, b: bool) {
        self.0.push(b as u8);
    }
    /// Unsigned integer, 7 bits a byte, low bits first.
    pub fn uint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }
    /// Signed integer; small magnitudes are short.
    pub fn int(&mut self, n: i64) {
        self.uint((n << 1) as u64 ^ (n >> 63) as u64);
    }
    /// Fixed 16 bytes.
    pub fn id(&mut self, n: u128) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    /// Bytes with their length.
    pub fn bytes(&mut self, b: &[u8]) {
        self.uint(b.len() as u64);
        self.0.extend_from_slice(b);
    }
    /// Text with its length.
    pub fn text(&mut self, s: &str) {
        self.bytes(s.as_bytes());
    }
    /// The finished object.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads back what [`Writer`] wrote.
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads from the start. `what` names the state in errors.
    pub fn of(all: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { all, at: 0, what }
    }
    /// Checks the format version.
    pub fn open(all: &'a [u8], version: u8, what: &'static str) -> Result<Reader<'a>> {
        let mut r = Reader::of(all, what);
        match r.byte()? {
            v if v == version => Ok(r),
            v => {
                Err(format!("{what} state: format version {v} is not known (this build reads version {version})")
                    .into())
            }
        }
    }
    fn damaged<T>(&self, why: &str) -> Result<T> {
        Err(format!("{} state is damaged at byte {}: {why}", self.what, self.at).into())
    }
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.all.get(self.at..).and_then(|rest| rest.get(..n)) {
            Some(b) => {
                self.at += n;
                Ok(b)
            }
            None => self.damaged("it ends too early"),
        }
    }
    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }
    /// A flag.
    pub fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.damaged("a flag is neither 0 nor 1"),
        }
    }
    /// Unsigned integer.
    pub fn uint(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= ((b & 0x7f) as u64) << shift;
            if b < 0x80 {
                return Ok(n);
            }
        }
        self.damaged("an integer does not end")
    }
    /// Signed integer.
    pub fn int(&mut self) -> Result<i64> {
        let z = self.uint()?;
        Ok((z >> 1) as i64 ^ -((z & 1) as i64))
    }
    /// Fixed 16 bytes.
    pub fn id(&mut self) -> Result<u128> {
        let mut b = [0u8; 16];
        b.copy_from_slice(self.take(16)?);
        Ok(u128::from_le_bytes(b))
    }
    /// Bytes with their length.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.uint()?;
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }
    /// Text with its length.
    pub fn text(&mut self) -> Result<&'a str> {
        let b = self.bytes()?;
        std::str::from_utf8(b).or_else(|_| self.damaged("text is not UTF-8"))
    }
    /// All bytes must have been read.
    pub fn end(self) -> Result<()> {
        if self.at == self.all.len() { Ok(()) } else { self.damaged("there are bytes behind its end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_names_damage() {
        let mut w = Writer::new(3);
        let ints = [0, -1, 1, 63, -64, 64, i64::MAX, i64::MIN];
        ints.iter().for_each(|n| w.int(*n));
        w.uint(u64::MAX);
        w.text("größe");
        w.id(7 << 100);
        let b = w.finish();
        let mut r = Reader::open(&b, 3, "test").unwrap();
        ints.iter().for_each(|n| assert_eq!(r.int().unwrap(), *n));
        assert_eq!((r.uint().unwrap(), r.text().unwrap()), (u64::MAX, "größe"));
        assert_eq!(r.id().unwrap(), 7 << 100);
        r.end().unwrap();
        for cut in 1..b.len() {
            let mut r = Reader::open(&b[..cut], 3, "test").unwrap();
            let all = (|| {
                for _ in ints {
                    r.int()?;
                }
                r.uint()?;
                r.text()?;
                r.id()
            })();
            assert!(all.unwrap_err().to_string().contains("test state is damaged at byte"), "cut at {cut}");
        }
        assert!(Reader::open(&b, 4, "test").is_err());
    }
}
