//! What of a collection of Sigma rules can be run, and what cannot, with every reason.
use super::document::{self, Document};
use super::finding::{Finding, Kind};
use super::mapping::{LogSource, Mappings};
use super::{Entry, What, finish};
use crate::meta::{MAX_FILE, each, read};
use model::Files;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Examples of one reason that are shown to people.
const EXAMPLES: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// YAML files that were looked at.
    pub files: usize,
    /// Of these, files without anything of Sigma's.
    pub others: usize,
    /// Rules that are run.
    pub supported: usize,
    /// Rules that are understood but not run.
    pub unsupported: usize,
    /// Rules and other documents with mistakes.
    pub broken: usize,
    /// Filters.
    pub filters: usize,
    /// Correlations.
    pub correlations: usize,
    /// Of these, those that are run.
    pub correlations_supported: usize,
    /// Rules by log source.
    pub logsources: Vec<Count>,
    /// Every document.
    pub documents: Vec<Outcome>,
}

/// Rules of one log source.
#[derive(Debug, Serialize)]
pub struct Count {
    /// The log source.
    #[serde(flatten)]
    pub logsource: LogSource,
    /// Rules that are run.
    pub supported: usize,
    /// Rules in all.
    pub rules: usize,
}

/// One document.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its file.
    pub file: String,
    /// Line at which it begins.
    pub line: u32,
    /// What it is.
    pub what: What,
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its log source.
    pub logsource: Option<LogSource>,
    /// Log types whose events it is run on.
    pub log_types: Vec<String>,
    /// What became of it.
    pub outcome: Verdict,
    /// Every finding.
    pub findings: Vec<Finding>,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is run.
    Supported,
    /// It is understood but not run.
    Unsupported,
    /// It has mistakes.
    Broken,
}

/// Look at every YAML file below these paths. The error says what cannot be read.
pub fn survey(files: &dyn Files, paths: &[String], mappings: &Mappings) -> Result<Survey, String> {
    let mut names = Vec::new();
    for path in paths {
        let list = files.list(path).map_err(|e| format!("cannot read `{path}`: {e}"))?;
        names.extend(list.into_iter().filter(|f| f.ends_with(".yml") || f.ends_with(".yaml")));
    }
    names.sort();
    names.dedup();
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let one = |name: &str| -> Result<Option<Vec<Document>>, String> {
        Ok(document::read("", name, &read(files, name, MAX_FILE)?, mappings))
    };
    let (mut documents, mut others, mut unread) = (Vec::new(), 0, Vec::new());
    for (name, got) in refs.iter().zip(each(&refs, one)) {
        match got {
            Ok(Some(mut docs)) => documents.append(&mut docs),
            Ok(None) => others += 1,
            Err(reason) => {
                let finding = Finding { kind: Kind::Broken, line: 1, col: 1, reason, hint: None };
                unread.push(outcome_of(name, vec![finding]));
            }
        }
    }
    let entries = finish(documents, mappings);
    let mut out = count(&entries, names.len(), others);
    out.broken += unread.len();
    out.documents.append(&mut unread);
    Ok(out)
}

fn outcome_of(file: &str, findings: Vec<Finding>) -> Outcome {
    Outcome {
        file: file.into(),
        line: 1,
        what: What::Other,
        id: String::new(),
        title: String::new(),
        logsource: None,
        log_types: Vec::new(),
        outcome: Verdict::Broken,
        findings,
    }
}

