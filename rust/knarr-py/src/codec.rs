//! JSON, YAML, protobuf and quantities for Python: plain dict, list, str, int, float, bool and None on that side.

use knarr_value::{Error, Map, Parsed, Quantity, TypeTable, Value, json, protobuf, yaml};
use pyo3::create_exception;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::sync::OnceLock;

create_exception!(knarr._core, CodecError, PyValueError, "Bytes or a value that a codec cannot read or write.");
create_exception!(knarr._core, JsonError, CodecError, "Not JSON; encoding/json's words.");
create_exception!(
    knarr._core,
    YamlError,
    CodecError,
    "Not YAML, or YAML without a JSON form; the line is in the text."
);
create_exception!(
    knarr._core,
    ProtobufError,
    CodecError,
    "Not the protobuf form of a known kind; the path is in the text."
);
create_exception!(knarr._core, QuantityError, CodecError, "Not a quantity; apimachinery's words.");

/// Inputs longer than this are parsed while other Python threads run; for shorter ones the switch costs more than it gives.
const DETACH_BYTES_MIN: usize = 4096;

fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Json { .. } => JsonError::new_err(text),
        Error::Yaml { .. } => YamlError::new_err(text),
        Error::Protobuf { .. } => ProtobufError::new_err(text),
        Error::Quantity(_) => QuantityError::new_err(text),
        _ => CodecError::new_err(text),
    }
}

fn detached<T: Send>(py: Python<'_>, length: usize, work: impl Send + FnOnce() -> T) -> T {
    if length < DETACH_BYTES_MIN { work() } else { py.detach(work) }
}

/// The committed table, read at first use (some milliseconds).
pub fn types() -> Result<&'static TypeTable, Error> {
    static TYPES: OnceLock<Result<TypeTable, Error>> = OnceLock::new();
    let load = || TypeTable::load(include_bytes!("../../../python/knarr/api/_tables/types.json.zz"));
    TYPES.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// A value as Python objects.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(b) => PyBool::new(py, *b).to_owned().into_any(),
        Value::Int(i) => i.into_pyobject(py)?.into_any(),
        Value::Float(f) => PyFloat::new(py, *f).into_any(),
        Value::Str(s) => PyString::new(py, s).into_any(),
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (k, v) in map {
                dict.set_item(PyString::new(py, k), to_python(py, v)?)?;
            }
            dict.into_any()
        }
    })
}

/// Python objects as a value. Raises TypeError for what JSON has no form for, CodecError for integers beyond 64 bits, floats that
/// are not finite, strings with lone surrogates, and nesting beyond the bound (cycles included).
pub fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert(object, 0)
}

fn text<'a>(s: &'a Bound<'_, PyString>) -> PyResult<std::borrow::Cow<'a, str>> {
    s.to_cow().map_err(|_| CodecError::new_err("a string with lone surrogates has no JSON form"))
}

fn convert(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > json::DEPTH_MAX {
        return Err(raise(Error::TooDeep));
    }
    let items = |iter: &mut dyn Iterator<Item = Bound<'_, PyAny>>| {
        Ok(Value::List(iter.map(|i| convert(&i, depth + 1)).collect::<PyResult<_>>()?))
    };
    if let Ok(s) = object.cast::<PyString>() {
        return Ok(Value::from(&*text(s)?));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut map = Map::with_capacity(dict.len());
        for (k, v) in dict.iter() {
            let Ok(key) = k.cast::<PyString>() else {
                return Err(PyTypeError::new_err(format!("keys are strings, not {}", k.get_type().name()?)));
            };
            map.insert(&*text(key)?, convert(&v, depth + 1)?);
        }
        return Ok(Value::Map(map));
    }
    if let Ok(list) = object.cast::<PyList>() {
        return items(&mut list.iter());
    }
    if let Ok(b) = object.cast::<PyBool>() {
        return Ok(Value::Bool(b.is_true()));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if object.is_instance_of::<PyInt>() {
        return match object.extract::<i64>() {
            Ok(i) => Ok(Value::Int(i)),
            Err(_) => Err(CodecError::new_err("an integer beyond 64 bits")),
        };
    }
    if let Ok(f) = object.cast::<PyFloat>() {
        return match f.value() {
            f if f.is_finite() => Ok(Value::Float(f)),
            _ => Err(CodecError::new_err("a float that JSON has no form for")),
        };
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return items(&mut tuple.iter());
    }
    if let Ok(quantity) = object.cast::<PyQuantity>() {
        return Ok(Value::from(quantity.get().0.canonical()));
    }
    Err(PyTypeError::new_err(format!("{} has no JSON form", object.get_type().name()?)))
}

/// The bytes of a str, bytes, bytearray or memoryview argument.
fn input(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(s) = object.cast::<PyString>() {
        return Ok(text(s)?.as_bytes().to_vec());
    }
    if let Ok(b) = object.cast::<PyBytes>() {
        return Ok(b.as_bytes().to_vec());
    }
    object.extract::<Vec<u8>>().map_err(|_| PyTypeError::new_err("expected str or bytes"))
}

fn pair<'py>(py: Python<'py>, parsed: &Parsed) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
    Ok((to_python(py, &parsed.value)?, parsed.duplicates.clone()))
}

#[pyfunction]
fn json_loads<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let data = input(data)?;
    let parsed = detached(py, data.len(), || json::parse(&data)).map_err(raise)?;
    to_python(py, &parsed.value)
}

#[pyfunction]
fn json_parse<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
    let data = input(data)?;
    pair(py, &detached(py, data.len(), || json::parse(&data)).map_err(raise)?)
}

