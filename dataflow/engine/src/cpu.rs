//! CPU time by node: what its calls took, measured on the thread that made them, once per call of a batch or an epoch.
//!
//! What no node took is the engine's own: scheduling, exchange between workers, client libraries' threads.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// CPU time of a node in this process. Copies count into the same figure.
#[derive(Clone, Default)]
pub(crate) struct Cpu(Arc<AtomicU64>);

impl Cpu {
    /// Do something and count it.
    pub fn of<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = thread_ns();
        let out = work();
        self.0.fetch_add(thread_ns().saturating_sub(began), Relaxed);
        out
    }
    /// Seconds so far.
    pub fn seconds(&self) -> f64 {
        self.0.load(Relaxed) as f64 / 1e9
    }
}

/// CPU time of this thread since it began, nanoseconds. Takes about 0.2 µs, and a batch holds some thousand events.
pub(crate) fn thread_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_waiting_does_not() {
        let cpu = Cpu::default();
        cpu.clone().of(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        let waited = cpu.seconds();
        assert!(waited < 0.025, "{waited}");
        cpu.of(|| {
            let until = thread_ns() + 20_000_000;
            while thread_ns() < until {}
        });
        assert!(cpu.seconds() - waited >= 0.02, "{}", cpu.seconds());
    }
}
