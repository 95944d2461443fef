//! YAML text to a checked [`Schema`]: everything wrong in a file is reported at once, with its place.
use super::locate::Step;
use super::options::Sheet;
use super::{Fetch, Field, Kind, MAX_NESTING, MAX_SPECS, Schema, Source, Spec};
use crate::hint;
use crate::indicator::Scanner;
use crate::mask::Mask;
use crate::text::Parser;
use crate::validate::{Family, Validate};
use model::Problem;
use model::path::{Path, Seg};
use model::time::TimeFormat;
use std::sync::Arc;
use yaml_serde::{Mapping, Value};

mod parser;

const TOP: &[&str] = &[
    "version",
    "schema",
    "description",
    "referenceURL",
    "parser",
    "inline",
    "definitions",
    "fields",
    "fieldDiscoveryEnabled",
];
const SPEC: &[&str] = &["type", "description"];
const FIELD: &[&str] = &["name", "required", "rename", "aliases", "copy", "concat", "split", "mask"];
const TYPES: &[&str] =
    &["string", "smallint", "int", "bigint", "float", "boolean", "timestamp", "object", "array", "json", "ref"];

/// Read a schema file. `name` is used where the file has no `schema` key. The schema comes back only without errors.
pub fn load(file: &str, text: &str, name: Option<&str>) -> Result<Schema, Vec<Problem>> {
    let mut sheet = Sheet::new(file, text);
    let value: Value = match yaml_serde::from_str(text) {
        Ok(v) => v,
        Err(e) => {
            let (line, col) = e.location().map_or((1, 1), |l| (l.line() as u32, l.column() as u32));
            return Err(vec![Problem::at("schemas", format!("not YAML: {e}")).in_file(file, line, col)]);
        }
    };
    let Some(map) = sheet.map(&value, "a schema") else { return Err(sheet.problems) };
    let schema =
        Loader { sheet: &mut sheet, definitions: map.get("definitions"), specs: 0, refs: Vec::new() }.schema(map, name);
    match schema {
        Some(s) if sheet.problems.is_empty() => Ok(s),
        _ => Err(sheet.problems),
    }
}

/// True for `Family.Type` and `Family.Sub.Type`.
pub fn is_log_type(name: &str) -> bool {
    let part = |p: &str| {
        p.len() >= 2 && p.starts_with(|c: char| c.is_ascii_uppercase()) && p.chars().all(|c| c.is_ascii_alphanumeric())
    };
    name.split('.').count() <= 3 && name.split('.').all(part)
}

struct Loader<'s, 'a> {
    sheet: &'s mut Sheet<'a>,
    definitions: Option<&'s Value>,
    /// Specs made so far, against [`MAX_SPECS`].
    specs: usize,
    /// References being resolved.
    refs: Vec<String>,
}

impl Loader<'_, '_> {
    fn schema(&mut self, map: &Mapping, name: Option<&str>) -> Option<Schema> {
        self.sheet.only(map, TOP, "a schema");
        match map.get("version") {
            Some(v) if v.as_i64() == Some(0) => {}
            Some(_) => self.sheet.problem_at("version", "`version` must be 0", None),
            None => self.sheet.problem("a schema needs `version: 0`", None),
        }
        let name = self.sheet.str(map, "schema").or(name.map(String::from)).unwrap_or_default();
        if !is_log_type(&name) {
            let hint = "write `schema: Custom.MyType` (each part starts with a capital letter, letters and digits)";
            self.sheet.problem_at("schema", format!("`{name}` is not the name of a log type"), Some(hint.into()));
        }
        let parser = self.parser(map);
        self.check_definitions();
        let fields = self.fields(map, 1, true)?;
        let inline = self.sheet.list(map, "inline").unwrap_or_default();
        let is_text = matches!(parser, Some(Parser::Text(_)));
        if is_text && !inline.is_empty() {
            self.sheet.problem_at("inline", "`inline` is for JSON: this log type has a `parser`", None);
        }
        self.names(&fields, is_text);
        let mut schema = Schema {
            name: name.into(),
            revision: 1,
            description: self.sheet.str(map, "description").unwrap_or_default(),
            reference_url: self.sheet.str(map, "referenceURL").unwrap_or_default(),
            parser: parser?,
            fields,
            inline: inline.into_iter().map(Arc::from).collect(),
        };
        resolve(&mut schema.fields);
        Some(schema)
    }

