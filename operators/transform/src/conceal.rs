//! Replacing a value everywhere it can be seen: in its own column, in columns above and below it, and in JSON.
use model::path::{Path, Seg};
use serde_json::Value as J;
use sha2::{Digest, Sha256};

/// How a value is hidden.
#[derive(Clone, Debug, PartialEq)]
pub enum Cover {
    /// Lower-case hex SHA-256 of the salt followed by the value's text: equal values stay equal.
    Hash(String),
    /// This text instead of the value.
    Redact(String),
}

impl Cover {
    /// What stands in place of a value with this text.
    pub fn text(&self, value: &str) -> String {
        match self {
            Cover::Redact(to) => to.clone(),
            Cover::Hash(salt) => {
                let digest = Sha256::new().chain_update(salt.as_bytes()).chain_update(value.as_bytes()).finalize();
                digest.iter().map(|b| format!("{b:02x}")).collect()
            }
        }
    }

    /// Replaces what lies at a path inside a JSON value; nulls stay. Gives the number of replaced values, and their
    /// texts to `seen`.
    pub fn json(&self, v: &mut J, path: &[Seg], seen: &mut dyn FnMut(&str)) -> usize {
        let Some((first, rest)) = path.split_first() else {
            let text = match &*v {
                J::Null => return 0,
                J::String(s) => s.clone(),
                other => other.to_string(),
            };
            leaves(v, seen);
            *v = J::String(self.text(&text));
            return 1;
        };
        match (first, v) {
            (Seg::Key(k), J::Object(o)) => o.get_mut(&**k).map_or(0, |v| self.json(v, rest, seen)),
            (Seg::Each, J::Array(a)) => a.iter_mut().map(|v| self.json(v, rest, seen)).sum(),
            (Seg::Index(i), J::Array(a)) => {
                let at = if *i < 0 { a.len().checked_sub(i.unsigned_abs() as usize) } else { Some(*i as usize) };
                at.and_then(|i| a.get_mut(i)).map_or(0, |v| self.json(v, rest, seen))
            }
            _ => 0,
        }
    }
}

/// Texts of every scalar in a value.
pub fn leaves(v: &J, seen: &mut dyn FnMut(&str)) {
    match v {
        J::Null | J::Bool(_) => {}
        J::String(s) => seen(s),
        J::Number(n) => seen(&n.to_string()),
        J::Array(a) => a.iter().for_each(|v| leaves(v, seen)),
        J::Object(o) => o.values().for_each(|v| leaves(v, seen)),
    }
}

/// How a column lies to a hidden path.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// Elsewhere.
    Apart,
    /// The column is what is hidden.
    Same,
    /// The column lies inside of what is hidden: it has no value any more.
    Inside,
    /// What is hidden lies inside the column's JSON, at this path.
    Around(Vec<Seg>),
}

/// Relation of a column to a hidden path. Where two indexes may or may not be the same element, they are taken as the
/// same: better one value hidden too many.
pub fn relation(column: &Path, hidden: &Path) -> Relation {
    let same = |a: &Seg, b: &Seg| match (a, b) {
        (Seg::Key(a), Seg::Key(b)) => a == b,
        (Seg::Index(a), Seg::Index(b)) => a == b || (*a < 0) != (*b < 0),
        (Seg::Each, Seg::Index(_)) | (Seg::Index(_), Seg::Each) | (Seg::Each, Seg::Each) => true,
        _ => false,
    };
    if !column.0.iter().zip(&hidden.0).all(|(a, b)| same(a, b)) {
        return Relation::Apart;
    }
    match column.0.len().cmp(&hidden.0.len()) {
        std::cmp::Ordering::Equal => Relation::Same,
        std::cmp::Ordering::Greater => Relation::Inside,
        std::cmp::Ordering::Less => Relation::Around(hidden.0[column.0.len()..].to_vec()),
    }
}

/// True if an indicator may have been taken from one of the hidden texts: it is contained in it in any case.
pub fn may_stem_from(indicator: &str, hidden: &[String]) -> bool {
    let indicator = indicator.to_lowercase();
    hidden.iter().any(|h| h.to_lowercase().contains(&indicator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replaces_at_paths_and_tells_what_it_hid() {
        let mut v = json!({"a":[{"b":"x","c":1},{"b":null},{"b":{"d":["y",7]}}]});
        let mut seen = Vec::new();
        Cover::Redact("*".into()).json(&mut v, &Path::parse("a[*].b").unwrap().0, &mut |s| seen.push(s.to_string()));
        assert_eq!(v, json!({"a":[{"b":"*","c":1},{"b":null},{"b":"*"}]}));
        assert_eq!(seen, ["x", "y", "7"]);
        Cover::Redact("-".into()).json(&mut v, &Path::parse("a[-1].b").unwrap().0, &mut |_| {});
        assert_eq!(v["a"][2]["b"], "-");
        let h = Cover::Hash("s".into());
        assert_eq!(h.text("x").len(), 64);
        assert_ne!(h.text("x"), Cover::Hash("t".into()).text("x"));
        assert_eq!(
            Cover::Hash("".into()).text("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn columns_relate_to_hidden_paths() {
        let r = |column: &str, hidden: &str| relation(&Path::parse(column).unwrap(), &Path::parse(hidden).unwrap());
        assert_eq!(r("a.b", "a.b"), Relation::Same);
        assert_eq!(r("a.b", "a.c"), Relation::Apart);
        assert_eq!(r("a.b.c", "a.b"), Relation::Inside);
        assert_eq!(r("a", "a.b[*].c"), Relation::Around(Path::parse("x.b[*].c").unwrap().0[1..].to_vec()));
        assert_eq!(r("a[0].c", "a[*].c"), Relation::Same);
        assert_eq!(r("a[-1]", "a[0]"), Relation::Same);
        assert_eq!(r("a[1]", "a[0]"), Relation::Apart);
    }
}
