//! The `s3` source: objects of buckets, as notifications in SQS queues announce them.
//!
//! What is read is decided once by the coordinator ([`coordinate`]): it takes messages ([`queue`], [`desk`]), learns what
//! they name ([`notice`], [`prefix`]) and in which state that is ([`clients`]), and logs a split per object
//! ([`detail`]). A reader ([`reader`]) reads exactly that state. A message is deleted when every sink has committed what
//! it named; what comes twice is known ([`memory`]).
mod clients;
mod coordinate;
mod desk;
mod detail;
mod memory;
mod notice;
mod prefix;
mod queue;
mod reader;

use crate::access::{Access, Role};
use clients::Clients;
use coordinate::ObjectSource;
use model::part::Opened;
use model::path::Path;
use model::units::{Dur, Size};
use model::{BuildCx, Built, Files, Node, Part, Problem, Result, Spec};
use prefix::{Form, Prefix};
use reader::ObjectReader;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use stream::{Limits, Stream};

/// `type = "s3"`; see the module.
pub struct S3Part;

/// Settings of an `s3` source.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// URL of the SQS queue that receives the notifications (from S3, through SNS, from EventBridge or CloudTrail); or a
    /// list of them. The queue is the source's own: messages are deleted when every sink has committed what they name.
    queue: OneOrMany,
    /// Buckets whose objects are read. Default: every bucket a notification names and the credentials can read.
    buckets: Option<Vec<String>>,
    /// Which objects are read, and how. The longest matching prefix decides; objects without one are passed over.
    /// Default: all of them.
    #[serde(default)]
    prefix: Vec<PrefixSettings>,
    /// How objects are cut into records, where their prefix does not say. `auto` decides for each object by its content.
    #[serde(default = "auto")]
    stream: Stream,
    /// Field that holds the array of records, for `json_array`: a path such as `detail.records`. Default: the
    /// document itself is the array.
    array_field: Option<String>,
    /// Role that is assumed to read objects. The queue is read without it.
    role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    external_id: Option<String>,
    /// AWS region. Default: that of the environment; queues and buckets in other regions are found there.
    region: Option<String>,
    /// URL of a service that speaks the protocols of S3 and SQS, in place of AWS.
    endpoint: Option<String>,
    /// Time for which a received message is hidden from other receivers. It is extended while its objects are under
    /// way; after a crash it is how long their messages take to come back.
    #[serde(default = "visibility")]
    visibility: Dur,
    /// How long an object is known after it was announced, so that it is read once however often it is announced. At
    /// most 200,000 objects are remembered.
    #[serde(default = "remember")]
    remember: Dur,
    /// Largest object, as it is stored; a larger one is rejected.
    #[serde(default = "max_object")]
    max_object: Size,
    /// Longest record; a longer one is rejected.
    #[serde(default = "max_line")]
    max_line: Size,
    /// Most decompressed bytes per compressed byte, once 10 MiB have come out; the rest of the object is rejected.
    #[serde(default = "max_ratio")]
    max_ratio: u64,
    /// Most decompressed bytes of one object; the rest is rejected.
    #[serde(default = "max_decoded")]
    max_decoded: Size,
    /// Name shown as `p_source_label`. Default: the id of this source.
    label: Option<String>,
}

