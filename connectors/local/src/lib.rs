//! Connectors that need nothing but this machine: files, standard input and a generator come in, JSON lines go out,
//! and the engine's durable state lives in a folder ([`LocalStore`]).
mod failure;
mod file;
mod files;
mod folder;
mod generate;
mod sink;
mod stdin;
mod store;
mod walk;

pub use file::FilePart;
pub use files::DiskFiles;
pub use folder::Folder;
pub use generate::GeneratePart;
pub use sink::{BlackholePart, JsonlPart, StdoutPart};
pub use stdin::StdinPart;
pub use store::{LocalStore, exclusive as lock};

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&FilePart, &StdinPart, &GeneratePart, &JsonlPart, &StdoutPart, &BlackholePart]
}
