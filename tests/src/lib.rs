//! Harness of the whole-product tests: builds and runs the real binary, kills it, and looks at what it wrote.

pub mod kills;
pub mod project;
pub mod run;
