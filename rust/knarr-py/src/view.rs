//! `_core.View` and `_core.Lens`: projected caches of one kind, for Python controllers.
//!
//! A `View` is an informer's sink (`begin`, `page`, `finish`, `chunk`, `reset`): bytes are read with the interpreter detached and
//! become no Python object. A `Lens` is what one controller reads through: rows (tuples of a NamedTuple class) of the fields it
//! declared, made when asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use knarr_view::{Atom, Error, Mapping, Page, Pool, Projection, Record, Selector, SubscriptionId, Uid};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use knarr_view::scan::{Cursor, text_of, unescape};

create_exception!(
    _core,
    WatchStatus,
    PyException,
    "A watch ended with an ERROR event; args[0] is the JSON text of its Status."
);

/// Nesting of one field's JSON; deeper text is refused instead of exhausting the stack.
const DEPTH_MAX: usize = 100;
/// Bytes of one unfinished watch event.
const EVENT_BYTES_MAX: usize = 64 << 20;

fn raise(error: Error) -> PyErr {
    match error {
        Error::Status(status) => WatchStatus::new_err(String::from(status)),
        other => PyValueError::new_err(other.to_string()),
    }
}

type Shared = Arc<Mutex<knarr_view::View>>;

fn lock(view: &Shared) -> MutexGuard<'_, knarr_view::View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyclass(frozen, module = "knarr._core")]
struct View {
    view: Shared,
    projection: Arc<Projection>,
    rest: Mutex<Vec<u8>>,
}

