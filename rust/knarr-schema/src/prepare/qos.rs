//! A pod's quality of service, and the sum of its containers' requests.

use knarr_value::{Quantity, Str, Value};
use std::collections::BTreeMap;

fn containers<'v>(pod: &'v Value, list: &str) -> &'v [Value] {
    pod.path(&["spec", list]).and_then(Value::as_list).unwrap_or(&[])
}

fn amounts<'v>(holder: &'v Value, which: &str) -> impl Iterator<Item = (&'v str, Quantity)> {
    let map = holder.path(&["resources", which]).and_then(Value::as_map);
    map.into_iter().flat_map(|map| map.iter()).filter_map(|(key, value)| {
        let quantity = Quantity::parse(value.as_str()?).ok()?;
        Some((&key[..], quantity))
    })
}

/// Guaranteed: cpu and memory limits everywhere, and requests equal to them. BestEffort: neither anywhere. Else Burstable.
/// Pod-level resources, where given, decide alone. Source: component-helpers' `ComputePodQOS`.
pub fn class(pod: &Value) -> &'static str {
    let mut requests: BTreeMap<Str, Quantity> = BTreeMap::new();
    let mut limits: BTreeMap<Str, Quantity> = BTreeMap::new();
    let mut guaranteed = true;
    let whole =
        pod.get("spec").filter(|spec| amounts(spec, "requests").chain(amounts(spec, "limits")).next().is_some());
    let holders: Vec<&Value> = match whole {
        Some(spec) => vec![spec],
        None => containers(pod, "containers").iter().chain(containers(pod, "initContainers")).collect(),
    };
    for holder in holders {
        for (key, quantity) in amounts(holder, "requests") {
            if (key == "cpu" || key == "memory") && quantity.as_milli() > 0 {
                add(&mut requests, key, quantity);
            }
        }
        let mut limited = 0;
        for (key, quantity) in amounts(holder, "limits") {
            if (key == "cpu" || key == "memory") && quantity.as_milli() > 0 {
                limited += 1;
                add(&mut limits, key, quantity);
            }
        }
        guaranteed &= limited == 2;
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.len() == limits.len()
        && requests.iter().all(|(key, request)| limits.get(key).is_some_and(|limit| limit == request));
    if guaranteed && equal { "Guaranteed" } else { "Burstable" }
}

fn add(sums: &mut BTreeMap<Str, Quantity>, key: &str, quantity: Quantity) {
    match sums.get_mut(key) {
        Some(sum) => *sum = sum.add(&quantity),
        None => {
            sums.insert(Str::from(key), quantity);
        }
    }
}

/// What the containers together request: the sum of those that run together, or the largest init container if that is more.
pub fn sum_of_requests(pod: &Value) -> Vec<(Str, Value)> {
    let mut sums = BTreeMap::new();
    for container in containers(pod, "containers") {
        amounts(container, "requests").for_each(|(key, quantity)| add(&mut sums, key, quantity));
    }
    let mut sidecars: BTreeMap<Str, Quantity> = BTreeMap::new();
    let mut peak: BTreeMap<Str, Quantity> = BTreeMap::new();
    for container in containers(pod, "initContainers") {
        let sidecar = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        let mut needs = sidecars.clone();
        for (key, quantity) in amounts(container, "requests") {
            add(&mut needs, key, quantity);
            if sidecar {
                add(&mut sidecars, key, quantity);
                add(&mut sums, key, quantity);
            }
        }
        for (key, quantity) in needs {
            match peak.get_mut(&key) {
                Some(highest) if *highest >= quantity => {}
                _ => {
                    peak.insert(key, quantity);
                }
            }
        }
    }
    for (key, quantity) in peak {
        match sums.get_mut(&key) {
            Some(sum) if *sum >= quantity => {}
            _ => {
                sums.insert(key, quantity);
            }
        }
    }
    sums.into_iter().map(|(key, quantity)| (key, Value::from(quantity.canonical()))).collect()
}
