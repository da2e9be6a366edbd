//! `NodeServer`: the agent's HTTPS server on a kubelet's port, and `NodeCall`, one request that Python answers from any thread.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::BoxFuture;
use knarr_gateway::cold::{ColdReply, ColdRequest};
use knarr_gateway::listen;
use knarr_gateway::node_server::{Allowed, NodeHandler, NodeReply, NodeServer as Core, StreamWriter, stream_pair};
use knarr_gateway::tls::ServerTls;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tokio::sync::{oneshot, watch};

use crate::gateway::{PyColdRequest, describe};
use crate::runtime::runtime;

type Answer = oneshot::Sender<Result<NodeReply, String>>;

/// One request: read `request`, then answer once, by respond, begin (and write, end) or proxy. All of it from any thread.
#[pyclass(frozen, module = "knarr._core")]
struct NodeCall {
    request: Py<PyColdRequest>,
    answer: Mutex<Option<Answer>>,
    writer: Mutex<Option<StreamWriter>>,
}

impl NodeCall {
    fn answer(&self, reply: NodeReply) -> PyResult<()> {
        let answer =
            self.answer.lock().take().ok_or_else(|| PyRuntimeError::new_err("the call was answered already"))?;
        // The client may have gone; then nobody waits.
        let _ = answer.send(Ok(reply));
        Ok(())
    }
}

#[pymethods]
impl NodeCall {
    /// user, method, path, query ([(name, value)]), headers, body.
    #[getter]
    fn request(&self, py: Python<'_>) -> Py<PyColdRequest> {
        self.request.clone_ref(py)
    }

    /// Answer in whole. Raises RuntimeError when the call was answered already.
    #[pyo3(signature = (code, content_type, body, headers=Vec::new()))]
    fn respond(&self, code: u16, content_type: String, body: Vec<u8>, headers: Vec<(String, String)>) -> PyResult<()> {
        self.answer(NodeReply::Whole(ColdReply { code, content_type, body: body.into(), headers }))
    }

    /// Answer piece by piece: what `write` is given, until `end`.
    fn begin(&self, code: u16, content_type: String) -> PyResult<()> {
        let (writer, body) = stream_pair();
        self.answer(NodeReply::Stream { code, content_type, body })?;
        *self.writer.lock() = Some(writer);
        Ok(())
    }

    /// Write a piece; waits (without the GIL) while the client reads slowly. False: the client is gone.
    fn write(&self, py: Python<'_>, data: Vec<u8>) -> PyResult<bool> {
        let writer = self.writer()?;
        Ok(py.detach(|| writer.write_blocking(Bytes::from(data))))
    }

    /// Write a piece without waiting: True, False when the client is gone, None when it reads too slowly (try again later).
    fn try_write(&self, data: Vec<u8>) -> PyResult<Option<bool>> {
        Ok(self.writer()?.try_write(Bytes::from(data)))
    }

    /// End what `begin` began.
    fn end(&self) {
        self.writer.lock().take();
    }

    /// Whether the client of a begun answer is gone.
    #[getter]
    fn closed(&self) -> bool {
        self.writer.lock().as_ref().is_some_and(StreamWriter::is_closed)
    }

    /// Pass the client's upgrade (exec, attach, port-forward) through to this CRI streaming URL.
    fn proxy(&self, url: String) -> PyResult<()> {
        self.answer(NodeReply::Upgrade(url))
    }
}

impl NodeCall {
    fn writer(&self) -> PyResult<StreamWriter> {
        self.writer.lock().clone().ok_or_else(|| PyRuntimeError::new_err("begin comes before write"))
    }
}

/// A Python callable that is handed each call, and may answer it later.
struct PyHandler(Arc<Py<PyAny>>);

