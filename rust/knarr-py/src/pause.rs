//! The static program that holds a pod's namespaces, as bytes: `PAUSE`. Python makes the sandbox's image of it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PAUSE", PyBytes::new(module.py(), PROGRAM))
}
