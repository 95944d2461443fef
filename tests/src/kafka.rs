//! A real Apache Kafka for tests: one or three brokers (KRaft) on loopback, which can be killed, stopped and restarted.
//!
//! `MILLSTREAM_KAFKA=host:port` makes [`Broker::shared`] and [`Broker::start`] use that cluster instead; faults are then
//! refused. Topics of one cluster are shared by tests: use [`unique`] names.
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

mod client;
mod config;
mod groups;
mod jars;
mod spawn;
mod tls;
mod users;

pub(crate) use client::settings;
pub use client::{Admin, Message, SendMany, produce, read_all};
pub use config::{Node, SASL_USER, free_port};
pub use groups::GroupLine;
pub use spawn::spawn;
pub use tls::Certificate;

/// A broker that is not ready by then never will be: a loaded machine needs a while.
const READY_MAX: Duration = Duration::from_secs(90);
/// A clean stop takes a second or two; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Bytes of each log shown when a test fails.
const LOG_SHOWN: usize = 3000;

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Brokers: 1 or 3.
    pub brokers: usize,
    /// Address of the listeners.
    pub host: String,
    /// What clients are told instead of each node's own address, by node: a proxy in front of it. May be empty.
    pub advertised: Vec<(String, u16)>,
    /// More lines of `server.properties`; they win over the harness's own.
    pub properties: Vec<(String, String)>,
    /// Program and arguments in front of `java`: `["ip", "netns", "exec", "name"]`. It must `exec`, so that the process
    /// id is the broker's. May be empty.
    pub wrap: Vec<String>,
    /// Heap of each broker.
    pub heap: String,
    /// It runs for many minutes: Java may take its time to make it fast.
    pub lives_long: bool,
    /// Certificate for listeners that speak TLS; without it there are none.
    pub certificate: Option<Certificate>,
    /// Port for clients of the first broker; a free one if not given.
    pub port: Option<u16>,
}

impl Setup {
    /// Brokers on 127.0.0.1 with default settings.
    pub fn new(brokers: usize) -> Setup {
        Setup {
            brokers,
            host: "127.0.0.1".into(),
            advertised: Vec::new(),
            properties: Vec::new(),
            wrap: Vec::new(),
            heap: "384m".into(),
            lives_long: false,
            certificate: None,
            port: None,
        }
    }
    /// Add a line of `server.properties`.
    pub fn property(mut self, name: &str, value: &str) -> Setup {
        self.properties.push((name.into(), value.into()));
        self
    }
}

/// A running cluster. Dropping it kills the brokers and deletes their data.
pub struct Broker {
    dir: PathBuf,
    setup: Setup,
    nodes: Vec<Node>,
    running: Vec<Mutex<Option<Child>>>,
    external: Option<String>,
    admin: OnceLock<Admin>,
    jars: OnceLock<jars::Jars>,
}

