//! JSON Schema of the whole file, for editors (`#:schema topology.schema.json`) and for the reference. Put together from
//! the schemas of the parts, so that it cannot say anything else than the check does.
use crate::check::{DEFAULT_NAME, SCHEMA_VERSION, noun};
use crate::settings::{ClusterSettings, EngineSettings};
use model::{Kind, Part, Spec};
use serde_json::{Map, Value as J, json};

/// Schema of a topology file made of these parts (draft 2020-12).
pub fn json_schema(parts: &[&'static dyn Part]) -> J {
    let mut defs = Map::new();
    let mut properties = json!({
        "schema": { "const": SCHEMA_VERSION, "description": "Version of the file format." },
        "name": {
            "type": "string", "default": DEFAULT_NAME, "minLength": 1, "maxLength": crate::ID_LEN_MAX,
            "description": "Name of the topology: names the state of the stream."
        },
        "time": {
            "enum": ["event", "processing"], "default": "processing",
            "description": "Clock of dedup windows, limits and expiry."
        },
        "include": {
            "type": "array", "items": { "type": "string" },
            "description": "More files with nodes: paths, folders or globs from the topology's folder."
        },
        "engine": hoist("engine", J::from(schemars::schema_for!(EngineSettings)), &mut defs),
        "cluster": hoist("cluster", J::from(schemars::schema_for!(ClusterSettings)), &mut defs),
    });
    let logs: Vec<(Spec, J)> = parts
        .iter()
        .map(|p| (p.spec(), p))
        .filter(|(s, _)| s.kind == Kind::Log)
        .map(|(s, p)| (s, p.schema()))
        .collect();
    let mut logs: Vec<J> = logs.into_iter().map(|(s, schema)| node(s, schema, false, &mut defs)).collect();
    if !logs.is_empty() {
        properties["log"] = if logs.len() == 1 { logs.remove(0) } else { json!({ "oneOf": logs }) };
    }
    for kind in Kind::ALL {
        let of_kind: Vec<(Spec, J)> =
            parts.iter().map(|p| (p.spec(), p)).filter(|(s, _)| s.kind == kind).map(|(s, p)| (s, p.schema())).collect();
        let alone = of_kind.len() == 1;
        let nodes: Vec<J> = of_kind.into_iter().map(|(s, schema)| node(s, schema, alone, &mut defs)).collect();
        if !nodes.is_empty() {
            properties[kind.section()] = section(kind, nodes);
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millstream topology",
        "description": "The graph of a stream: sources, operators and sinks, connected by their inputs.",
        "type": "object",
        "required": ["schema"],
        "properties": properties,
        "additionalProperties": false,
        "$defs": defs,
    })
}

fn section(kind: Kind, mut nodes: Vec<J>) -> J {
    let node = if nodes.len() == 1 { nodes.remove(0) } else { json!({ "oneOf": nodes }) };
    json!({
        "type": "object",
        "description": format!("{} nodes by name.", capital(noun(kind))),
        "propertyNames": { "pattern": format!("^[a-z][a-z0-9_-]{{0,{}}}$", crate::ID_LEN_MAX - 1) },
        "additionalProperties": node,
    })
}

/// Reference to the schema of a node, which goes into `defs`.
fn node(spec: Spec, schema: J, alone: bool, defs: &mut Map<String, J>) -> J {
    let name = format!("{}.{}", spec.kind.section(), spec.name);
    let mut own = vec![("type", json!({ "const": spec.name, "description": spec.doc }), !alone)];
    if ![Kind::Source, Kind::Log].contains(&spec.kind) {
        let outputs = "Outputs to read from: \"name\" or \"name.output\".";
        let inputs = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true,
            "description": outputs });
        own.push(("inputs", inputs, true));
    }
    let reference = hoist(&name, schema, defs);
    if let Some(def) = defs.get_mut(&name) {
        add(def, &own);
        if let Some(o) = def.as_object_mut() {
            o.insert("title".into(), J::from(format!("{} {}", spec.name, noun(spec.kind))));
            o.insert("description".into(), J::from(spec.doc));
        }
    }
    reference
}

/// Add properties to a schema of a table, or to every alternative of a union.
fn add(schema: &mut J, own: &[(&str, J, bool)]) {
    let Some(s) = schema.as_object_mut() else { return };
    let mut union = false;
    for key in ["oneOf", "anyOf"] {
        for branch in s.get_mut(key).and_then(J::as_array_mut).into_iter().flatten() {
            union = true;
            add(branch, own);
        }
    }
    if union && !s.contains_key("properties") {
        return;
    }
    for (key, sub, required) in own {
        if let Some(p) = s.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
            p.entry(*key).or_insert_with(|| sub.clone());
        }
        let list = s.entry("required").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut().filter(|l| *required && !l.contains(&J::from(*key))) {
            list.push(J::from(*key));
        }
    }
}

/// Move a schema and its definitions into `defs` under `name`; gives a reference to it.
fn hoist(name: &str, mut schema: J, defs: &mut Map<String, J>) -> J {
    let inner = schema.as_object_mut().and_then(|s| {
        s.remove("$schema");
        s.remove("$defs")
    });
    adapt(&mut schema, name);
    defs.insert(name.into(), schema);
    if let Some(J::Object(inner)) = inner {
        for (k, mut v) in inner {
            adapt(&mut v, name);
            defs.insert(format!("{name}.{k}"), v);
        }
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Point references to where the definitions are now, and let `${VAR}` stand wherever a value may.
fn adapt(schema: &mut J, name: &str) {
    match schema {
        J::Object(s) => {
            if let Some(r) = s.get("$ref").and_then(J::as_str) {
                let to = match r.strip_prefix("#/$defs/") {
                    Some(def) => format!("#/$defs/{name}.{def}"),
                    None => format!("#/$defs/{name}"),
                };
                s.insert("$ref".into(), J::from(to));
            }
            allow_variables(s);
            for (key, sub) in s.iter_mut() {
                // These hold values, not schemas.
                if !["default", "const", "enum", "examples", "required", "description"].contains(&key.as_str()) {
                    adapt(sub, name);
                }
            }
        }
        J::Array(list) => list.iter_mut().for_each(|s| adapt(s, name)),
        _ => {}
    }
}

fn allow_variables(s: &mut Map<String, J>) {
    const FILLED_IN: &str = r"\$\{|SECRET\[";
    if let Some(p) = s.get("pattern").and_then(J::as_str) {
        s.insert("pattern".into(), J::from(format!("({p})|{FILLED_IN}")));
        return;
    }
    let scalar = |t: &J| ["integer", "number", "boolean"].iter().any(|n| t == n);
    let types = match s.get("type") {
        Some(t @ J::String(_)) if scalar(t) => vec![t.clone()],
        Some(J::Array(t)) if t.iter().any(scalar) && !t.contains(&J::from("string")) => t.clone(),
        _ => return,
    };
    if !s.contains_key("const") && !s.contains_key("enum") {
        s.insert("type".into(), J::Array(types.into_iter().chain([J::from("string")]).collect()));
        s.insert("pattern".into(), J::from(FILLED_IN));
    }
}

fn capital(word: &str) -> String {
    let mut c = word.chars();
    c.next().map(|f| f.to_ascii_uppercase().to_string() + c.as_str()).unwrap_or_default()
}
