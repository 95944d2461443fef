//! `millstream rules lint`: everything doubtful about detections, alone or as a topology runs them.
use crate::cli::{Output, RulesLintArgs};
use crate::{exit, load};
use anyhow::{Context, Result, bail};
use detect::lint::{Field, Finding, Lint};
use detect::meta;
use detect::possible::kinds;
use detect::rule::Rule;
use detect::sigma::mapping::Mappings;
use local::DiskFiles;
use model::path::Seg;
use model::{Files, Path as EventPath, Problem};
use parse::Schemas;
use parse::schema::{Kind, Spec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use topology::{PlanNode, Topology};

/// Lint rules and print what is found.
pub fn lint(args: &RulesLintArgs) -> Result<i32> {
    let (topology, paths) = asked(args);
    if topology.is_none() && paths.is_empty() {
        bail!("name rule files or folders, a topology, or both with --topology");
    }
    let mut found = match &topology {
        None => alone(args, paths)?,
        Some(path) => {
            let loaded = load::from_disk(path);
            match &loaded.topology {
                Some(t) => within(t, path, paths, args)?,
                None => loaded.diagnostics.iter().filter(|d| !d.warning).map(of_topology).collect(),
            }
        }
    };
    found.sort();
    found.dedup();
    let errors = found.iter().filter(|f| !f.warning).count();
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        _ => {
            found.iter().for_each(|f| print!("{}", said(f)));
            println!("{errors} errors, {} warnings", found.len() - errors);
        }
    }
    let failed = errors > 0 || args.strict && !found.is_empty();
    Ok(if failed { exit::FINDINGS } else { 0 })
}

/// The topology that rules are looked at in, and the rules if they are not its own.
fn asked(args: &RulesLintArgs) -> (Option<PathBuf>, &[PathBuf]) {
    let is_topology = |p: &PathBuf| p.extension().is_some_and(|e| e == "toml") || p.join("topology.toml").is_file();
    match (&args.topology, &args.paths[..]) {
        (None, [one]) if is_topology(one) => (Some(one.clone()), &[]),
        (topology, paths) => (topology.clone(), paths),
    }
}

/// Rules by themselves: nothing is known but schemas.
fn alone(args: &RulesLintArgs, paths: &[PathBuf]) -> Result<Vec<Finding>> {
    let files = DiskFiles::new(std::env::current_dir()?);
    let (mut schemas, mut problems) = (Schemas::builtin().clone(), Vec::new());
    schemas.add_files(&names(&args.schemas), &files, &mut problems);
    let rules = meta::load_with(&files, &names(paths), &Mappings::shipped());
    let found = doubts(&files, rules, args, &schemas, None);
    Ok([problems.iter().map(Finding::loading).collect(), found].concat())
}

/// Rules as the detect nodes of a topology get them: their own, or others in their place.
fn within(t: &Topology, path: &Path, others: &[PathBuf], args: &RulesLintArgs) -> Result<Vec<Finding>> {
    let (dir, _) = load::place(path);
    let files = DiskFiles::new(&dir);
    let of = |kind| t.nodes.iter().filter(move |n| n.kind == kind);
    let (mut schemas, mut parsed, mut problems) = (Schemas::builtin().clone(), BTreeSet::new(), Vec::new());
    for n in of(model::Kind::Parse) {
        // A file that several nodes name is told about by the check, not here.
        schemas.add_files(&load::texts(n, "schemas"), &files, &mut Vec::new());
        parsed.extend(load::texts(n, "log_types"));
    }
    let mut out = Vec::new();
    for n in of(model::Kind::Detect) {
        let (mappings, mut found) = Mappings::load(&files, &load::texts(n, "sigma_mappings"));
        problems.append(&mut found);
        let rules = match others {
            [] => vec![chosen(&files, n, &mappings), meta::load_with(&files, &load::texts(n, "shadow"), &mappings)],
            _ => {
                let paths = others.iter().map(absolute).collect::<Result<Vec<_>>>()?;
                vec![meta::load_with(&files, &paths, &mappings)]
            }
        };
        for rules in rules {
            out.extend(doubts(&files, rules, args, &schemas, Some(parsed.clone())));
        }
    }
    out.extend(problems.iter().map(Finding::loading));
    Ok(out)
}