    /// Input keys of top-level fields with several names: each name is that of one field.
    fn names(&mut self, fields: &[Field], is_text: bool) {
        for (i, f) in fields.iter().enumerate().filter(|(_, f)| !f.aliases.is_empty()) {
            let at = [Step::Key("fields".into()), Step::Item(i), Step::Key("aliases".into())];
            let before = std::mem::replace(&mut self.sheet.at, at.to_vec());
            if is_text {
                self.sheet.problem("`aliases` is for JSON: this log type has a `parser`", None);
            }
            if f.spec.kind.is_container() {
                self.sheet.problem(
                    format!("field `{}` is a {}: only one value has aliases", f.name, f.spec.kind.name()),
                    None,
                );
            }
            if !matches!(f.source, Source::Key(_)) {
                self.sheet.problem(format!("field `{}` is made of other values and has no aliases", f.name), None);
            }
            let own = |o: &Field, n: &Arc<str>| matches!(&o.source, Source::Key(k) if k == n) || o.aliases.contains(n);
            for name in &f.aliases[1..] {
                if fields.iter().enumerate().any(|(j, o)| j != i && own(o, name)) {
                    self.sheet.problem(format!("`{name}` is also a name of another field"), None);
                }
            }
            self.sheet.at = before;
        }
    }

