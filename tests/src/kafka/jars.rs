//! Apache Kafka from Maven Central, fetched once per user and machine.
use crate::project::root;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Sizes of cluster. Storage of each node is formatted once and then copied: a JVM start less per broker.
pub const SIZES: [usize; 2] = [1, 3];
/// Cluster of all brokers that this harness starts.
const CLUSTER: &str = "bWlsbHN0cmVhbS10ZXN0cw";
/// A class archive halves the start; the run that writes it ends by then.
const ARCHIVE_MAX: Duration = Duration::from_secs(120);

/// An installed Kafka.
pub struct Jars {
    dir: PathBuf,
    class_path: String,
}

impl Jars {
    /// The installed Kafka, fetched if it is not there yet. Several processes may ask at once.
    pub fn get() -> Result<Jars> {
        let pom = fs::read_to_string(root().join("tests/kafka/pom.xml")).context("read tests/kafka/pom.xml")?;
        let version = between(&pom, "<kafka.version>", "</kafka.version>").context("pom.xml has no kafka.version")?;
        let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
        let base = home.join(".cache/millstream-kafka");
        fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
        let lock = File::create(base.join("lock"))?;
        // SAFETY: flock on a descriptor that we own; it is released when the file closes.
        ensure!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) } == 0, "lock {}", base.display());
        let dir = base.join(version);
        if fs::read_to_string(dir.join("pom.xml")).ok().as_deref() != Some(&pom) {
            let new = base.join(format!("{version}.new"));
            remove(&new)?;
            fs::create_dir_all(&new)?;
            fs::write(new.join("pom.xml"), &pom)?;
            install(&new)?;
            remove(&dir)?;
            fs::rename(&new, &dir)?;
            // The archive names the jars by their final path, so it is made here. A start without it is only slower.
            if let Err(e) = Jars::at(&dir)?.archive() {
                eprintln!("kafka for tests: no class archive, brokers start slower: {e:#}");
            }
        }
        Jars::at(&dir)
    }

    fn at(dir: &Path) -> Result<Jars> {
        let libs = dir.join("libs");
        let mut jars: Vec<String> = fs::read_dir(&libs)
            .with_context(|| format!("read {}", libs.display()))?
            .map(|e| Ok(e?.path().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        // The archive is valid for one order of the class path only.
        jars.sort();
        Ok(Jars { dir: dir.to_path_buf(), class_path: jars.join(":") })
    }

    /// A command that runs a class, with the flags of a quick start; what lives long is compiled better meanwhile.
    pub fn java(&self, class: &str, heap: &str, lives_long: bool) -> Command {
        let mut c = self.bare();
        if !lives_long {
            c.arg("-XX:TieredStopAtLevel=1");
        }
        let archive = self.dir.join("classes.jsa");
        if archive.exists() {
            c.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        self.main(&mut c, class, heap);
        c
    }

    /// Formatted storage of a node (from 1) of a cluster of a size, to be copied.
    pub fn formatted(&self, node: usize, of: usize) -> PathBuf {
        self.dir.join(format!("formatted-{node}-of-{of}"))
    }

    fn bare(&self) -> Command {
        let mut c = Command::new("java");
        c.args(["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-Xlog:disable"]);
        c.stdin(Stdio::null());
        c
    }

    fn main(&self, c: &mut Command, class: &str, heap: &str) {
        let log4j = root().join("tests/kafka/log4j2.properties");
        c.arg(format!("-Xmx{heap}")).arg(format!("-Dlog4j2.configurationFile={}", log4j.display()));
        c.args(["-cp", &self.class_path, class]);
    }

    /// Run a broker once and keep what classes it loaded.
    fn archive(&self) -> Result<()> {
        let work = tempfile::tempdir()?;
        let node = super::config::Node::new(1, "127.0.0.1", work.path())?;
        copy(&self.formatted(1, 1), &node.data)?;
        let properties = work.path().join("server.properties");
        fs::write(&properties, super::config::properties(&node, std::slice::from_ref(&node), &super::Setup::new(1)))?;
        let (log, fresh) = (File::create(work.path().join("log"))?, self.dir.join("classes.jsa.new"));
        let mut c = self.bare();
        c.arg(format!("-XX:ArchiveClassesAtExit={}", fresh.display()));
        self.main(&mut c, "kafka.Kafka", "384m");
        c.arg(&properties).stdout(log.try_clone()?).stderr(log);
        let mut child = super::spawn::spawn(c)?;
        super::wait_for_line(&work.path().join("log"), "Kafka Server started", ARCHIVE_MAX)?;
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        crate::run::wait(&mut child, ARCHIVE_MAX)?;
        ensure!(fresh.exists(), "java wrote no archive");
        fs::rename(fresh, self.dir.join("classes.jsa"))?;
        Ok(())
    }
}

/// Fetch the jars and format the storage.
fn install(dir: &Path) -> Result<()> {
    eprintln!("kafka for tests: fetching Apache Kafka from Maven Central, once");
    run(Command::new("mvn").args(["-q", "-B", "-f"]).arg(dir.join("pom.xml")).args([
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        &format!("-DoutputDirectory={}", dir.join("libs").display()),
    ]))
    .context("fetch Apache Kafka (needs maven, and Maven Central or a mirror of it in ~/.m2/settings.xml)")?;
    let jars = Jars::at(dir)?;
    for of in SIZES {
        let nodes: Vec<_> = (1..=of).map(|n| super::config::Node::new(n, "127.0.0.1", dir)).collect::<Result<_>>()?;
        for node in &nodes {
            let properties = dir.join("format.properties");
            let mut node = node.clone();
            node.data = jars.formatted(node.id, of);
            fs::write(&properties, super::config::properties(&node, &nodes, &super::Setup::new(nodes.len())))?;
            run(jars
                .java("kafka.tools.StorageTool", "256m", false)
                .args(["format", "-t", CLUSTER, "-c"])
                .arg(&properties))?;
        }
    }
    Ok(())
}

fn run(c: &mut Command) -> Result<()> {
    let out = c.stdin(Stdio::null()).output().with_context(|| format!("start {:?}", c.get_program()))?;
    if !out.status.success() {
        let (o, e) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        bail!("{:?}: {}\n{o}{e}", c.get_program(), out.status);
    }
    Ok(())
}

/// Copy a folder of files.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    crate::run::copy_dir(from, to)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context(format!("remove {}", dir.display())),
        _ => Ok(()),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|p| p.0)
}
