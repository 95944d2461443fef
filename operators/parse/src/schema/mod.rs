//! The schema of a log type: what its fields are called, which type they have, how they are read.
//!
//! Written as YAML in the language of functional spec §1.6 (types, indicators, validation, time formats, embedded
//! JSON, references), §1.7 (parsers) and §1.8 (transformations). [`load`] checks a file whole and reports everything
//! it finds; what it returns has no reference left to resolve and no name left to look up.
mod load;
mod locate;
mod options;

pub use load::load;

use crate::indicator::Scanner;
use crate::mask::Mask;
use crate::text::Parser;
use crate::validate::Validate;
use model::event::FieldType;
use model::path::{Path, Seg};
use model::time::TimeFormat;
use std::sync::Arc;

/// Deepest nesting of objects and arrays in a schema.
pub const MAX_NESTING: usize = 64;
/// Most field and element specs of one schema after references are resolved.
pub const MAX_SPECS: usize = 10_000;

/// A checked schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Log type, e.g. `AWS.CloudTrail`.
    pub name: Arc<str>,
    /// Revision, `p_schema_version`.
    pub revision: u32,
    /// What the log type is.
    pub description: String,
    /// Where its producer documents it.
    pub reference_url: String,
    /// How a record becomes fields.
    pub parser: Parser,
    /// The fields, in order.
    pub fields: Vec<Field>,
    /// Members of objects under these keys count as members of the record (JSON), where it has none of that name.
    pub inline: Vec<Arc<str>>,
}

/// A named field of an event or of an object in it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in the event.
    pub name: Arc<str>,
    /// Type and rules of its value.
    pub spec: Spec,
    /// Missing or null: the record is not of this log type.
    pub required: bool,
    /// For people.
    pub description: String,
    /// Where its value comes from.
    pub source: Source,
    /// All names that its input key has, if there are several: the last that a record has gives the value.
    pub aliases: Vec<Arc<str>>,
    /// How its value is hidden.
    pub mask: Option<Mask>,
}

/// Where the value of a field comes from. Steps run in this order, and each sees the results of those before it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The input key of this name: the field's own, or that of `rename.from`.
    Key(Arc<str>),
    /// Another value of the input (`copy`).
    Copy(Path),
    /// Several values as text, joined (`concat`). Values that are missing are left out.
    Concat(Vec<Fetch>, Arc<str>),
    /// One part of another value (`split`). No such part, no value.
    Split {
        /// Value to split.
        from: Fetch,
        /// Text between the parts.
        separator: Arc<str>,
        /// Which part, from 0; negative counts from the end.
        index: i64,
    },
}

/// A value a transformation reads: a path in the input, renames and copies already followed, or the result of an
/// earlier step.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetch {
    /// A path of the input.
    Input(Path),
    /// The result of another top-level field's `concat`.
    Field(usize),
}

/// Type and rules of a value.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The type.
    pub kind: Kind,
    /// Scanners of an indicator (strings).
    pub indicators: Vec<Scanner>,
    /// Scanners of indicators inside free JSON, by path below it.
    pub inside: Vec<(Path, Vec<Scanner>)>,
    /// Further condition (strings).
    pub validate: Option<Arc<Validate>>,
    /// The value is a string that holds JSON.
    pub embedded: bool,
    /// A candidate for `p_event_time`.
    pub event_time: bool,
    /// A lookup table's row expires then.
    pub expiration: bool,
}

/// Type of a value.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text; numbers and booleans are taken as text.
    String,
    /// 16-bit integer.
    SmallInt,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    BigInt,
    /// 64-bit float.
    Float,
    /// Boolean.
    Boolean,
    /// A point in time.
    Timestamp(TimeFormat),
    /// Known keys.
    Object(Vec<Field>),
    /// Elements of one type.
    Array(Box<Spec>),
    /// Any JSON, as it is.
    Json,
}

impl Kind {
    /// Name in the schema language.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::SmallInt => "smallint",
            Kind::Int => "int",
            Kind::BigInt => "bigint",
            Kind::Float => "float",
            Kind::Boolean => "boolean",
            Kind::Timestamp(_) => "timestamp",
            Kind::Object(_) => "object",
            Kind::Array(_) => "array",
            Kind::Json => "json",
        }
    }

    /// Objects, arrays and free JSON.
    pub fn is_container(&self) -> bool {
        matches!(self, Kind::Object(_) | Kind::Array(_) | Kind::Json)
    }

    /// As the lake stores it.
    pub fn field_type(&self) -> FieldType {
        match self {
            Kind::String => FieldType::String,
            Kind::SmallInt => FieldType::SmallInt,
            Kind::Int => FieldType::Int,
            Kind::BigInt => FieldType::BigInt,
            Kind::Float => FieldType::Float,
            Kind::Boolean => FieldType::Boolean,
            Kind::Timestamp(f) => FieldType::Timestamp(f.clone()),
            Kind::Object(_) | Kind::Array(_) | Kind::Json => FieldType::Json,
        }
    }
}

