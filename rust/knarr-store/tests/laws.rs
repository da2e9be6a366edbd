//! Laws: reads at a revision equal a naive model, transactions have etcd's semantics, a snapshot restores the same state, and
//! superseded versions cost little and read back unchanged.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use knarr_base::{LogIndex, MemberId, Revision};
use knarr_store::{
    Answer, Batch, Cmp, Command, Compare, KeySpace, Machine, MemoryStore, Op, OpResult, StoreError, Txn,
    encode_command, put,
};
use proptest::prelude::*;

const SPACE: KeySpace = KeySpace::Cluster;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8, u8),
    /// Puts if the key was last changed at its newest revision (true) or at one that it never had.
    Guarded(u8, bool),
    Compact(u8),
    Maintain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), (1u8..4).prop_map(|byte| vec![byte; 1_200])];
    let step = prop_oneof![
        6 => (0u8..12, value).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0u8..12, 0u8..12).prop_map(|(from, to)| Step::Delete(from, to)),
        2 => (0u8..12, any::<bool>()).prop_map(|(key, holds)| Step::Guarded(key, holds)),
        1 => any::<u8>().prop_map(Step::Compact),
        1 => Just(Step::Maintain),
    ];
    proptest::collection::vec(step, 1..120)
}

fn key(number: u8) -> Bytes {
    Bytes::from(format!("k{number:02}"))
}

type State = BTreeMap<Bytes, (Bytes, u64, u64, u64)>;

/// Runs the steps on a store and on a map, remembering the map at every revision.
fn live(steps: &[Step]) -> (std::sync::Arc<MemoryStore>, Vec<State>) {
    let store = MemoryStore::new();
    let mut states: Vec<State> = vec![State::new(), State::new()];
    let write = |state: &mut State, key: Bytes, value: Bytes, revision: u64| {
        let (created, version) = state.get(&key).map_or((revision, 0), |old| (old.1, old.3));
        state.insert(key, (value, created, revision, version + 1));
    };
    for step in steps {
        let mut state = states.last().unwrap().clone();
        let revision = states.len() as u64;
        match step {
            Step::Put(number, value) => {
                store.txn_now(put(SPACE, key(*number), value.clone())).unwrap();
                write(&mut state, key(*number), value.clone().into(), revision);
                states.push(state);
            }
            Step::Delete(from, to) => {
                let (from, to) = (key(*from), key(*to));
                let op = Op::Delete { from: from.clone(), to: Some(to.clone()) };
                let txn = Txn { space: SPACE, compare: vec![], then: vec![op], otherwise: vec![] };
                let outcome = store.txn_now(txn).unwrap();
                let gone: Vec<Bytes> = state.keys().filter(|key| **key >= from && **key < to).cloned().collect();
                let OpResult::Delete { deleted } = &outcome.results[0] else { panic!("{outcome:?}") };
                assert_eq!(deleted.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), gone);
                if !gone.is_empty() {
                    gone.iter().for_each(|key| drop(state.remove(key)));
                    states.push(state);
                }
                assert_eq!(outcome.revision.0, states.len() as u64 - 1, "no change, no revision");
            }
            Step::Guarded(number, holds) => {
                let found = state.get(&key(*number)).map_or(0, |old| old.2);
                let wanted = if *holds { found } else { found + 1 };
                let txn = Txn {
                    space: SPACE,
                    compare: vec![Compare::ModRevision {
                        key: key(*number),
                        op: Cmp::Equal,
                        revision: Revision(wanted),
                    }],
                    then: vec![Op::Put { key: key(*number), value: "guarded".into(), lease: 0 }],
                    otherwise: vec![Op::Range { from: key(*number), to: None, limit: 0 }],
                };
                let outcome = store.txn_now(txn).unwrap();
                assert_eq!(outcome.succeeded, *holds);
                if *holds {
                    write(&mut state, key(*number), "guarded".into(), revision);
                    states.push(state);
                } else {
                    let OpResult::Range(page) = &outcome.results[0] else { panic!("{outcome:?}") };
                    assert_eq!(page.count, u64::from(found > 0));
                }
            }
            Step::Compact(part) => {
                let to = Revision(revision * u64::from(*part) / 512);
                store.compact(SPACE, to).unwrap();
            }
            Step::Maintain => store.machine().maintain(|_| Revision(u64::MAX)),
        }
    }
    (store, states)
}

