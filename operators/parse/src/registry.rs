//! Schemas by name: the built-in ones, and those a topology brings along.
use crate::builtin;
use crate::hint;
use crate::schema::{Schema, load};
use model::{Files, Problem};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Largest schema file, bytes.
pub const MAX_FILE: usize = 1 << 20;

/// A set of schemas.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    by_name: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Loaded(Arc<Schema>),
    Shipped(Arc<Shipped>),
}

/// A schema in the binary. A process asks for few of them, so each is read when it is asked for.
#[derive(Debug)]
struct Shipped {
    file: &'static str,
    text: &'static str,
    schema: OnceLock<Option<Arc<Schema>>>,
}

impl Schemas {
    /// The schemas in the binary.
    pub fn builtin() -> &'static Schemas {
        static ALL: OnceLock<Schemas> = OnceLock::new();
        ALL.get_or_init(|| {
            let entry = |(file, text): &(&'static str, &'static str)| {
                let shipped = Shipped { file, text, schema: OnceLock::new() };
                (name(text).into(), Entry::Shipped(Arc::new(shipped)))
            };
            Schemas { by_name: builtin::SCHEMAS.iter().map(entry).collect() }
        })
    }

    /// The schema of a log type.
    pub fn get(&self, log_type: &str) -> Option<&Arc<Schema>> {
        match self.by_name.get(log_type)? {
            Entry::Loaded(schema) => Some(schema),
            // That all of them load is tested.
            Entry::Shipped(s) => s.schema.get_or_init(|| load(s.file, s.text, None).ok().map(Arc::new)).as_ref(),
        }
    }

    /// Names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|k| &**k)
    }

    /// Nearest known name, for hints.
    pub fn nearest(&self, log_type: &str) -> Option<&str> {
        hint::nearest(log_type, self.names())
    }

    /// Add one.
    pub fn insert(&mut self, schema: Schema) {
        self.by_name.insert(schema.name.clone(), Entry::Loaded(Arc::new(schema)));
    }

    /// Add the schemas in files and folders (`.yml`, `.yaml`). What is wrong goes to `problems`.
    pub fn add_files(&mut self, paths: &[String], files: &dyn Files, problems: &mut Vec<Problem>) {
        for (i, path) in paths.iter().enumerate() {
            let at = format!("schemas[{i}]");
            let list = match files.list(path) {
                Ok(list) => list,
                Err(e) => {
                    problems.push(Problem::at(&at, format!("cannot read {path}: {e}")));
                    continue;
                }
            };
            let schema_files: Vec<String> =
                list.into_iter().filter(|f| f.ends_with(".yml") || f.ends_with(".yaml")).collect();
            if schema_files.is_empty() {
                let hint = "name a schema file or a folder with schema files (.yml)";
                problems.push(Problem::at(&at, format!("no schema in {path}")).hint(hint));
            }
            for file in schema_files {
                self.add_file(&at, &file, files, problems);
            }
        }
    }

    fn add_file(&mut self, at: &str, file: &str, files: &dyn Files, problems: &mut Vec<Problem>) {
        let bytes = match files.read(file) {
            Ok(b) => b,
            Err(e) => return problems.push(Problem::at(at, format!("cannot read {file}: {e}"))),
        };
        if bytes.len() > MAX_FILE {
            return problems.push(Problem::at(at, format!("{file} is larger than {MAX_FILE} bytes")));
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return problems.push(Problem::at(at, format!("{file} is not UTF-8")));
        };
        let stem = file.rsplit('/').next().unwrap_or(file);
        let stem = stem.strip_suffix(".yml").or(stem.strip_suffix(".yaml"));
        match load(file, text, stem) {
            Err(found) => problems.extend(found.into_iter().map(|p| Problem { setting: at.into(), ..p })),
            Ok(s) if self.by_name.contains_key(&s.name) => problems.push(
                Problem::at(at, format!("log type {} is there already", s.name))
                    .in_file(file, 1, 1)
                    .hint("give your log type another name, such as Custom.…"),
            ),
            Ok(s) => {
                if !s.name.starts_with("Custom.") {
                    let text = format!("log type {} does not start with `Custom.`", s.name);
                    let hint = "names outside Custom may become built-in log types";
                    problems.push(Problem::at(at, text).in_file(file, 1, 1).hint(hint).warn());
                }
                self.insert(s);
            }
        }
    }
}

/// The name that a schema in the binary gives itself.
fn name(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("schema: ")).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::files::MemFiles;

    #[test]
    fn builtin_schemas_load() {
        let all = Schemas::builtin();
        assert_eq!(all.names().count(), builtin::SCHEMAS.len());
        for (file, text) in builtin::SCHEMAS {
            let schema = load(file, text, None).unwrap_or_else(|p| panic!("{p:#?}"));
            assert_eq!(name(text), &*schema.name);
            assert_eq!(all.get(&schema.name).map(|s| &s.name), Some(&schema.name));
        }
    }

    #[test]
    fn files_are_added_with_all_problems() {
        let good = "version: 0\nfields: [{ name: a, type: string }]\n";
        let files = MemFiles::of(&[
            ("s/Custom.One.yml", good),
            ("s/bad.yml", "version: 0\nschema: Custom.Bad\nfields: []\n"),
            ("s/Acme.App.yaml", good),
            ("s/readme.md", "x"),
            ("t/Custom.One.yml", good),
        ]);
        let (mut all, mut problems) = (Schemas::default(), Vec::new());
        all.add_files(&["s".into(), "t".into(), "nope".into()], &files, &mut problems);
        assert_eq!(all.names().collect::<Vec<_>>(), ["Acme.App", "Custom.One"]);
        let text: Vec<String> = problems.iter().map(|p| format!("{} {}", p.setting, p.message)).collect();
        assert_eq!(problems.iter().filter(|p| p.warning).count(), 1, "{text:?}");
        assert_eq!(problems.iter().filter(|p| !p.warning).count(), 3, "{text:?}");
        assert!(text.iter().any(|t| t.starts_with("schemas[1] log type Custom.One is there already")), "{text:?}");
        assert!(text.iter().any(|t| t.starts_with("schemas[2] cannot read nope")), "{text:?}");
        assert_eq!(all.nearest("custom.one"), Some("Custom.One"));
    }
}
