//! What an edit of a topology means: nodes added, removed, changed, rewired, and what becomes of their state. Shown
//! before anything is applied.
//!
//! State belongs to a node's name. It is kept while the node's `state_key` stays the same; it is reset when that, the
//! type, the clock (`time`) or the number of key groups changes; it is lost when the node goes (a renamed node is a
//! node that went and another one that came).
use crate::item::{Step, show_path};
use crate::plan::{PlanNode, Topology};
use model::Kind;
use serde::Serialize;
use serde_json::Value as J;
use std::fmt::{self, Write};

/// What becomes of a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Goes on where it was.
    Kept,
    /// Starts empty.
    Reset,
    /// The node has none.
    None,
}

/// A setting (or a content file) that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    /// Path within the settings, or path of the file.
    pub path: String,
    /// Before; `None` if it was not there, or for content.
    pub old: Option<J>,
    /// After.
    pub new: Option<J>,
}

/// A node that stays under its name and is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Name.
    pub id: String,
    /// What differs: paths of settings, content files, `type`, `time`, `engine.key_groups`.
    pub what: Vec<String>,
    /// The same with values, as far as there are any to show.
    pub edits: Vec<Edit>,
    /// What becomes of its state.
    pub state: State,
    /// Why.
    pub reason: String,
}

/// A node that reads from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewired {
    /// Name.
    pub id: String,
    /// Inputs before.
    pub old: Vec<String>,
    /// Inputs after.
    pub new: Vec<String>,
}

/// The difference between two topologies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Names of new nodes, in the order of the flow.
    pub added: Vec<String>,
    /// Names of nodes that go.
    pub removed: Vec<String>,
    /// Those of the removed whose state is lost.
    pub lost: Vec<String>,
    /// Nodes that change, in the order of the flow.
    pub changed: Vec<Change>,
    /// Nodes that read from elsewhere (they may be among the changed as well).
    pub rewired: Vec<Rewired>,
    /// `name`, `time` and `engine.*` that differ.
    pub settings: Vec<Edit>,
    /// Number of nodes that stay as they are.
    pub unchanged: usize,
}

/// What changes from `old` to `new`.
pub fn diff(old: &Topology, new: &Topology) -> Plan {
    let mut plan = Plan { settings: head_edits(old, new), ..Plan::default() };
    for n in old.nodes.iter().filter(|n| new.node(&n.id).is_none()) {
        plan.removed.push(n.id.to_string());
        if n.has_state() {
            plan.lost.push(n.id.to_string());
        }
    }
    for n in &new.nodes {
        let Some(o) = old.node(&n.id) else {
            plan.added.push(n.id.to_string());
            continue;
        };
        let (before, after) = (old.input_names(o), new.input_names(n));
        let rewired = before != after;
        if rewired {
            plan.rewired.push(Rewired { id: n.id.to_string(), old: before, new: after });
        }
        match change(o, n, &plan.settings) {
            Some(c) => plan.changed.push(c),
            None if !rewired => plan.unchanged += 1,
            None => {}
        }
    }
    plan
}

fn head_edits(old: &Topology, new: &Topology) -> Vec<Edit> {
    let head = |t: &Topology| {
        let time = if t.event_time { "event" } else { "processing" };
        serde_json::json!({ "name": t.name, "time": time, "engine": t.engine })
    };
    let mut edits = Vec::new();
    compare(Some(&head(old)), Some(&head(new)), &mut Vec::new(), &mut edits);
    edits
}

fn change(old: &PlanNode, new: &PlanNode, head: &[Edit]) -> Option<Change> {
    let mut edits = Vec::new();
    let same_part = (old.kind, old.spec.name) == (new.kind, new.spec.name);
    if !same_part {
        let name = |n: &PlanNode| Some(J::from(format!("{}.{}", n.kind.section(), n.spec.name)));
        edits.push(Edit { path: "type".into(), old: name(old), new: name(new) });
    } else {
        compare(Some(&old.settings), Some(&new.settings), &mut Vec::new(), &mut edits);
        for file in old.content.keys().chain(new.content.keys()) {
            if old.content.get(file) != new.content.get(file) && !edits.iter().any(|e| e.path == *file) {
                edits.push(Edit { path: file.clone(), old: None, new: None });
            }
        }
        if edits.is_empty() && old.settings_hash != new.settings_hash {
            let summary = |n: &PlanNode| Some(J::from(n.node.summary()));
            edits.push(Edit { path: "content".into(), old: summary(old), new: summary(new) });
        }
    }
    let shared = |path: &str| {
        matches!(new.kind, Kind::Correlate | Kind::Dedup | Kind::Limit) && head.iter().any(|e| e.path == path)
    };
    let mut what: Vec<String> = edits.iter().map(|e| e.path.clone()).collect();
    what.extend(["time", "engine.key_groups"].iter().filter(|p| shared(p)).map(|p| p.to_string()));
    if what.is_empty() {
        return None;
    }
    let (state, reason) = fate(old, new, same_part, &what);
    Some(Change { id: new.id.to_string(), what, edits, state, reason })
}

