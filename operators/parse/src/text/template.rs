//! `text %{field}` templates of `expandFields`.

/// Literal text and holes for fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

impl Template {
    /// Compile. The error says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Template, String> {
        let (mut rest, mut parts) = (text, Vec::new());
        while let Some(at) = rest.find("%{") {
            if at > 0 {
                parts.push(Part::Text(rest[..at].into()));
            }
            let end = rest[at..].find('}').ok_or_else(|| format!("template `{text}`: `%{{` is not closed"))? + at;
            let name = rest[at + 2..end].trim();
            if name.is_empty() {
                return Err(format!("template `{text}`: `%{{}}` names no field"));
            }
            parts.push(Part::Field(name.into()));
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Template { parts })
    }

    /// Fill in; a missing field gives nothing.
    pub fn render<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> String {
        let part = |p: &Part| match p {
            Part::Text(t) => t.clone(),
            Part::Field(f) => field(f).unwrap_or_default().to_string(),
        };
        self.parts.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_fields() {
        let t = Template::parse("%{date} at %{ time }.").unwrap();
        let get = |f: &str| match f {
            "date" => Some("2024-01-01"),
            _ => None,
        };
        assert_eq!(t.render(get), "2024-01-01 at .");
        assert_eq!(Template::parse("").unwrap().render(get), "");
        assert!(Template::parse("%{a").is_err() && Template::parse("%{}").is_err());
    }
}
