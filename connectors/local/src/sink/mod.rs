//! Sinks of this machine: JSON lines in a file, lines on the terminal, and a place where rows only get counted.
mod blackhole;
mod jsonl;
mod rows;
mod stdout;

pub use blackhole::BlackholePart;
pub use jsonl::JsonlPart;
pub use stdout::StdoutPart;