/// The rules of a detect node; of its packs only those that it runs.
fn chosen(files: &dyn Files, node: &PlanNode, mappings: &Mappings) -> (Vec<Rule>, Vec<Problem>) {
    let mut all = meta::collect(files, &load::texts(node, "rules"), mappings);
    let packs = node.settings.get("packs").map(|_| load::texts(node, "packs"));
    if packs.is_some() || node.settings.get("except").is_some() {
        // What the settings name in vain is told by the check.
        let chosen = all.packs.choose(packs.as_deref(), &load::texts(node, "except"), &mut Vec::new());
        all.rules.retain(|r| chosen.runs(&r.meta.id, r.enabled));
    }
    (all.rules, all.problems)
}

/// What is doubtful about rules, or keeps them from loading.
fn doubts(
    files: &dyn Files,
    (rules, problems): (Vec<Rule>, Vec<Problem>),
    args: &RulesLintArgs,
    schemas: &Schemas,
    parsed: Option<BTreeSet<String>>,
) -> Vec<Finding> {
    let lint =
        Lint { minimum_tests: args.minimum_tests, parsed, field: &|log_type, path| field(schemas, log_type, path) };
    let mut out: Vec<Finding> = problems.iter().map(Finding::loading).collect();
    out.extend(lint.run(files, &rules));
    out
}

fn of_topology(d: &topology::Diagnostic) -> Finding {
    Finding {
        file: d.file.clone(),
        line: d.line,
        col: d.col,
        code: "load",
        rule: String::new(),
        message: d.message.clone(),
        hint: d.hint.clone(),
        warning: d.warning,
    }
}

/// What a schema says of a path.
fn field(schemas: &Schemas, log_type: &str, path: &EventPath) -> Field {
    let Some(schema) = schemas.get(log_type) else { return Field::Unknown };
    let Some((Seg::Key(first), rest)) = path.0.split_first() else { return Field::Is(kinds::ANY) };
    let Some(top) = schema.fields.iter().find(|f| f.name == *first) else {
        return Field::Missing(near(schema.fields.iter().map(|f| &*f.name), first, &[]));
    };
    let mut spec: &Spec = &top.spec;
    for (i, seg) in rest.iter().enumerate() {
        match spec.at(std::slice::from_ref(seg)) {
            Some(inner) => spec = inner,
            None => {
                let names = match &spec.kind {
                    Kind::Object(fields) => fields.as_slice(),
                    _ => &[],
                };
                let Seg::Key(wrong) = seg else { return Field::Missing(None) };
                return Field::Missing(near(names.iter().map(|f| &*f.name), wrong, &path.0[..=i]));
            }
        }
    }
    Field::Is(kinds_of(&spec.kind))
}

/// The field that may be meant, as a path.
fn near<'a>(names: impl Iterator<Item = &'a str>, wrong: &str, before: &[Seg]) -> Option<String> {
    let mut path = before.to_vec();
    path.push(Seg::Key(detect::condition::nearest(wrong, names)?.into()));
    Some(EventPath(path).to_string())
}

/// Kinds of the values of a type, once they are parsed.
fn kinds_of(kind: &Kind) -> u8 {
    match kind {
        Kind::String => kinds::TEXT,
        Kind::SmallInt | Kind::Int | Kind::BigInt | Kind::Float => kinds::NUMBER,
        Kind::Boolean => kinds::BOOL,
        Kind::Timestamp(_) => kinds::TEXT | kinds::NUMBER,
        Kind::Object(_) => kinds::OBJECT,
        Kind::Array(_) => kinds::LIST,
        Kind::Json => kinds::ANY,
    }
}

fn said(f: &Finding) -> String {
    let Finding { file, line, col, code, message, .. } = f;
    let what = if f.warning { "warning" } else { "error" };
    let rule = if f.rule.is_empty() { String::new() } else { format!("{}: ", f.rule) };
    let hint = f.hint.as_ref().map_or_else(String::new, |h| format!("   = help: {h}\n"));
    format!("{file}:{line}:{col}: {what}[{code}]: {rule}{message}\n{hint}")
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.to_string_lossy().into_owned()).collect()
}

fn absolute(path: &PathBuf) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_nearly_one_is_named() {
        let schemas = &Schemas::builtin();
        let of = |path: &str| field(schemas, "AWS.CloudTrail", &EventPath::parse(path).unwrap());
        assert_eq!(of("eventName"), Field::Is(kinds::TEXT));
        assert_eq!(of("evntName"), Field::Missing(Some("eventName".into())));
        assert_eq!(of("userIdentity.typ"), Field::Missing(Some("userIdentity.type".into())));
        assert_eq!(of("requestParameters.what.ever"), Field::Is(kinds::ANY));
        assert_eq!(field(schemas, "No.Such", &EventPath::key("a")), Field::Unknown);
    }
}
