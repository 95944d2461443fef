//! The source as the engine sees it: files on disk in, records out, and the same records from every replay.
use super::batch::BATCH;
use super::*;
use model::source::{Budget, Poll};
use model::{Origin, Packet, Reader, Record, Rejected, Source, Split};
use proptest::prelude::*;
use serde_json::{Value as J, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path as FsPath, PathBuf};

/// Opens a part and reports its problems as text.
fn open(settings: J) -> std::result::Result<Arc<dyn Node>, String> {
    let o = FilePart.open("src", &settings, &model::files::MemFiles::default());
    o.node.ok_or_else(|| o.problems.iter().map(|p| format!("{}: {}\n", p.setting, p.message)).collect())
}

fn cx(dir: &FsPath, once: bool) -> BuildCx {
    BuildCx {
        id: "src".into(),
        topology: "test".into(),
        generation: 1,
        index: 3,
        needs: Default::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: dir.join("data"),
        work_dir: dir.into(),
        event_time: false,
        once,
        ..Default::default()
    }
}

type Readers = Box<dyn Fn() -> Result<Box<dyn Reader>> + Send + Sync>;

struct Rig {
    dir: PathBuf,
    settings: J,
    source: Box<dyn Source>,
    readers: Readers,
    once: bool,
    now: i64,
    log: Vec<Split>,
}

impl Rig {
    fn new(dir: &FsPath, settings: J, once: bool) -> Rig {
        let Built::Source(source, readers) = open(settings.clone()).unwrap().build(&cx(dir, once)).unwrap() else {
            panic!()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        Rig { dir: dir.into(), settings, source, readers, once, now, log: Vec::new() }
    }
    fn poll(&mut self, bytes: u64, later_ms: i64) -> Poll {
        self.now += later_ms;
        let p = self.source.poll(Budget { bytes, now_ms: self.now }).unwrap();
        self.log.extend(p.splits.iter().cloned());
        p
    }
    /// A new incarnation from a snapshot taken now, or from the log alone.
    fn restart(&mut self, from_log: bool) {
        let state = self.source.snapshot();
        let Built::Source(mut source, readers) =
            open(self.settings.clone()).unwrap().build(&cx(&self.dir, self.once)).unwrap()
        else {
            panic!()
        };
        if from_log {
            self.log.iter().for_each(|s| source.replayed(s).unwrap());
        } else {
            source.restore(&state).unwrap();
        }
        (self.source, self.readers) = (source, readers);
    }
    fn read(&self, split: &Split) -> Result<Seen> {
        let origin = Arc::new(Origin {
            source: "src".into(),
            label: "src".into(),
            index: 3,
            partition: split.partition,
            name: split.name.clone(),
        });
        let mut seen = Seen::default();
        (self.readers)()?.read(split, &origin, &mut |p| seen.take(p))?;
        Ok(seen)
    }
    fn read_log(&self) -> Seen {
        let mut all = Seen::default();
        for s in &self.log {
            let one = self.read(s).unwrap();
            assert_eq!(one, self.read(s).unwrap(), "a replay gives the same");
            all.records.extend(one.records);
            all.rejects.extend(one.rejects);
            all.headers.extend(one.headers);
        }
        all
    }
    /// Everything there is, in one run.
    fn all(&mut self) -> Seen {
        while !self.poll(4 << 20, 0).exhausted {}
        self.read_log()
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Partition, offset, ordinal, bytes.
    records: Vec<(u32, u64, u32, String)>,
    rejects: Vec<Rejected>,
    headers: Vec<Option<String>>,
}

impl Seen {
    fn take(&mut self, p: Packet) {
        match p {
            Packet::Raw(b) => {
                assert!(b.data.len() >= b.records.last().map_or(0, |r| (r.start + r.len) as usize) + model::raw::PAD);
                assert!(b.data.capacity() - b.data.len() >= 64 << 10, "room for the parser");
                assert!(b.records.len() == 1 || b.records.iter().map(|r| r.len as usize).sum::<usize>() <= 1_700_000);
                for i in 0..b.records.len() {
                    let (pos, text) = (b.pos(i), String::from_utf8_lossy(b.bytes(i)).into_owned());
                    self.records.push((pos.partition, pos.offset, pos.ordinal, text));
                }
                self.headers.push(b.header.as_ref().map(|h| String::from_utf8_lossy(h).into_owned()));
            }
            Packet::Records(r) => r.into_iter().for_each(|r| match r {
                Record::Rejected(r) => self.rejects.push(*r),
                r => panic!("{r:?}"),
            }),
            p => panic!("{p:?}"),
        }
    }
    fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|r| r.3.as_str()).collect()
    }
    fn codes(&self) -> Vec<&str> {
        self.rejects.iter().map(|r| r.code.as_str()).collect()
    }
}

