//! A case: a folder with a topology and a `case.toml` that says how to make its input and what must come out.
//!
//! Inputs are generated once for a number of events and a seed, and kept. A kept input carries a mark made of the
//! generator's command and files: after an edit of the generator it is made again.
use crate::child;
use crate::fill::{self, Values};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Version of `case.toml` that this runner reads.
const SCHEMA: u32 = 1;
/// Longest time of the generator.
const GENERATE_LIMIT: Duration = Duration::from_secs(3600);
/// File that marks a complete input.
const DONE: &str = "done";

/// `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    about: String,
    topology: PathBuf,
    output: PathBuf,
    seed: u64,
    generate: Vec<Generate>,
    variables: BTreeMap<String, String>,
    #[serde(default)]
    variant: Vec<Variant>,
    #[serde(default)]
    expected: Vec<Expected>,
}

/// The same job with one thing different.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What a report calls it.
    pub name: String,
    /// What is different, one line.
    pub about: String,
    /// Pieces of the topology, and what stands in their place.
    #[serde(default)]
    replace: Vec<(String, String)>,
    /// More of the topology.
    #[serde(default)]
    append: String,
    /// Other values for variables.
    #[serde(default)]
    variables: BTreeMap<String, String>,
    /// True if it is asked for its metrics while it runs, at `{PORT}` of this machine.
    #[serde(default)]
    pub watched: bool,
    /// True if its output is not the case's own.
    #[serde(default)]
    pub other_output: bool,
}

/// How the input is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    command: Vec<String>,
}

/// What must come out for the case's own seed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    events: u64,
    alerts: u64,
}

/// A case that is ready to run.
#[derive(Debug)]
pub struct Case {
    /// Name of its folder.
    pub name: String,
    /// What it does, one line.
    pub about: String,
    /// Its topology.
    pub topology: PathBuf,
    /// The file below OUT that is checked.
    pub output: PathBuf,
    /// The seed for which the expected numbers hold.
    pub seed: u64,
    /// The same job with one thing different, by name.
    pub variants: Vec<Variant>,
    dir: PathBuf,
    commands: Vec<Vec<String>>,
    variables: BTreeMap<String, String>,
    expected: Vec<Expected>,
}

/// A generated input.
#[derive(Clone, Debug)]
pub struct Input {
    /// Values for the topology's variables and for placeholders.
    pub values: Values,
    /// Lines the output must have, where that is known.
    pub expected: Option<u64>,
    dir: PathBuf,
}

