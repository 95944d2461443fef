//! Process 0: waits for the members, tells them what to run, and when it is over.
use super::Peers;
use super::door::Door;
use super::handshake::Purpose;
use super::link::{Link, Tag};
use super::mesh::{self, Mesh};
use crate::fatal::fatal;
use model::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Between two lines about who is missing.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Time for the members to fetch what an order needs.
const READY: Duration = Duration::from_secs(120);

/// The coordinator's side of a cluster.
pub struct Hub {
    peers: Peers,
    door: Door,
    /// By process; `None` at 0 and for who has not come yet.
    links: Vec<Option<Link>>,
    session: u64,
    /// A member was asked to end.
    drain: Arc<AtomicBool>,
}

impl Hub {
    /// Open the door.
    pub fn open(peers: Peers) -> Result<Hub> {
        let door = Door::open(&peers)?;
        let links = peers.hosts.iter().map(|_| None).collect();
        Ok(Hub { peers, door, links, session: 0, drain: Arc::default() })
    }

    /// Start a session in every process: wait for all members, give them `order` and the files they ask for by hash, and
    /// connect everybody with everybody. `order` gets the number of the session.
    pub fn assemble(
        &mut self,
        generation: u64,
        order: impl Fn(u64) -> Vec<u8>,
        file: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Mesh> {
        self.gather();
        self.session += 1;
        let text = order(self.session);
        for link in self.links.iter().flatten() {
            link.send(Tag::Order, &text)?;
        }
        for (i, link) in self.links.iter().enumerate().filter_map(|(i, l)| Some((i, l.as_ref()?))) {
            loop {
                match link.frames.recv_timeout(READY) {
                    Ok((Tag::Ready, _)) => break,
                    Ok((Tag::Want, hash)) => {
                        let hash = String::from_utf8_lossy(&hash).into_owned();
                        let bytes =
                            file(&hash).ok_or_else(|| format!("process {i} asks for {hash}, which is not here"))?;
                        link.send(Tag::Give, &bytes)?;
                    }
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        fatal("cluster", format!("process {i} was not ready in {READY:?}"))
                    }
                    Err(RecvTimeoutError::Disconnected) => fatal("cluster", format!("process {i} is lost")),
                }
            }
        }
        mesh::form(&self.peers, &self.door, generation, self.session)
    }

    /// Wait for every member's control connection.
    fn gather(&mut self) {
        let mut said = Instant::now() - SAY_EVERY + Duration::from_secs(2);
        while let Some(i) = (1..self.links.len()).find(|i| self.links[*i].is_none()) {
            match self.door.arrivals.recv_timeout(Duration::from_millis(200)) {
                Ok((hello, stream)) if hello.purpose == Purpose::Control && self.links[hello.from].is_none() => {
                    let whom = format!("process {} ({})", hello.from, self.peers.hosts[hello.from]);
                    match Link::start(stream, whom, self.peers.timeout, self.drain.clone()) {
                        Ok(link) => self.links[hello.from] = Some(link),
                        Err(e) => fatal("cluster", e),
                    }
                }
                // A member comes a second time only after its process was started again: this incarnation is over.
                Ok((hello, _)) if hello.purpose == Purpose::Control => {
                    fatal("cluster", format!("process {} was started again", hello.from))
                }
                Ok(_) => {}
                Err(_) if said.elapsed() >= SAY_EVERY => {
                    said = Instant::now();
                    eprintln!("millstream: cluster: waiting for process {i} ({})", self.peers.hosts[i]);
                }
                Err(_) => {}
            }
        }
    }

    /// Becomes true when a member was asked to end: the run is to be drained.
    pub fn asked_to_drain(&self) -> Arc<AtomicBool> {
        self.drain.clone()
    }

    /// The run is over: let the members go.
    pub fn end(self) {
        for link in self.links.iter().flatten() {
            link.over();
            let _ = link.send(Tag::End, &[]);
        }
    }
}
