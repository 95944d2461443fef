//! The Parquet sink. Rows are written to staging files as epochs arrive; at a snapshot epoch the files are closed and
//! get their final names (or are sent to object storage under them), in one commit per lane.
//!
//! Layout: `<path>/logs/<table>/year=YYYY/month=MM/day=DD/hour=HH/<epoch>-<lane>-<n>.parquet`, partition by event time
//! (functional spec §7.2). Names are a function of epoch and lane, so a replay writes the same names.
//!
//! What a reader sees: whole files only. Files of an epoch appear one after the other, shortly before its commit record;
//! after a crash in between they are removed by the next incarnation that finds the list, or found to be there with the
//! same bytes when the epoch is replayed. Once an epoch is committed its files do not change.
use crate::intent::Intent;
use crate::target::{Target, is_url};
use crate::writer::{Closed, Form, OpenFile};
use crate::{rows, table};
use arrow_schema::SchemaRef;
use model::part::Sharding;
use model::sink::{Receipt, Sink};
use model::{
    BuildCx, Built, EpochInfo, EventBatch, Files, Flow, Kind, Needs, Node, Packet, Part, Problem, Record, Result, Spec,
    time,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Open files of one shard; one more closes the fullest.
const OPEN_FILES_MAX: usize = 64;

/// Settings of `[sinks.*] type = "parquet"`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of the lake, or object storage as `s3://bucket/prefix` (with `?endpoint=…&region=…` where needed); a
    /// prefix belongs to one run, as a folder does. Below it: `logs/<table>/…` for events, `rules/…`, `rule_errors/…` and `alerts/…` for records.
    pub path: String,
    /// zstd level, 1 (fast) to 19 (small).
    #[serde(default = "level")]
    #[schemars(range(min = 1, max = 19))]
    pub level: i32,
    /// Write the `p_any_*` indicator columns.
    #[serde(default = "yes")]
    pub indicators: bool,
    /// Columns that get a bloom filter, so that a search for one value can skip files.
    #[serde(default = "bloom")]
    pub bloom: Vec<String>,
}

fn level() -> i32 {
    1
}
fn yes() -> bool {
    true
}
fn bloom() -> Vec<String> {
    vec!["p_row_id".into()]
}

/// `parquet`: the lake sink.
pub struct ParquetPart;

impl Part for ParquetPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "parquet",
            doc: "Writes events (every schema field), matches or alerts to Parquet files in hive folders by hour; files appear with each checkpoint.",
            inputs: &[Flow::Events, Flow::Matches, Flow::Alerts],
            outputs: &[],
            sharding: Sharding::Lanes,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _: &str, settings: &serde_json::Value, _: &dyn Files) -> model::part::Opened {
        match serde_json::from_value::<Settings>(settings.clone()) {
            Ok(s) if s.path.trim().is_empty() => model::part::Opened::failed(vec![
                Problem::at("path", "the path is empty").hint("name a folder, as in \"lake\""),
            ]),
            Ok(s) if is_url(&s.path) && !s.path.starts_with("s3://") => model::part::Opened::failed(vec![
                Problem::at("path", format!("`{}` is neither a folder nor object storage", s.path))
                    .hint("name a folder, or s3://bucket/prefix"),
            ]),
            Ok(s) => model::part::Opened::ok(ParquetNode(s)),
            Err(e) => model::part::Opened::failed(vec![Problem::at("", e.to_string())]),
        }
    }
}

struct ParquetNode(Settings);

impl Node for ParquetNode {
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        n.all("*");
        n
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let target = Target::open(&self.0.path, &cx.work_dir, &cx.objects)?;
        let staging = target.staging(&format!("{}-{}", cx.id, cx.shard), &cx.data_dir);
        Ok(Built::Sink(Box::new(Shard {
            settings: self.0.clone(),
            target,
            staging,
            lane: cx.shard,
            schemas: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: Vec::new(),
            made: 0,
            committed: 0,
        })))
    }
}

/// Folder and hour (since 1970) of a file.
type Place = (String, i64);