impl NodeHandler for PyHandler {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<NodeReply, String>> {
        let handler = self.0.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            // Attaching may wait for the GIL: not on a thread that serves others.
            let called = tokio::task::spawn_blocking(move || {
                Python::attach(|py| {
                    let handed = Py::new(py, PyColdRequest(request)).and_then(|request| {
                        let call = NodeCall { request, answer: Mutex::new(Some(answer)), writer: Mutex::default() };
                        handler.bind(py).call1((call,)).map(drop)
                    });
                    handed.map_err(|error| describe(py, &error))
                })
            });
            called.await.unwrap_or_else(|_| Err("the handler panicked".to_owned()))?;
            answered.await.unwrap_or_else(|_| Err("the handler dropped the call without an answer".to_owned()))
        })
    }
}

/// NodeServer(host, port, cert_path, key_path, client_ca_path, handler, users, groups): HTTPS for the API server only. `handler(call)`
/// is given each request on some thread, returns at once, and answers the NodeCall when it likes. Clients show a certificate of the CA whose
/// common name is in `users` or one of whose organizations is in `groups`.
#[pyclass(frozen, module = "knarr._core")]
struct NodeServer {
    at: SocketAddr,
    core: Arc<Core>,
    tls: Arc<ServerTls>,
    certificate: PathBuf,
    key: PathBuf,
    stop: watch::Sender<bool>,
    serving: Mutex<Option<(u16, tokio::task::JoinHandle<std::io::Result<()>>)>>,
}

#[pymethods]
impl NodeServer {
    /// Raises OSError for files that cannot be read, ValueError for what is in them.
    #[new]
    #[pyo3(signature = (host, port, cert_path, key_path, client_ca_path, handler,
        users=vec!["kube-apiserver-kubelet-client".to_owned()], groups=vec!["system:masters".to_owned()]))]
    #[allow(clippy::too_many_arguments)] // Arguments of a Python constructor.
    fn new(
        host: &str,
        port: u16,
        cert_path: PathBuf,
        key_path: PathBuf,
        client_ca_path: PathBuf,
        handler: Py<PyAny>,
        users: Vec<String>,
        groups: Vec<String>,
    ) -> PyResult<Self> {
        let host: IpAddr = host.parse().map_err(|error| PyValueError::new_err(format!("{host}: {error}")))?;
        let (certificate, key, ca) =
            (std::fs::read(&cert_path)?, std::fs::read(&key_path)?, std::fs::read(client_ca_path)?);
        // HTTP/1.1 only: upgrades need it, and a kubelet's clients speak it.
        let tls = ServerTls::new(&certificate, &key, &ca, &[b"http/1.1"])
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let handler = Arc::new(PyHandler(Arc::new(handler)));
        Ok(Self {
            at: SocketAddr::new(host, port),
            core: Arc::new(Core { allowed: Allowed { users, groups }, handler }),
            tls: Arc::new(tls),
            certificate: cert_path,
            key: key_path,
            stop: watch::Sender::new(false),
            serving: Mutex::default(),
        })
    }

    /// Listen and serve. Answers the port. Raises OSError (port in use).
    fn start(&self, py: Python<'_>) -> PyResult<u16> {
        let listener = py.detach(|| listen::bind(self.at))?;
        let port = listener.local_addr()?.port();
        let serving = runtime()?.spawn(self.core.clone().serve(listener, self.tls.clone(), self.stop.subscribe()));
        *self.serving.lock() = Some((port, serving));
        Ok(port)
    }

    /// The port it listens on; 0 before `start`.
    #[getter]
    fn port(&self) -> u16 {
        self.serving.lock().as_ref().map_or(0, |(port, _)| *port)
    }

    /// Read the certificate's files again. Raises OSError, ValueError: then the old one stays.
    fn reload_certificate(&self) -> PyResult<()> {
        let (certificate, key) = (std::fs::read(&self.certificate)?, std::fs::read(&self.key)?);
        self.tls.certificate.reload(&certificate, &key).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Stop serving; streams are cut after a second.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.stop.send_replace(true);
        let serving = self.serving.lock().take();
        let runtime = runtime()?;
        if let Some((_, task)) = serving {
            // A task that panicked has stopped too.
            let _ = py.detach(|| runtime.block_on(task));
        }
        Ok(())
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<NodeServer>()?;
    m.add_class::<NodeCall>()
}
