//! Pods that wait to be scheduled.
//!
//! ```text
//!                 ready now                      no node fits
//!   (active) ----------------> schedule() ----------------------> (parked)
//!      ^                                                             |
//!      |  back-off over                        something changed, or five minutes passed
//!      +-------------------- (backing off) <-------------------------+
//! ```
//!
//! Order: higher priority first, then who came first. Back-off: 1 s, doubled with each failure, 10 s at most.
//! Source: kube-scheduler 1.34, `backend/queue`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use knarr_base::Instant;
use knarr_value::Str;

use crate::HashMap;

const SECOND: u64 = 1_000_000_000;
const BACKOFF_INITIAL: u64 = SECOND;
const BACKOFF_MAX: u64 = 10 * SECOND;
const PARKED_MAX: u64 = 300 * SECOND;

/// `namespace/name`, shared by everything that names the pod.
pub type Key = Arc<str>;

/// Place in the active queue: lowest first.
type Place = (i64, u64);

#[derive(Debug)]
enum State {
    Active(Place),
    BackingOff { until: Instant },
    Parked { since: Instant },
}

#[derive(Debug)]
struct Waiting {
    uid: Str,
    priority: i64,
    came: u64,
    attempts: u32,
    failed_at: Instant,
    state: State,
}

/// Who waits, and for what.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: HashMap<Key, Waiting>,
    active: BTreeMap<Place, Key>,
    backing_off: BTreeSet<(Instant, Key)>,
    parked: BTreeSet<(Instant, Key)>,
    came: u64,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Pods ready to be tried.
    pub fn ready(&self) -> usize {
        self.active.len()
    }

    /// Add a pod, or note a change of one that waits; `changed`: in what decides where it may run.
    pub fn put(&mut self, key: &Key, uid: &Str, priority: i64, changed: bool) {
        if let Some(waiting) = self.waiting.get(key) {
            if waiting.uid == *uid {
                if changed || waiting.priority != priority {
                    let (attempts, came) = (waiting.attempts, waiting.came);
                    self.remove(key);
                    self.insert_active(key.clone(), uid.clone(), priority, came, attempts);
                }
                return;
            }
            self.remove(key);
        }
        self.came += 1;
        self.insert_active(key.clone(), uid.clone(), priority, self.came, 0);
    }

    pub fn remove(&mut self, key: &Key) {
        let Some(waiting) = self.waiting.remove(key) else { return };
        match waiting.state {
            State::Active(place) => drop(self.active.remove(&place)),
            State::BackingOff { until } => drop(self.backing_off.remove(&(until, key.clone()))),
            State::Parked { since } => drop(self.parked.remove(&(since, key.clone()))),
        }
    }

    /// Take the next pod to try. It stays known, so that `fail` counts its attempts; the caller removes it once it is assigned.
    pub fn next(&mut self, now: Instant) -> Option<Key> {
        self.wake(now);
        let (_, key) = self.active.pop_first()?;
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.attempts = waiting.attempts.saturating_add(1);
            waiting.state = State::Parked { since: now };
            self.parked.insert((now, key.clone()));
        }
        Some(key)
    }

    /// No node fitted: wait for a change.
    pub fn park(&mut self, key: &Key, now: Instant) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.failed_at = now;
        }
    }

    /// A pod that had left the queue and whose binding failed: try again after a back-off.
    pub fn put_back(&mut self, key: &Key, uid: &Str, priority: i64, now: Instant) {
        self.remove(key);
        self.came += 1;
        let state = State::Parked { since: now };
        self.parked.insert((now, key.clone()));
        let waiting = Waiting { uid: uid.clone(), priority, came: self.came, attempts: 1, failed_at: now, state };
        self.waiting.insert(key.clone(), waiting);
        self.release(key);
    }

    /// Something changed that may let parked pods in: all of them back into the queue, when their back-off is over.
    pub fn release_parked(&mut self) {
        for (_, key) in std::mem::take(&mut self.parked) {
            self.release(&key);
        }
    }

    /// When `next` may have something that it has not now.
    pub fn wakes_at(&self) -> Option<Instant> {
        let backing_off = self.backing_off.first().map(|(until, _)| *until);
        let parked = self.parked.first().map(|(since, _)| Instant(since.0.saturating_add(PARKED_MAX)));
        [backing_off, parked].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((since, key)) = self.parked.first().cloned() {
            if since.0.saturating_add(PARKED_MAX) > now.0 {
                break;
            }
            self.release(&key);
        }
        while let Some((until, key)) = self.backing_off.first().cloned() {
            if until > now {
                break;
            }
            self.backing_off.pop_first();
            self.activate(&key);
        }
    }

    /// From parked to backing off.
    fn release(&mut self, key: &Key) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        if let State::Parked { since } = waiting.state {
            self.parked.remove(&(since, key.clone()));
        }
        let until = Instant(waiting.failed_at.0.saturating_add(backoff(waiting.attempts)));
        waiting.state = State::BackingOff { until };
        self.backing_off.insert((until, key.clone()));
    }

    fn activate(&mut self, key: &Key) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            let place = (waiting.priority.saturating_neg(), waiting.came);
            waiting.state = State::Active(place);
            self.active.insert(place, key.clone());
        }
    }

    fn insert_active(&mut self, key: Key, uid: Str, priority: i64, came: u64, attempts: u32) {
        let place = (priority.saturating_neg(), came);
        self.active.insert(place, key.clone());
        let state = State::Active(place);
        self.waiting.insert(key, Waiting { uid, priority, came, attempts, failed_at: Instant(0), state });
    }
}

