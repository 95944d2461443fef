//! The tokio runtime behind the AWS SDK: one for the process, two threads; callers wait for it.
use std::future::Future;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// Threads: they move bytes and hash them, the work is elsewhere.
const THREADS: usize = 2;

/// The runtime, started with its first use.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = Builder::new_multi_thread().worker_threads(THREADS).thread_name("aws").enable_all().build();
        built.unwrap_or_else(|e| panic!("start the threads for S3 and SQS: {e}"))
    })
}

/// Run to the end, on the calling thread. Not for use inside a runtime.
pub(crate) fn wait<F: Future>(f: F) -> F::Output {
    runtime().block_on(f)
}
