//! The one tokio runtime of a process: the gateway, the node server and DNS share its threads.

use std::sync::OnceLock;

use pyo3::PyResult;
use pyo3::exceptions::PyOSError;
use tokio::runtime::{Builder, Runtime};

/// Threads beyond two only take turns on the small machines this must be good on; on large ones one for each second core.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| (cores.get() / 2).clamp(2, 16))
}

/// The runtime, made at first use. Raises OSError where its threads cannot be started.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(there) = RUNTIME.get() {
        return Ok(there);
    }
    let made = Builder::new_multi_thread()
        .worker_threads(workers())
        .thread_name("knarr-io")
        .enable_all()
        .build()
        .map_err(|cause| PyOSError::new_err(format!("no threads for input and output: {cause}")))?;
    Ok(RUNTIME.get_or_init(|| made))
}
