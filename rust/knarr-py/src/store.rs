//! `_core.Store`: a durable store that the other parts of the core are composed over. Conversion only; every call that may wait for
//! a disk is made detached from the interpreter.

use std::sync::Arc;

use knarr_io::{LocalStore, Options};
use knarr_store::{KeySpace, Store as _};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The store of one machine. `Store.open(path, fsync=True)`; `close()` ends it for everybody who holds it.
#[pyclass(frozen, module = "knarr._core")]
pub struct Store {
    inner: Arc<LocalStore>,
}

impl Store {
    /// The store itself, for the bindings that build on it.
    pub(crate) fn inner(&self) -> Arc<LocalStore> {
        self.inner.clone()
    }
}

#[pymethods]
impl Store {
    /// Opens or makes the store in directory `path`.
    ///
    /// fsync False acknowledges before anything is durable. Raises OSError with one line: in use by another process, or damaged,
    /// naming file and offset.
    #[staticmethod]
    #[pyo3(signature = (path, fsync = true))]
    fn open(py: Python<'_>, path: std::path::PathBuf, fsync: bool) -> PyResult<Self> {
        let options = Options { fsync, ..Options::default() };
        let inner =
            py.detach(|| LocalStore::open(path, options)).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { inner })
    }

    /// The revision of the cluster's key space.
    fn revision(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.inner.revision(KeySpace::Cluster).0)
    }

    /// Finishes what was proposed and gives the directory back. Again: does nothing.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }

    /// Figures: counts since start, bytes held, per key space under its name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.inner.stats());
        let dict = PyDict::new(py);
        dict.set_item("proposals", stats.proposals)?;
        dict.set_item("entries", stats.entries)?;
        dict.set_item("syncs", stats.syncs)?;
        dict.set_item("snapshots", stats.snapshots)?;
        dict.set_item("log_bytes", stats.log_bytes)?;
        dict.set_item("audits", stats.audits)?;
        dict.set_item("audit_failures", stats.audit_failures)?;
        for (space, usage) in KeySpace::ALL.into_iter().zip(stats.usage) {
            let sizes = PyDict::new(py);
            sizes.set_item("keys", usage.keys)?;
            sizes.set_item("live_bytes", usage.live_bytes)?;
            sizes.set_item("history_bytes", usage.history_bytes)?;
            sizes.set_item("changes", usage.changes)?;
            dict.set_item(space.to_string(), sizes)?;
        }
        Ok(dict)
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Store>()
}
