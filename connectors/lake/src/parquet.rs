//! The Parquet sink. Rows are written to files in staging as epochs arrive. At a snapshot epoch the files are closed, kept in
//! staging and listed in the commit record; those that have waited long enough, or are large enough together, become files
//! of the lake with the same commit.
//!
//! Layout: `<path>/logs/<table>/year=YYYY/month=MM/day=DD/hour=HH/<epoch>-<lane>-<n>.parquet`, partition by event time
//! (functional spec §7.2). Names are a function of epoch and lane, so a replay writes the same names.
//!
//! What a reader sees: whole files only. Files of an epoch appear one after the other, shortly before its commit record;
//! after a crash in between they are removed by the next incarnation, which finds the list of them. Once an epoch is
//! committed its files do not change. The last epoch of a session leaves nothing in staging.
use crate::form::Form;
use crate::intent::Intent;
use crate::staged::{Patience, Staged, due};
use crate::staging::Staging;
use crate::target::{Target, is_url};
use crate::writer::{Closed, OpenFile};
use crate::{merge, rows, table};
use arrow_schema::SchemaRef;
use model::part::Sharding;
use model::sink::{Receipt, Sink};
use model::units::{Dur, Size};
use model::{
    BuildCx, Built, EpochInfo, EventBatch, Files, Flow, Kind, Needs, Node, Packet, Part, Problem, Record, Result, Spec,
    time,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Open files of one shard; one more closes the fullest.
const OPEN_FILES_MAX: usize = 64;
/// Folders of events begin with this; the others hold records.
pub(crate) const LOGS: &str = "logs/";

/// Settings of `[sinks.*] type = "parquet"`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of the lake, or object storage as `s3://bucket/prefix` (with `?endpoint=…&region=…` where needed); a
    /// prefix belongs to one run, as a folder does. Below it: `logs/<table>/…` for events, `rules/…`, `rule_errors/…` and `alerts/…` for records.
    pub path: String,
    /// Longest time that rows wait in staging for a larger file; they appear with the first checkpoint after it.
    #[serde(default = "max_age")]
    pub max_age: Dur,
    /// Size at which a file is large enough: it appears with the next checkpoint. Files have this size to twice as much.
    #[serde(default = "max_size")]
    pub max_size: Size,
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
fn max_age() -> Dur {
    Dur(60_000)
}
fn max_size() -> Size {
    Size(128 << 20)
}
/// What people search a lake for.
fn bloom() -> Vec<String> {
    let columns = ["p_row_id"].iter().chain(table::INDICATORS);
    columns.map(|c| c.to_string()).collect()
}

/// `parquet`: the lake sink.
pub struct ParquetPart;

impl Part for ParquetPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "parquet",
            doc: "Writes events (every schema field), matches or alerts to Parquet files in hive folders by hour; files appear with a checkpoint, when they are large or old enough.",
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
        if self.0.indicators {
            table::INDICATORS.iter().for_each(|name| n.path("*", model::Path::key(name)));
        }
        n
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let target = Target::open(&self.0.path, &cx.work_dir, &cx.objects)?;
        let staging = Staging::open(&target, &format!("{}-{}", cx.id, cx.shard), &cx.data_dir);
        let patience = Patience {
            age_ms: i64::try_from(self.0.max_age.0).unwrap_or(i64::MAX),
            bytes: self.0.max_size.0.clamp(1, target.bytes_max()),
        };
        Ok(Built::Sink(Box::new(Shard {
            settings: self.0.clone(),
            patience,
            target,
            staging,
            lane: cx.shard,
            forms: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: Vec::new(),
            made: 0,
            staged: Vec::new(),
            spent: Vec::new(),
        })))
    }
}

/// Folder and hour (since 1970) of a file.
type Place = (String, i64);

struct Shard {
    settings: Settings,
    patience: Patience,
    target: Target,
    staging: Staging,
    lane: u32,
    /// How the files of a folder are written, kept by the layout's address.
    forms: BTreeMap<String, (usize, Arc<Form>)>,
    open: BTreeMap<Place, OpenFile>,
    closed: Vec<(Place, Arc<Form>, Closed)>,
    /// Files made since the last commit.
    made: u32,
    /// Committed rows that are not in the lake yet, oldest first.
    staged: Vec<Staged>,
    /// What is in staging for nothing once the last commit is on record.
    spent: Vec<String>,
}

