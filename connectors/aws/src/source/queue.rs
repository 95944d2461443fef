//! One queue: receives messages, looks at the objects they name, and offers both to the source.
use super::Config;
use super::clients::Clients;
use super::desk::Desk;
use super::detail::{Detail, Fault};
use super::notice::{self, Named};
use super::prefix::form;
use crate::access::{ATTEMPT, Access};
use crate::retry::{Class, Outage, failure};
use crate::runtime::{runtime, wait};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute, QueueAttributeName};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, JoinSet};

/// Requests for messages of a queue at once; each brings up to ten, whose objects are looked at before the next.
const RECEIVERS: u32 = 4;
/// Messages of a queue under way at most: received and not deleted.
const UNDER_WAY_MAX: usize = 1000;
/// Messages that wait for the source at most.
const WAITING_MAX: usize = 64;
/// How long SQS may wait for a message, seconds; shorter where a run ends with the queue.
const POLL_SECS: i32 = 20;
const POLL_ONCE_SECS: i32 = 2;
/// A message whose object may not be read is left to come back until it was received so often; then it is rejected.
const DENIED_MAX: u32 = 5;
/// Bytes of a message that are kept if it is not understood.
const RAW_MAX: usize = 4096;
/// Pause between two questions for the length of the queue.
const LENGTH_EVERY: Duration = Duration::from_secs(15);

/// A message and what it led to.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) message: Arc<str>,
    pub(crate) items: Vec<Detail>,
}

/// A queue being received from. Dropping it deletes what is done and gives back the rest.
pub(crate) struct Line {
    shared: Arc<Shared>,
    arrived: Receiver<Arrived>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    source: Arc<str>,
    url: String,
    config: Arc<Config>,
    clients: Arc<Clients>,
    sqs: Client,
    desk: Desk,
    once: bool,
    /// Receivers that did not find the queue empty when they last asked.
    busy: AtomicU32,
    /// Messages in the queue, as SQS estimates.
    length: AtomicU64,
    /// Why nothing can come from here any more.
    fatal: Mutex<Option<String>>,
    /// Objects outside of the settings were mentioned.
    said: AtomicBool,
}

impl Line {
    /// Begin to receive.
    pub(crate) fn start(
        source: &Arc<str>,
        url: &str,
        config: &Arc<Config>,
        clients: &Arc<Clients>,
        once: bool,
    ) -> Line {
        let access =
            Access { role: None, region: region_of(url).or(config.access.region.clone()), ..config.access.clone() };
        let sqs = Client::new(&wait(access.load(ATTEMPT)));
        let shared = Arc::new(Shared {
            source: source.clone(),
            url: url.into(),
            config: config.clone(),
            clients: clients.clone(),
            sqs,
            desk: Desk::new(config.visibility),
            once,
            busy: AtomicU32::new(RECEIVERS),
            length: AtomicU64::new(0),
            fatal: Mutex::default(),
            said: AtomicBool::new(false),
        });
        let (to, arrived) = channel(WAITING_MAX);
        let s = shared.clone();
        let mut tasks = vec![runtime().spawn(async move { s.desk.keep(&s.sqs, &s.url).await })];
        for _ in 0..RECEIVERS {
            let (s, to) = (shared.clone(), to.clone());
            tasks.push(runtime().spawn(async move { s.receive(to).await }));
        }
        let s = shared.clone();
        tasks.push(runtime().spawn(async move { s.ask_length().await }));
        Line { shared, arrived, tasks }
    }
    /// The next message. Errors: the queue is not there.
    pub(crate) fn next(&mut self) -> model::Result<Option<Arrived>> {
        if let Some(why) = self.shared.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(why.into());
        }
        Ok(self.arrived.try_recv().ok())
    }
    /// True if the queue was empty when last asked and nothing waits here.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.busy.load(Ordering::Acquire) == 0 && self.arrived.is_empty()
    }
    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }
    /// Messages that are not deleted, and when the oldest that is here was sent.
    pub(crate) fn lag(&self) -> (u64, Option<i64>) {
        let desk = &self.shared.desk;
        (self.shared.length.load(Ordering::Relaxed) + desk.len() as u64, desk.oldest_ms())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|t| t.abort());
        wait(self.shared.desk.close(&self.shared.sqs, &self.shared.url));
    }
}

