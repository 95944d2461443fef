//! The lake as others read it: DuckDB and pyarrow find every event once, with its fields as they went in.
use std::path::Path;
use std::process::Command;
use tests::project::{common_input, root};
use tests::python::environment;
use tests::run::Pipeline;

const READERS: [&str; 2] = ["duckdb==2.0.1", "pyarrow==21.0.0"];

/// The common workload with a lake, in small epochs, files after this long.
fn pipeline(input: &Path, lookup: &Path, max_age: &str) -> Pipeline {
    let p =
        Pipeline::common(input, lookup, "epoch_bytes = \"1MiB\"\nepoch = \"20ms\"\ncheckpoint = \"100ms\"").unwrap();
    let text = String::from_utf8(p.read("../topology.toml")).unwrap();
    let sink = format!(
        "\n[sinks.lake]\ntype = \"parquet\"\ninputs = [\"geo\"]\npath = \"${{OUT}}/lake\"\nmax_age = \"{max_age}\"\n"
    );
    p.file("topology.toml", text + &sink).unwrap();
    p
}

fn read(p: &Pipeline, input: &Path) -> String {
    let out = Command::new(environment(&READERS).unwrap().join("python"))
        .arg(root().join("tests/reference/lake.py"))
        .arg(p.out("lake"))
        .arg(input)
        .output()
        .unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).trim().to_string();
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn duckdb_and_pyarrow_read_what_went_in() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let files = |said: &str| said.split(' ').next().unwrap().parse::<u32>().unwrap();
    let p = pipeline(&input, &lookup, "0s");
    p.once(2).unwrap();
    let small = read(&p, &input);
    let p = pipeline(&input, &lookup, "1h");
    p.once(2).unwrap();
    let large = read(&p, &input);
    assert!(small.ends_with("30000 rows") && large.ends_with("30000 rows"), "{small}; {large}");
    // One for each hour and lane at most.
    assert!(files(&large) <= 16 && files(&large) <= files(&small), "{small}; {large}");
    let audit = p.millstream(&["audit"]).unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn rows_that_wait_survive_kills() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    for crash in ["sink.before_write:2", "sink.mid_write:3", "sink.after_write:3", "sink.after_commit:4"] {
        let p = pipeline(&input, &lookup, "300ms");
        let out = p.millstream_env(&["run", "--once", "--workers", "2"], &[("MILLSTREAM_CRASH", crash)]).unwrap();
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() && log.contains("crash point"), "{crash}\n{log}");
        assert!(read(&p, &input).ends_with("30000 rows"), "{crash}");
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{crash}\n{}", String::from_utf8_lossy(&audit.stdout));
    }
}