fn once(settings: J, files: &[(&str, &[u8])]) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    Rig::new(dir.path(), settings, true).all()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

#[test]
fn lines_with_their_offsets_and_first_line() {
    let seen = once(json!({"path": "a"}), &[("a", b"\xef\xbb\xbfone\r\ntwo\n\nfour")]);
    let want = [(0, 3, 0, "one"), (0, 8, 0, "two"), (0, 12, 0, ""), (0, 13, 0, "four")];
    assert_eq!(seen.records, want.map(|(p, o, n, t)| (p, o, n, t.to_string())));
    assert_eq!(seen.headers, [Some("one".to_string())]);
    assert!(seen.rejects.is_empty());
}

#[test]
fn files_of_a_folder_in_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    for (f, t) in [("logs/b", "b1\n"), ("logs/a", "a1\na2\n"), ("logs/c.gz", ""), ("other", "x\n")] {
        fs::write(dir.path().join(f), t).unwrap();
    }
    let mut rig = Rig::new(dir.path(), json!({"path": ["logs", "oth*"]}), true);
    assert_eq!(rig.all().texts(), ["a1", "a2", "b1", "x"]);
    assert_eq!(
        rig.log.iter().map(|s| (&*s.name, s.partition)).collect::<Vec<_>>(),
        [("logs/a", 0), ("logs/b", 1), ("other", 2)]
    );
    assert!(rig.poll(1 << 20, 9_000).splits.is_empty());
    let labelled = Rig::new(dir.path(), json!({"path": "other", "label": "Other logs"}), true);
    assert_eq!(labelled.settings["label"], "Other logs");
}

#[test]
fn a_big_file_is_cut_into_splits_that_are_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..60_000).map(|i| format!("{i:06}{}", "x".repeat(i % 150))).collect();
    fs::write(dir.path().join("big"), lines.join("\n")).unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "big"}), true);
    assert_eq!(rig.poll(1, 0).splits.len(), 1, "at least one split, however small the budget");
    let seen = rig.all();
    assert!(rig.log.len() >= 3 && rig.log.iter().all(|s| s.from % BATCH as u64 == 0));
    assert_eq!(seen.texts(), lines);
    assert!(rig.log.windows(2).all(|w| w[0].to == w[1].from), "ranges are contiguous");
}

#[test]
fn over_long_lines_are_rejected_and_the_rest_goes_on() {
    let long = "y".repeat(2000);
    let text = format!("a\n{long}\nb\n{}", "z".repeat(1025));
    let seen = once(json!({"path": "f", "max_line": "1KiB"}), &[("f", text.as_bytes())]);
    assert_eq!(seen.texts(), ["a", "b"]);
    assert_eq!(seen.codes(), ["line_too_long", "line_too_long"]);
    assert_eq!((seen.rejects[0].pos.offset, seen.rejects[0].raw.len(), seen.rejects[0].truncated), (2, 2000, false));
    let (r, p) = (&seen.rejects[0], seen.rejects[0].pos);
    assert_eq!((&*r.node, r.stage.as_str(), &*r.origin, p.source, p.partition), ("src", "read", "f", 3, 0));
    // At the limit is not over it; far over it keeps the beginning only.
    let huge = format!("{}\n{}\nlast\n", "x".repeat(1024), "h".repeat(5 << 20));
    let seen = once(json!({"path": "f", "max_line": "1KiB"}), &[("f", huge.as_bytes())]);
    assert_eq!(seen.texts(), ["x".repeat(1024).as_str(), "last"]);
    assert_eq!((seen.rejects[0].raw.len(), seen.rejects[0].truncated), (4096, true));
    // Two megabytes are fine where they are allowed, and are a batch of their own.
    let big = format!("a\n{}\nb\n", "h".repeat(2 << 20));
    let seen = once(json!({"path": "f", "max_line": "3MiB"}), &[("f", big.as_bytes())]);
    assert_eq!(seen.records.iter().map(|r| r.3.len()).collect::<Vec<_>>(), [1, 2 << 20, 1]);
}