impl Shared {
    async fn receive(self: Arc<Self>, to: Sender<Arrived>) {
        let mut outage = Outage::new(&format!("source {}: receive from {}", self.source, self.url));
        let mut was_empty = false;
        let poll = if self.once { POLL_ONCE_SECS } else { POLL_SECS };
        loop {
            if self.desk.len() >= UNDER_WAY_MAX {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            let receive = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let receive = receive.wait_time_seconds(poll).visibility_timeout(self.config.visibility.as_secs() as i32);
            let receive = receive
                .message_system_attribute_names(Attribute::ApproximateReceiveCount)
                .message_system_attribute_names(Attribute::SentTimestamp);
            let messages = match receive.send().await.map_err(failure) {
                Ok(r) => r.messages.unwrap_or_default(),
                Err(f) if f.class == Class::Missing => {
                    let why = format!("source {}: the queue {} is not there: {}", self.source, self.url, f.text);
                    *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    return;
                }
                // Not allowed is something that others put right, like a service that is away.
                Err(f) => {
                    tokio::time::sleep(outage.failed(&f.text)).await;
                    continue;
                }
            };
            outage.over();
            if messages.is_empty() != was_empty {
                was_empty = !was_empty;
                match was_empty {
                    true => self.busy.fetch_sub(1, Ordering::Release),
                    false => self.busy.fetch_add(1, Ordering::Release),
                };
            }
            let mut looks = JoinSet::new();
            for m in messages {
                let (me, id): (_, Arc<str>) = (self.clone(), m.message_id().unwrap_or_default().into());
                let sent = attribute(&m, Attribute::SentTimestamp).unwrap_or(0);
                self.desk.received(id.clone(), m.receipt_handle().unwrap_or_default().into(), sent);
                looks.spawn(async move { me.look(id, m).await });
            }
            while let Some(looked) = looks.join_next().await {
                // A panic in a look ends the process anyway; nothing else makes it fail.
                let Ok(Some(arrived)) = looked else { continue };
                if to.send(arrived).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn ask_length(&self) {
        loop {
            let ask = self.sqs.get_queue_attributes().queue_url(&self.url);
            let name = QueueAttributeName::ApproximateNumberOfMessages;
            if let Ok(r) = ask.attribute_names(name.clone()).send().await {
                let n = r.attributes().and_then(|a| a.get(&name)).and_then(|n| n.parse().ok()).unwrap_or(0);
                self.length.store(n, Ordering::Relaxed);
            }
            tokio::time::sleep(LENGTH_EVERY).await;
        }
    }

    /// What a message leads to. `None` if it is left to come back.
    async fn look(&self, id: Arc<str>, m: Message) -> Option<Arrived> {
        let body = m.body().unwrap_or_default();
        let mut items = Vec::new();
        match notice::read(body) {
            Ok(all) => {
                let tries = attribute(&m, Attribute::ApproximateReceiveCount).unwrap_or(1) as u32;
                for n in all.into_iter().filter(|n| self.wanted(n)) {
                    match self.item(&n, tries).await {
                        Ok(Some(d)) => items.push(d),
                        Ok(None) => {}
                        Err(why) => {
                            let (source, max) = (&self.source, DENIED_MAX);
                            eprintln!("source {source}: {why}; tried again later, try {tries} of {max}");
                            self.desk.leave(&id);
                            return None;
                        }
                    }
                }
            }
            Err(reason) => {
                let raw = body.chars().take(RAW_MAX).collect();
                let fault = Fault { code: "notice_not_understood".into(), reason, raw, len: body.len() as u64 };
                items.push(Detail { fault: Some(fault), ..Detail::default() });
            }
        }
        items.iter_mut().for_each(|d| d.message = id.to_string());
        Some(Arrived { message: id, items })
    }

    fn wanted(&self, n: &Named) -> bool {
        if n.size == Some(0) || n.key.ends_with('/') {
            return false;
        }
        let ours = self.config.buckets.as_ref().is_none_or(|b| b.contains(&n.bucket));
        let wanted = ours && form(&self.config.prefixes, &n.key).is_some();
        if !wanted && !self.said.swap(true, Ordering::Relaxed) {
            eprintln!(
                "source {}: s3://{}/{} is none of its objects; more such are passed over",
                self.source, n.bucket, n.key
            );
        }
        wanted
    }

    /// The object a notice names; `None` if there is nothing in it. Errors: it may not be read, for now.
    async fn item(&self, n: &Named, tries: u32) -> Result<Option<Detail>, String> {
        let fault = |code: &str, reason: String| Some(Fault { code: code.into(), reason, ..Fault::default() });
        let mut d = Detail {
            bucket: n.bucket.clone(),
            key: n.key.clone(),
            version: n.version.clone(),
            etag: n.etag.clone().unwrap_or_default(),
            size: n.size.unwrap_or(0),
            ..Detail::default()
        };
        match self.clients.look(&self.source, n).await {
            Ok(l) if l.size == 0 => return Ok(None),
            Ok(l) => {
                (d.etag, d.version, d.size, d.region) = (l.etag, l.version, l.size, l.region);
                if d.size > self.config.max_object {
                    let why = format!("{} bytes, over max_object = {}", d.size, self.config.max_object);
                    d.fault = fault("object_too_large", why);
                }
            }
            Err(f) if f.class == Class::Missing => d.fault = fault("object_vanished", f.text),
            Err(f) if tries < DENIED_MAX => {
                return Err(format!("s3://{}/{} cannot be read: {}", n.bucket, n.key, f.text));
            }
            Err(f) => d.fault = fault("object_denied", f.text),
        }
        if d.fault.is_some() {
            d.size = 0;
        }
        Ok(Some(d))
    }
}

fn attribute(m: &Message, name: Attribute) -> Option<i64> {
    m.attributes().and_then(|a| a.get(&name)).and_then(|v| v.parse().ok())
}

/// The region in the URL of a queue of AWS.
fn region_of(url: &str) -> Option<String> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    let mut parts = host.strip_suffix(".amazonaws.com").or(host.strip_suffix(".amazonaws.com.cn"))?.split('.');
    (parts.next() == Some("sqs")).then(|| parts.next().map(str::to_string)).flatten()
}

#[cfg(test)]
mod tests {
    #[test]
    fn regions_of_queues() {
        let region = |u| super::region_of(u);
        assert_eq!(region("https://sqs.eu-west-1.amazonaws.com/1/q").as_deref(), Some("eu-west-1"));
        assert_eq!(region("https://sqs.cn-north-1.amazonaws.com.cn/1/q").as_deref(), Some("cn-north-1"));
        assert_eq!(region("http://127.0.0.1:5000/1/q"), None);
    }
}
