//! The bytes of events, read again from the files they came from.
use super::Event;
use crate::parse_files::open;
use anyhow::{Result, anyhow, bail};
use model::source::Budget;
use model::{BuildCx, Built, Kind, Packet, Split};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use topology::{PlanNode, Topology};

/// Position of an event in its file.
type At = (u64, u32);

/// Fill in the bytes of events, or why there are none.
pub fn fill(t: &Topology, events: &mut [Event]) {
    let mut files: BTreeMap<(String, String), BTreeSet<At>> = BTreeMap::new();
    for e in events.iter() {
        files.entry((e.source.clone(), e.name.clone())).or_default().insert((e.offset, e.ordinal));
    }
    for ((source, name), wanted) in files {
        let read = match t.node(&source) {
            Some(n) if n.kind == Kind::Source && n.spec.name == "file" => read(n, &name, &wanted),
            Some(n) if n.kind == Kind::Source => Err(anyhow!("a {} source is not read again from here", n.spec.name)),
            _ => Err(anyhow!("there is no source `{source}` any more")),
        };
        for e in events.iter_mut().filter(|e| e.source == source && e.name == name) {
            match &read {
                Ok(found) => match found.get(&(e.offset, e.ordinal)) {
                    Some(raw) => e.raw = Some(raw.clone()),
                    None => e.no_raw = Some("no record begins there any more; the file was changed".into()),
                },
                Err(why) => e.no_raw = Some(format!("{why:#}")),
            }
        }
    }
}

/// The records of a file at these positions, cut as its source cuts them.
fn read(source: &PlanNode, name: &str, wanted: &BTreeSet<At>) -> Result<BTreeMap<At, String>> {
    if !Path::new(name).exists() {
        bail!("{name} is gone");
    }
    let mut settings = source.settings.clone();
    settings["path"] = json!([glob_free(name)]);
    settings["follow"] = json!(false);
    let node = open(Kind::Source, "file", settings)?;
    let cwd = std::env::current_dir()?;
    let cx = BuildCx { id: source.id.clone(), work_dir: cwd.clone(), data_dir: cwd, once: true, ..BuildCx::default() };
    let failed = |e: model::Error| anyhow!("{e}");
    let Built::Source(mut source, reader) = node.build(&cx).map_err(failed)? else { bail!("not a source") };
    let mut splits: Vec<Split> = Vec::new();
    loop {
        let poll = source.poll(Budget { bytes: u64::MAX, now_ms: 0 }).map_err(failed)?;
        let end = poll.exhausted && poll.splits.is_empty();
        splits.extend(poll.splits);
        if end {
            break;
        }
    }
    // A file that can only be read whole is one split, and offsets in it may be those of what is packed in it.
    let one = splits.len() == 1;
    let holds = |s: &Split| one || wanted.range((s.from, 0)..(s.to, 0)).next().is_some();
    let (mut reader, mut found) = (reader().map_err(failed)?, BTreeMap::new());
    for split in splits.iter().filter(|s| holds(s)) {
        let mut keep = |packet: Packet| {
            let Packet::Raw(batch) = packet else { return };
            for (i, r) in batch.records.iter().enumerate() {
                let at = (r.offset, r.ordinal);
                if wanted.contains(&at) {
                    found.insert(at, String::from_utf8_lossy(batch.bytes(i)).into_owned());
                }
            }
        };
        reader.read(split, &split.origin(0), &mut keep).map_err(failed)?;
    }
    Ok(found)
}

/// A path that names this one file, also where its name has the signs of a pattern.
fn glob_free(name: &str) -> String {
    name.chars().map(|c| if "*?[{".contains(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_matches_itself() {
        assert_eq!(glob_free("in/a[1]*.log"), "in/a[[]1][*].log");
    }
}
