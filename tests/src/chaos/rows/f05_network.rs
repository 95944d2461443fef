//! F5: three machines (namespaces): the broker, and one process on each of two. Cut both ways, one way, in turns, lossy,
//! slow; then healed. Output goes on within ten seconds of the heal.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{lasting, setup};
use crate::kafka::{Broker, unique};
use crate::netns::Network;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 500;
const BROKER: usize = 0;
const WORKERS: [usize; 2] = [1, 2];
/// Port on which the processes talk to each other.
const MESH: u16 = 2101;
/// Faults of a job; then it is judged.
const JOB: u64 = 4;
/// Networks beside each other, each with a broker and two machines.
const NETWORKS: usize = 2;
/// Time before a fault, milliseconds.
const PAUSE: (u64, u64) = (500, 1_500);
/// Time that a fault lasts, milliseconds; see [`Ctx::scaled`].
const CUT: (u64, u64) = (1_000, 20_000);
/// Progress after the heal. A cluster that was taken for lost is started again first.
const HEALED_MAX: Duration = Duration::from_secs(10);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let mut report = RowReport::default();
    let jobs: Vec<(u64, u64)> = (0..count).step_by(JOB as usize).map(|at| (at, JOB.min(count - at))).collect();
    // Half of the jobs in each network.
    let parts: Vec<_> = jobs.chunks(jobs.len().div_ceil(NETWORKS)).collect();
    for r in ctx.together(NETWORKS, parts, in_network)? {
        report.add(r);
    }
    Ok(report)
}

/// Jobs in a network of their own, one after the other: the number of each one's first fault, and how many.
fn in_network(ctx: &Ctx, jobs: &[(u64, u64)]) -> Result<RowReport> {
    let net = Network::new(3)?;
    net.join()?;
    let mut setup = setup();
    setup.host = net.address(BROKER);
    setup.wrap = net.on(BROKER);
    let broker = Broker::start_with(setup)?;
    let (mut report, mut late) = (RowReport::default(), Vec::new());
    let hosts: Vec<String> = WORKERS.iter().map(|w| format!("\"{}:{MESH}\"", net.address(*w))).collect();
    for (first, faults) in jobs {
        let snapshots = ctx.dir().join(unique("snapshots"));
        std::fs::create_dir_all(&snapshots)?;
        let options =
            Options { machines: WORKERS.iter().map(|w| net.on(*w)).collect(), rate: RATE, ..Options::default() };
        let mut options = options.log_in_kafka(&broker, snapshots.display());
        options.sections += &format!(
            "\n[cluster]\nhosts = [{}]\nsecret = \"{}\"\ntimeout = \"3s\"\n",
            hosts.join(", "),
            "a secret of the fault tests",
        );
        // Input for the slowest machine that holds: there must be output to come after the last fault.
        let each = Duration::from_millis(PAUSE.1) + ctx.longest(CUT.1) + HEALED_MAX;
        let job = Job::start(ctx, &broker, lasting(ctx, each.as_secs_f64() * *faults as f64, RATE), options)?;
        job.works()?;
        let mut hit = 0;
        while hit < *faults && !job.done() {
            std::thread::sleep(ctx.between(PAUSE.0, PAUSE.1));
            let (time, worker) = (ctx.scaled(CUT.0, CUT.1), WORKERS[ctx.below(2) as usize]);
            let what = wound(ctx, &net, (first + hit) % 7, worker, time)?;
            net.heal()?;
            let at = Instant::now();
            hit += 1;
            if let Some(t) = job.output_since(at, at)? {
                let (cut, healed) = (time.as_secs_f64(), t.as_secs_f64());
                ctx.note(&format!("{what} for {cut:.1} s: output {healed:.2} s after the heal"));
                report.resume.push(t);
                if t > HEALED_MAX {
                    late.push(format!("{what}: {t:?}"));
                }
            }
        }
        ensure!(hit == *faults, "all output was there after {hit} of {faults} faults");
        job.finish(hit, &mut report)?;
    }
    ensure!(late.is_empty(), "output later than {HEALED_MAX:?} after the heal: {late:?}");
    Ok(report)
}

/// One fault of the network, for a time. It is not healed here.
fn wound(ctx: &Ctx, net: &Network, kind: u64, worker: usize, time: Duration) -> Result<&'static str> {
    let [a, b] = WORKERS;
    let both = |x: usize, y: usize| net.cut(x, y).and_then(|()| net.cut(y, x));
    let what = match kind {
        0 => both(a, b).map(|()| "worker and worker cut"),
        1 => both(worker, BROKER).map(|()| "worker and broker cut"),
        2 => net.cut(worker, BROKER).map(|()| "worker to broker cut"),
        3 => net.cut(BROKER, worker).map(|()| "broker to worker cut"),
        4 => {
            // In turns: who can talk to whom changes while the cluster tries to form.
            for _ in 0..4 {
                let pair = [(a, b), (a, BROKER), (b, BROKER)][ctx.below(3) as usize];
                both(pair.0, pair.1)?;
                std::thread::sleep(time / 4);
                net.heal()?;
            }
            return Ok("cut in turns");
        }
        5 => net.lose(worker, 5 + ctx.below(26) as u32).map(|()| "packets lost"),
        _ => net.slow(worker, 1_000).map(|()| "1 Mbit/s"),
    }?;
    std::thread::sleep(time);
    Ok(what)
}
