//! Starting an interpreter that is shut in.
//!
//! A worker is made by `clone3`, in namespaces of its own. All that it needs before it becomes its program is made in
//! [`Launch`]; what it does itself is in `child.rs`.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::child::{Child, STEPS};
use super::filter::{PROGRAM, filter};
use super::interpreter::Interpreter;
use super::sandbox::{Files, Isolation, Step, c};
use super::settings::Limits;

/// Descriptors that a worker may have; those of its own take five.
const DESCRIPTORS: u64 = 64;
/// Descriptors that a worker starts with lie above this number until they get their own.
const HIGH: libc::c_int = 100;
/// Stack, bytes.
const STACK: u64 = 8 << 20;
/// The user that a worker is.
pub const NOBODY: u32 = 65_534;
/// Where the root of a worker is made: no file of an interpreter is ever below it.
const ROOT: &str = "/proc";
/// Namespaces that a worker gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spaces {
    /// Users, mounts, network, processes, IPC and names.
    Own,
    /// All but users: for root where those are not allowed.
    OwnButUsers,
    /// None: the filter, Landlock and the limits hold alone.
    None,
}

/// All that a worker needs between its birth and its program.
#[derive(Debug)]
pub struct Launch {
    pub(super) program: OwnedFd,
    pub(super) null: OwnedFd,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) spaces: Spaces,
    pub(super) root: Vec<Step>,
    pub(super) landlock: Option<OwnedFd>,
    pub(super) filter: Option<seccompiler::BpfProgram>,
    pub(super) limits: Vec<(u32, u64)>,
    /// Effective user and group of this process.
    pub(super) us: (u32, u32),
    /// Above every number of a descriptor of this process.
    pub(super) open_files: libc::c_int,
}

/// A process that was started, with its pipes.
#[derive(Debug)]
pub struct Started {
    /// Its number.
    pub pid: libc::pid_t,
    /// Where requests are written; never blocks.
    pub requests: OwnedFd,
    /// Where replies are read; never blocks.
    pub replies: OwnedFd,
}

/// Starts processes, on a thread of its own: a process dies with the thread that made it, and this one lives as long as the
/// pool.
#[derive(Debug)]
pub struct Starter {
    jobs: mpsc::Sender<mpsc::Sender<io::Result<Started>>>,
}

impl Starter {
    /// A starter of one kind of process.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn new(launch: Launch) -> io::Result<Starter> {
        let (jobs, received) = mpsc::channel::<mpsc::Sender<io::Result<Started>>>();
        std::thread::Builder::new().name("python-starter".into()).spawn(move || {
            for answer in received {
                // Nobody may be left who wants it: the process ends with its pipes then.
                let _ = answer.send(launch.start());
            }
        })?;
        Ok(Starter { jobs })
    }

    /// Start a process.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn start(&self) -> io::Result<Started> {
        let (answer, started) = mpsc::channel();
        let gone = || io::Error::other("the thread that starts workers is gone");
        self.jobs.send(answer).map_err(|_| gone())?;
        started.recv().map_err(|_| gone())?
    }
}

/// The call's result, or the error of the system.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A pipe whose ends do not outlive an `exec`.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array holds two descriptors; on success both are new and ours.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// The limit of numbers of descriptors; one of the kernel's default for root bounds it.
fn open_files() -> io::Result<libc::c_int> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    unsafe { check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))? };
    Ok(limit.rlim_max.min(1 << 20) as libc::c_int)
}

/// The same under a number that no other descriptor of a worker gets.
fn high(end: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; on success the new one is ours.
    let moved = unsafe { OwnedFd::from_raw_fd(check(libc::fcntl(end.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HIGH))?) };
    if moved.as_raw_fd() >= PROGRAM {
        return Err(io::Error::other(format!("{PROGRAM} files are open, no worker can be started")));
    }
    Ok(moved)
}

fn open(path: &Path, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = c(path)?;
    // SAFETY: the path ends in a zero byte; on success the descriptor is new and ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC))?)) }
}

