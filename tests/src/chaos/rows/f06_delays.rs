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
/// One job that holds no more requests back than this in a while is stuck.
const JOB_MAX: Duration = Duration::from_secs(120);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let port = free_port("127.0.0.1")?;
    let mut setup = setup();
    setup.advertised = vec![("127.0.0.1".into(), port)];
    let broker = Broker::start_with(setup)?;
    let proxy = Proxy::start(port, &format!("127.0.0.1:{}", broker.nodes()[0].client))?;
    let (mut report, mut orphans, mut crossed) = (RowReport::default(), 0, 0);
    let kinds: [&[i16]; 4] =
        [&[api::END_TXN], &[api::PRODUCE], &[api::END_TXN, api::PRODUCE], &[api::ADD_PARTITIONS, api::END_TXN]];
    while report.faults < count {
        let want = (count - report.faults).min(50);
        let options =
            Options { connection: "request_timeout = \"1s\"".into(), rate: RATE, processes: 1, ..Options::default() };
        let job = Job::start(ctx, &broker, lasting(ctx, 4.0 + want as f64 * 0.8, RATE), options)?;
        job.works()?;
        let (before, began) = (proxy.held(), Instant::now());
        let kind = kinds[report.jobs as usize % kinds.len()];
        let rule = Rule {
            kinds: kind.to_vec(),
            one_in: 12,
            at_least: REQUEST_TIMEOUT + Duration::from_millis(200),
            at_most: Duration::from_secs(4),
        };
        proxy.hold(Some(rule), ctx.below(u64::MAX));
        while proxy.held().held - before.held < want && !job.done() {
            ensure!(began.elapsed() < JOB_MAX, "only {:?} in {JOB_MAX:?}\n{}", proxy.held(), job.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy.hold(None, 0);
        let now = proxy.held();
        let held = now.held - before.held;
        ensure!(held > 0, "no request of kinds {kind:?} was held");
        job.finish(held, &mut report)?;
        let end = proxy.held();
        (orphans, crossed) = (orphans + end.orphans - before.orphans, crossed + end.crossed - before.crossed);
        ctx.note(&format!("requests {kind:?}: {held} held, {orphans} given up, {crossed} into a later transaction"));
    }
    ensure!(crossed > 0, "no request crossed into a later transaction: nothing was tested");
    report.notes.push(format!("{orphans} given up by their sender, {crossed} let go into a later transaction"));
    report.took = ctx.began.elapsed();
    Ok(report)
}
