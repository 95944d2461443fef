//! What a figure was taken on: without it no figure means anything.
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// Load per core above which wall times say more about the neighbours than about the program.
const BUSY: f64 = 0.5;

/// The machine and the checkout.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, GiB.
    pub memory_gib: Option<f64>,
    /// Operating system with its version.
    pub kernel: String,
    /// Load averages of 1, 5 and 15 minutes when the benchmark started.
    pub load: Option<[f64; 3]>,
    /// Commit of the checkout; `+` after it: with changes that are not committed.
    pub commit: Option<String>,
}

impl Machine {
    /// Look at this machine and the checkout at `root`.
    pub fn look(root: &Path) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown processor").to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: value(&read("/proc/meminfo"), "MemTotal").and_then(gib),
            kernel: kernel(&read("/proc/sys/kernel/osrelease")),
            load: loads(&read("/proc/loadavg")),
            commit: commit(root),
        }
    }

    /// One line: processor, cores, memory, system, load.
    pub fn line(&self) -> String {
        let mut out = format!("{}, {} core{}", self.cpu, self.cores, if self.cores == 1 { "" } else { "s" });
        if let Some(m) = self.memory_gib {
            out += &format!(", {m:.0} GiB");
        }
        out += &format!(", {}", self.kernel);
        if let Some([a, b, c]) = self.load {
            out += &format!(", load {a:.2} {b:.2} {c:.2} at the start");
        }
        out
    }

    /// Others used the machine when the benchmark started.
    pub fn busy(&self) -> bool {
        self.load.is_some_and(|[one, ..]| one > BUSY * self.cores as f64)
    }
}

/// The text after `key …:` in the first such line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.split_once(':').filter(|(k, _)| k.trim() == key)).map(|(_, v)| v.trim())
}

/// `24689452 kB` → GiB.
fn gib(text: &str) -> Option<f64> {
    let kib: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0 / 1024.0)
}

fn kernel(release: &str) -> String {
    match release.trim() {
        "" => std::env::consts::OS.to_string(),
        r => format!("Linux {r}"),
    }
}

fn loads(text: &str) -> Option<[f64; 3]> {
    let v: Vec<f64> = text.split_whitespace().take(3).map_while(|w| w.parse().ok()).collect();
    v.try_into().ok()
}

fn commit(root: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(root).args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_string())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain"]).is_some_and(|s| !s.is_empty());
    Some(hash + if changed { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let info = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\nmodel name\t: second";
        assert_eq!(value(info, "model name"), Some("AMD EPYC 9R14"));
        assert_eq!(value(info, "name"), None);
        assert_eq!(gib("25165824 kB"), Some(24.0));
        assert_eq!(gib("lots"), None);
        assert_eq!(loads("11.22 9.85 7.33 2/345 678\n"), Some([11.22, 9.85, 7.33]));
        assert_eq!(loads("1.0 x"), None);
    }

    #[test]
    fn busy_is_load_per_core() {
        let m =
            |load| Machine { cpu: "x".into(), cores: 2, memory_gib: None, kernel: kernel("6.1\n"), load, commit: None };
        assert!(!m(Some([1.0, 9.0, 9.0])).busy() && m(Some([1.01, 0.0, 0.0])).busy() && !m(None).busy());
        assert_eq!(m(None).line(), "x, 2 cores, Linux 6.1");
    }
}