#[pyfunction]
#[pyo3(signature = (value, *, indent = None))]
fn json_dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>, indent: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
    let value = from_python(value)?;
    let mut out = Vec::with_capacity(256);
    match indent {
        Some(indent) => json::write_pretty(&value, indent.min(16), &mut out),
        None => json::write(&value, &mut out),
    }
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
fn yaml_load_all<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let data = input(data)?;
    let documents = detached(py, data.len(), || yaml::parse_all(&data)).map_err(raise)?;
    documents.iter().map(|d| to_python(py, &d.value)).collect()
}

#[pyfunction]
fn yaml_parse_all<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Vec<String>)>> {
    let data = input(data)?;
    let documents = detached(py, data.len(), || yaml::parse_all(&data)).map_err(raise)?;
    documents.iter().map(|d| pair(py, d)).collect()
}

#[pyfunction]
fn yaml_dump(value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(yaml::to_string(&from_python(value)?))
}

fn kind_of(api_version: &str, kind: &str) -> PyResult<knarr_value::TypeId> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let found = types().map_err(raise)?.kind(group, version, kind);
    found.ok_or_else(|| ProtobufError::new_err(format!("no kind {kind:?} is known in version {api_version:?}")))
}

#[pyfunction]
fn protobuf_encode<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let value = from_python(value)?;
    let (api_version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    let id = kind_of(api_version, kind)?;
    let raw = protobuf::encode(types().map_err(raise)?, id, &value).map_err(raise)?;
    Ok(PyBytes::new(py, &protobuf::wrap(api_version, kind, &raw)))
}

#[pyfunction]
fn protobuf_decode<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let data = input(data)?;
    let envelope = protobuf::unwrap(&data).map_err(raise)?;
    let id = kind_of(envelope.api_version, envelope.kind)?;
    let value = protobuf::decode(types().map_err(raise)?, id, envelope.raw).map_err(raise)?;
    let mut map: Map = [("kind", envelope.kind), ("apiVersion", envelope.api_version)].into_iter().collect();
    map.extend(value.as_map().cloned().unwrap_or_default());
    to_python(py, &Value::Map(map))
}

/// An exact amount (`500m`, `1Gi`); equality, order and hash regard the amount, not the text.
#[pyclass(name = "Quantity", frozen, module = "knarr._core")]
#[derive(Clone, Copy)]
pub struct PyQuantity(Quantity);

/// Another amount, where Python gives a Quantity, an int or a text.
fn amount(object: &Bound<'_, PyAny>) -> PyResult<Quantity> {
    if let Ok(q) = object.cast::<PyQuantity>() {
        return Ok(q.get().0);
    }
    if let Ok(s) = object.cast::<PyString>() {
        return Quantity::parse(&text(s)?).map_err(raise);
    }
    if object.is_instance_of::<PyInt>() && !object.is_instance_of::<PyBool>() {
        return Ok(Quantity::new(object.extract::<i64>()?));
    }
    Err(PyTypeError::new_err(format!("a quantity is made of a text or an int, not {}", object.get_type().name()?)))
}

#[pymethods]
impl PyQuantity {
    #[new]
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        amount(value).map(PyQuantity)
    }

    /// Thousandths.
    #[staticmethod]
    fn from_milli(value: i64) -> Self {
        PyQuantity(Quantity::milli(value))
    }

    /// A number of bytes, shown with binary suffixes.
    #[staticmethod]
    fn from_bytes(value: i64) -> Self {
        PyQuantity(Quantity::bytes(value))
    }

    /// Whole units, rounded away from zero.
    #[getter]
    fn value(&self) -> i64 {
        self.0.as_i64_ceil()
    }

    /// Thousandths, rounded away from zero.
    #[getter]
    fn milli(&self) -> i64 {
        self.0.as_milli()
    }

    fn __add__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(PyQuantity(self.0.add(&amount(other)?)))
    }

    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(PyQuantity(self.0.sub(&amount(other)?)))
    }

    fn __mul__(&self, n: i64) -> Self {
        PyQuantity(self.0.mul(n))
    }

    fn __neg__(&self) -> Self {
        PyQuantity(self.0.neg())
    }

    fn __bool__(&self) -> bool {
        !self.0.is_zero()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: pyo3::pyclass::CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match amount(other) {
            Ok(other) => Ok(PyBool::new(py, op.matches(self.0.cmp(&other))).to_owned().into_any().unbind()),
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self) -> u64 {
        let nanos = self.0.as_nanos();
        (nanos as u64) ^ ((nanos >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn __str__(&self) -> String {
        self.0.canonical()
    }

    fn __repr__(&self) -> String {
        format!("Quantity('{}')", self.0.canonical())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("CodecError", py.get_type::<CodecError>())?;
    m.add("JsonError", py.get_type::<JsonError>())?;
    m.add("YamlError", py.get_type::<YamlError>())?;
    m.add("ProtobufError", py.get_type::<ProtobufError>())?;
    m.add("QuantityError", py.get_type::<QuantityError>())?;
    m.add_class::<PyQuantity>()?;
    m.add_function(wrap_pyfunction!(json_loads, m)?)?;
    m.add_function(wrap_pyfunction!(json_parse, m)?)?;
    m.add_function(wrap_pyfunction!(json_dumps, m)?)?;
    m.add_function(wrap_pyfunction!(yaml_load_all, m)?)?;
    m.add_function(wrap_pyfunction!(yaml_parse_all, m)?)?;
    m.add_function(wrap_pyfunction!(yaml_dump, m)?)?;
    m.add_function(wrap_pyfunction!(protobuf_encode, m)?)?;
    m.add_function(wrap_pyfunction!(protobuf_decode, m)?)
}
