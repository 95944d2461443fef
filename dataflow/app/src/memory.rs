//! The allocator: mimalloc keeps batches and strings cheap on many threads.
use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3.
const PURGE_DELAY: c_int = 15;
/// How long memory that was given back stays with this process, milliseconds. Batches come and go all the time, and a page
/// that went back to the system must be cleared when it is asked for again: with the allocator's own 10 ms that was a fifth
/// of the CPU time of a job that writes every event to Parquet.
const KEPT_MS: c_long = 1_000;

unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Set the allocator up; `MIMALLOC_PURGE_DELAY` still has the last word.
pub fn set_up() {
    // SAFETY: a plain setting of the library that this program is linked with; it may be set at any time.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}