impl Launch {
    /// Prepare the start of an interpreter with a program text.
    ///
    /// # Errors
    /// A file of the interpreter cannot be opened.
    pub fn new(
        interpreter: &Interpreter,
        text: &str,
        limits: &Limits,
        spaces: Spaces,
        isolation: &mut Isolation,
    ) -> io::Result<Launch> {
        let files = Files::of(interpreter);
        let landlock = match files.landlock() {
            Ok(rules) => {
                isolation.layers.push("Landlock");
                Some(rules)
            }
            Err(why) => {
                isolation.missing.push(format!("Landlock: {why}"));
                None
            }
        };
        let filter = match filter() {
            Ok(filter) => {
                isolation.layers.push("filter of system calls");
                Some(filter)
            }
            Err(why) => {
                isolation.missing.push(format!("filter of system calls: {why}"));
                None
            }
        };
        let program = interpreter.program.to_string_lossy();
        let strings = |list: &[&str]| list.iter().map(|t| Ok(CString::new(*t)?)).collect::<io::Result<Vec<_>>>();
        let home = format!("PYTHONHOME={}", interpreter.home);
        // SAFETY: these calls cannot fail.
        let us = unsafe { (libc::geteuid(), libc::getegid()) };
        isolation.layers.extend(["limits", "no environment", "no descriptors"]);
        if spaces != Spaces::None {
            isolation.layers.extend(["root of its own", "no network", "processes of its own"]);
        }
        if spaces == Spaces::Own {
            isolation.layers.push("users of its own");
        }
        Ok(Launch {
            program: high(open(&interpreter.program, libc::O_PATH)?)?,
            null: high(open(Path::new("/dev/null"), libc::O_RDWR)?)?,
            arguments: strings(&[&program, "-s", "-S", "-B", "-X", "utf8", "-c", text])?,
            environment: strings(&["PYTHONHASHSEED=0", "LC_ALL=C.UTF-8", "TZ=UTC0", &home])?,
            spaces,
            root: files.steps(ROOT)?,
            landlock,
            filter,
            limits: vec![
                (libc::RLIMIT_AS, limits.memory),
                (libc::RLIMIT_STACK, STACK),
                (libc::RLIMIT_NOFILE, DESCRIPTORS),
                (libc::RLIMIT_NPROC, 0),
                (libc::RLIMIT_FSIZE, 0),
                (libc::RLIMIT_CORE, 0),
                (libc::RLIMIT_MEMLOCK, 0),
                (libc::RLIMIT_MSGQUEUE, 0),
                (libc::RLIMIT_RTPRIO, 0),
            ],
            us,
            open_files: open_files()?,
        })
    }