fn check(machine: &Machine, states: &[State]) {
    let compacted = machine.compacted(SPACE);
    let newest = Revision(states.len() as u64 - 1);
    assert_eq!(machine.revision(SPACE), newest);
    for at in compacted.0.max(1)..=newest.0 {
        let (page, _) = machine.range(SPACE, b"", b"", Some(Revision(at)), 0).unwrap();
        let found: State = page
            .records
            .iter()
            .map(|(key, it)| (key.clone(), (it.value.clone(), it.create_revision.0, it.mod_revision.0, it.version)))
            .collect();
        assert_eq!(found, states[at as usize], "at {at}");
        let (part, _) = machine.range(SPACE, b"k03", b"k09", Some(Revision(at)), 2).unwrap();
        let inside = states[at as usize].range(key(3)..key(9)).count();
        assert_eq!((part.records.len(), part.more), (inside.min(2), inside > 2));
        assert!(part.more || part.count == inside as u64);
        let mut seen = Vec::new();
        let visited = machine.visit(SPACE, b"k03", b"k09", Some(Revision(at)), &mut |key, _| {
            seen.push(key.clone());
            seen.len() < 3
        });
        assert_eq!(visited.unwrap(), Revision(at));
        let wanted: Vec<_> = states[at as usize].range(key(3)..key(9)).map(|(key, _)| key.clone()).take(3).collect();
        assert_eq!(seen, wanted);
    }
    if compacted.0 > 1 {
        let old = machine.get(SPACE, b"k00", Some(Revision(compacted.0 - 1)));
        assert!(matches!(old, Err(StoreError::Compacted { .. })));
    }
    assert!(matches!(machine.get(SPACE, b"k00", Some(newest.next())), Err(StoreError::FutureRevision { .. })));
    let changes = machine.history(SPACE, compacted.next()).unwrap();
    for change in &changes {
        let at = change.revision.0 as usize;
        assert_eq!(change.record.as_ref().map(|it| &it.value), states[at].get(&change.key).map(|it| &it.0));
        assert_eq!(
            change.previous.as_ref().map(|it| it.mod_revision.0),
            states[at - 1].get(&change.key).map(|it| it.2)
        );
    }
    assert_eq!(machine.digest(), machine.audit());
    assert_eq!(machine.audit_quietly(SPACE), Some(true));
}

