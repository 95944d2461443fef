//! Topics of the simulated brokers, and waiting for the brokers.
use super::client::{ClientContext, Connection, Link};
use super::library::{brokers, config::RDKafkaLogLevel};
use crate::fail::Fail;
use crate::sched::{pause, sched};
use model::Result;
use std::time::Duration;

/// A topic that has to be there.
#[allow(dead_code)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replication: Option<i32>,
    pub config: Vec<(&'a str, String)>,
    pub message: Option<(usize, &'static str)>,
    pub create: bool,
    pub grow: bool,
}

/// Pauses between attempts.
pub struct Pause;

impl Pause {
    /// The first one.
    pub fn new() -> Pause {
        Pause
    }
    /// Wait.
    pub fn wait(&mut self) {
        sched().pass_time(Duration::from_millis(20));
        pause();
    }
    /// Wait after an attempt that came to nothing. Nobody is refused here.
    pub fn after(&mut self, link: &Link, _doing: &str, why: &str) -> Result<()> {
        note(link, why);
        self.wait();
        Ok(())
    }
}

/// Administration.
pub struct Admin;

impl Admin {
    /// A client.
    pub fn new(_: &Connection, _: &Link) -> Result<Admin> {
        Ok(Admin)
    }
    /// Forget records.
    pub fn delete_below(&self, below: &[(&str, i32, i64)]) -> Result<(), Fail> {
        let s = sched();
        below.iter().for_each(|(t, p, o)| brokers(&s).delete_below(t, *p as usize, *o as usize));
        Ok(())
    }
}

/// Do something until the brokers answer.
pub fn persist<T>(link: &Link, doing: &str, mut op: impl FnMut() -> Result<T, Fail>) -> Result<T> {
    let mut pause = Pause::new();
    loop {
        match op() {
            Ok(v) => return Ok(v),
            Err(Fail::Unknown(why)) => pause.after(link, doing, &why)?,
            Err(f) => return Err(format!("cannot {doing}: {}", f.why()).into()),
        }
    }
}

/// Remember why something failed.
pub fn note(link: &Link, why: &str) {
    link.log(RDKafkaLogLevel::Warning, "FAIL", why);
}

/// Make topics that are missing. Returns their numbers of partitions.
pub fn ensure(_: &Connection, _: &Link, wanted: &[Wanted]) -> Result<Vec<i32>> {
    pause();
    let s = sched();
    let compacted = |w: &Wanted| w.config.iter().any(|(k, v)| *k == "cleanup.policy" && v == "compact");
    Ok(wanted.iter().map(|w| brokers(&s).ensure(w.name, w.partitions as usize, w.grow, compacted(w)) as i32).collect())
}

/// Every name here is good.
pub fn name_problem(_: &str) -> Option<String> {
    None
}