fn count(entries: &[Entry], files: usize, others: usize) -> Survey {
    let mut out = Survey {
        files,
        others,
        supported: 0,
        unsupported: 0,
        broken: 0,
        filters: 0,
        correlations: 0,
        correlations_supported: 0,
        logsources: Vec::new(),
        documents: Vec::new(),
    };
    let mut sources: BTreeMap<LogSource, [usize; 2]> = BTreeMap::new();
    for e in entries.iter().filter(|e| e.what != What::Other) {
        let broken = e.findings.iter().any(|f| f.kind == Kind::Broken);
        let verdict = match (broken, e.findings.iter().any(|f| f.kind == Kind::Unsupported)) {
            (true, _) => Verdict::Broken,
            (false, true) => Verdict::Unsupported,
            (false, false) => Verdict::Supported,
        };
        out.broken += usize::from(broken);
        match e.what {
            What::Filter => out.filters += 1,
            What::Correlation => {
                out.correlations += 1;
                out.correlations_supported += usize::from(verdict == Verdict::Supported);
            }
            _ => {
                let of = sources.entry(e.logsource.clone().unwrap_or_default()).or_default();
                of[0] += usize::from(verdict == Verdict::Supported);
                of[1] += 1;
                out.supported += usize::from(verdict == Verdict::Supported);
                out.unsupported += usize::from(verdict == Verdict::Unsupported);
            }
        }
        out.documents.push(Outcome {
            file: e.file.clone(),
            line: e.line,
            what: e.what,
            id: e.id.clone(),
            title: e.title.clone(),
            logsource: e.logsource.clone(),
            log_types: e.rule.iter().flat_map(|r| &r.log_types).map(ToString::to_string).collect(),
            outcome: verdict,
            findings: e.findings.clone(),
        });
    }
    let row = |(logsource, [supported, rules]): (LogSource, [usize; 2])| Count { logsource, supported, rules };
    out.logsources = sources.into_iter().map(row).collect();
    out
}

impl Survey {
    /// For people: rules by log source, then reasons with how often and where first.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let width = self.logsources.iter().map(|c| c.logsource.to_string().len()).max().unwrap_or(0).max(10);
        let _ = writeln!(out, "{:<width$}  {:>9}  {:>5}", "log source", "supported", "rules");
        for c in &self.logsources {
            let _ = writeln!(out, "{:<width$}  {:>9}  {:>5}", c.logsource.to_string(), c.supported, c.rules);
        }
        for (kind, title) in
            [(Kind::Broken, "Broken"), (Kind::Unsupported, "Not supported"), (Kind::Warning, "Probably not meant so")]
        {
            self.reasons(kind, title, &mut out);
        }
        let _ = write!(
            out,
            "\n{} of {} rules are supported, {} are not, {} documents are broken",
            self.supported,
            self.logsources.iter().map(|c| c.rules).sum::<usize>(),
            self.unsupported,
            self.broken
        );
        if self.filters > 0 {
            let _ = write!(out, "; {} filters", self.filters);
        }
        if self.correlations > 0 {
            let _ =
                write!(out, "; {} of {} correlations are supported", self.correlations_supported, self.correlations);
        }
        let _ = writeln!(out, ". {} of {} YAML files hold nothing of Sigma.", self.others, self.files);
        out
    }

    fn reasons(&self, kind: Kind, title: &str, out: &mut String) {
        let mut groups: BTreeMap<&str, Vec<(&Outcome, &Finding)>> = BTreeMap::new();
        for d in &self.documents {
            for f in d.findings.iter().filter(|f| f.kind == kind) {
                groups.entry(&f.reason).or_default().push((d, f));
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
        if !groups.is_empty() {
            let _ = writeln!(out, "\n{title}:");
        }
        // What to do is told at the first reason that it helps with.
        let mut told: Vec<&str> = Vec::new();
        for (reason, list) in groups {
            let _ = writeln!(out, "{:>6}  {reason}", list.len());
            for (d, f) in list.iter().take(EXAMPLES) {
                let _ = writeln!(out, "        {}:{}:{}", d.file, f.line, f.col);
            }
            let hint = list.iter().find_map(|(_, f)| f.hint.as_deref()).filter(|h| !told.contains(h));
            if let Some(hint) = hint {
                told.push(hint);
                let _ = writeln!(out, "        = {hint}");
            }
        }
    }
}
