//! Rules that are not evaluated any more, because they were stopped at their limits too often.
//!
//! Who is out stands in every epoch record, so that a replay leaves out the same rules in the same epochs.
use model::epoch::{Command, Epoch, Quarantined};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule that was stopped at a limit so often in one epoch is quarantined. With the limits as they are by default that is a
/// second of a core at least.
pub const RUNAWAY: u64 = 100;

/// The coordinator's view of who is out.
#[derive(Default)]
pub struct Quarantine {
    /// As of the last epoch that was handed out.
    out: Vec<Quarantined>,
    /// Rules that have run away since.
    runaways: Vec<Quarantined>,
    /// Rules that somebody let go, and the first epoch with it: what they did before is forgiven.
    released: BTreeMap<Arc<str>, Epoch>,
}

impl Quarantine {
    /// As a manifest has it.
    pub fn new(out: Vec<Quarantined>) -> Quarantine {
        Quarantine { out, ..Quarantine::default() }
    }

    /// An epoch is through in which rules were stopped so often: (node, rule, how often).
    pub fn finished(&mut self, epoch: Epoch, stopped: Vec<(Arc<str>, Arc<str>, u64)>) {
        let away = stopped.into_iter().filter(|(.., n)| *n >= RUNAWAY);
        self.runaways.extend(away.map(|(node, rule, stopped)| Quarantined { node, rule, stopped, epoch }));
    }

    /// Who is out from a new epoch on: not those whom its commands let go, but those that have run away since. The second
    /// list is who is out for the first time.
    pub fn next(&mut self, epoch: Epoch, commands: &[Command]) -> (Vec<Quarantined>, Vec<Quarantined>) {
        self.release(epoch, commands);
        let mut out: Vec<Quarantined> = self
            .out
            .iter()
            .filter(|q| !commands.iter().any(|Command::Unsuppress { rule }| *rule == q.rule))
            .cloned()
            .collect();
        let mut new = Vec::new();
        for q in std::mem::take(&mut self.runaways) {
            let known = out.iter().any(|k| (&k.node, &k.rule) == (&q.node, &q.rule));
            let forgiven = self.released.get(&q.rule).is_some_and(|since| q.epoch < *since);
            // A replay finds again what the log says already.
            if !known && !forgiven {
                out.push(q.clone());
                new.push(q);
            }
        }
        (out, new)
    }

    /// An epoch is handed out, a new one or one of the log.
    pub fn handed_out(&mut self, epoch: Epoch, commands: &[Command], out: &[Quarantined]) {
        self.release(epoch, commands);
        self.out = out.to_vec();
    }

    fn release(&mut self, epoch: Epoch, commands: &[Command]) {
        for Command::Unsuppress { rule } in commands {
            self.released.insert(rule.clone(), epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(n: u64) -> Vec<(Arc<str>, Arc<str>, u64)> {
        vec![("rules".into(), "Loop".into(), n)]
    }

    fn release() -> Vec<Command> {
        vec![Command::Unsuppress { rule: "Loop".into() }]
    }

    fn names(out: &[Quarantined]) -> Vec<(&str, Epoch)> {
        out.iter().map(|q| (&*q.rule, q.epoch)).collect()
    }

    /// Log an epoch as the coordinator does.
    fn log(q: &mut Quarantine, epoch: Epoch, commands: &[Command]) -> Vec<Quarantined> {
        let (out, _) = q.next(epoch, commands);
        q.handed_out(epoch, commands, &out);
        out
    }

    #[test]
    fn out_from_the_next_epoch_on_and_named_once() {
        let mut q = Quarantine::default();
        q.finished(1, away(RUNAWAY - 1));
        assert!(log(&mut q, 2, &[]).is_empty());
        q.finished(2, away(RUNAWAY));
        q.finished(3, away(RUNAWAY));
        let (out, new) = q.next(4, &[]);
        assert_eq!((names(&out), names(&new)), (vec![("Loop", 2)], vec![("Loop", 2)]));
        q.handed_out(4, &[], &out);
        let (out, new) = q.next(5, &[]);
        assert_eq!((names(&out), names(&new)), (vec![("Loop", 2)], vec![]));
    }

    #[test]
    fn what_a_rule_did_before_it_was_let_go_is_forgiven() {
        let mut q = Quarantine::default();
        q.finished(1, away(RUNAWAY));
        assert_eq!(log(&mut q, 2, &[]).len(), 1);
        assert!(log(&mut q, 3, &release()).is_empty());
        // Epoch 1 had a neighbour still on its way.
        q.finished(2, away(RUNAWAY));
        assert!(log(&mut q, 4, &[]).is_empty());
        q.finished(3, away(RUNAWAY));
        assert_eq!(names(&log(&mut q, 5, &[])), [("Loop", 3)]);
    }

    /// The run: out at epoch 3, let go at 5, killed. The replay begins before epoch 1 and finds the runaway again, after the
    /// log's epochs have been handed out.
    #[test]
    fn a_replay_does_not_put_out_again_who_was_let_go() {
        let mut run = Quarantine::default();
        let mut logged = vec![log(&mut run, 1, &[])];
        run.finished(1, away(RUNAWAY));
        logged.push(log(&mut run, 2, &[]));
        logged.push(log(&mut run, 3, &release()));
        assert_eq!(logged.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0]);

        let mut replay = Quarantine::default();
        for (epoch, out) in (1..).zip(&logged) {
            let commands = if epoch == 3 { release() } else { Vec::new() };
            replay.handed_out(epoch, &commands, out);
        }
        replay.finished(1, away(RUNAWAY));
        assert!(log(&mut replay, 4, &[]).is_empty());
        replay.finished(3, away(RUNAWAY));
        assert_eq!(names(&log(&mut replay, 5, &[])), [("Loop", 3)]);
    }
}
