//! Reading and writing a 2 kB and a 30 kB Pod: ours, serde_json and sonic-rs into and from their own values, protobuf, YAML.
//!
//! `cargo bench -p knarr-value`; best of 15 rounds, microseconds. The Pods are made here: one container, and one with forty of them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench reads the clock, and may fail loudly")]

use knarr_value::{TypeTable, Value, json, protobuf, stored, value, yaml};
use std::hint::black_box;
use std::time::Instant;

fn pod(containers: usize) -> Value {
    let container = |i: usize| {
        value!({
            "name": (format!("container-{i}")), "image": "registry.example.com/team/application:v1.2.3",
            "args": ["--listen=0.0.0.0:8080", "--log-level=info", "--config=/etc/application/config.yaml"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}, {"name": "MODE", "value": "production <&>"}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "config", "readOnly": true, "mountPath": "/etc/application"}],
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"
        })
    };
    value!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "application-6d4b75cb6d-x7k2p", "generateName": "application-6d4b75cb6d-", "namespace": "default",
            "uid": "00112233-4455-6677-8899-aabbccddeeff", "resourceVersion": "123456", "generation": 1, "creationTimestamp": "2024-01-02T03:04:05Z",
            "labels": {"app": "application", "pod-template-hash": "6d4b75cb6d"}, "annotations": {"example.com/checksum": "e3b0c44298fc1c149afbf4c8996fb924"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "application-6d4b75cb6d", "uid": "ffeeddcc-bbaa-9988-7766-554433221100", "controller": true, "blockOwnerDeletion": true}]
        },
        "spec": {
            "volumes": [{"name": "config", "configMap": {"name": "application", "defaultMode": 420}}],
            "containers": (Value::List((0..containers).map(container).collect())),
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "nodeName": "node-1", "schedulerName": "default-scheduler", "enableServiceLinks": true
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z"}], "hostIP": "10.0.0.1", "podIP": "10.244.0.7", "qosClass": "Burstable"}
    })
}

/// Our value filled through serde: what sonic-rs would give in the place of our reader (without duplicates, depth and Go's words).
struct Filled(Value);

impl<'de> serde::Deserialize<'de> for Filled {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Fill;
        impl<'de> serde::de::Visitor<'de> for Fill {
            type Value = Filled;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Filled, E> {
                Ok(Filled(Value::Null))
            }
            fn visit_bool<E>(self, b: bool) -> Result<Filled, E> {
                Ok(Filled(Value::Bool(b)))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Filled, E> {
                Ok(Filled(Value::Int(n)))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Filled, E> {
                Ok(Filled(i64::try_from(n).map_or(Value::Float(n as f64), Value::Int)))
            }
            fn visit_f64<E>(self, f: f64) -> Result<Filled, E> {
                Ok(Filled(Value::Float(f)))
            }
            fn visit_str<E>(self, s: &str) -> Result<Filled, E> {
                Ok(Filled(Value::from(s)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut a: A) -> Result<Filled, A::Error> {
                let mut items = Vec::new();
                while let Some(Filled(v)) = a.next_element()? {
                    items.push(v);
                }
                Ok(Filled(Value::List(items)))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut a: A) -> Result<Filled, A::Error> {
                let mut map = knarr_value::Map::new();
                while let Some((k, Filled(v))) = a.next_entry::<knarr_value::Str, Filled>()? {
                    map.insert(k, v);
                }
                Ok(Filled(Value::Map(map)))
            }
        }
        d.deserialize_any(Fill)
    }
}

fn best(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut least = f64::MAX;
    for _ in 0..15 {
        let started = Instant::now();
        for _ in 0..200 {
            work();
        }
        least = least.min(started.elapsed().as_secs_f64() / 200.0 * 1e6);
    }
    println!("{name:32} {bytes:7} bytes {least:9.2} us {:8.0} MB/s", bytes as f64 / least);
}

fn main() {
    let packed = include_bytes!("../../../python/knarr/api/_tables/types.json.zz");
    let types = TypeTable::load(packed).unwrap();
    let started = Instant::now();
    let loads = 10;
    for _ in 0..loads {
        black_box(TypeTable::load(packed).unwrap());
    }
    println!("load the types table: {:.2} ms", started.elapsed().as_secs_f64() * 1e3 / f64::from(loads));
    let id = types.kind("", "v1", "Pod").unwrap();
    for containers in [1, 38] {
        let v = pod(containers);
        let text = json::to_vec(&v);
        let n = text.len();
        best("json parse", n, || drop(black_box(json::parse(black_box(&text)).unwrap())));
        best("  serde_json parse", n, || drop(black_box(serde_json::from_slice::<serde_json::Value>(&text).unwrap())));
        best("  sonic-rs parse", n, || drop(black_box(sonic_rs::from_slice::<sonic_rs::Value>(&text).unwrap())));
        best("  sonic-rs filling our value", n, || drop(black_box(sonic_rs::from_slice::<Filled>(&text).unwrap())));
        let mut out = Vec::with_capacity(n);
        best("json write", n, || {
            out.clear();
            json::write(black_box(&v), &mut out);
        });
        let theirs: serde_json::Value = serde_json::from_slice(&text).unwrap();
        best("  serde_json write", n, || drop(black_box(serde_json::to_vec(&theirs).unwrap())));
        let theirs: sonic_rs::Value = sonic_rs::from_slice(&text).unwrap();
        best("  sonic-rs write", n, || drop(black_box(sonic_rs::to_vec(&theirs).unwrap())));
        let bytes = protobuf::encode(&types, id, &v).unwrap();
        best("protobuf encode", bytes.len(), || drop(black_box(protobuf::encode(&types, id, &v).unwrap())));
        best("protobuf decode", bytes.len(), || drop(black_box(protobuf::decode(&types, id, &bytes).unwrap())));
        let document = yaml::to_string(&v);
        best("yaml parse", document.len(), || drop(black_box(yaml::parse_all(document.as_bytes()).unwrap())));
        best("stored::of_value", n, || drop(black_box(stored::of_value(&v, &[]))));
    }
}
