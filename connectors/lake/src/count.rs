//! Reading the lake back, for `audit` and tests: the files of the lake, and those in staging that wait to become one.
use crate::intent::Intent;
use crate::staging::STAGING;
use model::{Objects, Result};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files nested deeper than this are not the lake's.
const DEPTH_MAX: usize = 12;

/// Every file below a folder, sorted; an empty list if there is no folder.
pub(crate) fn walk(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    fn go(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                out.push(entry.path());
            } else if depth < DEPTH_MAX {
                go(&entry.path(), depth + 1, out)?;
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    match go(path, 0, &mut out) {
        Err(e) if e.kind() == ErrorKind::NotFound && out.is_empty() => return Ok(out),
        other => other?,
    }
    out.sort();
    Ok(out)
}

pub(crate) fn is_staged(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == STAGING)
}

/// Every Parquet file of a lake, sorted; staging is left out.
pub fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let parquet = |f: &PathBuf| f.extension().is_some_and(|e| e == "parquet");
    Ok(walk(path)?.into_iter().filter(|f| parquet(f) && !is_staged(f.strip_prefix(path).unwrap_or(f))).collect())
}

/// Rows in every file of a lake and in what is staged for it, from the footers.
pub fn count_rows(path: &Path) -> Result<u64> {
    let name = |f: PathBuf| Some(f.strip_prefix(path).ok()?.to_string_lossy().into_owned());
    let names: Vec<String> = walk(path)?.into_iter().filter_map(name).collect();
    count(&names, |n| Ok(std::fs::read(path.join(n))?), |n| rows(File::open(path.join(n))?))
}

/// Rows in every file of a lake on object storage and in what is staged for it, from the footers. Reads every file.
pub fn count_rows_in(objects: &dyn Objects) -> Result<u64> {
    count(&objects.list("")?, |n| objects.get(n), |n| rows(bytes::Bytes::from(objects.get(n)?)))
}

fn count(names: &[String], read: impl Fn(&str) -> Result<Vec<u8>>, rows: impl Fn(&str) -> Result<u64>) -> Result<u64> {
    let spent = spent(names, read)?;
    let mut sum = 0;
    for name in names.iter().filter(|n| n.ends_with(".parquet") && !spent.contains(*n)) {
        sum += rows(name).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(sum)
}

/// Staged files that are in the lake too, for the moment.
pub(crate) fn spent(names: &[String], read: impl Fn(&str) -> Result<Vec<u8>>) -> Result<HashSet<String>> {
    let mut spent = HashSet::new();
    for list in names.iter().filter(|n| is_staged(Path::new(n)) && Intent::is(n)) {
        let dir = list.rsplit_once('/').map_or("", |(dir, _)| dir);
        spent.extend(Intent::of(&read(list)?)?.spent.iter().map(|s| format!("{dir}/{s}")));
    }
    Ok(spent)
}

fn rows<R: ChunkReader + 'static>(file: R) -> Result<u64> {
    Ok(SerializedFileReader::new(file)?.metadata().file_metadata().num_rows().max(0) as u64)
}
