//! What is found out about a Sigma document, and where in its file.
use crate::meta::yaml;
use model::path::Seg;
use model::{Path, Problem};
use serde::Serialize;

/// What a finding means for the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is against the specification: a mistake.
    Broken,
    /// It is understood, but not run here.
    Unsupported,
    /// It is run, but something is probably not meant so.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    pub kind: Kind,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column, from 1.
    pub col: u32,
    /// What is the matter; findings of one cause have one text.
    pub reason: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// As a finding of a topology's check.
    pub fn problem(&self, setting: &str, file: &str) -> Problem {
        let message = match self.kind {
            Kind::Unsupported => format!("this Sigma rule is not loaded: {}", self.reason),
            _ => self.reason.clone(),
        };
        let p = Problem::at(setting, message).in_file(file, self.line, self.col);
        let p = if self.kind == Kind::Broken { p } else { p.warn() };
        match &self.hint {
            Some(hint) => p.hint(hint.clone()),
            None => p,
        }
    }
}

/// Collects findings while a document is read; a finding stands at the path that is being read.
#[derive(Default)]
pub struct Found {
    at: Vec<Seg>,
    list: Vec<(Vec<Seg>, Kind, String, Option<String>)>,
}

impl Found {
    /// Read something below a key or an item.
    pub fn inside<T>(&mut self, seg: Seg, read: impl FnOnce(&mut Found) -> T) -> T {
        self.at.push(seg);
        let out = read(self);
        self.at.pop();
        out
    }

    /// Read what stands at a key.
    pub fn at_key<T>(&mut self, key: &str, read: impl FnOnce(&mut Found) -> T) -> T {
        self.inside(Seg::Key(key.into()), read)
    }

    /// A mistake.
    pub fn broken(&mut self, reason: impl Into<String>, hint: &str) {
        self.add(Kind::Broken, reason.into(), hint);
    }

    /// Something that is not run.
    pub fn unsupported(&mut self, reason: impl Into<String>, hint: &str) {
        self.add(Kind::Unsupported, reason.into(), hint);
    }

    /// Something suspicious.
    pub fn warning(&mut self, reason: impl Into<String>, hint: &str) {
        self.add(Kind::Warning, reason.into(), hint);
    }

    fn add(&mut self, kind: Kind, reason: String, hint: &str) {
        self.list.push((self.at.clone(), kind, reason, (!hint.is_empty()).then(|| hint.to_string())));
    }

    /// True if something keeps the document from being run.
    pub fn stops(&self) -> bool {
        self.list.iter().any(|(_, kind, ..)| *kind != Kind::Warning)
    }

    /// The findings with their places, given the text and the lines in front of it. Mistakes name their path.
    pub fn placed(self, text: &str, lines_before: u32) -> Vec<Finding> {
        let place = |(at, kind, reason, hint): (Vec<Seg>, Kind, String, Option<String>)| {
            let (line, col) = yaml::locate(text, &at);
            let reason = match kind {
                Kind::Broken if !at.is_empty() => format!("`{}`: {reason}", Path(at)),
                _ => reason,
            };
            Finding { kind, line: line + lines_before, col, reason, hint }
        };
        self.list.into_iter().map(place).collect()
    }
}
