//! The view against a plain model: whatever is fed, in whatever order, every index answers as a scan over plain records would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use knarr_view::{Mapping, Selector, Uid, View};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
struct Plain {
    namespace: String,
    name: String,
    uid: String,
    app: String,
    owner: Option<String>,
    node: Option<String>,
    revision: u64,
}

impl Plain {
    fn json(&self) -> String {
        let owners = self.owner.as_ref().map_or(String::new(), |uid| {
            format!(r#","ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs-{uid}","uid":"{uid}","controller":true}}]"#)
        });
        let node = self.node.as_ref().map_or(String::new(), |node| format!(r#""nodeName":"{node}","#));
        format!(
            r#"{{"metadata":{{"name":"{}","namespace":"{}","uid":"{}","resourceVersion":"{}","labels":{{"app":"{}"}}{owners}}},"spec":{{{node}"x":[1]}}}}"#,
            self.name, self.namespace, self.uid, self.revision, self.app
        )
    }
}

fn new_view() -> View {
    View::new(&["spec.nodeName"], true, &["spec.nodeName"]).expect("a declaration")
}

fn feed(view: &mut View, kind: &str, plain: &Plain) {
    let line = format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", plain.json());
    let batch = view.projection().parse_watch(line.as_bytes()).expect("an event");
    view.apply(batch);
}

fn names<'v>(records: impl IntoIterator<Item = &'v knarr_view::Record>) -> Vec<String> {
    let mut names: Vec<_> = records.into_iter().map(|r| r.uid.to_string()).collect();
    names.sort();
    names
}

fn check(view: &View, model: &BTreeMap<(String, String), Plain>) {
    let want = |keep: &dyn Fn(&Plain) -> bool| {
        let mut names: Vec<_> = model.values().filter(|p| keep(p)).map(|p| p.uid.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(view.len(), model.len());
    assert_eq!(names(view.all()), want(&|_| true));
    for namespace in ["a", "b", ""] {
        assert_eq!(names(view.in_namespace(namespace)), want(&|p| p.namespace == namespace));
        for app in ["x", "y"] {
            let selector = Selector::of_map(format!(r#"{{"app":"{app}"}}"#).as_bytes());
            assert_eq!(
                names(view.selected(&selector, Some(namespace))),
                want(&|p| p.namespace == namespace && p.app == app)
            );
            assert_eq!(names(view.selected(&selector, None)), want(&|p| p.app == app));
        }
    }
    for owner in ["o1", "o2"] {
        assert_eq!(names(view.owned_by(&Uid::new(owner))), want(&|p| p.owner.as_deref() == Some(owner)));
    }
    for node in ["n1", "n2"] {
        let found = view.with_field("spec.nodeName", format!("\"{node}\"").as_bytes()).expect("indexed");
        assert_eq!(names(found), want(&|p| p.node.as_deref() == Some(node)));
    }
    for plain in model.values() {
        let record = view.get(&plain.namespace, &plain.name).expect("present");
        assert_eq!((record.uid.to_string(), record.revision), (plain.uid.clone(), plain.revision));
        assert!(view.by_uid(&Uid::new(&plain.uid)).is_some());
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let owner = proptest::option::of(prop_oneof![Just("o1".to_owned()), Just("o2".to_owned())]);
    let node = proptest::option::of(prop_oneof![Just("n1".to_owned()), Just("n2".to_owned())]);
    ("[ab]?", "[p-s]", "[0-3]", "[xy]", owner, node).prop_map(|(namespace, name, uid, app, owner, node)| Plain {
        uid: format!("{namespace}{name}{uid}"),
        namespace,
        name,
        app,
        owner,
        node,
        revision: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn indexes_agree_with_a_scan(steps in proptest::collection::vec((plain(), 0_u8..8), 1..60)) {
        let mut view = new_view();
        let mut model: BTreeMap<(String, String), Plain> = BTreeMap::new();
        let mut revision = 0;
        for (mut plain, step) in steps {
            revision += 1;
            plain.revision = revision;
            let key = (plain.namespace.clone(), plain.name.clone());
            match step {
                0 | 1 => {
                    feed(&mut view, "DELETED", &plain);
                    model.remove(&key);
                }
                2 => { // a relist that names only this object and those of one app
                    model.retain(|_, p| p.app == "x");
                    model.insert(key, plain);
                    let items: Vec<_> = model.values().map(Plain::json).collect();
                    let body = format!(r#"{{"metadata":{{"resourceVersion":"{revision}"}},"items":[{}]}}"#, items.join(","));
                    view.begin();
                    let (_, batch) = view.projection().parse_list(body.as_bytes()).expect("a list");
                    view.apply(batch);
                    view.finish();
                }
                _ => {
                    feed(&mut view, "MODIFIED", &plain);
                    model.insert(key, plain);
                }
            }
            check(&view, &model);
            prop_assert_eq!(view.revision(), revision);
        }
        let all: Vec<_> = model.values().cloned().collect();
        for plain in all {
            feed(&mut view, "DELETED", &plain);
        }
        prop_assert_eq!(view.pool().len(), 0, "an empty view holds no text");
    }
}

fn sample(name: &str, revision: u64) -> Plain {
    Plain {
        namespace: "a".into(),
        name: name.into(),
        uid: format!("u-{name}"),
        app: "x".into(),
        owner: Some("o1".into()),
        node: None,
        revision,
    }
}

#[test]
fn a_held_view_does_not_move() {
    let mut view = new_view();
    feed(&mut view, "ADDED", &sample("p", 1));
    view.hold();
    view.hold();
    feed(&mut view, "DELETED", &sample("p", 2));
    feed(&mut view, "ADDED", &sample("q", 3));
    assert_eq!((view.len(), view.revision()), (1, 1));
    assert!(view.get("a", "p").is_some());
    view.release();
    assert!(view.get("a", "p").is_some(), "one reconcile is still running");
    view.release();
    assert_eq!((view.len(), view.revision()), (1, 3));
    assert!(view.get("a", "q").is_some());
}

#[test]
fn an_old_page_does_not_undo_what_the_watch_told() {
    let mut view = new_view();
    feed(&mut view, "ADDED", &Plain { node: Some("n1".into()), ..sample("p", 5) });
    view.begin();
    let body = format!(r#"{{"metadata":{{"resourceVersion":"4"}},"items":[{}]}}"#, sample("p", 4).json());
    let (_, batch) = view.projection().parse_list(body.as_bytes()).expect("a list");
    view.apply(batch);
    view.finish();
    assert_eq!(view.get("a", "p").map(|r| r.revision), Some(5));
}

#[test]
fn only_changes_of_declared_fields_are_told_and_keys_follow_the_mapping() {
    let mut view = new_view();
    let own = view.subscribe(Some(&["spec.nodeName"]), Mapping::Own).expect("declared");
    let controller = view
        .subscribe(Some(&["metadata.labels"]), Mapping::Controller { kind: "ReplicaSet".into() })
        .expect("declared");
    let every = view.subscribe(None, Mapping::OwnUid).expect("declared");
    let label = view.subscribe(Some(&[]), Mapping::Label { name: "app".into() }).expect("declared");
    let left = view.subscribe(Some(&["metadata.ownerReferences"]), Mapping::OwnersLeft).expect("declared");
    let slot = view.slots(&["spec.nodeName"]).expect("declared")[0];
    let node = view.subscribe(Some(&["spec.nodeName"]), Mapping::Field { slot }).expect("declared");
    let take = |view: &mut View| [own, controller, every, label, node].map(|s| view.take(s).join(" "));

    feed(&mut view, "ADDED", &sample("p", 1));
    assert_eq!(take(&mut view), ["a/p", "a/rs-o1", "a/p/u-p", "a/x", ""]);
    feed(&mut view, "MODIFIED", &sample("p", 2)); // nothing but the revision
    assert_eq!(take(&mut view), ["", "", "a/p/u-p", "", ""]);
    feed(&mut view, "MODIFIED", &Plain { node: Some("n1".into()), ..sample("p", 3) });
    assert_eq!(take(&mut view), ["a/p", "", "a/p/u-p", "", "/n1"]);
    feed(&mut view, "MODIFIED", &Plain { node: Some("n2".into()), app: "y".into(), ..sample("p", 4) });
    assert_eq!(take(&mut view), ["a/p", "a/rs-o1", "a/p/u-p", "", "/n1 /n2"]);
    feed(&mut view, "DELETED", &sample("p", 5));
    assert_eq!(take(&mut view), ["a/p", "a/rs-o1", "a/p/u-p", "a/y", "/n2"]);
    assert_eq!(view.take(left), ["owner|apps/v1|ReplicaSet|a/rs-o1/o1"], "told once, when it was gone");
    assert!(view.subscribe(Some(&["spec.other"]), Mapping::Own).is_err());
}

#[test]
fn a_change_finds_who_selects_it() {
    let services = Arc::new(Mutex::new(View::new(&["spec.selector"], false, &[]).expect("a declaration")));
    let slot = services.lock().expect("lock").slots(&["spec.selector"]).expect("declared")[0];
    let line = br#"{"type":"ADDED","object":{"metadata":{"name":"s","namespace":"a","uid":"s","resourceVersion":"1"},"spec":{"selector":{"app":"x"}}}}"#;
    {
        let mut services = services.lock().expect("lock");
        let batch = services.projection().parse_watch(line).expect("an event");
        services.apply(batch);
    }
    let mut pods = new_view();
    let all = Mapping::Selected { view: services.clone(), slot, map: true, orphans: false };
    let all = pods.subscribe(Some(&["metadata.labels"]), all).expect("declared");
    let orphans = Mapping::Selected { view: services, slot, map: true, orphans: true };
    let orphans = pods.subscribe(Some(&["metadata.labels"]), orphans).expect("declared");
    feed(&mut pods, "ADDED", &sample("p", 1));
    assert_eq!((pods.take(all), pods.take(orphans)), (vec!["a/s".to_owned()], vec![]));
    feed(&mut pods, "ADDED", &Plain { owner: None, ..sample("q", 2) });
    assert_eq!((pods.take(all), pods.take(orphans)), (vec!["a/s".to_owned()], vec!["a/s".to_owned()]));
    feed(&mut pods, "MODIFIED", &Plain { app: "y".into(), ..sample("p", 3) });
    assert_eq!(pods.take(all), ["a/s"], "who selected the old labels is told");
    feed(&mut pods, "ADDED", &Plain { namespace: "b".into(), ..sample("p", 4) });
    assert!(pods.take(all).is_empty());
}
