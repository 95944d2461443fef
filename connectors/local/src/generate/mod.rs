//! The `generate` source: mixed security logs out of nothing, for demos, load and tests.
//!
//! Event `n` of a log type is a function of the seed, `n` and the time its split was offered, which is in the log: a
//! replay gives the same bytes. Each log type is a partition whose offsets are sequence numbers. Between ordinary
//! events an attack is told in every 20,000 ([`story`]), and the web server's 404s are loud enough to trip a storm
//! limiter ([`noise`]).
mod mix;
mod noise;
mod random;
mod shape;
mod story;

use crate::file::batch::Batcher;
use mix::{KINDS, Round};
use model::part::Opened;
use model::source::{Budget, Poll};
use model::units::Rate;
use model::{BuildCx, Built, Files, Node, Origin, Packet, Part, Problem, Reader, Result, Source, Spec, Split};
use random::Random;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Events of one split at most.
const CHUNK: u64 = 4_096;
/// Bytes an event counts in the budget.
const EVENT_BYTES: u64 = 512;
/// After a pause, at most so many milliseconds of events are made up for.
const CATCH_UP_MS: i64 = 2_000;
/// The first poll offers so many milliseconds of events.
const FIRST_MS: i64 = 100;

/// `type = "generate"`; see the module.
pub struct GeneratePart;

/// Settings of a `generate` source.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Events per time over all log types, such as `"2000/s"`. With `--once` the pace is not kept: events come as fast
    /// as they are taken, and only their timestamps follow the rate.
    #[serde(default = "rate")]
    rate: Rate,
    /// Stop after so many events. Needed with `--once`.
    count: Option<u64>,
    /// Time of the first event, RFC 3339. With it the events are a function of the seed alone; without it they carry
    /// the time at which they are made.
    start: Option<String>,
    /// Another seed, other events.
    #[serde(default)]
    seed: u64,
    /// Tell an attack every 20,000 events.
    #[serde(default = "yes")]
    stories: bool,
}

fn rate() -> Rate {
    Rate { count: 2000, per_ms: 1000 }
}
fn yes() -> bool {
    true
}

impl Settings {
    /// `start` in milliseconds since 1970.
    fn start_ms(&self) -> Option<i64> {
        model::time::rfc3339_ns(self.start.as_deref()?).map(|ns| ns.div_euclid(1_000_000))
    }
    /// Milliseconds that `n` events of a kind take.
    fn time_of(&self, kind: usize, n: u64) -> i64 {
        let ms = n as u128 * self.rate.per_ms as u128 * mix::ROUND as u128;
        (ms / (self.rate.count as u128 * KINDS[kind].share as u128).max(1)) as i64
    }
}

impl Part for GeneratePart {
    fn spec(&self) -> Spec {
        Spec::source(
            "generate",
            "Makes up CloudTrail, Okta, GitHub, VPC flow, Nginx, syslog and DNS logs with attacks in them.",
        )
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings) {
            Ok(s) if s.rate.count == 0 => {
                Opened::failed(vec![Problem::at("rate", "a rate of zero makes no events").hint("write \"2000/s\"")])
            }
            Ok(s) if s.start.is_some() && s.start_ms().is_none() => Opened::failed(vec![
                Problem::at("start", "this is not a time").hint("write RFC 3339, as in \"2026-03-02T09:00:00Z\""),
            ]),
            Ok(s) => Opened::ok(GenerateNode(Arc::new(s))),
            Err(e) => Opened::failed(vec![Problem::at("", e.to_string())]),
        }
    }
}

struct GenerateNode(Arc<Settings>);

impl Node for GenerateNode {
    fn summary(&self) -> String {
        format!("{} events of {} log types", self.0.rate, KINDS.len())
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        if cx.once && self.0.count.is_none() {
            return Err(format!("source {}: a run with --once needs `count`, or it has no end", cx.id).into());
        }
        let source = Generator {
            id: cx.id.clone(),
            settings: self.0.clone(),
            round: Round::new(),
            paced: !cx.once,
            credit: 0,
            last_ms: None,
            state: State::default(),
        };
        let settings = self.0.clone();
        Ok(Built::Source(
            Box::new(source),
            Box::new(move || {
                Ok(Box::new(GenerateReader { settings: settings.clone(), cast: BTreeMap::new() }) as Box<dyn Reader>)
            }),
        ))
    }
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// Events offered.
    total: u64,
    /// Events offered by kind.
    next: [u64; KINDS.len()],
    /// Time of event 0, where the pace is not kept.
    start_ms: Option<i64>,
}

struct Generator {
    id: Arc<str>,
    settings: Arc<Settings>,
    round: Round,
    paced: bool,
    /// Events owed, times the rate's period.
    credit: u64,
    last_ms: Option<i64>,
    state: State,
}

#[derive(Serialize, Deserialize)]
struct Detail {
    /// Time of the first event, milliseconds since 1970.
    at_ms: i64,
}

