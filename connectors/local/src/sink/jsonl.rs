//! The `jsonl` sink: one JSON object per line, each line exactly once.
//!
//! The file belongs to the run. Rows are appended when their epoch commits, and the commit record holds the length of
//! the file after it; taking over cuts the file back to the length of the newest commit record, so rows of an epoch
//! that was written but not recorded go, and come again from the replay. A file shorter than that length was altered
//! by somebody: the sink stops. Without a commit record the file starts empty.
use super::rows::Rows;
use crate::failure::at;
use crate::store::{create_dirs, sync_dir};
use model::part::{Kind, Opened, Sharding};
use model::{
    BuildCx, Built, EpochInfo, Fields, Files, Flow, Node, Packet, Part, Problem, Receipt, Result, Sink, Spec, fault,
};
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// `type = "jsonl"`; see the module.
pub struct JsonlPart;

/// Settings of a `jsonl` sink.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// File to write, relative to the folder the run starts in; folders are made. It belongs to the run: without a
    /// record of an earlier run its content is replaced.
    path: String,
    /// Values to write in place of the whole record: `"key=path"` or `"key=unix_ms(path)"` (a time as milliseconds
    /// since 1970), in this order. A path that leads nowhere writes `null`.
    fields: Option<Vec<String>>,
    /// `new`: alerts are written when they begin, not when more events join them.
    #[serde(default)]
    only: Only,
}

/// Which records a sink takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Only {
    /// Every record.
    #[default]
    All,
    /// No updates of alerts.
    New,
}

/// What record sinks accept.
pub(crate) const INPUTS: &[Flow] = &[Flow::Events, Flow::Matches, Flow::Alerts, Flow::Rejected];

impl Part for JsonlPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "jsonl",
            doc: "Writes records as JSON lines to a file, exactly once.",
            inputs: INPUTS,
            outputs: &[],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        let s = match Settings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut problems = s.fields.as_ref().map_or(Ok(()), |f| Fields::parse(f).map(drop)).err().unwrap_or_default();
        if s.path.trim().is_empty() || s.path.ends_with('/') {
            problems.push(Problem::at("path", format!("`{}` is not the name of a file", s.path)));
        }
        if problems.is_empty() { Opened::ok(JsonlNode(s)) } else { Opened::failed(problems) }
    }
}

struct JsonlNode(Settings);

impl Node for JsonlNode {
    fn summary(&self) -> String {
        self.0.path.clone()
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let fields = self
            .0
            .fields
            .as_ref()
            .map(|f| Fields::parse(f))
            .transpose()
            .map_err(|p| format!("fields: {}", p[0].message))?;
        Ok(Built::Sink(Box::new(Jsonl {
            path: cx.work_dir.join(&self.0.path),
            rows: Rows::new(fields, self.0.only == Only::New),
            file: None,
            len: 0,
        })))
    }
}

struct Jsonl {
    path: PathBuf,
    rows: Rows,
    file: Option<File>,
    /// Length of the file as committed.
    len: u64,
}

