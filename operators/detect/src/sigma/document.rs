//! The documents of a file, and what each of them is.
//!
//! A mapping with `detection:` is a rule, one with `filter:` a filter, one with `correlation:` a correlation; the keys are
//! in small letters, so a detection of this product (`Detection:`, `AnalysisType:`) is none of them.
use super::What;
use super::correlation::{self, SigmaCorrelation};
use super::filter::{self, Filter};
use super::finding::{Finding, Found, Kind};
use super::mapping::{LogSource, Mappings};
use super::rule::{self, SigmaRule};
use crate::meta::yaml;
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// Most documents of a file.
pub const MAX_DOCUMENTS: usize = 10_000;

/// A document that was read.
#[derive(Debug)]
pub struct Document {
    /// Setting under which its file was named.
    pub setting: String,
    /// Its file.
    pub file: String,
    /// Line at which it begins.
    pub line: u32,
    /// Line of its log source.
    pub logsource_line: u32,
    /// What it is.
    pub what: What,
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its log source.
    pub logsource: Option<LogSource>,
    /// What it says.
    pub content: Content,
    /// Its text.
    pub text: Arc<str>,
    /// What was found out so far.
    pub findings: Vec<Finding>,
}

impl Document {
    /// In a file with a collection of Sigma 1, what a document is depends on those before it.
    fn give_up(&mut self) {
        self.what = What::Rule;
        self.content = Content::Nothing;
        let reason = "`action`, a collection of Sigma 1".into();
        let hint = Some("write each rule out".into());
        self.findings = vec![Finding { kind: Kind::Unsupported, line: self.line, col: 1, reason, hint }];
    }
}

/// What a document says.
#[derive(Debug)]
pub enum Content {
    /// A rule without mistakes.
    Rule(Box<SigmaRule>),
    /// A filter without mistakes.
    Filter(Box<Filter>),
    /// A correlation without mistakes.
    Correlation(Box<SigmaCorrelation>),
    /// Anything else; the findings say what.
    Nothing,
}

/// The documents of a file; `None` if none of them is Sigma's.
pub fn read(setting: &str, file: &str, text: &str, mappings: &Mappings) -> Option<Vec<Document>> {
    if !looks_like_sigma(text) {
        return None;
    }
    let parts = split(text);
    let mut out: Vec<Document> =
        parts.iter().take(MAX_DOCUMENTS).map(|(line, text)| document(setting, file, *line, text, mappings)).collect();
    if out.iter().any(|d| d.what == What::Collection) {
        out.iter_mut().for_each(Document::give_up);
    }
    if let (true, Some(last)) = (parts.len() > MAX_DOCUMENTS, out.last_mut()) {
        let reason = format!("the file has more than {MAX_DOCUMENTS} documents");
        last.findings.push(Finding { kind: Kind::Broken, line: last.line, col: 1, reason, hint: None });
    }
    out.iter().any(|d| d.what != What::Other).then_some(out)
}

/// True if a key of Sigma stands at the start of a line.
fn looks_like_sigma(text: &str) -> bool {
    let key = |l: &str| ["detection:", "filter:", "correlation:", "action:"].iter().any(|k| l.starts_with(k));
    text.lines().any(key)
}

/// Texts between `---`, with the lines before each; those without content are left out.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut out = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker {
            out.push((start_line, &text[start..at]));
            // What stands behind the marker on its line belongs to the new document; it is nearly always a comment.
            (start, start_line) = (at + line.len(), n as u32 + 1);
        }
        at += line.len();
    }
    out.push((start_line, &text[start..]));
    let blank = |l: &str| l.trim().is_empty() || l.trim_start().starts_with('#') || l.trim_end() == "...";
    out.retain(|(_, text)| !text.lines().all(blank));
    out
}

