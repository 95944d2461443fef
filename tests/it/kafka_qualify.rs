//! Broker and checker are qualified before they judge the engine.
use std::path::Path;
use tests::kafka::Broker;
use tests::qualify::qualify;

/// A slice of `cargo xtask qualify`.
const EVENTS: u64 = 20_000;
const KILLS: u64 = 8;

#[test]
fn a_plain_copier_is_exact_under_kills() {
    let q = qualify(Broker::shared(), Path::new(env!("CARGO_BIN_EXE_xtask")), EVENTS, KILLS, 1).unwrap();
    println!("copier: {} kills in {:.1} s: {}", q.kills, q.took.as_secs_f64(), q.verdict);
    assert!(q.verdict.exact(), "{}", q.verdict);
    assert_eq!(q.kills, KILLS);
}
