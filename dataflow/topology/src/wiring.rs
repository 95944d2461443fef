//! The graph between the nodes: which output each input names, whether it carries what is wanted, in which order the
//! nodes come. Reports everything that is wrong with the connections.
use crate::check::{Checked, noun};
use crate::diagnostic::{Findings, listed, suggest};
use crate::text::Place;
use model::{Flow, Kind, Part, Port};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An input that names an existing node.
pub(crate) struct Link {
    /// Node it comes from.
    pub from: usize,
    /// Port of that node; `None` if the node's part is not known.
    pub port: Option<usize>,
    place: Place,
}

/// The graph.
pub(crate) struct Wiring {
    /// Inputs of each node, as written.
    pub links: Vec<Vec<Link>>,
    /// Nodes so that inputs come first; nodes of a loop are missing.
    pub order: Vec<usize>,
    /// What each port of each node carries.
    pub flows: Vec<Vec<Option<Flow>>>,
}

/// What a flow is called.
pub(crate) fn flow_name(flow: Flow) -> &'static str {
    match flow {
        Flow::Raw => "raw records",
        Flow::Events => "events",
        Flow::Matches => "matches",
        Flow::Alerts => "alerts",
        Flow::Rejected => "rejected records",
    }
}

/// Connect the nodes and check the connections.
pub(crate) fn wire(nodes: &[Checked], parts: &[&'static dyn Part], entry: &str, findings: &mut Findings) -> Wiring {
    let mut w = Wiring { links: Vec::new(), order: Vec::new(), flows: Vec::new() };
    let ids: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(i, n)| (n.id.as_str(), i)).collect();
    for n in nodes {
        let links = resolve(n, nodes, &ids, findings);
        w.links.push(links);
    }
    w.order = order(nodes, &w.links);
    loops(nodes, &w, findings);
    flows(nodes, parts, &mut w, findings);
    unread(nodes, &w, findings);
    ends(nodes, entry, findings);
    w
}

/// Find the outputs that the inputs of a node name.
fn resolve(n: &Checked, nodes: &[Checked], ids: &BTreeMap<&str, usize>, findings: &mut Findings) -> Vec<Link> {
    if n.inputs.is_empty() {
        if n.kind != Kind::Source && !n.inputs_broken {
            let hint = candidates(n, nodes).map(|c| format!("write inputs = [\"…\"] with one of {c}"));
            findings.error(&n.place, format!("`{}` has no inputs", n.id)).maybe_hint(hint).node(&n.id);
        }
        return Vec::new();
    }
    let mut out: Vec<Link> = Vec::new();
    for input in &n.inputs {
        let (id, port) = input.text.split_once('.').map_or((input.text.as_str(), None), |(i, p)| (i, Some(p)));
        let Some(&from) = ids.get(id) else {
            let names = ids.keys().copied().filter(|i| *i != n.id);
            let hint = suggest(id, names.collect::<Vec<_>>(), "there are");
            findings.error(&input.place, format!("there is no node `{id}`")).maybe_hint(hint).node(&n.id);
            continue;
        };
        let Ok(port) = find_port(n, &nodes[from], port, input.place.clone(), findings) else { continue };
        if out.iter().any(|l| l.from == from && l.port == port) {
            findings.error(&input.place, format!("`{}` is in the list twice", input.text)).node(&n.id);
            continue;
        }
        out.push(Link { from, port, place: input.place.clone() });
    }
    out
}

/// Index of a named output (`None` if the part is not known); `Err` if there is none, which is reported.
fn find_port(
    n: &Checked,
    from: &Checked,
    name: Option<&str>,
    place: Place,
    findings: &mut Findings,
) -> Result<Option<usize>, ()> {
    let Some((_, spec)) = &from.part else { return Ok(None) };
    let id = &from.id;
    if spec.outputs.is_empty() {
        let m = format!("`{id}` is a {} and has no outputs", noun(from.kind));
        findings.error(&place, m).node(&n.id);
        return Err(());
    }
    let found = match name {
        // `id.` names nothing; the default output is written without a dot.
        Some("") => None,
        _ => spec.outputs.iter().position(|p| p.name == name.unwrap_or_default()),
    };
    if let Some(i) = found {
        return Ok(Some(i));
    }
    let named: Vec<&str> = spec.outputs.iter().map(|p| p.name).filter(|p| !p.is_empty()).collect();
    let hint = match named.is_empty() {
        true => Some(format!("it has only one: write \"{id}\"")),
        false => suggest(name.unwrap_or_default(), named, "it has"),
    };
    let m = match name {
        Some(p) => format!("`{id}` has no output `{p}`"),
        None => format!("`{id}` has no default output"),
    };
    findings.error(&place, m).maybe_hint(hint).node(&n.id);
    Err(())
}