impl Sink for Jsonl {
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        let dir = self.path.parent().map(|p| p.to_path_buf()).unwrap_or_default();
        create_dirs(&dir)?;
        let new = !self.path.exists();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = open.map_err(at("open", &self.path))?;
        let committed = match last {
            None => 0,
            Some(r) => {
                r.state.get("len").and_then(|l| l.as_u64()).ok_or("a commit record without the length of its file")?
            }
        };
        let have = file.metadata().map_err(at("look at", &self.path))?.len();
        if have < committed {
            return Err(format!(
                "{} has {have} bytes, but {committed} were committed: it was changed by somebody else; restore it, or \
                 start over with an empty data folder",
                self.path.display()
            )
            .into());
        }
        self.len = committed;
        if fault::broken("skip_truncate") {
            self.len = have;
        } else if have > committed {
            file.set_len(committed).and_then(|()| file.sync_all()).map_err(at("cut", &self.path))?;
        }
        if new {
            sync_dir(if dir.as_os_str().is_empty() { ".".as_ref() } else { &dir })?;
        }
        self.file = Some(file);
        Ok(())
    }

    fn stage(&mut self, packet: &Packet) -> Result<()> {
        self.rows.add(packet)
    }

    fn commit(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        let file = self.file.as_ref().ok_or("commit before recover")?;
        fault::crash_point("sink.before_write");
        let bytes = self.rows.bytes();
        if fault::about_to_crash("sink.mid_write") {
            let _ = file.write_all_at(&bytes[..bytes.len() / 2], self.len);
            fault::die("sink.mid_write")
        }
        if !bytes.is_empty() {
            file.write_all_at(bytes, self.len).and_then(|()| file.sync_data()).map_err(at("write", &self.path))?;
        }
        self.len += bytes.len() as u64;
        fault::crash_point("sink.after_write");
        Ok(Some(Receipt { state: serde_json::json!({ "len": self.len }), ..self.rows.take() }))
    }

    fn discard(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        Ok(Some(self.rows.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Alert, Change, Record, Rejected};
    use serde_json::json;
    use std::fs;

    fn sink(dir: &std::path::Path, settings: serde_json::Value) -> Box<dyn Sink> {
        let node = JsonlPart.open("out", &settings, &model::files::MemFiles::default()).node.unwrap();
        let cx = BuildCx {
            id: "out".into(),
            topology: "test".into(),
            generation: 1,
            index: 0,
            needs: Default::default(),
            store_events: false,
            groups: 1,
            shard: 0,
            data_dir: dir.join("data"),
            work_dir: dir.into(),
            event_time: false,
            once: true,
            ..Default::default()
        };
        let Built::Sink(s) = node.build(&cx).unwrap() else { panic!() };
        s
    }

    fn info(epoch: u64) -> EpochInfo {
        EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot: false, seal: false }
    }

    fn alert(dedup: &str, change: Change) -> Record {
        Record::Alert(Box::new(Alert { dedup: dedup.into(), change, ..Alert::default() }))
    }

    fn packet(names: &[&str]) -> Packet {
        Packet::Records(names.iter().map(|n| alert(n, Change::New)).collect())
    }

    #[test]
    fn rows_are_there_once_whatever_was_written_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out/alerts.jsonl");
        let settings = json!({"path": "out/alerts.jsonl", "fields": ["d=dedup"]});
        let mut s = sink(dir.path(), settings.clone());
        s.recover(None).unwrap();
        s.stage(&packet(&["a", "b"])).unwrap();
        let first = s.commit(&info(1)).unwrap().unwrap();
        s.stage(&packet(&["c"])).unwrap();
        let second = s.commit(&info(2)).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"d\":\"a\"}\n{\"d\":\"b\"}\n{\"d\":\"c\"}\n");
        assert_eq!((first.rows, &first.state, &second.state), (2, &json!({"len": 20}), &json!({"len": 30})));
        // The second commit was written, its record was lost, and half a line of a third.
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut f| std::io::Write::write_all(&mut f, b"{\"d\":"))
            .unwrap();
        let mut s = sink(dir.path(), settings.clone());
        s.recover(Some(&first)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"d\":\"a\"}\n{\"d\":\"b\"}\n");
        s.stage(&packet(&["a", "b"])).unwrap();
        let again = s.discard(&info(1)).unwrap().unwrap();
        assert_eq!((again.rows, again.digest), (first.rows, first.digest));
        s.stage(&packet(&["c"])).unwrap();
        assert_eq!(s.commit(&info(2)).unwrap().unwrap(), second);
        let empty = s.commit(&info(3)).unwrap().unwrap();
        assert_eq!((empty.rows, &empty.state), (0, &second.state));
        // Nothing was ever committed: nothing of the file is ours.
        let mut s = sink(dir.path(), settings.clone());
        s.recover(None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let e = sink(dir.path(), settings).recover(Some(&second)).unwrap_err().to_string();
        assert!(e.contains("has 0 bytes, but 30 were committed"), "{e}");
    }

    #[test]
    fn whole_records_and_new_alerts_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = sink(dir.path(), json!({"path": "f", "only": "new"}));
        s.recover(None).unwrap();
        let reject = Record::Rejected(Box::new(Rejected { raw: vec![0xff], ..Rejected::default() }));
        let event =
            Record::Event(Box::new(model::record::EventRow { pos: Default::default(), json: "{\"e\":1}".into() }));
        let rows = vec![alert("a", Change::New), alert("a", Change::Update), reject, event];
        s.stage(&Packet::Records(rows)).unwrap();
        assert_eq!(s.commit(&info(1)).unwrap().unwrap().rows, 3);
        let text = fs::read_to_string(dir.path().join("f")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(
            (&lines[0]["change"], &lines[1]["rawHex"], &lines[2]),
            (&json!("new"), &json!("ff"), &json!({"e": 1}))
        );
        assert!(s.stage(&Packet::Raw(Default::default())).is_err());
    }

    #[test]
    fn settings_are_checked() {
        let check = |s| JsonlPart.open("x", &s, &model::files::MemFiles::default()).problems;
        assert_eq!(check(json!({"path": " ", "fields": ["x"]})).len(), 2);
        assert_eq!(check(json!({"path": "a", "other": 1})).len(), 1);
        assert!(check(json!({"path": "a"})).is_empty());
    }
}
