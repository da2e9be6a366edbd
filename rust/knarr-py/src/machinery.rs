//! `_core.Machinery`: verbs on objects for Python, the pure steps of a request one by one, and the thread on which hooks run.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use knarr_base::{BoxFuture, Clock, SeededRng, User};
use knarr_io::SystemClock;
use knarr_machinery::{
    Accept, Encoding, Form, HookAnswer, HookCall, Hooks, KindEntry, Machinery, Options, Parts, Request, Response,
    Settings, Status, Verb,
};
use knarr_schema::ownership::{self, Manager};
use knarr_schema::{CompiledKind, FieldError, Reason, Subresource};
use knarr_value::{TypeTable, Value};
use knarr_watch::{Hub, Limits};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::codec::{from_python, to_python};
use crate::store::Store;

/// Hook calls that one acquisition of the GIL answers at most: the others wait no longer than these take.
const HOOK_BATCH_MAX: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held left nothing half-done here: queues and maps are changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a future on this thread, which sleeps while it waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A value that comes later, from another thread.
struct Later<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Later<T> {
    fn pair() -> (Self, Self) {
        let shared = Arc::new(Mutex::new((None, None)));
        (Self(Arc::clone(&shared)), Self(shared))
    }

    fn set(self, value: T) {
        let waker = {
            let mut state = lock(&self.0);
            state.0 = Some(value);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Later<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = lock(&self.0);
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

type Answers = Vec<Result<HookAnswer, Status>>;
type Job = (Vec<HookCall>, Later<Answers>);
/// Group, kind and step.
type HookName = (String, String, &'static str);

struct HookQueue {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    filled: Condvar,
    hooks: Mutex<HashMap<HookName, Py<PyAny>>>,
}

/// Hooks written in Python: one thread takes what waits, acquires the GIL once and answers all of it. An exception costs the
/// one object it was raised for.
pub(crate) struct PythonHooks {
    queue: Arc<HookQueue>,
}

impl PythonHooks {
    fn start() -> PyResult<Arc<Self>> {
        let queue = Arc::new(HookQueue { jobs: Mutex::default(), filled: Condvar::new(), hooks: Mutex::default() });
        let of_thread = Arc::clone(&queue);
        thread::Builder::new().name("knarr-hooks".to_owned()).spawn(move || run_hooks(&of_thread))?;
        Ok(Arc::new(Self { queue }))
    }
}

impl Drop for PythonHooks {
    fn drop(&mut self) {
        lock(&self.queue.jobs).1 = true;
        self.queue.filled.notify_all();
    }
}

impl Hooks for PythonHooks {
    fn call(&self, batch: Vec<HookCall>) -> BoxFuture<Answers> {
        let (setter, later) = Later::pair();
        lock(&self.queue.jobs).0.push_back((batch, setter));
        self.queue.filled.notify_one();
        Box::pin(later)
    }
}

fn run_hooks(queue: &HookQueue) {
    loop {
        let taken: Vec<Job> = {
            let mut jobs = lock(&queue.jobs);
            while jobs.0.is_empty() {
                if jobs.1 {
                    return;
                }
                jobs = queue.filled.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
            let mut calls = 0;
            let fits = jobs.0.iter().take_while(|(batch, _)| {
                calls += batch.len();
                calls <= HOOK_BATCH_MAX
            });
            let count = fits.count().max(1);
            jobs.0.drain(..count).collect()
        };
        let mut done = Vec::with_capacity(taken.len());
        Python::attach(|py| {
            for (batch, later) in taken {
                let answers: Answers = batch.into_iter().map(|call| one_hook(py, queue, &call)).collect();
                done.push((later, answers));
            }
        });
        // Waking may run what was waited for: not under the GIL.
        done.into_iter().for_each(|(later, answers)| later.set(answers));
    }
}

fn one_hook(py: Python<'_>, queue: &HookQueue, call: &HookCall) -> Result<HookAnswer, Status> {
    let compiled = &call.kind.compiled;
    let step = call.step.names().first().copied().unwrap_or("");
    let name = (compiled.group.to_string(), compiled.kind.to_string(), step);
    let hook = lock(&queue.hooks).get(&name).map(|hook| hook.clone_ref(py));
    let Some(hook) = hook else {
        return Err(Status::internal(format_args!("{} has no hook {step}", compiled.kind)));
    };
    ask(py, &hook, call).map_err(|error| {
        // Named by type and text; the traceback goes where Python's own go, to standard error.
        let text = error.to_string();
        error.print(py);
        Status::internal(format_args!("the hook {step} of {} failed: {text}", compiled.kind))
    })
}

/// `hook(request, new, old)`: request is a dict (operation, user, groups, namespace, name, subresource, dryRun). A step that
/// validates answers errors, dicts of `field`, `reason` and `detail` (and `value`); one that prepares or mutates the object, or
/// None where it leaves it as it is.
fn ask(py: Python<'_>, hook: &Py<PyAny>, call: &HookCall) -> PyResult<HookAnswer> {
    let request = PyDict::new(py);
    request.set_item("operation", call.operation.as_str())?;
    request.set_item("user", &call.user.name)?;
    request.set_item("groups", &call.user.groups)?;
    request.set_item("namespace", call.namespace.as_str())?;
    request.set_item("name", call.name.as_str())?;
    request.set_item("subresource", call.subresource.as_str())?;
    request.set_item("dryRun", call.dry_run)?;
    let new = to_python(py, &call.new)?;
    let old = call.old.as_ref().map(|old| to_python(py, old)).transpose()?;
    let answer = hook.bind(py).call1((request, new, old))?;
    let mut out = HookAnswer::default();
    if answer.is_none() {
        return Ok(out);
    }
    let validates = call.step.names().iter().any(|name| name.starts_with("validate"));
    if validates {
        for item in answer.try_iter()? {
            out.errors.push(field_error(&from_python(&item?)?)?);
        }
    } else {
        out.object = Some(from_python(&answer)?);
    }
    Ok(out)
}

fn field_error(item: &Value) -> PyResult<FieldError> {
    let wanted = item.str_at(&["reason"]);
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| format!("{reason:?}") == wanted || reason.cause() == wanted)
        .ok_or_else(|| PyValueError::new_err(format!("{wanted:?} is no reason of a field error")))?;
    Ok(FieldError {
        path: item.str_at(&["field"]).to_owned(),
        reason,
        value: item.get("value").cloned(),
        detail: item.str_at(&["detail"]).to_owned(),
    })
}

/// Verbs on objects over a store.
#[pyclass(name = "Machinery", module = "knarr._core", frozen)]
pub(crate) struct PyMachinery {
    machinery: Arc<Machinery>,
    hooks: Arc<PythonHooks>,
}

impl PyMachinery {
    /// For the gateway's binding.
    #[allow(dead_code)]
    pub(crate) fn shared(&self) -> Arc<Machinery> {
        Arc::clone(&self.machinery)
    }

    fn entry(&self, group: &str, version: &str, plural: &str) -> PyResult<Arc<KindEntry>> {
        self.machinery
            .registry()
            .find(group, version, plural)
            .cloned()
            .ok_or_else(|| PyKeyError::new_err(format!("{group}/{version}/{plural} is not served")))
    }
}

/// Calls `Machinery::tick` once a second until the machinery is gone.
fn keep_time(machinery: Weak<Machinery>) {
    loop {
        thread::sleep(Duration::from_secs(1));
        let Some(machinery) = machinery.upgrade() else { return };
        block_on(machinery.tick());
    }
}

fn network(text: &str) -> PyResult<(std::net::Ipv4Addr, u8)> {
    let bad = || PyValueError::new_err(format!("{text:?} is no IPv4 network such as 10.96.0.0/16"));
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let prefix: u8 = prefix.parse().map_err(|_| bad())?;
    if !(8..=30).contains(&prefix) {
        return Err(bad());
    }
    Ok((address.parse().map_err(|_| bad())?, prefix))
}

fn field_errors(py: Python<'_>, errors: &[FieldError]) -> PyResult<Vec<Py<PyAny>>> {
    errors
        .iter()
        .map(|error| {
            let dict = PyDict::new(py);
            dict.set_item("field", &error.path)?;
            dict.set_item("reason", error.reason.cause())?;
            dict.set_item("message", error.message())?;
            Ok(dict.into_any().unbind())
        })
        .collect()
}

#[pymethods]
impl PyMachinery {
    /// Machinery(store, types, *, service_cidr="10.96.0.0/16", node_ports=(30000, 32767), event_ttl_seconds=3600).
    /// types: the bytes of the committed table. Raises ValueError for a damaged table or a wrong range.
    #[new]
    #[pyo3(signature = (store, types, *, service_cidr = "10.96.0.0/16", node_ports = (30000, 32767), event_ttl_seconds = 3600))]
    fn new(
        store: &Store,
        types: &[u8],
        service_cidr: &str,
        node_ports: (u16, u16),
        event_ttl_seconds: u64,
    ) -> PyResult<Self> {
        if node_ports.0 > node_ports.1 || node_ports.0 == 0 {
            return Err(PyValueError::new_err("node_ports is a range of two ports, first and last"));
        }
        let types = Arc::new(TypeTable::load(types).map_err(|error| PyValueError::new_err(error.to_string()))?);
        let store: Arc<dyn knarr_store::Store> = store.inner();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hub = Arc::new(Hub::new(Arc::clone(&store), Arc::clone(&clock), Limits::default()));
        let hooks = PythonHooks::start()?;
        // Names and uids must not repeat after a restart; nothing more is asked of these numbers.
        let seed = RandomState::new().build_hasher().finish();
        let machinery = Machinery::new(Parts {
            store,
            hub,
            clock,
            rng: Box::new(SeededRng::new(seed)),
            hooks: Arc::clone(&hooks) as Arc<dyn Hooks>,
            types,
            settings: Settings { service_cidr: network(service_cidr)?, node_ports, event_ttl_seconds },
        });
        let weak = Arc::downgrade(&machinery);
        thread::Builder::new().name("knarr-tick".to_owned()).spawn(move || keep_time(weak))?;
        Ok(Self { machinery, hooks })
    }

    /// Serves a kind from now on. doc: what `Kind.encode` gives; hooks: its callables by step. Raises ValueError.
    #[pyo3(signature = (doc, hooks = None))]
    fn add_kind(&self, doc: &[u8], hooks: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let compiled = CompiledKind::compile(doc, self.machinery.types())
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut given: HashMap<String, Py<PyAny>> = HashMap::new();
        for (step, hook) in hooks.into_iter().flatten() {
            given.insert(step.extract()?, hook.unbind());
        }
        // All steps are checked before anything is registered: a kind is served whole or not at all.
        let names = compiled.hooks.names();
        if let Some(missing) = names.iter().find(|name| !given.contains_key(**name)) {
            return Err(PyValueError::new_err(format!(
                "{} declares the hook {missing}, which is not given",
                compiled.kind
            )));
        }
        let mut registered = lock(&self.hooks.queue.hooks);
        for name in names {
            if let Some(hook) = given.remove(name) {
                registered.insert((compiled.group.to_string(), compiled.kind.to_string(), name), hook);
            }
        }
        drop(registered);
        self.machinery.add_kind(compiled);
        Ok(())
    }

    /// The kinds served: (group, version, plural, kind, namespaced).
    fn kinds(&self) -> Vec<(String, String, String, String, bool)> {
        let registry = self.machinery.registry();
        let row = |entry: &Arc<KindEntry>| {
            let kind = &entry.compiled;
            let text = |s: &knarr_value::Str| s.to_string();
            (text(&kind.group), text(&kind.version), text(&kind.plural), text(&kind.kind), kind.namespaced)
        };
        registry.iter().map(row).collect()
    }

    /// One request, answered whole: (code, content type, body). It enters behind authorization. The GIL is free meanwhile.
    /// user: a name, or a name and its groups. Raises KeyError for a kind that is not served, ValueError for a verb that is none
    /// or a watch (whose answer has no end).
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (user, verb, group, version, plural, namespace = "", name = "", subresource = "", query = None, body = None, content_type = "application/json", accept = "application/json"))]
    fn handle<'py>(
        &self,
        py: Python<'py>,
        user: &Bound<'py, PyAny>,
        verb: &str,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        query: Option<HashMap<String, String>>,
        body: Option<&[u8]>,
        content_type: &str,
        accept: &str,
    ) -> PyResult<(u16, &'static str, Bound<'py, PyBytes>)> {
        let (user, groups) = match user.cast::<PyTuple>() {
            Ok(pair) => pair.extract::<(String, Vec<String>)>()?,
            Err(_) => (user.extract::<String>()?, Vec::new()),
        };
        let verb = Verb::parse(verb)
            .filter(|verb| *verb != Verb::Watch)
            .ok_or_else(|| PyValueError::new_err(format!("{verb:?} is no verb with a whole answer")))?;
        let mut options = Options { user_agent: "knarr".into(), ..Options::default() };
        for (key, value) in query.unwrap_or_default() {
            options.set(&key, &value).map_err(|status| PyValueError::new_err(status.message))?;
        }
        let encoding = match accept.split(';').next().unwrap_or("") {
            "application/yaml" => Encoding::Yaml,
            "application/vnd.kubernetes.protobuf" => Encoding::Protobuf,
            _ => Encoding::Json,
        };
        let form = if accept.contains("as=Table") { Form::Table { version: "v1" } } else { Form::Object };
        let request = Request {
            verb,
            kind: self.entry(group, version, plural)?,
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
            user: Arc::new(User { name: user, groups, ..User::default() }),
            body: Bytes::copy_from_slice(body.unwrap_or_default()),
            content_type: content_type.into(),
            accept: Accept { encoding, form },
            options,
        };
        let response = py.detach(|| block_on(self.machinery.handle(request)));
        let code = response.code();
        let answered = match &response {
            Response::Whole { content_type, .. } | Response::Watch { content_type, .. } => *content_type,
        };
        Ok((code, answered, PyBytes::new(py, &response.body())))
    }

    /// decode(group, version, plural, object) -> (object in canonical form, strict errors). Raises ValueError in Go's words.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        version: &str,
        plural: &str,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
        let entry = self.entry(group, version, plural)?;
        let decoded =
            entry.compiled.decode(from_python(object)?).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((to_python(py, &decoded.value)?, decoded.unknown))
    }

