//! Pictures of a topology: DOT for Graphviz, Mermaid for Markdown, and SVG of our own that needs neither.
mod layout;
mod svg;

pub use svg::svg;

use crate::check::noun;
use crate::plan::{PlanNode, Topology};
use model::Kind;
use std::fmt::Write;

/// Fill colour of a kind: dark enough for white letters, readable on light and dark pages.
fn color(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "#2563a8",
        Kind::Parse => "#0f766e",
        Kind::Transform => "#5b6472",
        Kind::Enrich => "#6d3fc0",
        Kind::Detect => "#b42318",
        Kind::Correlate => "#8a2a63",
        Kind::Dedup => "#a04a06",
        Kind::Limit => "#7c4a21",
        Kind::Sink => "#15803d",
        Kind::Log => "#5b6472",
    }
}

/// What a node is: `file source`, `detect`.
fn caption(n: &PlanNode) -> String {
    match noun(n.kind) {
        k if k == n.spec.name => k.to_string(),
        k => format!("{} {k}", n.spec.name),
    }
}

/// Which outputs go to the dead letters.
fn dead(n: &PlanNode) -> Option<String> {
    let names: Vec<&str> = n.dead_letter.iter().filter_map(|p| n.spec.outputs.get(*p)).map(|p| p.name).collect();
    (!names.is_empty()).then(|| format!("{} → dead letters", names.join(", ")))
}

/// Name of an output, empty for the default one.
fn port(n: &PlanNode, port: usize) -> &'static str {
    n.spec.outputs.get(port).map_or("", |p| p.name)
}

/// Graphviz.
pub fn dot(t: &Topology) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n", t.name.replace(['"', '\\'], "_"));
    out.push_str(
        "  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontcolor=white, color=white];\n",
    );
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10, color=\"#808890\", fontcolor=\"#808890\"];\n");
    for n in &t.nodes {
        let more = dead(n).map(|d| format!("\\n{d}")).unwrap_or_default();
        let fill = color(n.kind);
        let _ = writeln!(out, "  \"{}\" [label=\"{}\\n{}{more}\", fillcolor=\"{fill}\"];", n.id, n.id, caption(n));
    }
    for (from, p, to) in t.edges() {
        let label = match port(&t.nodes[from], p) {
            "" => String::new(),
            name => format!(" [label=\"{name}\"]"),
        };
        let _ = writeln!(out, "  \"{}\" -> \"{}\"{label};", t.nodes[from].id, t.nodes[to].id);
    }
    out.push_str("}\n");
    out
}

/// Mermaid flowchart. Nodes are numbered: some names (`end`) are words of that language.
pub fn mermaid(t: &Topology) -> String {
    let mut out = String::from("flowchart LR\n");
    for (i, n) in t.nodes.iter().enumerate() {
        let more = dead(n).map(|d| format!("<br/><small>{d}</small>")).unwrap_or_default();
        let _ = writeln!(out, "  n{i}[\"<b>{}</b><br/>{}{more}\"]:::{}", n.id, caption(n), n.kind.section());
    }
    for (from, p, to) in t.edges() {
        let _ = match port(&t.nodes[from], p) {
            "" => writeln!(out, "  n{from} --> n{to}"),
            name => writeln!(out, "  n{from} -- {name} --> n{to}"),
        };
    }
    for kind in Kind::ALL.into_iter().filter(|k| t.nodes.iter().any(|n| n.kind == *k)) {
        let _ = writeln!(out, "  classDef {} fill:{},color:#fff,stroke:none", kind.section(), color(kind));
    }
    out
}
