//! Goal: the owners of fields are those a real kube-apiserver records. Method: replay recorded sequences (testdata/transcripts.json,
//! made by testdata/record.py) step by step, each on the recorded object before it; then the laws, on made-up objects.

use std::sync::LazyLock;

use knarr_base::WallTime;
use knarr_value::{Map, TypeId, TypeTable, Value, json};
use proptest::prelude::*;

use super::*;
use crate::patch;

static TYPES: LazyLock<TypeTable> = LazyLock::new(|| {
    let table = include_bytes!("../../../../python/knarr/api/_tables/types.json.zz");
    TypeTable::load(table).expect("a sound table")
});

/// Later than any recorded time, so that a time set by the replay is told from one that was kept.
const NOW: WallTime = WallTime(4_000_000_000_000_000);

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("JSON").value
}

fn type_of(object: &Value) -> TypeId {
    let (version, kind) = (object.str_at(&["apiVersion"]), object.str_at(&["kind"]));
    let group = version.split_once('/').map_or("core", |(group, _)| group);
    TYPES.id(&format!("io.k8s.api.{group}.v1.{kind}")).expect("a known kind")
}

fn managed(object: &Value) -> Value {
    object.path(MANAGED).cloned().unwrap_or_default()
}

/// The entries with each time replaced by whether it is the one the object had before.
fn entries_with_marked_times(object: &Value, live: Option<&Value>) -> Vec<(Value, &'static str)> {
    let old = live.map(managed).unwrap_or_default();
    let old = old.as_list().unwrap_or_default().to_vec();
    let mut out: Vec<(Value, &'static str)> = managed(object)
        .as_list()
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let who = Identity::of(entry);
            let before = old.iter().find(|e| who.is(e)).and_then(|e| e.get("time"));
            let mark = match entry.get("time") {
                None => "none",
                time if time == before => "kept",
                Some(_) => "set",
            };
            let mut entry = entry.clone();
            entry.remove_path(&["time"]);
            (entry, mark)
        })
        .collect();
    // Within a second Kubernetes orders by name; the replay's clock differs, so order is compared by a test of its own.
    out.sort_by_key(|(e, _)| Identity::of(e).sort_key());
    out
}

fn bare(object: &Value) -> Value {
    let mut out = object.clone();
    for path in [MANAGED, &["metadata", "resourceVersion"], &["metadata", "generation"]] {
        out.remove_path(path);
    }
    without_empty(&mut out);
    out
}

fn without_empty(value: &mut Value) {
    match value {
        Value::Map(map) => map.retain(|_, v| {
            without_empty(v);
            !v.is_empty()
        }),
        Value::List(items) => items.iter_mut().for_each(without_empty),
        _ => {}
    }
}

/// Whether `whole` has all that `part` has: defaults may have been added.
fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Map(w), Value::Map(p)) => p.iter().all(|(k, v)| w.get(k).is_some_and(|w| covers(w, v))),
        (Value::List(w), Value::List(p)) => w.len() == p.len() && w.iter().zip(p).all(|(w, p)| covers(w, p)),
        (w, p) => w == p,
    }
}

struct Step<'a> {
    title: String,
    recorded: &'a Value,
    live: Option<&'a Value>,
    body: Value,
}

impl Step<'_> {
    fn text(&self, key: &str) -> &str {
        self.recorded.str_at(&[key])
    }

    fn code(&self) -> i64 {
        self.recorded.get("code").and_then(Value::as_i64).expect("a code")
    }

    fn answer(&self) -> &Value {
        self.recorded.get("answer").expect("an answer")
    }

    fn manager(&self, of: &Value) -> Manager {
        Manager::new(self.text("manager"), self.text("sub"), of.str_at(&["apiVersion"]))
    }

    fn same_owners(&self, mine: &Value) {
        let (mine, theirs) =
            (entries_with_marked_times(mine, self.live), entries_with_marked_times(self.answer(), self.live));
        assert_eq!(mine, theirs, "{}: owners", self.title);
    }
}