impl Generator {
    /// How many events are due, and the time of the first of them.
    fn due(&mut self, budget: Budget) -> (u64, i64) {
        let room = budget.bytes.div_ceil(EVENT_BYTES);
        if !self.paced {
            return (room, 0);
        }
        let elapsed = self.last_ms.map_or(FIRST_MS, |t| (budget.now_ms - t).clamp(0, CATCH_UP_MS));
        self.last_ms = Some(budget.now_ms);
        let rate = self.settings.rate;
        let most = CATCH_UP_MS as u64 * rate.count + rate.per_ms;
        self.credit = (self.credit + elapsed as u64 * rate.count).min(most);
        let due = (self.credit / rate.per_ms).min(room);
        self.credit -= due * rate.per_ms;
        (due, budget.now_ms - elapsed)
    }
}

impl Source for Generator {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        let mut out = Poll::default();
        let left = self.settings.count.map_or(u64::MAX, |c| c.saturating_sub(self.state.total));
        let (due, now) = self.due(budget);
        self.state.total += due.min(left);
        let fixed = self.settings.start_ms();
        let start = *self.state.start_ms.get_or_insert(fixed.unwrap_or(budget.now_ms));
        for (k, kind) in KINDS.iter().enumerate() {
            let (first, to) = (self.state.next[k], self.round.of_kind(k, self.state.total));
            let mut from = first;
            while from < to {
                let end = to.min(from + CHUNK);
                let at_ms = if self.paced && fixed.is_none() {
                    now + self.settings.time_of(k, from - first)
                } else {
                    start + self.settings.time_of(k, from)
                };
                out.bytes += (end - from) * EVENT_BYTES;
                out.splits.push(Split {
                    source: self.id.clone(),
                    partition: k as u32,
                    name: kind.log_type.into(),
                    from,
                    to: end,
                    detail: serde_json::to_value(Detail { at_ms })?,
                    lane: Split::ANY_LANE,
                });
                from = end;
            }
            self.state.next[k] = first.max(to);
        }
        out.exhausted = self.settings.count.is_some_and(|c| self.state.total >= c);
        Ok(out)
    }
    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.state).unwrap_or_default()
    }
    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = serde_json::from_slice(state).map_err(|e| format!("state of source {}: {e}", self.id))?;
        Ok(())
    }
    fn replayed(&mut self, split: &Split) -> Result<()> {
        let k = split.partition as usize;
        let detail = Detail::deserialize(&split.detail)?;
        let next = self.state.next.get_mut(k).ok_or_else(|| format!("source {}: no partition {k}", self.id))?;
        *next = split.to;
        self.state.total = self.state.next.iter().sum();
        self.state.start_ms.get_or_insert(detail.at_ms - self.settings.time_of(k, split.from));
        Ok(())
    }
}

struct GenerateReader {
    settings: Arc<Settings>,
    /// Casts of the cycles in work.
    cast: BTreeMap<u64, story::Cast>,
}

/// Casts a reader remembers.
const MAX_CASTS: usize = 16;

impl GenerateReader {
    fn line(&mut self, k: usize, n: u64, ms: i64, out: &mut String) {
        let (kind, seed) = (&KINDS[k], self.settings.seed);
        let scene = if self.settings.stories { mix::scene_at(kind, n) } else { None };
        match scene {
            None => (kind.noise)(&mut Random::at(seed, k as u64, n), ms, out),
            Some((cycle, step)) => {
                if self.cast.len() >= MAX_CASTS && !self.cast.contains_key(&cycle) {
                    self.cast.pop_first();
                }
                (kind.story)(self.cast.entry(cycle).or_insert_with(|| story::Cast::of(seed, cycle)), step, ms, out)
            }
        }
    }
}

impl Reader for GenerateReader {
    fn anywhere(&self) -> bool {
        true
    }

    fn read_part(
        &mut self,
        split: &Split,
        _from: u64,
        origin: &Arc<Origin>,
        out: &mut dyn FnMut(Packet),
    ) -> Result<u64> {
        let k = split.partition as usize;
        let kind = KINDS.get(k).ok_or_else(|| format!("split of {}: no log type {k}", split.name))?;
        let detail = Detail::deserialize(&split.detail).map_err(|e| format!("split of {}: {e}", split.name))?;
        let mut batch = Batcher::new(split, origin, out);
        batch.header = kind.header.map(|h| h.as_bytes().into());
        let (mut line, fixed) = (String::new(), self.settings.start_ms());
        for n in split.from..split.to {
            line.clear();
            // With a fixed start the time must not depend on where splits were cut, not even by rounding.
            let ms = match fixed {
                Some(start) => start + self.settings.time_of(k, n),
                None => detail.at_ms + self.settings.time_of(k, n - split.from),
            };
            self.line(k, n, ms, &mut line);
            batch.push(line.as_bytes(), n, 0);
        }
        batch.flush();
        Ok(split.to)
    }
}

#[cfg(test)]
mod tests;
