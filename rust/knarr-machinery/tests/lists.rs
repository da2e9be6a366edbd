//! Goal: a list put together from kept pieces is the list that the store gives, whatever happened in between. Method: random writes
//! from a seed; after each, lists of everything and of one namespace are compared with the same lists read from the store (a limit
//! has them read there), and with a reader that comes between.

mod common;

use std::sync::atomic::Ordering;

use common::World;
use knarr_base::{Rng, SeededRng};
use knarr_machinery::Response;
use knarr_value::Value;

/// The list and whether it was put together from kept pieces: then its end stands alone. Of an empty one nobody knows.
fn list(world: &World, line: &str) -> (Value, bool) {
    match world.send(world.request(line, "", "")) {
        Response::Whole { code: 200, chunks, .. } => {
            let list = knarr_value::json::from_slice(&chunks.concat()).expect("a list");
            let empty = list.path(&["items"]).and_then(Value::as_list).is_none_or(<[Value]>::is_empty);
            let kept = chunks.last().is_some_and(|last| &last[..] == b"]}") && !empty;
            (list, kept)
        }
        _ => panic!("{line}"),
    }
}

/// Compares both ways to read a list; answers whether pieces were used.
fn compare(world: &World, what: &str, seed: u64) -> bool {
    let (found, kept) = list(world, &format!("GET {what}"));
    let (expected, read) = list(world, &format!("GET {what}?limit=100000"));
    assert!(!read, "a list with a limit is read from the store");
    assert_eq!(found, expected, "seed {seed}: {what}");
    kept
}

#[test]
fn kept_pieces_are_what_the_store_holds() {
    for seed in 0..6 {
        let mut rng = SeededRng::new(seed);
        let world = World::new();
        for namespace in ["a", "b", "c"] {
            world.ok("POST namespaces", &format!(r#"{{"metadata":{{"name":"{namespace}"}}}}"#));
        }
        let mut used = 0;
        for step in 0..400 {
            let namespace = ["a", "b", "c"][rng.below(3) as usize];
            let name = format!("n{:02}", rng.below(30));
            // Some pieces hold many objects, some one.
            let data = "x".repeat([10, 3_000, 30_000, 70_000][rng.below(4) as usize]);
            let path = format!("{namespace}:configmaps");
            match rng.below(10) {
                0..4 => drop(world.call(
                    &format!("POST {path}"),
                    &format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"k":"{data}"}}}}"#),
                )),
                4..7 => {
                    drop(world.call(&format!("PATCH {path}/{name}"), &format!(r#"{{"data":{{"k":"{data}{step}"}}}}"#)))
                }
                7..9 => drop(world.call(&format!("DELETE {path}/{name}"), "")),
                // Time passes: nobody asked for a while, and all is forgotten.
                _ if rng.below(4) == 0 => {
                    world.clock.0.fetch_add(31_000_000, Ordering::Relaxed);
                    common::run(world.machinery.tick());
                }
                _ => {}
            }
            if rng.below(3) > 0 {
                used += usize::from(compare(&world, "*:configmaps", seed));
            }
            if rng.below(3) > 0 {
                used += usize::from(compare(&world, &path, seed));
            }
        }
        assert!(used > 200, "seed {seed}: pieces were used {used} times");
    }
}

#[test]
fn a_list_that_is_asked_for_once_keeps_nothing() {
    let world = World::new();
    world.ok("POST configmaps", r#"{"metadata":{"name":"one"}}"#);
    assert!(!list(&world, "GET configmaps").1);
    assert!(list(&world, "GET configmaps").1);
    world.clock.0.fetch_add(31_000_000, Ordering::Relaxed);
    common::run(world.machinery.tick());
    assert!(!list(&world, "GET configmaps").1);
    // A selector, a revision or a page is read from the store.
    for query in ["labelSelector=!a", "resourceVersion=1&resourceVersionMatch=NotOlderThan", "limit=1"] {
        let kept = list(&world, &format!("GET configmaps?{query}")).1;
        assert_eq!(kept, query.starts_with("resourceVersion"), "{query}");
    }
}
