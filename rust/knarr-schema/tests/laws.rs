//! Laws of the pure functions, by proptest: on arbitrary values nothing panics; defaults are idempotent; a decoded object decodes to
//! itself. Objects are mutations of a large valid pod, so that they reach deep. The last test prints what a pod costs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and its environment; the crate may not")]

use knarr_schema::{CompiledKind, Subresource};
use knarr_value::types::TypeTable;
use knarr_value::{Map, Str, Value, json};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static KINDS: LazyLock<BTreeMap<String, CompiledKind>> = LazyLock::new(|| {
    let table = include_bytes!("../../../python/knarr/api/_tables/types.json.zz");
    let types = Arc::new(TypeTable::load(table).unwrap());
    let docs: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("../testdata/kinds.json")).unwrap();
    docs.into_iter()
        .map(|(name, doc)| (name, CompiledKind::compile(&serde_json::to_vec(&doc).unwrap(), &types).unwrap()))
        .collect()
});

/// The good objects a real server accepted, as it answered them.
static SEEDS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let verdicts: serde_json::Value = serde_json::from_str(include_str!("../testdata/verdicts.json")).unwrap();
    let good = verdicts["create"].as_array().unwrap().iter().filter(|case| case.get("object").is_some());
    good.map(|case| {
        let key =
            format!("{}/{}", case["given"]["apiVersion"].as_str().unwrap(), case["given"]["kind"].as_str().unwrap());
        let mut value = json::parse(&serde_json::to_vec(&case["given"]).unwrap()).unwrap().value;
        value.as_map_mut().unwrap().retain(|k, _| k != "apiVersion" && k != "kind");
        (key, value)
    })
    .collect()
});

fn arbitrary() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1i64..70_000).prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        "[a-zA-Z0-9./:%*-]{0,12}".prop_map(|s| Value::Str(Str::from(s))),
        any::<String>().prop_map(|s| Value::Str(Str::from(s))),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let name = prop_oneof![
            Just("name"),
            Just("spec"),
            Just("metadata"),
            Just("containers"),
            Just("ports"),
            Just("env"),
            Just("volumes"),
            Just("resources"),
            Just("limits"),
            Just("selector"),
            Just("matchLabels"),
            Just("cpu"),
            Just("status"),
            Just("é")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((name, inner), 0..5).prop_map(|entries| {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key, value);
                }
                Value::Map(map)
            }),
        ]
    })
}

/// Put `value` at the place that `steps` choose: a walk over whatever is there.
fn graft(into: &mut Value, steps: &[u8], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *into = value;
        return;
    };
    match into {
        Value::Map(map) if !map.is_empty() => {
            let index = usize::from(*step) % map.len();
            if let Some((_, inner)) = map.iter_mut().nth(index) {
                graft(inner, rest, value);
            }
        }
        Value::List(items) if !items.is_empty() => {
            let index = usize::from(*step) % items.len();
            graft(&mut items[index], rest, value);
        }
        other => *other = value,
    }
}

fn text(value: &Value) -> String {
    String::from_utf8(json::to_vec(value)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_canonical_is_a_fixed_point(
        seed in any::<prop::sample::Index>(),
        steps in prop::collection::vec(any::<u8>(), 1..7),
        value in arbitrary(),
        other in arbitrary(),
    ) {
        let (key, object) = seed.get(&SEEDS);
        let kind = &KINDS[key];
        let mut object = object.clone();
        graft(&mut object, &steps, value);
        // Undecoded, of any shape: validation of what is stored must never panic either.
        kind.validate_create(&object);
        kind.validate_create(&other);
        kind.validate_update(&object, &other, Subresource::None);
        kind.validate_update(&other, &object, Subresource::Status);
        kind.warnings(&object, Some(&other));
        kind.selectable(&other);
        let (mut any, mut again) = (object.clone(), other.clone());
        kind.default(&mut any);
        kind.prepare_create(&mut any);
        kind.prepare_update(&mut again, &object, Subresource::Status);
        let Ok(decoded) = kind.decode(object) else { return Ok(()) };
        let mut value = decoded.value;
        let twice = kind.decode(json::parse(text(&value).as_bytes()).unwrap().value).unwrap();
        prop_assert_eq!(text(&twice.value), text(&value));
        prop_assert!(twice.unknown.is_empty());
        kind.default(&mut value);
        let once = text(&value);
        kind.default(&mut value);
        prop_assert_eq!(text(&value), once.clone());
        // What defaults add stands in the table's order: decoding changes nothing.
        prop_assert_eq!(text(&kind.decode(value).unwrap().value), once);
    }
}

/// The pod of the load client: the figure counts against a budget of 25 us.
#[test]
fn a_pod_is_decoded_defaulted_and_validated_within_budget() {
    let body = br#"{"metadata":{"name":"p-000001","namespace":"default","labels":{"app":"kload","shard":"1"}},"spec":{"containers":[{"name":"c","image":"registry.k8s.io/pause:3.10.1","env":[{"name":"A","value":"b"},{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}],"schedulerName":"none"},"status":{}}"#;
    let kind = &KINDS["v1/Pod"];
    let parsed = json::parse(body).unwrap().value;
    let rounds = 5_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let bodies: Vec<Value> = (0..rounds).map(|_| parsed.clone()).collect();
        let start = Instant::now();
        for body in bodies {
            let mut pod = kind.decode(body).unwrap().value;
            kind.default(&mut pod);
            kind.prepare_create(&mut pod);
            assert!(kind.validate_create(&pod).is_empty());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }
    println!("decode + default + prepare + validate of a pod: {best:.1} us");
    assert!(best < 100.0, "{best} us");
}
