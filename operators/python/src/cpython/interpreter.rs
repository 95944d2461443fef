//! Finding a CPython and what it needs around it.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::Problem;
use serde_json::Value as Json;

use super::settings::Settings;

/// Oldest version that detections are run with.
pub const OLDEST: (u64, u64) = (3, 9);
/// Names that are looked for on the `PATH`.
const NAMES: [&str; 7] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9"];
/// Time for the interpreter to say what it is.
const PROBE: Duration = Duration::from_secs(20);

/// An interpreter, and the files that it reads.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// The program, without symbolic links.
    pub program: PathBuf,
    /// Version, `3.11.7`.
    pub version: String,
    /// `PYTHONHOME`.
    pub home: String,
    /// Where the standard library is.
    pub library: Vec<PathBuf>,
    /// Where packages of the virtual environment are.
    pub packages: Vec<PathBuf>,
    /// Folders of shared libraries that it has loaded.
    pub shared: Vec<PathBuf>,
}

/// What an interpreter is asked.
const QUESTION: &str = r#"
import json, os, sys
maps = []
try:
    import _ctypes, _datetime, _decimal, _json, math, zlib
except ImportError:
    pass
try:
    with open("/proc/self/maps") as file:
        maps = sorted({os.path.dirname(p) for p in (l.split(None, 5)[-1].strip() for l in file) if p[:1] == "/" and ".so" in p})
except OSError:
    pass
print(json.dumps({
    "name": sys.implementation.name, "version": list(sys.version_info[:3]),
    "program": os.path.realpath(sys.executable), "home": [sys.base_prefix, sys.base_exec_prefix],
    "path": [p for p in sys.path if p], "shared": maps,
}))
"#;

impl Interpreter {
    /// The interpreter that the settings name, or one of the machine.
    ///
    /// # Errors
    /// There is none that can be used; the problem says what to install.
    pub fn find(settings: &Settings) -> Result<Interpreter, Problem> {
        let named = settings.python.clone().or_else(|| settings.venv.as_ref().map(|v| v.join("bin/python")));
        let mut interpreter = match named {
            Some(program) => {
                let setting = if settings.python.is_some() { "python" } else { "venv" };
                ask(&program).map_err(|why| {
                    Problem::at(setting, format!("{}: {why}", program.display()))
                        .hint("name a CPython 3.9 or later, such as /usr/bin/python3")
                })?
            }
            None => search(std::env::var_os("PATH").as_deref())?,
        };
        if let Some(venv) = &settings.venv {
            let short = interpreter.version.rsplit_once('.').map_or("3", |(short, _)| short);
            let folder = venv.join("lib").join(format!("python{short}")).join("site-packages");
            let folder = folder.canonicalize().map_err(|e| {
                Problem::at("venv", format!("{}: {e}", folder.display()))
                    .hint(format!("make it with the same interpreter: {} -m venv", interpreter.program.display()))
            })?;
            interpreter.packages.push(folder);
        }
        Ok(interpreter)
    }
}

/// The first interpreter on a `PATH` that can be used.
fn search(path: Option<&OsStr>) -> Result<Interpreter, Problem> {
    let mut seen = Vec::new();
    for folder in path.map(std::env::split_paths).into_iter().flatten() {
        for name in NAMES {
            let program = folder.join(name);
            if !program.is_file() {
                continue;
            }
            match ask(&program) {
                Ok(interpreter) => return Ok(interpreter),
                Err(why) => seen.push(format!("{}: {why}", program.display())),
            }
        }
    }
    let found = if seen.is_empty() { "there is no python3 on the PATH".into() } else { seen.join("; ") };
    Err(Problem::at(
        "python",
        format!("no CPython 3.9 or later was found ({found}); detections that cannot be compiled need it"),
    )
    .hint("install it (Debian, Ubuntu: apt-get install python3), or name one: python = \"/usr/bin/python3\""))
}

/// What a program says that it is.
fn ask(program: &Path) -> Result<Interpreter, String> {
    let mut child = Command::new(program)
        .args(["-I", "-S", "-B", "-c", QUESTION])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot be started: {e}"))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > PROBE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("does not answer in {} s", PROBE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        let _ = out.take(1 << 20).read_to_string(&mut text);
    }
    let answer: Json = serde_json::from_str(&text).map_err(|_| format!("is not a Python 3 ({status})"))?;
    if answer["name"] != "cpython" {
        return Err(format!("is {}, not CPython", answer["name"]));
    }
    let number = |i: usize| answer["version"][i].as_u64().unwrap_or(0);
    let version = format!("{}.{}.{}", number(0), number(1), number(2));
    if (number(0), number(1)) < OLDEST {
        return Err(format!("is Python {version}, 3.9 is the oldest that can be used"));
    }
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    let paths = |value: &Json| {
        let list = value.as_array().into_iter().flatten().map(|p| PathBuf::from(text(p)));
        list.filter(|p| p.is_absolute()).collect::<Vec<_>>()
    };
    let (prefix, exec) = (text(&answer["home"][0]), text(&answer["home"][1]));
    Ok(Interpreter {
        program: text(&answer["program"]).into(),
        version,
        home: if prefix == exec { prefix } else { format!("{prefix}:{exec}") },
        library: paths(&answer["path"]),
        packages: Vec::new(),
        shared: paths(&answer["shared"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_python_is_told_what_to_install() {
        let empty = tempfile::tempdir().unwrap();
        let problem = search(Some(empty.path().as_os_str())).unwrap_err();
        assert!(problem.message.contains("no CPython 3.9 or later"), "{problem:?}");
        assert!(problem.hint.unwrap().contains("apt-get install python3"));
        assert!(search(None).is_err());
    }

    #[test]
    fn what_is_no_python_is_named_with_the_reason() {
        let settings = Settings { python: Some("/bin/cat".into()), ..Settings::default() };
        let problem = Interpreter::find(&settings).unwrap_err();
        assert_eq!(problem.setting, "python");
        assert!(problem.message.contains("/bin/cat: is not a Python 3"), "{problem:?}");
        let settings = Settings { venv: Some("/nowhere".into()), ..Settings::default() };
        let problem = Interpreter::find(&settings).unwrap_err();
        assert!(problem.setting == "venv" && problem.message.contains("cannot be started"), "{problem:?}");
    }

    #[test]
    fn the_interpreter_says_where_its_library_is() {
        let Ok(interpreter) = Interpreter::find(&Settings::default()) else { return };
        assert!(interpreter.program.is_absolute() && !interpreter.library.is_empty(), "{interpreter:?}");
    }
}
