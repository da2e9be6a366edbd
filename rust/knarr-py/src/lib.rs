//! The module `knarr._core`: what Python composes a server, an agent and controllers from. Conversion and detaching from the
//! interpreter only; no logic of its own. One file a part, each with a `register`.

use pyo3::prelude::*;

#[pymodule]
#[pyo3(name = "_core")]
fn core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))
}
