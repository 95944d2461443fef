//! The port of a process: takes connections, asks who it is, and hands on those who may come in.
use super::Peers;
use super::handshake::{self, Hello, Purpose};
use crate::fatal::fatal;
use model::Result;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Connections that may be in a handshake at once; more are closed unheard.
pub(crate) const GUESTS_MAX: usize = 64;
/// At most one line about refused connections in this time.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Who came in.
pub(crate) type Arrival = (Hello, TcpStream);

/// Open port of a process.
pub(crate) struct Door {
    /// Who came for the data of a session.
    pub arrivals: Receiver<Arrival>,
}

impl Door {
    /// Listen on this process's address. Beside the door: who came to get orders.
    pub fn open(peers: &Peers) -> Result<(Door, Receiver<Arrival>)> {
        let own = peers.bind.as_ref().unwrap_or(&peers.hosts[peers.me]).clone();
        let listener = TcpListener::bind(&own).unwrap_or_else(|e| {
            fatal("cluster", format!("cannot listen on {own}: {e}. Is another process of the cluster running there?"))
        });
        let ((data, arrivals), (control, members)) = (channel(), channel());
        let peers = peers.clone();
        std::thread::Builder::new().name("door".into()).spawn(move || serve(&listener, &peers, &data, &control))?;
        Ok((Door { arrivals }, members))
    }
}

fn serve(listener: &TcpListener, peers: &Peers, data: &Sender<Arrival>, control: &Sender<Arrival>) {
    let guests = Arc::new(AtomicUsize::new(0));
    let log = Arc::new(Log::default());
    for stream in listener.incoming().flatten() {
        if guests.fetch_add(1, Ordering::Relaxed) >= GUESTS_MAX {
            guests.fetch_sub(1, Ordering::Relaxed);
            log.refused(&stream, "too many connections that have not said who they are");
            continue;
        }
        let (peers, guests, log) = (peers.clone(), guests.clone(), log.clone());
        let (data, control) = (data.clone(), control.clone());
        let greet = move || {
            let from = stream.try_clone();
            match handshake::accept(&peers, stream) {
                Ok(arrival) if arrival.0.purpose == Purpose::Control => drop(control.send(arrival)),
                Ok(arrival) => drop(data.send(arrival)),
                Err(e) => drop(from.map(|s| log.refused(&s, &e.to_string()))),
            }
            guests.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("guest".into()).spawn(greet).is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Says who was refused without letting strangers fill the log.
#[derive(Default)]
struct Log {
    last: Mutex<Option<Instant>>,
    unsaid: AtomicU64,
}

impl Log {
    fn refused(&self, stream: &TcpStream, why: &str) {
        let mut last = self.last.lock().expect("no holder panics");
        if last.is_some_and(|l| l.elapsed() < SAY_EVERY) {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *last = Some(Instant::now());
        let from = stream.peer_addr().map_or_else(|_| "somebody".into(), |a| a.to_string());
        let more = match self.unsaid.swap(0, Ordering::Relaxed) {
            0 => String::new(),
            n => format!(" ({n} more before)"),
        };
        eprintln!("millstream: cluster: refused a connection from {from}: {why}{more}");
    }
}