    /// The object with its defaults; it must be decoded.
    fn default<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        version: &str,
        plural: &str,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let entry = self.entry(group, version, plural)?;
        let mut value = from_python(object)?;
        entry.compiled.default(&mut value);
        to_python(py, &value)
    }

    /// Field errors of a new object, as dicts of field, reason and message.
    fn validate_create(
        &self,
        py: Python<'_>,
        group: &str,
        version: &str,
        plural: &str,
        object: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let entry = self.entry(group, version, plural)?;
        field_errors(py, &entry.compiled.validate_create(&from_python(object)?))
    }

    /// Field errors of a new state beside the old one.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (group, version, plural, new, old, subresource = ""))]
    fn validate_update(
        &self,
        py: Python<'_>,
        group: &str,
        version: &str,
        plural: &str,
        new: &Bound<'_, PyAny>,
        old: &Bound<'_, PyAny>,
        subresource: &str,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let entry = self.entry(group, version, plural)?;
        let (new, old) = (from_python(new)?, from_python(old)?);
        field_errors(py, &entry.compiled.validate_update(&new, &old, Subresource::from_name(subresource)))
    }

    /// The object with a patch applied. how: json, merge or strategic. Raises ValueError.
    #[allow(clippy::too_many_arguments)]
    fn patch<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        version: &str,
        plural: &str,
        object: &Bound<'py, PyAny>,
        patch: &Bound<'py, PyAny>,
        how: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        use knarr_schema::patch::{json_patch, merge_patch, strategic};
        let entry = self.entry(group, version, plural)?;
        let (object, patch) = (from_python(object)?, from_python(patch)?);
        let patched = match how {
            "json" => json_patch(object, &patch),
            "merge" => Ok(merge_patch(object, patch)),
            "strategic" => strategic(&entry.compiled.types, entry.compiled.type_id, object, patch),
            other => return Err(PyValueError::new_err(format!("{other:?} is no way to patch"))),
        };
        to_python(py, &patched.map_err(|error| PyValueError::new_err(error.to_string()))?)
    }

    /// Server-side apply of a configuration onto a live object ({} for none). Raises ValueError, naming conflicts.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (group, version, plural, live, config, manager, force = false))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        version: &str,
        plural: &str,
        live: &Bound<'py, PyAny>,
        config: &Bound<'py, PyAny>,
        manager: &str,
        force: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let entry = self.entry(group, version, plural)?;
        let manager = Manager::new(manager, "", entry.api_version.clone());
        let (live, config) = (from_python(live)?, from_python(config)?);
        let (types, id) = (&entry.compiled.types, entry.compiled.type_id);
        let now = SystemClock.wall();
        let applied = ownership::apply(types, id, &live, &config, &manager, force, now)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        to_python(py, &applied)
    }

    /// (columnDefinitions, cells of one object).
    fn table<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        version: &str,
        plural: &str,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let entry = self.entry(group, version, plural)?;
        let columns = knarr_schema::table::columns(&entry.compiled);
        let now = SystemClock.wall();
        let cells = knarr_schema::table::row_cells(&entry.compiled, &from_python(object)?, now);
        Ok((to_python(py, &columns)?, to_python(py, &Value::List(cells))?))
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyMachinery>()
}
