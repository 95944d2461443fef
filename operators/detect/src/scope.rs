//! Where the value of a key can be read: which part of a path a column can serve.
//!
//! A column serves a path of keys and indexes from the front. `[*]` and negative indexes need the whole list, so the
//! column of the path before them is read as JSON and the rest of the path is walked in it. Standard fields (`p_…`)
//! have no column.
use crate::key::KeySpec;
use model::Path;
use model::path::Seg;

/// The part of a path that a column serves, and the rest. `None` = no column.
pub fn split(path: &Path) -> Option<(Path, Path)> {
    let plain = |s: &Seg| matches!(s, Seg::Key(_)) || matches!(s, Seg::Index(i) if *i >= 0);
    let n = path.0.iter().position(|s| !plain(s)).unwrap_or(path.0.len());
    let first = path.root()?;
    (n > 0 && !first.starts_with("p_")).then(|| (Path(path.0[..n].to_vec()), Path(path.0[n..].to_vec())))
}

/// Calls `f` for the path of every column that serves these keys.
pub fn columns<'a>(keys: impl IntoIterator<Item = &'a &'a KeySpec>, mut f: impl FnMut(Path)) {
    let mut paths = Vec::new();
    keys.into_iter().for_each(|k| k.paths(&mut paths));
    paths.into_iter().filter_map(split).for_each(|(column, _)| f(column));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_before_each_and_negative_indexes() {
        let split = |p: &str| split(&Path::parse(p).unwrap()).map(|(a, b)| (a.to_string(), b.to_string()));
        assert_eq!(split("a.b[0].c"), Some(("a.b[0].c".into(), "".into())));
        assert_eq!(split("a[*].b"), Some(("a".into(), "[*].b".into())));
        assert_eq!(split("a.b[-1]"), Some(("a.b".into(), "[-1]".into())));
        assert_eq!(split("p_any_ip_addresses"), None);
        assert_eq!(super::split(&Path::default()), None);
    }
}
