//! [`Map`]: an object's fields in the order they were inserted.
//!
//! Nearly every map of a Kubernetes object has fewer than 16 keys: a vector that is searched from its start beats any hash table there. A
//! ConfigMap or an annotation-heavy object may hold tens of thousands: from `SMALL_MAX` on an index of hashes stands beside the
//! vector, so that n insertions cost n. Both forms take 24 bytes (the vector's capacity has room for the tag).

use crate::{Str, Value};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Maps with more keys than this keep an index.
const SMALL_MAX: usize = 16;

/// An insertion-ordered map from string to [`Value`]. Equality does not regard order, as in JSON.
#[derive(Clone)]
pub struct Map(Repr);

#[derive(Clone)]
enum Repr {
    Small(Vec<(Str, Value)>),
    Large(Box<Large>),
}

#[derive(Clone)]
struct Large {
    entries: Vec<(Str, Value)>,
    index: HashTable<u32>,
}

/// The seed is fixed, so that runs are equal. Collisions can be sought offline by an attacker: bounded by the request body limit, and
/// the table holds positions that are compared by full key, so a collision costs time only.
fn hash(key: &str) -> u64 {
    FixedState::with_seed(0x6b6e_6172_7221).hash_one(key)
}

impl Large {
    fn build(entries: Vec<(Str, Value)>) -> Self {
        let mut large = Large { index: HashTable::with_capacity(entries.len()), entries };
        large.reindex();
        large
    }

    fn reindex(&mut self) {
        self.index.clear();
        for (position, (key, _)) in self.entries.iter().enumerate() {
            let entries = &self.entries;
            self.index.insert_unique(hash(key), position as u32, |&p| hash(&entries[p as usize].0));
        }
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.index.find(hash(key), |&p| self.entries[p as usize].0 == key).map(|&p| p as usize)
    }

    fn push(&mut self, key: Str, value: Value) {
        let position = self.entries.len() as u32;
        let h = hash(&key);
        self.entries.push((key, value));
        let entries = &self.entries;
        self.index.insert_unique(h, position, |&p| hash(&entries[p as usize].0));
    }
}

impl Default for Map {
    fn default() -> Self {
        Map::new()
    }
}

impl Map {
    /// An empty map; allocates nothing.
    pub const fn new() -> Self {
        Map(Repr::Small(Vec::new()))
    }

    pub fn with_capacity(n: usize) -> Self {
        Map(Repr::Small(Vec::with_capacity(n)))
    }

    fn entries(&self) -> &Vec<(Str, Value)> {
        match &self.0 {
            Repr::Small(entries) => entries,
            Repr::Large(large) => &large.entries,
        }
    }

    fn entries_mut(&mut self) -> &mut Vec<(Str, Value)> {
        match &mut self.0 {
            Repr::Small(entries) => entries,
            Repr::Large(large) => &mut large.entries,
        }
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.0 {
            Repr::Small(entries) => entries.iter().position(|(k, _)| k == key),
            Repr::Large(large) => large.find(key),
        }
    }

    pub fn len(&self) -> usize {
        self.entries().len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|p| &self.entries()[p].1)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let p = self.position(key)?;
        Some(&mut self.entries_mut()[p].1)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Set a key. A known key keeps its place and its former value is returned; a new one goes to the end.
    pub fn insert(&mut self, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.position(&key) {
            Some(p) => Some(std::mem::replace(&mut self.entries_mut()[p].1, value)),
            None => {
                self.push_new(key, value);
                None
            }
        }
    }

    /// Append a key known to be absent.
    pub(crate) fn push_new(&mut self, key: Str, value: Value) {
        match &mut self.0 {
            Repr::Small(entries) if entries.len() < SMALL_MAX => entries.push((key, value)),
            Repr::Small(entries) => {
                let mut large = Large::build(std::mem::take(entries));
                large.push(key, value);
                self.0 = Repr::Large(Box::new(large));
            }
            Repr::Large(large) => large.push(key, value),
        }
    }