fn replay(step: &Step<'_>) {
    let empty = Value::Map(Map::default());
    let live = step.live.unwrap_or(&empty);
    match step.text("op") {
        "apply" => replay_apply(step, live),
        "create" => {
            assert_eq!(step.code(), 201, "{}: {}", step.title, step.answer());
            let mut new = step.answer().clone();
            new.remove_path(MANAGED);
            // Added by admission plugins, after owners were computed.
            for added in ["tolerations", "priority", "preemptionPolicy"] {
                new.remove_path(&["spec", added]);
            }
            let mine = update(&TYPES, type_of(&new), None, new.clone(), &step.manager(&new), NOW);
            step.same_owners(&mine);
        }
        op => replay_patch(step, live, op),
    }
}

fn replay_apply(step: &Step<'_>, live: &Value) {
    let expected = if live.as_map().is_some_and(|m| m.is_empty()) { &step.body } else { live };
    let manager = Manager::new(step.text("manager"), step.text("sub"), expected.str_at(&["apiVersion"]));
    let force = step.text("force") == "true";
    match apply(&TYPES, type_of(expected), live, &step.body, &manager, force, NOW) {
        // Refused by validation afterwards: not the merge's doing.
        Ok(_) if step.code() == 422 => {}
        Ok(mine) => {
            assert!(step.code() < 300, "{}: applied, but Kubernetes said {}", step.title, step.answer());
            step.same_owners(&mine);
            let (whole, part) = (bare(step.answer()), bare(&mine));
            assert!(covers(&whole, &part), "{}:\nmine   {part}\ntheirs {whole}", step.title);
        }
        Err(error) => {
            let answer = step.answer();
            let code = match &error {
                ApplyError::Conflicts { .. } => 409,
                ApplyError::BadRequest(_) => 400,
                ApplyError::Internal(_) => 500,
            };
            assert_eq!(
                (code, error.to_string().as_str()),
                (step.code(), answer.str_at(&["message"])),
                "{}",
                step.title
            );
            if let ApplyError::Conflicts { causes, .. } = &error {
                let theirs = answer.path(&["details", "causes"]).and_then(Value::as_list).unwrap_or_default();
                let theirs: Vec<_> = theirs.iter().map(|c| (c.str_at(&["field"]), c.str_at(&["message"]))).collect();
                let mine: Vec<_> = causes.iter().map(|c| (c.field.as_str(), c.message.as_str())).collect();
                assert_eq!(mine, theirs, "{}", step.title);
            }
        }
    }
}

fn replay_patch(step: &Step<'_>, live: &Value, op: &str) {
    let id = type_of(live);
    if step.text("sub") == "scale" {
        // The patch is of a Scale; what it does to the object is a matter of the update.
        let mut new = step.answer().clone();
        new.remove_path(MANAGED);
        step.same_owners(&update(&TYPES, id, Some(live), new, &step.manager(live), NOW));
        return;
    }
    let patched = match op {
        "json" => patch::json_patch(live.clone(), &step.body),
        "merge" => patch::merge_patch_checked(live.clone(), step.body.clone()),
        "strategic" => patch::strategic(&TYPES, id, live.clone(), step.body.clone()),
        other => panic!("{}: operation {other}", step.title),
    };
    match patched {
        Ok(patched) if step.code() < 300 => {
            let (whole, part) = (bare(step.answer()), bare(&patched));
            assert!(covers(&whole, &part), "{}:\nmine   {part}\ntheirs {whole}", step.title);
            let mut new = step.answer().clone();
            new.remove_path(MANAGED);
            if let Some(given) = patched.path(MANAGED) {
                new.set_path(MANAGED, given.clone());
            }
            let mut mine = update(&TYPES, id, Some(live), new, &step.manager(live), NOW);
            if bare(&mine) == bare(live) {
                keep_times_if_same(live, &mut mine);
            }
            step.same_owners(&mine);
        }
        // Refused by decoding or validation afterwards: not the patch's doing.
        Ok(_) => assert_eq!(step.code(), 422, "{}: {}", step.title, step.answer()),
        Err(error) => {
            let theirs = (step.code(), step.answer().str_at(&["reason"]), step.answer().str_at(&["message"]));
            assert_eq!((i64::from(error.code()), error.reason(), error.answer().as_ref()), theirs, "{}", step.title);
        }
    }
}

