//! Interned JSON texts, counted, with the parsed form of those that are label maps or owner lists.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::record::Uid;
use crate::scan::{Cursor, text_of, unescape};

/// A text in a pool; equal texts have equal atoms. 0 is the absent value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Atom(pub u32);

impl Atom {
    pub const ABSENT: Self = Self(0);

    pub fn is_absent(self) -> bool {
        self == Self::ABSENT
    }
}

/// Labels in the order of their JSON text.
pub type Labels = [(Box<str>, Box<str>)];

/// One entry of metadata.ownerReferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub uid: Uid,
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
    pub controller: bool,
}

/// The parsed form is shared by every record that holds the text: pods of one ReplicaSet have one list of owners.
#[derive(Debug)]
enum Parsed {
    Labels(Box<Labels>),
    Owners(Box<[Owner]>),
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    count: u32,
    parsed: Option<Box<Parsed>>,
}

#[derive(Debug, Default)]
pub struct Pool {
    entries: Vec<Entry>, // atom n is entries[n - 1]
    free: Vec<u32>,
    table: HashTable<u32>,
}

const HASH: FixedState = FixedState::with_seed(0);

impl Pool {
    /// The atom of a text, its count one higher.
    pub fn intern(&mut self, text: &[u8]) -> Atom {
        let hash = HASH.hash_one(text);
        let entries = &self.entries;
        if let Some(&at) = self.table.find(hash, |&at| &*entries[at as usize].text == text) {
            self.entries[at as usize].count += 1;
            return Atom(at + 1);
        }
        let entry = Entry { text: text.into(), count: 1, parsed: None };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 texts fit any memory")
            }
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |&at| HASH.hash_one(&*entries[at as usize].text));
        Atom(at + 1)
    }

    /// The atom of a text that some record holds.
    pub fn find(&self, text: &[u8]) -> Option<Atom> {
        let found = self.table.find(HASH.hash_one(text), |&at| &*self.entries[at as usize].text == text);
        found.map(|at| Atom(at + 1))
    }

    /// Counts one holder less; the last one frees the text.
    pub fn release(&mut self, atom: Atom) {
        if atom.is_absent() {
            return;
        }
        let at = atom.0 - 1;
        let entry = &mut self.entries[at as usize];
        entry.count -= 1;
        if entry.count == 0 {
            let hash = HASH.hash_one(&*entry.text);
            if let Ok(found) = self.table.find_entry(hash, |&other| other == at) {
                found.remove();
            }
            self.entries[at as usize] = Entry { text: Box::default(), count: 0, parsed: None };
            self.free.push(at);
        }
    }

    /// The JSON text; empty for the absent value.
    pub fn text(&self, atom: Atom) -> &[u8] {
        if atom.is_absent() { b"" } else { &self.entries[atom.0 as usize - 1].text }
    }

    /// Texts held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Parses the atom's text as labels, once. A text that is no map of strings has none.
    pub(crate) fn prepare_labels(&mut self, atom: Atom) {
        self.prepare(atom, |text| Parsed::Labels(parse_labels(text)));
    }

    pub(crate) fn prepare_owners(&mut self, atom: Atom) {
        self.prepare(atom, |text| Parsed::Owners(parse_owners(text)));
    }

    fn prepare(&mut self, atom: Atom, parse: impl FnOnce(&[u8]) -> Parsed) {
        if !atom.is_absent() {
            let entry = &mut self.entries[atom.0 as usize - 1];
            if entry.parsed.is_none() {
                entry.parsed = Some(Box::new(parse(&entry.text)));
            }
        }
    }

    /// Labels of an atom that was prepared as such; none otherwise.
    pub fn labels(&self, atom: Atom) -> &Labels {
        match self.parsed(atom) {
            Some(Parsed::Labels(labels)) => labels,
            _ => &[],
        }
    }

    /// Owners of an atom that was prepared as such; none otherwise.
    pub fn owners(&self, atom: Atom) -> &[Owner] {
        match self.parsed(atom) {
            Some(Parsed::Owners(owners)) => owners,
            _ => &[],
        }
    }

    fn parsed(&self, atom: Atom) -> Option<&Parsed> {
        if atom.is_absent() { None } else { self.entries[atom.0 as usize - 1].parsed.as_deref() }
    }
}

/// Pairs of a JSON object of strings.
pub(crate) fn parse_labels(text: &[u8]) -> Box<Labels> {
    let mut pairs = Vec::new();
    let outcome = Cursor::new(text).members(|key, at| {
        let range = at.skip()?;
        pairs.push((unescape(key).into(), text_of(&text[range]).into()));
        Ok(())
    });
    if outcome.is_err() {
        pairs.clear();
    }
    pairs.into_boxed_slice()
}

fn parse_owners(text: &[u8]) -> Box<[Owner]> {
    let mut owners = Vec::new();
    let outcome = Cursor::new(text).elements(|at| {
        let mut owner =
            Owner { uid: Uid::new(""), api_version: "".into(), kind: "".into(), name: "".into(), controller: false };
        at.members(|key, at| {
            let value = text_of(&text[at.skip()?]);
            match key {
                b"uid" => owner.uid = Uid::new(&value),
                b"apiVersion" => owner.api_version = value.into(),
                b"kind" => owner.kind = value.into(),
                b"name" => owner.name = value.into(),
                b"controller" => owner.controller = value == "true",
                _ => {}
            }
            Ok(())
        })?;
        owners.push(owner);
        Ok(())
    });
    if outcome.is_err() {
        owners.clear();
    }
    owners.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once_and_freed_with_its_last_holder() {
        let mut pool = Pool::default();
        let (a, b, c) = (pool.intern(b"\"x\""), pool.intern(b"\"x\""), pool.intern(b"\"y\""));
        assert_eq!(a, b);
        assert_ne!(a, c);
        pool.release(a);
        assert_eq!(pool.find(b"\"x\""), Some(b));
        pool.release(b);
        assert_eq!(pool.find(b"\"x\""), None);
        assert_eq!(pool.intern(b"\"z\""), a, "a freed place is used again");
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.text(c), b"\"y\"");
    }

    #[test]
    fn owners_and_labels_are_parsed_whole_or_not_at_all() {
        let owners = parse_owners(
            br#"[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"a","uid":"u","controller":true,"blockOwnerDeletion":true}]"#,
        );
        assert_eq!(owners.len(), 1);
        assert!(owners[0].controller && &*owners[0].kind == "ReplicaSet" && owners[0].uid == Uid::new("u"));
        assert!(parse_owners(b"{}").is_empty() && parse_labels(b"[").is_empty());
        assert_eq!(&*parse_labels(br#"{"a":"b","c/d":""}"#), &[("a".into(), "b".into()), ("c/d".into(), "".into())]);
    }
}
