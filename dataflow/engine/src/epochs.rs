//! How a logged epoch enters the dataflow: from the coordinator's channel at worker 0, broadcast to every worker.
use crate::board::Board;
use model::{Epoch, EpochRecord};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::source;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

/// What only worker 0 has: the end of the coordinator's channel, and where to leave the wake-up handle.
pub(crate) struct Feed {
    pub epochs: Receiver<Arc<EpochRecord>>,
    pub wake: Sender<SyncActivator>,
}

/// Stream of epoch records on this worker. `start` is the epoch before the first one. Records travel between workers
/// as JSON text: a few hundred bytes per epoch, the same text as in the log.
pub(crate) fn epochs<'s>(
    scope: Scope<'s, Epoch>,
    start: Epoch,
    feed: Option<Feed>,
    board: Board,
) -> StreamVec<'s, Epoch, Rc<EpochRecord>> {
    let text = source::<_, CapacityContainerBuilder<Vec<String>>, _, _>(scope, "epochs", move |mut cap, info| {
        if let Some(feed) = &feed {
            cap.downgrade(&(start + 1));
            let _ = feed.wake.send(scope.worker().sync_activator_for(info.address.to_vec()));
        }
        let mut live = feed.map(|f| (cap, f));
        move |output| {
            while let Some((cap, feed)) = &mut live {
                match feed.epochs.try_recv() {
                    Ok(record) => {
                        assert_eq!(record.epoch, *cap.time(), "epochs are dense");
                        let text = serde_json::to_string(&*record).expect("a record is plain data");
                        output.session(&*cap).give(text);
                        cap.downgrade(&(record.epoch + 1));
                    }
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => live = None,
                }
            }
        }
    });
    text.broadcast().unary::<CapacityContainerBuilder<Vec<Rc<EpochRecord>>>, _, _, _>(Pipeline, "open", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, batches| {
                for text in batches.flat_map(|b| b.drain(..)) {
                    let record: EpochRecord = serde_json::from_str(&text).expect("written by worker 0");
                    board.open((&record).into());
                    board.quarantine(record.epoch, &record.quarantined);
                    let cap = cap.retain_least(0).expect("epoch records carry their epoch");
                    output.session(&cap).give(Rc::new(record));
                }
            })
        }
    })
}
