//! Reading the lake back, for `audit` and tests.
use model::Objects;
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files nested deeper than this are not the lake's.
const DEPTH_MAX: usize = 12;

/// Every Parquet file under a lake's path, sorted; staging folders (`_…`) are left out.
pub fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    fn go(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if name.to_string_lossy().starts_with('_') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                if depth < DEPTH_MAX {
                    go(&path, depth + 1, out)?;
                }
            } else if path.extension().is_some_and(|e| e == "parquet") {
                out.push(path);
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

/// Rows in every file of a lake, from the footers.
pub fn count_rows(path: &Path) -> model::Result<u64> {
    let mut n = 0;
    for f in files(path)? {
        let reader = SerializedFileReader::new(File::open(&f)?).map_err(|e| format!("{}: {e}", f.display()))?;
        n += reader.metadata().file_metadata().num_rows().max(0) as u64;
    }
    Ok(n)
}

/// Rows in every file of a lake on object storage, from the footers. Reads every file.
pub fn count_rows_in(objects: &dyn Objects) -> model::Result<u64> {
    let mut n = 0;
    let names = objects.list("")?;
    for name in names.iter().filter(|n| n.ends_with(".parquet") && !n.starts_with('_')) {
        let bytes = bytes::Bytes::from(objects.get(name)?);
        let reader = SerializedFileReader::new(bytes).map_err(|e| format!("{name}: {e}"))?;
        n += reader.metadata().file_metadata().num_rows().max(0) as u64;
    }
    Ok(n)
}
