//! Python detections, compiled to a typed IR and evaluated natively with Python's semantics.
//!
//! [`lower`] turns source into [`ir`]; [`library`] loads modules and resolves imports; [`compile`] says per function
//! whether everything that it reaches is built; [`filter`] what must hold of an event for it to match; [`eval`] evaluates; [`run`] is the way in for an engine. A construct
//! that is not built is never guessed: it ends the evaluation as [`Outcome::Unknown`] and is named in the [`Report`].
//!
//! [`cache`] is the key-value cache that both may use. [`cpython`] runs what is not built in worker processes of a CPython of the machine, and compares the two.
//!
//! The same inputs give the same outputs: there is no clock but the one that is handed in, no random number, and no
//! order but that of insertion. Steps, memory and depth are bounded.

pub mod builtins;
pub mod cache;
pub mod canonical;
#[cfg(test)]
mod checks;
pub mod class;
pub mod compile;
pub mod cpython;
pub mod eval;
pub mod event;
pub mod exc;
pub mod filter;
pub mod format;
#[cfg(test)]
mod hostile;
pub mod ir;
pub mod iter;
pub mod library;
pub mod lower;
pub mod model;
pub mod module;
pub mod name;
pub mod native;
pub mod number;
pub mod ops;
#[cfg(test)]
mod oracle;
pub mod percent;
pub mod repr;
pub mod run;
pub mod stdlib;
pub mod table;
pub mod types;
pub mod unicode;
pub mod value;

pub use cache::{Cache, Entry, Memory, Session};
pub use compile::{Compiled, FUNCTIONS, FunctionReport, Report, compile};
pub use filter::{Affix, Condition, Expression, How, Test};
pub use ir::Gap;
pub use library::{Library, LoadError, Source};
pub use model::{DataModel, Mapping};
pub use native::Limits;
pub use run::{Event, Outcome, Raised, Setting};
