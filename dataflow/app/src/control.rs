//! The control socket of a running engine: `control.sock` in its data folder, one JSON line each way.
use anyhow::{Context, Result};
use engine::Status;
use model::epoch::Command;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A request line longer than this is refused.
const LINE_MAX: u64 = 64 << 10;
/// A client that says nothing for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Figures.
    Status,
    /// Check the topology on disk and let it take over.
    Apply,
    /// End in good order.
    Drain,
    /// Put a command into the next epoch.
    Command(Command),
}

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The question.
    pub ask: Ask,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// `applied`, `unchanged`, `failed`, `ok`, `status`, `sealing`.
    pub state: String,
    /// Topology generation.
    pub generation: u64,
    /// Why, or what.
    pub message: String,
    /// Newest committed epoch.
    pub epoch: u64,
}

impl Answer {
    fn of(state: &str, generation: u64, message: &str) -> Answer {
        Answer { state: state.into(), generation, message: message.into(), epoch: 0 }
    }
    /// The edit runs.
    pub fn applied(generation: u64) -> Answer {
        Answer::of("applied", generation, "the edited topology runs")
    }
    /// Nothing to do.
    pub fn unchanged(generation: u64) -> Answer {
        Answer::of("unchanged", generation, "what is on disk already runs")
    }
    /// The edit waits for the seal.
    pub fn sealing(generation: u64) -> Answer {
        Answer::of("sealing", generation, "")
    }
    /// Refused; the running topology goes on.
    pub fn failed(why: &str) -> Answer {
        Answer::of("failed", 0, why)
    }
    /// Done.
    pub fn ok(what: &str) -> Answer {
        Answer::of("ok", 0, what)
    }
    /// Figures.
    pub fn status(s: &Status, generation: u64) -> Answer {
        let message = if s.live.load(Relaxed) { "live" } else { "replaying" };
        Answer { epoch: s.epoch.load(Relaxed), ..Answer::of("status", generation, message) }
    }
}

/// Serves the socket until dropped.
pub struct Listener(PathBuf);

impl Listener {
    /// Bind in `dir` (replacing what a dead engine left; the store's lock has shown that no other lives) and answer
    /// on a thread, one client at a time.
    pub fn start(dir: &Path, answer: impl Fn(Request) -> Answer + Send + 'static) -> Result<Listener> {
        let path = dir.join("control.sock");
        let _ = std::fs::remove_file(&path);
        let socket = UnixListener::bind(&path).with_context(|| format!("bind {}", path.display()))?;
        std::thread::Builder::new().name("control".into()).spawn(move || {
            for client in socket.incoming().flatten() {
                let _ = talk(client, &answer);
            }
        })?;
        Ok(Listener(path))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn talk(mut client: UnixStream, answer: &impl Fn(Request) -> Answer) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&mut client).take(LINE_MAX)).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => answer(request),
        Err(e) => Answer::failed(&format!("not a request: {e}")),
    };
    writeln!(client, "{}", serde_json::to_string(&reply)?)
}

/// Ask the engine that runs on a data folder.
pub fn ask(dir: &Path, ask: &Ask) -> Result<Answer> {
    let path = dir.join("control.sock");
    let mut socket = UnixStream::connect(&path).with_context(|| {
        format!("no engine answers at {}: is `millstream run` running on this data folder?", path.display())
    })?;
    writeln!(socket, "{}", serde_json::to_string(&Request { ask: ask.clone() })?)?;
    let mut line = String::new();
    BufReader::new(socket.take(LINE_MAX)).read_line(&mut line)?;
    serde_json::from_str(&line).context("the engine's answer is cut off")
}
