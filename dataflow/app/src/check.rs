//! `check`, `graph`, `plan`, `apply`, `unsuppress`: looking at a topology, and asking a running engine.
use crate::cli::{ApplyArgs, CheckArgs, Drawing, GraphArgs, Output, PlanArgs, UnsuppressArgs};
use crate::control::{Ask, ask};
use crate::{exit, load};
use anyhow::Result;
use model::epoch::Command;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use topology::{Diagnostic, graph as draw};

fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Print findings; true if there are errors.
fn print(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().for_each(|d| eprint!("{}", d.render(color())));
    diagnostics.iter().any(|d| !d.warning)
}

/// `check`.
pub fn check(args: &CheckArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    if args.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&loaded.diagnostics)?);
        return Ok(if loaded.topology.is_some() { 0 } else { exit::CONFIG });
    }
    let failed = print(&loaded.diagnostics);
    let count = |w: bool| loaded.diagnostics.iter().filter(|d| d.warning == w).count();
    match &loaded.topology {
        Some(t) if !failed => {
            for n in &t.nodes {
                let summary = n.node.summary();
                if !summary.is_empty() {
                    println!("{:>10} {:<20} {summary}", n.kind.section(), n.id);
                }
            }
            println!("{}: ok, {} nodes, {} warnings", args.topology.display(), t.nodes.len(), count(true));
            Ok(0)
        }
        _ => {
            eprintln!("{}: {} errors, {} warnings", args.topology.display(), count(false), count(true));
            Ok(exit::CONFIG)
        }
    }
}

/// `graph`.
pub fn graph(args: &GraphArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        print(&loaded.diagnostics);
        return Ok(exit::CONFIG);
    };
    let text = match args.format {
        Drawing::Svg => draw::svg(t),
        Drawing::Mermaid => draw::mermaid(t),
        Drawing::Dot => draw::dot(t),
    };
    print!("{text}");
    Ok(0)
}

/// `plan`.
pub fn plan(args: &PlanArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(new) = &loaded.topology else {
        print(&loaded.diagnostics);
        return Ok(exit::CONFIG);
    };
    print(&loaded.diagnostics);
    let Some(old) = load::last_run(&load::data_dir(new))? else {
        println!(
            "nothing has run in {} yet: everything is new ({} nodes)",
            load::data_dir(new).display(),
            new.nodes.len()
        );
        return Ok(0);
    };
    let fixed = |t: &topology::Topology| (t.engine.key_groups, t.engine.lanes);
    if fixed(&old) != fixed(new) {
        eprintln!("error: key_groups and lanes are fixed for the life of a data folder; this edit would be refused");
        return Ok(exit::CONFIG);
    }
    let plan = topology::diff(&old, new);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&plan)?),
        _ => print!("{plan}"),
    }
    Ok(0)
}

/// Data folder of the topology that is on disk.
pub fn running_dir(path: &Path) -> Result<PathBuf> {
    let loaded = load::from_disk(path);
    let t = loaded.topology.as_ref().map(load::data_dir);
    match t {
        Some(dir) => Ok(dir),
        None => {
            print(&loaded.diagnostics);
            anyhow::bail!("the topology on disk does not check; the running engine goes on with what it has")
        }
    }
}

/// `apply`.
pub fn apply(args: &ApplyArgs) -> Result<i32> {
    let dir = match running_dir(&args.topology) {
        Ok(dir) => dir,
        Err(e) => {
            eprintln!("error: {e:#}");
            return Ok(exit::CONFIG);
        }
    };
    let Ok(answer) = ask(&dir, &Ask::Apply).map_err(|e| eprintln!("error: {e:#}")) else {
        return Ok(exit::UNAVAILABLE);
    };
    println!("{} (generation {}): {}", answer.state, answer.generation, answer.message);
    Ok(if answer.state == "failed" { exit::CONFIG } else { 0 })
}

/// `unsuppress`.
pub fn unsuppress(args: &UnsuppressArgs) -> Result<i32> {
    let dir = running_dir(&args.topology)?;
    let command = Command::Unsuppress { rule: args.rule.as_str().into() };
    let Ok(answer) = ask(&dir, &Ask::Command(command)).map_err(|e| eprintln!("error: {e:#}")) else {
        return Ok(exit::UNAVAILABLE);
    };
    println!("{}: {}", args.rule, answer.message);
    Ok(0)
}
