//! F15: snapshots go to S3, and three in ten requests meet a fault: 503, silence, a lost answer, an upload that breaks off.
//! The job is killed meanwhile, so that what was written is also read. At the end no upload is left half done.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::kafka::{Broker, unique};
use crate::moto::Moto;
use crate::s3_faults::Faults;
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const RATE: u64 = 1_000;
/// Requests in a hundred that meet a fault.
const PERCENT: u32 = 30;
/// Faults of one job; then it is judged.
const JOB: u64 = 100;
/// Jobs beside each other.
const TOGETHER: usize = 5;
/// How long a silent server is silent.
const SILENCE: Duration = Duration::from_millis(1_500);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, moto) = (broker()?, Moto::start()?);
    ensure!(ask(moto.port, "PUT /chaos")?.starts_with("HTTP/1.1 200"), "the stand-in makes no bucket");
    Ok(ctx.jobs(TOGETHER, count, JOB, |ctx, _, faults| Ok((one(ctx, broker, moto.port, faults)?, ())))?.0)
}

/// A job whose snapshots meet so many faults.
fn one(ctx: &Ctx, broker: &Broker, moto: u16, want: u64) -> Result<RowReport> {
    let mut report = RowReport::default();
    let faults = Faults::start(&format!("127.0.0.1:{moto}"), ctx.below(u64::MAX), PERCENT, SILENCE)?;
    let prefix = unique("job");
    let url = format!("s3://chaos/{prefix}?endpoint={}&region=us-east-1", faults.url());
    let mut options = Options { rate: RATE, processes: 1, ..Options::default() }.log_in_kafka(broker, url);
    options.env = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .to_vec();
    // A snapshot a second is two or three requests.
    let job = Job::start(ctx, broker, lasting(ctx, 6.0 + want as f64 * 1.2, RATE), options)?;
    job.works()?;
    let mut next_kill = want / 3;
    while faults.total() < want && !job.done() {
        std::thread::sleep(Duration::from_millis(20));
        if faults.total() >= next_kill {
            next_kill += (want / 3).max(1);
            let (pids, at) = (job.up()?, Instant::now());
            job.kill(&pids);
            if let Some(t) = job.resumed(&pids, at)? {
                report.resume.push(t);
                let (met, after) = (faults.total(), t.as_secs_f64());
                ctx.note(&format!("{met} faults; kill -9: output again after {after:.2} s"));
            }
        }
    }
    faults.set_percent(0);
    let met = faults.total();
    ensure!(met > 0, "no request met a fault");
    job.finish(met, &mut report)?;
    let uploads = ask(moto, &format!("GET /chaos?uploads&prefix={prefix}"))?;
    ensure!(!uploads.contains("<Upload>"), "uploads are left half done: {uploads}");
    Ok(report)
}

/// A request to the stand-in, which asks nobody who they are.
fn ask(port: u16, request: &str) -> Result<String> {
    let mut c = TcpStream::connect(("127.0.0.1", port))?;
    c.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!("{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    c.write_all(head.as_bytes())?;
    let mut answer = String::new();
    c.read_to_string(&mut answer)?;
    Ok(answer)
}