#[pymethods]
impl View {
    #[new]
    #[pyo3(signature = (fields, *, indexes = Vec::new(), label_index = false))]
    fn new(fields: Vec<String>, indexes: Vec<String>, label_index: bool) -> PyResult<Self> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let indexes: Vec<&str> = indexes.iter().map(String::as_str).collect();
        let view = knarr_view::View::new(&fields, label_index, &indexes).map_err(raise)?;
        let projection = view.projection();
        Ok(Self { view: Arc::new(Mutex::new(view)), projection, rest: Mutex::default() })
    }

    fn begin(&self, py: Python<'_>) {
        py.detach(|| lock(&self.view).begin());
    }

    fn page(&self, py: Python<'_>, body: &[u8]) -> PyResult<(String, String)> {
        let page = py.detach(|| -> Result<Page, Error> {
            let (page, batch) = self.projection.parse_list(body)?;
            lock(&self.view).apply(batch);
            Ok(page)
        });
        page.map(|page| (page.resource_version, page.continue_token)).map_err(raise)
    }

    #[pyo3(signature = (resource_version = ""))]
    fn finish(&self, py: Python<'_>, resource_version: &str) {
        let reached = resource_version.parse().unwrap_or(0);
        py.detach(|| {
            let mut view = lock(&self.view);
            view.finish();
            view.reached(reached);
        });
    }

    fn reset(&self) {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes of a watch, cut anywhere; whole lines are read, the rest waits for the next call.
    fn chunk(&self, py: Python<'_>, body: &[u8]) -> PyResult<String> {
        let newest = py.detach(|| -> Result<u64, Error> {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(end) = body.iter().rposition(|&byte| byte == b'\n') else {
                if rest.len() + body.len() > EVENT_BYTES_MAX {
                    return Err(Error::Json { offset: rest.len(), why: "a watch event has no end" });
                }
                rest.extend_from_slice(body);
                return Ok(0);
            };
            let batch = if rest.is_empty() {
                self.projection.parse_watch(&body[..end])
            } else {
                rest.extend_from_slice(&body[..end]);
                let batch = self.projection.parse_watch(&rest);
                rest.clear();
                batch
            }?;
            rest.extend_from_slice(&body[end + 1..]);
            let newest = batch.newest_revision();
            lock(&self.view).apply(batch);
            Ok(newest)
        });
        newest.map(|revision| if revision == 0 { String::new() } else { revision.to_string() }).map_err(raise)
    }

    fn hold(&self) {
        lock(&self.view).hold();
    }

    fn release(&self) {
        lock(&self.view).release();
    }

    fn revision(&self) -> u64 {
        lock(&self.view).revision()
    }

    fn __len__(&self) -> usize {
        lock(&self.view).len()
    }

    /// Interned texts held, for metrics.
    fn texts(&self) -> usize {
        lock(&self.view).pool().len()
    }

    /// How changes become keys; see knarr.controllers.runtime.declare for the words. fields None: every change is told.
    #[pyo3(signature = (mapping, fields = None, *, argument = "", other = None))]
    fn subscribe(
        &self,
        mapping: &str,
        fields: Option<Vec<String>>,
        argument: &str,
        other: Option<&Bound<'_, View>>,
    ) -> PyResult<usize> {
        let mut view = lock(&self.view);
        let mapping = match mapping {
            "own" => Mapping::Own,
            "own-uid" => Mapping::OwnUid,
            "owners-left" => Mapping::OwnersLeft,
            "namespace" => Mapping::Namespace,
            "controller" => Mapping::Controller { kind: argument.into() },
            "label" => Mapping::Label { name: argument.into() },
            "field" => Mapping::Field { slot: view.slots(&[argument]).map_err(raise)?[0] },
            "selected-by-map" | "selected-by-selector" => {
                let Some(other) = other else { return Err(PyValueError::new_err("a selecting view is needed")) };
                let other = other.get().view.clone();
                if Arc::ptr_eq(&other, &self.view) {
                    return Err(PyValueError::new_err("a view cannot select from itself"));
                }
                let slot = lock(&other).slots(&[argument]).map_err(raise)?[0];
                let map = mapping == "selected-by-map";
                Mapping::Selected { view: other, slot, map, orphans: !map }
            }
            word => return Err(PyValueError::new_err(format!("{word:?} is not a mapping"))),
        };
        let fields: Option<Vec<&str>> = fields.as_ref().map(|fields| fields.iter().map(String::as_str).collect());
        view.subscribe(fields.as_deref(), mapping).map(|id| id.0).map_err(raise)
    }

    /// Keys told since the last call.
    fn take(&self, subscription: usize) -> Vec<String> {
        lock(&self.view).take(SubscriptionId(subscription))
    }

    /// A lens that yields rows of `row`, a NamedTuple class whose first four fields are namespace, name, uid and revision.
    fn lens(&self, row: &Bound<'_, PyType>, fields: Vec<String>) -> PyResult<Lens> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let slots = lock(&self.view).slots(&fields).map_err(raise)?;
        let make = row.py().get_type::<PyTuple>().getattr("__new__")?;
        Ok(Lens { view: self.view.clone(), slots, row: row.clone().unbind(), make: make.unbind() })
    }
}

#[pyclass(frozen, module = "knarr._core")]
struct Lens {
    view: Shared,
    slots: Vec<usize>,
    row: Py<PyType>,
    make: Py<PyAny>,
}

impl Lens {
    fn row<'py>(&self, py: Python<'py>, view: &knarr_view::View, record: &Record) -> PyResult<Bound<'py, PyAny>> {
        let mut values = Vec::with_capacity(4 + self.slots.len());
        values.push(PyString::new(py, &view.namespace(record)).into_any());
        values.push(PyString::new(py, &record.name).into_any());
        values.push(PyString::new(py, &record.uid.to_string()).into_any());
        values.push(record.revision.into_pyobject(py)?.into_any());
        for &slot in &self.slots {
            values.push(atom_to_python(py, view.pool(), record.slots[slot])?);
        }
        self.make.bind(py).call1((self.row.bind(py), PyTuple::new(py, values)?))
    }

    fn rows<'py, 'v>(
        &self,
        py: Python<'py>,
        view: &knarr_view::View,
        records: impl IntoIterator<Item = &'v Record>,
    ) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for record in records {
            rows.append(self.row(py, view, record)?)?;
        }
        Ok(rows)
    }
}

