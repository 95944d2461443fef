//! The system calls that a worker may make. Every other one fails with EPERM.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Number of the descriptor by which a worker becomes its program. It is above the limit of descriptors that holds from
/// then on, so that the one call that is allowed cannot be made again.
pub const PROGRAM: i32 = 999;

/// Calls that need no look at their arguments: own memory, own descriptors, reading, clocks, the end.
const PLAIN: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_readlinkat,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_ppoll,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Older names of the same calls.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_time,
    libc::SYS_getrlimit,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[libc::SYS_getrlimit];

/// Flags of `open` that change something.
const CHANGES: i32 = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | 0o20_000_000;

/// The filter, as the kernel takes it.
///
/// # Errors
/// The machine has an architecture that is not known.
pub fn filter() -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = PLAIN.iter().chain(OLDER).map(|call| (*call, vec![])).collect();
    let mut add = |call: libc::c_long, wanted: &[(u8, SeccompCmpArgLen, SeccompCmpOp, u64)]| -> Result<(), String> {
        let conditions = wanted
            .iter()
            .map(|(at, size, op, value)| SeccompCondition::new(*at, size.clone(), op.clone(), *value))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())?;
        let rule = SeccompRule::new(conditions).map_err(|e| e.to_string())?;
        rules.entry(call).or_default().push(rule);
        Ok(())
    };
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    add(libc::SYS_openat, &[(2, Dword, MaskedEq(CHANGES as u64), 0)])?;
    #[cfg(target_arch = "x86_64")]
    add(libc::SYS_open, &[(1, Dword, MaskedEq(CHANGES as u64), 0)])?;
    for request in [libc::TCGETS, libc::FIOCLEX, libc::FIONCLEX] {
        add(libc::SYS_ioctl, &[(1, Dword, Eq, request)])?;
    }
    for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL] {
        add(libc::SYS_fcntl, &[(1, Dword, Eq, command as u64)])?;
    }
    // Limits may be read, of the process itself.
    add(libc::SYS_prlimit64, &[(0, Dword, Eq, 0), (2, Qword, Eq, 0)])?;
    add(libc::SYS_execveat, &[(0, Dword, Eq, PROGRAM as u64), (4, Dword, Eq, libc::AT_EMPTY_PATH as u64)])?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).map_err(|e| e.to_string())?;
    filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())
}
