//! What a check has to say: where, what, and what to do about it.
//!
//! A check never stops at its first finding. Findings are collected in [`Findings`], which also owns the texts they
//! point into and the secrets that must not appear in them.
use crate::text::{Place, Texts};
use model::Files;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Most findings in one report; more are counted, not listed.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Widest part of a line that is shown, in characters.
const LINE_SHOWN: usize = 160;
/// Secrets shorter than this (bytes) are not searched for in messages: they would be found in every word.
const SECRET_MIN: usize = 3;

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// File, relative to the topology's folder.
    pub file: String,
    /// Line from 1; 0 if the finding is about the file as a whole.
    pub line: u32,
    /// Column in characters from 1; 0 with `line` 0.
    pub col: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// A warning does not stop a run.
    pub warning: bool,
    /// The line, as written.
    pub source_line: String,
    /// Width of the caret in characters.
    pub len: u32,
    /// Node it is about.
    pub node: Option<String>,
}

impl Diagnostic {
    /// Text for people: place and message, the line, a caret under it, the hint. Ends with a newline.
    ///
    /// ```text
    /// topology.toml:12:8: error: `file` has no setting `pth`
    ///    | pth = "in.log"
    ///    | ^^^
    ///    = help: did you mean `path`?
    /// ```
    pub fn render(&self, color: bool) -> String {
        let paint = |code: &str, s: &str| if color { format!("\x1b[{code}m{s}\x1b[0m") } else { s.to_string() };
        let (word, code) = if self.warning { ("warning", "1;33") } else { ("error", "1;31") };
        let mut out = match self.line {
            0 => format!("{}: ", plain(&self.file)),
            _ => format!("{}:{}:{}: ", plain(&self.file), self.line, self.col),
        };
        let _ = writeln!(out, "{}: {}", paint(code, word), paint("1", &plain(&self.message)));
        let bar = paint("1;34", "   |");
        if self.line > 0 && !self.source_line.trim().is_empty() {
            let (line, pad, len) = self.excerpt();
            let _ = writeln!(out, "{bar} {line}");
            let _ = writeln!(out, "{bar} {pad}{}", paint(code, &"^".repeat(len)));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{} help: {}", paint("1;34", "   ="), plain(hint));
        }
        out
    }
    /// Part of the line around the caret, the space before the caret (tabs kept), and the caret's width.
    fn excerpt(&self) -> (String, String, usize) {
        let line: Vec<char> = plain(&self.source_line).chars().collect();
        let at = (self.col.saturating_sub(1) as usize).min(line.len());
        let from = if at > LINE_SHOWN / 2 && line.len() > LINE_SHOWN { at - LINE_SHOWN / 2 } else { 0 };
        let to = line.len().min(from + LINE_SHOWN);
        let pad = line[from..at].iter().map(|c| if *c == '\t' { '\t' } else { ' ' }).collect();
        (line[from..to].iter().collect(), pad, (self.len as usize).min((to - at).max(1)).max(1))
    }
}

/// A text without characters that could move a terminal's cursor.
fn plain(s: &str) -> String {
    s.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Adds to a finding that was just made.
pub(crate) struct Found<'a>(&'a mut Diagnostic);

impl Found<'_> {
    /// Say what to do.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.maybe_hint(Some(hint.into()))
    }
    /// Say what to do, if known.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.0.hint = hint;
        }
        self
    }
    /// Say which node it is about.
    pub fn node(self, id: &str) -> Self {
        self.0.node = Some(id.into());
        self
    }
    /// A warning instead of an error.
    pub fn warn(self) -> Self {
        self.0.warning = true;
        self
    }
}

/// Findings so far, with the texts they are about.
#[derive(Default)]
pub(crate) struct Findings {
    /// Files read.
    pub texts: Texts,
    list: Vec<Diagnostic>,
    /// `(value, text that stands for it)`.
    secrets: Vec<(String, String)>,
    /// Lines of content files that were already looked up.
    contents: BTreeMap<String, Option<Arc<[u8]>>>,
}

