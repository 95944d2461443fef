//! The meter behind the limits: counts ticks, watches CPU time, and does not let go.
//!
//! The machine calls [`Meter::tick`] at every call, loop turn and pattern step. Once a limit is hit, every later tick
//! of the same evaluation fails again, so a `pcall` in a loop cannot outlive its stop; and a stop that a rule managed
//! to swallow is still found by [`Meter::verdict`] when the call returns.
//!
//! Wall time is not measured: a thread that waits for a CPU has done nothing wrong. A coarse clock (a few
//! nanoseconds per read) tells when it is worth asking for the thread's CPU time (a system call).
use super::contract::{self, Failure};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// From this tick on the CPU time of an evaluation is watched; nearly every evaluation is shorter.
const WATCH_FROM: u64 = 64;
/// … or from this age of the evaluation on, whichever comes first.
const WATCH_AFTER_NS: u64 = 1_000_000;

/// Which limit ended an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Ticks,
    Cpu,
    Memory,
}

/// Counters of the running evaluation.
pub(super) struct Meter {
    max_ticks: u64,
    max_cpu_ns: u64,
    on: Cell<bool>,
    ticks: Cell<u64>,
    began_ns: Cell<u64>,
    /// CPU time when watching began, and the coarse time at which to look again.
    watch: Cell<Option<(u64, u64)>>,
    stop: Cell<Option<Stop>>,
    prints: Cell<u64>,
}

impl Meter {
    pub(super) fn new(max_ticks: u64, cpu: Duration) -> Meter {
        Meter {
            max_ticks,
            max_cpu_ns: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
            on: Cell::new(false),
            ticks: Cell::new(0),
            began_ns: Cell::new(0),
            watch: Cell::new(None),
            stop: Cell::new(None),
            prints: Cell::new(0),
        }
    }

    pub(super) fn start(&self) {
        self.ticks.set(0);
        self.began_ns.set(clock::coarse_ns());
        self.watch.set(None);
        self.stop.set(None);
        self.on.set(true);
    }

    pub(super) fn finish(&self) {
        self.on.set(false);
    }

    /// One tick of the machine.
    pub(super) fn tick(&self) -> mlua::Result<()> {
        self.spend(1)
    }

    /// Ticks for work that a library function is about to do without ticking.
    pub(super) fn spend(&self, ticks: u64) -> mlua::Result<()> {
        if !self.on.get() {
            return Ok(());
        }
        if self.stop.get().is_none() {
            self.stop.set(self.look(ticks));
        }
        match self.stop.get() {
            None => Ok(()),
            Some(stop) => Err(mlua::Error::runtime(self.reason(stop))),
        }
    }

    fn look(&self, more: u64) -> Option<Stop> {
        let ticks = self.ticks.get().saturating_add(more);
        self.ticks.set(ticks);
        if ticks > self.max_ticks {
            return Some(Stop::Ticks);
        }
        let now = clock::coarse_ns();
        let Some((base, next)) = self.watch.get() else {
            if ticks >= WATCH_FROM || now.saturating_sub(self.began_ns.get()) >= WATCH_AFTER_NS {
                self.watch.set(Some((clock::cpu_ns(), now.saturating_add(self.max_cpu_ns))));
            }
            return None;
        };
        if now < next {
            return None;
        }
        let left = self.max_cpu_ns.saturating_sub(clock::cpu_ns().saturating_sub(base));
        self.watch.set(Some((base, now.saturating_add(left))));
        (left == 0).then_some(Stop::Cpu)
    }

    /// What a rule's own `pcall` may see of an error: nothing of a stop, which is raised again.
    pub(super) fn caught(&self, e: &mlua::Error) -> mlua::Result<String> {
        if self.failure(e).kind == contract::kind::RUNTIME { Ok(contract::message(e)) } else { Err(e.clone()) }
    }

    /// Note that the memory limit was hit; the evaluation is over.
    pub(super) fn set_out_of_memory(&self) {
        self.stop.set(Some(self.stop.get().unwrap_or(Stop::Memory)));
    }

    pub(super) fn out_of_memory(&self) -> bool {
        self.stop.get() == Some(Stop::Memory)
    }

    /// The failure that an error of the machine is.
    pub(super) fn failure(&self, e: &mlua::Error) -> Failure {
        if contract::is_memory(e) {
            self.set_out_of_memory();
        }
        match self.verdict() {
            Err(stopped) => stopped,
            Ok(()) => Failure::runtime(contract::message(e)),
        }
    }

    /// `Err` if a limit has been hit since [`Meter::start`].
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        self.stop.get().map_or(Ok(()), |stop| {
            let kind = if stop == Stop::Memory { contract::kind::MEMORY } else { contract::kind::TIME };
            Err(Failure { kind, message: self.reason(stop) })
        })
    }

    fn reason(&self, stop: Stop) -> String {
        match stop {
            Stop::Ticks => format!("stopped after {} ticks (a loop without end?)", self.max_ticks),
            Stop::Cpu => format!("stopped after {} ms of CPU time", self.max_cpu_ns / 1_000_000),
            Stop::Memory => "stopped at the memory limit".into(),
        }
    }

    /// Charge the evaluation that a library function runs in.
    pub(super) fn charge(lua: &mlua::Lua, ticks: usize) -> mlua::Result<()> {
        lua.app_data_ref::<Rc<Meter>>().map_or(Ok(()), |m| m.spend(ticks as u64))
    }

    pub(super) fn count_print(&self) {
        self.prints.set(self.prints.get() + 1);
    }

    pub(super) fn prints(&self) -> u64 {
        self.prints.get()
    }
}

mod clock {
    #[cfg(target_os = "linux")]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(target_os = "linux"))]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC;

    /// Monotonic time, a few milliseconds coarse.
    pub fn coarse_ns() -> u64 {
        read(COARSE)
    }

    /// CPU time this thread has used.
    pub fn cpu_ns() -> u64 {
        read(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    fn read(clock: libc::clockid_t) -> u64 {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec, which lives across the call. A clock the system lacks leaves zero behind:
        // then the tick budget alone remains.
        unsafe { libc::clock_gettime(clock, &mut t) };
        (t.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_limit_and_stays_stopped() {
        let m = Meter::new(3, Duration::from_secs(1));
        m.tick().unwrap();
        m.start();
        for _ in 0..3 {
            m.tick().unwrap();
        }
        assert!(m.verdict().is_ok());
        assert!(m.tick().is_err() && m.tick().is_err());
        assert_eq!(m.verdict().unwrap_err().kind, contract::kind::TIME);
        m.finish();
        m.tick().unwrap();
        m.start();
        assert!(m.verdict().is_ok(), "a new evaluation starts clean");
    }

    #[test]
    fn cpu_time_stops_what_ticks_do_not_see() {
        let m = Meter::new(u64::MAX, Duration::from_millis(3));
        m.start();
        let from = clock::cpu_ns();
        while m.tick().is_ok() {
            assert!(clock::cpu_ns() - from < 1_000_000_000, "not stopped");
        }
        assert!(clock::cpu_ns() - from >= 3_000_000, "stopped early");
    }
}
