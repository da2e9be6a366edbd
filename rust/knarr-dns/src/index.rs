//! What the answers are made from.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A port with a name; one without has no SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub number: u16,
}

/// One ready endpoint of a headless Service. hostname: the pod's, where the Service is its subdomain; else empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: IpAddr,
    pub hostname: String,
    pub ports: Vec<Port>,
}

impl Endpoint {
    /// The label under the Service's name: the hostname, else the address with dashes.
    pub fn label(&self) -> String {
        if self.hostname.is_empty() { self.address.to_string().replace(['.', ':'], "-") } else { self.hostname.clone() }
    }
}

/// What a Service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    Cluster { addresses: Vec<IpAddr>, ports: Vec<Port> },
    Headless { endpoints: Vec<Endpoint> },
    External { name: String },
}

/// Every Service, by namespace and name. Keys are lower case, as Kubernetes names are.
#[derive(Clone, Debug, Default)]
pub struct Index {
    services: HashMap<String, HashMap<String, Service, FixedState>, FixedState>,
    /// Who has an address, for reverse look-ups: (namespace, service, label under the service or empty).
    reverse: HashMap<IpAddr, (String, String, String), FixedState>,
    /// Namespaces without a Service have names under `pod` too, so they are known by themselves.
    namespaces: HashMap<String, (), FixedState>,
}

impl Index {
    /// Put a Service in place of what stood there.
    pub fn put(&mut self, namespace: &str, name: &str, service: Service) {
        self.remove(namespace, name);
        let mut has = |address: IpAddr, label: String| {
            self.reverse.insert(address, (namespace.into(), name.into(), label));
        };
        match &service {
            Service::Cluster { addresses, .. } => addresses.iter().for_each(|address| has(*address, String::new())),
            // an address without a hostname has no name of its own that would lead back to it
            Service::Headless { endpoints } => {
                endpoints.iter().filter(|e| !e.hostname.is_empty()).for_each(|e| has(e.address, e.label()));
            }
            Service::External { .. } => {}
        }
        self.services.entry(namespace.into()).or_default().insert(name.into(), service);
    }

    pub fn remove(&mut self, namespace: &str, name: &str) {
        let Some(there) = self.services.get_mut(namespace) else { return };
        let Some(old) = there.remove(name) else { return };
        if there.is_empty() {
            self.services.remove(namespace);
        }
        let addresses: Vec<IpAddr> = match &old {
            Service::Cluster { addresses, .. } => addresses.clone(),
            Service::Headless { endpoints } => endpoints.iter().map(|e| e.address).collect(),
            Service::External { .. } => Vec::new(),
        };
        for address in addresses {
            if self.reverse.get(&address).is_some_and(|(ns, n, _)| ns == namespace && n == name) {
                self.reverse.remove(&address);
            }
        }
    }

    pub fn put_namespace(&mut self, namespace: &str) {
        self.namespaces.insert(namespace.into(), ());
    }

    pub fn remove_namespace(&mut self, namespace: &str) {
        self.namespaces.remove(namespace);
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(namespace)?.get(name)
    }

    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace) || self.services.contains_key(namespace)
    }

    /// (namespace, service, label) of an address.
    pub fn owner(&self, address: IpAddr) -> Option<&(String, String, String)> {
        self.reverse.get(&address)
    }
}