impl Case {
    /// Read the case in `dir`.
    pub fn load(dir: &Path) -> Result<Case> {
        let path = dir.join("case.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("read {}: a case is a folder with a case.toml and a topology", path.display()))?;
        let file: File = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        ensure!(file.schema == SCHEMA, "{}: schema = {} is not known, only {SCHEMA}", path.display(), file.schema);
        let commands: Vec<Vec<String>> = file.generate.into_iter().map(|g| g.command).collect();
        ensure!(
            !commands.is_empty() && commands.iter().all(|c| !c.is_empty()),
            "{}: nothing is generated",
            path.display()
        );
        let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        Ok(Case {
            name: dir.file_name().map_or_else(|| "case".into(), |n| n.to_string_lossy().into_owned()),
            about: file.about,
            topology: dir.join(file.topology),
            output: file.output,
            seed: file.seed,
            variants: file.variant,
            dir,
            commands,
            variables: file.variables,
            expected: file.expected,
        })
    }

    /// The input for `events` and `seed`, from `cache` or generated into it now.
    pub fn input(&self, events: u64, seed: u64, cache: &Path) -> Result<Input> {
        let dir = cache.join(format!("{}-{events}-{seed}", self.name));
        let mark = self.mark()?;
        if std::fs::read_to_string(dir.join(DONE)).ok().as_deref() != Some(&*mark) {
            eprintln!("generate {} events into {}", crate::stats::group(events), dir.display());
            self.generate(&dir, events, seed, &mark)?;
        }
        let mut values = self.place(&dir, events, seed);
        values.extend(filled(&self.variables, &values)?);
        let expected = self.expected.iter().find(|e| e.events == events && seed == self.seed).map(|e| e.alerts);
        Ok(Input { values, expected, dir })
    }

    /// Generate beside the place and move there when complete, so that a broken-off generator leaves nothing half.
    fn generate(&self, dir: &Path, events: u64, seed: u64, mark: &str) -> Result<()> {
        if dir.exists() {
            ensure!(dir.join(DONE).exists(), "{} is not an input of the benchmark; move it away", dir.display());
            std::fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        let part = dir.with_extension(format!("part-{}", std::process::id()));
        std::fs::create_dir_all(&part).with_context(|| format!("make {}", part.display()))?;
        let values = self.place(&part, events, seed);
        for words in &self.commands {
            let words = words.iter().map(|w| fill::plain(w, &values)).collect::<Result<Vec<String>>>()?;
            let mut command = Command::new(&words[0]);
            // Standard output belongs to the report.
            command.args(&words[1..]).current_dir(&self.dir).stdout(std::io::stderr());
            let (status, _) = child::run(&mut command, GENERATE_LIMIT)
                .with_context(|| format!("generate the input: {}", words.join(" ")))?;
            if !status.success() {
                let _ = std::fs::remove_dir_all(&part);
                bail!("the generator failed ({status}): {}", words.join(" "));
            }
        }
        std::fs::write(part.join(DONE), mark)?;
        std::fs::rename(&part, dir).with_context(|| format!("move {} to {}", part.display(), dir.display()))
    }

    /// Placeholders of a generator's command and of variables.
    fn place(&self, dir: &Path, events: u64, seed: u64) -> Values {
        let values = [
            ("DIR", dir.display().to_string()),
            ("CASE", self.dir.display().to_string()),
            ("EVENTS", events.to_string()),
            ("SEED", seed.to_string()),
        ];
        values.map(|(k, v)| (k.to_string(), v)).into()
    }

    /// Changes when the generator does: its command and every file of the case that the command names.
    fn mark(&self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for word in self.commands.iter().flatten() {
            word.hash(&mut hasher);
            let path = self.dir.join(word);
            if path.is_file() {
                std::fs::read(&path).with_context(|| format!("read {}", path.display()))?.hash(&mut hasher);
            }
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }
}

/// Variables with their placeholders filled in.
fn filled(variables: &BTreeMap<String, String>, values: &Values) -> Result<Values> {
    variables.iter().map(|(k, v)| Ok((k.clone(), fill::plain(v, values)?))).collect()
}

impl Variant {
    /// The topology of this variant, made from the case's and written to `path`; and the values of its variables.
    pub fn apply(&self, case: &Case, values: &mut Values, path: &Path) -> Result<()> {
        let what = || format!("variant {} of {}", self.name, case.topology.display());
        let mut text = std::fs::read_to_string(&case.topology).with_context(what)?;
        for (old, new) in &self.replace {
            ensure!(text.matches(old.as_str()).count() == 1, "{}: {old:?} does not occur once", what());
            text = text.replace(old.as_str(), new);
        }
        let own = filled(&self.variables, values)?;
        values.extend(own);
        std::fs::write(path, text + &self.append).with_context(what)
    }
}

impl Input {
    /// Read every file once, so that the first run does not pay for the disk alone.
    pub fn warm(&self) -> Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for entry in std::fs::read_dir(&self.dir).with_context(|| format!("list {}", self.dir.display()))? {
            let path = entry?.path();
            // Folders hold rules: small, and read long before the first event.
            if path.is_file() {
                let mut file = std::fs::File::open(path)?;
                while file.read(&mut buffer)? > 0 {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case whose generator writes `line` once for each event.
    fn case(dir: &Path, line: &str) -> Case {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("gen.sh"), format!("for i in $(seq $2); do echo {line}; done >$1/in\n")).unwrap();
        let text = "schema = 1\nabout = 'x'\ntopology = 't.toml'\noutput = 'o'\nseed = 7\n\
            [[generate]]\ncommand = ['sh', 'gen.sh', '{DIR}', '{EVENTS}']\n[variables]\nINPUT = '{DIR}/in'\n\
            [[expected]]\nevents = 3\nalerts = 2\n";
        std::fs::write(dir.join("case.toml"), text).unwrap();
        Case::load(dir).unwrap()
    }

    #[test]
    fn an_input_is_generated_once_and_again_after_an_edit() {
        let tmp = tempfile::tempdir().unwrap();
        let (dir, cache) = (tmp.path().join("c"), tmp.path().join("cache"));
        let input = case(&dir, "a").input(3, 7, &cache).unwrap();
        let path = input.values["INPUT"].clone();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), input.expected), ("a\na\na\n", Some(2)));
        std::fs::write(&path, "kept").unwrap();
        case(&dir, "a").input(3, 7, &cache).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
        case(&dir, "b").input(3, 7, &cache).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\nb\nb\n");
        input.warm().unwrap();
    }

    #[test]
    fn numbers_are_expected_for_their_seed_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let c = case(&tmp.path().join("c"), "a");
        let cache = tmp.path().join("cache");
        assert_eq!(c.input(3, 8, &cache).unwrap().expected, None);
        assert_eq!(c.input(4, 7, &cache).unwrap().expected, None);
    }

    #[test]
    fn a_failed_generator_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let (dir, cache) = (tmp.path().join("c"), tmp.path().join("cache"));
        let c = case(&dir, "a");
        std::fs::write(dir.join("gen.sh"), "echo half >$1/in; exit 4").unwrap();
        assert!(c.input(3, 7, &cache).unwrap_err().to_string().contains("generator failed"));
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    }

    #[test]
    fn a_strange_folder_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let cache = tmp.path().join("cache");
        let strange = cache.join("c-3-7");
        std::fs::create_dir_all(&strange).unwrap();
        let e = case(&tmp.path().join("c"), "a").input(3, 7, &cache).unwrap_err().to_string();
        assert!(e.contains("not an input") && strange.exists(), "{e}");
    }

    #[test]
    fn a_wrong_case_file_is_told_with_its_place() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", Case::load(tmp.path()).unwrap_err()).contains("case.toml"));
        std::fs::write(tmp.path().join("case.toml"), "schema = 1\ncolour = 'red'\n").unwrap();
        let e = format!("{:#}", Case::load(tmp.path()).unwrap_err());
        assert!(e.contains("colour") && e.contains("line 2"), "{e}");
    }

    #[test]
    fn the_shipped_case_loads() {
        let c = Case::load(Path::new("cases/common")).unwrap();
        assert_eq!((c.name.as_str(), c.seed), ("common", 20_260_301));
        let dir = tempfile::tempdir().unwrap();
        for v in &c.variants {
            let mut values = c.place(dir.path(), 1, 1);
            values.insert("PORT".into(), "9600".into());
            v.apply(&c, &mut values, &dir.path().join(&v.name)).unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("structural")).unwrap();
        assert!(text.contains("\nstrict = false\n"), "{text}");
        assert!(c.topology.is_file() && c.expected.iter().any(|e| (e.events, e.alerts) == (200_000, 980)));
    }
}
