//! Python programs from PyPI, each set of packages in a virtual environment of its own that is made once.
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Folder of the programs (`python` among them) of an environment with these packages (`name==version`), installed if they
/// are not there yet. Several processes may ask at once.
pub fn environment(packages: &[&str]) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let base = home.join(".cache/millstream-python");
    fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
    let lock = File::create(base.join("lock"))?;
    // SAFETY: flock on a descriptor that we own; it is released when the file closes.
    ensure!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) } == 0, "lock {}", base.display());
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let dir = base.join(packages.join("-").chars().map(plain).collect::<String>());
    let whole = dir.join("whole");
    if !whole.exists() {
        // A virtual environment knows its own path, so it is made in place; the mark says that it is complete.
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(dir.join("bin/python")).args(pip).args(packages))?;
        fs::write(&whole, "")?;
    }
    Ok(dir.join("bin"))
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    Ok(())
}
