//! The control socket of a running engine: `control.sock` in its data folder. One JSON line each way; a tap answers
//! with a line for every row it shows, until the client goes.
use crate::stats::Stats;
use anyhow::{Context, Result};
use engine::Status;
use engine::tap::{LINE_MAX as TAP_LINE_MAX, Seen};
use model::epoch::Command;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request line longer than this is refused.
const LINE_MAX: u64 = 64 << 10;
/// An answer longer than this is cut off: the figures of a thousand rules and partitions fit.
const ANSWER_MAX: u64 = 8 << 20;
/// A client that says nothing, or does not take its answer, for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients that may be connected at once.
const CLIENTS_MAX: usize = 32;
/// A tap that shows nothing for this long sends an empty line, to learn whether somebody is still there.
const TAP_SILENCE: Duration = Duration::from_millis(250);
/// A tap ends after this long.
const TAP_TIME_MAX: Duration = Duration::from_secs(3600);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Figures in short.
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

/// What can be looked at. Answered beside the engine's acts, so that `top` shows figures while an edit is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// All figures: answered with [`Stats`].
    Stats,
    /// What leaves a port: answered with rows, and empty lines in between.
    Tap {
        /// `node` or `node.port`.
        node: String,
    },
}

/// A line of a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Look { ask: Look },
    Act(Request),
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
    /// every client on a thread of its own: acts by `answer`, one at a time, looks from `status`.
    pub fn start(
        dir: &Path,
        status: Arc<Status>,
        answer: impl Fn(Request) -> Answer + Send + 'static,
    ) -> Result<Listener> {
        let path = dir.join("control.sock");
        let _ = std::fs::remove_file(&path);
        let socket = UnixListener::bind(&path).with_context(|| format!("bind {}", path.display()))?;
        let answer = Arc::new(Mutex::new(answer));
        let clients = Arc::new(AtomicUsize::new(0));
        std::thread::Builder::new().name("control".into()).spawn(move || {
            for mut client in socket.incoming().flatten() {
                if clients.fetch_add(1, Relaxed) >= CLIENTS_MAX {
                    clients.fetch_sub(1, Relaxed);
                    let refused = Answer::failed(&format!("{CLIENTS_MAX} clients are connected already"));
                    let _ = say(&mut client, &refused);
                    continue;
                }
                let (status, answer, left) = (status.clone(), answer.clone(), clients.clone());
                let talk = move || {
                    let _ = talk(client, &status, &*answer);
                    left.fetch_sub(1, Relaxed);
                };
                if std::thread::Builder::new().name("control client".into()).spawn(talk).is_err() {
                    clients.fetch_sub(1, Relaxed);
                }
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

fn say(client: &mut UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    writeln!(client, "{}", serde_json::to_string(what)?)
}

fn talk(mut client: UnixStream, status: &Status, answer: &Mutex<impl Fn(Request) -> Answer>) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&mut client).take(LINE_MAX)).read_line(&mut line)?;
    match serde_json::from_str(&line) {
        Ok(Line::Look { ask: Look::Stats }) => say(&mut client, &Stats::of(status)),
        Ok(Line::Look { ask: Look::Tap { node } }) => tap(client, status, &node),
        Ok(Line::Act(request)) => {
            let reply = answer.lock().expect("no holder panics")(request);
            say(&mut client, &reply)
        }
        Err(e) => say(&mut client, &Answer::failed(&format!("not a request: {e}"))),
    }
}

/// Last line of a tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapEnd {
    /// Rows that left the port meanwhile.
    pub seen: u64,
    /// Rows that were sent.
    pub shown: u64,
    /// Rows that were not sent because the client was slow.
    pub dropped: u64,
}

impl From<Seen> for TapEnd {
    fn from(s: Seen) -> TapEnd {
        TapEnd { seen: s.seen, shown: s.shown, dropped: s.dropped }
    }
}

/// Send what leaves a port. The first line says whether it exists; the client ends it by closing its side for writing,
/// which is answered with a [`TapEnd`].
fn tap(mut client: UnixStream, status: &Status, node: &str) -> std::io::Result<()> {
    let tapped = match status.port(node).and_then(|(id, port)| status.taps().open(id, port, node)) {
        Ok(t) => t,
        Err(why) => return say(&mut client, &Answer::failed(&why)),
    };
    say(&mut client, &Answer::ok("tapped"))?;
    let began = Instant::now();
    while began.elapsed() < TAP_TIME_MAX && !hung_up(&mut client)? {
        match tapped.next(TAP_SILENCE) {
            Some(line) => writeln!(client, "{line}")?,
            None => writeln!(client)?,
        }
    }
    say(&mut client, &TapEnd::from(tapped.seen()))
}

/// The client has closed its side for writing.
fn hung_up(client: &mut UnixStream) -> std::io::Result<bool> {
    client.set_nonblocking(true)?;
    let read = client.read(&mut [0; 64]);
    client.set_nonblocking(false)?;
    match read {
        Ok(n) => Ok(n == 0),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e),
    }
}

