//! Several processes that run one dataflow.
//!
//! ```text
//! process 0 (hub)                              process i (member)
//!   door ◄──────── control: hello, proof ──────── dial          one connection per member, for the life of both
//!   hub  ───────── order, files, beats ─────────► member        what to run: generation, topology, starting point
//!   door ◄──────── mesh: hello, proof ──────────► door          one per pair and session; timely's from then on
//! ```
//!
//! timely asks a peer for its number and believes it, so nobody gets as far as timely without the cluster's secret
//! ([`handshake`]). The processes are one failure unit: when one is lost, every other one ends ([`crate::fatal`]) and
//! the supervisors start the next incarnation from the log. A lost process shows as a closed connection, or as silence
//! of the control connection for [`Peers::timeout`]. What is said is authentic when the connection opens, and neither
//! encrypted nor signed afterwards: keep the ports in a network of your own.
mod door;
mod handshake;
mod hub;
mod link;
mod member;
mod mesh;
#[cfg(test)]
mod tests;

pub use hub::Hub;
pub use member::{Member, Next};
pub use mesh::Mesh;

use std::time::Duration;

/// The processes of a cluster, as one of them sees it.
#[derive(Clone)]
pub struct Peers {
    /// `host:port` of every process.
    pub hosts: Vec<String>,
    /// Address to listen on, if not the own entry of `hosts`.
    pub bind: Option<String>,
    /// Number of this process.
    pub me: usize,
    /// What all of them know.
    pub secret: String,
    /// Name of the topology: processes of another one are refused.
    pub name: String,
    /// Identity of the program: all run the same binary.
    pub build: String,
    /// Silence after which a process is lost.
    pub timeout: Duration,
}

/// Why a cluster cannot be formed at all: starting again will not help.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
