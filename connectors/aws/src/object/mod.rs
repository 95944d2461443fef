//! A bucket as object storage: [`model::Objects`] over S3.
//!
//! Objects are written under the condition that the name is free (`If-None-Match: *`), so two writers cannot both
//! succeed with different bytes, and a write whose answer was lost can simply be sent again: where the name is taken,
//! the bytes there are read back and compared. Above [`WHOLE_MAX`] an object goes up in parts; parts become visible
//! together, and an upload that cannot be completed is aborted.
mod parts;
mod place;
#[cfg(test)]
mod tests;

use crate::access::Access;
use crate::blob::{Blob, Download, Effort, RANGE};
use crate::retry::{Class, Failure, Patience, failure, insist};
use crate::runtime::wait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use model::{Objects, Result};
use place::Place;
pub(crate) use place::decode;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OnceCell;

/// Largest object that is written with one request.
const WHOLE_MAX: usize = 16 << 20;
/// Most names of one listing.
const LIST_MAX: usize = 1_000_000;
/// Largest object that is read into memory.
const GET_MAX: u64 = 4 << 30;

/// Open the object storage at `s3://bucket/prefix?endpoint=…&region=…`.
///
/// `endpoint` is the URL of a service that speaks S3's protocol (path style is used then), `region` that of the bucket,
/// `anonymous=true` sends requests unsigned. Without them the standard AWS environment, profiles and instance roles
/// decide. Nothing is opened before the first call. Errors: a URL that is not of this form. The calls themselves are
/// tried again for about two minutes while the service is away or asks to slow down, then fail with bucket, key and
/// cause.
pub fn objects(url: &str) -> Result<Arc<dyn Objects>> {
    // Shards of a sink open the same URL: they share one client, its connections and its credentials.
    static OPEN: Mutex<Vec<(String, Weak<Bucket>)>> = Mutex::new(Vec::new());
    let (place, access) = place::parse(url)?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, b)| b.strong_count() > 0);
    if let Some(b) = open.iter().find(|(u, _)| u == url).and_then(|(_, b)| b.upgrade()) {
        return Ok(b);
    }
    let b = Arc::new(Bucket::new(place, access, Patience::CALL));
    open.push((url.into(), Arc::downgrade(&b)));
    Ok(b)
}

/// See the module.
pub(crate) struct Bucket {
    place: Place,
    access: Access,
    patience: Patience,
    client: OnceCell<Client>,
    /// When unfinished uploads were last looked for, seconds since 1970.
    swept: AtomicI64,
}

impl Bucket {
    pub(crate) fn new(place: Place, access: Access, patience: Patience) -> Bucket {
        Bucket { place, access, patience, client: OnceCell::new(), swept: AtomicI64::new(0) }
    }

    async fn client(&self) -> &Client {
        let make = || async { self.access.s3(&self.access.load(self.patience.attempt).await, None) };
        self.client.get_or_init(make).await
    }

    async fn blob(&self, key: &str) -> Blob {
        let client = self.client().await.clone();
        Blob { client, bucket: self.place.bucket.clone(), key: key.into(), version: None, etag: None }
    }

    fn error(&self, what: &str, key: &str, f: Failure) -> model::Error {
        let hint = match &f.class {
            Class::Moved(region) => format!("; the bucket is in another region: add `region={region}` to the URL"),
            Class::Denied => "; check the credentials and the bucket's policy".into(),
            _ => String::new(),
        };
        format!("cannot {what} s3://{}/{key}: {}{hint}", self.place.bucket, f.text).into()
    }

    async fn put_whole(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let (client, body) = (self.client().await, Bytes::copy_from_slice(bytes));
        insist(&self.patience, || async {
            let put = client.put_object().bucket(&self.place.bucket).key(key).if_none_match("*");
            put.body(ByteStream::from(body.clone())).send().await.map(drop).map_err(failure)
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let mut blob = self.blob(key).await;
        let first = match insist(&self.patience, || blob.range(0, RANGE)).await {
            Err(f) if f.class == Class::Range => return Ok(Vec::new()),
            r => r?,
        };
        if first.total > GET_MAX {
            let text = format!("it has {} bytes; more than {GET_MAX} are not read into memory", first.total);
            return Err(Failure { class: Class::Other, text });
        }
        let mut out = Vec::with_capacity(first.total as usize);
        out.extend_from_slice(&first.bytes);
        blob.etag = first.etag;
        let effort = Effort::Bounded(self.patience);
        let mut rest = Download::new(Arc::new(blob), out.len() as u64, first.total, effort);
        loop {
            let block = rest.block().await?;
            if block.is_empty() {
                return Ok(out);
            }
            out.extend_from_slice(&block);
        }
    }

    /// The name is taken: success if the bytes are ours.
    async fn compare(&self, key: &str, bytes: &[u8]) -> Result<()> {
        match self.read(key).await {
            Ok(there) if there == bytes => Ok(()),
            Ok(there) => Err(format!(
                "s3://{}/{key} exists with other bytes ({} there, {} to write): another writer uses this place; give \
                 each run a prefix of its own",
                self.place.bucket,
                there.len(),
                bytes.len()
            )
            .into()),
            Err(f) => Err(self.error("read back", key, f)),
        }
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let (client, mut out, mut more) = (self.client().await, Vec::new(), None::<String>);
        loop {
            let page = insist(&self.patience, || async {
                let list = client.list_objects_v2().bucket(&self.place.bucket).prefix(self.place.key_of(prefix));
                list.set_continuation_token(more.clone()).send().await.map_err(failure)
            })
            .await?;
            let keys = page.contents().iter().filter_map(|o| o.key());
            out.extend(keys.filter_map(|k| self.place.name_of(k)).map(str::to_string));
            if out.len() > LIST_MAX {
                let text = format!("there are more than {LIST_MAX} objects");
                return Err(Failure { class: Class::Other, text });
            }
            more = page.next_continuation_token().map(str::to_string);
            if more.is_none() {
                out.sort();
                return Ok(out);
            }
        }
    }
}

impl Objects for Bucket {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let key = self.place.key(name)?;
        model::fault::crash_point("object.before_rename");
        wait(async {
            let written = match bytes.len() <= WHOLE_MAX {
                true => self.put_whole(&key, bytes).await,
                false => self.put_parts(&key, bytes).await,
            };
            match written {
                Err(f) if f.class == Class::Changed => self.compare(&key, bytes).await,
                r => r.map_err(|f| self.error("write", &key, f)),
            }
        })
    }

    fn get(&self, name: &str) -> Result<Vec<u8>> {
        let key = self.place.key(name)?;
        wait(self.read(&key)).map_err(|f| self.error("read", &key, f))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let names = wait(async {
            self.sweep_stale().await;
            self.names(prefix).await
        });
        names.map_err(|f| self.error("list", &self.place.key_of(prefix), f))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let key = self.place.key(name)?;
        wait(async {
            let client = self.client().await;
            let delete = || async {
                let d = client.delete_object().bucket(&self.place.bucket).key(&key);
                d.send().await.map(drop).map_err(failure)
            };
            match insist(&self.patience, delete).await {
                Err(f) if f.class == Class::Missing && !f.text.contains("NoSuchBucket") => Ok(()),
                r => r.map_err(|f| self.error("delete", &key, f)),
            }
        })
    }
}