#[test]
fn recorded_sequences_of_kubernetes() {
    let text = include_str!("../../testdata/transcripts.json");
    let mut failures = Vec::new();
    let mut count = 0;
    for scenario in value(text).as_list().expect("scenarios") {
        let mut last: Option<&Value> = None;
        for (i, recorded) in scenario.get("steps").and_then(Value::as_list).expect("steps").iter().enumerate() {
            let live = match recorded.get("live") {
                Some(Value::Null) => None,
                Some(live) => Some(live),
                None => last,
            };
            let mut body = recorded.get("body").cloned().expect("a body");
            if let (Some(one), Some(times)) = (body.get("repeat"), body.get("times").and_then(Value::as_i64)) {
                body = Value::List(vec![one.clone(); times as usize]);
            }
            let title = format!("{} #{i} ({})", scenario.str_at(&["title"]), recorded.str_at(&["op"]));
            let step = Step { title, recorded, live, body };
            count += 1;
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replay(&step))) {
                failures.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
            }
            if step.code() < 300 {
                last = recorded.get("answer");
            }
        }
    }
    assert!(count > 80, "only {count} steps were recorded");
    assert!(failures.is_empty(), "{} of {count} steps differ:\n\n{}", failures.len(), failures.join("\n\n"));
}

fn deployment() -> Value {
    value(
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":1,"template":{"spec":{"containers":[
        {"name":"a","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}}}"#,
    )
}

#[test]
fn fields_v1_is_canonical() {
    let object = deployment();
    let set = walk::paths_of(&TYPES, Place::Type(type_of(&object)), &object).difference(&reset::STRIPPED);
    let text = String::from_utf8(json::to_vec(&set.to_value())).expect("UTF-8");
    assert_eq!(
        text,
        r#"{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}}}}}}}}"#
    );
    assert_eq!(Set::from_value(&set.to_value()).expect("sound"), set);
}

#[test]
fn entries_stand_in_kubernetes_order() {
    let entry = |manager: &str, operation: &str, time: &str| {
        let mut map = Map::default();
        map.insert("manager", manager);
        map.insert("operation", operation);
        map.insert("time", time);
        Value::Map(map)
    };
    let mut list = vec![
        entry("b", "Update", "2024-01-01T00:00:01Z"),
        entry("a", "Update", "2024-01-01T00:00:01Z"),
        entry("z", "Update", "2024-01-01T00:00:00Z"),
        entry("z", "Apply", "2025-01-01T00:00:00Z"),
    ];
    entries::sort(&mut list);
    let order: Vec<&str> = list.iter().map(|e| e.str_at(&["manager"])).collect();
    assert_eq!(order, ["z", "z", "a", "b"]);
    assert_eq!(list[0].str_at(&["operation"]), "Apply");
}

/// A 2 kB pod with three managers, and the status patch of a kubelet: the budget is 15 us.
#[test]
#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn a_status_patch_costs_little() {
    let text = include_str!("../../testdata/pod.json");
    let live = value(text);
    let id = type_of(&live);
    let mut new = live.clone();
    let kubelet = Manager::new("kubelet", "status", "v1");
    let conditions = new.path_mut(&["status", "conditions"]).and_then(Value::as_list_mut).expect("conditions");
    conditions[1].set_path(&["status"], "True");
    conditions[1].set_path(&["lastTransitionTime"], "2026-01-01T00:00:00Z");
    // The best of some batches: test machines are shared.
    let (batches, rounds) = (20, 100u32);
    let mut each = std::time::Duration::MAX;
    for _ in 0..batches {
        let news = vec![new.clone(); rounds as usize];
        let start = std::time::Instant::now();
        for new in news {
            std::hint::black_box(update(&TYPES, id, Some(&live), new, &kubelet, NOW));
        }
        each = each.min(start.elapsed() / rounds);
    }
    println!("update() of a status patch, pod of {} bytes: {each:?}", text.len());
    assert!(each < std::time::Duration::from_micros(60), "four times the budget: {each:?}");
}

