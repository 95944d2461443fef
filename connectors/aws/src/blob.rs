//! One object of a bucket, read in ranges: several at once, in order, each tried again on its own.
use crate::retry::{Class, Failure, Patience, chain, failure, insist, outlast};
use crate::runtime::{runtime, wait};
use aws_sdk_s3::Client;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes of a range.
pub(crate) const RANGE: u64 = 8 << 20;
/// Ranges of one object on their way at once.
const AHEAD: usize = 4;

/// Which object, in exactly which state.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    /// Its ETag, if it must be this one.
    pub(crate) etag: Option<String>,
}

/// What a read of a range found.
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Length of the whole object.
    pub(crate) total: u64,
    pub(crate) etag: Option<String>,
    pub(crate) version: Option<String>,
}

impl Blob {
    /// Read `[from, to)`, or what there is of it.
    pub(crate) async fn range(&self, from: u64, to: u64) -> Result<Piece, Failure> {
        let get = self.client.get_object().bucket(&self.bucket).key(&self.key);
        let get = get.range(format!("bytes={from}-{}", to - 1)).set_version_id(self.version.clone());
        let got = get.set_if_match(self.etag.clone()).send().await.map_err(failure)?;
        let (etag, version) = (got.e_tag().map(str::to_string), got.version_id().map(str::to_string));
        let said = got.content_range().and_then(|r| r.rsplit('/').next()).and_then(|n| n.parse().ok());
        let bytes = got.body.collect().await.map_err(|e| Failure::transient(chain(&e)))?.into_bytes();
        // Without a content range it is the whole object.
        let total = said.unwrap_or(bytes.len() as u64);
        let want = to.min(total).saturating_sub(from);
        if bytes.len() as u64 != want {
            return Err(Failure::transient(format!("{} bytes came where {want} were asked for", bytes.len())));
        }
        Ok(Piece { bytes, total, etag, version })
    }
}

/// How long a failing range is fought.
#[derive(Clone, Debug)]
pub(crate) enum Effort {
    /// Bounded.
    Bounded(Patience),
    /// As long as it takes; the text says what is waited for.
    Endless(Arc<str>),
}

/// The bytes of an object of known length, in order.
pub(crate) struct Download {
    blob: Arc<Blob>,
    effort: Effort,
    /// First byte not asked for yet.
    next: u64,
    size: u64,
    coming: VecDeque<JoinHandle<Result<Bytes, Failure>>>,
    here: Bytes,
}

impl Download {
    /// From a byte of the object to its end.
    pub(crate) fn new(blob: Arc<Blob>, from: u64, size: u64, effort: Effort) -> Download {
        Download { blob, effort, next: from, size, coming: VecDeque::new(), here: Bytes::new() }
    }

    /// Length of the object.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Ask for the first range, if nothing was asked for yet.
    pub(crate) fn begin(&mut self) {
        self.ask(1);
    }

    fn ask(&mut self, ahead: usize) {
        while self.coming.len() < ahead && self.next < self.size {
            let (from, to) = (self.next, self.size.min(self.next + RANGE));
            let (blob, effort) = (self.blob.clone(), self.effort.clone());
            self.coming.push_back(runtime().spawn(async move {
                let read = || async {
                    match blob.range(from, to).await {
                        Ok(p) if p.bytes.len() as u64 == to - from => Ok(p.bytes),
                        Ok(p) => Err(Failure {
                            class: Class::Changed,
                            text: format!("it has {} bytes, fewer than it had", p.total),
                        }),
                        Err(f) => Err(f),
                    }
                };
                match &effort {
                    Effort::Bounded(p) => insist(p, read).await,
                    Effort::Endless(what) => outlast(what, read).await,
                }
            }));
            self.next = to;
        }
    }

    /// The next bytes; empty at the end.
    pub(crate) async fn block(&mut self) -> Result<Bytes, Failure> {
        self.ask(AHEAD);
        let Some(first) = self.coming.pop_front() else { return Ok(Bytes::new()) };
        let got = first.await.unwrap_or_else(|e| Err(Failure { class: Class::Other, text: e.to_string() }));
        self.ask(AHEAD);
        got
    }
}

impl Read for Download {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            match wait(self.block()) {
                Ok(b) => self.here = b,
                Err(f) => return Err(io::Error::other(f.text)),
            }
        }
        let n = buf.len().min(self.here.len());
        buf[..n].copy_from_slice(&self.here[..n]);
        self.here.advance(n);
        Ok(n)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.coming.iter().for_each(|t| t.abort());
    }
}
