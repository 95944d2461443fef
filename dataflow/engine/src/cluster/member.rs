//! A process that is not the coordinator: gets its orders from process 0.
use super::Peers;
use super::door::Door;
use super::handshake::{Failure, Purpose, dial};
use super::link::{Link, Tag};
use super::mesh::{self, Mesh};
use crate::fatal::lost;
use model::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two attempts to reach process 0, and between two lines about it.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// A member's side of a cluster.
pub struct Member {
    peers: Peers,
    door: Door,
    link: Link,
}

/// What to do next.
pub enum Next {
    /// Run a session.
    Order(Vec<u8>),
    /// The run is over.
    End,
}

impl Member {
    /// Open the door, and wait until process 0 lets this one in.
    pub fn join(peers: Peers) -> Result<Member> {
        // Nobody gets orders here.
        let (door, _) = Door::open(&peers)?;
        let mut said = Instant::now() - AGAIN.1 + Duration::from_secs(2);
        let stream = loop {
            match dial(&peers, 0, Purpose::Control) {
                Ok(s) => break s,
                Err(Failure::No(why)) => return Err(why.into()),
                Err(Failure::Lost(e)) => {
                    if said.elapsed() >= AGAIN.1 {
                        said = Instant::now();
                        eprintln!("millstream: cluster: waiting for process 0 ({}): {e}", peers.hosts[0]);
                    }
                    std::thread::sleep(AGAIN.0);
                }
            }
        };
        let link = Link::start(stream, format!("process 0 ({})", peers.hosts[0]), peers.timeout, Arc::default())?;
        Ok(Member { peers, door, link })
    }

    /// Wait for an order.
    pub fn next(&self) -> Next {
        loop {
            match self.link.frames.recv() {
                Ok((Tag::Order, text)) => return Next::Order(text),
                Ok((Tag::End, _)) => return Next::End,
                Ok(_) => {}
                Err(_) => lost("process 0 is lost"),
            }
        }
    }

    /// Get a file that the order names.
    pub fn want(&self, hash: &str) -> Result<Vec<u8>> {
        self.link.send(Tag::Want, hash.as_bytes())?;
        loop {
            match self.link.frames.recv() {
                Ok((Tag::Give, bytes)) => return Ok(bytes),
                Ok(_) => {}
                Err(_) => lost("process 0 is lost"),
            }
        }
    }

    /// Everything is here: connect with the other processes for this session.
    pub fn mesh(&self, generation: u64, session: u64) -> Result<Mesh> {
        self.link.send(Tag::Ready, &[])?;
        mesh::form(&self.peers, &self.door, generation, session)
    }

    /// Asks process 0, from any thread, to end the run in good order.
    pub fn drainer(&self) -> impl Fn() + Send + 'static {
        let speaker = self.link.speaker();
        move || drop(speaker.send(Tag::Drain, &[]))
    }
}
