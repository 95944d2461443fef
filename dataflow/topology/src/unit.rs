//! What the schema of a duration, a size or a rate looks like, so that a wrong one can be answered with an example.
//!
//! A field's own documentation replaces the unit's description in a schema; the pattern stays, and tells which it is.
use model::units::{Dur, Rate, Size};
use serde_json::Value as J;
use std::sync::LazyLock;

/// Kind of quantity written as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Duration,
    Size,
    Rate,
}

static PATTERNS: LazyLock<Vec<(Unit, String, String)>> = LazyLock::new(|| {
    let of = |unit, schema: schemars::Schema| {
        let text = |key| schema.get(key).and_then(J::as_str).unwrap_or_default().to_string();
        (unit, text("pattern"), text("description"))
    };
    vec![
        of(Unit::Duration, schemars::schema_for!(Dur)),
        of(Unit::Size, schemars::schema_for!(Size)),
        of(Unit::Rate, schemars::schema_for!(Rate)),
    ]
});

impl Unit {
    /// Unit of a schema.
    pub fn of(schema: &J) -> Option<Unit> {
        let pattern = schema.get("pattern")?.as_str()?;
        PATTERNS.iter().find(|(_, p, _)| p == pattern).map(|(u, _, _)| *u)
    }
    /// "a duration such as …".
    pub fn describe(self) -> &'static str {
        PATTERNS.iter().find(|(u, _, _)| *u == self).map_or("", |(_, _, d)| d)
    }
    /// Says what is wrong with a text.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Unit::Duration => Dur::parse(text).map(drop),
            Unit::Size => Size::parse(text).map(drop),
            Unit::Rate => Rate::parse(text).map(drop),
        }
    }
    /// How a bare number would be written.
    pub fn write(self, n: u64) -> String {
        match self {
            Unit::Duration => format!("write \"{n}s\" or \"{n}ms\""),
            Unit::Size => format!("write \"{}\"", Size(n)),
            Unit::Rate => format!("write \"{n}/h\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_their_patterns() {
        for (schema, unit) in [
            (schemars::schema_for!(Dur), Unit::Duration),
            (schemars::schema_for!(Size), Unit::Size),
            (schemars::schema_for!(Rate), Unit::Rate),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(Unit::of(&schema), Some(unit));
            assert!(unit.describe().contains("such as"), "{unit:?}");
        }
        assert_eq!(Unit::of(&serde_json::json!({ "pattern": "^x$" })), None);
        assert_eq!(Unit::Size.write(1 << 20), "write \"1MiB\"");
        assert!(Unit::Duration.check("99999999999999999999s").is_err());
    }
}
