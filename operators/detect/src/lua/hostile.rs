//! Hostile scripts: every one is stopped or refused, in time, and the other rules of the event still run.
use super::tests::rule;
use super::*;
use serde_json::json;
use std::time::Instant;

/// What must become of a script.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    /// Ends with a rule error of this kind.
    Kind(&'static str),
    /// Ends with any rule error.
    Error,
    /// Is harmless: the rule matches.
    Match,
    /// Is harmless: the rule matches with an error in an auxiliary function.
    AuxError,
}
use Want::*;

/// Name, body of `rule(event)`, outcome.
const SCRIPTS: &[(&str, &str, Want)] = &[
    // Time.
    ("endless loop", "while true do end", Kind("TimeLimitError")),
    ("repeat until false", "repeat until false", Kind("TimeLimitError")),
    ("huge for", "for i = 1, 1e15 do end return true", Kind("TimeLimitError")),
    ("loop in pcall", "pcall(function() while true do end end) return true", Kind("TimeLimitError")),
    ("pcall in a loop", "while true do pcall(function() while true do end end) end", Kind("TimeLimitError")),
    ("swallowed stop", "local ok = pcall(function() while true do end end) return not ok", Kind("TimeLimitError")),
    (
        "swallowed by xpcall",
        "xpcall(function() while true do end end, function() return 1 end) return true",
        Kind("TimeLimitError"),
    ),
    ("loop in xpcall handler", "xpcall(error, function() while true do end end) return true", Kind("TimeLimitError")),
    ("nested pcalls", "local function f() while true do pcall(f) end end f()", Error),
    ("mutual calls", "local a, b a = function(n) return b(n) end b = function(n) return a(n) end return a(1)", Error),
    (
        "sort callback",
        "local t = {} for i = 1, 3000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
        Kind("TimeLimitError"),
    ),
    (
        "sort without callback",
        "local t = {} for i = 1, 20000 do t[i] = -i end for i = 1, 1000 do table.sort(t) end",
        Kind("TimeLimitError"),
    ),
    ("gsub callback", "(('a'):rep(1e4)):gsub('.', function() while true do end end)", Kind("TimeLimitError")),
    (
        "__index loop",
        "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
        Kind("TimeLimitError"),
    ),
    (
        "__eq, __lt, __concat loop",
        "local m = {__concat = function() while true do end end} return setmetatable({}, m) .. 'x'",
        Kind("TimeLimitError"),
    ),
    (
        "__tostring loop",
        "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        Kind("TimeLimitError"),
    ),
    (
        "__iter loop",
        "for k in setmetatable({}, {__iter = function() return function() return 1 end end}) do end",
        Kind("TimeLimitError"),
    ),
    ("__call chain", "local t = {} setmetatable(t, {__call = function(self) return self() end}) return t()", Error),
    // Patterns.
    (
        "backtracking optionals",
        "local a = ('a'):rep(24) return a:find(('a?'):rep(24) .. a .. 'b') ~= nil",
        Kind("TimeLimitError"),
    ),
    ("backtracking lazies", "return (('a'):rep(3000)):find('.-.-.-.-b') ~= nil", Kind("TimeLimitError")),
    ("balanced scan", "return (('('):rep(1e5)):find('%b()') ~= nil", Kind("TimeLimitError")),
    ("long class", "return (('a'):rep(1e6)):find('[' .. ('b'):rep(1000) .. 'a]*c') ~= nil", Kind("RuntimeError")),
    ("long pattern", "return (('a'):rep(10)):match(('a'):rep(2000)) ~= nil", Kind("RuntimeError")),
    (
        "quadratic plain find",
        "local s = ('a'):rep(1e6) return s:find(('a'):rep(5e5) .. 'b', 1, true) ~= nil or true",
        Match,
    ),
    ("quadratic literal find", "local s = ('a'):rep(1e6) return s:find(('a'):rep(5e5) .. 'b') ~= nil or true", Match),
    ("quadratic split", "local s = ('a'):rep(1e6) return #s:split(('a'):rep(5e5) .. 'b') == 1", Match),
    ("find in a huge text", "return (('a'):rep(4e6)):find(('a'):rep(2e6), 1, true) ~= nil", Kind("RuntimeError")),
    ("gsub on a large text", "local s = ('a'):rep(1e6) for i = 1, 1000 do s:gsub('.', '%0%0') end", Error),
    ("table.move far", "table.move({}, 1, 1e9, 2, {})", Kind("RuntimeError")),
    // Memory.
    ("string.rep 2 GB", "return #('x'):rep(2^31 - 1) > 0", Error),
    ("string.rep 1 GB", "return #('x'):rep(2^30) > 0", Kind("MemoryLimitError")),
    ("swallowed memory error", "pcall(string.rep, 'x', 2^30) return true", Kind("MemoryLimitError")),
    ("table growth", "local t = {} for i = 1, 1e9 do t[i] = {i} end", Error),
    ("concat doubling", "local s = 'x' for i = 1, 60 do s = s .. s end", Kind("MemoryLimitError")),
    ("table.create", "return #table.create(1e9, 1) > 0", Error),
    (
        "table.concat",
        "local t = table.create(1000, ('x'):rep(1e5)) return #table.concat(t) > 0",
        Kind("MemoryLimitError"),
    ),
    (
        "string.format blow-up",
        "local s = ('x'):rep(1e6) for i = 1, 10 do s = string.format('%s%s', s, s) end",
        Kind("MemoryLimitError"),
    ),
    ("closures", "local f = function() end for i = 1, 1e9 do local g = f f = function() return g end end", Error),
    ("deep recursion", "local function f() return 1 + f() end return f()", Error),
    ("deep recursion in pcall", "local function f() return 1 + f() end pcall(f) pcall(f) return true", Match),
    (
        "json.decode in a loop",
        "local s = '[' .. ('1,'):rep(1e5) .. '1]' local t = {} while true do t[#t + 1] = json.decode(s) end",
        Error,
    ),
    (
        "json.encode in a loop",
        "local t = table.create(15000, 1) while true do json.encode(t) end",
        Kind("TimeLimitError"),
    ),
    ("to_table of a large event", "while true do event.list:to_table() end", Kind("TimeLimitError")),
    ("deep_walk of a large event", "while true do event:deep_walk('list', 'a') end", Kind("TimeLimitError")),
    ("tostring of a large event", "while true do tostring(event) end", Kind("TimeLimitError")),
    ("equality of large events", "while event.list == event.list do end return true", Kind("TimeLimitError")),
    ("unpack", "local t = table.create(1e5, 1) return select('#', table.unpack(t)) > 0", Match),
    // Escape.
    ("bytecode", "return load('\\27Lua', 'x', 'b') ~= nil", Kind("RuntimeError")),
    (
        "nothing dangerous is there",
        "for _, n in {'os', 'io', 'debug', 'package', 'require', 'load', 'loadstring', 'dofile', 'loadfile', 'getfenv', 'setfenv', 'collectgarbage', 'gcinfo', 'newproxy', 'coroutine', 'buffer'} do if _G[n] ~= nil then error(n) end end return math.random == nil",
        Match,
    ),
    ("string metatable", "getmetatable('').__index.upper = function() return 'pwned' end", Kind("RuntimeError")),
    ("string library", "string.upper = function() return 'pwned' end", Kind("RuntimeError")),
    ("rawset of a library", "rawset(string, 'upper', 1)", Kind("RuntimeError")),
    ("table.clear of a library", "table.clear(string)", Kind("RuntimeError")),
    ("shared globals", "_G.rule = 1", Kind("RuntimeError")),
    ("new shared global", "rawset(_G, 'x', 1)", Kind("RuntimeError")),
    ("environment's metatable", "return getmetatable(_G) == nil and getmetatable(event) == false", Match),
    ("metatable of the event", "setmetatable(event, {})", Kind("RuntimeError")),
    ("rawset of the event", "rawset(event, 'x', 1)", Kind("RuntimeError")),
    ("method without self", "event.get(1, 2)", Kind("RuntimeError")),
    ("method of a fake self", "event.get(setmetatable({}, {}), 'x')", Kind("RuntimeError")),
    ("pcall in place of pcall", "pcall = function() return true end return pcall()", Match),
    // Errors.
    ("error with a table", "error({1, 2})", Kind("RuntimeError")),
    (
        "error with a loop in __tostring",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        Error,
    ),
    ("error with nil", "error()", Kind("RuntimeError")),
    ("error with the event", "error(event)", Error),
    ("error of 8 MB", "error(('x'):rep(8e6))", Error),
    ("fake stop message", "error('stopped after 1 ticks')", Kind("RuntimeError")),
    (
        "returns a fake boolean",
        "return setmetatable({}, {__eq = function() return true end})",
        Kind("FunctionReturnTypeError"),
    ),
    ("returns many values", "return true, ('x'):rep(100):byte(1, -1)", Match),
];