fn fate(old: &PlanNode, new: &PlanNode, same_part: bool, what: &[String]) -> (State, String) {
    if !old.has_state() && !new.has_state() {
        return (State::None, "the node keeps no state".into());
    }
    if !same_part {
        return (State::Reset, "it is another kind of node now".into());
    }
    let keyed = matches!(new.kind, Kind::Detect | Kind::Correlate | Kind::Dedup | Kind::Limit);
    let meaning = |w: &&String| keyed && matches!(w.as_str(), "time" | "engine.key_groups");
    if let Some(w) = what.iter().find(meaning) {
        return (State::Reset, format!("`{w}` changes what the state means"));
    }
    match old.node.state_key() == new.node.state_key() {
        true => (State::Kept, "the edit does not change what the state means".into()),
        false => (State::Reset, "the edit changes what the state means".into()),
    }
}

/// Differences of two values, down to the smallest part that differs.
fn compare(old: Option<&J>, new: Option<&J>, path: &mut Vec<Step>, out: &mut Vec<Edit>) {
    match (old, new) {
        (a, b) if a == b => {}
        (Some(J::Object(a)), Some(J::Object(b))) => {
            let added = b.keys().filter(|k| !a.contains_key(*k));
            for k in a.keys().chain(added) {
                path.push(Step::Key(k.clone()));
                compare(a.get(k), b.get(k), path, out);
                path.pop();
            }
        }
        (Some(J::Array(a)), Some(J::Array(b))) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                path.push(Step::Index(i));
                compare(Some(x), Some(y), path, out);
                path.pop();
            }
        }
        _ => out.push(Edit { path: show_path(path), old: old.cloned(), new: new.cloned() }),
    }
}

impl Plan {
    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.rewired.is_empty()
            && self.settings.is_empty()
    }
    /// Text for people, one line per thing that changes and a sum. Ends with a newline.
    pub fn render(&self, color: bool) -> String {
        if self.is_empty() {
            return format!("Nothing changes: {} nodes stay as they are.\n", self.unchanged);
        }
        let paint = |code: &str, s: &str| if color { format!("\x1b[{code}m{s}\x1b[0m") } else { s.to_string() };
        let mut out = String::new();
        for e in &self.settings {
            let _ = writeln!(out, "{} {}", paint("33", "~"), e.text());
        }
        for id in &self.removed {
            let lost = if self.lost.contains(id) { "  (its state is lost)" } else { "" };
            let _ = writeln!(out, "{} {id}{lost}", paint("31", "-"));
        }
        for id in &self.added {
            let _ = writeln!(out, "{} {id}", paint("32", "+"));
        }
        for c in &self.changed {
            let state = match c.state {
                State::Kept => "state kept",
                State::Reset => "state reset",
                State::None => "no state",
            };
            let state = if c.state == State::Reset { paint("31", state) } else { state.into() };
            let _ = writeln!(out, "{} {}  ({state}: {})", paint("33", "~"), c.id, c.reason);
            for e in &c.edits {
                let _ = writeln!(out, "    {}", e.text());
            }
        }
        for r in &self.rewired {
            let list = |v: &[String]| format!("[{}]", v.join(", "));
            let _ = writeln!(out, "{} {}  inputs: {} → {}", paint("33", "~"), r.id, list(&r.old), list(&r.new));
        }
        let n = [self.added.len(), self.removed.len(), self.changed.len(), self.rewired.len(), self.unchanged];
        let [added, removed, changed, rewired, same] = n;
        let sum = format!("{added} added, {removed} removed, {changed} changed, {rewired} rewired, {same} unchanged");
        let _ = writeln!(out, "Plan: {sum}.");
        out
    }
}

/// [`Plan::render`] without colours.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Edit {
    fn text(&self) -> String {
        let show = |v: &Option<J>| v.as_ref().map_or("(not set)".to_string(), J::to_string);
        match (&self.old, &self.new) {
            (None, None) => format!("{}: content changed", self.path),
            _ => format!("{}: {} → {}", self.path, show(&self.old), show(&self.new)),
        }
    }
}
