//! The module `knarr._core`: what Python composes a server, an agent and controllers from. Conversion and detaching from the
//! interpreter only; no logic of its own. One file a part, each with a `register`.

use mimalloc::MiMalloc;
use pyo3::prelude::*;

mod codec;
mod dns;
mod gateway;
mod machinery;
mod nodeserver;
mod pause;
mod runtime;
mod scheduler;
mod store;
mod view;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[pymodule]
#[pyo3(name = "_core")]
fn core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    codec::register(m)?;
    dns::register(m)?;
    gateway::register(m)?;
    machinery::register(m)?;
    nodeserver::register(m)?;
    pause::register(m)?;
    scheduler::register(m)?;
    store::register(m)?;
    view::register(m)
}