#[pymethods]
impl Lens {
    fn __len__(&self) -> usize {
        lock(&self.view).len()
    }

    fn get<'py>(&self, py: Python<'py>, namespace: &str, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let view = lock(&self.view);
        view.get(namespace, name).map(|record| self.row(py, &view, record)).transpose()
    }

    fn of_uid<'py>(&self, py: Python<'py>, uid: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let view = lock(&self.view);
        view.by_uid(&Uid::new(uid)).map(|record| self.row(py, &view, record)).transpose()
    }

    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let view = lock(&self.view);
        self.rows(py, &view, view.all())
    }

    fn in_namespace<'py>(&self, py: Python<'py>, namespace: &str) -> PyResult<Bound<'py, PyList>> {
        let view = lock(&self.view);
        self.rows(py, &view, view.in_namespace(namespace))
    }

    fn owned_by<'py>(&self, py: Python<'py>, uid: &str) -> PyResult<Bound<'py, PyList>> {
        let view = lock(&self.view);
        self.rows(py, &view, view.owned_by(&Uid::new(uid)))
    }

    /// Rows whose controller this is.
    fn controlled_by<'py>(&self, py: Python<'py>, uid: &str) -> PyResult<Bound<'py, PyList>> {
        let view = lock(&self.view);
        let uid = Uid::new(uid);
        self.rows(py, &view, view.controlled_by(&uid))
    }

    /// Rows a LabelSelector matches that have no controller.
    fn orphans<'py>(
        &self,
        py: Python<'py>,
        selector: Option<&Bound<'py, PyDict>>,
        namespace: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        let selector = parse_selector(selector, Selector::of_label_selector)?;
        let view = lock(&self.view);
        let found = view.selected(&selector, Some(namespace));
        self.rows(py, &view, found.into_iter().filter(|record| view.controller_of(record).is_none()))
    }

    /// Rows whose controller this is although the LabelSelector does not match them.
    fn strays<'py>(
        &self,
        py: Python<'py>,
        uid: &str,
        selector: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let selector = parse_selector(selector, Selector::of_label_selector)?;
        let view = lock(&self.view);
        let uid = Uid::new(uid);
        self.rows(py, &view, view.controlled_by(&uid).filter(|record| !selector.matches(view.labels(record))))
    }

    /// Rows whose field, a declared index, equals a string.
    fn with_field<'py>(&self, py: Python<'py>, field: &str, value: &str) -> PyResult<Bound<'py, PyList>> {
        let mut json = String::with_capacity(value.len() + 2);
        write_string(value, &mut json);
        let view = lock(&self.view);
        let found = view.with_field(field, json.as_bytes()).map_err(raise)?;
        self.rows(py, &view, found)
    }

    /// Rows that a LabelSelector matches; None matches nothing. namespace None: everywhere.
    #[pyo3(signature = (selector, namespace = None))]
    fn selected<'py>(
        &self,
        py: Python<'py>,
        selector: Option<&Bound<'py, PyDict>>,
        namespace: Option<&str>,
    ) -> PyResult<Bound<'py, PyList>> {
        let selector = parse_selector(selector, Selector::of_label_selector)?;
        let view = lock(&self.view);
        self.rows(py, &view, view.selected(&selector, namespace))
    }

    /// Rows that have all of these labels; none for an empty map.
    fn labelled<'py>(
        &self,
        py: Python<'py>,
        labels: Option<&Bound<'py, PyDict>>,
        namespace: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        let selector = parse_selector(labels, Selector::of_map)?;
        let view = lock(&self.view);
        self.rows(py, &view, view.selected(&selector, Some(namespace)))
    }
}

