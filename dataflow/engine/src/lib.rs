//! When and where: epochs, replay, key groups, snapshots, credit. The only crate that imports timely.
//!
//! One incarnation of a pipeline is a *session* ([`run`]). It starts from a [`recovery::Start`] (newest valid
//! manifest plus the logged epochs after it), replays those epochs with their recorded ranges and clocks, then opens
//! new ones until it is told to seal. A reload of the topology is: seal, end the session, start the next one from the
//! manifest the seal left. A running graph is never patched.
//!
//! ```text
//! coordinator thread ──(epoch record, durable)──► epochs ─► readers ─► parse ─► enrich ─► detect ─┐ exchange by key
//!        ▲                                          (broadcast)                                    ▼
//!        └──────── done(e), snapshots ◄── coordinate ◄── collect ◄── sinks ◄──────── dedup ─► limit
//! ```
//!
//! What holds (asserted where it can be):
//! - an epoch's record is durable before any worker reads for it, so before any sink commits it;
//! - ranges of a partition are contiguous from epoch to epoch;
//! - a keyed operator and a sink see an epoch only when the frontier has passed it, whole and sorted;
//! - a sink shard commits epochs in order; a replayed epoch must reproduce the receipt in its commit record;
//! - a manifest for epoch s is published only when every sink shard has committed s;
//! - at most `in_flight` epochs are open, of full ones two.

mod board;
mod claims;
pub mod cluster;
mod collect;
pub mod composed;
mod coordinator;
mod cpu;
mod epochs;
pub mod fatal;
pub mod figures;
pub mod graph;
mod handover;
mod keyed;
mod map;
mod ports;
mod quarantine;
mod read;
pub mod recovery;
mod render;
mod run;
pub mod session;
mod sink;
mod state;
pub mod status;
pub mod tap;
pub mod world;
mod writer;

pub use figures::Figures;
pub use graph::{Graph, GraphNode, Settings};
pub use recovery::Start;
pub use run::{run, run_in};
pub use session::{Control, Outcome, Session};
pub use status::Status;
pub use world::World;