    /// The value of a key, inserted as `Null` at the end if it was absent.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        let p = match self.position(key) {
            Some(p) => p,
            None => {
                self.push_new(key.into(), Value::Null);
                self.len() - 1
            }
        };
        &mut self.entries_mut()[p].1
    }

    /// Remove a key; the order of the others is kept. Linear: use [`Map::retain`] to remove many.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let p = self.position(key)?;
        match &mut self.0 {
            Repr::Small(entries) => Some(entries.remove(p).1),
            Repr::Large(large) => {
                let (_, value) = large.entries.remove(p);
                large.reindex();
                Some(value)
            }
        }
    }

    /// Keep the entries for which `keep` answers true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        match &mut self.0 {
            Repr::Small(entries) => entries.retain_mut(|(k, v)| keep(k, v)),
            Repr::Large(large) => {
                large.entries.retain_mut(|(k, v)| keep(k, v));
                large.reindex();
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Map::new();
    }

    /// Set a key; a new one goes to `index` (at most the end), a known one keeps its place and its former value is returned.
    pub fn insert_at(&mut self, index: usize, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        match &mut self.0 {
            Repr::Small(entries) if entries.len() < SMALL_MAX => entries.insert(index.min(entries.len()), (key, value)),
            _ => {
                self.push_new(key, value);
                let entries = self.entries_mut();
                let index = index.min(entries.len() - 1);
                entries[index..].rotate_right(1);
                self.reindex();
            }
        }
        None
    }

    /// Order the entries by what `rank` says of their keys; equal ranks keep their order.
    pub fn sort_by_key<K: Ord>(&mut self, mut rank: impl FnMut(&str) -> K) {
        self.entries_mut().sort_by_key(|(key, _)| rank(key));
        self.reindex();
    }

    /// Order the entries by key, bytewise.
    pub fn sort_keys(&mut self) {
        self.entries_mut().sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        self.reindex();
    }

    fn reindex(&mut self) {
        if let Repr::Large(large) = &mut self.0 {
            large.reindex();
        }
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter(self.entries().iter())
    }

    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Str, &mut Value)> {
        self.entries_mut().iter_mut().map(|(k, v)| (&*k, v))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Str> + DoubleEndedIterator {
        self.entries().iter().map(|(k, _)| k)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> + DoubleEndedIterator {
        self.entries().iter().map(|(_, v)| v)
    }

    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Value> {
        self.entries_mut().iter_mut().map(|(_, v)| v)
    }

    /// The entry at a position of the insertion order.
    pub fn at(&self, position: usize) -> Option<(&Str, &Value)> {
        self.entries().get(position).map(|(k, v)| (k, v))
    }
}

/// Entries in insertion order.
#[derive(Clone)]
pub struct Iter<'a>(std::slice::Iter<'a, (Str, Value)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Str, &'a Value);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(k, v)| (k, v))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(k, v)| (k, v))
    }
}
impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Str, &'a Value);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Map {
    type Item = (Str, Value);
    type IntoIter = std::vec::IntoIter<(Str, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Repr::Small(entries) => entries.into_iter(),
            Repr::Large(large) => large.entries.into_iter(),
        }
    }
}

impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        let mut map = Map::new();
        map.extend(iter);
        map
    }
}

impl<K: Into<Str>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, iter: I) {
        for (k, v) in iter {
            self.insert(k, v);
        }
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(k) == Some(v))
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Goal: the map agrees with a plain list of pairs, across the border between its two forms. Method: random operations on both.
    fn model_remove(model: &mut Vec<(String, i64)>, key: &str) -> Option<i64> {
        let p = model.iter().position(|(k, _)| k == key)?;
        Some(model.remove(p).1)
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_pairs(ops in proptest::collection::vec((0u8..6, 0u8..40, any::<i64>()), 0..200)) {
            let (mut map, mut model) = (Map::new(), Vec::<(String, i64)>::new());
            for (op, key, n) in ops {
                let key = format!("key-{key}");
                match op {
                    0 | 1 => {
                        let before = map.insert(key.as_str(), n);
                        let expected = match model.iter_mut().find(|(k, _)| *k == key) {
                            Some(pair) => Some(std::mem::replace(&mut pair.1, n)),
                            None => { model.push((key, n)); None }
                        };
                        prop_assert_eq!(before, expected.map(Value::Int));
                    }
                    4 => {
                        let at = (n.unsigned_abs() % 30) as usize;
                        let before = map.insert_at(at, key.as_str(), n);
                        let expected = match model.iter_mut().find(|(k, _)| *k == key) {
                            Some(pair) => Some(std::mem::replace(&mut pair.1, n)),
                            None => { model.insert(at.min(model.len()), (key, n)); None }
                        };
                        prop_assert_eq!(before, expected.map(Value::Int));
                    }
                    5 => {
                        map.sort_by_key(|k| std::cmp::Reverse(k.len()));
                        model.sort_by_key(|(k, _)| std::cmp::Reverse(k.len()));
                    }
                    2 => prop_assert_eq!(map.remove(&key), model_remove(&mut model, &key).map(Value::Int)),
                    _ => {
                        map.retain(|_, v| v.as_i64() != Some(n) && v.as_i64().is_some_and(|v| v % 7 != 0));
                        model.retain(|(_, v)| *v != n && v % 7 != 0);
                    }
                }
                let got: Vec<(String, i64)> = map.iter().filter_map(|(k, v)| Some((k.to_string(), v.as_i64()?))).collect();
                prop_assert_eq!(&got, &model);
                for (k, v) in &model {
                    prop_assert_eq!(map.get(k), Some(&Value::Int(*v)));
                }
            }
        }
    }

    #[test]
    fn many_keys_are_not_quadratic() {
        let mut map = Map::new();
        for i in 0..200_000 {
            map.insert(format!("key-{i}"), i);
        }
        assert_eq!(map.len(), 200_000);
        assert_eq!(map.get("key-199999"), Some(&Value::Int(199_999)));
    }

    #[test]
    fn sizes_stay_small() {
        assert_eq!(size_of::<Map>(), 24);
        assert_eq!(size_of::<Value>(), 32);
    }

    #[test]
    fn equality_does_not_regard_order() {
        let a: Map = [("a", 1), ("b", 2)].into_iter().collect();
        let b: Map = [("b", 2), ("a", 1)].into_iter().collect();
        assert_eq!(a, b);
    }
}
