//! Object storage: named immutable bytes in a folder or a bucket.
use crate::Result;
use std::sync::Arc;

/// Named immutable bytes. Names are `a/b/c`, of parts that match `[a-zA-Z0-9._=-]+` and are not `.` or `..`.
pub trait Objects: Send + Sync {
    /// Write an object whole and durable. If the name exists already with the same bytes, that is success; with other
    /// bytes it is an error (a second writer).
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Read an object.
    fn get(&self, name: &str) -> Result<Vec<u8>>;
    /// Names that start with a prefix, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;
    /// Remove an object; it may be gone already.
    fn delete(&self, name: &str) -> Result<()>;
}

type Open = dyn Fn(&str) -> Result<Arc<dyn Objects>> + Send + Sync;

/// Opens object storage by its URL (`s3://bucket/prefix`) or path (a folder). The app knows the schemes.
#[derive(Clone, Default)]
pub struct OpenObjects(Option<Arc<Open>>);

impl OpenObjects {
    /// Open with this.
    pub fn new(open: impl Fn(&str) -> Result<Arc<dyn Objects>> + Send + Sync + 'static) -> OpenObjects {
        OpenObjects(Some(Arc::new(open)))
    }
    /// Open the storage at `url`.
    pub fn open(&self, url: &str) -> Result<Arc<dyn Objects>> {
        match &self.0 {
            Some(open) => open(url),
            None => Err(format!("no object storage is known here: {url}").into()),
        }
    }
}

impl std::fmt::Debug for OpenObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenObjects")
    }
}