impl Broker {
    /// One broker for all tests of this process that inject no faults into it. Panics with the broker's log if it does
    /// not start.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Broker::start(1).unwrap_or_else(|e| panic!("start Kafka: {e:#}")))
    }

    /// A cluster of 1 or 3 brokers.
    pub fn start(brokers: usize) -> Result<Broker> {
        Broker::start_or_use(Setup::new(brokers))
    }

    /// The same with settings for a cluster of our own.
    pub fn start_or_use(setup: Setup) -> Result<Broker> {
        match std::env::var("MILLSTREAM_KAFKA") {
            Ok(hosts) if !hosts.is_empty() => Ok(Broker {
                dir: PathBuf::new(),
                setup,
                nodes: Vec::new(),
                running: Vec::new(),
                external: Some(hosts),
                admin: OnceLock::new(),
                jars: OnceLock::new(),
            }),
            _ => Broker::start_with(setup),
        }
    }

    /// A cluster of our own, whatever `MILLSTREAM_KAFKA` says: for faults.
    pub fn start_with(setup: Setup) -> Result<Broker> {
        ensure!(jars::SIZES.contains(&setup.brokers), "a cluster has 1 or 3 brokers, not {}", setup.brokers);
        let jars = jars::Jars::get()?;
        let dir = run_folder()?;
        let mut nodes = Vec::new();
        for i in 0..setup.brokers {
            let mut node = Node::new(i + 1, &setup.host, &dir)?;
            if let Some(port) = setup.port.filter(|_| i == 0) {
                (node.client, node.advertised.1) = (port, port);
            }
            if let Some(a) = setup.advertised.get(i) {
                node.advertised = a.clone();
            }
            jars::copy(&jars.formatted(node.id, setup.brokers), &node.data)?;
            nodes.push(node);
        }
        for node in &nodes {
            let text = config::properties(node, &nodes, &setup);
            fs::write(dir.join(format!("node-{}.properties", node.id)), text)?;
        }
        let running = nodes.iter().map(|_| Mutex::new(None)).collect();
        let (admin, installed) = (OnceLock::new(), OnceLock::from(jars));
        let broker = Broker { dir, setup, nodes, running, external: None, admin, jars: installed };
        for i in 0..broker.nodes.len() {
            broker.launch(i)?;
        }
        broker.ready(READY_MAX).inspect_err(|_| broker.print_logs())?;
        Ok(broker)
    }

    /// `host:port,…` for clients.
    pub fn bootstrap(&self) -> String {
        self.list(|n| n.advertised.clone())
    }
    /// `host:port,…` that goes past a proxy named in [`Setup::advertised`].
    pub fn direct(&self) -> String {
        self.list(|n| (n.host.clone(), n.internal))
    }
    /// `host:port,…` of the listener that wants SASL PLAIN over plain text, with [`SASL_USER`].
    pub fn sasl(&self) -> String {
        self.list(|n| (n.host.clone(), n.sasl))
    }
    /// `host:port,…` of the listener that speaks TLS, if there is a certificate.
    pub fn tls(&self) -> String {
        self.list(|n| (n.host.clone(), n.tls))
    }
    /// `host:port,…` of the listener that speaks TLS and wants a SCRAM password or a bearer token.
    pub fn sasl_tls(&self) -> String {
        self.list(|n| (n.host.clone(), n.sasl_tls))
    }
    fn list(&self, f: impl Fn(&Node) -> (String, u16)) -> String {
        match &self.external {
            Some(hosts) => hosts.clone(),
            None => self.nodes.iter().map(|n| f(n)).map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>().join(","),
        }
    }

    /// Topics, offsets and partitions of the cluster.
    pub fn admin(&self) -> &Admin {
        self.admin.get_or_init(|| Admin::new(&self.direct()))
    }
    /// Create a topic and wait until every partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, replication: i32) -> Result<()> {
        self.admin().create(name, partitions, replication, &[])
    }
    /// The same with topic settings, as `("cleanup.policy", "compact")`.
    pub fn create_topic_with(&self, name: &str, partitions: i32, replication: i32, s: &[(&str, &str)]) -> Result<()> {
        self.admin().create(name, partitions, replication, s)
    }

    /// Make a topic of the lines of a file, spread over its partitions one after the other. How many there are.
    pub fn fill(&self, topic: &str, partitions: i32, file: &Path) -> Result<u64> {
        self.fill_with(topic, partitions, file, &[])
    }

    /// The same with topic settings. The records are sent with LZ4, and stay so unless `compression.type` says otherwise.
    pub fn fill_with(&self, topic: &str, partitions: i32, file: &Path, s: &[(&str, &str)]) -> Result<u64> {
        self.create_topic_with(topic, partitions, 1, s)?;
        let send = SendMany::new(&self.bootstrap(), topic)?;
        let text = fs::read(file).with_context(|| file.display().to_string())?;
        let mut n = 0;
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            send.send((n % partitions as u64) as i32, None, line, &[])?;
            n += 1;
        }
        send.flush()?;
        Ok(n)
    }

    /// What `kafka-consumer-groups --describe` says of a group: the original tool, not a client of ours.
    pub fn describe_group(&self, group: &str) -> Result<Vec<GroupLine>> {
        groups::describe(self.jars()?, &self.direct(), group)
    }
    /// Give a user a password for SCRAM.
    pub fn create_user(&self, name: &str, password: &str) -> Result<()> {
        users::create(self.jars()?, &self.direct(), name, password)
    }
    fn jars(&self) -> Result<&jars::Jars> {
        match self.jars.get() {
            Some(j) => Ok(j),
            None => {
                let j = jars::Jars::get()?;
                Ok(self.jars.get_or_init(|| j))
            }
        }
    }

    /// Nodes of our own cluster: their ports and folders.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
    /// Process id of a broker (from 0), if it runs.
    pub fn pid(&self, i: usize) -> Option<i32> {
        self.running.get(i).and_then(|_| self.child(i).as_ref().map(|c| c.id() as i32))
    }

    /// SIGKILL a broker (from 0).
    pub fn kill(&self, i: usize) -> Result<()> {
        self.own()?;
        if let Some(mut child) = self.child(i).take() {
            child.kill().with_context(|| format!("kill broker {i}"))?;
            child.wait()?;
        }
        Ok(())
    }
    /// SIGSTOP a broker: it holds its connections and does not answer.
    pub fn stop_signal(&self, i: usize) -> Result<()> {
        self.signal(i, libc::SIGSTOP)
    }
    /// SIGCONT after [`Broker::stop_signal`].
    pub fn cont(&self, i: usize) -> Result<()> {
        self.signal(i, libc::SIGCONT)
    }
    /// Stop a broker cleanly; one that does not end in time is killed.
    pub fn stop(&self, i: usize) -> Result<()> {
        self.own()?;
        let Some(mut child) = self.child(i).take() else { return Ok(()) };
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        // The error of a child that had to be killed is that it had to be killed.
        let _ = crate::run::wait(&mut child, STOP_MAX);
        Ok(())
    }
    /// Stop a broker cleanly if it runs, start it, and wait until the whole cluster answers.
    pub fn restart(&self, i: usize) -> Result<()> {
        self.stop(i)?;
        self.launch(i)?;
        self.ready(READY_MAX).inspect_err(|_| self.print_logs())
    }
    /// Start a broker that was killed or stopped, without waiting for it.
    pub fn launch(&self, i: usize) -> Result<()> {
        self.own()?;
        let jars = self.jars.get().context("no jars")?;
        let node = self.nodes.get(i).with_context(|| format!("there is no broker {i}"))?;
        let mut command = jars.java("kafka.Kafka", &self.setup.heap, self.setup.lives_long);
        command.arg(self.dir.join(format!("node-{}.properties", node.id)));
        if let Some((program, args)) = self.setup.wrap.split_first() {
            let mut outer = Command::new(program);
            outer.args(args).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
            command = outer;
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path(node.id))?;
        command.stdout(log.try_clone()?).stderr(log).current_dir(&self.dir);
        let mut slot = self.child(i);
        ensure!(slot.is_none(), "broker {i} runs already");
        *slot = Some(spawn(command)?);
        Ok(())
    }

    /// Wait until every broker that runs is known to the cluster and answers.
    pub fn ready(&self, limit: Duration) -> Result<()> {
        self.own()?;
        let end = Instant::now() + limit;
        let up = (0..self.nodes.len()).filter(|i| self.child(*i).is_some()).count();
        for i in 0..self.nodes.len() {
            // A client backs off when refused; a bare connection shows the moment the listener is there.
            let address = (self.nodes[i].host.as_str(), self.nodes[i].internal);
            while self.child(i).is_some() && std::net::TcpStream::connect(address).is_err() {
                self.alive(i)?;
                ensure!(Instant::now() < end, "broker {i} does not listen after {limit:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let admin = Admin::new(&self.direct());
        loop {
            let last = match admin.brokers(Duration::from_secs(2)) {
                Ok(n) if n == up => return Ok(()),
                Ok(n) => format!("{n} of {up} brokers are there"),
                Err(e) => format!("{e:#}"),
            };
            for i in 0..self.nodes.len() {
                self.alive(i)?;
            }
            ensure!(Instant::now() < end, "Kafka is not ready after {limit:?}: {last}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Wait until every partition has all of its replicas again: a cluster that can lose the next broker.
    pub fn in_sync(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let behind = self.admin().behind()?;
            if behind.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "after {limit:?} replicas are behind: {}\n{}", behind.join(" "), self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of every broker's log.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for node in &self.nodes {
            let text = fs::read(self.log_path(node.id)).unwrap_or_default();
            let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_SHOWN)..]).into_owned();
            all.push_str(&format!("--- {}\n{tail}\n", self.log_path(node.id).display()));
        }
        all
    }

    fn print_logs(&self) {
        eprintln!("{}", self.logs());
    }
    fn log_path(&self, id: usize) -> PathBuf {
        self.dir.join(format!("node-{id}.log"))
    }
    fn own(&self) -> Result<()> {
        ensure!(self.external.is_none(), "MILLSTREAM_KAFKA names a cluster that is not ours: no faults there");
        Ok(())
    }
    fn child(&self, i: usize) -> MutexGuard<'_, Option<Child>> {
        self.running[i].lock().unwrap_or_else(|e| e.into_inner())
    }
    fn alive(&self, i: usize) -> Result<()> {
        if let Some(child) = self.child(i).as_mut()
            && let Some(status) = child.try_wait()?
        {
            bail!("broker {i} ended: {status}; see {}", self.log_path(self.nodes[i].id).display());
        }
        Ok(())
    }
    fn signal(&self, i: usize, signal: i32) -> Result<()> {
        self.own()?;
        let pid = self.pid(i).with_context(|| format!("broker {i} does not run"))?;
        // SAFETY: our own child, which nobody has waited for.
        ensure!(unsafe { libc::kill(pid, signal) } == 0, "signal {signal} to broker {i}");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        for slot in &self.running {
            if let Some(mut child) = slot.lock().unwrap_or_else(|e| e.into_inner()).take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if self.external.is_none() && std::env::var_os("MILLSTREAM_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A name that no other test of this or another process uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder for a cluster. Those of processes that are gone are deleted: nobody drops a static.
fn run_folder() -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = "millstream-kafka-";
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(prefix).and_then(|r| r.split('-').next()).and_then(|p| p.parse::<u32>().ok());
        if pid.is_some_and(|p| !Path::new(&format!("/proc/{p}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("{prefix}{}-{n}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir)
}

/// Wait until a log has a text.
fn wait_for_line(log: &Path, text: &str, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let have = fs::read(log).unwrap_or_default();
        if String::from_utf8_lossy(&have).contains(text) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "not within {limit:?} in {}: {text}", log.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
