//! `AlertTitle`: text with `{path}` placeholders.
//!
//! A placeholder holds what `KeyPath` takes. A missing or null value shows as nothing, a list or object as JSON.
use crate::key::KeySpec;
use model::Path;

/// Longest generated text in characters (titles, dedup strings, …); longer ones are cut and say so.
pub const MAX_TEXT: usize = 1_000;
const CUT_MARK: &str = "... (truncated)";

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(pub Vec<Part>);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// The value of a key.
    Key(KeySpec),
}

impl Template {
    /// Parse; errors say what and where.
    pub fn parse(text: &str) -> Result<Template, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(open) = rest.find('{') {
            let at = text.len() - rest.len() + open;
            let close = rest[open..].find('}').ok_or_else(|| format!("`{{` at byte {at} is not closed"))? + open;
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            parts.push(Part::Key(KeySpec::path(Path::parse(rest[open + 1..close].trim())?)));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Template(parts))
    }
    /// Fill in; `value` appends the text of a key.
    pub fn render(&self, mut value: impl FnMut(&KeySpec, &mut String)) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(t) => out.push_str(t),
                Part::Key(k) => value(k, &mut out),
            }
        }
        out
    }
    /// Keys it reads.
    pub fn keys(&self) -> impl Iterator<Item = &KeySpec> {
        self.0.iter().filter_map(|p| match p {
            Part::Key(k) => Some(k),
            Part::Text(_) => None,
        })
    }
}

/// Cut a generated text to [`MAX_TEXT`] characters; a cut text ends in `... (truncated)`.
pub fn clip(mut text: String) -> String {
    // Bytes bound characters from above, so short texts are not counted.
    if text.len() > MAX_TEXT && text.chars().count() > MAX_TEXT {
        let keep = text.char_indices().nth(MAX_TEXT - CUT_MARK.len()).map_or(text.len(), |(i, _)| i);
        text.truncate(keep);
        text.push_str(CUT_MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use serde_json::json;

    #[test]
    fn fills_placeholders() {
        let t = Template::parse("{user.name} did {n} things in { list[0] }{gone}.").unwrap();
        let e = json!({"user": {"name": "ann"}, "n": 3, "list": ["x"]});
        let text = t.render(|k, out| out.push_str(&k.get(&e).map_or(String::new(), |v| key::text(&v).into_owned())));
        assert_eq!(text, "ann did 3 things in x.");
        assert_eq!(t.keys().count(), 4);
    }

    #[test]
    fn bad_placeholders_are_refused() {
        assert!(Template::parse("a {b").unwrap_err().contains("byte 2"));
        assert!(Template::parse("a {}").is_err());
        assert!(Template::parse("a {b..c}").is_err());
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(clip("é".repeat(MAX_TEXT)), "é".repeat(MAX_TEXT));
        let cut = clip("é".repeat(MAX_TEXT + 1));
        assert_eq!(cut.chars().count(), MAX_TEXT);
        assert_eq!(cut, format!("{}... (truncated)", "é".repeat(985)));
    }
}