/// What the next incarnation must know.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    #[serde(default)]
    staged: Vec<Staged>,
}

impl Shard {
    fn file(&mut self, place: &Place, form: &Arc<Form>) -> Result<&mut OpenFile> {
        if self.open.get(place).is_some_and(|f| f.written() >= self.patience.bytes) {
            self.end(place)?;
        }
        if !self.open.contains_key(place) {
            if self.open.len() >= OPEN_FILES_MAX {
                let fullest = self.open.iter().max_by_key(|(p, f)| (f.rows, std::cmp::Reverse((*p).clone())));
                let key = fullest.map(|(p, _)| p.clone()).ok_or("no open file")?;
                self.end(&key)?;
            }
            let temp = self.staging.temp(&self.made.to_string());
            self.made += 1;
            self.open.insert(place.clone(), OpenFile::create(&temp, form.clone()));
        }
        self.open.get_mut(place).ok_or_else(|| "no open file".into())
    }

    /// Close an open file.
    fn end(&mut self, place: &Place) -> Result<()> {
        if let Some(file) = self.open.remove(place) {
            let form = file.form().clone();
            self.closed.push((place.clone(), form, file.close()?));
        }
        Ok(())
    }

    fn form(&self, schema: SchemaRef, folder: &str, json: Vec<String>) -> Form {
        let bloom = self.settings.bloom.iter().filter(|c| schema.field_with_name(c).is_ok()).cloned().collect();
        let Settings { level, indicators, .. } = self.settings;
        Form { schema, folder: folder.into(), level, bloom, json, indicators }
    }

    fn stage_events(&mut self, batch: &Arc<EventBatch>) -> Result<()> {
        let folder = format!("{LOGS}{}", batch.layout.table);
        let address = Arc::as_ptr(&batch.layout) as usize;
        let known = self.forms.get(&folder).filter(|f| f.0 == address).map(|f| f.1.clone());
        let form = known.unwrap_or_else(|| {
            let schema = table::schema(&batch.layout, self.settings.indicators);
            let form = Arc::new(self.form(schema, &folder, table::json(&batch.layout)));
            self.forms.insert(folder.clone(), (address, form.clone()));
            form
        });
        let mut hours: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, ns) in batch.event_time.iter().enumerate() {
            hours.entry(ns.div_euclid(3_600_000_000_000)).or_default().push(row as u32);
        }
        for (hour, rows) in hours {
            self.file(&(folder.clone(), hour), &form)?.events(batch, rows)?;
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
            let form = Arc::new(self.form(rows::schema(folder), folder, vec![rows::RECORD.into()]));
            self.file(&(folder.to_string(), hour), &form)?.records(records)?;
        }
        Ok(())
    }

    /// Close every open file; the closed ones in a defined order with their digest.
    fn close(&mut self) -> Result<(Vec<(Place, Arc<Form>, Closed)>, Receipt)> {
        let places: Vec<Place> = self.open.keys().cloned().collect();
        places.iter().try_for_each(|p| self.end(p))?;
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_by(|a, b| a.0.cmp(&b.0));
        self.made = 0;
        let mut digest = Xxh3::new();
        for ((folder, hour), _, f) in &closed {
            digest.update(format!("{folder} {hour} {} {:x};", f.rows, f.hash).as_bytes());
        }
        let rows = closed.iter().map(|c| c.2.rows).sum();
        let digest = format!("{:032x}", digest.digest128());
        Ok((closed, Receipt { rows, digest, ..Receipt::default() }))
    }

    fn final_path(&self, folder: &str, hour: i64, epoch: u64, n: usize) -> PathBuf {
        let text = time::rfc3339_ms(hour * 3_600_000);
        let (y, m, d, h) = (&text[0..4], &text[5..7], &text[8..10], &text[11..13]);
        let hive = format!("{folder}/year={y}/month={m}/day={d}/hour={h}");
        self.target.place(&format!("{hive}/{epoch:012}-{:03}-{n:03}.parquet", self.lane))
    }

    /// The last commit is on record: what it has made useless goes.
    fn sweep(&mut self) -> Result<()> {
        self.spent.drain(..).try_for_each(|name| self.staging.remove(&name))
    }

    /// Make one file of the lake of some staged files.
    fn publish(&self, group: &[Staged], to: &Path) -> Result<()> {
        let parts = group.iter().map(|s| self.staging.path(&s.name)).collect::<Result<Vec<PathBuf>>>()?;
        let [first, _, ..] = &parts[..] else { return self.target.publish(&parts[0], to) };
        // From the files alone: what this incarnation has seen of a log type must not decide how its rows are written.
        let folder = &group[0].folder;
        let time = if folder.starts_with(LOGS) { table::TIME } else { rows::TIME };
        let form = self.form(merge::schema(first)?, folder, Vec::new());
        let temp = self.staging.temp("merged");
        merge::merge(&parts, &form, time, &temp)?;
        self.target.publish(&temp, to)?;
        Ok(std::fs::remove_file(&temp)?)
    }
}