    /// Start a process.
    ///
    /// # Errors
    /// A step failed: the message says which.
    pub fn start(&self) -> io::Result<Started> {
        let (requests_read, requests) = pipe()?;
        let (replies, replies_write) = pipe()?;
        let (go_read, go) = pipe()?;
        let (failed, failed_write) = pipe()?;
        let (requests_read, replies_write) = (high(requests_read)?, high(replies_write)?);
        let failed_write = high(failed_write)?;
        for end in [&requests, &replies] {
            // SAFETY: the descriptor is open.
            unsafe { check(libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK))? };
        }
        let spaces =
            libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let flags = match self.spaces {
            Spaces::Own => spaces | libc::CLONE_NEWUSER,
            Spaces::OwnButUsers => spaces,
            Spaces::None => 0,
        };
        let pointers = |list: &[CString]| {
            let list = list.iter().map(|t| t.as_ptr()).chain([std::ptr::null()]);
            list.collect::<Vec<_>>()
        };
        let child = Child {
            launch: self,
            arguments: &pointers(&self.arguments),
            environment: &pointers(&self.environment),
            requests: requests_read.as_raw_fd(),
            replies: replies_write.as_raw_fd(),
            go: go_read.as_raw_fd(),
            failed: failed_write.as_raw_fd(),
            landlock: self.landlock.as_ref().map(|fd| fd.as_raw_fd()),
        };
        // SAFETY: all zeros is a valid value of the structure.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = flags as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: without CLONE_VM the child has a copy of this memory. It makes system calls only, on what was made before,
        // and never returns.
        let pid = unsafe {
            let size = std::mem::size_of::<libc::clone_args>();
            let pid = match self.spaces {
                // Containers often refuse `clone3`, because a filter cannot see its flags.
                Spaces::None => libc::fork(),
                _ => libc::syscall(libc::SYS_clone3, &mut arguments, size) as libc::pid_t,
            };
            if pid == 0 {
                child.run();
            }
            check(pid)?
        };
        drop((requests_read, replies_write, go_read, failed_write));
        let started = Started { pid, requests, replies };
        let end = |why: io::Error| {
            kill(pid, false);
            Err(why)
        };
        if let Err(why) = self.map_users(pid).and_then(|()| std::fs::File::from(go).write_all(b"g")) {
            return end(why);
        }
        let mut report = [0; 8];
        match std::fs::File::from(failed).read(&mut report) {
            Ok(0) => Ok(started),
            Ok(8) => {
                let number =
                    |at: usize| i32::from_le_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]]);
                let step = STEPS.get(number(0) as usize).unwrap_or(&"starting");
                let why = io::Error::from_raw_os_error(number(4));
                end(io::Error::new(why.kind(), format!("{step}: {why}")))
            }
            Ok(_) => end(io::Error::other("the start was cut off")),
            Err(why) => end(why),
        }
    }

    /// Say who the users of the worker's namespace are: nobody, and root where a root has to make its mounts.
    fn map_users(&self, pid: libc::pid_t) -> io::Result<()> {
        if self.spaces != Spaces::Own {
            return Ok(());
        }
        let (user, group) = self.us;
        let map = |us: u32| match user {
            0 => format!("0 0 1\n{NOBODY} {NOBODY} 1\n"),
            _ => format!("{NOBODY} {us} 1\n"),
        };
        let write = |name: &str, text: &str| std::fs::write(format!("/proc/{pid}/{name}"), text);
        let named = |name: &str, e: io::Error| io::Error::new(e.kind(), format!("/proc/PID/{name}: {e}"));
        if user != 0 {
            write("setgroups", "deny").map_err(|e| named("setgroups", e))?;
        }
        write("uid_map", &map(user)).map_err(|e| named("uid_map", e))?;
        write("gid_map", &map(group)).map_err(|e| named("gid_map", e))
    }
}

/// Time that a process whose pipe has ended gets to end as well: on a busy machine its namespaces take a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kill a process and take note of its end: how it ended. With `patience` it may end by itself first.
pub fn kill(pid: libc::pid_t, patience: bool) -> String {
    let mut status = 0;
    let step = Duration::from_millis(1);
    let turns = if patience { PATIENCE.as_millis() / step.as_millis() } else { 0 };
    let mut ended = false;
    for turn in 0..=turns {
        // SAFETY: the status is ours.
        match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
            0 if turn < turns => std::thread::sleep(step),
            0 => {}
            // Somebody else has waited for all children: its number may belong to another process by now.
            -1 => return "was killed".into(),
            _ => {
                ended = true;
                break;
            }
        }
    }
    if !ended {
        // SAFETY: the process is a child of ours that has not been waited for.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            while libc::waitpid(pid, &mut status, 0) < 0 && *libc::__errno_location() == libc::EINTR {}
        }
    }
    match ended {
        false => "was killed".into(),
        true if libc::WIFSIGNALED(status) => match libc::WTERMSIG(status) {
            libc::SIGSEGV => "ended by signal 11 (a memory fault)".into(),
            libc::SIGKILL => "was killed from outside (signal 9; the machine may be out of memory)".into(),
            signal => format!("ended by signal {signal}"),
        },
        true => format!("ended with exit code {}", libc::WEXITSTATUS(status)),
    }
}
