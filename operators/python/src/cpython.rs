//! Detections that are run by CPython, in worker processes that are shut in.
//!
//! What the compiled evaluator does not build is asked of a CPython of the machine, 3.9 or later. Nothing of it is linked:
//! a worker is a process, it is given its modules over a pipe, and it answers over another. [`Pool`] keeps the workers.
//!
//! - [`interpreter`] finds the interpreter, [`spawn`] starts it with nothing of the machine around it: [`filter`] holds the
//!   system calls it may make, [`sandbox`] the files that it may read. [`Pool::isolation`] says what the machine allows.
//! - [`wire`] carries bounded frames and watches: a worker that takes too long is killed.
//! - [`worker`] is one process; [`pool`] gives calls to workers and loses none of them when a worker dies.
//! - [`crate::cache`] is the key-value cache that detections may use; the engine holds its entries.
//! - [`verify`] compares the compiled evaluator with CPython.
//!
//! Results are a function of the detection, the event, the cache and the clock that is handed in: what a module remembers
//! lasts for one event, "now" is the given clock, random numbers start anew with each event.

mod child;
pub mod filter;
pub mod interpreter;
pub mod pool;
pub mod sandbox;
pub mod settings;
pub mod spawn;
pub mod verify;
pub mod wire;
pub mod worker;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

pub use crate::cache::{Cache, Memory, NoCache};
pub use pool::Pool;
pub use sandbox::Isolation;
pub use settings::{Detection, Field, Home, Limits, Model, Module, Settings, Sources};
pub use verify::{Difference, Tally, compare};
pub use worker::{Answer, Call, Output, Raised};
