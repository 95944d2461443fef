//! Destinations: where alerts leave the product for people and other systems.
//!
//! Outside systems cannot take part in an epoch's commit, so delivery is at least once: alerts go to a durable outbox
//! exactly once, and from there to the destination until it has confirmed each. A repeated delivery carries the same
//! alert id as its idempotency key.
mod acks;
mod delivery;
mod outbox;
mod webhook;

pub use webhook::WebhookPart;

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&WebhookPart]
}

/// `cannot <what> <path>: <why>`.
pub(crate) fn at<E: std::fmt::Display>(what: &str, path: &std::path::Path) -> impl FnOnce(E) -> model::Error {
    let head = format!("cannot {what} {}", path.display());
    move |e| format!("{head}: {e}").into()
}
