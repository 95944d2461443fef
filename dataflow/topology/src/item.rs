//! A TOML document as a tree that remembers where each key and value was written.
//!
//! This is a thin layer over `toml`'s spanned tables (which bound the depth of nesting): entries keep the order of the
//! file, and any path of settings (`table[0].file`) can be turned back into a [`Place`].
use crate::diagnostic::Findings;
use crate::text::Place;
use model::path::{Path, Seg};
use toml::de::{DeTable, DeValue};

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub place: Place,
    pub value: Val,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Val {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    Array(Vec<Item>),
    Table(Vec<Entry>),
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub item: Item,
}

/// A step of a path through settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// `table[0].file`; keys that are not plain are quoted.
pub(crate) fn show_path(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Index(i) => out.push_str(&format!("[{i}]")),
            Step::Key(k) => {
                out.push_str(if out.is_empty() { "" } else { "." });
                let plain = !k.is_empty() && k.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
                out.push_str(&if plain { k.clone() } else { format!("\"{k}\"") });
            }
        }
    }
    out
}

/// Reads `table[0].file`. Empty if it makes no sense: the finding then points at the node.
pub(crate) fn read_path(text: &str) -> Vec<Step> {
    let segs = Path::parse(text).map(|p| p.0).unwrap_or_default();
    segs.into_iter()
        .map_while(|s| match s {
            Seg::Key(k) => Some(Step::Key(k.to_string())),
            Seg::Index(i) => usize::try_from(i).ok().map(Step::Index),
            Seg::Each => None,
        })
        .collect()
}

impl Item {
    /// What people call this type.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Val::Str(_) => "a string",
            Val::Int(_) => "an integer",
            Val::Float(_) => "a number",
            Val::Bool(_) => "a boolean",
            Val::Date(_) => "a date",
            Val::Array(_) => "an array",
            Val::Table(_) => "a table",
        }
    }
    /// Entries, if it is a table.
    pub fn table(&self) -> Option<&[Entry]> {
        match &self.value {
            Val::Table(t) => Some(t),
            _ => None,
        }
    }
    /// Entry of a table.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.table()?.iter().find(|e| e.key == key)
    }
    /// Place of a value, or of the nearest thing around it that was written. With `key`, the place of its key.
    pub fn place_of(&self, path: &[Step], key: bool) -> Place {
        let Some((step, rest)) = path.split_first() else { return self.place.clone() };
        match (step, &self.value) {
            (Step::Index(i), Val::Array(a)) if *i < a.len() => a[*i].place_of(rest, key),
            (Step::Key(_), Val::Table(_)) => match self.longest_key(path) {
                Some((e, [])) if key => e.key_place.clone(),
                Some((e, rest)) => e.item.place_of(rest, key),
                None => self.place.clone(),
            },
            _ => self.place.clone(),
        }
    }
    /// Entry named by the first steps of a path, and the rest of it. A key with dots may come as several steps
    /// (`selectors.AWS.CloudTrail`), since that is how people write paths.
    fn longest_key<'a, 'p>(&'a self, path: &'p [Step]) -> Option<(&'a Entry, &'p [Step])> {
        let (mut name, mut found) = (String::new(), None);
        for (n, step) in path.iter().enumerate() {
            let Step::Key(k) = step else { break };
            name.push_str(if n > 0 { "." } else { "" });
            name.push_str(k);
            if let Some(e) = self.entry(&name) {
                found = Some((e, &path[n + 1..]));
            }
        }
        found
    }
}

/// Parse a file that is already among the texts. Reports every syntax error; true if there were none.
pub(crate) fn parse(file: usize, findings: &mut Findings) -> (Vec<Entry>, bool) {
    let text = findings.texts.text(file).to_string();
    let (table, errors) = DeTable::parse_recoverable(&text);
    for e in &errors {
        let Some(span) = e.span() else {
            let name = findings.texts.name(file).to_string();
            findings.error_in(&name, format!("TOML: {}", e.message()));
            continue;
        };
        let message = match (e.message(), text.get(span.clone())) {
            ("duplicate key", Some(key)) => format!("`{key}` is written twice"),
            (m, _) => format!("TOML: {m}"),
        };
        findings.error(&Place { file, span }, message);
    }
    let known = errors.is_empty();
    let mut build = Build { file, findings, ok: true };
    let entries = build.table(table.get_ref());
    let ok = build.ok;
    (entries, known && ok)
}

/// Copies `toml`'s tree, reporting numbers that do not fit.
struct Build<'a> {
    file: usize,
    findings: &'a mut Findings,
    ok: bool,
}

