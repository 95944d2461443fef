//! Exit codes (sysexits where there is one), as `--help` lists them.

/// Findings: a test failed, an audit found a difference.
pub const FINDINGS: i32 = 1;
/// Compiled Python detections and CPython disagree.
pub const DIFFERENT: i32 = 3;
/// Data that cannot be used.
pub const DATA: i32 = 65;
/// The engine is not there.
pub const UNAVAILABLE: i32 = 69;
/// The configuration has errors.
pub const CONFIG: i32 = 78;
/// The world (disk, log, network) does not let the command work.
pub const IO: i32 = 74;
/// Stopped by a person: what is printed covers a part of the input.
pub const STOPPED: i32 = 130;
