//! F6: requests of transactions are held back until their sender has given up and a later transaction is open, and then
//! reach the broker. Kafka itself cannot tell them from requests that are meant.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{lasting, setup};
use crate::kafka::{Broker, free_port};
use crate::proxy::{Proxy, Rule, api};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 1_000;
/// The shortest that the connectors take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// A job is judged after so many, so that a failure has a short history.
const JOB: u64 = 50;
/// Requests of one kind are held within this time.
const PART_MAX: Duration = Duration::from_secs(90);
/// What is held. A producer is initialised when an earlier one was given up, so that comes with the others.
const KINDS: [(&str, &[i16]); 4] = [
    ("EndTxn", &[api::END_TXN]),
    ("Produce", &[api::PRODUCE]),
    ("AddPartitionsToTxn, EndTxn", &[api::ADD_PARTITIONS, api::END_TXN]),
    ("EndTxn, InitProducerId", &[api::END_TXN, api::INIT_PRODUCER]),
];

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let port = free_port("127.0.0.1")?;
    let mut setup = setup();
    setup.advertised = vec![("127.0.0.1".into(), port)];
    let broker = Broker::start_with(setup)?;
    let proxy = Proxy::start(port, &format!("127.0.0.1:{}", broker.nodes()[0].client))?;
    let mut report = RowReport::default();
    let (start, mut at) = (proxy.held(), 0);
    while report.faults < count {
        let want = (count - report.faults).min(JOB);
        let options =
            Options { connection: "request_timeout = \"1s\"".into(), rate: RATE, processes: 1, ..Options::default() };
        let job = Job::start(ctx, &broker, lasting(ctx, 6.0 + want as f64 * 0.8, RATE), options)?;
        job.works()?;
        let before = proxy.held();
        // Each kind gets its part of the faults, in turns: a job alone sees several of them.
        while proxy.held().held - before.held < want && !job.done() {
            let (name, kinds) = KINDS[at % KINDS.len()];
            at += 1;
            let part = proxy.held();
            let more = want.div_ceil(KINDS.len() as u64).min(want - (part.held - before.held));
            let rule = Rule {
                kinds: kinds.to_vec(),
                one_in: 8,
                at_least: REQUEST_TIMEOUT + Duration::from_millis(200),
                at_most: Duration::from_secs(4),
            };
            proxy.hold(Some(rule), ctx.below(u64::MAX));
            let began = Instant::now();
            while proxy.held().held - part.held < more && !job.done() {
                ensure!(began.elapsed() < PART_MAX, "{name}: only {:?} in {PART_MAX:?}\n{}", proxy.held(), job.log());
                std::thread::sleep(Duration::from_millis(5));
            }
            proxy.hold(None, 0);
            let now = proxy.held();
            ctx.note(&format!(
                "{name}: {} held; in all {} given up, {} into a later transaction",
                now.held - part.held,
                now.orphans - start.orphans,
                now.crossed - start.crossed
            ));
        }
        let held = proxy.held().held - before.held;
        ensure!(held > 0, "no request was held");
        job.finish(held, &mut report)?;
    }
    let end = proxy.held();
    let (orphans, crossed) = (end.orphans - start.orphans, end.crossed - start.crossed);
    ensure!(crossed > 0, "no request crossed into a later transaction: nothing was tested");
    report.notes.push(format!("{orphans} given up by their sender, {crossed} let go into a later transaction"));
    Ok(report)
}
