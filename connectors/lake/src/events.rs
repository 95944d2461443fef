//! Events read back from a lake, each as one JSON record of the fields that the parser gave.
//!
//! Files are chosen by table and hour from their names, row groups by the statistics of the event time, rows by their event
//! time. What waits in staging counts as well: it is committed. A row stands in one file only, so the order in which files
//! are read means nothing; the position of each event is part of it.
use crate::chunks::Chunks;
use crate::count::{is_staged, spent, walk};
use crate::stored::{ROWS, Stored, stored};
use crate::table::TIME;
use crate::target::Target;
use crate::wanted::Wanted;
use bytes::Bytes;
use model::{OpenObjects, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// How often a lake is listed again because files went while it was.
const LISTS_MAX: usize = 5;

/// A file of a lake that may hold wanted events.
pub struct LakeFile {
    /// Its name in the lake.
    pub name: String,
    /// Staged files go away while an engine runs; an open one can still be read.
    open: Option<Arc<File>>,
}

/// A lake that is read.
pub struct Events {
    target: Target,
    wanted: Wanted,
}

impl Events {
    /// Of the lake at `path`, relative to `work_dir` if it is a folder.
    pub fn open(path: &str, work_dir: &Path, objects: &OpenObjects, wanted: Wanted) -> Result<Events> {
        Ok(Events { target: Target::open(path, work_dir, objects)?, wanted })
    }

    /// Files that may hold wanted events, sorted by name.
    pub fn files(&self) -> Result<Vec<LakeFile>> {
        // What is published between listing and opening is listed again.
        for _ in 1..LISTS_MAX {
            if let Some(files) = self.list()? {
                return Ok(files);
            }
        }
        self.list()?.ok_or_else(|| "the lake changes faster than it can be listed".into())
    }

    fn list(&self) -> Result<Option<Vec<LakeFile>>> {
        let (names, spent) = match &self.target {
            Target::Folder(root) => {
                let name = |f: std::path::PathBuf| Some(f.strip_prefix(root).ok()?.to_string_lossy().into_owned());
                let names: Vec<String> = walk(root)?.into_iter().filter_map(name).collect();
                let spent = spent(&names, |n| Ok(std::fs::read(root.join(n))?));
                (names, spent)
            }
            Target::Objects(o) => {
                let names = o.list("")?;
                let spent = spent(&names, |n| o.get(n));
                (names, spent)
            }
        };
        // A list of files to appear that went meanwhile: an epoch was committed.
        let Ok(spent) = spent else { return Ok(None) };
        let mut out = Vec::new();
        for name in names {
            if !name.ends_with(".parquet") || spent.contains(&name) || !self.wanted.may_be_in(&name) {
                continue;
            }
            let open = match (&self.target, is_staged(Path::new(&name))) {
                (Target::Folder(root), true) => match File::open(root.join(&name)) {
                    Ok(f) => Some(Arc::new(f)),
                    Err(_) => return Ok(None),
                },
                _ => None,
            };
            out.push(LakeFile { name, open });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(out))
    }

    fn source(&self, file: &LakeFile) -> Result<Chunks> {
        Ok(match (&self.target, &file.open) {
            (_, Some(open)) => Chunks::File(open.clone()),
            (Target::Folder(root), None) => Chunks::File(Arc::new(File::open(root.join(&file.name))?)),
            (Target::Objects(o), None) => Chunks::Bytes(Bytes::from(o.get(&file.name)?)),
        })
    }

    /// Row groups of a file that may hold wanted events, with their compressed bytes. A file of a bucket, which is fetched
    /// as a whole, counts as one: `None`.
    pub fn groups(&self, file: &LakeFile) -> Result<Vec<(Option<usize>, u64)>> {
        let Target::Folder(_) = self.target else { return Ok(vec![(None, 0)]) };
        let said = |e: model::Error| -> model::Error { format!("{}: {e}", file.name).into() };
        let meta = ParquetRecordBatchReaderBuilder::try_new(self.source(file).map_err(said)?);
        let meta = meta.map_err(|e| said(e.into()))?.metadata().clone();
        let groups = meta.row_groups().iter().enumerate();
        Ok(groups
            .filter(|(_, g)| self.may_hold(g))
            .map(|(n, g)| (Some(n), g.compressed_size().max(0) as u64))
            .collect())
    }

    fn may_hold(&self, group: &RowGroupMetaData) -> bool {
        let of = |name: &str| group.columns().iter().find(|c| c.column_descr().name() == name);
        // Files of records have no such column.
        let Some(time) = of(TIME) else { return false };
        let in_time = match time.statistics() {
            Some(Statistics::Int64(s)) => match (s.min_opt(), s.max_opt()) {
                (Some(min), Some(max)) => *min < self.wanted.to_ns && *max >= self.wanted.from_ns,
                _ => true,
            },
            _ => true,
        };
        let known = match of("p_log_type").and_then(|c| c.statistics()) {
            Some(Statistics::ByteArray(s)) if s.min_is_exact() && s.max_is_exact() => match s.min_bytes_opt() {
                Some(t) if s.min_bytes_opt() == s.max_bytes_opt() => {
                    std::str::from_utf8(t).is_ok_and(|t| self.wanted.log_types.contains_key(t))
                }
                _ => true,
            },
            _ => true,
        };
        in_time && known
    }

    /// Hand out the wanted events of a row group (`None`: of every one) of a file.
    pub fn read(
        &self,
        file: &LakeFile,
        group: Option<usize>,
        each: &mut dyn FnMut(Stored) -> Result<()>,
    ) -> Result<()> {
        let said = |e: model::Error| -> model::Error { format!("{}: {e}", file.name).into() };
        let builder = ParquetRecordBatchReaderBuilder::try_new(self.source(file).map_err(said)?);
        let builder = builder.map_err(|e| said(e.into()))?;
        let meta: Arc<ParquetMetaData> = builder.metadata().clone();
        let groups: Vec<usize> = match group {
            Some(g) => vec![g],
            None => (0..meta.num_row_groups()).filter(|g| self.may_hold(meta.row_group(*g))).collect(),
        };
        if groups.is_empty() {
            return Ok(());
        }
        let rows = builder.with_row_groups(groups).with_batch_size(ROWS).build().map_err(|e| said(e.into()))?;
        for batch in rows {
            let found = batch.map_err(model::Error::from).and_then(|b| stored(&b, &self.wanted)).map_err(said)?;
            found.into_iter().try_for_each(&mut *each)?;
        }
        Ok(())
    }
}
