//! Harness of the whole-product tests: builds and runs the real binary, kills it, and looks at what it wrote.

pub mod chaos;
pub mod checker;
pub mod copier;
pub mod correlation;
pub mod kafka;
pub mod kills;
pub mod micro;
pub mod moto;
pub mod netns;
pub mod pace;
pub mod project;
pub mod proxy;
pub mod python;
pub mod qualify;
pub mod run;
pub mod s3_faults;
pub mod store;