fn connect(dir: &Path, line: &Line) -> Result<UnixStream> {
    let path = dir.join("control.sock");
    let mut socket = UnixStream::connect(&path).with_context(|| {
        format!("no engine answers at {}: is `millstream run` running on this data folder?", path.display())
    })?;
    writeln!(socket, "{}", serde_json::to_string(line)?)?;
    Ok(socket)
}

fn answer<T: serde::de::DeserializeOwned>(socket: UnixStream) -> Result<T> {
    let mut line = String::new();
    BufReader::new(socket.take(ANSWER_MAX)).read_line(&mut line)?;
    match serde_json::from_str(&line) {
        Ok(t) => Ok(t),
        Err(e) => match serde_json::from_str::<Answer>(&line) {
            Ok(a) => anyhow::bail!("{}", a.message),
            Err(_) => Err(e).context("the engine's answer is cut off"),
        },
    }
}

/// Ask the engine that runs on a data folder.
pub fn ask(dir: &Path, ask: &Ask) -> Result<Answer> {
    answer(connect(dir, &Line::Act(Request { ask: ask.clone() }))?)
}

/// Figures of the engine that runs on a data folder.
pub fn stats(dir: &Path) -> Result<Stats> {
    let socket = connect(dir, &Line::Look { ask: Look::Stats })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    answer(socket)
}

/// A tap as its client sees it.
pub struct TapClient {
    lines: BufReader<UnixStream>,
}

/// What a tap's client gets.
#[derive(Debug, PartialEq, Eq)]
pub enum TapLine {
    /// A row, as JSON text.
    Row(String),
    /// Nothing has come for a while.
    Silence,
    /// The tap has ended.
    End(TapEnd),
}

impl TapClient {
    /// Tap a port of the engine that runs on a data folder.
    ///
    /// # Errors
    /// No engine answers, or it has no such port.
    pub fn open(dir: &Path, node: &str) -> Result<TapClient> {
        let socket = connect(dir, &Line::Look { ask: Look::Tap { node: node.into() } })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(socket);
        let mut first = String::new();
        lines.by_ref().take(LINE_MAX).read_line(&mut first)?;
        let first: Answer = serde_json::from_str(&first).context("the engine's answer is cut off")?;
        anyhow::ensure!(first.state != "failed", "{}", first.message);
        Ok(TapClient { lines })
    }
    /// The next line; waits for [`TAP_SILENCE`] at most.
    pub fn next(&mut self) -> Result<TapLine> {
        let mut line = String::new();
        self.lines.by_ref().take(TAP_LINE_MAX as u64 + 2).read_line(&mut line).context("the engine has gone")?;
        anyhow::ensure!(line.ends_with('\n'), "the engine has gone");
        line.pop();
        match serde_json::from_str::<TapEnd>(&line) {
            Ok(end) => Ok(TapLine::End(end)),
            Err(_) if line.is_empty() => Ok(TapLine::Silence),
            Err(_) => Ok(TapLine::Row(line)),
        }
    }
    /// Ask for the end; what was sent before it still comes.
    pub fn close(&mut self) -> Result<()> {
        Ok(self.lines.get_ref().shutdown(std::net::Shutdown::Write)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_documented() {
        let text = |l: &Line| serde_json::to_string(l).unwrap();
        assert_eq!(text(&Line::Look { ask: Look::Stats }), r#"{"ask":"stats"}"#);
        let tap = Line::Look { ask: Look::Tap { node: "a.b".into() } };
        assert_eq!(text(&tap), r#"{"ask":{"tap":{"node":"a.b"}}}"#);
        assert_eq!(text(&Line::Act(Request { ask: Ask::Drain })), r#"{"ask":"drain"}"#);
        let back = |t: &str| serde_json::from_str::<Line>(t).unwrap();
        assert!(matches!(back(r#"{"ask":"status"}"#), Line::Act(Request { ask: Ask::Status })));
        assert!(matches!(back(r#"{"ask":"stats"}"#), Line::Look { ask: Look::Stats }));
        let command = r#"{"ask":{"command":{"command":"unsuppress","rule":"R"}}}"#;
        assert!(matches!(back(command), Line::Act(Request { ask: Ask::Command(_) })));
    }

    #[test]
    fn figures_are_answered_while_an_act_takes_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let slow = move |_| {
            wait.recv().unwrap();
            Answer::ok("done")
        };
        let _listener = Listener::start(dir.path(), Arc::default(), slow).unwrap();
        let path = dir.path().to_path_buf();
        let act = std::thread::spawn(move || ask(&path, &Ask::Apply).unwrap());
        assert_eq!(stats(dir.path()).unwrap().figures.state, "replaying");
        go.send(()).unwrap();
        assert_eq!(act.join().unwrap(), Answer::ok("done"));
    }

    #[test]
    fn a_tap_of_what_does_not_run_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = Listener::start(dir.path(), Arc::default(), |_| Answer::ok("")).unwrap();
        let Err(e) = TapClient::open(dir.path(), "nothing") else { panic!("there is no such node") };
        assert!(e.to_string().contains("no node `nothing` runs"), "{e}");
    }
}
