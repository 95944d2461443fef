//! The data connections of one session: one per pair of processes, made anew for every session.
use super::Peers;
use super::door::Door;
use super::handshake::{Failure, Purpose, dial};
use crate::fatal::lost;
use model::Result;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Time for all connections of a session.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two attempts to reach a process.
const AGAIN: Duration = Duration::from_millis(20);

/// Connections to every other process, for one session.
pub struct Mesh {
    /// Number of this process.
    pub me: usize,
    /// By process; `None` at `me`.
    pub sockets: Vec<Option<TcpStream>>,
}

/// Connect to the processes below this one, and wait for those above it.
pub(crate) fn form(peers: &Peers, door: &Door, generation: u64, session: u64) -> Result<Mesh> {
    let purpose = Purpose::Mesh { generation, session };
    let until = Instant::now() + DEADLINE;
    let missing = |i: usize| -> ! {
        let why = format!("process {i} ({}) did not come into session {session} in {DEADLINE:?}", peers.hosts[i]);
        lost(why)
    };
    let mut sockets: Vec<Option<TcpStream>> = peers.hosts.iter().map(|_| None).collect();
    for (i, socket) in sockets.iter_mut().enumerate().take(peers.me) {
        while socket.is_none() {
            match dial(peers, i, purpose) {
                Ok(s) => *socket = Some(s),
                Err(Failure::No(why)) => return Err(why.into()),
                Err(Failure::Lost(_)) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(Failure::Lost(_)) => missing(i),
            }
        }
    }
    while let Some(i) = (peers.me + 1..sockets.len()).find(|i| sockets[*i].is_none()) {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((hello, stream)) = door.arrivals.recv_timeout(left) else { missing(i) };
        // What an earlier session left behind is dropped.
        if hello.purpose == purpose {
            sockets[hello.from] = Some(stream);
        }
    }
    Ok(Mesh { me: peers.me, sockets })
}