struct Shard {
    settings: Settings,
    target: Target,
    staging: PathBuf,
    lane: u32,
    /// Schema by table, kept by the layout's address.
    schemas: BTreeMap<String, (usize, SchemaRef)>,
    open: BTreeMap<Place, OpenFile>,
    closed: Vec<(Place, Closed)>,
    /// Files made since the last commit.
    made: u32,
    committed: u64,
}

impl Shard {
    fn file(&mut self, place: &Place, schema: &SchemaRef) -> Result<&mut OpenFile> {
        if self.open.get(place).is_some_and(|f| f.written() >= self.target.file_max())
            && let Some(full) = self.open.remove(place)
        {
            self.closed.push((place.clone(), full.close()?));
        }
        if !self.open.contains_key(place) {
            if self.open.len() >= OPEN_FILES_MAX {
                let fullest = self.open.iter().max_by_key(|(p, f)| (f.rows, std::cmp::Reverse((*p).clone())));
                let key = fullest.map(|(p, _)| p.clone()).ok_or("no open file")?;
                let file = self.open.remove(&key).ok_or("no open file")?;
                self.closed.push((key, file.close()?));
            }
            let temp = self.staging.join(format!("{}.tmp", self.made));
            self.made += 1;
            let bloom = self.settings.bloom.iter().filter(|c| schema.field_with_name(c).is_ok()).cloned().collect();
            let form = Form {
                schema: schema.clone(),
                folder: place.0.clone(),
                level: self.settings.level,
                bloom,
                indicators: self.settings.indicators,
            };
            self.open.insert(place.clone(), OpenFile::create(&temp, form));
        }
        self.open.get_mut(place).ok_or_else(|| "no open file".into())
    }

    fn stage_events(&mut self, batch: &Arc<EventBatch>) -> Result<()> {
        let folder = format!("logs/{}", batch.layout.table);
        let address = Arc::as_ptr(&batch.layout) as usize;
        let indicators = self.settings.indicators;
        let known = self.schemas.get(&folder).filter(|s| s.0 == address).map(|s| s.1.clone());
        let schema = known.unwrap_or_else(|| table::schema(&batch.layout, indicators));
        self.schemas.insert(folder.clone(), (address, schema.clone()));
        let mut hours: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, ns) in batch.event_time.iter().enumerate() {
            hours.entry(ns.div_euclid(3_600_000_000_000)).or_default().push(row as u32);
        }
        for (hour, rows) in hours {
            self.file(&(folder.clone(), hour), &schema)?.events(batch, rows)?;
        }
        Ok(())
    }

    fn stage_records(&mut self, records: &[Record]) -> Result<()> {
        let mut places: BTreeMap<(&'static str, i64), Vec<Record>> = BTreeMap::new();
        for r in records {
            if let Some((folder, ms)) = rows::place(r) {
                places.entry((folder, ms.div_euclid(3_600_000))).or_default().push(r.clone());
            }
        }
        for ((folder, hour), records) in places {
            let schema = rows::schema(folder);
            self.file(&(folder.to_string(), hour), &schema)?.records(records)?;
        }
        Ok(())
    }

    /// Close every open file; the closed ones in a defined order with their digest.
    fn close(&mut self) -> Result<(Vec<(Place, Closed)>, Receipt)> {
        for (place, file) in std::mem::take(&mut self.open) {
            self.closed.push((place, file.close()?));
        }
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_by(|a, b| a.0.cmp(&b.0));
        self.made = 0;
        let mut digest = Xxh3::new();
        for ((folder, hour), f) in &closed {
            digest.update(format!("{folder} {hour} {} {:x};", f.rows, f.hash).as_bytes());
        }
        let rows = closed.iter().map(|c| c.1.rows).sum();
        Ok((closed, Receipt { rows, digest: format!("{:032x}", digest.digest128()), state: serde_json::Value::Null }))
    }

    fn final_path(&self, place: &Place, epoch: u64, n: usize) -> PathBuf {
        let text = time::rfc3339_ms(place.1 * 3_600_000);
        let (y, m, d, h) = (&text[0..4], &text[5..7], &text[8..10], &text[11..13]);
        let hive = format!("{}/year={y}/month={m}/day={d}/hour={h}", place.0);
        self.target.place(&format!("{hive}/{epoch:012}-{:03}-{n:03}.parquet", self.lane))
    }
}

