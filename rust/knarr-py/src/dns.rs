//! `Dns`: the cluster's name server, fed by Python.

use std::net::{IpAddr, SocketAddr};

use knarr_dns::{Endpoint, Port, Service};
use knarr_io::dns::DnsServer;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::runtime::runtime;

type Ports = Vec<(String, String, u16)>;

/// Dns(zone): answers names below `zone` ("cluster.local") from what it is told, asks upstream servers for the rest.
#[pyclass(frozen, module = "knarr._core")]
struct Dns(DnsServer);

#[pymethods]
impl Dns {
    #[new]
    fn new(zone: &str) -> Self {
        Dns(DnsServer::new(zone))
    }

    /// Listen on (address, port), for datagrams and streams. Raises OSError.
    fn listen(&self, py: Python<'_>, address: &str, port: u16) -> PyResult<()> {
        let at = SocketAddr::new(parsed(address)?, port);
        let runtime = runtime()?;
        py.detach(|| runtime.block_on(self.0.listen(at))).map_err(|cause| PyOSError::new_err(format!("{at}: {cause}")))
    }

    /// set_upstreams([(address, port)]): who is asked about other names, in this order.
    fn set_upstreams(&self, upstreams: Vec<(String, u16)>) -> PyResult<()> {
        let parsed: PyResult<Vec<SocketAddr>> =
            upstreams.iter().map(|(address, port)| Ok(SocketAddr::new(parsed(address)?, *port))).collect();
        self.0.set_upstreams(parsed?);
        Ok(())
    }

    /// A Service with addresses of its own. ports: [(name, protocol, number)], protocol in lower case.
    fn put_cluster(&self, namespace: &str, name: &str, addresses: Vec<String>, ports: Ports) -> PyResult<()> {
        let addresses: PyResult<Vec<IpAddr>> = addresses.iter().map(|each| parsed(each)).collect();
        let service = Service::Cluster { addresses: addresses?, ports: listed(ports) };
        self.0.update(|index| index.put(namespace, name, service));
        Ok(())
    }

    /// A Service that stands for its endpoints. endpoints: [(address, hostname, ports)].
    fn put_headless(&self, namespace: &str, name: &str, endpoints: Vec<(String, String, Ports)>) -> PyResult<()> {
        let endpoints: PyResult<Vec<Endpoint>> = endpoints
            .into_iter()
            .map(|(address, hostname, ports)| {
                Ok(Endpoint { address: parsed(&address)?, hostname, ports: listed(ports) })
            })
            .collect();
        let service = Service::Headless { endpoints: endpoints? };
        self.0.update(|index| index.put(namespace, name, service));
        Ok(())
    }

    /// A Service that is another name.
    fn put_external(&self, namespace: &str, name: &str, target: String) {
        self.0.update(|index| index.put(namespace, name, Service::External { name: target }));
    }

    fn remove(&self, namespace: &str, name: &str) {
        self.0.update(|index| index.remove(namespace, name));
    }

    fn put_namespace(&self, namespace: &str) {
        self.0.update(|index| index.put_namespace(namespace));
    }

    fn remove_namespace(&self, namespace: &str) {
        self.0.update(|index| index.remove_namespace(namespace));
    }

    /// (queries answered, queries asked upstream), since the start.
    fn counts(&self) -> (u64, u64) {
        self.0.counts()
    }
}

fn parsed(address: &str) -> PyResult<IpAddr> {
    address.parse().map_err(|_| PyValueError::new_err(format!("{address:?} is no IP address")))
}

fn listed(ports: Ports) -> Vec<Port> {
    ports.into_iter().map(|(name, protocol, number)| Port { name, protocol, number }).collect()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Dns>()
}
