//! What a run left behind: its output file, checked, and the figures the engine printed.
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Longest line of an engine's figures.
const STATS_MAX: u64 = 1 << 20;

/// The engine's own figures (`millstream run --stats`), as far as they are used.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Stats {
    /// Events read.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Milliseconds from an epoch's first input being offered until its output is committed.
    pub latency_ms: Latency,
    /// CPU seconds by node, and under names in brackets what belongs to none.
    pub cpu_by_node_s: BTreeMap<String, f64>,
}

/// Percentiles of one run, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, serde::Serialize)]
pub struct Latency {
    /// Half of the epochs took at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// The figures in an engine's standard output: its last line that is not empty.
pub fn stats(stdout: &Path) -> Result<Stats> {
    let mut text = String::new();
    File::open(stdout)?.take(STATS_MAX).read_to_string(&mut text)?;
    parse(&text)
}

fn parse(text: &str) -> Result<Stats> {
    let line = text.lines().rev().find(|l| !l.trim().is_empty()).context("the engine printed no figures (--stats)")?;
    serde_json::from_str(line).with_context(|| format!("the engine's figures cannot be read: {line:.200}"))
}

/// Number of lines; a last one without its end is an error, the file was cut.
pub fn lines(path: &Path) -> Result<u64> {
    let what = || format!("read the output {}", path.display());
    let mut file = File::open(path).with_context(what)?;
    let (mut buffer, mut lines, mut last) = (vec![0; 1 << 16], 0, b'\n');
    loop {
        let n = file.read(&mut buffer).with_context(what)?;
        if n == 0 {
            break;
        }
        lines += buffer[..n].iter().filter(|b| **b == b'\n').count() as u64;
        last = buffer[n - 1];
    }
    ensure!(last == b'\n', "{}: the last line has no end", path.display());
    Ok(lines)
}

/// Number of the first line in which two files differ.
pub fn first_difference(a: &Path, b: &Path) -> Result<Option<u64>> {
    let open = |p: &Path| File::open(p).map(BufReader::new).with_context(|| format!("open {}", p.display()));
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for line in 1.. {
        x.clear();
        y.clear();
        a.read_until(b'\n', &mut x)?;
        b.read_until(b'\n', &mut y)?;
        if x != y {
            return Ok(Some(line));
        }
        if x.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// The last `max` bytes of a text file, for an error message.
pub fn tail(path: &Path, max: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(max)..]).trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn figures_are_the_last_line() {
        let line = r#"{"events":200000,"bytes":312164112,"wall_s":0.4,"cpu_s":0.5,"epochs":12,"latency_ms":{"p50":20,"p90":31,"p99":38.5,"max":39},"cpu_by_node_s":{"a":0.25},"alerts":980}"#;
        let s = parse(&format!("a note\n{line}\n\n")).unwrap();
        assert_eq!((s.events, s.bytes), (200_000, 312_164_112));
        assert_eq!(s.cpu_by_node_s["a"], 0.25);
        assert_eq!(s.latency_ms, Latency { p50: 20.0, p90: 31.0, p99: 38.5, max: 39.0 });
    }

    #[test]
    fn missing_or_broken_figures_are_told() {
        assert!(parse(" \n").unwrap_err().to_string().contains("printed no figures"));
        for text in [
            "{\"events\":1}",
            "done",
            "{\"events\":-1,\"bytes\":0,\"latency_ms\":{\"p50\":1,\"p90\":1,\"p99\":1,\"max\":1}}",
        ] {
            assert!(parse(text).unwrap_err().to_string().contains("cannot be read"), "{text}");
        }
    }

    #[test]
    fn lines_are_counted_and_a_cut_one_is_an_error() {
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(lines(&file(tmp.path(), "a", "")).unwrap(), 0);
        assert_eq!(lines(&file(tmp.path(), "b", "x\n\ny\n")).unwrap(), 3);
        assert!(lines(&file(tmp.path(), "c", "x\ny")).is_err());
        assert!(format!("{:#}", lines(&tmp.path().join("none")).unwrap_err()).contains("none"));
    }

    #[test]
    fn files_differ_in_a_line() {
        let tmp = tempfile::tempdir().unwrap();
        let a = file(tmp.path(), "a", "1\n2\n3\n");
        for (other, line) in [
            ("1\n2\n3\n", None),
            ("1\n2\n4\n", Some(3)),
            ("1\n2\n", Some(3)),
            ("1\n2\n3\n\n", Some(4)),
            ("1\n2\n3", Some(3)),
        ] {
            assert_eq!(first_difference(&a, &file(tmp.path(), "b", other)).unwrap(), line, "{other:?}");
        }
    }

    #[test]
    fn a_tail_is_the_end() {
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(tail(&file(tmp.path(), "a", "first\nlast\n"), 5), "last");
        assert_eq!(tail(&tmp.path().join("none"), 5), "");
    }
}