impl Findings {
    /// Report an error at a place.
    pub fn error(&mut self, place: &Place, message: impl Into<String>) -> Found<'_> {
        let file = self.texts.name(place.file).to_string();
        let (line, col, len, source_line) = match self.texts.position(place) {
            Some(p) => (p.line, p.col, p.len, p.text),
            None => (0, 0, 0, String::new()),
        };
        self.push(file, line, col, len, source_line, message.into())
    }
    /// Report an error about a file as a whole.
    pub fn error_in(&mut self, file: &str, message: impl Into<String>) -> Found<'_> {
        self.push(file.into(), 0, 0, 0, String::new(), message.into())
    }
    /// Report an error in a content file (rules, schemas, tables); its line is shown if it can be read.
    pub fn error_at(&mut self, files: &dyn Files, at: (&str, u32, u32), message: impl Into<String>) -> Found<'_> {
        let (file, line, col) = at;
        let bytes = self.contents.entry(file.into()).or_insert_with(|| files.read(file).ok());
        let text = bytes.as_deref().and_then(|b| b.split(|c| *c == b'\n').nth((line as usize).checked_sub(1)?));
        let text = text.map(|t| String::from_utf8_lossy(t).trim_end_matches('\r').to_string()).unwrap_or_default();
        let word = text.chars().skip(col.saturating_sub(1) as usize);
        let len = word.take_while(|c| c.is_alphanumeric() || "_-.".contains(*c)).count().max(1);
        self.push(file.into(), line, col, len as u32, text, message.into())
    }
    fn push(&mut self, file: String, line: u32, col: u32, len: u32, source_line: String, message: String) -> Found<'_> {
        let d = Diagnostic { file, line, col, message, hint: None, warning: false, source_line, len, node: None };
        self.list.push(d);
        let last = self.list.len() - 1;
        Found(&mut self.list[last])
    }
    /// From now on `value` never shows; `shown` stands for it.
    pub fn keep_secret(&mut self, value: &str, shown: &str) {
        if value.len() >= SECRET_MIN && !self.secrets.iter().any(|(v, _)| v == value) {
            self.secrets.push((value.into(), shown.into()));
            // Longest first: a secret that contains another one is taken out whole.
            self.secrets.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        }
    }
    /// `text` without secrets.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_string(), |t, (value, shown)| t.replace(value, shown))
    }
    /// True if something stops a run.
    pub fn failed(&self) -> bool {
        self.list.iter().any(|d| !d.warning)
    }
    /// The report: errors first, the entry file first, then by place; at most [`DIAGNOSTICS_MAX`] and a count.
    pub fn finish(mut self, entry: &str) -> Vec<Diagnostic> {
        let mut list = std::mem::take(&mut self.list);
        if !self.secrets.is_empty() {
            for d in &mut list {
                d.message = self.redact(&d.message);
                d.hint = d.hint.as_deref().map(|h| self.redact(h));
                d.file = self.redact(&d.file);
                d.source_line = self.redact(&d.source_line);
            }
        }
        let key = |d: &Diagnostic| (d.warning, d.file != entry, d.file.clone(), d.line, d.col, d.message.clone());
        list.sort_by_cached_key(key);
        list.dedup();
        if list.len() > DIAGNOSTICS_MAX {
            let rest = list.split_off(DIAGNOSTICS_MAX);
            let warning = rest.iter().all(|d| d.warning);
            self.error_in(entry, format!("… and {} more", rest.len()));
            list.append(&mut self.list);
            list[DIAGNOSTICS_MAX].warning = warning;
        }
        list
    }
}

/// The name nearest to a misspelt one, if one is near enough to be meant: a few letters off, or begun.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    let limit = (letters / 3).clamp(1, 4).min(letters.saturating_sub(1));
    let off = |n: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &n.to_lowercase());
    let close = |n: &&str| off(n) <= limit || letters >= 3 && n.starts_with(word);
    names.into_iter().filter(close).min_by_key(|n| (off(n), *n))
}

/// `did you mean …?`, else the list of what there is.
pub(crate) fn suggest<'a>(word: &str, names: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> Option<String> {
    if let Some(n) = nearest(word, names.clone()) {
        return Some(format!("did you mean `{n}`?"));
    }
    let list = listed(names);
    (!list.is_empty()).then(|| format!("{what}: {list}"))
}

/// Most names in a list within a message.
const LISTED_MAX: usize = 24;

/// `` `a`, `b`, `c` ``.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match all.len() {
        n if n > LISTED_MAX => format!("{}, … ({} in all)", all[..LISTED_MAX].join(", "), n),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_place_line_caret_and_hint() {
        let mut f = Findings::default();
        let file = f.texts.add("t.toml", "\tpth = 1\n".into());
        f.error(&Place { file, span: 1..4 }, "no such setting").hint("did you mean `path`?");
        f.error_in("t.toml", "empty").warn();
        let list = f.finish("t.toml");
        let text = "t.toml:1:2: error: no such setting\n   | \tpth = 1\n   | \t^^^\n   = help: did you mean `path`?\n";
        assert_eq!(list[0].render(false), text);
        assert_eq!(list[1].render(false), "t.toml: warning: empty\n");
        assert!(list[0].render(true).contains("\x1b[1;31merror\x1b[0m"));
    }

    #[test]
    fn a_hostile_or_endless_line_cannot_hurt_a_terminal() {
        let d = Diagnostic {
            file: "a\x1b[2J".into(),
            line: 1,
            col: 5_000,
            message: "x".into(),
            hint: None,
            warning: false,
            source_line: "é\x07".repeat(9_000),
            len: 9_999,
            node: None,
        };
        let text = d.render(false);
        assert!(!text.contains('\x1b') && !text.contains('\x07'));
        assert!(text.lines().all(|l| l.chars().count() < 200), "{text}");
    }

    #[test]
    fn lists_at_most_the_limit_and_counts_the_rest() {
        for n in [DIAGNOSTICS_MAX, DIAGNOSTICS_MAX + 1, DIAGNOSTICS_MAX * 3] {
            let mut f = Findings::default();
            for i in 0..n {
                f.error_in("t", format!("{i:05}"));
            }
            let list = f.finish("t");
            match n {
                DIAGNOSTICS_MAX => assert_eq!(list.len(), n),
                _ => {
                    assert_eq!(list.len(), DIAGNOSTICS_MAX + 1);
                    assert_eq!(list[DIAGNOSTICS_MAX].message, format!("… and {} more", n - DIAGNOSTICS_MAX));
                }
            }
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let mut f = Findings::default();
        f.keep_secret("hunter2", "SECRET[env.PW]");
        f.keep_secret("hunter2long", "SECRET[env.LONG]");
        f.error_in("t", "bad `hunter2long` and hunter2").hint("not hunter2");
        let d = f.finish("t").remove(0);
        assert_eq!(d.message, "bad `SECRET[env.LONG]` and SECRET[env.PW]");
        assert_eq!(d.hint.as_deref(), Some("not SECRET[env.PW]"));
    }

    #[test]
    fn finds_the_name_that_was_meant() {
        let names = ["path", "fields", "release", "limit"];
        assert_eq!(nearest("pth", names), Some("path"));
        assert_eq!(nearest("relase", names), Some("release"));
        assert_eq!(nearest("rel", names), Some("release"));
        assert_eq!(nearest("quite_other", names), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(suggest("zzz", ["a", "b"], "known").as_deref(), Some("known: `a`, `b`"));
    }
}
