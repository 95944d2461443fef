//! The peers of `bench/peers`: other engines with the same job, each in a Python environment of its own that is made once.
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer: its name, its program, what it needs (`requirements-<needs>.txt`), and more arguments.
struct Peer {
    name: &'static str,
    program: &'static str,
    needs: &'static str,
    args: &'static str,
}

const PEERS: [Peer; 8] = [
    Peer { name: "duckdb", program: "duckdb_common.py", needs: "duckdb", args: "" },
    Peer { name: "duckdb-lake", program: "duckdb_common.py", needs: "duckdb", args: " --lake" },
    Peer { name: "clickhouse", program: "chdb_common.py", needs: "chdb", args: "" },
    Peer { name: "polars", program: "polars_common.py", needs: "polars", args: "" },
    Peer { name: "bytewax", program: "bytewax_common.py", needs: "bytewax", args: "" },
    Peer { name: "tenzir", program: "tenzir_common.py", needs: "tenzir", args: "" },
    Peer { name: "flink", program: "flink_common.py", needs: "flink", args: "" },
    Peer { name: "flink-checkpoints", program: "flink_common.py", needs: "flink", args: " --checkpoint 5000" },
];

/// Names of all peers.
pub fn names() -> Vec<&'static str> {
    PEERS.iter().map(|p| p.name).collect()
}

/// The shell command of a peer, with its environment made where it is missing.
pub fn command(root: &Path, name: &str, cache: &Path) -> Result<String> {
    let peer = PEERS.iter().find(|p| p.name == name).with_context(|| format!("no peer is called {name}"))?;
    let dir = root.join("bench/peers");
    let python =
        environment(&dir.join(format!("requirements-{}.txt", peer.needs)), &cache.join("peers").join(peer.needs))?;
    let quoted = |p: &Path| format!("'{}'", p.display());
    let program = dir.join(peer.program);
    ensure!(
        ![&python, &program].iter().any(|p| p.to_string_lossy().contains(['\'', '{', '}'])),
        "a path with quotes or braces"
    );
    Ok(format!("{} {} {{INPUT}} {{LOOKUP}} {{OUT}} {{WORKERS}}{}", quoted(&python), quoted(&program), peer.args))
}

/// Python of the environment in `venv` with what `requirements` asks for. A note beside it says what it was made for.
fn environment(requirements: &Path, venv: &Path) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements).with_context(|| format!("read {}", requirements.display()))?;
    let (python, note) = (venv.join("bin/python"), venv.join("made-for"));
    if std::fs::read_to_string(&note).ok().as_deref() == Some(&*wanted) {
        return Ok(python);
    }
    eprintln!("install {} into {}", wanted.trim().replace('\n', ", "), venv.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements))?;
    std::fs::write(&note, wanted)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    // Standard output belongs to the report.
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_program_and_what_it_needs() {
        let dir = Path::new("peers");
        for p in &PEERS {
            assert!(dir.join(p.program).is_file(), "{}", p.program);
            assert!(dir.join(format!("requirements-{}.txt", p.needs)).is_file(), "{}", p.needs);
        }
        let known = std::fs::read_dir(dir)
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().ends_with("_common.py"));
        assert!(known.into_iter().all(|e| PEERS.iter().any(|p| *p.program == *e.file_name().to_string_lossy())));
    }

    #[test]
    fn an_environment_is_made_once() {
        let tmp = tempfile::tempdir().unwrap();
        let (needs, venv) = (tmp.path().join("needs.txt"), tmp.path().join("venv"));
        std::fs::write(&needs, "x==1\n").unwrap();
        std::fs::create_dir(&venv).unwrap();
        std::fs::write(venv.join("made-for"), "x==1\n").unwrap();
        assert_eq!(environment(&needs, &venv).unwrap(), venv.join("bin/python"));
    }
}
