//! "Did you mean": the nearest known name.

/// Lowest similarity (0..1) at which a name is worth suggesting.
const LIKE: f64 = 0.7;

/// The known name nearest to `name`, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |k: &str| strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase());
    let best = known.into_iter().map(|k| (score(k), k)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LIKE).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_near_names_only() {
        let known = ["fields", "parser", "description"];
        assert_eq!(nearest("feilds", known), Some("fields"));
        assert_eq!(nearest("Parser", known), Some("parser"));
        assert_eq!(nearest("zzzz", known), None);
    }
}