fn document(setting: &str, file: &str, lines_before: u32, text: &str, mappings: &Mappings) -> Document {
    let mut out = Document {
        setting: setting.into(),
        file: file.into(),
        line: lines_before + 1,
        logsource_line: lines_before + 1,
        what: What::Other,
        id: String::new(),
        title: String::new(),
        logsource: None,
        content: Content::Nothing,
        text: text.into(),
        findings: Vec::new(),
    };
    let map = match yaml::parse(text) {
        Ok(J::Object(map)) => map,
        Ok(_) => return out,
        Err(((line, col), e)) => {
            // What it was meant to be can be seen all the same.
            out.what = if looks_like_sigma(text) { What::Rule } else { What::Other };
            let reason = format!("this is not YAML: {e}");
            out.findings.push(Finding { kind: Kind::Broken, line: line + lines_before, col, reason, hint: None });
            return out;
        }
    };
    let lines = |key: &str| text.lines().position(|l| l.starts_with(key)).map_or(0, |n| n as u32);
    out.logsource_line = lines_before + 1 + lines("logsource:");
    out.what = what(&map);
    (out.id, out.title) = rule::identity(&map);
    out.logsource = rule::logsource(map.get("logsource"), &mut Found::default());
    let mut found = Found::default();
    out.content = match out.what {
        What::Rule => rule::rule(&map, &mappings.placeholders, &mut found)
            .map_or(Content::Nothing, |r| Content::Rule(Box::new(r))),
        What::Filter => filter::filter(&map, text, &mappings.placeholders, &mut found)
            .map_or(Content::Nothing, |f| Content::Filter(Box::new(f))),
        What::Correlation => {
            correlation::correlation(&map, &mut found).map_or(Content::Nothing, |c| Content::Correlation(Box::new(c)))
        }
        What::Collection | What::Other => Content::Nothing,
    };
    out.findings = found.placed(text, lines_before);
    out
}

fn what(map: &Map<String, J>) -> What {
    match map {
        m if m.contains_key("AnalysisType") => What::Other,
        m if m.contains_key("action") => What::Collection,
        m if m.contains_key("correlation") => What::Correlation,
        m if m.contains_key("filter") && !m.contains_key("detection") => What::Filter,
        m if m.contains_key("detection") => What::Rule,
        _ => What::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "title: A\nlogsource:\n  product: windows\ndetection:\n  s:\n    a: 1\n  condition: s\n";

    fn docs(text: &str) -> Option<Vec<Document>> {
        read("rules[0]", "f.yml", text, &Mappings::default())
    }

    #[test]
    fn documents_keep_their_lines() {
        let text = format!(
            "# c\n--- # first\n{RULE}---\n\n{RULE}level: hihg\n---\ntitle: C\ncorrelation:\n  type: event_cuont\n...\n"
        );
        let all = docs(&text).unwrap();
        assert_eq!(all.iter().map(|d| d.what).collect::<Vec<_>>(), [What::Rule, What::Rule, What::Correlation]);
        assert_eq!(all.iter().map(|d| (d.line, d.logsource_line)).collect::<Vec<_>>()[0], (3, 4));
        let broken = &all[1].findings[0];
        assert_eq!((broken.kind, broken.line), (Kind::Broken, 19), "{broken:?}");
        let c = &all[2].findings[0];
        assert_eq!((c.kind, c.line, &*c.reason), (Kind::Broken, 23, "`correlation.type`: cannot be `event_cuont`"));
    }

    #[test]
    fn detections_of_this_product_are_not_sigma() {
        assert!(docs("AnalysisType: rule\nDetection:\n  - {Key: a, Condition: Exists}\n").is_none());
        assert!(docs("AnalysisType: rule\ndetection: x\n").is_none());
        assert!(docs("a: 1\n").is_none());
        let old = docs("action: global\ntitle: x\n---\ndetection: {}\n").unwrap();
        assert!(old.len() == 2 && old.iter().all(|d| d.findings.len() == 1 && d.findings[0].kind == Kind::Unsupported));
        assert_eq!(docs("detection: [\n").unwrap()[0].findings[0].kind, Kind::Broken);
    }
}
