//! `Scheduler`: the thread that places pods, beside a gateway in the same process.

use std::sync::Arc;

use knarr_authz::{Attributes, Target};
use knarr_base::{BoxFuture, User};
use knarr_io::scheduler::{Bind, SchedulerThread, Wiring};
use knarr_io::{SystemClock, SystemRng};
use knarr_machinery::{Api, Binding, Status};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::gateway::Gateway;
use crate::runtime::runtime;

/// Scheduler(gateway): schedules until `stop`. The kinds Pod, Node and Event must have been added.
#[pyclass(frozen, module = "knarr._core")]
struct Scheduler(Mutex<Option<SchedulerThread>>);

#[pymethods]
impl Scheduler {
    #[new]
    fn new(py: Python<'_>, gateway: PyRef<'_, Gateway>) -> PyResult<Self> {
        let core = gateway.core().clone();
        let user = Arc::new(User {
            name: "system:kube-scheduler".into(),
            groups: vec!["system:authenticated".into()],
            ..User::default()
        });
        let (binder, asks) = (core.clone(), user.clone());
        let bind: Bind = Arc::new(move |bindings: Vec<Binding>| -> BoxFuture<Vec<Result<(), Status>>> {
            // one decision for all: the role gives pods/binding in every namespace
            let attributes = Attributes {
                verb: "create",
                target: Target::Resource {
                    group: "",
                    resource: "pods",
                    subresource: "binding",
                    namespace: "",
                    name: "",
                    node_name: None,
                },
            };
            match binder.authorize(&asks, &attributes) {
                Ok(()) => binder.machinery.bind_many(asks.clone(), bindings),
                Err(status) => Box::pin(std::future::ready(bindings.iter().map(|_| Err(status.clone())).collect())),
            }
        });
        let runtime = runtime()?.handle().clone();
        let wiring = Wiring {
            machinery: core.machinery.clone(),
            api: core as Arc<dyn Api>,
            bind,
            clock: Arc::new(SystemClock),
            rng: Box::new(SystemRng::new()),
            runtime,
            user,
        };
        let thread = py
            .detach(|| SchedulerThread::start(wiring))
            .map_err(|missing| PyRuntimeError::new_err(format!("the kind {} is not served", missing.0)))?;
        Ok(Scheduler(Mutex::new(Some(thread))))
    }

    /// End the thread. Again: does nothing.
    fn stop(&self, py: Python<'_>) {
        let thread = self.0.lock().take();
        py.detach(|| drop(thread));
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Scheduler>()
}
