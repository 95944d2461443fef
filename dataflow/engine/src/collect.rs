//! The end of the dataflow: when an epoch is through every operator of every worker, its counts become a ledger row
//! set and its reports reach the coordinator.
use crate::board::{Board, Report, Tally};
use crate::ports::Packets;
use crate::status::Status;
use crate::writer::Shards;
use model::operator::STOPPED;
use model::part::sort_records;
use model::{Epoch, LedgerRow, Packet, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Message to the coordinator: everything of this epoch is committed.
pub(crate) struct Done {
    pub epoch: Epoch,
    pub reports: Vec<Report>,
    /// Bytes read, by source.
    pub bytes: BTreeMap<Arc<str>, u64>,
    /// Rules that were stopped at a limit: node, rule, how often.
    pub stopped: Vec<(Arc<str>, Arc<str>, u64)>,
}

/// Render the end. `done` are the streams whose frontiers tell that an operator is through with an epoch; `ledger`
/// and `tell` exist on worker 0 only.
pub(crate) fn collect<'s>(
    done: Packets<'s>,
    start: Epoch,
    mut ledger: Option<Shards>,
    tell: Option<Sender<Done>>,
    status: Arc<Status>,
    board: Board,
    bundle: Arc<str>,
) {
    let scope = done.scope();
    let mut b = OperatorBuilder::new("collect".into(), scope);
    let mut input = b.new_input(done, Pipeline);
    let (output, tallies) = b.new_output::<Vec<String>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<String>>>::from(output);
    let infos = board.clone();
    b.build(move |mut caps| {
        let mut cap = caps.pop().map(|c| c.delayed(&(start + 1)));
        let mut next = start + 1;
        move |frontiers| {
            input.for_each_stamp(|_, batches| batches.for_each(|b| b.clear()));
            let Some(held) = &mut cap else { return };
            while !frontiers[0].less_equal(&next) {
                let Some(info) = board.info(next) else { break };
                let tally = board.close(next);
                let text = serde_json::to_string(&tally).expect("a tally is plain data");
                output.activate().session(&*held).give(text);
                // Kept for the coordinate operator below until it has closed the epoch's ledger.
                board.open((*info).clone());
                next += 1;
                held.downgrade(&next);
            }
            if frontiers[0].is_empty() {
                cap = None;
            }
        }
    });

    let mut b = OperatorBuilder::new("coordinate".into(), scope);
    let mut input = b.new_input(tallies, Exchange::new(|_: &String| 0));
    b.build(move |_| {
        let mut stash: BTreeMap<Epoch, Tally> = BTreeMap::new();
        let (mut next, mut finished) = (start + 1, false);
        let ledger_id = ledger.as_ref().map_or_else(|| "".into(), |l| l.id.clone());
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                for text in batches.flat_map(|b| b.drain(..)) {
                    let tally: Tally = serde_json::from_str(&text).expect("written by a worker");
                    let slot = stash.entry(epoch).or_default();
                    slot.counts.extend(tally.counts);
                    slot.reports.extend(tally.reports);
                }
            });
            while !frontiers[0].less_equal(&next) {
                let Some(info) = infos.info(next) else { break };
                infos.close(next);
                let mut tally = stash.remove(&next).unwrap_or_default();
                if let (Some(ledger), Some(tell)) = (&mut ledger, &tell) {
                    let rows = sum(tally.counts);
                    let clock = LedgerRow {
                        epoch: next,
                        node: ledger_id.clone(),
                        rule: bundle.clone(),
                        counter: LedgerRow::CLOCK.into(),
                        n: info.now_ms.max(0) as u64,
                    };
                    let all = rows.iter().cloned().chain((!rows.is_empty()).then_some(clock));
                    let mut records: Vec<Record> = all.map(|r| Record::Ledger(Box::new(r))).collect();
                    sort_records(&mut records);
                    let packets = if records.is_empty() { vec![] } else { vec![Packet::Records(records)] };
                    for closed in ledger.epoch(&info, vec![packets]) {
                        let (sink, shard) = (ledger_id.clone(), closed.shard);
                        tally.reports.extend(closed.commit.map(|commit| Report::Commit { sink, shard, commit }));
                    }
                    let read = rows.iter().filter(|r| r.counter == "bytes");
                    let bytes = read.map(|r| (r.node.clone(), r.n)).collect();
                    let stopped = rows.iter().filter(|r| r.counter == STOPPED);
                    let stopped = stopped.map(|r| (r.node.clone(), r.rule.clone(), r.n)).collect();
                    status.add(next, &rows);
                    let _ = tell.send(Done { epoch: next, reports: tally.reports, bytes, stopped });
                }
                next += 1;
            }
            if frontiers[0].is_empty() && !finished {
                finished = true;
                if let Some(ledger) = &mut ledger {
                    ledger.finish();
                }
            }
        }
    });
}

/// Sum the workers' counts; ordered by node, rule, counter.
fn sum(counts: Vec<LedgerRow>) -> Vec<LedgerRow> {
    let mut out: BTreeMap<(Arc<str>, Arc<str>, String), LedgerRow> = BTreeMap::new();
    for c in counts {
        let key = (c.node.clone(), c.rule.clone(), c.counter.clone());
        out.entry(key).and_modify(|r| r.n += c.n).or_insert(c);
    }
    out.into_values().collect()
}
