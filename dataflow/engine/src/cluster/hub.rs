//! Process 0: waits for the members, tells them what to run, and when it is over.
//!
//! A member that has come in hears from process 0 at once, also while that one still waits for the log: its silence would
//! be taken for its end.
use super::Peers;
use super::door::{Arrival, Door};
use super::link::{Link, Tag};
use super::mesh::{self, Mesh};
use crate::fatal::lost;
use model::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
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
    /// Members as they come in.
    members: Receiver<(usize, Link)>,
    session: u64,
    /// A member was asked to end.
    drain: Arc<AtomicBool>,
}

impl Hub {
    /// Open the door, and let members in.
    pub fn open(peers: Peers) -> Result<Hub> {
        let (door, arrivals) = Door::open(&peers)?;
        let links = peers.hosts.iter().map(|_| None).collect();
        let drain = Arc::new(AtomicBool::new(false));
        let (tx, members) = channel();
        let (guests, asked) = (peers.clone(), drain.clone());
        std::thread::Builder::new().name("members".into()).spawn(move || admit(&guests, &arrivals, &tx, &asked))?;
        Ok(Hub { peers, door, links, members, session: 0, drain })
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
                    Err(RecvTimeoutError::Timeout) => lost(format!("process {i} was not ready in {READY:?}")),
                    Err(RecvTimeoutError::Disconnected) => lost(format!("process {i} is lost")),
                }
            }
        }
        mesh::form(&self.peers, &self.door, generation, self.session)
    }

    /// Wait for every member's control connection.
    fn gather(&mut self) {
        let mut said = Instant::now() - SAY_EVERY + Duration::from_secs(2);
        while let Some(i) = (1..self.links.len()).find(|i| self.links[*i].is_none()) {
            match self.members.recv_timeout(Duration::from_millis(200)) {
                Ok((from, link)) => self.links[from] = Some(link),
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

/// Start to talk with everybody who comes to get orders.
fn admit(peers: &Peers, arrivals: &Receiver<Arrival>, tx: &Sender<(usize, Link)>, drain: &Arc<AtomicBool>) {
    let mut came = vec![false; peers.hosts.len()];
    while let Ok((hello, stream)) = arrivals.recv() {
        // A member comes a second time only after its process was started again: this incarnation is over.
        if std::mem::replace(&mut came[hello.from], true) {
            lost(format!("process {} was started again", hello.from))
        }
        let whom = format!("process {} ({})", hello.from, peers.hosts[hello.from]);
        let link = Link::start(stream, whom, peers.timeout, drain.clone()).unwrap_or_else(|e| lost(e));
        // The run may be over.
        if tx.send((hello.from, link)).is_err() {
            return;
        }
    }
}