impl Sink for Shard {
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        let state = last.map(|r| &r.state).filter(|s| !s.is_null());
        let progress = state.map(Progress::deserialize).transpose()?.unwrap_or_default();
        self.staging.create()?;
        let names = self.staging.names()?;
        for name in &names {
            if Intent::is(name) {
                Intent::undo(&self.staging, name, progress.epoch, |f| self.target.remove(f))?;
            } else if !progress.staged.iter().any(|s| s.name == *name) {
                self.staging.remove(name)?;
            }
        }
        if let Some(lost) = progress.staged.iter().find(|s| !self.staging.has(&s.name, &names, s.bytes)) {
            return Err(format!(
                "committed rows for {} wait in {}, but {} is not there as it was left: bring the folder back; processes on \
                 several machines need a lake that all of them reach",
                lost.folder,
                self.staging.place(),
                lost.name
            )
            .into());
        }
        self.staged = progress.staged;
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
        self.sweep()?;
        if !info.snapshot {
            return Ok(None);
        }
        let (closed, mut receipt) = self.close()?;
        model::fault::crash_point("sink.before_write");
        for (n, ((folder, hour), form, f)) in closed.into_iter().enumerate() {
            let name = format!("{:012}-{n:03}.parquet", info.epoch);
            self.staging.keep(&f.temp, &name)?;
            self.staged.push(Staged { folder, hour, form: form.name(), name, bytes: f.bytes, since_ms: info.now_ms });
        }
        self.staging.settle()?;
        let groups = due(&mut self.staged, info.now_ms, info.seal, self.patience);
        if !groups.is_empty() {
            let place = |(n, g): (usize, &Vec<Staged>)| self.final_path(&g[0].folder, g[0].hour, info.epoch, n);
            let files: Vec<PathBuf> = groups.iter().enumerate().map(place).collect();
            let spent: Vec<String> = groups.iter().flatten().map(|s| s.name.clone()).collect();
            Intent { epoch: info.epoch, files: files.clone(), spent: spent.clone() }.write(&self.staging)?;
            for (group, file) in groups.iter().zip(&files) {
                self.publish(group, file)?;
                model::fault::crash_point("sink.mid_write");
            }
            self.spent = spent;
            self.spent.push(Intent::name(info.epoch));
        }
        model::fault::crash_point("sink.after_write");
        receipt.waiting = !self.staged.is_empty();
        receipt.state = serde_json::to_value(Progress { epoch: info.epoch, staged: self.staged.clone() })?;
        Ok(Some(receipt))
    }
    fn discard(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if !info.snapshot {
            return Ok(None);
        }
        let (closed, receipt) = self.close()?;
        for (_, _, f) in closed {
            std::fs::remove_file(&f.temp)?;
        }
        Ok(Some(receipt))
    }
    fn finish(&mut self, _: u64) -> Result<()> {
        self.sweep()
    }
}

#[cfg(test)]
mod tests;
