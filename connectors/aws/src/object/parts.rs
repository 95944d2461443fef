//! Large objects go up in parts. Either all of it becomes visible under the name, or nothing stays: an upload that
//! cannot be completed is aborted, and uploads that a killed process left behind are found and aborted later.
use super::Bucket;
use crate::retry::{Class, Failure, failure, insist};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Size of a part; larger only where there would be too many.
const PART: usize = 16 << 20;
/// Most parts of an object.
const PARTS_MAX: usize = 10_000;
/// Parts on their way at once.
const AT_ONCE: usize = 4;
/// An unfinished upload of somebody else is left alone for so long, seconds: it may be under way.
const STALE_SECS: i64 = 3600;
/// Uploads that are begun for one object, should somebody abort them.
const UPLOADS_MAX: u32 = 3;
/// Unfinished uploads that one look aborts at most.
const SWEEP_MAX: usize = 1000;

impl Bucket {
    /// Write a large object; [`Class::Changed`] if the name is taken.
    pub(super) async fn put_parts(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        // A replay writes what is there already: no need to send it all to learn that.
        let taken = insist(&self.patience, || self.exists(key));
        match taken.await {
            Ok(()) => return Err(Failure { class: Class::Changed, text: "the name is taken".into() }),
            Err(f) if f.class == Class::Missing => {}
            Err(f) => return Err(f),
        }
        self.sweep_stale().await;
        let mut tries = 1;
        loop {
            // Uploads of this very key are of an earlier incarnation, or of a `create` whose answer was lost.
            self.sweep(key, None).await;
            let done = self.upload(key, bytes).await;
            match &done {
                Ok(()) => return done,
                // Somebody aborted it.
                Err(f) if f.class == Class::Missing && tries < UPLOADS_MAX => tries += 1,
                Err(_) => {
                    self.sweep(key, None).await;
                    return done;
                }
            }
        }
    }

    /// Once an hour: abort uploads under the prefix that nobody can be working on any more.
    pub(super) async fn sweep_stale(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        if now - self.swept.swap(now, Ordering::Relaxed) >= STALE_SECS {
            self.sweep(&self.place.prefix, Some(now - STALE_SECS)).await;
        }
    }

    /// Whether the name is taken; one try.
    async fn exists(&self, key: &str) -> Result<(), Failure> {
        let head = self.client().await.head_object().bucket(&self.place.bucket).key(key);
        head.send().await.map(drop).map_err(failure)
    }

    async fn upload(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let (client, bucket) = (self.client().await, &self.place.bucket);
        let mut tries = 0;
        let created = insist(&self.patience, || {
            tries += 1;
            async { client.create_multipart_upload().bucket(bucket).key(key).send().await.map_err(failure) }
        });
        let id = created.await?.upload_id().unwrap_or_default().to_string();
        let parts = self.send_parts(key, &id, bytes).await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed = insist(&self.patience, || async {
            let c = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(&id).if_none_match("*");
            match c.multipart_upload(parts.clone()).send().await.map(drop).map_err(failure) {
                // It may be done, and only the answer lost: the object tells.
                Err(f) if f.class == Class::Transient && self.exists(key).await.is_ok() => {
                    Err(Failure { class: Class::Changed, ..f })
                }
                r => r,
            }
        })
        .await;
        if tries > 1 {
            self.sweep(key, None).await;
        }
        match completed {
            // Completed by a try whose answer was lost: what is there will tell.
            Err(f) if f.class == Class::Missing => Err(Failure { class: Class::Changed, ..f }),
            r => r,
        }
    }

    async fn send_parts(&self, key: &str, id: &str, bytes: &[u8]) -> Result<Vec<CompletedPart>, Failure> {
        let size = PART.max(bytes.len().div_ceil(PARTS_MAX));
        let (mut sending, mut done) = (JoinSet::new(), Vec::new());
        let mut left = (1..).zip(bytes.chunks(size));
        loop {
            while sending.len() < AT_ONCE
                && let Some((number, part)) = left.next()
            {
                let (client, patience, body) =
                    (self.client().await.clone(), self.patience, Bytes::copy_from_slice(part));
                let (bucket, key, id) = (self.place.bucket.clone(), key.to_string(), id.to_string());
                sending.spawn(async move {
                    let send = || async {
                        let p = client.upload_part().bucket(&bucket).key(&key).upload_id(&id).part_number(number);
                        p.body(ByteStream::from(body.clone())).send().await.map_err(failure)
                    };
                    insist(&patience, send).await.map(|p| {
                        CompletedPart::builder().part_number(number).set_e_tag(p.e_tag().map(str::to_string)).build()
                    })
                });
            }
            match sending.join_next().await {
                // A failure drops the others with the set.
                Some(Ok(part)) => done.push(part?),
                Some(Err(e)) => return Err(Failure { class: Class::Other, text: e.to_string() }),
                None => break,
            }
        }
        done.sort_by_key(|p| p.part_number());
        Ok(done)
    }

    /// Abort unfinished uploads of a key, or those under a prefix that were begun before a time (seconds since 1970).
    /// Best effort: it is housekeeping, and not everybody may list uploads.
    async fn sweep(&self, prefix: &str, before: Option<i64>) {
        let (client, bucket) = (self.client().await, &self.place.bucket);
        let listed = insist(&self.patience, || async {
            let l = client.list_multipart_uploads().bucket(bucket).prefix(prefix).max_uploads(SWEEP_MAX as i32);
            l.send().await.map_err(failure)
        });
        let listed = match listed.await {
            Ok(l) => l,
            Err(f) => {
                eprintln!("s3://{bucket}/{prefix}: unfinished uploads cannot be looked for: {}", f.text);
                return;
            }
        };
        for u in listed.uploads().iter().take(SWEEP_MAX) {
            let (Some(key), Some(id)) = (u.key(), u.upload_id()) else { continue };
            let ours = match before {
                None => key == prefix,
                Some(t) => u.initiated().is_some_and(|i| i.secs() < t),
            };
            if !ours {
                continue;
            }
            let aborted = insist(&self.patience, || async {
                let a = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
                a.send().await.map(drop).map_err(failure)
            });
            match aborted.await {
                Err(f) if f.class != Class::Missing => {
                    eprintln!("s3://{bucket}/{key}: an unfinished upload cannot be aborted: {}", f.text)
                }
                _ => {}
            }
        }
    }
}
