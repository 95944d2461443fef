//! What a supervisor tells the engine processes that it starts.
use serde::{Deserialize, Serialize};

/// Environment variable that tells a child that it is the engine.
pub const CHILD: &str = "MILLSTREAM_ENGINE";
/// Environment variable that tells an engine how many incarnations of this run were before it; not set for the first.
pub const RESTARTED: &str = "MILLSTREAM_RESTARTED";
/// Environment variable by which the supervisor of `--processes` tells a process of its cluster.
pub const PLACE: &str = "MILLSTREAM_CLUSTER";

/// Place of a process that its supervisor has chosen.
#[derive(Serialize, Deserialize)]
pub struct Place {
    /// Number of this process.
    pub me: usize,
    /// Addresses of all.
    pub hosts: Vec<String>,
    /// Secret of this incarnation.
    pub secret: String,
}
