//! The `file` source: log files of any kind, followed as they grow or read to their end.
//!
//! Plain line files are cut into splits of at most 1.5 MiB, read by any worker in any order; everything that can only
//! be read from its beginning (compressed files, JSON documents, CSV with quoted line ends) is one split. Codec and
//! stream are told from content, never from the name. What is offered is decided once, by the coordinator
//! ([`source`]), and logged; a reader ([`reader`]) reads exactly that.
//!
//! A partition is one file: one inode with one beginning. A renamed file keeps its partition and is read to its end
//! under its old name; a new file at the path, or one that was cut and refilled, is a new partition.
pub(crate) mod detail;
pub(crate) mod lines;
pub(crate) mod reader;
pub(crate) mod source;

use crate::walk;
use detail::Stream;
use model::part::Opened;
use model::path::Path;
use model::units::Size;
use model::{BuildCx, Built, Files, Node, Part, Problem, Result, Spec};
use reader::{FileReader, Pins};
use serde::Deserialize;
use source::FileSource;
use std::sync::Arc;
pub(crate) use stream::batch;

/// `type = "file"`; see the module.
pub struct FilePart;

/// Settings of a `file` source.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// File, folder (with everything below it) or glob such as `logs/**/*.json.gz`; or a list of them. Relative to
    /// the folder the run starts in.
    path: OneOrMany,
    /// How files are cut into records. `auto` decides for each file by its content; `csv` must be asked for, and only
    /// where quoted fields hold line ends (other CSV files are `lines`).
    #[serde(default = "auto")]
    stream: Stream,
    /// Field that holds the array of records, for `json_array`: a path such as `detail.records`. Default: the
    /// document itself is the array.
    array_field: Option<String>,
    /// Go on reading files that grow, and look for new ones. Default: yes, except with `--once`. Files that can only
    /// be read as a whole are read when they have not changed for two seconds, and again as a new file if they change
    /// later.
    follow: Option<bool>,
    /// Longest record; a longer one is rejected.
    #[serde(default = "max_line")]
    max_line: Size,
    /// Most decompressed bytes per compressed byte, once 10 MiB have come out; the rest of the file is rejected.
    #[serde(default = "max_ratio")]
    max_ratio: u64,
    /// Most decompressed bytes of one file; the rest is rejected.
    #[serde(default = "max_decoded")]
    max_decoded: Size,
    /// Name shown as `p_source_label`. Default: the id of this source.
    label: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn auto() -> Stream {
    Stream::Auto
}
fn max_line() -> Size {
    Size(1 << 20)
}
fn max_ratio() -> u64 {
    1000
}
fn max_decoded() -> Size {
    Size(2 << 30)
}

/// Checked settings.
pub(crate) struct Config {
    pub(crate) paths: Vec<String>,
    pub(crate) stream: Stream,
    pub(crate) array: Path,
    pub(crate) follow: Option<bool>,
    pub(crate) max_line: usize,
    pub(crate) max_ratio: u64,
    pub(crate) max_decoded: u64,
    pub(crate) label: Option<Arc<str>>,
}

impl Config {
    /// Settings of a source of plain lines.
    pub(crate) fn lines(max_line: Size, label: Option<String>) -> Config {
        Config {
            paths: Vec::new(),
            stream: Stream::Lines,
            array: Path::default(),
            follow: None,
            max_line: max_line.0 as usize,
            max_ratio: max_ratio(),
            max_decoded: max_decoded().0,
            label: label.map(Arc::from),
        }
    }
}

/// Problem of a `max_line` that cannot be kept.
pub(crate) fn check_max_line(max_line: Size) -> Option<Problem> {
    (!stream::MAX_RECORD.contains(&max_line.0)).then(|| {
        Problem::at("max_line", format!("{max_line} is out of range"))
            .hint("between 64 bytes and 64MiB; events are seldom over 1MiB")
    })
}

fn check(s: Settings) -> std::result::Result<Config, Vec<Problem>> {
    let mut problems: Vec<Problem> = check_max_line(s.max_line).into_iter().collect();
    let (paths, name): (Vec<String>, fn(usize) -> String) = match s.path {
        OneOrMany::One(p) => (vec![p], |_| "path".into()),
        OneOrMany::Many(v) => (v, |i| format!("path[{i}]")),
    };
    if paths.is_empty() {
        problems.push(Problem::at("path", "no path is given").hint("name a file, a folder or a glob"));
    }
    for (i, p) in paths.iter().enumerate() {
        if p.trim().is_empty() {
            problems.push(Problem::at(&name(i), "the path is empty").hint("name a file, a folder or a glob"));
        } else if let Err(e) = walk::check(p).or_else(|e| if walk::is_glob(p) { Err(e) } else { Ok(()) }) {
            problems.push(Problem::at(&name(i), e).hint("`*` is any name, `**` any folders, `[ab]` one character"));
        }
    }
    let array = s.array_field.as_deref().map_or(Ok(Path::default()), stream::array_path).unwrap_or_else(|e| {
        problems.push(Problem::at("array_field", e));
        Path::default()
    });
    if s.array_field.is_some() && s.stream != Stream::JsonArray {
        problems.push(Problem::at("array_field", "it is only used by one stream").hint("set stream = \"json_array\""));
    }
    if s.max_ratio == 0 || s.max_decoded.0 == 0 {
        problems.push(Problem::at("max_ratio", "max_ratio and max_decoded must be above zero"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        paths,
        stream: s.stream,
        array,
        follow: s.follow,
        max_line: s.max_line.0 as usize,
        max_ratio: s.max_ratio,
        max_decoded: s.max_decoded.0,
        label: s.label.map(Arc::from),
    })
}

impl Part for FilePart {
    fn spec(&self) -> Spec {
        Spec::source(
            "file",
            "Reads log files: lines, JSON, CSV, CloudTrail and CloudWatch documents, plain, gzip or zstd.",
        )
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings).map_err(|e| vec![Problem::at("", e.to_string())]).and_then(check) {
            Ok(config) => Opened::ok(FileNode(Arc::new(config))),
            Err(problems) => Opened::failed(problems),
        }
    }
}

struct FileNode(Arc<Config>);

impl Node for FileNode {
    fn summary(&self) -> String {
        self.0.paths.join(", ")
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let pins = Arc::new(Pins::default());
        let follow = self.0.follow.unwrap_or(!cx.once);
        let source = FileSource::new(cx.id.clone(), self.0.clone(), cx.work_dir.clone(), follow, pins.clone());
        let (config, dir) = (self.0.clone(), cx.work_dir.clone());
        let readers = move || -> Result<Box<dyn model::Reader>> {
            Ok(Box::new(FileReader::new(config.clone(), dir.clone(), pins.clone())))
        };
        Ok(Built::Source(Box::new(source), Box::new(readers)))
    }
}

#[cfg(test)]
mod tests;