fn data() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[xyz]", 0..4).prop_map(|m| Value::Map(m.into_iter().collect()))
}

fn config_map(data: Value) -> Value {
    let mut object = value(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#);
    if !data.is_empty() {
        object.set_path(&["data"], data);
    }
    object
}

fn any_json() -> impl Strategy<Value = Value> {
    let names =
        prop::sample::select(vec!["spec", "containers", "name", "ports", "metadata", "$patch", "image", "x", "status"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(|i| Value::from(i64::from(i))),
        prop::sample::select(vec!["", "a", "delete", "replace", "merge"]).prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((names.clone(), inner), 0..4).prop_map(|m| Value::Map(m.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn applying_twice_changes_nothing(first in data(), mine in data()) {
        let id = type_of(&config_map(first.clone()));
        let live = update(&TYPES, id, None, config_map(first), &Manager::new("one", "", "v1"), NOW);
        let me = Manager::new("me", "", "v1");
        let once = apply(&TYPES, id, &live, &config_map(mine.clone()), &me, true, NOW).expect("applied");
        let twice = apply(&TYPES, id, &once, &config_map(mine), &me, false, WallTime(NOW.0 + 5_000_000)).expect("applied");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn applying_nothing_removes_what_one_owned(mine in data(), theirs in data()) {
        let id = type_of(&config_map(mine.clone()));
        let (me, other) = (Manager::new("me", "", "v1"), Manager::new("other", "", "v1"));
        let live = apply(&TYPES, id, &Value::Null, &config_map(theirs.clone()), &other, false, NOW).expect("applied");
        let Ok(both) = apply(&TYPES, id, &live, &config_map(mine.clone()), &me, false, NOW) else {
            return Ok(()); // they disagree: a conflict
        };
        let left = apply(&TYPES, id, &both, &config_map(Value::Null), &me, false, NOW).expect("applied");
        let mut expected = config_map(theirs);
        let mut left_bare = left.clone();
        expected.remove_path(MANAGED);
        left_bare.remove_path(MANAGED);
        without_empty(&mut expected);
        without_empty(&mut left_bare);
        prop_assert_eq!(left_bare, expected);
        let entries = managed(&left);
        prop_assert!(!entries.as_list().unwrap_or_default().iter().any(|e| e.str_at(&["manager"]) == "me"));
    }

    #[test]
    fn a_set_survives_its_wire_form(value in any_json()) {
        let mut object = deployment();
        object.set_path(&["metadata", "annotations"], value.clone());
        object.set_path(&["spec", "x"], value);
        let set = walk::paths_of(&TYPES, Place::Type(type_of(&object)), &object);
        prop_assert_eq!(Set::from_value(&set.to_value()).expect("sound"), set);
    }

    #[test]
    fn set_algebra(a in any_json(), b in any_json()) {
        let of = |v: &Value| walk::paths_of(&TYPES, Place::Deduced, v);
        let (a, b) = (of(&a), of(&b));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.clone().union(&b), b.clone().union(&a));
        prop_assert_eq!(a.touches(&b.to_value()), !a.intersection(&b).is_empty());
        prop_assert_eq!(a.inside(&b.to_value()), a.difference(&b).is_empty());
    }

    #[test]
    fn nothing_a_client_sends_panics(a in any_json(), b in any_json(), list in any_json()) {
        let id = type_of(&deployment());
        let me = Manager::new("me", "", "apps/v1");
        let mut live = deployment();
        live.set_path(&["spec", "template"], a.clone());
        live.set_path(&["metadata", "managedFields"], list);
        let mut config = deployment();
        config.set_path(&["spec"], b.clone());
        let _ = apply(&TYPES, id, &live, &config, &me, true, NOW);
        let _ = update(&TYPES, id, Some(&live), config, &me, NOW);
        let _ = patch::strategic(&TYPES, id, live.clone(), b.clone());
        let _ = patch::json_patch(live.clone(), &b);
        let _ = patch::merge_patch(live, b);
        let _ = Set::from_value(&a);
    }
}