/// Nodes that a node could read from.
fn candidates(n: &Checked, nodes: &[Checked]) -> Option<String> {
    let accepted = n.part.as_ref()?.1.inputs;
    let gives = |c: &&Checked| {
        c.id != n.id && c.part.iter().flat_map(|(_, s)| s.outputs).any(|p| !p.error && accepted.contains(&p.flow))
    };
    let ids: Vec<&str> = nodes.iter().filter(gives).map(|c| c.id.as_str()).collect();
    (!ids.is_empty()).then(|| listed(ids))
}

/// Inputs before outputs; among those that are free, by kind and then by id: the same for every way to write a file.
fn order(nodes: &[Checked], links: &[Vec<Link>]) -> Vec<usize> {
    let mut waits: Vec<usize> = links.iter().map(Vec::len).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (to, ls) in links.iter().enumerate() {
        ls.iter().for_each(|l| readers[l.from].push(to));
    }
    let rank = |i: usize| (nodes[i].kind, nodes[i].id.as_str(), i);
    let mut free: BTreeSet<_> = (0..nodes.len()).filter(|i| waits[*i] == 0).map(rank).collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some((_, _, i)) = free.pop_first() {
        out.push(i);
        for &r in &readers[i] {
            waits[r] -= 1;
            if waits[r] == 0 {
                free.insert(rank(r));
            }
        }
    }
    out
}

/// Name every loop once.
fn loops(nodes: &[Checked], w: &Wiring, findings: &mut Findings) {
    let mut left: BTreeSet<usize> = (0..nodes.len()).filter(|i| !w.order.contains(i)).collect();
    while trim(&mut left, &w.links) {
        let Some(&start) = left.iter().min_by_key(|i| &nodes[**i].id) else { return };
        // Every node that is left reads from one that is left: walking back must come round.
        let mut walk: Vec<(usize, &Link)> = Vec::new();
        let mut at = start;
        while !walk.iter().any(|(n, _)| *n == at) {
            let inside = w.links[at].iter().filter(|l| left.contains(&l.from));
            let Some(link) = inside.min_by_key(|l| &nodes[l.from].id) else { return };
            walk.push((at, link));
            at = link.from;
        }
        let from = walk.iter().position(|(n, _)| *n == at).unwrap_or(0);
        let mut ring = walk.split_off(from);
        let first = ring.iter().enumerate().min_by_key(|(_, (n, _))| &nodes[*n].id).map_or(0, |(i, _)| i);
        ring.rotate_left(first);
        // The walk went against the flow; print it with the flow, from the first name back to itself.
        let mut names: Vec<&str> = ring.iter().skip(1).rev().map(|(n, _)| nodes[*n].id.as_str()).collect();
        let (head, link) = ring[0];
        names.insert(0, &nodes[head].id);
        names.push(&nodes[head].id);
        let m = format!("the nodes form a loop: {}", names.join(" → "));
        findings.error(&link.place, m).hint("take out one of these inputs").node(&nodes[head].id);
        left.retain(|i| !ring.iter().any(|(n, _)| n == i));
    }
}

/// Take out nodes that only lead into or out of loops. False if nothing is left.
fn trim(left: &mut BTreeSet<usize>, links: &[Vec<Link>]) -> bool {
    loop {
        let read: BTreeSet<usize> = left.iter().flat_map(|i| links[*i].iter().map(|l| l.from)).collect();
        let keep = |i: &usize| read.contains(i) && links[*i].iter().any(|l| left.contains(&l.from));
        let next: BTreeSet<usize> = left.iter().copied().filter(keep).collect();
        if next.len() == left.len() {
            return !left.is_empty();
        }
        *left = next;
    }
}

/// True if a port carries what its node reads.
fn passes_on(kind: Kind, inputs: &[Flow], port: &Port) -> bool {
    kind == Kind::Transform && !port.error && inputs.contains(&port.flow)
}

