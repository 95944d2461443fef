//! Bytes of a Parquet file for its reader: of an open file, or fetched.
use bytes::Bytes;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// See the module. An open file has no place of its own here: several workers may read it.
pub(crate) enum Chunks {
    File(Arc<File>),
    Bytes(Bytes),
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Chunks::File(f) => f.metadata().map_or(0, |m| m.len()),
            Chunks::Bytes(b) => b.len() as u64,
        }
    }
}

/// Reads a file from a place on.
pub(crate) struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;
    fn get_read(&self, start: u64) -> parquet::errors::Result<Box<dyn Read>> {
        Ok(match self {
            Chunks::File(f) => Box::new(BufReader::new(From { file: f.clone(), at: start })),
            Chunks::Bytes(b) => Box::new(b.get_read(start)?),
        })
    }
    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Chunks::File(f) => {
                let mut bytes = vec![0; length];
                f.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
            Chunks::Bytes(b) => b.get_bytes(start, length),
        }
    }
}