/// Name, definition of an auxiliary function.
const AUX: &[(&str, &str)] = &[
    ("cyclic context", "function alert_context() local t = {} t.a = t return t end"),
    (
        "wide and shared context",
        "function alert_context() local t = {1} for i = 1, 60 do t = {t, t} end return {t = t} end",
    ),
    ("NaN in the context", "function alert_context() return {x = 0/0} end"),
    (
        "__index trap",
        "function alert_context() return setmetatable({a = 1}, {__index = function() while true do end end, __len = error, __iter = error}).b end",
    ),
    ("context of functions", "function alert_context() return {f = print} end"),
    ("loop in title", "function title() while true do end end"),
    ("number as title", "function title() return 1 end"),
    ("memory in dedup", "function dedup() return ('x'):rep(2^30) end"),
    (
        "huge context",
        "function alert_context() local t = {} for i = 1, 200 do t['k' .. i] = ('x'):rep(30000) end return t end",
    ),
];

/// A rule that notices if the libraries or the event were tampered with.
const GOOD: &str = "function rule(e) return ('x'):upper() == 'X' and e.a == 1 end
                    function title() return string.format('%s', 'ok') end";

fn limits() -> Limits {
    Limits::default()
}

/// What a stopped script may take, in multiples of its CPU limit. A script that is not stopped never ends, so much room
/// costs the test nothing; and it needs some, since the CPU time of a virtual CPU counts what its host took away, and
/// a sibling on the same core makes every library call between two looks at the clock slower.
const ROOM: u32 = 10;

