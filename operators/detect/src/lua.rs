//! Lua rules: hostile-proof, deterministic functions of one event.
//!
//! One Luau machine per worker holds every Lua rule of a node. Each evaluation runs the rule's chunk in a *fresh*
//! environment over read-only libraries, so nothing a rule writes outlives the event: no rule can see another rule's
//! globals, nor what it did itself with an earlier event. That costs a microsecond and makes a result independent of
//! the worker, the batch and the order in which events arrive, which replay after a crash depends on.
//!
//! A rule defines `rule(event)` and, if it likes, `title`, `description`, `reference`, `severity`, `runbook`,
//! `destinations`, `dedup`, `alert_context` and `unique`. Order, fallbacks and cuts are those of the functional
//! specification §4.2 ([`contract`]). What a rule may call is listed in [`sandbox`], the event object in [`view`].
//!
//! Limits hold per rule and event ([`Limits`]): a budget of ticks, CPU time behind it for what ticks do not see, and
//! memory. A rule that exceeds one fails with a rule error; the other rules of the event still run. Of the three,
//! only CPU time depends on the machine, so it is the one place where speed may decide a result; the tick budget is
//! set so that it ends a runaway loop first.
pub mod contract;
mod library;
mod meter;
mod sandbox;
mod value;
pub mod view;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use crate::rule::{Body, Rule};
use contract::Failure;
pub use contract::{Found, Outcome};
use meter::Meter;
use mlua::chunk::ChunkMode;
use mlua::{AnyUserData, Function, Lua, Table, Value};
use model::RuleMeta;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use view::Node;

/// What one evaluation (one rule, one event, all its functions together) may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ticks: the machine ticks at every call, every turn of a loop and every step of the pattern matcher. The main
    /// limit, and a deterministic one.
    pub ticks: u64,
    /// CPU time of the thread, for library calls that are long between two ticks.
    pub cpu: Duration,
    /// Bytes a rule may allocate above what the machine held when the evaluation began.
    pub memory: usize,
}

impl Limits {
    /// Limits with this much CPU time and memory. Ticks follow the time: a tick takes 50 to 100 ns, so that the budget
    /// ends a loop well before the time does.
    pub fn of(cpu: Duration, memory: usize) -> Limits {
        let ticks = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX).saturating_mul(TICKS_PER_US);
        Limits { ticks, cpu, memory }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::of(Duration::from_millis(10), 16 << 20)
    }
}

/// Tick budget per microsecond of CPU limit.
const TICKS_PER_US: u64 = 5;

/// The machine cannot see how large the event behind a view is, so it is told to collect after this many bytes of
/// events.
const MAX_HELD: usize = 16 << 20;

/// All Lua rules of a node, loaded. Not `Send`: make one per worker.
pub struct Engine {
    rules: Vec<Loaded>,
    machine: Result<Machine, Failure>,
    /// Bytes of events whose views the machine may still hold as garbage.
    held: Cell<usize>,
}

/// An event prepared for any number of rules.
pub struct EventHandle {
    node: Node,
    object: OnceCell<AnyUserData>,
}

struct Loaded {
    meta: Arc<RuleMeta>,
    main: Result<Function, Failure>,
    mocks: Vec<(String, Node)>,
}

struct Machine {
    lua: Lua,
    meter: Rc<Meter>,
    limits: Limits,
    /// Metatable of every environment: reads fall through to the shared, read-only globals.
    scope: Table,
}

/// Check a chunk without an event: syntax, and that running it defines `rule`. Gives line (1-based, 0 = unknown) and
/// message.
pub fn check(source: &str, chunk: &str) -> Result<(), (u32, String)> {
    let failed = |f: Failure| (line_of(&f.message, chunk), f.message);
    let machine = Machine::new(Limits::default()).map_err(failed)?;
    let main = machine.compile(source, chunk).map_err(failed)?;
    machine.limited(|m| m.trial(&main)).map_err(failed)
}

impl Engine {
    /// Load rules; the index of a rule here is its index in [`Engine::run`]. A rule that does not load stays, and
    /// fails for every event.
    pub fn new(rules: &[&Rule], limits: Limits) -> Engine {
        let machine = Machine::new(limits);
        let rules = rules.iter().map(|rule| Loaded::new(rule, &machine)).collect();
        Engine { rules, machine, held: Cell::new(0) }
    }

    /// Replace globals of a rule in every later evaluation: a function by one that returns the value, anything else by
    /// the value itself. For tests of rules.
    pub fn mock(&mut self, rule: usize, mocks: &[(String, serde_json::Value)]) {
        self.rules[rule].mocks = mocks.iter().map(|(n, v)| (n.clone(), Node::new(v.clone(), &mut 0))).collect();
    }

    /// Prepare an event; its fields are converted when a rule asks for them.
    pub fn event(&self, event: serde_json::Value) -> EventHandle {
        let mut bytes = 0;
        let node = Node::new(event, &mut bytes);
        self.held.set(self.held.get() + bytes);
        if let (true, Ok(m)) = (self.held.get() > MAX_HELD, &self.machine) {
            self.held.set(bytes);
            let _ = m.lua.gc_collect();
        }
        EventHandle { node, object: OnceCell::new() }
    }

    /// Evaluate one rule on an event.
    pub fn run(&self, rule: usize, event: &EventHandle) -> Outcome {
        let loaded = &self.rules[rule];
        let (machine, main) = match (&self.machine, &loaded.main) {
            (Ok(machine), Ok(main)) => (machine, main),
            (Err(f), _) | (_, Err(f)) => return f.clone().into(),
        };
        let attempt = || machine.limited(|m| m.evaluate(loaded, main, event)).unwrap_or_else(Outcome::from);
        let outcome = attempt();
        if !machine.meter.out_of_memory() {
            return outcome;
        }
        // Garbage of earlier events may have taken part of the allowance: the verdict is that of a clean machine.
        let _ = machine.lua.gc_collect();
        attempt()
    }