impl Sink for Shard {
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        self.committed = last.and_then(|r| r.state.get("epoch")).and_then(|e| e.as_u64()).unwrap_or(0);
        std::fs::create_dir_all(&self.staging).map_err(|e| format!("make {}: {e}", self.staging.display()))?;
        Intent::undo(&self.staging, self.committed, |f| self.target.remove(f))?;
        for entry in std::fs::read_dir(&self.staging)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
    fn stage(&mut self, packet: &Packet) -> Result<()> {
        match packet {
            Packet::Events(batch) => self.stage_events(batch),
            Packet::Records(records) => self.stage_records(records),
            Packet::Raw(_) => Ok(()),
        }
    }
    fn commit(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if !info.snapshot {
            return Ok(None);
        }
        let (closed, mut receipt) = self.close()?;
        let names: Vec<PathBuf> =
            closed.iter().enumerate().map(|(n, (place, _))| self.final_path(place, info.epoch, n)).collect();
        model::fault::crash_point("sink.before_write");
        if !closed.is_empty() {
            Intent { epoch: info.epoch, files: names.clone() }.write(&self.staging)?;
            for ((_, f), name) in closed.iter().zip(&names) {
                self.target.publish(&f.temp, name)?;
                model::fault::crash_point("sink.mid_write");
            }
        }
        model::fault::crash_point("sink.after_write");
        self.committed = info.epoch;
        receipt.state = serde_json::json!({ "epoch": info.epoch });
        Ok(Some(receipt))
    }
    fn discard(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if !info.snapshot {
            return Ok(None);
        }
        let (closed, receipt) = self.close()?;
        for (_, f) in closed {
            std::fs::remove_file(&f.temp)?;
        }
        Ok(Some(receipt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{count_rows, files};
    use arrow_array::cast::AsArray;
    use model::event::{Field, FieldType, FullEvent, Layout, tag};
    use model::raw::{Origin, RawRecord};
    use model::time::TimeFormat;
    use std::path::Path;

    struct NoFull;
    impl FullEvent for NoFull {
        fn event(&self, _: &EventBatch, _: usize) -> serde_json::Map<String, serde_json::Value> {
            serde_json::Map::new()
        }
        fn any(&self, _: &EventBatch, _: usize, _: &str, _: &mut Vec<String>) {}
    }

    fn layout() -> Arc<Layout> {
        let field = |n: &str, ty, slot| Field { name: n.into(), ty, slot };
        Arc::new(Layout {
            log_type: "Test.Log".into(),
            table: "test_log".into(),
            version: 1,
            slots: ["name", "n", "at", "p_any_ip_addresses"].map(model::Path::key).to_vec(),
            index: [(model::Path::key("p_any_ip_addresses"), 3)].into(),
            fields: vec![
                field("name", FieldType::String, 0),
                field("n", FieldType::Int, 1),
                field("at", FieldType::Timestamp(TimeFormat::Rfc3339), 2),
            ],
            full: Arc::new(NoFull),
        })
    }

    /// Row i: name `x<i>`, n = i (absent for every third row), an hour apart.
    fn batch(layout: &Arc<Layout>, from: u64, n: usize) -> Packet {
        let (mut data, mut pos, mut tags) = (Vec::new(), vec![0u64; 4 * n], vec![tag::ABSENT; 4 * n]);
        let mut put = |slot: usize, row: usize, text: String, t: u8| {
            pos[slot * n + row] = data.len() as u64 | (text.len() as u64) << 32;
            tags[slot * n + row] = t;
            data.extend_from_slice(text.as_bytes());
        };
        let ms = |i: u64| 1_767_225_600_000 + i as i64 * 3_600_000;
        for r in 0..n {
            let i = from + r as u64;
            put(0, r, format!("x{i}"), tag::STR);
            if i % 3 != 0 {
                put(1, r, i.to_string(), tag::NUM);
            }
            put(2, r, time::rfc3339_ms(ms(i)), tag::STR);
            put(3, r, "[\"192.0.2.1\"]".into(), tag::ARR);
        }
        data.resize(data.len() + model::raw::PAD, 0);
        Packet::Events(Arc::new(EventBatch {
            origin: Arc::new(Origin { source: "s".into(), name: "f".into(), ..Origin::default() }),
            now_ms: 0,
            lane: 0,
            layout: layout.clone(),
            data: Arc::new(data),
            rows: (0..n).map(|r| RawRecord { offset: from + r as u64, ..RawRecord::default() }).collect(),
            stride: n,
            pos,
            tag: tags,
            event_time: (0..n).map(|r| ms(from + r as u64) * 1_000_000).collect(),
            enrich: Vec::new(),
            header: None,
        }))
    }

    fn shard(dir: &Path) -> Box<dyn Sink> {
        shard_at(dir, "lake")
    }

    fn shard_at(dir: &Path, path: &str) -> Box<dyn Sink> {
        let node = ParquetPart.open("lake", &serde_json::json!({ "path": path }), &model::files::MemFiles::default());
        let cx = BuildCx {
            id: "lake".into(),
            topology: "test".into(),
            generation: 1,
            index: 0,
            needs: Needs::default(),
            store_events: false,
            groups: 1,
            shard: 0,
            data_dir: dir.into(),
            work_dir: dir.into(),
            event_time: true,
            once: true,
            objects: model::OpenObjects::new(aws::objects),
            ..Default::default()
        };
        match node.node.unwrap().build(&cx).unwrap() {
            Built::Sink(s) => s,
            _ => unreachable!(),
        }
    }

    fn info(epoch: u64, snapshot: bool) -> EpochInfo {
        EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot, seal: false }
    }

    #[test]
    fn files_appear_at_snapshots_by_hour_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (l, mut s) = (layout(), shard(dir.path()));
        s.recover(None).unwrap();
        s.stage(&batch(&l, 0, 4)).unwrap();
        assert_eq!(s.commit(&info(1, false)).unwrap(), None);
        assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 0);
        s.stage(&batch(&l, 2, 4)).unwrap();
        let r = s.commit(&info(2, true)).unwrap().unwrap();
        assert_eq!((r.rows, count_rows(&dir.path().join("lake")).unwrap()), (8, 8));
        let found = files(&dir.path().join("lake")).unwrap();
        assert_eq!(found.len(), 6);
        assert!(
            found[2].ends_with("logs/test_log/year=2026/month=01/day=01/hour=02/000000000002-000-002.parquet"),
            "{found:?}"
        );
        let file = std::fs::File::open(&found[2]).unwrap();
        let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 100).unwrap();
        let b = reader.next().unwrap().unwrap();
        assert_eq!(b.num_rows(), 2);
        assert_eq!(b.column(0).as_string::<i32>().value(0), "x2");
        assert_eq!(b.column(1).as_primitive::<arrow_array::types::Int32Type>().value(1), 2);
        let ips = b.column_by_name("p_any_ip_addresses").unwrap().as_list::<i32>().value(0);
        assert_eq!(ips.as_string::<i32>().value(0), "192.0.2.1");
    }

    #[test]
    fn a_commit_that_was_not_recorded_is_undone_and_replays_alike() {
        let dir = tempfile::tempdir().unwrap();
        let l = layout();
        let mut first = shard(dir.path());
        first.recover(None).unwrap();
        first.stage(&batch(&l, 0, 5)).unwrap();
        let r1 = first.commit(&info(1, true)).unwrap().unwrap();
        first.stage(&batch(&l, 5, 5)).unwrap();
        let r2 = first.commit(&info(2, true)).unwrap().unwrap();
        // The record of epoch 2 was never written: the next incarnation knows only epoch 1.
        let mut second = shard(dir.path());
        second.recover(Some(&r1)).unwrap();
        assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 5);
        second.stage(&batch(&l, 5, 5)).unwrap();
        let again = second.commit(&info(2, true)).unwrap().unwrap();
        assert_eq!((again.rows, &again.digest), (r2.rows, &r2.digest));
        assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 10);
        // A replay of what is committed writes nothing and says the same.
        let mut third = shard(dir.path());
        third.recover(Some(&again)).unwrap();
        third.stage(&batch(&l, 5, 5)).unwrap();
        assert_eq!(third.discard(&info(2, true)).unwrap().unwrap().digest, r2.digest);
        assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 10);
    }

    #[test]
    fn open_files_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (l, mut s) = (layout(), shard(dir.path()));
        s.recover(None).unwrap();
        s.stage(&batch(&l, 0, OPEN_FILES_MAX + 20)).unwrap();
        let r = s.commit(&info(1, true)).unwrap().unwrap();
        assert_eq!(r.rows as usize, OPEN_FILES_MAX + 20);
        assert_eq!(count_rows(&dir.path().join("lake")).unwrap() as usize, OPEN_FILES_MAX + 20);
    }

    #[test]
    fn a_lake_in_a_bucket_is_the_same_lake() {
        let moto = ::tests::moto::Moto::shared();
        moto.public_bucket("lake").unwrap();
        let url = format!("s3://lake/x?endpoint={}&anonymous=true", moto.url());
        let (dir, l) = (tempfile::tempdir().unwrap(), layout());
        let bucket = aws::objects(&url).unwrap();
        let rows = || crate::count_rows_in(&*bucket).unwrap();
        let mut first = shard_at(dir.path(), &url);
        first.recover(None).unwrap();
        first.stage(&batch(&l, 0, 5)).unwrap();
        assert_eq!((first.commit(&info(1, false)).unwrap(), rows()), (None, 0));
        let r2 = first.commit(&info(2, true)).unwrap().unwrap();
        assert_eq!((r2.rows, rows()), (5, 5));
        let names = bucket.list("logs/test_log/").unwrap();
        assert_eq!(names[2], "logs/test_log/year=2026/month=01/day=01/hour=02/000000000002-000-002.parquet");
        first.stage(&batch(&l, 5, 5)).unwrap();
        let r3 = first.commit(&info(3, true)).unwrap().unwrap();
        // The record of epoch 3 was lost. Where the list is, its files go; the replay brings them back.
        let mut second = shard_at(dir.path(), &url);
        second.recover(Some(&r2)).unwrap();
        assert_eq!(rows(), 5);
        second.stage(&batch(&l, 5, 5)).unwrap();
        assert_eq!(second.commit(&info(3, true)).unwrap().unwrap(), r3);
        // Elsewhere they stay, and the replay finds them.
        let other = tempfile::tempdir().unwrap();
        let mut third = shard_at(other.path(), &url);
        third.recover(Some(&r2)).unwrap();
        assert_eq!(rows(), 10);
        third.stage(&batch(&l, 5, 5)).unwrap();
        assert_eq!((third.commit(&info(3, true)).unwrap().unwrap(), rows()), (r3, 10));
        assert!(
            std::fs::read_dir(other.path().join("lake/lake-0"))
                .unwrap()
                .all(|e| e.unwrap().file_name() == "intent.json")
        );
        // Another run must not write here.
        let elsewhere = tempfile::tempdir().unwrap();
        let mut foreign = shard_at(elsewhere.path(), &url);
        foreign.recover(None).unwrap();
        foreign.stage(&batch(&l, 40, 1)).unwrap();
        foreign.stage(&batch(&l, 0, 1)).unwrap();
        foreign.stage(&batch(&l, 0, 1)).unwrap();
        let e = foreign.commit(&info(2, true)).unwrap_err().to_string();
        assert!(e.contains("exists with other bytes") && e.contains("hour=00/000000000002-000-000.parquet"), "{e}");
    }
}
