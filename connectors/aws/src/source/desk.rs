//! The messages of a queue that were received and not deleted yet: kept invisible to others while their objects are
//! under way, deleted when the source says so.
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries of a batch request.
const BATCH: usize = 10;
/// Pause between two looks at the desk.
const PACE: Duration = Duration::from_millis(100);
/// Pause after a request that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Time for the last deletions when a source is closed.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Where a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Received; nothing of it is logged.
    Here,
    /// Its objects are in logged epochs that not every sink has committed.
    Logged,
    /// To be deleted.
    Done,
}

struct Held {
    receipt: String,
    /// When it was sent, milliseconds since 1970.
    sent_ms: i64,
    stage: Stage,
    /// When it must be kept invisible again.
    extend: Instant,
    /// No deletion before this.
    rest: Option<Instant>,
}

/// See the module.
pub(crate) struct Desk {
    held: Mutex<BTreeMap<Arc<str>, Held>>,
    /// How long a message stays invisible, seconds.
    visibility: i32,
}

impl Desk {
    pub(crate) fn new(visibility: Duration) -> Desk {
        Desk { held: Mutex::default(), visibility: visibility.as_secs() as i32 }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn next_extension(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.visibility as u64) / 2
    }

    /// A message was received, or received again.
    pub(crate) fn received(&self, id: Arc<str>, receipt: String, sent_ms: i64) {
        let extend = self.next_extension();
        let mut held = self.held();
        let stage = held.get(&id).map_or(Stage::Here, |h| h.stage);
        held.insert(id, Held { receipt, sent_ms, stage, extend, rest: None });
    }
    /// Let a message come back when its time is over.
    pub(crate) fn leave(&self, id: &str) {
        self.held().remove(id);
    }
    /// Its objects are going into an epoch.
    pub(crate) fn logged(&self, id: &str) {
        if let Some(h) = self.held().get_mut(id) {
            h.stage = Stage::Logged;
        }
    }
    /// Nothing is waiting for it any more: delete it.
    pub(crate) fn done(&self, id: &str) {
        if let Some(h) = self.held().get_mut(id) {
            h.stage = Stage::Done;
        }
    }
    /// Messages that are not deleted.
    pub(crate) fn len(&self) -> usize {
        self.held().len()
    }
    /// When the oldest of them was sent, milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.held().values().map(|h| h.sent_ms).min()
    }

    /// Look after the messages, for ever. Failures are tried again: at worst a message comes back and is known.
    pub(crate) async fn keep(&self, client: &Client, queue: &str) {
        loop {
            while self.delete_some(client, queue).await > 0 {}
            while self.extend_some(client, queue).await > 0 {}
            tokio::time::sleep(PACE).await;
        }
    }

    /// Delete what is done, and give back what was not begun; for a few seconds at most.
    pub(crate) async fn close(&self, client: &Client, queue: &str) {
        let all = async {
            while self.held().values().any(|h| h.stage == Stage::Done) {
                if self.delete_some(client, queue).await == 0 {
                    tokio::time::sleep(PACE).await;
                }
            }
            while self.give_back_some(client, queue).await > 0 {}
        };
        let _ = tokio::time::timeout(CLOSE_MAX, all).await;
    }

    /// Ids and receipts of some messages.
    fn some(&self, which: impl Fn(&Held) -> bool) -> Vec<(Arc<str>, String)> {
        let held = self.held();
        held.iter().filter(|(_, h)| which(h)).take(BATCH).map(|(id, h)| (id.clone(), h.receipt.clone())).collect()
    }

    async fn delete_some(&self, client: &Client, queue: &str) -> usize {
        let now = Instant::now();
        let some = self.some(|h| h.stage == Stage::Done && h.rest.is_none_or(|t| t <= now));
        if some.is_empty() {
            return 0;
        }
        let entry = |(i, (_, receipt)): (usize, &(Arc<str>, String))| {
            DeleteMessageBatchRequestEntry::builder().id(i.to_string()).receipt_handle(receipt).build().ok()
        };
        let entries = some.iter().enumerate().filter_map(entry).collect();
        let sent = client.delete_message_batch().queue_url(queue).set_entries(Some(entries)).send().await;
        let mut held = self.held();
        match sent {
            Ok(r) => {
                for (i, (id, receipt)) in some.iter().enumerate() {
                    let failed = r.failed().iter().find(|f| f.id() == i.to_string());
                    match failed {
                        // A receipt that is worth nothing any more: the message comes back and is known then.
                        Some(f) if !f.sender_fault() => rest(&mut held, id),
                        // It may have been received again meanwhile.
                        _ if held.get(id).is_some_and(|h| h.receipt == *receipt) => drop(held.remove(id)),
                        _ => {}
                    }
                }
            }
            Err(_) => some.iter().for_each(|(id, _)| rest(&mut held, id)),
        }
        some.len()
    }

    async fn extend_some(&self, client: &Client, queue: &str) -> usize {
        let now = Instant::now();
        let some = self.some(|h| h.extend <= now);
        let ok = self.change(client, queue, &some, self.visibility).await;
        let next = if ok { self.next_extension() } else { now + AGAIN };
        let mut held = self.held();
        for (id, _) in &some {
            if let Some(h) = held.get_mut(id) {
                h.extend = next;
            }
        }
        some.len()
    }

    async fn give_back_some(&self, client: &Client, queue: &str) -> usize {
        let some = self.some(|h| h.stage == Stage::Here);
        self.change(client, queue, &some, 0).await;
        some.iter().for_each(|(id, _)| self.leave(id));
        some.len()
    }

    async fn change(&self, client: &Client, queue: &str, some: &[(Arc<str>, String)], seconds: i32) -> bool {
        if some.is_empty() {
            return true;
        }
        let entry = |(i, (_, receipt)): (usize, &(Arc<str>, String))| {
            let e = ChangeMessageVisibilityBatchRequestEntry::builder().id(i.to_string()).receipt_handle(receipt);
            e.visibility_timeout(seconds).build().ok()
        };
        let entries = some.iter().enumerate().filter_map(entry).collect();
        client.change_message_visibility_batch().queue_url(queue).set_entries(Some(entries)).send().await.is_ok()
    }
}

fn rest(held: &mut BTreeMap<Arc<str>, Held>, id: &str) {
    if let Some(h) = held.get_mut(id) {
        h.rest = Some(Instant::now() + AGAIN);
    }
}