    fn check_definitions(&mut self) {
        let Some(d) = self.definitions.filter(|d| !d.is_null()) else { return };
        let Some(map) = self.sheet.below(Step::Key("definitions".into()), |s| s.map(d, "`definitions`")) else {
            return;
        };
        for (k, v) in map {
            let name = k.as_str().unwrap_or_default();
            let good = name.len() >= 2
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric());
            let at = [Step::Key("definitions".into()), Step::Key(name.into())];
            let before = std::mem::replace(&mut self.sheet.at, at.to_vec());
            if !good {
                self.sheet.problem(
                    format!("`{name}` is not a name for a definition"),
                    Some("start with a capital letter; letters and digits only".into()),
                );
            }
            if let Some(m) = self.sheet.map(v, "a definition") {
                self.refs.push(name.into());
                self.spec(m, 1, &[]);
                self.refs.pop();
            }
            self.sheet.at = before;
        }
    }

    fn fields(&mut self, map: &Mapping, depth: usize, top: bool) -> Option<Vec<Field>> {
        let list = map.get("fields").and_then(Value::as_sequence);
        let Some(list) = list.filter(|l| !l.is_empty()) else {
            self.sheet.problem_at("fields", "`fields` must be a list with at least one field", None);
            return None;
        };
        let mut out: Vec<Field> = Vec::with_capacity(list.len());
        for (i, v) in list.iter().enumerate() {
            self.sheet.at.extend([Step::Key("fields".into()), Step::Item(i)]);
            if let Some(f) = self.field(v, depth, top) {
                if out.iter().any(|o| o.name == f.name) {
                    self.sheet.problem(format!("field `{}` is there twice", f.name), None);
                }
                out.push(f);
            }
            self.sheet.at.truncate(self.sheet.at.len() - 2);
        }
        Some(out)
    }

    fn field(&mut self, v: &Value, depth: usize, top: bool) -> Option<Field> {
        let map = self.sheet.map(v, "a field")?;
        let name: Arc<str> = self.sheet.need(map, "name", "a field")?.into();
        if name.is_empty() {
            self.sheet.problem_at("name", "a field needs a name that is not empty", None);
        }
        if top && name.starts_with("p_") {
            self.sheet.problem_at(
                "name",
                format!("field `{name}`: names with `p_` belong to the standard fields"),
                None,
            );
        }
        let spec = self.spec(map, depth, FIELD);
        let source = self.source(map, &name, top);
        let mask = self.mask(map);
        let aliases = self.aliases(map, &source, top);
        let spec = spec?;
        if mask.is_some() && !matches!(spec.kind, Kind::String) {
            self.sheet.problem_at("mask", "only a string can be masked", Some("set `type: string`".into()));
        }
        Some(Field {
            required: self.sheet.bool(map, "required"),
            description: self.sheet.str(map, "description").unwrap_or_default(),
            name,
            spec,
            source,
            aliases,
            mask,
        })
    }

    fn spec(&mut self, map: &Mapping, depth: usize, also: &[&str]) -> Option<Spec> {
        let ty = self.sheet.need(map, "type", "a value")?;
        self.specs += 1;
        if depth > MAX_NESTING || self.specs > MAX_SPECS {
            self.sheet.problem(format!("more than {MAX_NESTING} levels or {MAX_SPECS} values in a schema"), None);
            return None;
        }
        let own: &[&str] = match ty.as_str() {
            "string" => &["indicators", "validate"],
            "timestamp" => &["timeFormat", "isEventTime", "isExpiration", "indicators"],
            "object" => &["fields", "isEmbeddedJSON"],
            "array" => &["element", "isEmbeddedJSON"],
            "json" => &["isEmbeddedJSON", "indicators"],
            "ref" => &["target"],
            _ => &[],
        };
        let known: Vec<&str> = SPEC.iter().chain(own).chain(also).copied().collect();
        self.sheet.only(map, &known, &format!("a field of type {ty}"));
        let kind = match ty.as_str() {
            "string" => Kind::String,
            "smallint" => Kind::SmallInt,
            "int" => Kind::Int,
            "bigint" => Kind::BigInt,
            "float" => Kind::Float,
            "boolean" => Kind::Boolean,
            "json" => Kind::Json,
            "timestamp" => Kind::Timestamp(self.time_format(map)?),
            "object" => Kind::Object(self.fields(map, depth + 1, false)?),
            "array" => Kind::Array(Box::new(self.element(map, depth)?)),
            "ref" => return self.reference(map, depth),
            other => {
                let hint = hint::nearest(other, TYPES.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                let hint = hint.unwrap_or_else(|| format!("types are {}", TYPES.join(", ")));
                self.sheet.problem_at("type", format!("unknown type `{other}`"), Some(hint));
                return None;
            }
        };
        let (indicators, inside) = match kind {
            Kind::Json => (Vec::new(), self.inside(map)),
            _ => (self.indicators(map), Vec::new()),
        };
        Some(Spec {
            indicators,
            inside,
            validate: self.validate(map),
            embedded: self.sheet.bool(map, "isEmbeddedJSON"),
            event_time: self.sheet.bool(map, "isEventTime"),
            expiration: self.sheet.bool(map, "isExpiration"),
            kind,
        })
    }

    fn element(&mut self, map: &Mapping, depth: usize) -> Option<Spec> {
        let Some(v) = map.get("element") else {
            self.sheet.problem("an array needs `element`", None);
            return None;
        };
        self.sheet.at.push(Step::Key("element".into()));
        let spec = self.sheet.map(v, "`element`").and_then(|m| self.spec(m, depth + 1, &[]));
        self.sheet.at.pop();
        spec
    }

    fn reference(&mut self, map: &Mapping, depth: usize) -> Option<Spec> {
        let target = self.sheet.need(map, "target", "a reference")?;
        let all = self.definitions.and_then(Value::as_mapping);
        let Some(found) = all.and_then(|d| d.get(target.as_str())) else {
            let names = all.into_iter().flatten().filter_map(|(k, _)| k.as_str());
            let hint = hint::nearest(&target, names).map(|n| format!("did you mean `{n}`?"));
            self.sheet.problem_at("target", format!("no definition `{target}`"), hint);
            return None;
        };
        if self.refs.contains(&target) {
            let chain = format!("{} → {target}", self.refs.join(" → "));
            self.sheet.problem_at("target", format!("definition `{target}` contains itself ({chain})"), None);
            return None;
        }
        self.refs.push(target.clone());
        let at = vec![Step::Key("definitions".into()), Step::Key(target)];
        let before = std::mem::replace(&mut self.sheet.at, at);
        let known = self.sheet.problems.len();
        let spec = self.sheet.map(found, "a definition").and_then(|m| self.spec(m, depth, &[]));
        // What is wrong in a definition is said once, not once per use.
        let news = self.sheet.problems.split_off(known);
        for p in news {
            if !self.sheet.problems.contains(&p) {
                self.sheet.problems.push(p);
            }
        }
        self.sheet.at = before;
        self.refs.pop();
        spec
    }

    fn time_format(&mut self, map: &Mapping) -> Option<TimeFormat> {
        let name = self.sheet.need(map, "timeFormat", "a timestamp")?;
        match TimeFormat::parse_name(&name) {
            Ok(f) => Some(f),
            Err(e) => {
                self.sheet.problem_at("timeFormat", e, None);
                None
            }
        }
    }

    fn indicators(&mut self, map: &Mapping) -> Vec<Scanner> {
        self.scanners(map, "indicators")
    }

    /// `indicators` of free JSON: a mapping of paths below it to scanners.
    fn inside(&mut self, map: &Mapping) -> Vec<(Path, Vec<Scanner>)> {
        let Some(value) = map.get("indicators") else { return Vec::new() };
        self.sheet.at.push(Step::Key("indicators".into()));
        let mut out = Vec::new();
        if let Some(m) = self.sheet.map(value, "`indicators` of free JSON") {
            for key in m.keys().filter_map(Value::as_str) {
                match Path::parse(key) {
                    Ok(path) => out.push((path, self.scanners(m, key))),
                    Err(e) => self.sheet.problem_at(key, e, None),
                }
            }
        }
        self.sheet.at.pop();
        out
    }

    fn scanners(&mut self, map: &Mapping, key: &str) -> Vec<Scanner> {
        let mut out = Vec::new();
        for name in self.sheet.list(map, key).unwrap_or_default() {
            match Scanner::parse(&name) {
                Some(s) => out.push(s),
                None => {
                    let near = hint::nearest(&name, Scanner::NAMES.iter().map(|(n, _)| *n));
                    let hint = near.map(|n| format!("did you mean `{n}`?"));
                    self.sheet.problem_at(key, format!("unknown indicator `{name}`"), hint);
                }
            }
        }
        out
    }

    fn validate(&mut self, map: &Mapping) -> Option<Arc<Validate>> {
        let v = map.get("validate")?;
        self.sheet.at.push(Step::Key("validate".into()));
        let out = self.sheet.map(v, "`validate`").and_then(|m| {
            self.sheet.only(m, &["allow", "deny", "ip", "cidr"], "`validate`");
            if m.len() != 1 {
                self.sheet.problem("`validate` takes exactly one of allow, deny, ip, cidr", None);
                return None;
            }
            let family = |s: &mut Sheet, key: &str| match s.str(m, key)?.as_str() {
                "any" => Some(Family::Any),
                "ipv4" => Some(Family::V4),
                "ipv6" => Some(Family::V6),
                other => {
                    s.problem_at(key, format!("`{other}` is not any, ipv4 or ipv6"), None);
                    None
                }
            };
            match m.keys().next()?.as_str()? {
                "allow" => self.sheet.list(m, "allow").map(Validate::Allow),
                "deny" => self.sheet.list(m, "deny").map(Validate::Deny),
                "ip" => family(self.sheet, "ip").map(Validate::Ip),
                _ => family(self.sheet, "cidr").map(Validate::Cidr),
            }
        });
        self.sheet.at.pop();
        out.map(Arc::new)
    }

    fn source(&mut self, map: &Mapping, name: &Arc<str>, top: bool) -> Source {
        let own = Source::Key(name.clone());
        let given: Vec<&str> =
            ["rename", "copy", "concat", "split"].into_iter().filter(|k| map.get(k).is_some()).collect();
        let Some(&key) = given.first() else { return own };
        if given.len() > 1 {
            let text = format!("field `{name}` has {}: its value can come from one place", given.join(" and "));
            self.sheet.problem_at(given[1], text, None);
        }
        if key != "rename" && !top {
            self.sheet.problem_at(key, format!("`{key}` works on top-level fields only"), None);
        }
        self.sheet.at.push(Step::Key(key.into()));
        let value = map.get(key).unwrap_or(&Value::Null);
        let source = self.sheet.map(value, &format!("`{key}`")).and_then(|m| self.source_of(key, m));
        self.sheet.at.pop();
        source.unwrap_or(own)
    }

    /// The input key's own name, then its others; none if there are no others.
    fn aliases(&mut self, map: &Mapping, source: &Source, top: bool) -> Vec<Arc<str>> {
        let others = self.sheet.list(map, "aliases").unwrap_or_default();
        let Source::Key(own) = source else { return others.into_iter().map(Arc::from).collect() };
        if others.is_empty() {
            return Vec::new();
        }
        if !top {
            self.sheet.problem_at("aliases", "`aliases` works on top-level fields only", None);
        }
        std::iter::once(own.clone()).chain(others.into_iter().map(Arc::from)).collect()
    }

    fn source_of(&mut self, key: &str, m: &Mapping) -> Option<Source> {
        let what = format!("`{key}`");
        match key {
            "rename" => {
                self.sheet.only(m, &["from"], &what);
                Some(Source::Key(self.sheet.need(m, "from", &what)?.into()))
            }
            "copy" => {
                self.sheet.only(m, &["from"], &what);
                let from = self.sheet.need(m, "from", &what)?;
                Some(Source::Copy(self.path("from", &from)?))
            }
            "concat" => {
                self.sheet.only(m, &["paths", "separator"], &what);
                let paths = self.sheet.list(m, "paths").unwrap_or_default();
                if paths.is_empty() {
                    self.sheet.problem("`concat` needs `paths`, a list of paths", None);
                    return None;
                }
                let separator = self.sheet.str(m, "separator").unwrap_or_default();
                let paths: Option<Vec<_>> = paths.iter().map(|p| self.path("paths", p).map(Fetch::Input)).collect();
                Some(Source::Concat(paths?, separator.into()))
            }
            _ => {
                self.sheet.only(m, &["from", "separator", "index"], &what);
                let from = self.sheet.need(m, "from", &what)?;
                let separator = self.sheet.need(m, "separator", &what)?;
                if separator.is_empty() {
                    self.sheet.problem_at("separator", "`separator` must not be empty", None);
                }
                let index = self.sheet.int(m, "index").unwrap_or(0);
                Some(Source::Split {
                    from: Fetch::Input(self.path("from", &from)?),
                    separator: separator.into(),
                    index,
                })
            }
        }
    }

    fn path(&mut self, key: &str, text: &str) -> Option<Path> {
        let bad = |p: &Path| p.0.iter().any(|s| matches!(s, Seg::Each) || matches!(s, Seg::Index(i) if *i < 0));
        match Path::parse(text) {
            Ok(p) if p.root().is_none() || bad(&p) => {
                let hint = "write names and whole numbers, as in `a.b[0]`";
                self.sheet.problem_at(key, format!("path `{text}` does not name one value"), Some(hint.into()));
                None
            }
            Ok(p) => Some(p),
            Err(e) => {
                self.sheet.problem_at(key, e, None);
                None
            }
        }
    }

    fn mask(&mut self, map: &Mapping) -> Option<Mask> {
        let v = map.get("mask")?;
        self.sheet.at.push(Step::Key("mask".into()));
        let out = self.sheet.map(v, "`mask`").and_then(|m| match self.sheet.need(m, "type", "`mask`")?.as_str() {
            "hash" => {
                self.sheet.only(m, &["type", "salt"], "a hash mask");
                Some(Mask::Hash { salt: self.sheet.str(m, "salt").unwrap_or_default().into() })
            }
            "redact" => {
                self.sheet.only(m, &["type", "to"], "a redact mask");
                Some(Mask::Redact { to: self.sheet.str(m, "to").unwrap_or_else(|| "REDACTED".into()).into() })
            }
            other => {
                self.sheet.problem_at("type", format!("unknown mask `{other}`"), Some("use hash or redact".into()));
                None
            }
        });
        self.sheet.at.pop();
        out
    }
}