/// One `[[sources.<id>.prefix]]`.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrefixSettings {
    /// Beginning of the keys; empty for all.
    prefix: String,
    /// Beginnings of keys that are left out; `*` stands for anything within one part (between two `/`).
    #[serde(default)]
    exclude: Vec<String>,
    /// How these objects are cut into records.
    stream: Option<Stream>,
    /// Field that holds the array of records, for `json_array`.
    array_field: Option<String>,
    /// Name shown as `p_source_label`.
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
fn visibility() -> Dur {
    Dur(300_000)
}
fn remember() -> Dur {
    Dur(3_600_000)
}
fn max_object() -> Size {
    Size(5 << 30)
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

/// Most queues of a source.
const QUEUES_MAX: usize = 64;
/// Most prefixes of a source.
const PREFIXES_MAX: usize = 1000;
/// Most decompressed bytes of an object that may be set: its records are numbered in 32 bits.
const DECODED_MAX: u64 = 4 << 30;

/// Checked settings.
pub(crate) struct Config {
    queues: Vec<String>,
    buckets: Option<Vec<String>>,
    prefixes: Vec<Prefix>,
    access: Access,
    visibility: Duration,
    remember_ms: i64,
    max_object: u64,
    max_record: usize,
    limits: Limits,
}

fn check(s: Settings) -> std::result::Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let (queues, at): (Vec<String>, fn(usize) -> String) = match s.queue {
        OneOrMany::One(q) => (vec![q], |_| "queue".into()),
        OneOrMany::Many(v) => (v, |i| format!("queue[{i}]")),
    };
    if queues.is_empty() || queues.len() > QUEUES_MAX {
        problems.push(Problem::at("queue", format!("name 1 to {QUEUES_MAX} queues")));
    }
    for (i, q) in queues.iter().enumerate() {
        if !(q.starts_with("https://") || q.starts_with("http://")) {
            let p = Problem::at(&at(i), format!("`{q}` is not the URL of a queue"));
            problems.push(p.hint("https://sqs.<region>.amazonaws.com/<account>/<name>"));
        } else if queues[..i].contains(q) {
            problems.push(Problem::at(&at(i), "the queue is named twice"));
        }
    }
    if let Some(arn) = &s.role_arn
        && !arn.starts_with("arn:")
    {
        problems
            .push(Problem::at("role_arn", format!("`{arn}` is not an ARN")).hint("arn:aws:iam::<account>:role/<name>"));
    }
    if s.external_id.is_some() && s.role_arn.is_none() {
        problems.push(Problem::at("external_id", "it is only used with role_arn"));
    }
    if let Some(e) = &s.endpoint
        && !(e.starts_with("http://") || e.starts_with("https://"))
    {
        problems.push(Problem::at("endpoint", format!("`{e}` does not begin with http:// or https://")));
    }
    let mut range = |name: &str, fits: bool, what: String, hint: &str| {
        if !fits {
            problems.push(Problem::at(name, format!("{what} is out of range")).hint(hint));
        }
    };
    let bounds = 10_000..=43_200_000;
    range("visibility", bounds.contains(&s.visibility.0), s.visibility.to_string(), "between 10s and 12h");
    range("remember", s.remember.0 >= s.visibility.0, s.remember.to_string(), "not less than visibility");
    range("max_object", s.max_object.0 > 0, s.max_object.to_string(), "above zero");
    range("max_line", stream::MAX_RECORD.contains(&s.max_line.0), s.max_line.to_string(), "between 64B and 64MiB");
    range("max_ratio", s.max_ratio > 0, s.max_ratio.to_string(), "above zero");
    range("max_decoded", (1..=DECODED_MAX).contains(&s.max_decoded.0), s.max_decoded.to_string(), "at most 4GiB");
    let prefixes = check_prefixes(s.prefix, s.stream, s.array_field, s.label, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let role = s.role_arn.map(|arn| Role { arn, external_id: s.external_id });
    Ok(Config {
        queues,
        buckets: s.buckets,
        prefixes,
        access: Access { region: s.region, endpoint: s.endpoint, role, ..Access::default() },
        visibility: Duration::from_millis(s.visibility.0),
        remember_ms: s.remember.0 as i64,
        max_object: s.max_object.0,
        max_record: s.max_line.0 as usize,
        limits: Limits { ratio: s.max_ratio, decoded: s.max_decoded.0 },
    })
}

fn check_prefixes(
    given: Vec<PrefixSettings>,
    stream: Stream,
    array: Option<String>,
    label: Option<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Prefix> {
    if given.len() > PREFIXES_MAX {
        problems.push(Problem::at("prefix", format!("more than {PREFIXES_MAX} prefixes")));
    }
    let mut path = |at: &str, text: Option<&String>, stream: Stream| {
        let Some(text) = text else { return Path::default() };
        if stream != Stream::JsonArray {
            let p = Problem::at(at, "it is only used by one stream");
            problems.push(p.hint("set stream = \"json_array\""));
        }
        stream::array_path(text).unwrap_or_else(|e| {
            problems.push(Problem::at(at, e));
            Path::default()
        })
    };
    let label = label.map(Arc::from);
    let common = Form { stream, array: path("array_field", array.as_ref(), stream), label: label.clone() };
    if given.is_empty() {
        return vec![Prefix { prefix: String::new(), exclude: Vec::new(), form: common }];
    }
    let form = |(i, p): (usize, PrefixSettings)| {
        let own = p.stream.unwrap_or(stream);
        let array = match (&p.array_field, p.stream) {
            (None, None) => common.array.clone(),
            (text, _) => path(&format!("prefix[{i}].array_field"), text.as_ref(), own),
        };
        let label = p.label.map(Arc::from).or(label.clone());
        Prefix { prefix: p.prefix, exclude: p.exclude, form: Form { stream: own, array, label } }
    };
    given.into_iter().enumerate().map(form).collect()
}

impl Part for S3Part {
    fn spec(&self) -> Spec {
        Spec::source("s3", "Reads objects of S3 buckets as notifications in SQS queues announce them, exactly once.")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings).map_err(|e| vec![Problem::at("", e.to_string())]).and_then(check) {
            Ok(config) => Opened::ok(S3Node(Arc::new(config))),
            Err(problems) => Opened::failed(problems),
        }
    }
}

struct S3Node(Arc<Config>);

impl Node for S3Node {
    fn summary(&self) -> String {
        self.0.queues.join(", ")
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let clients = Arc::new(Clients::new(self.0.access.clone()));
        let source = ObjectSource::new(cx.id.clone(), self.0.clone(), clients.clone(), cx.once);
        let config = self.0.clone();
        let readers = move || -> Result<Box<dyn model::Reader>> {
            Ok(Box::new(ObjectReader::new(config.clone(), clients.clone())))
        };
        Ok(Built::Source(Box::new(source), Box::new(readers)))
    }
}

#[cfg(test)]
mod tests;
