//! Errors of the disk, said the same way everywhere: what was tried, on which file, what the system answered.
use std::fmt::Display;
use std::path::Path;

/// `cannot <what> <path>: <why>`, for `map_err`.
pub(crate) fn at<E: Display>(what: &str, path: &Path) -> impl FnOnce(E) -> model::Error {
    let head = format!("cannot {what} {}", path.display());
    move |e| format!("{head}: {e}").into()
}

/// The same for a result that already carries text.
pub(crate) fn damaged(path: &Path, byte: u64, what: &str) -> model::Error {
    format!(
        "{} is damaged at byte {byte}: {what}; restore it from a backup, or start over with an empty data folder",
        path.display()
    )
    .into()
}
