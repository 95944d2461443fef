//! One process per store: an advisory lock on a file that names its holder. The system drops it when the process
//! dies, however it dies; dropped by hand it is free at once, also if a child that is just being started has a copy of the
//! descriptor.
use crate::failure::at;
use model::Result;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// The lock, held while this lives.
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: a plain system call on a descriptor that is open.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

/// Take the lock of a data folder.
pub fn exclusive(dir: &Path) -> Result<Lock> {
    let path = dir.join("lock");
    let mut f = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(at("open", &path))?;
    // SAFETY: a plain system call on a descriptor that `f` keeps open.
    if unsafe { libc::flock(f.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let e = std::io::Error::last_os_error();
        if e.kind() != std::io::ErrorKind::WouldBlock {
            return Err(at("lock", &path)(e));
        }
        let mut pid = String::new();
        let _ = f.read_to_string(&mut pid);
        let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
        return Err(format!(
            "the data folder {} is in use by process {pid}; stop that process, or use another data folder",
            dir.display()
        )
        .into());
    }
    f.set_len(0).and_then(|()| writeln!(f, "{}", std::process::id())).map_err(at("write", &path))?;
    Ok(Lock(f))
}
