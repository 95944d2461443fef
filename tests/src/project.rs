//! Where things are: the checkout, the binary under test, the inputs that tests generate once.
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// Root of the checkout: above the package that Cargo says this program is started for, not where it was compiled, for
/// checkouts that share a target folder share the program as well.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&package).ancestors().find(|d| d.join("Cargo.lock").is_file());
    root.unwrap_or(Path::new(".")).to_path_buf()
}

/// The `millstream` binary, built once per test process with the profile of the tests; or the one that
/// `MILLSTREAM_BINARY` names, such as that of a release.
pub fn millstream() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build().unwrap_or_else(|e| panic!("build millstream: {e:#}")))
}

fn build() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("MILLSTREAM_BINARY") {
        return Ok(std::fs::canonicalize(&binary).with_context(|| format!("MILLSTREAM_BINARY: {binary:?}"))?);
    }
    let status = cargo()
        // The selection of `cargo xtask test`: nothing is left to do then.
        .args(["build", "--release", "--quiet", "--workspace", "--all-targets"])
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "cargo build failed");
    let exe = std::env::current_exe()?;
    let dir = exe.ancestors().find(|d| d.ends_with("release")).context("tests run from target/release")?;
    Ok(dir.join("millstream"))
}

/// Cargo in the checkout, with the environment it has in a shell. Cargo tells what it runs about its own package, and some
/// build scripts look at that: a cargo started from a test or a task would build their crates, and all above them, anew.
pub fn cargo() -> Command {
    let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR";
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)).for_each(|(name, _)| {
        c.env_remove(name);
    });
    c.current_dir(root());
    c
}

/// Folder for inputs that are generated once and kept between runs.
pub fn cache() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|d| d.ends_with("release")).and_then(Path::parent);
    target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("test-inputs")
}

/// The common workload's events and lookup for a number of events and a seed.
pub fn common_input(events: u64, seed: u64) -> Result<(PathBuf, PathBuf)> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let dir = cache().join(format!("common-{events}-{seed}"));
    let (input, lookup) = (dir.join(format!("ct_{events}.jsonl")), dir.join("lookup.csv"));
    if !dir.join("done").exists() {
        std::fs::create_dir_all(&dir)?;
        python(&["bench/cases/common/gen.py", &dir.to_string_lossy(), &events.to_string(), &seed.to_string()])?;
        std::fs::write(dir.join("done"), "")?;
    }
    Ok((input, lookup))
}

/// Alerts of the common workload by the plain reference, with at most `limit` alerts per rule and hour.
pub fn common_reference(input: &Path, lookup: &Path, limit: u64) -> Result<Vec<u8>> {
    python(&["tests/reference/common.py", &input.to_string_lossy(), &lookup.to_string_lossy(), &limit.to_string()])
}

/// Run a Python 3 program of the checkout; its standard output.
pub fn python(args: &[&str]) -> Result<Vec<u8>> {
    let out = Command::new("python3").args(args).current_dir(root()).output().context("start python3")?;
    if !out.status.success() {
        bail!("python3 {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
    }
    Ok(out.stdout)
}

/// Real sample logs, where they are present: `$MILLSTREAM_SAMPLES`, else `../shared/samples` beside the checkout.
pub fn samples() -> Option<PathBuf> {
    let dir = match std::env::var_os("MILLSTREAM_SAMPLES") {
        Some(d) => PathBuf::from(d),
        None => root().parent()?.join("shared/samples"),
    };
    dir.is_dir().then_some(dir)
}