/// Find out what every output carries and whether its readers want that.
fn flows(nodes: &[Checked], parts: &[&'static dyn Part], w: &mut Wiring, findings: &mut Findings) {
    w.flows = vec![Vec::new(); nodes.len()];
    for &i in &w.order {
        let n = &nodes[i];
        let Some((_, spec)) = &n.part else { continue };
        let mut read: Vec<(Flow, &Link)> = Vec::new();
        for l in &w.links[i] {
            let Some(flow) = l.port.and_then(|p| w.flows[l.from].get(p).copied().flatten()) else { continue };
            match spec.inputs.contains(&flow) {
                true => read.push((flow, l)),
                false => mismatch(n, &nodes[l.from], l, flow, parts, findings),
            }
        }
        mixed(n, nodes, &read, findings);
        let passed = read.first().map(|r| r.0);
        let flow_of = |p: &Port| if passes_on(n.kind, spec.inputs, p) { passed } else { Some(p.flow) };
        w.flows[i] = spec.outputs.iter().map(flow_of).collect();
    }
}

/// Say that `n` cannot read what `from` gives, and what to do about it.
fn mismatch(
    n: &Checked,
    from: &Checked,
    link: &Link,
    flow: Flow,
    parts: &[&'static dyn Part],
    findings: &mut Findings,
) {
    let wanted = n.part.as_ref().map_or(&[] as &[Flow], |(_, s)| s.inputs);
    let outputs = from.part.as_ref().map_or(&[] as &[Port], |(_, s)| s.outputs);
    let name = |p: &Port| if p.name.is_empty() { from.id.clone() } else { format!("{}.{}", from.id, p.name) };
    let gives = link.port.map_or_else(|| from.id.clone(), |p| name(&outputs[p]));
    let takes = wanted.iter().map(|f| flow_name(*f)).collect::<Vec<_>>().join(" or ");
    let message = format!("`{gives}` gives {}, `{}` takes {takes}", flow_name(flow), n.id);
    let other = outputs.iter().find(|p| wanted.contains(&p.flow) && !p.error);
    let hint = match other {
        Some(p) => Some(format!("read \"{}\" instead", name(p))),
        None => between(flow, wanted, parts).map(|kinds| match kinds.as_slice() {
            [one] => format!("put a {one} node between"),
            [init @ .., last] => format!("put {} and {last} nodes between", init.join(", ")),
            [] => format!("give `{}` another input", n.id),
        }),
    };
    findings.error(&link.place, message).maybe_hint(hint).node(&n.id);
}

/// Kinds of nodes that lead from one flow to one of the wanted ones.
fn between(from: Flow, wanted: &[Flow], parts: &[&'static dyn Part]) -> Option<Vec<&'static str>> {
    let mut specs: Vec<_> = parts.iter().map(|p| p.spec()).filter(|s| s.kind != Kind::Transform).collect();
    specs.sort_by_key(|s| s.kind);
    let mut queue = VecDeque::from([(from, Vec::new())]);
    let mut seen = BTreeSet::from([from]);
    while let Some((flow, way)) = queue.pop_front() {
        if wanted.contains(&flow) && !way.is_empty() {
            return Some(way);
        }
        for s in specs.iter().filter(|s| s.inputs.contains(&flow)) {
            for p in s.outputs.iter().filter(|p| !p.error) {
                if seen.insert(p.flow) {
                    queue.push_back((p.flow, way.iter().copied().chain([noun(s.kind)]).collect()));
                }
            }
        }
    }
    None
}

/// Batches of raw records, batches of events, and records do not go through one node together.
fn mixed(n: &Checked, nodes: &[Checked], read: &[(Flow, &Link)], findings: &mut Findings) {
    let class = |f: Flow| match f {
        Flow::Raw => 0,
        Flow::Events => 1,
        Flow::Matches | Flow::Alerts | Flow::Rejected => 2,
    };
    let Some(((first, a), rest)) = read.split_first() else { return };
    let same = |f: Flow| if n.kind == Kind::Transform { f == *first } else { class(f) == class(*first) };
    if ![Kind::Sink, Kind::Transform].contains(&n.kind) {
        return;
    }
    if let Some((other, b)) = rest.iter().find(|(f, _)| !same(*f)) {
        let (x, y) = (&nodes[a.from].id, &nodes[b.from].id);
        let m = format!("`{}` mixes {} (`{x}`) and {} (`{y}`)", n.id, flow_name(*first), flow_name(*other));
        findings.error(&b.place, m).hint(format!("give each its own {}", noun(n.kind))).node(&n.id);
    }
}

/// Warn of nodes whose results go nowhere. Error outputs go to the dead letters, so that they need no reader.
fn unread(nodes: &[Checked], w: &Wiring, findings: &mut Findings) {
    let read: BTreeSet<(usize, Option<usize>)> = w.links.iter().flatten().map(|l| (l.from, l.port)).collect();
    for (i, n) in nodes.iter().enumerate() {
        let Some((_, spec)) = &n.part else { continue };
        let is_read = |(p, port): (usize, &Port)| !port.error && read.contains(&(i, Some(p)));
        if !spec.outputs.is_empty() && !spec.outputs.iter().enumerate().any(is_read) {
            let m = format!("nobody reads from `{}`", n.id);
            findings.error(&n.place, m).hint("name it in the inputs of a node, or take it out").node(&n.id).warn();
        }
    }
}

/// A flow needs a beginning, and should have an end.
fn ends(nodes: &[Checked], entry: &str, findings: &mut Findings) {
    if !nodes.iter().any(|n| n.kind == Kind::Source) {
        findings.error_in(entry, "there is no source").hint("add a [sources.<name>]");
    }
    if !nodes.iter().any(|n| n.kind == Kind::Sink) {
        findings.error_in(entry, "there is no sink: nothing comes out").hint("add a [sinks.<name>]").warn();
    }
}