impl Build<'_> {
    fn table(&mut self, t: &DeTable<'_>) -> Vec<Entry> {
        let mut out: Vec<Entry> = Vec::with_capacity(t.len());
        for (k, v) in t.iter() {
            let key_place = Place { file: self.file, span: k.span() };
            let item = self.item(v.get_ref(), Place { file: self.file, span: v.span() });
            out.push(Entry { key: k.get_ref().to_string(), key_place, item });
        }
        out.sort_by_key(|e| e.key_place.span.start);
        out
    }
    fn item(&mut self, v: &DeValue<'_>, place: Place) -> Item {
        let value = match v {
            DeValue::String(s) => Val::Str(s.to_string()),
            DeValue::Boolean(b) => Val::Bool(*b),
            DeValue::Datetime(d) => Val::Date(d.to_string()),
            DeValue::Integer(i) => Val::Int(i64::from_str_radix(i.as_str(), i.radix()).unwrap_or_else(|_| {
                self.bad(&place, "the integer does not fit into 64 bits");
                0
            })),
            DeValue::Float(f) => match f.as_str().parse::<f64>() {
                Ok(f) if f.is_finite() => Val::Float(f),
                _ => {
                    self.bad(&place, "the number is not finite");
                    Val::Float(0.0)
                }
            },
            DeValue::Array(a) => Val::Array(
                a.iter().map(|v| self.item(v.get_ref(), Place { file: self.file, span: v.span() })).collect(),
            ),
            DeValue::Table(t) => Val::Table(self.table(t)),
        };
        Item { place, value }
    }
    fn bad(&mut self, place: &Place, message: &str) {
        self.ok = false;
        self.findings.error(place, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> (Item, Findings) {
        let mut f = Findings::default();
        let file = f.texts.add("t.toml", text.into());
        let (entries, ok) = parse(file, &mut f);
        assert!(ok, "{text}");
        (Item { place: Place { file, span: 0..0 }, value: Val::Table(entries) }, f)
    }

    #[test]
    fn finds_places_however_a_thing_was_written() {
        let (t, f) = item(concat!(
            "a.b.c = [10, 20,\n  30]\n",
            "inline = { x = 1, \"y.z\" = [true] }\n",
            "[head.er]\nk = 'v'\n",
            "[[head.er.list]]\nn = 1\n[[head.er.list]]\nn = 2\n",
        ));
        let at = |p: &str, key| f.texts.at(&t.place_of(&read_path(p), key));
        assert_eq!(at("a.b.c[2]", false), "t.toml:2:3");
        assert_eq!(at("a.b.c", true), "t.toml:1:5");
        assert_eq!(at("inline.y.z[0]", false), "t.toml:3:28");
        assert_eq!(at("inline.\"y.z\"[7]", false), "t.toml:3:27");
        assert_eq!(at("head.er", false), "t.toml:4:1");
        assert_eq!(at("head.er.k", false), "t.toml:5:5");
        assert_eq!(at("head.er.list[1].n", true), "t.toml:9:1");
        assert_eq!(at("head.er.list[1].missing", true), "t.toml:8:1");
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let mut f = Findings::default();
        let file = f.texts.add("t.toml", "a = 1\na = 2\nb = 99999999999999999999\nc = nan\nd = tru\n".into());
        assert!(!parse(file, &mut f).1);
        let list = f.finish("t.toml");
        let got: Vec<_> = list.iter().map(|d| (d.line, d.col, d.message.as_str())).collect();
        assert_eq!(got[0], (2, 1, "`a` is written twice"));
        assert_eq!(got[1], (3, 5, "the integer does not fit into 64 bits"));
        assert_eq!(got[2], (4, 5, "the number is not finite"));
        assert_eq!((got[3].0, got[3].1), (5, 5));
    }

    #[test]
    fn nesting_has_a_limit() {
        // The tree is walked by recursion; the parser bounds keys as well as brackets.
        for (n, ok) in [(60, true), (100, false), (500_000, false)] {
            for text in [
                format!("a{} = 1", ".a".repeat(n)),
                format!("[a{}]", ".a".repeat(n)),
                format!("a = {}{}", "[".repeat(n), "]".repeat(n)),
                format!("a = {}1{}", "{a=".repeat(n), "}".repeat(n)),
            ] {
                let mut f = Findings::default();
                let file = f.texts.add("t.toml", text);
                assert_eq!(parse(file, &mut f).1, ok, "{n}");
            }
        }
    }

    #[test]
    fn paths_print_as_they_read() {
        for p in ["rules[2]", "table[0].file", "selectors.\"AWS.CloudTrail\"[0]"] {
            assert_eq!(show_path(&read_path(p)), p);
        }
        assert!(read_path("][").is_empty());
    }
}