impl Spec {
    /// A type without further rules.
    pub fn of(kind: Kind) -> Spec {
        Spec {
            kind,
            indicators: Vec::new(),
            inside: Vec::new(),
            validate: None,
            embedded: false,
            event_time: false,
            expiration: false,
        }
    }

    /// True if a value in here is not in the event as it is in the input: renamed, masked or unpacked. The raw text
    /// of the container must not stand for its value then.
    pub fn rewrites(&self) -> bool {
        self.embedded
            || match &self.kind {
                Kind::Object(fields) => fields
                    .iter()
                    .any(|f| f.mask.is_some() || f.source != Source::Key(f.name.clone()) || f.spec.rewrites()),
                Kind::Array(e) => e.rewrites(),
                _ => false,
            }
    }

    /// The spec at a path below this one; `None` if the schema has nothing there. Free JSON has itself everywhere.
    pub fn at<'a>(&'a self, path: &[Seg]) -> Option<&'a Spec> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match (&self.kind, first) {
            (Kind::Json, _) => Some(self),
            (Kind::Object(fields), Seg::Key(k)) => fields.iter().find(|f| f.name == *k)?.spec.at(rest),
            (Kind::Array(e), Seg::Index(_) | Seg::Each) => e.at(rest),
            _ => None,
        }
    }
}

impl Schema {
    /// Index of a top-level field.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| &*f.name == name)
    }

    /// The fields as columns that others store.
    pub fn event_fields(&self) -> Vec<model::event::Field> {
        let quoted = matches!(self.parser, Parser::Text(_));
        let field = |(f, slot): (&Field, u32)| model::event::Field {
            name: f.name.clone(),
            ty: f.spec.kind.field_type(),
            slot,
            quoted,
        };
        self.fields.iter().zip(0..).map(field).collect()
    }

    /// Table name: lower case, dots to underscores.
    pub fn table(&self) -> String {
        self.name.to_lowercase().replace('.', "_")
    }

    /// Event time candidates in schema order: plain paths through objects.
    pub fn event_times(&self) -> Vec<(Path, TimeFormat)> {
        fn go(fields: &[Field], at: &mut Vec<Seg>, out: &mut Vec<(Path, TimeFormat)>) {
            for f in fields {
                at.push(Seg::Key(f.name.clone()));
                match &f.spec.kind {
                    Kind::Timestamp(t) if f.spec.event_time => out.push((Path(at.clone()), t.clone())),
                    Kind::Object(inner) => go(inner, at, out),
                    _ => {}
                }
                at.pop();
            }
        }
        let mut out = Vec::new();
        go(&self.fields, &mut Vec::new(), &mut out);
        out
    }

    /// True for the log types of AWS, whose free JSON is searched for indicators (functional spec §2.3).
    pub fn is_aws(&self) -> bool {
        self.name.starts_with("AWS.") || self.name.starts_with("Amazon.")
    }

    /// Indicator sources: paths (with `[*]` for array elements) and what to do with the value there.
    pub fn indicators(&self) -> Vec<(Path, Scan)> {
        fn go(spec: &Spec, aws: bool, at: &mut Vec<Seg>, out: &mut Vec<(Path, Scan)>) {
            match &spec.kind {
                Kind::Object(fields) => {
                    for f in fields {
                        at.push(Seg::Key(f.name.clone()));
                        go(&f.spec, aws, at, out);
                        at.pop();
                    }
                }
                Kind::Array(e) => {
                    at.push(Seg::Each);
                    go(e, aws, at, out);
                    at.pop();
                }
                Kind::Json if !spec.inside.is_empty() => {
                    for (path, scanners) in &spec.inside {
                        let whole = at.iter().chain(&path.0).cloned().collect();
                        out.push((Path(whole), Scan::With(scanners.clone())));
                    }
                }
                Kind::Json if aws => out.push((Path(at.clone()), Scan::Aws)),
                _ if !spec.indicators.is_empty() => out.push((Path(at.clone()), Scan::With(spec.indicators.clone()))),
                _ => {}
            }
        }
        let mut out = Vec::new();
        for f in &self.fields {
            go(&f.spec, self.is_aws(), &mut vec![Seg::Key(f.name.clone())], &mut out);
        }
        out
    }
}

/// What to do with an indicator source.
#[derive(Clone, Debug, PartialEq)]
pub enum Scan {
    /// Run these scanners over the string.
    With(Vec<Scanner>),
    /// Search the JSON for AWS indicators.
    Aws,
}

#[cfg(test)]
mod tests;
