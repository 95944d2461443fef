//! Rows that are committed and wait for a file of the lake.
//!
//! A checkpoint comes every few seconds; a file of the lake for each would be thousands of small ones. So a checkpoint
//! leaves its rows in staging, in a complete file for each folder, and lists them in its commit record. Once the
//! oldest of a folder has waited long enough, or together they are large enough, they become one file.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Staged files of one writer. With more, all of them become files of the lake.
pub const STAGED_MAX: usize = 256;

/// A complete file in staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Folder below the lake, `logs/<table>`.
    pub folder: String,
    /// Hour of its rows, since 1970.
    pub hour: i64,
    /// Hash of its columns' names and types: files that differ in them stay apart.
    pub form: String,
    /// Name in staging.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Stamp of the epoch that left it, milliseconds.
    pub since_ms: i64,
}

/// When staged files become a file of the lake.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest that rows wait, milliseconds.
    pub age_ms: i64,
    /// Size that is enough, bytes.
    pub bytes: u64,
}

/// Take out what waits no longer at `now_ms` (everything, if `all`): groups that become a file each, in the order of folder,
/// hour and age.
pub fn due(staged: &mut Vec<Staged>, now_ms: i64, all: bool, patience: Patience) -> Vec<Vec<Staged>> {
    let all = all || staged.len() > STAGED_MAX;
    let mut places: BTreeMap<(String, i64, String), Vec<Staged>> = BTreeMap::new();
    for s in staged.drain(..) {
        places.entry((s.folder.clone(), s.hour, s.form.clone())).or_default().push(s);
    }
    let mut out = Vec::new();
    for files in places.into_values() {
        let mut group: Vec<Staged> = Vec::new();
        for file in files {
            group.push(file);
            if group.iter().map(|s| s.bytes).sum::<u64>() >= patience.bytes {
                out.push(std::mem::take(&mut group));
            }
        }
        match group.first() {
            Some(oldest) if all || now_ms.saturating_sub(oldest.since_ms) >= patience.age_ms => out.push(group),
            _ => staged.append(&mut group),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(hour: i64, form: &str, name: &str, bytes: u64, since_ms: i64) -> Staged {
        Staged { folder: "logs/t".into(), hour, form: form.into(), name: name.into(), bytes, since_ms }
    }

    fn names(groups: &[Vec<Staged>]) -> Vec<Vec<&str>> {
        groups.iter().map(|g| g.iter().map(|s| s.name.as_str()).collect()).collect()
    }

    #[test]
    fn files_wait_by_place_for_age_or_size() {
        let patience = Patience { age_ms: 60_000, bytes: 100 };
        let mut staged = vec![
            file(1, "f", "a", 10, 0),
            file(2, "f", "b", 10, 30_000),
            file(1, "f", "c", 10, 50_000),
            file(1, "g", "d", 10, 50_000),
        ];
        assert!(due(&mut staged, 59_999, false, patience).is_empty());
        assert_eq!(staged.len(), 4);
        assert_eq!(names(&due(&mut staged, 60_000, false, patience)), [["a", "c"]]);
        staged.push(file(2, "f", "e", 95, 60_000));
        staged.push(file(2, "f", "f", 5, 60_000));
        assert_eq!(names(&due(&mut staged, 60_000, false, patience)), [["b", "e"]]);
        assert_eq!(names(&due(&mut staged, 60_000, true, patience)), [["d"], ["f"]]);
        assert!(staged.is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let patience = Patience { age_ms: i64::MAX, bytes: u64::MAX };
        let mut staged: Vec<Staged> = (0..STAGED_MAX as i64).map(|h| file(h, "f", "x", 1, 0)).collect();
        assert!(due(&mut staged, 0, false, patience).is_empty());
        staged.push(file(0, "f", "y", 1, 0));
        assert_eq!(due(&mut staged, 0, false, patience).len(), STAGED_MAX);
        assert!(staged.is_empty());
    }
}