fn restored(machine: &Machine) -> Machine {
    let pin = machine.pin();
    let mut pages = Vec::new();
    let keep = |page| {
        pages.push(Bytes::from(page));
        Ok::<_, ()>(())
    };
    machine.pages(&pin, keep).unwrap();
    machine.unpin(pin);
    let mut pages = pages.into_iter();
    Machine::restore(|| pages.next()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn reads_equal_a_naive_model_and_a_snapshot_restores_them(steps in steps()) {
        let (store, states) = live(&steps);
        check(store.machine(), &states);
        let again = restored(store.machine());
        check(&again, &states);
        prop_assert_eq!(again.digest(), store.machine().digest());
        again.maintain(|_| Revision(u64::MAX));
        check(&again, &states);
        // The accounts agree however the state came about.
        store.machine().maintain(|_| Revision(u64::MAX));
        let (one, other) = (store.machine().usage(SPACE), again.usage(SPACE));
        prop_assert_eq!((one.keys, one.live_bytes, one.changes), (other.keys, other.live_bytes, other.changes));
    }

    #[test]
    fn damaged_entries_are_refused_and_change_nothing(cut in 0usize..60, flip in any::<u8>()) {
        let machine = Machine::new();
        let command = encode_command(&Command::Txn(put(SPACE, "key", "some value"))).unwrap();
        let mut batch = Batch::new(MemberId(1), 1, 1);
        batch.push(1, &command);
        let mut data = batch.into_data();
        data.truncate(cut.max(1));
        let last = data.len() - 1;
        data[last] ^= flip;
        if machine.apply(LogIndex(1), data.into()).is_err() {
            prop_assert_eq!((machine.applied(), machine.revision(SPACE)), (LogIndex(0), Revision(1)));
        }
    }
}

#[test]
fn a_repeated_proposal_is_applied_once_and_stragglers_of_a_former_life_never() {
    let machine = Machine::new();
    let mut index = 0;
    let mut apply = |incarnation: u64, floor: u64, sequence: u64| {
        index += 1;
        let mut batch = Batch::new(MemberId(1), incarnation, floor);
        batch.push(sequence, &encode_command(&Command::Txn(put(SPACE, "a", "b"))).unwrap());
        machine.apply(LogIndex(index), batch.into_data().into()).unwrap().len()
    };
    assert_eq!(
        [apply(5, 1, 1), apply(5, 1, 1), apply(5, 1, 3), apply(5, 1, 2), apply(5, 3, 2), apply(5, 3, 3)],
        [1, 0, 1, 1, 0, 0]
    );
    assert_eq!([apply(6, 1, 1), apply(5, 1, 9), apply(6, 1, 2)], [1, 0, 1]);
    assert_eq!(machine.revision(SPACE), Revision(6));
}

#[test]
fn transactions_have_etcds_semantics() {
    let store = MemoryStore::new();
    let run = |then: Vec<Op>| store.txn_now(Txn { space: SPACE, compare: vec![], then, otherwise: vec![] });
    let put = |key: &'static str| Op::Put { key: key.into(), value: "v".into(), lease: 0 };
    let delete =
        |from: &'static str, to: Option<&'static str>| Op::Delete { from: from.into(), to: to.map(Into::into) };
    let duplicate = Err(StoreError::DuplicateKey { key: "a".into() });
    assert_eq!(run(vec![put("a"), put("a")]), duplicate);
    assert_eq!(run(vec![put("a"), delete("a", None)]), duplicate);
    assert_eq!(run(vec![delete("A", Some("b")), put("a")]), duplicate);
    assert_eq!(run(vec![put("")]), Err(StoreError::EmptyKey));
    assert_eq!(store.machine().revision(SPACE), Revision(1), "a refused transaction changes nothing");
    // One revision for all, and a later operation sees an earlier one.
    let outcome = run(vec![
        put("a"),
        put("b"),
        Op::Range { from: "a".into(), to: Some(Bytes::new()), limit: 1 },
        delete("x", None),
    ])
    .unwrap();
    assert_eq!(outcome.revision, Revision(2));
    let OpResult::Range(page) = &outcome.results[2] else { panic!("{outcome:?}") };
    assert_eq!((page.records.len(), page.more, page.count), (1, true, 2));
    let value = |op| Compare::Value { key: "absent".into(), op, value: "".into() };
    for op in [Cmp::Equal, Cmp::NotEqual, Cmp::Less, Cmp::Greater] {
        let txn = Txn { space: SPACE, compare: vec![value(op)], then: vec![], otherwise: vec![] };
        assert!(!store.txn_now(txn).unwrap().succeeded, "an absent key has no value to compare");
    }
    let large = Op::Put { key: "a".into(), value: vec![0; 1_600_000].into(), lease: 0 };
    assert!(matches!(run(vec![large]), Err(StoreError::TooLarge { .. })));
    assert!(matches!(run(vec![put("a"); 1_025]), Err(StoreError::TooManyOps { .. })));
    assert_eq!(
        store.execute(&Command::LeaseGrant { lease: 7, seconds: 0 }),
        Err(StoreError::LeaseTooLong { seconds: 0 })
    );
    assert_eq!(
        run(vec![Op::Put { key: "l".into(), value: "v".into(), lease: 7 }]),
        Err(StoreError::LeaseNotFound { lease: 7 })
    );
    assert_eq!(store.execute(&Command::LeaseGrant { lease: 7, seconds: 5 }), Ok(Answer::Done));
    run(vec![Op::Put { key: "l".into(), value: "v".into(), lease: 7 }]).unwrap();
    store.execute(&Command::LeaseRevoke { lease: 7 }).unwrap();
    assert_eq!(store.machine().get(SPACE, b"l", None), Ok(None));
}

#[test]
fn five_versions_of_a_pod_cost_well_under_eight_kilobytes() {
    // A Pod's life: same text, a status that changes in the middle; as incompressible as uids and hashes make it.
    let mut text: Vec<u8> = (0..2_200u32).map(|at| b'a' + (knarr_base::rng::mix(u64::from(at)) % 26) as u8).collect();
    let store = MemoryStore::new();
    let keys = 500u32;
    for version in 0..5u8 {
        text[900..1_100].fill(b'0' + version);
        text[1_500..1_540].fill(b'5' - version);
        for number in 0..keys {
            store.txn_now(put(SPACE, format!("core/pods/default/pod-{number:06}"), text.clone())).unwrap();
        }
    }
    store.machine().maintain(|_| Revision(u64::MAX));
    let usage = store.machine().usage(SPACE);
    let each = (usage.live_bytes + usage.history_bytes) / keys as usize;
    assert!(each < 5_000, "{each} bytes a pod: {usage:?}");
    let (page, _) = store.machine().range(SPACE, b"", b"", Some(Revision(u64::from(keys) + 1)), 1).unwrap();
    assert_eq!(page.records[0].1.value[900..905], *b"00000");
}
