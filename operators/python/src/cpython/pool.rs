//! Workers, and which detection runs on which of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Problem;

use super::interpreter::Interpreter;
use super::sandbox::Isolation;
use super::settings::{Detection, Home, Limits, Settings, Sources};
use super::spawn::{Launch, Spaces, Starter};
use super::wire::Broken;
use super::worker::{Answer, BOOTSTRAP, Call, Worker, first};
use crate::cache::Cache;

/// Workers for detections. Any number of threads may call it; those that call the same worker wait for each other.
#[derive(Debug)]
pub struct Pool {
    starter: Starter,
    first: Vec<u8>,
    limits: Limits,
    detections: BTreeMap<String, (usize, Detection)>,
    slots: Vec<Slot>,
    turn: AtomicU64,
    restarts: AtomicU64,
    isolation: Isolation,
    version: String,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    /// Turn in which it was used last.
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    worker: Option<Worker>,
    /// Detections that cannot be loaded, with what is answered for them.
    refused: BTreeMap<String, Answer>,
}

impl Pool {
    /// Find the interpreter, see what the machine allows, and keep everything ready. A worker starts when it is called first.
    ///
    /// # Errors
    /// There is no interpreter (the problem says what to install), no worker comes up, or `strict` and a layer of the
    /// isolation is missing.
    pub fn open(settings: &Settings, sources: Sources) -> Result<Pool, Problem> {
        Pool::open_in(settings, sources, &[Spaces::Own, Spaces::OwnButUsers, Spaces::None])
    }

    /// The same with the first of some namespaces that the machine allows.
    pub(super) fn open_in(settings: &Settings, sources: Sources, spaces: &[Spaces]) -> Result<Pool, Problem> {
        let interpreter = Interpreter::find(settings)?;
        let first = first(&interpreter, &sources);
        let (starter, isolation) = prepare(&interpreter, &first, &settings.limits, spaces)?;
        if settings.strict && !isolation.missing.is_empty() {
            let missing = isolation.missing.join("; ");
            return Err(Problem::at("strict", format!("Python detections cannot be shut in wholly here: {missing}"))
                .hint("allow unprivileged user namespaces and Landlock, or set strict = false"));
        }
        let count = match settings.home {
            Home::Apart => sources.detections.len(),
            Home::Together(processes) => processes.max(1),
        };
        let detections = sources.detections.into_iter().enumerate();
        Ok(Pool {
            starter,
            first,
            limits: settings.limits,
            detections: detections.map(|(i, d)| (d.id.clone(), (i % count.max(1), d))).collect(),
            slots: (0..count.max(1)).map(|_| Slot::default()).collect(),
            turn: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            isolation,
            version: interpreter.version,
        })
    }

    /// What holds the workers in, and what of it the machine does not allow.
    pub fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    /// Version of the interpreter.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Workers that broke and were replaced, since the start.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Workers that are alive now.
    pub fn alive(&self) -> usize {
        (0..self.slots.len()).filter(|slot| self.state(*slot).worker.is_some()).count()
    }

    /// Load a detection now, so that a load error is known before the first event.
    ///
    /// # Errors
    /// No worker can be started.
    pub fn check(&self, detection: &str, clock: i64) -> Result<Option<Answer>, String> {
        let Some((slot, detection)) = self.detections.get(detection) else { return Ok(Some(unknown(detection))) };
        self.turn(*slot);
        self.loaded(&mut self.state(*slot), *slot, detection, clock)
    }

    /// Call detections with events, one after the other; answers come in the order of the calls. `clock` is "now" for all of
    /// them, microseconds since 1970.
    ///
    /// Calls of one detection that follow one another travel in one frame. So order them by detection; only where
    /// detections share keys of the cache the order of events is the one that counts.
    ///
    /// A call during which a worker breaks is repeated once on a new one. If it breaks again, that call is
    /// [`Answer::Failed`], and the calls after it go on: no call is lost and no other one is touched.
    ///
    /// # Errors
    /// No worker can be started: the machine does not allow it any more. Nothing is known of the calls then.
    pub fn call(&self, calls: &[Call], clock: i64, cache: &mut dyn Cache) -> Result<Vec<Answer>, String> {
        let mut answers: Vec<Option<Answer>> = vec![None; calls.len()];
        let mut run: Vec<usize> = Vec::new();
        let mut run_slot = 0;
        for (i, call) in calls.iter().enumerate() {
            match self.detections.get(call.detection) {
                Some(_) if call.event.len() > self.limits.event => {
                    let most = self.limits.event;
                    let text = format!("the event has {} bytes, {most} are allowed", call.event.len());
                    answers[i] = Some(Answer::Failed(text));
                }
                Some((slot, _)) => {
                    if *slot != run_slot {
                        self.run(run_slot, &run, calls, clock, cache, &mut answers)?;
                        run.clear();
                        run_slot = *slot;
                    }
                    run.push(i);
                }
                None => answers[i] = Some(unknown(call.detection)),
            }
        }
        self.run(run_slot, &run, calls, clock, cache, &mut answers)?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Answer calls of one slot that follow one another.
    fn run(
        &self,
        slot: usize,
        numbers: &[usize],
        calls: &[Call],
        clock: i64,
        cache: &mut dyn Cache,
        answers: &mut [Option<Answer>],
    ) -> Result<(), String> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.turn(slot);
        let mut state = self.state(slot);
        let mut rest = numbers;
        while !rest.is_empty() {
            let done = self.some(&mut state, slot, calls, rest, clock, cache, answers)?;
            rest = &rest[done..];
        }
        Ok(())
    }

