//! Stateful operators: records meet by key group, an epoch is applied when it is whole, state is saved by group (see
//! [`crate::state`]).
use crate::board::Board;
use crate::fatal::fatal;
use crate::graph::Settings;
use crate::ports::{Outputs, Packets};
use crate::state::{Keep, bytes, load, save};
use crate::status::Status;
use model::key::group_of;
use model::part::sort_records;
use model::{Change, Ctx, Epoch, Keyed, Packet, Record};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Render a keyed operator. Returns its output ports and the stream whose frontier tells that an epoch is done.
pub(crate) fn keyed<'s>(
    input: Packets<'s>,
    id: Arc<str>,
    mut op: Box<dyn Keyed>,
    ports: usize,
    start: Epoch,
    keep: Keep,
    settings: &Settings,
    board: Board,
) -> Vec<Packets<'s>> {
    let scope = input.scope();
    let (me, peers) = (scope.index() as u32, scope.peers() as u32);
    let mut chains = load(&mut *op, &keep, me, peers).unwrap_or_else(|e| fatal(&id, format!("load state: {e}")));
    let groups = settings.groups;
    let op = Rc::new(RefCell::new(op));
    let (router, cpu) = (op.clone(), board.cpu(&id));
    let routing = cpu.clone();
    let records = input.unary::<CapacityContainerBuilder<Vec<(u32, Record)>>, _, _, _>(Pipeline, "key", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let mut session = output.session(&cap);
                let op = router.borrow();
                let records = batches.flat_map(|b| b.drain(..)).filter_map(|p| match p {
                    Packet::Records(r) => Some(r),
                    _ => None,
                });
                routing.of(|| {
                    let mut split = Vec::new();
                    for r in records.flatten() {
                        op.split(r, &mut split);
                        session.give_iterator(split.drain(..).map(|r| (group_of(op.key(&r), groups), r)));
                    }
                });
            })
        }
    });
    let mut b = OperatorBuilder::new(format!("keyed {id}"), scope);
    let mut input = b.new_input(records, Exchange::new(move |r: &(u32, Record)| (r.0 % peers) as u64));
    let (outputs, streams) = Outputs::new(&mut b, ports);
    let mut outputs = outputs.tapped(board.faucet(&id));
    let status = board.status();
    status.state(&id, me as usize, bytes(&chains), op.borrow().keys());
    b.build(move |caps| {
        let mut caps: Option<Vec<_>> = Some(caps.iter().map(|c| c.delayed(&(start + 1))).collect());
        let mut stash: BTreeMap<Epoch, Vec<Record>> = BTreeMap::new();
        let (mut next, mut cx) = (start + 1, Ctx::default());
        let mut out: Vec<Arc<str>> = Vec::new();
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                let slot = stash.entry(epoch).or_default();
                batches.for_each(|b| slot.extend(b.drain(..).map(|r| r.1)));
            });
            let Some(held) = &mut caps else { return };
            while !frontiers[0].less_equal(&next) {
                let Some(info) = board.info(next) else { break };
                let mut records = stash.remove(&next).unwrap_or_default();
                if model::fault::broken("apply_on_arrival") {
                    records.extend(std::mem::take(&mut stash).into_values().flatten());
                }
                sort_records(&mut records);
                board.count(next, &id, "".into(), "received", records.len() as u64);
                let mut op = op.borrow_mut();
                let quarantined = board.quarantined(next, &id);
                if quarantined != out {
                    op.quarantine(&quarantined);
                    out = quarantined;
                }
                if let Err(e) = cpu.of(|| op.epoch(&info, records, &mut cx)) {
                    fatal(&id, e);
                }
                model::fault::crash_point("state.after_apply");
                for (counter, rule, n) in cx.counts.drain(..) {
                    board.count(next, &id, rule, counter, n);
                }
                for (port, packet) in cx.out.drain(..) {
                    show_alerts(&status, &id, &packet);
                    outputs.give(port, &held[port], packet);
                }
                if info.snapshot {
                    match cpu.of(|| save(&mut **op, &id, &keep, next, me, &mut chains)) {
                        Ok(report) => board.report(next, report),
                        Err(e) => fatal(&id, format!("save state: {e}")),
                    }
                    status.state(&id, me as usize, bytes(&chains), op.keys());
                }
                next += 1;
                status.frontier(&id, me as usize, next);
                held.iter_mut().for_each(|c| c.downgrade(&next));
            }
            if frontiers[0].is_empty() {
                caps = None;
            }
        }
    });
    streams
}

/// Count new alerts by rule and severity, for people.
fn show_alerts(status: &Status, node: &Arc<str>, packet: &Packet) {
    let Packet::Records(records) = packet else { return };
    for r in records {
        if let Record::Alert(a) = r
            && a.change == Change::New
        {
            status.alert(node, a);
        }
    }
}
