//! F10: the input topic gets more partitions while it is read, and strangers come and go in the source's consumer group.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::checker::input::Plan;
use crate::kafka::Broker;
use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// Strangers in the group for each growth of the topic.
const STRANGERS: u64 = 4;
/// Jobs beside each other.
const TOGETHER: usize = 2;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let broker = broker()?;
    Ok(ctx.jobs(TOGETHER, count, 1, |ctx, _, _| Ok((one(ctx, broker)?, ())))?.0)
}

fn one(ctx: &Ctx, broker: &Broker) -> Result<RowReport> {
    let mut report = RowReport::default();
    let plan: Plan = lasting(ctx, 10.0, RATE);
    let plan = Plan { grow_at: Some(plan.events / 3), ..plan };
    let job = Job::start(ctx, broker, plan, Options::default())?;
    job.works()?;
    let (group, topic, mut strangers) = (format!("{}.in", job.name), format!("{}.in", job.name), 0);
    while strangers < STRANGERS && !job.done() {
        let member: BaseConsumer = crate::kafka::settings(&broker.bootstrap())
            .set("group.id", &group)
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "true")
            .create()?;
        member.subscribe(&[&topic])?;
        let end = Instant::now() + ctx.between(500, 1_500);
        while Instant::now() < end {
            // What it reads does not matter; that it is a member does.
            if let Some(Err(e)) = member.poll(Duration::from_millis(50)) {
                ctx.note(&format!("the stranger: {e}"));
            }
        }
        strangers += 1;
    }
    ctx.note(&format!("4 → 8 partitions, {strangers} members came and went"));
    job.finish(1, &mut report)?;
    Ok(report)
}