#[test]
fn gzip_and_zstd_of_any_stream() {
    let lines = b"first\nsecond\r\nthird";
    let mut two = gzip(b"first\nsec");
    two.extend(gzip(b"ond\nthird"));
    for (name, bytes) in [("gz", gzip(lines)), ("zst", zstd::encode_all(&lines[..], 3).unwrap()), ("members", two)] {
        let seen = once(json!({"path": "f"}), &[("f", &bytes)]);
        assert_eq!(seen.texts(), ["first", "second", "third"], "{name}");
        assert_eq!(seen.headers, [Some("first".to_string())]);
    }
    let trail = gzip(br#"{"Records": [{"a":1}, {"b":[2,"]"]}]}"#);
    let seen = once(json!({"path": "f"}), &[("f", &trail)]);
    assert_eq!(seen.records, [(0, 0, 0, r#"{"a":1}"#.to_string()), (0, 0, 1, r#"{"b":[2,"]"]}"#.to_string())]);
}

#[test]
fn what_was_decoded_before_a_fault_goes_on() {
    let text: String = (0..20_000).map(|i| format!("line {i} {}\n", i * 7919 % 104_729)).collect();
    let gz = gzip(text.as_bytes());
    let cut = &gz[..gz.len() / 2];
    let mut flipped = gz.clone();
    flipped[gz.len() / 2] ^= 0x55;
    let mut tail = gz.clone();
    tail.extend_from_slice(b"not gzip");
    for (bytes, code) in [(cut, "corrupt_gzip"), (&flipped[..], "corrupt_gzip"), (&tail[..], "corrupt_gzip")] {
        let seen = once(json!({"path": "f"}), &[("f", bytes)]);
        assert_eq!(seen.codes(), [code]);
        assert!(seen.records.len() > 1000, "{}", seen.records.len());
        assert!(seen.records[..1000].iter().zip(text.lines()).all(|(r, l)| r.3 == l));
    }
    let zst = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let seen = once(json!({"path": "f"}), &[("f", &zst[..zst.len() - 9])]);
    assert_eq!(seen.codes(), ["corrupt_zstd"]);
}

#[test]
fn bombs_are_cut_at_both_limits() {
    let zeros = vec![b'0'; 64 << 20];
    let seen = once(json!({"path": "f", "stream": "lines", "max_ratio": 100}), &[("f", &gzip(&zeros))]);
    assert_eq!(seen.codes(), ["line_too_long", "over_ratio"]);
    let lines: Vec<u8> = b"0123456789abcde\n".repeat(1 << 20);
    let seen = once(json!({"path": "f", "max_decoded": "1MiB"}), &[("f", &gzip(&lines))]);
    assert_eq!(seen.codes(), ["too_large"]);
    assert!(seen.records.len() >= 65_000);
    // Below the floor no ratio is a bomb.
    let small = once(json!({"path": "f", "max_ratio": 2}), &[("f", &gzip(&lines[..9 << 20]))]);
    assert!(small.rejects.is_empty());
    assert_eq!(small.records.len(), (9 << 20) / 16);
}

#[test]
fn json_over_any_number_of_lines() {
    let text = "{\n \"a\": \"}{\\\"\"\n}\n{\"b\":1}{\"c\":[{},[]]} 7 \"s\"\nnonsense here\n{\"d\":2}";
    let seen = once(json!({"path": "f"}), &[("f", text.as_bytes())]);
    let want = ["{\n \"a\": \"}{\\\"\"\n}", "{\"b\":1}", "{\"c\":[{},[]]}", "7", "\"s\"", "{\"d\":2}"];
    assert_eq!(seen.texts(), want);
    assert_eq!(seen.rejects[0].raw, b"nonsense here");
    assert_eq!(seen.codes(), ["bad_json"]);
    let seen = once(json!({"path": "f", "stream": "json"}), &[("f", b"{\"a\":1}\n{\"b\":")]);
    assert_eq!((seen.texts(), seen.codes()), (vec!["{\"a\":1}"], vec!["file_error"]));
    let deep = format!("{}{}\n{{\"ok\":1}}", "[".repeat(200), "]".repeat(200));
    let seen = once(json!({"path": "f", "stream": "json"}), &[("f", deep.as_bytes())]);
    assert_eq!((seen.texts(), seen.codes()), (vec!["{\"ok\":1}"], vec!["too_deep"]));
    let long = format!("{{\"a\":\"{}\"}} {{\"ok\":1}}", "x".repeat(300_000));
    let seen = once(json!({"path": "f", "stream": "json", "max_line": "64KiB"}), &[("f", long.as_bytes())]);
    assert_eq!((seen.texts(), seen.codes()), (vec!["{\"ok\":1}"], vec!["record_too_long"]));
    assert_eq!((seen.rejects[0].raw.len(), seen.rejects[0].truncated), (4096, true));
    let brackets = "[".repeat(100_000);
    let seen = once(json!({"path": "f", "stream": "json"}), &[("f", brackets.as_bytes())]);
    assert_eq!(seen.codes(), ["file_error"]);
}

#[test]
fn arrays_at_a_path_and_what_is_wrong_with_them() {
    let run = |field: &str, text: &str| {
        let mut s = json!({"path": "f", "stream": "json_array"});
        if !field.is_empty() {
            s["array_field"] = field.into();
        }
        let seen = once(s, &[("f", text.as_bytes())]);
        (seen.texts().join("|"), seen.rejects.first().map_or(String::new(), |r| format!("{}: {}", r.code, r.reason)))
    };
    let ok = |t: &str| (t.to_string(), String::new());
    assert_eq!(run("", "[1, {\"a\":[]} ,\"x\"]"), ok("1|{\"a\":[]}|\"x\""));
    assert_eq!(run("", " [] "), ok(""));
    assert_eq!(run("", "null"), ok(""));
    assert_eq!(run("", "[1]\n[2]"), ok("1|2"));
    assert_eq!(run("a.b[1]", r#"{"x":{"b":[9]},"a":{"b":[[0],[1,2],[3]],"c":{}},"z":1}"#), ok("1|2"));
    assert_eq!(run("k", r#"{"\u006b":[5]}"#), ok("5"));
    let bad = |t: (String, String), good: &str, why: &str| {
        assert!(t.0 == good && t.1.starts_with("file_error: ") && t.1.contains(why), "{t:?}")
    };
    bad(run("a", "{\"b\":[1]}"), "", "there is no field `a`");
    bad(run("a[3]", "{\"a\":[[1]]}"), "", "there is no element 3");
    bad(run("a", "{\"a\":{}}"), "", "expected an array of records");
    bad(run("a", "[1]"), "", "expected an object with the field `a`");
    bad(run("", "[1,2,"), "1|2", "ends inside");
    bad(run("", "[1 2]"), "1", "expected `,` or `]`");
    bad(run("", "[{\"a\":1]]"), "", "closes nothing");
}

#[test]
fn cloudwatch_messages_are_the_events() {
    let text = r#"{"messageType":"CONTROL_MESSAGE","logGroup":"","logEvents":[{"id":"0","timestamp":1,"message":"CWL"}]}
{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[
  {"id":"1","timestamp":1,"message":"{\"a\":\"x\"}"},{"id":"2","timestamp":2,"message":"plain\nwith two lines"}]}
{"messageType":7}"#;
    let at = text.find('\n').unwrap() as u64 + 1;
    let seen = once(json!({"path": "f"}), &[("f", text.as_bytes())]);
    assert_eq!(seen.texts(), ["{\"a\":\"x\"}", "plain\nwith two lines"]);
    assert_eq!(seen.records.iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(), [(at, 0), (at, 1)]);
    assert_eq!(seen.codes(), ["file_error"]);
}

#[test]
fn csv_with_line_ends_in_quotes() {
    let text = "a,b\n1,\"two\nlines\"\n3,\"quote \"\" \"\n4,\"never closed";
    let seen = once(json!({"path": "f", "stream": "csv"}), &[("f", text.as_bytes())]);
    assert_eq!(seen.texts(), ["a,b", "1,\"two\nlines\"", "3,\"quote \"\" \"", "4,\"never closed"]);
    assert_eq!(seen.headers, [Some("a,b".to_string())]);
}

#[test]
fn a_growing_file_is_offered_up_to_its_last_line_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut f = File::create(dir.path().join("f")).unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f"}), false);
    let mut say = |t: &str| f.write_all(t.as_bytes()).unwrap();
    say("one\ntw");
    let p = rig.poll(1 << 20, 300);
    assert!(p.exhausted && p.bytes == 4);
    assert!(rig.poll(1 << 20, 300).splits.is_empty());
    say("o\nthree\nfo");
    rig.poll(1 << 20, 300);
    rig.restart(false);
    say("ur\n");
    rig.poll(1 << 20, 300);
    rig.restart(true);
    say("five\nsix");
    rig.poll(1 << 20, 300);
    assert_eq!(rig.read_log().texts(), ["one", "two", "three", "four", "five"]);
    // A run that ends takes the unfinished line; if it goes on after all, its rest is not lost.
    rig.once = true;
    rig.restart(true);
    rig.poll(1 << 20, 0);
    say("teen\nseven\n");
    rig.restart(true);
    rig.poll(1 << 20, 0);
    assert_eq!(rig.read_log().texts()[5..], ["six", "teen", "seven"]);
}

#[test]
fn an_over_long_line_under_construction_is_rejected_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut f = File::create(dir.path().join("f")).unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f", "max_line": "1KiB"}), false);
    f.write_all(b"a\n").unwrap();
    for _ in 0..10 {
        f.write_all(&[b'x'; 700]).unwrap();
        rig.poll(1 << 20, 300);
    }
    f.write_all(b"\nb\n").unwrap();
    rig.poll(1 << 20, 300);
    let seen = rig.read_log();
    assert_eq!((seen.texts(), seen.codes()), (vec!["a", "b"], vec!["line_too_long"]));
}

#[test]
fn rotation_finishes_the_old_file_under_its_partition() {
    let dir = tempfile::tempdir().unwrap();
    let (live, old) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
    fs::write(&live, "one\n").unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "app.log"}), false);
    rig.poll(1 << 20, 300);
    fs::OpenOptions::new().append(true).open(&live).unwrap().write_all(b"two\nlast words").unwrap();
    fs::rename(&live, &old).unwrap();
    fs::write(&live, "new\n").unwrap();
    for _ in 0..12 {
        rig.poll(1 << 20, 300);
    }
    let seen = rig.read_log();
    let got: Vec<_> = seen.records.iter().map(|r| (r.0, r.3.as_str())).collect();
    assert_eq!(got, [(0, "one"), (1, "new"), (0, "two"), (0, "last words")].map(|x| x).to_vec(), "{:?}", rig.log);
    assert!(rig.log.iter().filter(|s| s.partition == 0).all(|s| &*s.name == "app.log"));
    assert!(rig.poll(1 << 20, 300).exhausted);
}

#[test]
fn cut_and_refilled_in_place_is_a_new_partition() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "first life\n").unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f"}), false);
    rig.poll(1 << 20, 300);
    let old = rig.log[0].clone();
    // As long as before or longer, so that only the beginning tells.
    fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap().write_all(b"second life, longer\n").unwrap();
    rig.poll(1 << 20, 300);
    assert_eq!(rig.log[1].partition, 1);
    assert_eq!(rig.read(&rig.log[1]).unwrap().texts(), ["second life, longer"]);
    let e = rig.read(&old).unwrap_err().to_string();
    assert!(e.contains("input no longer replays: bytes 0 to 11 of f") && e.contains("partition 0"), "{e}");
}

#[test]
fn a_file_that_goes_is_an_error_once_it_was_offered_and_a_reject_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "one\ntwo\n").unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f*"}), false);
    rig.poll(1 << 20, 300);
    fs::remove_file(&path).unwrap();
    assert_eq!(rig.read(&rig.log[0]).unwrap().texts(), ["one", "two"], "held open until it is read");
    rig.restart(true);
    assert!(rig.read(&rig.log[0]).unwrap_err().to_string().contains("input no longer replays"));
    // Grown, then deleted, before the next poll: known when the split is logged.
    let path = dir.path().join("f2");
    fs::write(&path, "one\nunfinished").unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f*"}), false);
    rig.poll(1 << 20, 300);
    fs::remove_file(&path).unwrap();
    rig.poll(1 << 20, 300);
    let seen = rig.read(&rig.log[1]).unwrap();
    assert_eq!(seen.codes(), ["file_vanished"]);
    assert!(seen.rejects[0].reason.starts_with("10 bytes from byte 4 on were not read"), "{}", seen.rejects[0].reason);
}

