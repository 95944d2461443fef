use super::*;
use model::RuleMeta;
use std::sync::Arc;

fn of(dedup: &str, period: i64) -> Match {
    let rule = Arc::new(RuleMeta { id: "r".into(), dedup_period_ms: period, threshold: 1, ..RuleMeta::default() });
    Match { rule, dedup: dedup.into(), ..Match::default() }
}

/// Start of the window of a dedup string, which is that of its id.
fn id(g: &Group, t: &mut Tables, dedup: &str) -> Option<u128> {
    let rule = t.texts.number("r");
    let r = g.find(&Head { rule, error: false, dedup, expires: 0 }, t)?;
    t.unpack(r);
    Some(t.window.id(&t.texts))
}

fn id_at(dedup: &str, start: i64) -> Option<u128> {
    Some(crate::id_of(&["r", "RULE", dedup], start))
}

fn put(g: &mut Group, t: &mut Tables, dedup: &str, clock: i64, period: i64) -> bool {
    g.count(&of(dedup, period), clock, 0, t).evicted
}

fn ordered(g: &Group) -> usize {
    g.by_expiry.values().map(VecDeque::len).sum()
}

#[test]
fn gives_up_the_window_that_ends_first_at_the_limit() {
    let (mut g, mut t) = (Group::default(), Tables::default());
    for i in 0..MAX_WINDOWS as i64 {
        assert!(!put(&mut g, &mut t, &i.to_string(), 1_000_000 - i, 10));
    }
    assert!(!put(&mut g, &mut t, "5", 2_000_000, 10), "replacing a window needs no room");
    g.save(true, &mut t);
    assert!(put(&mut g, &mut t, "one more", 2_000_000, 10));
    assert_eq!((g.keys(), ordered(&g)), (MAX_WINDOWS, MAX_WINDOWS));
    assert_eq!(id(&g, &mut t, &(MAX_WINDOWS - 1).to_string()), None);
    assert_eq!(g.evicted.len(), 1, "a snapshot has to tell it");
    assert_eq!(id(&g, &mut t, "5"), id_at("5", 2_000_000));
    put(&mut g, &mut t, "5", 2_000_009, 10);
    assert_eq!(id(&g, &mut t, "5"), id_at("5", 2_000_000));
    put(&mut g, &mut t, "5", 2_000_010, 10);
    assert_eq!(id(&g, &mut t, "5"), id_at("5", 2_000_010), "an age of one period is a new window");
}

#[test]
fn forgets_what_has_expired_and_keeps_its_order_in_step() {
    let (mut g, mut t) = (Group::default(), Tables::default());
    put(&mut g, &mut t, "a", 0, 10);
    put(&mut g, &mut t, "b", 5, 10);
    put(&mut g, &mut t, "b", 15, 10);
    assert!(!g.advance(9, &mut t));
    assert!(g.advance(10, &mut t));
    assert!(!g.advance(3, &mut t), "the clock never goes back");
    assert_eq!((g.keys(), ordered(&g), g.changed.len()), (1, 1, 1));
    assert!(g.advance(25, &mut t));
    assert_eq!((t.bytes(), g.by_expiry.len()), (0, 0));
    assert!(g.save(false, &mut t).is_empty());
    assert!(!g.save(true, &mut t).is_empty(), "the clock itself is state where matches may be late");
}

#[test]
fn another_time_base_starts_empty() {
    let (mut g, mut t) = (Group::default(), Tables::default());
    put(&mut g, &mut t, "a", 0, 10);
    let whole = g.save(true, &mut t);
    put(&mut g, &mut t, "b", 1, 10);
    let changes = g.changes(true, &mut t);
    let mut same = Group::load(&whole, true, &mut t).unwrap();
    same.apply(&changes, true, &mut t).unwrap();
    assert_eq!(same.keys(), 2);
    let before = t.bytes();
    let mut other = Group::load(&whole, false, &mut t).unwrap();
    other.apply(&changes, false, &mut t).unwrap();
    assert_eq!((other.keys(), t.bytes()), (0, before));
    assert!(Group::load(&whole[..whole.len() - 1], true, &mut t).is_err());
}

#[test]
fn changes_hold_what_changed_and_no_more() {
    let (mut g, mut t) = (Group::default(), Tables::default());
    for i in 0..10_000 {
        put(&mut g, &mut t, &format!("key {i}"), i, 1_000_000);
    }
    let whole = g.save(true, &mut t);
    for i in 0..100 {
        put(&mut g, &mut t, &format!("key {i}"), 20_000, 1_000_000);
    }
    let changes = g.changes(true, &mut t);
    assert!(changes.len() * 90 < whole.len(), "{} of {}", changes.len(), whole.len());
    let mut copy = Group::load(&whole, true, &mut t).unwrap();
    copy.apply(&changes, true, &mut t).unwrap();
    assert_eq!(copy.save(true, &mut t), g.save(true, &mut t));
    let nothing = g.changes(true, &mut t);
    assert!(nothing.len() < 16, "{}", nothing.len());
}

/// Ten million live keys in a gibibyte are 107 bytes for each. What a key costs here: its record with its slot, a hash
/// table that is at least 7/16 full, and its place in the order of expiry with as much room again.
#[test]
fn a_live_key_costs_less_than_a_hundred_bytes() {
    const KEYS: usize = 80_000;
    let (mut g, mut t) = (Group::default(), Tables::default());
    let rule = Arc::new(RuleMeta {
        id: "AWS.Console.LoginFailed".into(),
        name: "Failed console logins".into(),
        description: "Somebody fails to log in again and again.".into(),
        runbook: "Ask the user; look at the address; lock the account if it is not theirs.".into(),
        dedup_period_ms: 3_600_000,
        threshold: 1,
        ..RuleMeta::default()
    });
    for i in 0..KEYS {
        let m = Match {
            rule: rule.clone(),
            dedup: format!("arn:aws:iam::123456789012:user/{i:05}"),
            title: rule.name.clone(),
            description: rule.description.clone(),
            runbook: rule.runbook.clone(),
            log_type: "AWS.CloudTrail".into(),
            event_ms: 1_700_000_000_000 + i as i64 * 40,
            ..Match::default()
        };
        g.count(&m, m.event_ms, 86_400_000, &mut t);
    }
    let table = g.by_key.capacity() * 8 / 7 * 5;
    let order: usize = g.by_expiry.values().map(|b| b.capacity() * 4 + 64).sum();
    let each = (t.bytes() + table + order) / KEYS;
    assert!(each < 100, "{each} bytes: records {}, table {table}, order {order}", t.bytes());
}
