//! What a worker can see of the machine: the files of its interpreter, for reading.
//!
//! Two layers say so independently: a root of its own, in which nothing else is, and Landlock, which holds also where the
//! machine allows no mounts. [`Isolation`] tells which layers there are.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

use super::interpreter::Interpreter;

/// Folders of shared libraries and the little that the C library reads.
const SYSTEM: [&str; 7] =
    ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"];

/// Layers of the isolation on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Layers that hold.
    pub layers: Vec<&'static str>,
    /// What the machine does not allow, with the reason.
    pub missing: Vec<String>,
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.layers.join(", "))?;
        match self.missing.is_empty() {
            true => Ok(()),
            false => write!(f, "; missing: {}", self.missing.join("; ")),
        }
    }
}

/// Files and folders that a worker reads.
#[derive(Clone, Debug)]
pub struct Files {
    /// Folders and files, without those inside another one.
    pub readable: Vec<PathBuf>,
    /// Symbolic links of the system that lead to them, and where to.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// What may be executed: the program and the loaders of shared libraries.
    pub executable: Vec<PathBuf>,
}

impl Files {
    /// The files of an interpreter.
    pub fn of(interpreter: &Interpreter) -> Files {
        let mut all = BTreeSet::new();
        let mut links = Vec::new();
        for path in SYSTEM.iter().map(PathBuf::from) {
            match path.read_link() {
                Ok(to) => links.push((path.clone(), to)),
                Err(_) if path.exists() => {
                    all.insert(path);
                }
                Err(_) => {}
            }
        }
        for path in interpreter.library.iter().chain(&interpreter.packages).chain(&interpreter.shared) {
            let Ok(to) = path.canonicalize() else { continue };
            if to != *path {
                links.push((path.clone(), to.clone()));
            }
            all.insert(to);
        }
        all.insert(interpreter.program.clone());
        let inside = |path: &Path| path.ancestors().skip(1).any(|above| all.contains(above));
        let readable = all.iter().filter(|p| !inside(p)).cloned().collect();
        let mut executable = vec![interpreter.program.clone()];
        for folder in ["/lib", "/lib64", "/usr/lib", "/usr/lib64"] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.as_bytes().starts_with(b"ld-") && name.as_bytes().windows(3).any(|w| w == b".so") {
                    executable.extend(entry.path().canonicalize());
                }
            }
        }
        executable.sort();
        executable.dedup();
        Files { readable, links, executable }
    }

    /// The rules of Landlock: read these, execute those, nothing else; no TCP, no signal to another process.
    ///
    /// # Errors
    /// The kernel has no Landlock, or it is off.
    pub fn landlock(&self) -> Result<OwnedFd, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))
            .and_then(|r| r.handle_access(AccessNet::from_all(ABI::V5)))
            .and_then(|r| r.scope(Scope::from_all(ABI::V6)))
            .and_then(|r| r.create())
            .map_err(|e| text(&e))?;
        for (paths, access) in [(&self.readable, read), (&self.executable, AccessFs::Execute | AccessFs::ReadFile)] {
            for path in paths {
                let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V5) };
                let file = PathFd::new(path).map_err(|e| text(&e))?;
                rules = rules.add_rule(PathBeneath::new(file, access)).map_err(|e| text(&e))?;
            }
        }
        let rules: Option<OwnedFd> = rules.into();
        rules.ok_or_else(|| "the kernel has no Landlock, or it is off".into())
    }

    /// The steps that make a root of these files below a folder.
    ///
    /// # Errors
    /// A path with a zero byte.
    pub fn steps(&self, below: &str) -> io::Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut made = BTreeSet::new();
        let at = |path: &Path| c(Path::new(&format!("{below}{}", path.display())));
        let mut folders = |path: &Path, steps: &mut Vec<Step>| -> io::Result<()> {
            let above: Vec<&Path> = path.ancestors().skip(1).filter(|p| *p != Path::new("/")).collect();
            for folder in above.into_iter().rev() {
                if made.insert(folder.to_path_buf()) {
                    steps.push(Step::Folder(at(folder)?));
                }
            }
            Ok(())
        };
        for path in &self.readable {
            folders(path, &mut steps)?;
            steps.push(if path.is_dir() { Step::Folder(at(path)?) } else { Step::File(at(path)?) });
            steps.push(Step::Bind(c(path)?, at(path)?));
        }
        for (path, to) in &self.links {
            folders(path, &mut steps)?;
            steps.push(Step::Link(c(to)?, at(path)?));
        }
        Ok(steps)
    }
}

/// One step of making a root; a worker takes them between its birth and its program, with system calls only.
#[derive(Clone, Debug)]
pub enum Step {
    /// Make a folder.
    Folder(CString),
    /// Make an empty file to mount on.
    File(CString),
    /// Mount a file or folder of the machine, for reading.
    Bind(CString, CString),
    /// Make a symbolic link: where it leads, where it is.
    Link(CString, CString),
}

/// A path for a system call.
pub fn c(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
