//! S3 clients by region, and the first look at an object.
use super::notice::Named;
use crate::access::{ATTEMPT, Access};
use crate::blob::Blob;
use crate::retry::{Class, Failure, outlast};
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// Buckets whose region is remembered.
const BUCKETS_MAX: usize = 1000;
/// Regions with a client.
const REGIONS_MAX: usize = 64;

/// The clients of a source; made when they are needed.
pub(crate) struct Clients {
    access: Access,
    config: OnceCell<SdkConfig>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Region of a bucket, as S3 told.
    buckets: BTreeMap<String, String>,
    by_region: BTreeMap<String, Client>,
}

/// An object as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) etag: String,
    pub(crate) version: Option<String>,
    pub(crate) size: u64,
    pub(crate) region: Option<String>,
}

impl Clients {
    pub(crate) fn new(access: Access) -> Clients {
        Clients { access, config: OnceCell::new(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client for a region; that of the settings or the environment if none is given.
    pub(crate) async fn s3(&self, region: Option<&str>) -> Client {
        let config = self.config.get_or_init(|| self.access.load(ATTEMPT)).await;
        let own = config.region().map(|r| r.to_string()).unwrap_or_default();
        let region = region.unwrap_or(&own);
        let mut known = self.known();
        if let Some(c) = known.by_region.get(region) {
            return c.clone();
        }
        if known.by_region.len() >= REGIONS_MAX {
            known.by_region.pop_first();
        }
        let client = self.access.s3(config, Some(region));
        known.by_region.insert(region.into(), client.clone());
        client
    }

    /// Look at an object by reading its first byte: that shows that it is there, in which state, and that it may be
    /// read and decrypted. Waits while S3 is away. Size 0 if it is empty.
    pub(crate) async fn look(&self, source: &str, n: &Named) -> Result<Looked, Failure> {
        // An endpoint of one's own has one region.
        let told = n.region.clone().filter(|_| self.access.endpoint.is_none());
        let mut region = self.known().buckets.get(&n.bucket).cloned().or(told);
        let what = format!("source {source}: read from s3://{}", n.bucket);
        for _ in 0..2 {
            let blob = Blob {
                client: self.s3(region.as_deref()).await,
                bucket: n.bucket.clone(),
                key: n.key.clone(),
                version: n.version.clone(),
                etag: None,
            };
            match outlast(&what, || blob.range(0, 1)).await {
                Ok(p) => {
                    let etag = p.etag.unwrap_or_default().trim_matches('"').to_string();
                    let version = p.version.filter(|v| v != "null");
                    return Ok(Looked { etag, version, size: p.total, region });
                }
                Err(f) if f.class == Class::Range => {
                    return Ok(Looked { etag: String::new(), version: None, size: 0, region });
                }
                Err(f) => match f.class {
                    Class::Moved(r) if region.as_ref() != Some(&r) => {
                        let mut known = self.known();
                        if known.buckets.len() >= BUCKETS_MAX {
                            known.buckets.pop_first();
                        }
                        known.buckets.insert(n.bucket.clone(), r.clone());
                        region = Some(r);
                    }
                    class => return Err(Failure { class, text: f.text }),
                },
            }
        }
        Err(Failure { class: Class::Other, text: format!("the region of the bucket {} cannot be found", n.bucket) })
    }
}
