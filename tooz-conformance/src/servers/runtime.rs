//! One runtime for all servers of the process. It outlives the runtimes of the trials that use them.

use std::future::Future;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// Runs `work` on the servers' runtime. Dropping the returned future does not stop the work.
pub(crate) async fn on_servers<T: Send + 'static>(
    work: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    runtime()?.spawn(work).await.map_err(io::Error::other)?
}

fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("servers").enable_all().build()?;
    // If two threads get here at once, the second runtime is shut down unused.
    if let Err(unused) = RUNTIME.set(runtime) {
        unused.shutdown_background();
    }
    RUNTIME.get().ok_or_else(|| io::Error::other("the servers' runtime was not kept"))
}
