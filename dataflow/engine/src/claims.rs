//! Which splits of an epoch are taken: how the workers of a process share what is to be read.
//!
//! A worker reads the splits of its lanes, in order. One that has none left in an epoch takes what the others have not
//! begun, from the end, before it goes on to the next epoch: so a slow core or a dear split holds up one split, not half
//! of an epoch. Who reads a split changes no output: a split's lane is logged, and lane sinks get its events from
//! whoever read it ([`crate::handover`]).
use model::Epoch;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The claims on the splits of one source, shared by the workers of a process.
pub(crate) struct Claims {
    workers: usize,
    epochs: Mutex<BTreeMap<Epoch, Open>>,
}

#[derive(Default)]
struct Open {
    /// By index in the epoch's record, as far as anybody has asked.
    taken: Vec<bool>,
    /// Workers that are through with the epoch.
    through: usize,
}

impl Claims {
    /// None yet, of so many workers.
    pub fn new(workers: usize) -> Claims {
        Claims { workers: workers.max(1), epochs: Mutex::default() }
    }

    /// Take split number `split` of an epoch. False if another worker has it.
    pub fn take(&self, epoch: Epoch, split: usize) -> bool {
        let mut epochs = self.epochs.lock().expect("nothing fails under the lock");
        let taken = &mut epochs.entry(epoch).or_default().taken;
        if taken.len() <= split {
            taken.resize(split + 1, false);
        }
        !std::mem::replace(&mut taken[split], true) || model::fault::broken("claim_twice")
    }

    /// A worker asks for no more of this epoch. When all have said so it is forgotten.
    pub fn through(&self, epoch: Epoch) {
        let mut epochs = self.epochs.lock().expect("nothing fails under the lock");
        let open = epochs.entry(epoch).or_default();
        open.through += 1;
        if open.through == self.workers {
            epochs.remove(&epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_split_is_taken_once_and_epochs_are_forgotten() {
        let c = Claims::new(2);
        assert!(c.take(7, 3) && c.take(7, 0) && !c.take(7, 3) && !c.take(7, 0) && c.take(8, 3));
        c.through(7);
        assert!(!c.take(7, 3), "the other worker may still ask");
        assert!(c.take(7, 1));
        c.through(7);
        assert_eq!(c.epochs.lock().unwrap().keys().copied().collect::<Vec<_>>(), [8]);
        // An epoch in which a worker has nothing to ask for.
        c.through(8);
        c.through(8);
        c.through(9);
        c.through(9);
        assert!(c.epochs.lock().unwrap().is_empty());
    }

    #[test]
    fn workers_that_race_get_every_split_once() {
        let c = Claims::new(4);
        let got: usize = std::thread::scope(|s| {
            let work = || {
                let n = (0..20_000).filter(|i| c.take(1, *i)).count();
                c.through(1);
                n
            };
            let all: Vec<_> = (0..4).map(|_| s.spawn(work)).collect();
            all.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(got, 20_000);
        assert!(c.epochs.lock().unwrap().is_empty());
    }
}