fn parse_selector(given: Option<&Bound<'_, PyDict>>, parse: fn(&[u8]) -> Selector) -> PyResult<Selector> {
    let Some(given) = given else { return Ok(Selector::nothing()) };
    let mut json = String::new();
    write_json(given.as_any(), &mut json, 0)?;
    Ok(parse(json.as_bytes()))
}

fn atom_to_python<'py>(py: Python<'py>, pool: &Pool, atom: Atom) -> PyResult<Bound<'py, PyAny>> {
    if atom.is_absent() {
        return Ok(py.None().into_bound(py));
    }
    let text = pool.text(atom);
    to_python(py, text, &mut Cursor::new(text), 0)
}

fn to_python<'py>(py: Python<'py>, text: &[u8], at: &mut Cursor<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEPTH_MAX {
        return Err(PyValueError::new_err("JSON is nested too deeply"));
    }
    // A Python error inside a callback is carried around the scanner's own error type.
    let mut failed = None;
    let stop = |failed: &mut Option<PyErr>, error: PyErr| {
        *failed = Some(error);
        Error::Json { offset: 0, why: "conversion failed" }
    };
    let outcome = match at.peek() {
        b'{' => {
            let map = PyDict::new(py);
            at.members(|key, at| {
                let set = to_python(py, text, at, depth + 1).and_then(|value| map.set_item(&*unescape(key), value));
                set.map_err(|error| stop(&mut failed, error))
            })
            .map(|()| map.into_any())
        }
        b'[' => {
            let list = PyList::empty(py);
            at.elements(|at| {
                let set = to_python(py, text, at, depth + 1).and_then(|value| list.append(value));
                set.map_err(|error| stop(&mut failed, error))
            })
            .map(|()| list.into_any())
        }
        _ => {
            let raw = &text[at.skip().map_err(raise)?];
            return match raw {
                [b'"', ..] => Ok(PyString::new(py, &text_of(raw)).into_any()),
                b"true" | b"false" => Ok(PyBool::new(py, raw == b"true").to_owned().into_any()),
                b"null" => Ok(py.None().into_bound(py)),
                _ => number(py, &text_of(raw)),
            };
        }
    };
    match (outcome, failed) {
        (_, Some(error)) => Err(error),
        (outcome, None) => outcome.map_err(raise),
    }
}

fn number<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(whole.into_pyobject(py)?.into_any());
    }
    match text.parse::<f64>() {
        Ok(float) => Ok(PyFloat::new(py, float).into_any()),
        Err(_) => Err(PyValueError::new_err(format!("{text:?} is not a number"))),
    }
}

fn write_json(value: &Bound<'_, PyAny>, out: &mut String, depth: usize) -> PyResult<()> {
    if depth > DEPTH_MAX {
        return Err(PyValueError::new_err("nested too deeply"));
    }
    if value.is_none() {
        out.push_str("null");
    } else if let Ok(flag) = value.cast::<PyBool>() {
        out.push_str(if flag.is_true() { "true" } else { "false" });
    } else if let Ok(text) = value.cast::<PyString>() {
        write_string(text.to_cow()?.as_ref(), out);
    } else if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
        out.push_str(value.str()?.to_cow()?.as_ref());
    } else if let Ok(map) = value.cast::<PyDict>() {
        out.push('{');
        for (i, (key, member)) in map.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_string(key.cast::<PyString>()?.to_cow()?.as_ref(), out);
            out.push(':');
            write_json(&member, out, depth + 1)?;
        }
        out.push('}');
    } else if let Ok(list) = value.cast::<PyList>() {
        out.push('[');
        for (i, element) in list.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_json(&element, out, depth + 1)?;
        }
        out.push(']');
    } else {
        return Err(PyTypeError::new_err(format!("{} is not JSON", value.get_type().name()?)));
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<View>()?;
    m.add_class::<Lens>()?;
    m.add("WatchStatus", m.py().get_type::<WatchStatus>())
}