#[test]
fn a_whole_file_waits_until_it_rests() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "[{\"a\":1},\n{\"a\":").unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "f"}), false);
    let p = rig.poll(1 << 20, 300);
    assert!(p.splits.is_empty() && !p.exhausted);
    fs::write(dir.path().join("f"), "[{\"a\":1},\n{\"a\":2}]").unwrap();
    rig.poll(1 << 20, 300);
    assert!(rig.log.is_empty());
    rig.poll(1 << 20, 3000);
    assert_eq!(rig.read_log().texts(), ["{\"a\":1}", "{\"a\":2}"]);
    rig.restart(true);
    assert!(rig.poll(1 << 20, 3000).exhausted && rig.log.len() == 1, "read once");
    fs::write(dir.path().join("f"), "[{\"b\":1}]").unwrap();
    rig.poll(1 << 20, 300);
    rig.poll(1 << 20, 5000);
    assert_eq!(rig.log[1].partition, 1, "another document");
}

#[test]
fn followed_files_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    for f in ["a", "b", "c"] {
        fs::write(dir.path().join(f), "x\n".repeat(2 << 20)).unwrap();
    }
    let mut rig = Rig::new(dir.path(), json!({"path": "."}), false);
    rig.poll(3 << 20, 300);
    rig.poll(3 << 20, 300);
    assert_eq!(rig.log.iter().map(|s| s.partition).collect::<Vec<_>>(), [0, 1, 2, 0]);
    let mut rig = Rig::new(dir.path(), json!({"path": "."}), true);
    rig.poll(3 << 20, 300);
    assert_eq!(rig.log.iter().map(|s| s.partition).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_missing_file_stops_a_run_that_wanted_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path(), json!({"path": "none.log"}), true);
    let e = rig.source.poll(Budget { bytes: 1, now_ms: 0 }).unwrap_err().to_string();
    assert!(e.contains("none.log") && e.contains("source src"), "{e}");
    assert!(Rig::new(dir.path(), json!({"path": "none.log"}), false).poll(1, 0).exhausted);
    assert!(Rig::new(dir.path(), json!({"path": "*.log"}), true).poll(1, 0).exhausted);
}