/// So much time that it is another limit that decides.
fn untimed() -> Limits {
    Limits { cpu: limits().cpu * ROOM, ..limits() }
}

/// CPU time is what is limited; a busy test machine may take longer by the wall.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// Run a script twice beside a well-behaved rule; gives what is wrong.
fn judge(name: &str, source: &str, want: Want) -> Result<(), String> {
    let good = rule(GOOD);
    let bad = rule(source);
    let engine = Engine::new(&[&bad, &good], limits());
    // Large enough that work over all of it would be felt.
    let list = vec![json!({"a": 1, "b": "text"}); 10_000];
    let event = engine.event(json!({"a": 1, "text": "x", "list": list}));
    for round in 0..2 {
        let (cpu_from, from) = (cpu(), Instant::now());
        let outcome = engine.run(0, &event);
        let (cpu_took, took) = (cpu() - cpu_from, from.elapsed());
        let fits = match (&outcome, want) {
            (Outcome::Error { kind, .. }, Kind(k)) => kind == k,
            (Outcome::Error { .. }, Error) | (Outcome::Match(_), Match) => true,
            (Outcome::Match(found), AuxError) => {
                !found.errors.is_empty() || found.context.as_deref().is_some_and(|c| c.contains("_error"))
            }
            _ => false,
        };
        if !fits {
            return Err(format!("{name}: {outcome:?}, wanted {want:?}"));
        }
        // A memory stop is confirmed once on a clean machine, so it may take the limit twice.
        let passes = if engine.machine.as_ref().is_ok_and(|m| m.meter.out_of_memory()) { 2 } else { 1 };
        if cpu_took > limits().cpu * ROOM * passes {
            return Err(format!("{name}, round {round}: {cpu_took:?} of CPU time ({took:?} in all)"));
        }
        match engine.run(1, &event) {
            Outcome::Match(found) if found.title == "ok" => {}
            other => return Err(format!("{name} hurt another rule: {other:?}")),
        }
    }
    Ok(())
}

#[test]
fn hostile_rules_are_stopped_and_hurt_nobody() {
    assert!(SCRIPTS.len() >= 40);
    let rules =
        SCRIPTS.iter().map(|(name, body, want)| judge(name, &format!("function rule(event)\n{body}\nend"), *want));
    let aux =
        AUX.iter().map(|(name, aux)| judge(name, &format!("function rule(event) return true end\n{aux}"), AuxError));
    let wrong: Vec<String> = rules.chain(aux).filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_chunks_fail_to_load_in_time() {
    for source in [
        "while true do end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e5) end",
        "return string.rep('x', 2^31)",
        "error(('x'):rep(1e6))",
        &format!("x = {}1{}", "(".repeat(5000), ")".repeat(5000)),
        &"local a ".repeat(300),
        &format!("x = {}", "{".repeat(5000)),
        &format!("x = {}1", "-".repeat(50_000)),
        "string.upper = nil",
    ] {
        let from = cpu();
        let (_, message) = check(source, "r.lua").unwrap_err();
        assert!(cpu() - from < limits().cpu * ROOM, "{}", &source[..20.min(source.len())]);
        assert!(message.chars().count() <= 1000);
    }
}

#[test]
fn the_tick_budget_decides_the_same_every_time() {
    // A loop just under and just over the budget; nothing but the count decides.
    for (turns, runs) in [(limits().ticks - 100, true), (limits().ticks + 100, false)] {
        let engine =
            Engine::new(&[&rule(&format!("function rule(e) for i = 1, {turns} do end return true end"))], untimed());
        for _ in 0..5 {
            let outcome = engine.run(0, &engine.event(json!({})));
            assert_eq!(matches!(outcome, Outcome::Match(_)), runs, "{turns}: {outcome:?}");
        }
    }
}

#[test]
fn memory_is_judged_on_a_clean_machine() {
    // Leaves megabytes of garbage behind at every event, which must not count against the next one.
    let source = "function rule(e) local s = ('x'):rep(6e6) return #(s .. 'y') == 6000001 end";
    let engine = Engine::new(&[&rule(source)], untimed());
    for i in 0..50 {
        let outcome = engine.run(0, &engine.event(json!({"i": i})));
        assert!(matches!(outcome, Outcome::Match(_)), "{i}: {outcome:?}");
    }
}
