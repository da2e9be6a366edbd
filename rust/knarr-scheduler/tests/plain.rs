//! Goal: the columns and bitmaps decide as a plain loop over the objects would. Method: random nodes and pods, changed at random;
//! after each change the feasible nodes and their scores are computed once more from the objects alone, written as kube-scheduler's
//! documentation says them, sharing nothing with the crate but the reading of quantities.

use std::collections::BTreeMap;

use knarr_base::{Instant, Rng};
use knarr_scheduler::{Options, Outcome, Scheduler};
use knarr_value::{Value, json};
use proptest::prelude::*;

struct Counter(u64);
impl Rng for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 ^ self.0.rotate_left(29)
    }
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("test JSON").value
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    cpu: i64,
    memory_mi: i64,
    pods: i64,
    zone: u8,
    disk: Option<u8>,
    taints: Vec<(String, String)>,
    cordoned: bool,
}

impl Node {
    fn object(&self) -> Value {
        let taints: Vec<String> = self
            .taints
            .iter()
            .map(|(key, effect)| format!(r#"{{"key":"{key}","value":"v","effect":"{effect}"}}"#))
            .collect();
        let disk = self.disk.map_or(String::new(), |d| format!(r#","disk":"{d}""#));
        value(&format!(
            r#"{{"metadata":{{"name":"{}","labels":{{"zone":"{}"{}}}}},"spec":{{"unschedulable":{},"taints":[{}]}},
               "status":{{"allocatable":{{"cpu":"{}m","memory":"{}Mi","pods":"{}"}}}}}}"#,
            self.name,
            self.zone,
            disk,
            self.cordoned,
            taints.join(","),
            self.cpu,
            self.memory_mi,
            self.pods
        ))
    }
}

#[derive(Clone, Debug)]
struct PodSpec {
    name: String,
    node: Option<String>,
    cpu: Option<i64>,
    memory_mi: Option<i64>,
    zone: Option<u8>,
    disk_in: Option<Vec<u8>>,
    prefers: Option<(i64, u8)>,
    tolerates: Vec<(String, String)>,
    port: Option<u16>,
}

impl PodSpec {
    fn object(&self) -> Value {
        let mut requests = Vec::new();
        requests.extend(self.cpu.map(|c| format!(r#""cpu":"{c}m""#)));
        requests.extend(self.memory_mi.map(|m| format!(r#""memory":"{m}Mi""#)));
        let tolerations: Vec<String> = self
            .tolerates
            .iter()
            .map(|(key, effect)| format!(r#"{{"key":"{key}","operator":"Exists","effect":"{effect}"}}"#))
            .collect();
        let mut affinity = Vec::new();
        if let Some(values) = &self.disk_in {
            let values: Vec<String> = values.iter().map(|v| format!(r#""{v}""#)).collect();
            affinity.push(format!(
                r#""requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"disk","operator":"In","values":[{}]}}]}}]}}"#,
                values.join(",")
            ));
        }
        if let Some((weight, zone)) = self.prefers {
            affinity.push(format!(
                r#""preferredDuringSchedulingIgnoredDuringExecution":[{{"weight":{weight},"preference":{{"matchExpressions":[{{"key":"zone","operator":"In","values":["{zone}"]}}]}}}}]"#
            ));
        }
        let selector = self.zone.map_or(String::new(), |z| format!(r#""nodeSelector":{{"zone":"{z}"}},"#));
        let node = self.node.as_ref().map_or(String::new(), |n| format!(r#""nodeName":"{n}","#));
        let ports = self.port.map_or(String::new(), |p| format!(r#""ports":[{{"containerPort":80,"hostPort":{p}}}],"#));
        value(&format!(
            r#"{{"metadata":{{"namespace":"d","name":"{0}","uid":"{0}"}},"spec":{{{node}{selector}"schedulerName":"default-scheduler",
               "affinity":{{"nodeAffinity":{{{1}}}}},"tolerations":[{2}],
               "containers":[{{{ports}"name":"c","resources":{{"requests":{{{3}}}}}}}]}}}}"#,
            self.name,
            affinity.join(","),
            tolerations.join(","),
            requests.join(",")
        ))
    }
}

/// Feasible nodes and total scores, from the objects.
fn plain(nodes: &BTreeMap<String, Node>, placed: &BTreeMap<String, PodSpec>, pod: &PodSpec) -> BTreeMap<String, i64> {
    const MI: i64 = 1 << 20;
    let tolerated = |key: &str, effect: &str| pod.tolerates.iter().any(|(k, e)| k == key && e == effect);
    let mut found: Vec<(String, i64, i64, i64, i64)> = Vec::new();
    for node in nodes.values() {
        let there: Vec<&PodSpec> = placed.values().filter(|p| p.node.as_ref() == Some(&node.name)).collect();
        let cpu: i64 = there.iter().filter_map(|p| p.cpu).sum();
        let memory: i64 = there.iter().filter_map(|p| p.memory_mi).sum::<i64>() * MI;
        let (want_cpu, want_memory) = (pod.cpu.unwrap_or(0), pod.memory_mi.unwrap_or(0) * MI);
        let fits = (there.len() as i64) < node.pods
            && (want_cpu == 0 || cpu + want_cpu <= node.cpu)
            && (want_memory == 0 || memory + want_memory <= node.memory_mi * MI)
            && !node.cordoned
            && node.taints.iter().all(|(k, e)| e == "PreferNoSchedule" || tolerated(k, e))
            && pod.zone.is_none_or(|z| z == node.zone)
            && pod.disk_in.as_ref().is_none_or(|v| node.disk.is_some_and(|d| v.contains(&d)))
            && pod.port.is_none_or(|p| there.iter().all(|t| t.port != Some(p)))
            && pod.node.as_ref().is_none_or(|n| *n == node.name);
        if !fits {
            continue;
        }
        let nonzero_cpu: i64 = there.iter().map(|p| p.cpu.unwrap_or(100)).sum::<i64>() + pod.cpu.unwrap_or(100);
        let nonzero_memory: i64 =
            there.iter().map(|p| p.memory_mi.unwrap_or(200)).sum::<i64>() * MI + pod.memory_mi.unwrap_or(200) * MI;
        let part = |used: i64, total: i64| if used > total { 0 } else { (total - used) * 100 / total };
        let mut divisor = 0;
        let mut least = 0;
        for (used, total) in [(nonzero_cpu, node.cpu), (nonzero_memory, node.memory_mi * MI)] {
            if total > 0 {
                least += part(used, total);
                divisor += 1;
            }
        }
        let least = if divisor == 0 { 0 } else { least / divisor };
        let balanced = if want_cpu == 0 && want_memory == 0 {
            0
        } else if node.cpu == 0 || node.memory_mi == 0 {
            100
        } else {
            let c = ((cpu + want_cpu) as f64 / node.cpu as f64).min(1.0);
            let m = ((memory + want_memory) as f64 / (node.memory_mi * MI) as f64).min(1.0);
            ((1.0 - ((c - m) / 2.0).abs()) * 100.0) as i64
        };
        let dislikes = node.taints.iter().filter(|(k, e)| e == "PreferNoSchedule" && !tolerated(k, e)).count() as i64;
        let likes = pod.prefers.map_or(0, |(weight, zone)| if zone == node.zone { weight } else { 0 });
        found.push((node.name.clone(), least, balanced, dislikes, likes));
    }
    let most = |pick: fn(&(String, i64, i64, i64, i64)) -> i64| found.iter().map(pick).max().unwrap_or(0);
    let (dislikes_max, likes_max) = (most(|f| f.3), most(|f| f.4));
    found
        .into_iter()
        .map(|(name, least, balanced, dislikes, likes)| {
            let taint = if dislikes_max == 0 { 100 } else { 100 - 100 * dislikes / dislikes_max };
            let affinity = if likes_max == 0 { 0 } else { 100 * likes / likes_max };
            (name, least + balanced + 3 * taint + 2 * affinity)
        })
        .collect()
}

fn taint() -> impl Strategy<Value = (String, String)> {
    let effects = prop::sample::select(vec!["NoSchedule", "NoExecute", "PreferNoSchedule"]);
    (prop::sample::select(vec!["a", "b"]), effects).prop_map(|(k, e)| (k.to_string(), e.to_string()))
}

fn node() -> impl Strategy<Value = Node> {
    (
        0..6u8,
        0..4000i64,
        0..8000i64,
        0..5i64,
        0..3u8,
        prop::option::of(0..2u8),
        prop::collection::vec(taint(), 0..2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(n, cpu, memory_mi, pods, zone, disk, taints, cordoned)| Node {
            name: format!("n{n}"),
            cpu,
            memory_mi,
            pods,
            zone,
            disk,
            taints,
            cordoned,
        })
}

fn pod() -> impl Strategy<Value = PodSpec> {
    (
        (0..8u8, prop::option::weighted(0.5, 0..6u8), prop::option::of(1..2000i64), prop::option::of(1..4000i64)),
        prop::option::weighted(0.2, 0..3u8),
        prop::option::weighted(0.2, prop::collection::vec(0..2u8, 1..3)),
        prop::option::weighted(0.3, (1..100i64, 0..3u8)),
        prop::collection::vec(taint(), 0..3),
        prop::option::weighted(0.3, 1..3u16),
    )
        .prop_map(|((n, node, cpu, memory_mi), zone, disk_in, prefers, tolerates, port)| PodSpec {
            name: format!("p{n}"),
            node: node.map(|n| format!("n{n}")),
            cpu,
            memory_mi,
            zone,
            disk_in,
            prefers,
            tolerates,
            port,
        })
}

#[derive(Clone, Debug)]
enum Step {
    PutNode(Node),
    RemoveNode(u8),
    PutPod(PodSpec),
    RemovePod(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => node().prop_map(Step::PutNode),
        1 => (0..6u8).prop_map(Step::RemoveNode),
        6 => pod().prop_map(Step::PutPod),
        2 => (0..8u8).prop_map(Step::RemovePod),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn columns_agree_with_a_plain_loop(steps in prop::collection::vec(step(), 1..40), probe in pod()) {
        let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(1)));
        let mut nodes = BTreeMap::new();
        let mut placed = BTreeMap::new();
        for step in steps {
            match step {
                Step::PutNode(node) => { scheduler.put_node(&node.object()); nodes.insert(node.name.clone(), node); }
                Step::RemoveNode(n) => { scheduler.remove_node(&format!("n{n}")); nodes.remove(&format!("n{n}")); }
                Step::PutPod(pod) => {
                    if pod.node.is_some() {
                        scheduler.put_pod(&pod.object());
                        placed.insert(pod.name.clone(), pod);
                    }
                }
                Step::RemovePod(n) => { scheduler.remove_pod("d", &format!("p{n}")); placed.remove(&format!("p{n}")); }
            }
            let mut probe = probe.clone();
            probe.name = "probe".into();
            probe.node = None;
            let got: BTreeMap<String, i64> = scheduler
                .feasible_and_scores(&probe.object())
                .into_iter()
                .map(|(name, score)| (name.to_string(), score))
                .collect();
            prop_assert_eq!(got, plain(&nodes, &placed, &probe));
        }
    }

    #[test]
    fn every_assignment_is_the_plain_loops_best(pods in prop::collection::vec(pod(), 1..12), list in prop::collection::vec(node(), 1..8), seed: u64) {
        let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(seed)));
        let nodes: BTreeMap<String, Node> = list.into_iter().map(|n| (n.name.clone(), n)).collect();
        for node in nodes.values() {
            scheduler.put_node(&node.object());
        }
        let mut placed: BTreeMap<String, PodSpec> = BTreeMap::new();
        for (i, mut pod) in pods.into_iter().enumerate() {
            pod.name = format!("q{i}");
            pod.node = None;
            scheduler.put_pod(&pod.object());
            let expected = plain(&nodes, &placed, &pod);
            match scheduler.schedule(Instant(0), 10).pop() {
                Some(Outcome::Assigned(assignment)) => {
                    let best = expected.values().max().copied();
                    prop_assert_eq!(expected.get(assignment.node.as_str()).copied(), best, "{:?}", expected);
                    pod.node = Some(assignment.node.to_string());
                    placed.insert(pod.name.clone(), pod);
                }
                Some(Outcome::Unschedulable(_)) => prop_assert!(expected.is_empty(), "{:?}", expected),
                None => prop_assert!(false, "the pod was not tried"),
            }
        }
        // a second run on the result changes nothing
        prop_assert!(scheduler.schedule(Instant(0), 10).iter().all(|o| matches!(o, Outcome::Unschedulable(_))));
    }

    #[test]
    fn the_same_seed_gives_the_same_plan(pods in prop::collection::vec(pod(), 1..12), list in prop::collection::vec(node(), 1..8), seed: u64) {
        let run = || {
            let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(seed)));
            list.iter().for_each(|n| scheduler.put_node(&n.object()));
            for (i, pod) in pods.iter().enumerate() {
                scheduler.put_pod(&PodSpec { name: format!("q{i}"), node: None, ..pod.clone() }.object());
            }
            scheduler.schedule(Instant(0), 100)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_failed_binding_gives_the_room_back() {
    let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(1)));
    scheduler.put_node(&value(
        r#"{"metadata":{"name":"n"},"status":{"allocatable":{"cpu":"1","memory":"1Gi","pods":"1"}}}"#,
    ));
    let pod = value(
        r#"{"metadata":{"namespace":"d","name":"p","uid":"u"},"spec":{"schedulerName":"default-scheduler","containers":[{"name":"c"}]}}"#,
    );
    scheduler.put_pod(&pod);
    let Some(Outcome::Assigned(assignment)) = scheduler.schedule(Instant(0), 1).pop() else { panic!("no assignment") };
    assert_eq!(scheduler.nodes().pods[0], 1);
    scheduler.forget(&assignment, Instant(0));
    assert_eq!(scheduler.nodes().pods[0], 0);
    assert!(scheduler.schedule(Instant(0), 1).is_empty(), "it backs off first");
    assert!(matches!(scheduler.schedule(Instant(2_000_000_000), 1).pop(), Some(Outcome::Assigned(_))));
}

#[test]
fn reasons_are_counted_in_kube_schedulers_words() {
    let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(1)));
    let pod = value(
        r#"{"metadata":{"namespace":"d","name":"p","uid":"u"},"spec":{"schedulerName":"default-scheduler","nodeSelector":{"x":"y"},
            "containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}}"#,
    );
    scheduler.put_pod(&pod);
    let message = |outcomes: Vec<Outcome>| match outcomes.into_iter().next() {
        Some(Outcome::Unschedulable(why)) => why.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(scheduler.schedule(Instant(0), 1)), "no nodes available to schedule pods");
    let node = |name: &str, more: &str| {
        value(&format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"x":"y"}}}},{more}"status":{{"allocatable":{{"cpu":"2","memory":"1Gi","pods":"9"}}}}}}"#
        ))
    };
    scheduler.put_node(&node("a", ""));
    scheduler.put_node(&node("b", ""));
    scheduler.put_node(&node("c", r#""spec":{"unschedulable":true},"#));
    scheduler.put_node(&value(
        r#"{"metadata":{"name":"d"},"status":{"allocatable":{"cpu":"9","memory":"1Gi","pods":"9"}}}"#,
    ));
    let later = Instant(10_000_000_000);
    assert_eq!(
        message(scheduler.schedule(later, 1)),
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable, 2 Insufficient cpu."
    );
}

/// Pods name their node themselves, and ask for all that a number holds: sums overflow, and must come back to where they were.
#[test]
fn absurd_requests_on_a_node_end_nothing_and_leave_nothing_behind() {
    let mut scheduler = Scheduler::new(Options::default(), Box::new(Counter(1)));
    for name in ["a", "b"] {
        scheduler.put_node(&value(&format!(
            r#"{{"metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"2","memory":"1Gi","x.io/y":"2","pods":"9"}}}}}}"#
        )));
    }
    let pod = |name: &str, node: &str, amount: &str| {
        value(&format!(
            r#"{{"metadata":{{"namespace":"d","name":"{name}","uid":"{name}"}},"spec":{{{node}"schedulerName":"default-scheduler",
                "containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{amount}","memory":"{amount}","x.io/y":"{amount}"}}}}}}]}}}}"#
        ))
    };
    let fresh = scheduler.feasible_and_scores(&pod("asks", "", "1"));
    for name in ["0", "1", "2"] {
        scheduler.put_pod(&pod(name, r#""nodeName":"a","#, "9223372036854775807"));
        scheduler.feasible_and_scores(&pod("asks", "", "1"));
    }
    for name in ["1", "0", "2"] {
        scheduler.remove_pod("d", name);
        scheduler.feasible_and_scores(&pod("asks", "", "1"));
    }
    assert_eq!(scheduler.feasible_and_scores(&pod("asks", "", "1")), fresh);
    assert_eq!(fresh.len(), 2);
}