/// Follow renames, copies and concatenations in what copy, concat and split read, so that reading needs no names.
fn resolve(fields: &mut [Field]) {
    let sources: Vec<(Arc<str>, Source)> = fields.iter().map(|f| (f.name.clone(), f.source.clone())).collect();
    // The input path behind a path of the event, as the steps before `copy` (1) or before concat and split (2) see it.
    let follow = |p: &Path, copies: bool| -> Fetch {
        let Some(i) = sources.iter().position(|(n, _)| Some(&**n) == p.root()) else { return Fetch::Input(p.clone()) };
        let under = |first: Vec<Seg>| Fetch::Input(Path(first.into_iter().chain(p.0[1..].iter().cloned()).collect()));
        match &sources[i].1 {
            Source::Key(k) => under(vec![Seg::Key(k.clone())]),
            Source::Copy(c) if copies => under(c.0.clone()),
            Source::Concat(..) if copies && p.0.len() == 1 => Fetch::Field(i),
            _ => Fetch::Input(p.clone()),
        }
    };
    let input = |f: Fetch, p: &Path| match f {
        Fetch::Input(p) => p,
        Fetch::Field(_) => p.clone(),
    };
    for i in 0..fields.len() {
        // Copies are followed once, on their own sources, before the later steps look through them.
        if let Source::Copy(p) = &sources[i].1 {
            fields[i].source = Source::Copy(input(follow(p, false), p));
        }
    }
    let copied: Vec<Option<Path>> =
        fields.iter().map(|f| if let Source::Copy(p) = &f.source { Some(p.clone()) } else { None }).collect();
    let late = |f: &Fetch, concat: bool| -> Fetch {
        let Fetch::Input(p) = f else { return f.clone() };
        let root = sources.iter().position(|(n, _)| Some(&**n) == p.root());
        match root.and_then(|i| copied[i].as_ref()) {
            Some(c) => Fetch::Input(Path(c.0.iter().chain(&p.0[1..]).cloned().collect())),
            None => match follow(p, true) {
                Fetch::Field(_) if concat => Fetch::Input(p.clone()),
                f => f,
            },
        }
    };
    for f in fields {
        match &mut f.source {
            Source::Concat(from, _) => from.iter_mut().for_each(|p| *p = late(p, true)),
            Source::Split { from, .. } => *from = late(from, false),
            _ => {}
        }
    }
}
