//! What a new process does between its birth and its program.
//!
//! It is a copy of a process with other threads, so it makes system calls only: it may neither allocate nor take a lock. When
//! a step fails it says which over a pipe, and ends.

use std::os::fd::{AsRawFd, RawFd};

use super::filter::PROGRAM;
use super::sandbox::Step;
use super::spawn::{Launch, NOBODY, Spaces};

/// Version of the structures of `capset`.
const CAPABILITIES: u32 = 0x2008_0522;
/// Address space layout is not random: identities, and with them some hashes, repeat.
const NO_RANDOM_LAYOUT: libc::c_ulong = 0x0040000;

/// Steps of a start, for messages.
pub const STEPS: [&str; 12] = [
    "waiting for the go-ahead",
    "making its mounts its own",
    "mounting its root",
    "filling its root",
    "moving into its root",
    "dying with its parent",
    "giving up privileges",
    "Landlock",
    "descriptors",
    "limits",
    "the filter of system calls",
    "executing the interpreter",
];

/// What the new process sees of [`Launch`]: numbers and pointers.
pub(super) struct Child<'a> {
    pub launch: &'a Launch,
    pub arguments: &'a [*const libc::c_char],
    pub environment: &'a [*const libc::c_char],
    pub requests: RawFd,
    pub replies: RawFd,
    pub go: RawFd,
    pub failed: RawFd,
    pub landlock: Option<RawFd>,
}

impl Child<'_> {
    /// Become the interpreter, or say what failed.
    ///
    /// # Safety
    /// To be called in a new process that shares no memory with this one.
    pub unsafe fn run(&self) -> ! {
        let mut step = 0;
        unsafe {
            let _ = self.steps(&mut step);
            let error = *libc::__errno_location();
            let mut report = [0; 8];
            report[..4].copy_from_slice(&i32::to_le_bytes(step));
            report[4..].copy_from_slice(&error.to_le_bytes());
            libc::write(self.failed, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }

    unsafe fn steps(&self, step: &mut i32) -> Option<()> {
        let done = |result: libc::c_long| if result < 0 { None } else { Some(()) };
        let null = std::ptr::null();
        unsafe {
            done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0).into())?;
            let mut go = 0u8;
            if libc::read(self.go, (&raw mut go).cast(), 1) != 1 {
                return None;
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            if self.launch.spaces != Spaces::None {
                *step = 1;
                let slash = c"/".as_ptr();
                done(libc::mount(null, slash, null.cast(), libc::MS_REC | libc::MS_PRIVATE, null.cast()).into())?;
                *step = 2;
                let at = c"/proc".as_ptr();
                let quiet = libc::MS_NOSUID | libc::MS_NODEV;
                done(
                    libc::mount(c"none".as_ptr(), at, c"tmpfs".as_ptr(), quiet, c"mode=755,size=64k".as_ptr().cast())
                        .into(),
                )?;
                *step = 3;
                for made in &self.launch.root {
                    done(fill(made))?;
                }
                *step = 4;
                done(libc::chdir(at).into())?;
                let here = c".".as_ptr();
                done(libc::syscall(libc::SYS_pivot_root, here, here))?;
                done(libc::umount2(here, libc::MNT_DETACH).into())?;
                done(libc::chdir(slash).into())?;
                let closed = quiet | libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
                done(libc::mount(null, slash, null, closed, null.cast()).into())?;
                done(libc::sethostname(c"worker".as_ptr(), 6).into())?;
            }
            if self.launch.us.0 == 0 {
                // Not by the C library, which would tell threads that a copy does not have. A container may have no other
                // user; privileges are given up below in any case.
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
                libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY);
                libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY);
            }
            *step = 5;
            // Becoming another user has undone it.
            done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0).into())?;
            libc::umask(0o077);
            libc::personality(NO_RANDOM_LAYOUT);
            *step = 6;
            done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            // With this a program of root gets no capability that its process has not: from here on none.
            let (head, none) = ([CAPABILITIES, 0], [0u32; 6]);
            done(libc::syscall(libc::SYS_capset, head.as_ptr(), none.as_ptr()))?;
            if let Some(rules) = self.landlock {
                *step = 7;
                done(libc::syscall(libc::SYS_landlock_restrict_self, rules, 0))?;
            }
            *step = 8;
            // The program's descriptor is made while the old limit still holds.
            done(libc::dup3(self.launch.program.as_raw_fd(), PROGRAM, libc::O_CLOEXEC).into())?;
            for number in 0..3 {
                done(libc::dup2(self.launch.null.as_raw_fd(), number).into())?;
            }
            done(libc::dup2(self.requests, 3).into())?;
            done(libc::dup2(self.replies, 4).into())?;
            if libc::syscall(libc::SYS_close_range, 5, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
                // Kernels before 5.11, and containers that do not know the call.
                for number in 5..self.launch.open_files {
                    libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            *step = 9;
            for (limit, value) in &self.launch.limits {
                let value = libc::rlimit { rlim_cur: *value, rlim_max: *value };
                done(libc::setrlimit(*limit, &value).into())?;
            }
            *step = 10;
            if let Some(filter) = &self.launch.filter {
                seccompiler::apply_filter(filter).ok()?;
            }
            *step = 11;
            let empty = c"".as_ptr();
            let (arguments, environment) = (self.arguments.as_ptr(), self.environment.as_ptr());
            libc::syscall(libc::SYS_execveat, PROGRAM, empty, arguments, environment, libc::AT_EMPTY_PATH);
            None
        }
    }
}

/// One step of making a root.
unsafe fn fill(step: &Step) -> libc::c_long {
    unsafe {
        match step {
            Step::Folder(path) => match libc::mkdir(path.as_ptr(), 0o755) {
                -1 if *libc::__errno_location() == libc::EEXIST => 0,
                result => result.into(),
            },
            Step::File(path) => {
                let file = libc::open(path.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o444);
                if file >= 0 { libc::close(file).into() } else { -1 }
            }
            // It is there already where it lies in a folder that was mounted.
            Step::Link(to, path) => match libc::symlink(to.as_ptr(), path.as_ptr()) {
                -1 if *libc::__errno_location() == libc::EEXIST => 0,
                result => result.into(),
            },
            Step::Bind(from, path) => {
                let null = std::ptr::null();
                let bind = libc::MS_BIND | libc::MS_REC;
                if libc::mount(from.as_ptr(), path.as_ptr(), null, bind, null.cast()) < 0 {
                    return -1;
                }
                let mut attributes: libc::mount_attr = std::mem::zeroed();
                attributes.attr_set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
                let size = std::mem::size_of::<libc::mount_attr>();
                let recursive = libc::AT_RECURSIVE;
                libc::syscall(
                    libc::SYS_mount_setattr,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    recursive,
                    &raw mut attributes,
                    size,
                )
            }
        }
    }
}
