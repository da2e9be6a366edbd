//! What a pod asks for and a node has: cpu in millicores, memory and ephemeral storage in bytes, pods and everything else in units.

use knarr_value::{Quantity, Str, Value};

/// What kube-scheduler takes a container without a cpu request to use when it scores (`DefaultMilliCPURequest`).
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// The same for memory, bytes (`DefaultMemoryRequest`).
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource. `scalar` is sorted by name and holds no zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub storage: i64,
    pub scalar: Vec<(Str, i64)>,
}

impl Resources {
    /// Read a ResourceList; what is no quantity counts as absent, since validation let only quantities in.
    /// Amounts between two units round up.
    pub fn from_list(list: Option<&Value>) -> Self {
        let mut found = Resources::default();
        for (name, value) in list.and_then(Value::as_map).into_iter().flat_map(|map| map.iter()) {
            match name.as_str() {
                "cpu" => found.milli_cpu = amount(value, true),
                "memory" => found.memory = amount(value, false),
                "ephemeral-storage" => found.storage = amount(value, false),
                "pods" => {}
                _ => found.add_scalar(name, amount(value, false)),
            }
        }
        found
    }

    pub fn add(&mut self, other: &Resources) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.storage = self.storage.saturating_add(other.storage);
        for (name, amount) in &other.scalar {
            self.add_scalar(name, *amount);
        }
    }

    /// The larger of both, resource by resource.
    pub fn raise_to(&mut self, other: &Resources) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.storage = self.storage.max(other.storage);
        for (name, amount) in &other.scalar {
            let have = self.scalar(name);
            if *amount > have {
                self.add_scalar(name, amount - have);
            }
        }
    }

    pub fn scalar(&self, name: &str) -> i64 {
        self.scalar.binary_search_by(|(n, _)| n.as_str().cmp(name)).map_or(0, |at| self.scalar[at].1)
    }

    fn add_scalar(&mut self, name: &str, amount: i64) {
        if amount == 0 {
            return;
        }
        match self.scalar.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) => self.scalar[at].1 = self.scalar[at].1.saturating_add(amount),
            Err(at) => self.scalar.insert(at, (Str::from(name), amount)),
        }
    }

    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.storage == 0 && self.scalar.is_empty()
    }
}

/// A quantity as an integer: in thousandths or in units, rounded up, at the bounds of i64 beyond them.
pub fn amount(value: &Value, milli: bool) -> i64 {
    let quantity = match value {
        Value::Str(text) => Quantity::parse(text).ok(),
        Value::Int(number) => return if milli { number.saturating_mul(1000) } else { *number },
        _ => None,
    };
    quantity.map_or(0, |q| if milli { q.as_milli() } else { q.as_i64_ceil() })
}

/// What a pod requests: containers summed, init containers as the floor each sets while it runs, restartable ones added throughout,
/// pod-level requests in place of the sum, overhead on top.
///
/// defaults: (cpu, memory) taken for a container that requests none of it; (0, 0) for what is really requested.
/// Source: k8s.io/component-helpers/resource, PodRequests.
pub fn pod_requests(spec: &Value, defaults: (i64, i64)) -> Resources {
    let container = |value: &Value| {
        let list = value.path(&["resources", "requests"]);
        let mut found = Resources::from_list(list);
        let has = |name: &str| list.and_then(|l| l.get(name)).is_some();
        if !has("cpu") {
            found.milli_cpu = defaults.0;
        }
        if !has("memory") {
            found.memory = defaults.1;
        }
        found
    };
    let each = |field: &str| spec.get(field).and_then(Value::as_list).unwrap_or_default().iter();

    let mut sum = Resources::default();
    for value in each("containers") {
        sum.add(&container(value));
    }
    let mut sidecars = Resources::default();
    let mut floor = Resources::default();
    for value in each("initContainers") {
        let mut asks = container(value);
        if value.str_at(&["restartPolicy"]) == "Always" {
            sum.add(&asks);
            sidecars.add(&asks);
            asks = sidecars.clone();
        } else {
            asks.add(&sidecars);
        }
        floor.raise_to(&asks);
    }
    sum.raise_to(&floor);

    let pod_level = spec.path(&["resources", "requests"]);
    if let Some(map) = pod_level.and_then(Value::as_map) {
        for (name, value) in map.iter() {
            match name.as_str() {
                "cpu" => sum.milli_cpu = amount(value, true),
                "memory" => sum.memory = amount(value, false),
                _ if name.starts_with("hugepages-") => {
                    sum.scalar.retain(|(n, _)| n != name);
                    sum.add_scalar(name, amount(value, false));
                }
                _ => {}
            }
        }
    }
    sum.add(&Resources::from_list(spec.get("overhead")));
    sum
}