#[test]
fn every_problem_of_the_settings_is_reported() {
    let e =
        open(json!({"path": ["", "a[", "ok"], "max_line": "1B", "array_field": "a[*]", "max_ratio": 0})).err().unwrap();
    for want in [
        "path[0]: the path is empty",
        "path[1]:",
        "max_line: 1B is out of range",
        "array_field: only",
        "array_field: it is only",
        "max_ratio:",
    ] {
        assert!(e.contains(want), "{want} in {e}");
    }
    assert!(open(json!({"path": "x", "stream": "xml"})).is_err() && open(json!({})).is_err());
    assert!(open(json!({"path": []})).err().unwrap().contains("no path"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Splits at any bytes give every line once, as a plain loop over the lines does.
    #[test]
    fn any_cuts_give_the_same_lines(text in "[ab\r\n]{0,400}", cuts in proptest::collection::vec(0usize..400, 0..6), max in 1usize..40) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, &text).unwrap();
        let file = File::open(&path).unwrap();
        let size = text.len();
        let mut edges: Vec<usize> = cuts.iter().map(|c| c % (size + 1)).chain([0, size]).collect();
        edges.sort();
        edges.dedup();
        let mut seen = Seen::default();
        let detail = detail::Detail { end: size as u64, ..Default::default() };
        let origin = Arc::new(Origin::default());
        for w in edges.windows(2) {
            let split = Split { source: "s".into(), partition: 0, name: "f".into(), from: w[0] as u64, to: w[1] as u64, detail: J::Null, lane: 0 };
            let mut out = |p: Packet| seen.take(p);
            let mut b = batch::Batcher::new(&split, &origin, &mut out);
            lines::read(&file, &split, &detail, max, &mut b).unwrap();
        }
        let (mut good, mut bad, mut at) = (Vec::new(), Vec::new(), 0u64);
        for line in text.split_inclusive('\n') {
            let body = line.strip_suffix('\n').unwrap_or(line);
            if body.len() > max { bad.push(at) } else { good.push((0, at, 0, body.strip_suffix('\r').unwrap_or(body).to_string())) }
            at += line.len() as u64;
        }
        prop_assert_eq!(&seen.records, &good);
        prop_assert_eq!(seen.rejects.iter().map(|r| r.pos.offset).collect::<Vec<_>>(), bad);
        // The compressed way cuts the same lines.
        let whole = once(json!({"path": "f", "stream": "lines"}), &[("f", &gzip(text.as_bytes()))]);
        if max >= 40 { prop_assert_eq!(&whole.records, &good) }
    }

    /// No bytes make a reader panic, loop or lie about what it left out.
    #[test]
    fn any_bytes_in_any_stream(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"[]{}\",:\\\n1n "[..])], 0..300), which in 0usize..6) {
        let stream = ["lines", "json", "json_array", "cloudtrail", "cloudwatch", "csv"][which];
        let seen = once(json!({"path": "f", "stream": stream}), &[("f", &bytes)]);
        prop_assert!(seen.records.len() + seen.rejects.len() <= bytes.len() + 1);
    }
}
