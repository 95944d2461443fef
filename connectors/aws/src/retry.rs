//! What a failed call means, and how long it is tried again.
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use model::waits;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// Kinds of failure, as far as somebody acts on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The service is away, slow or asks for patience: the same call may succeed later.
    Transient,
    /// There is no such object, bucket, upload or queue.
    Missing,
    /// Not allowed.
    Denied,
    /// A condition (If-Match, If-None-Match) does not hold.
    Changed,
    /// The object has no such bytes.
    Range,
    /// The bucket is in this region.
    Moved(String),
    /// Anything else: the request is wrong.
    Other,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// Cause, for people.
    pub(crate) text: String,
}

impl Failure {
    /// A failure that is worth another try.
    pub(crate) fn transient(text: impl Into<String>) -> Failure {
        Failure { class: Class::Transient, text: text.into() }
    }
}

/// Codes that ask for another try, whatever their HTTP status (S3 can answer 200 and fail in the body).
const AGAIN: &[&str] = &[
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ConditionalRequestConflict",
    "OperationAborted",
    "ExpiredToken",
    "ExpiredTokenException",
];
/// Codes of things that are not there, with status 400 or in a body.
const MISSING: &[&str] = &[
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotFound",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
];

/// Judge a failed call.
pub(crate) fn failure<E>(e: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = e.raw_response().map_or(0, |r| r.status().as_u16());
    let moved = e.raw_response().and_then(|r| r.headers().get("x-amz-bucket-region")).map(str::to_string);
    let (code, message) = (e.code().unwrap_or_default().to_string(), e.message().unwrap_or_default().to_string());
    match &e {
        SdkError::ServiceError(_) => {
            let class = match (status, code.as_str()) {
                (_, c) if AGAIN.contains(&c) => Class::Transient,
                (_, c) if MISSING.contains(&c) => Class::Missing,
                (301 | 307 | 400, _)
                    if moved.is_some()
                        && (status != 400 || matches!(code.as_str(), "" | "AuthorizationHeaderMalformed")) =>
                {
                    Class::Moved(moved.unwrap_or_default())
                }
                (404, _) => Class::Missing,
                (403, _) => Class::Denied,
                (412, _) => Class::Changed,
                (416, _) => Class::Range,
                (409 | 429, _) => Class::Transient,
                (501, _) => Class::Other,
                (500.., _) => Class::Transient,
                _ => Class::Other,
            };
            let mut text = [code, message].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(": ");
            if status != 0 {
                text = format!("{text}{}HTTP {status}", if text.is_empty() { "" } else { ", " });
            }
            Failure { class, text }
        }
        SdkError::ConstructionFailure(_) => Failure { class: Class::Other, text: chain(&e) },
        _ => Failure::transient(chain(&e)),
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(e: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (e.to_string(), e.source());
    while let Some(e) = next {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = e.source();
    }
    text
}

/// How long a call is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Most tries.
    pub(crate) tries: u32,
    /// No new try is begun after this time.
    pub(crate) total: Duration,
    /// Pause after the first failure; doubled with each further one.
    pub(crate) first: Duration,
    /// Longest pause.
    pub(crate) longest: Duration,
    /// Time of one try.
    pub(crate) attempt: Duration,
}

impl Patience {
    /// For calls somebody waits for: about two minutes.
    pub(crate) const CALL: Patience = Patience {
        tries: 12,
        total: Duration::from_secs(120),
        first: Duration::from_millis(100),
        longest: Duration::from_secs(15),
        attempt: Duration::from_secs(60),
    };

    /// Pause after `failures` failures, between half of it and all of it: callers that failed together come back apart.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let full = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest);
        let spread = RandomState::new().hash_one(failures) % 512;
        full / 2 + full * spread as u32 / 1024
    }
}

/// Try a call until it succeeds, fails for good, or patience ends.
pub(crate) async fn insist<T, F>(patience: &Patience, mut call: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let begun = Instant::now();
    let mut failures = 0;
    loop {
        match call().await {
            Err(f) if f.class == Class::Transient => {
                failures += 1;
                let pause = patience.pause(failures);
                if failures >= patience.tries || begun.elapsed() + pause > patience.total {
                    let text = format!("{} (tried {failures} times in {} s)", f.text, begun.elapsed().as_secs());
                    return Err(Failure { class: f.class, text });
                }
                tokio::time::sleep(pause).await;
            }
            r => return r,
        }
    }
}

/// Try a call until it succeeds or fails for good, however long the service is away; say so when that begins and ends.
pub(crate) async fn outlast<T, F>(what: &str, mut call: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut outage = Outage::new(what);
    loop {
        match call().await {
            Err(f) if f.class == Class::Transient => tokio::time::sleep(outage.failed(&f.text)).await,
            r => {
                outage.over();
                return r;
            }
        }
    }
}

/// Tells people once that a service is away, and once that it is back. Several calls suffer from the same outage.
pub(crate) struct Outage {
    what: String,
    id: u64,
    failures: u32,
    said: bool,
}

/// Failures in a row that are no news: services do say "slow down".
const QUIET: u32 = 4;

impl Outage {
    /// `what` cannot be done while it lasts: "source x: receive from …". One text, one line.
    pub(crate) fn new(what: &str) -> Outage {
        Outage { what: what.into(), id: waits::id(), failures: 0, said: false }
    }
    /// It failed again; how long to wait.
    pub(crate) fn failed(&mut self, why: &str) -> Duration {
        self.failures += 1;
        if self.failures > QUIET && !self.said {
            self.said = true;
            if let Some(why) = waits::begin(&self.what, self.id, || why.into()) {
                eprintln!("{}: {why}; waiting until it works", self.what);
            }
        }
        Patience::CALL.pause(self.failures)
    }
    /// It worked.
    pub(crate) fn over(&mut self) {
        if self.said
            && let Some(away) = waits::end(&self.what, self.id)
        {
            eprintln!("{}: works again after {} s", self.what, away.as_secs());
        }
        (self.failures, self.said) = (0, false);
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        // Nobody waits any more; the next outage is news again.
        if self.said {
            waits::end(&self.what, self.id);
        }
    }
}