    /// How often rules have called `print`, which does nothing else.
    pub fn prints(&self) -> u64 {
        self.machine.as_ref().map_or(0, |m| m.meter.prints())
    }
}

impl Loaded {
    fn new(rule: &Rule, machine: &Result<Machine, Failure>) -> Loaded {
        let main = match (&rule.body, machine) {
            (_, Err(f)) => Err(f.clone()),
            (Body::Yaml(_) | Body::Python(_), _) => Err(Failure::load("this detection has no Lua body")),
            (Body::Lua { source, chunk }, Ok(m)) => m.compile(source, chunk).and_then(|main| {
                m.limited(|m| m.trial(&main))?;
                Ok(main)
            }),
        };
        Loaded { meta: rule.meta.clone(), main, mocks: Vec::new() }
    }
}

impl Machine {
    fn new(limits: Limits) -> Result<Machine, Failure> {
        let meter = Rc::new(Meter::new(limits.ticks, limits.cpu));
        let (lua, scope) = sandbox::machine(&meter).map_err(|e| Failure::load(&contract::message(&e)))?;
        Ok(Machine { lua, meter, limits, scope })
    }

    fn compile(&self, source: &str, chunk: &str) -> Result<Function, Failure> {
        let chunk = self.lua.load(source).set_name(format!("={chunk}")).set_mode(ChunkMode::Text);
        chunk.into_function().map_err(|e| Failure::load(&contract::message(&e)))
    }

    /// Run something under the limits. A limit that was hit is a failure even if the rule caught the error.
    fn limited<T>(&self, run: impl FnOnce(&Machine) -> Result<T, Failure>) -> Result<T, Failure> {
        let allowance = self.lua.used_memory() + self.limits.memory;
        self.lua.set_memory_limit(allowance).map_err(|e| Failure::load(&contract::message(&e)))?;
        self.meter.start();
        let result = run(self);
        self.meter.finish();
        // Lifting a limit cannot fail where setting it did not.
        let _ = self.lua.set_memory_limit(0);
        result
    }

    /// Run the chunk in a fresh environment and give the environment.
    fn environment(&self, main: &Function) -> Result<Table, Failure> {
        let enter = || {
            let env = self.lua.create_table()?;
            env.set_metatable(Some(self.scope.clone()))?;
            main.set_environment(env.clone())?;
            main.call::<()>(())?;
            Ok(env)
        };
        enter().map_err(|e| self.meter.failure(&e)).and_then(|env| self.meter.verdict().map(|()| env))
    }

    fn trial(&self, main: &Function) -> Result<(), Failure> {
        let env = self.environment(main).map_err(|f| Failure::load(&f.message))?;
        function(&env, "rule").map(|_| ()).ok_or_else(|| Failure::load("the chunk defines no function `rule(event)`"))
    }

    fn evaluate(&self, rule: &Loaded, main: &Function, event: &EventHandle) -> Result<Outcome, Failure> {
        let env = self.environment(main)?;
        rule.mocks.iter().try_for_each(|(name, value)| self.replace(&env, name, value))?;
        let object = self.object(event)?;
        let entry =
            function(&env, "rule").ok_or_else(|| Failure::load("the chunk defines no function `rule(event)`"))?;
        match self.call(&entry, &object)? {
            Value::Boolean(false) => Ok(Outcome::No),
            Value::Boolean(true) => Ok(Outcome::Match(Box::new(contract::found(self, &rule.meta, &env, &object)))),
            other => Err(Failure::wrong_type("rule", "a boolean", other.type_name())),
        }
    }

    fn object(&self, event: &EventHandle) -> Result<AnyUserData, Failure> {
        if let Some(object) = event.object.get() {
            return Ok(object.clone());
        }
        let object = event.node.object(&self.lua).map_err(|e| self.meter.failure(&e))?;
        Ok(event.object.get_or_init(|| object).clone())
    }

    /// Call a function of the rule with the event.
    fn call(&self, f: &Function, object: &AnyUserData) -> Result<Value, Failure> {
        let result = f.call::<Value>(object).map_err(|e| self.meter.failure(&e));
        self.meter.verdict().and(result)
    }

    fn replace(&self, env: &Table, name: &str, value: &Node) -> Result<(), Failure> {
        let put = || {
            let value = value.to_lua(&self.lua)?;
            match env.raw_get::<Value>(name)? {
                Value::Nil => Err(mlua::Error::runtime(format!("Mocks: the rule has no global `{name}`"))),
                Value::Function(_) => env.raw_set(name, self.lua.create_function(move |_, ()| Ok(value.clone()))?),
                _ => env.raw_set(name, value),
            }
        };
        put().map_err(|e| self.meter.failure(&e))
    }
}

/// A function the rule defined; globals it did not define itself do not count.
fn function(env: &Table, name: &str) -> Option<Function> {
    match env.raw_get(name) {
        Ok(Value::Function(f)) => Some(f),
        _ => None,
    }
}

/// Line in a message of the form `chunk:12: …`.
fn line_of(message: &str, chunk: &str) -> u32 {
    let after = message.find(&format!("{chunk}:")).map(|i| &message[i + chunk.len() + 1..]);
    after.and_then(|t| t[..t.find(|c: char| !c.is_ascii_digit())?].parse().ok()).unwrap_or(0)
}
