//! Random names and secrets, from the system. Nothing that decides what comes out of the stream may use it.
use std::fs::File;
use std::io::{self, Read};

/// This many random bytes in hex.
pub fn hex(bytes: usize) -> io::Result<String> {
    let mut b = vec![0u8; bytes];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut b))
        .map_err(|e| io::Error::new(e.kind(), format!("read /dev/urandom: {e}")))?;
    Ok(b.iter().map(|b| format!("{b:02x}")).collect())
}