/// How long a pod that failed `attempts` times waits, ns.
fn backoff(attempts: u32) -> u64 {
    // The fifth is at the bound already; a much larger shift would push bits out at the top.
    (BACKOFF_INITIAL << attempts.saturating_sub(1).min(4)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::from(name)
    }

    #[test]
    fn higher_priority_first_then_who_came_first() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
            queue.put(&key(name), &Str::from(name), priority, false);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.next(Instant(0))).map(|k| k.to_string()).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
    }

    #[test]
    fn a_parked_pod_waits_for_a_change_and_for_its_back_off() {
        let mut queue = Queue::default();
        let pod = key("a");
        queue.put(&pod, &Str::from("u"), 0, false);
        assert_eq!(queue.next(Instant(0)), Some(pod.clone()));
        queue.park(&pod, Instant(0));
        assert_eq!(queue.next(Instant(200 * SECOND)), None, "nothing changed");
        queue.release_parked();
        assert_eq!(queue.next(Instant(200 * SECOND)), Some(pod.clone()));
        queue.park(&pod, Instant(200 * SECOND));
        queue.release_parked();
        assert_eq!(queue.wakes_at(), Some(Instant(202 * SECOND)), "the second back-off is two seconds");
        assert_eq!(queue.next(Instant(201 * SECOND)), None);
        assert_eq!(queue.next(Instant(202 * SECOND)), Some(pod));
    }

    #[test]
    fn a_parked_pod_is_tried_again_after_five_minutes() {
        let mut queue = Queue::default();
        let pod = key("a");
        queue.put(&pod, &Str::from("u"), 0, false);
        queue.next(Instant(0));
        queue.park(&pod, Instant(0));
        assert_eq!(queue.wakes_at(), Some(Instant(PARKED_MAX)));
        assert_eq!(queue.next(Instant(PARKED_MAX)), Some(pod));
    }

    #[test]
    fn a_pod_made_again_under_its_name_starts_anew() {
        let mut queue = Queue::default();
        let pod = key("a");
        queue.put(&pod, &Str::from("u1"), 0, false);
        queue.next(Instant(0));
        queue.park(&pod, Instant(0));
        queue.put(&pod, &Str::from("u2"), 0, false);
        assert_eq!(queue.next(Instant(0)), Some(pod.clone()));
        queue.remove(&pod);
        assert!(queue.is_empty() && queue.wakes_at().is_none());
    }

    #[test]
    fn back_off_doubles_to_ten_seconds() {
        let seconds: Vec<_> = (1..=7).map(|n| backoff(n) / SECOND).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
        assert!((5..200).chain([u32::MAX]).all(|n| backoff(n) == BACKOFF_MAX));
    }
}
