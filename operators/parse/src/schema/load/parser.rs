//! The `parser` of a schema: how a line of text becomes fields.
use super::Loader;
use crate::hint;
use crate::native;
use crate::schema::locate::Step;
use crate::text::{Common, Csv, FastMatch, Format, Parser, RegexFormat, Template, TextParser};
use std::sync::Arc;
use yaml_serde::Mapping;

impl Loader<'_, '_> {
    pub(super) fn parser(&mut self, map: &Mapping) -> Option<Parser> {
        let Some(v) = map.get("parser").filter(|v| !v.is_null()) else { return Some(Parser::Json) };
        self.sheet.at.push(Step::Key("parser".into()));
        let out = self.sheet.map(v, "`parser`").and_then(|m| {
            const KINDS: &[&str] = &["csv", "fastmatch", "regex", "native"];
            self.sheet.only(m, KINDS, "`parser`");
            if m.len() != 1 {
                self.sheet.problem("`parser` takes exactly one of csv, fastmatch, regex, native", None);
                return None;
            }
            let kind = m.keys().next()?.as_str().filter(|k| KINDS.contains(k))?;
            self.sheet.at.push(Step::Key(kind.into()));
            let p = self.sheet.map(m.get(kind)?, kind).and_then(|o| self.parser_of(kind, o));
            self.sheet.at.pop();
            p
        });
        self.sheet.at.pop();
        out
    }

    fn parser_of(&mut self, kind: &str, m: &Mapping) -> Option<Parser> {
        const COMMON: &[&str] = &["emptyValues", "trimSpace", "expandFields", "skipPrefix", "skipLines"];
        let own: &[&str] = match kind {
            "csv" => &["delimiter", "hasHeader", "columns"],
            "fastmatch" => &["match"],
            "regex" => &["match", "patternDefinitions"],
            _ => &["name"],
        };
        let known: Vec<&str> = own.iter().chain(COMMON).copied().collect();
        self.sheet.only(m, &known, kind);
        let common = self.common(m);
        let format = match kind {
            "csv" => {
                let delimiter = self.sheet.str(m, "delimiter").unwrap_or_else(|| ",".into());
                Csv::new(&delimiter, self.sheet.bool(m, "hasHeader"), self.sheet.list(m, "columns")).map(Format::Csv)
            }
            "fastmatch" => FastMatch::new(&self.sheet.list(m, "match").unwrap_or_default()).map(Format::FastMatch),
            "regex" => {
                let parts = self.sheet.list(m, "match").unwrap_or_default();
                let definitions = self.sheet.pairs(m, "patternDefinitions").into_iter().collect();
                RegexFormat::new(&parts, &definitions).map(Format::Regex)
            }
            _ => {
                let name = self.sheet.need(m, "name", "native")?;
                native::find(&name).map(Format::Native).ok_or_else(|| {
                    let near = hint::nearest(&name, native::all().iter().map(|n| n.name()));
                    format!("no native parser `{name}`{}", near.map_or("".into(), |n| format!("; did you mean `{n}`?")))
                })
            }
        };
        match format {
            Ok(format) => Some(Parser::Text(Arc::new(TextParser { format, common }))),
            Err(e) => {
                self.sheet.problem(e, None);
                None
            }
        }
    }

    fn common(&mut self, m: &Mapping) -> Common {
        let mut expand = Vec::new();
        for (name, text) in self.sheet.pairs(m, "expandFields") {
            match Template::parse(&text) {
                Ok(t) => expand.push((name, t)),
                Err(e) => self.sheet.problem_at("expandFields", e, None),
            }
        }
        let skip = self.sheet.int(m, "skipLines").unwrap_or(0);
        Common {
            empty_values: self.sheet.list(m, "emptyValues").unwrap_or_default(),
            trim_space: self.sheet.bool(m, "trimSpace"),
            expand,
            skip_prefix: self.sheet.str(m, "skipPrefix").unwrap_or_default(),
            skip_lines: usize::try_from(skip).unwrap_or(0),
        }
    }
}