    /// Answer some of the calls of one slot; how many.
    fn some(
        &self,
        state: &mut State,
        slot: usize,
        calls: &[Call],
        rest: &[usize],
        clock: i64,
        cache: &mut dyn Cache,
        answers: &mut [Option<Answer>],
    ) -> Result<usize, String> {
        // The calls up to a detection that cannot be loaded, as many as one frame carries.
        let mut ready = 0;
        for i in rest.iter().take(self.limits.batch) {
            let Some((_, detection)) = self.detections.get(calls[*i].detection) else { break };
            if let Some(refused) = self.loaded(state, slot, detection, clock)? {
                if ready == 0 {
                    answers[*i] = Some(refused);
                    return Ok(1);
                }
                break;
            }
            ready += 1;
        }
        let rest = &rest[..ready];
        let batch: Vec<Call> = rest.iter().map(|i| calls[*i]).collect();
        let mut done = 0;
        for last in [false, true] {
            // A new worker has loaded nothing yet, and loading may fail where it did not before.
            for call in &batch[done..] {
                let Some((_, detection)) = self.detections.get(call.detection) else { continue };
                if self.loaded(state, slot, detection, clock)?.is_some() {
                    return Ok(done);
                }
            }
            let Some(worker) = &mut state.worker else { return Ok(done) };
            let before = done;
            let result = worker.run(&batch[done..], clock, cache, |answer| {
                answers[rest[done]] = Some(answer);
                done += 1;
            });
            let Err(broken) = result else { return Ok(done) };
            let reason = self.drop_worker(state, broken);
            if done == batch.len() {
                return Ok(done);
            }
            // What was answered on the way shows that the next call has had its first try only now.
            if last && done == before {
                answers[rest[done]] = Some(Answer::Failed(reason));
                return Ok(done + 1);
            }
        }
        Ok(done)
    }

    /// See to it that the slot has a worker and the worker the detection; an answer if it cannot be loaded.
    fn loaded(
        &self,
        state: &mut State,
        slot: usize,
        detection: &Detection,
        clock: i64,
    ) -> Result<Option<Answer>, String> {
        if let Some(refused) = state.refused.get(&detection.id) {
            return Ok(Some(refused.clone()));
        }
        let mut why = String::new();
        for _ in 0..2 {
            if state.worker.is_none() {
                self.make_room(slot);
                state.worker = Some(Worker::start(&self.starter, &self.first, &self.limits)?);
            }
            let Some(worker) = &mut state.worker else { continue };
            if worker.loaded.contains(&detection.id) {
                return Ok(None);
            }
            match worker.load(detection, clock) {
                Ok(Ok(())) => return Ok(None),
                Ok(Err(raised)) => {
                    let answer = Answer::NotLoaded(raised);
                    state.refused.insert(detection.id.clone(), answer.clone());
                    return Ok(Some(answer));
                }
                Err(broken) => why = self.drop_worker(state, broken),
            }
        }
        let answer = Answer::Failed(format!("the detection cannot be loaded: {why}"));
        state.refused.insert(detection.id.clone(), answer.clone());
        Ok(Some(answer))
    }

    fn drop_worker(&self, state: &mut State, broken: Broken) -> String {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        state.worker.take().map(|mut worker| worker.reason(broken)).unwrap_or_default()
    }

    /// End the worker that was used least recently, if there are as many as there may be. Workers at work are left alone.
    fn make_room(&self, own: usize) {
        let mut idle = Vec::new();
        let mut alive = 1usize;
        for (number, slot) in self.slots.iter().enumerate().filter(|(number, _)| *number != own) {
            match slot.state.try_lock() {
                Ok(state) if state.worker.is_some() => {
                    alive += 1;
                    idle.push((slot.used.load(Ordering::Relaxed), number));
                }
                Ok(_) => {}
                Err(_) => alive += 1,
            }
        }
        idle.sort_unstable();
        for (_, number) in idle.into_iter().take(alive.saturating_sub(self.limits.processes.max(1))) {
            if let Ok(mut state) = self.slots[number].state.try_lock() {
                state.worker = None;
            }
        }
    }

    fn turn(&self, slot: usize) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        self.slots[slot].used.store(turn, Ordering::Relaxed);
    }

    fn state(&self, slot: usize) -> MutexGuard<'_, State> {
        self.slots[slot].state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(detection: &str) -> Answer {
    Answer::Failed(format!("the pool has no detection {detection}"))
}

/// The strongest isolation with which a worker comes up.
fn prepare(
    interpreter: &Interpreter,
    first: &[u8],
    limits: &Limits,
    spaces: &[Spaces],
) -> Result<(Starter, Isolation), Problem> {
    let mut refused = Vec::new();
    for spaces in spaces.iter().copied() {
        let mut isolation = Isolation { layers: vec![], missing: refused.clone() };
        let result = Launch::new(interpreter, BOOTSTRAP, limits, spaces, &mut isolation)
            .and_then(Starter::new)
            .map_err(|e| e.to_string())
            .and_then(|starter| Worker::start(&starter, first, limits).map(|_| starter));
        match result {
            Ok(starter) => return Ok((starter, isolation)),
            Err(why) => refused.push(match spaces {
                Spaces::Own => format!("namespaces: {why}"),
                Spaces::OwnButUsers => format!("namespaces without one of users: {why}"),
                Spaces::None => why,
            }),
        }
    }
    let why = refused.pop().unwrap_or_default();
    Err(Problem::at("python", format!("{}: {why}", interpreter.program.display()))
        .hint("see whether any user can run it (`setpriv --reuid=65534 --clear-groups PROGRAM -S -c pass`): one below /root cannot"))
}
