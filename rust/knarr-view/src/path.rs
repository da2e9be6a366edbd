//! Declared field paths, compiled to a trie that one walk over an object's text fills.
//!
//! A path is dotted: `spec.nodeName`; a key with dots or slashes is quoted: `metadata.annotations['a.b/c']`; one element of a list
//! of objects is chosen by a member: `status.conditions[type=Ready].status`; of all elements the largest whole number is taken by
//! `status.containerStatuses[max].restartCount`. A path may name a whole subtree: `spec.template`.

use std::ops::Range;

use crate::Error;
use crate::scan::{Cursor, text_of};

/// Slots every projection has; the declared fields follow.
pub(crate) const LABELS: usize = 0;
pub(crate) const OWNERS: usize = 1;
pub(crate) const FIXED: usize = 2;
// Read into the draft, kept elsewhere in the record.
const NAME: usize = 0;
const NAMESPACE: usize = 1;
const UID: usize = 2;
const REVISION: usize = 3;
const IDENTITY: usize = 4;

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    fields: Vec<(Box<[u8]>, Node)>,
    /// Below every element; the largest number counts.
    max: Option<Box<Node>>,
    /// (member, value, below): for lists of objects.
    items: Vec<(Box<[u8]>, Box<str>, Node)>,
}

/// What is read of every object of one kind.
#[derive(Debug)]
pub struct Projection {
    root: Node,
    paths: Vec<String>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Named by a list, or ADDED, or MODIFIED: it is so now.
    Put,
    Deleted,
    Bookmark,
}

/// One object's wanted ranges; empty range: absent.
#[derive(Debug)]
pub struct Draft {
    identity: [Range<usize>; IDENTITY],
    pub(crate) slots: Box<[Range<usize>]>,
}

#[derive(Debug)]
pub struct Change {
    pub kind: Kind,
    pub draft: Draft,
}

/// Changes with the bytes they point into.
#[derive(Debug)]
pub struct Batch {
    pub text: Box<[u8]>,
    pub changes: Vec<Change>,
}

/// What one list answer said beside its items.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub resource_version: String,
    pub continue_token: String,
}

impl Batch {
    /// The newest revision of its changes, bookmarks included; 0 when it has none.
    pub fn newest_revision(&self) -> u64 {
        self.changes.iter().map(|change| change.draft.revision(&self.text)).max().unwrap_or(0)
    }
}

impl Draft {
    pub(crate) fn name<'t>(&self, text: &'t [u8]) -> std::borrow::Cow<'t, str> {
        text_of(&text[self.identity[NAME].clone()])
    }
    pub(crate) fn namespace<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let raw = &text[self.identity[NAMESPACE].clone()];
        if raw.len() >= 2 { &raw[1..raw.len() - 1] } else { raw }
    }
    pub(crate) fn uid<'t>(&self, text: &'t [u8]) -> std::borrow::Cow<'t, str> {
        text_of(&text[self.identity[UID].clone()])
    }
    pub(crate) fn revision(&self, text: &[u8]) -> u64 {
        text_of(&text[self.identity[REVISION].clone()]).parse().unwrap_or(0)
    }
}

impl Projection {
    /// paths: as declared; duplicates share a slot. Errors: a path that cannot be parsed.
    pub fn new(paths: &[&str]) -> Result<Self, Error> {
        let mut projection = Self { root: Node::default(), paths: Vec::new() };
        for path in ["metadata.labels", "metadata.ownerReferences"].iter().chain(paths) {
            if projection.slot(path).is_none() {
                let slot = projection.paths.len();
                projection.add(path, slot + IDENTITY)?;
                projection.paths.push((*path).to_owned());
            }
        }
        for (at, path) in
            ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion"].iter().enumerate()
        {
            if projection.slot(path).is_some() {
                return Err(Error::Path { path: (*path).to_owned(), why: "every row has it already" });
            }
            projection.add(path, at)?;
        }
        Ok(projection)
    }

    /// The slot of a declared path.
    pub fn slot(&self, path: &str) -> Option<usize> {
        self.paths.iter().position(|known| known == path)
    }

    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    fn add(&mut self, path: &str, slot: usize) -> Result<(), Error> {
        let mut node = &mut self.root;
        let mut rest = path;
        let fail = |why| Err(Error::Path { path: path.to_owned(), why });
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix("['") {
                let Some((key, after)) = quoted.split_once("']") else { return fail("a quoted key does not end") };
                node = child(node, key);
                rest = after.strip_prefix('.').unwrap_or(after);
            } else if let Some(inner) = rest.strip_prefix('[') {
                let Some((choice, after)) = inner.split_once(']') else { return fail("a bracket does not close") };
                if choice == "max" {
                    node = node.max.get_or_insert_default();
                    rest = after.strip_prefix('.').unwrap_or(after);
                    continue;
                }
                let Some((member, value)) = choice.split_once('=') else {
                    return fail("[member=value] or [max] was expected");
                };
                node = item(node, member, value);
                rest = after.strip_prefix('.').unwrap_or(after);
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return fail("a name is empty");
                }
                node = child(node, &rest[..end]);
                rest = &rest[end..];
                rest = rest.strip_prefix('.').unwrap_or(rest);
            }
        }
        if path.is_empty() || node.slot.is_some() {
            return fail("it is empty or twice the same place");
        }
        node.slot = Some(slot);
        Ok(())
    }

    fn draft(&self, text: &[u8], cursor: &mut Cursor<'_>) -> Result<Draft, Error> {
        let mut ranges = vec![0..0; IDENTITY + self.paths.len()];
        walk(&self.root, text, cursor, &mut ranges)?;
        let slots = ranges.split_off(IDENTITY).into_boxed_slice();
        let identity = <[Range<usize>; IDENTITY]>::try_from(ranges).unwrap_or_default();
        Ok(Draft { identity, slots })
    }

    /// One list answer: `{"metadata":{...},"items":[...]}`, members in any order.
    pub fn parse_list(&self, body: &[u8]) -> Result<(Page, Batch), Error> {
        let (mut page, mut changes) = (Page::default(), Vec::new());
        Cursor::new(body).members(|key, at| match key {
            b"metadata" if at.peek() == b'{' => at.members(|key, at| {
                let value = text_of(&body[at.skip()?]).into_owned();
                match key {
                    b"resourceVersion" => page.resource_version = value,
                    b"continue" => page.continue_token = value,
                    _ => {}
                }
                Ok(())
            }),
            b"items" if at.peek() == b'[' => at.elements(|at| {
                changes.push(Change { kind: Kind::Put, draft: self.draft(body, at)? });
                Ok(())
            }),
            _ => at.skip().map(drop),
        })?;
        for change in &changes {
            checked(&change.draft, body)?;
        }
        Ok((page, Batch { text: body.into(), changes }))
    }

    /// Whole lines of a watch: `{"type":"ADDED","object":{...}}` each. An ERROR event is the error `Status`.
    pub fn parse_watch(&self, lines: &[u8]) -> Result<Batch, Error> {
        let mut changes = Vec::new();
        let mut cursor = Cursor::new(lines);
        while cursor.peek() != 0 {
            let (mut kind, mut object) = (None, None);
            cursor.members(|key, at| {
                match key {
                    b"type" => kind = Some(&lines[at.skip()?]),
                    b"object" => {
                        let mut ahead = *at;
                        let range = at.skip()?;
                        object = Some((self.draft(lines, &mut ahead), range));
                    }
                    _ => {
                        at.skip()?;
                    }
                }
                Ok(())
            })?;
            let Some((draft, range)) = object else {
                return Err(Error::Json { offset: cursor.offset(), why: "a watch event without an object" });
            };
            let kind = match kind {
                Some(b"\"ADDED\"" | b"\"MODIFIED\"") => Kind::Put,
                Some(b"\"DELETED\"") => Kind::Deleted,
                Some(b"\"BOOKMARK\"") => Kind::Bookmark,
                Some(b"\"ERROR\"") => return Err(Error::Status(String::from_utf8_lossy(&lines[range]).into())),
                _ => return Err(Error::Json { offset: range.start, why: "an unknown type of watch event" }),
            };
            let draft = draft?;
            if kind != Kind::Bookmark {
                checked(&draft, lines)?;
            }
            changes.push(Change { kind, draft });
        }
        Ok(Batch { text: lines.into(), changes })
    }
}

fn checked(draft: &Draft, text: &[u8]) -> Result<(), Error> {
    let missing = |missing| Err(Error::Metadata { missing });
    if draft.identity[NAME].is_empty() {
        return missing("name");
    }
    if draft.identity[UID].is_empty() {
        return missing("uid");
    }
    if draft.revision(text) == 0 { missing("resourceVersion") } else { Ok(()) }
}

fn child<'n>(node: &'n mut Node, key: &str) -> &'n mut Node {
    let at = match node.fields.iter().position(|(known, _)| **known == *key.as_bytes()) {
        Some(at) => at,
        None => {
            node.fields.push((key.as_bytes().into(), Node::default()));
            node.fields.len() - 1
        }
    };
    &mut node.fields[at].1
}

fn item<'n>(node: &'n mut Node, member: &str, value: &str) -> &'n mut Node {
    let same = |(m, v, _): &(Box<[u8]>, Box<str>, Node)| **m == *member.as_bytes() && **v == *value;
    let at = match node.items.iter().position(same) {
        Some(at) => at,
        None => {
            node.items.push((member.as_bytes().into(), value.into(), Node::default()));
            node.items.len() - 1
        }
    };
    &mut node.items[at].2
}

/// Steps over one value, noting the ranges of wanted fields. A value of another shape than the path expects is skipped.
fn walk(node: &Node, text: &[u8], cursor: &mut Cursor<'_>, ranges: &mut [Range<usize>]) -> Result<(), Error> {
    let first = cursor.peek();
    let start = cursor.offset();
    if first == b'{' && !node.fields.is_empty() {
        cursor.members(|key, at| match node.fields.iter().find(|(known, _)| **known == *key) {
            Some((_, below)) => walk(below, text, at, ranges),
            None => at.skip().map(drop),
        })?;
    } else if let Some(below) = node.max.as_deref().filter(|_| first == b'[') {
        let mut best = ranges.to_vec();
        cursor.elements(|at| {
            let mut found = vec![0..0; ranges.len()];
            walk(below, text, at, &mut found)?;
            for (best, found) in best.iter_mut().zip(found) {
                if (found.len(), &text[found.clone()]) > (best.len(), &text[best.clone()]) {
                    *best = found;
                }
            }
            Ok(())
        })?;
        ranges.clone_from_slice(&best);
    } else if first == b'[' && !node.items.is_empty() {
        cursor.elements(|at| {
            let mut again = *at;
            let mut chosen = None;
            at.members(|key, at| {
                let value = &text[at.skip()?];
                if chosen.is_none() {
                    chosen = node.items.iter().find(|(m, v, _)| **m == *key && text_of(value) == **v);
                }
                Ok(())
            })?;
            match chosen {
                Some((_, _, below)) => walk(below, text, &mut again, ranges),
                None => Ok(()),
            }
        })?;
    } else {
        cursor.skip()?;
    }
    if let Some(slot) = node.slot {
        let range = start..cursor.offset();
        ranges[slot] = if &text[range.clone()] == b"null" { 0..0 } else { range };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], object: &str, expected: &[&str]) {
        let projection = Projection::new(paths).expect("paths");
        let list = format!(r#"{{"items":[{object}],"metadata":{{"resourceVersion":"7","continue":"c"}}}}"#);
        let (page, batch) = projection.parse_list(list.as_bytes()).expect("list");
        assert_eq!(page, Page { resource_version: "7".into(), continue_token: "c".into() });
        let slots = &batch.changes[0].draft.slots;
        let found: Vec<_> =
            slots[FIXED..].iter().map(|r| std::str::from_utf8(&list.as_bytes()[r.clone()]).expect("utf-8")).collect();
        assert_eq!(found, expected);
    }

    const META: &str =
        r#""metadata":{"name":"n","uid":"u","resourceVersion":"5","annotations":{"a.b/c":"x"},"z":null}"#;

    #[test]
    fn reads_leaves_subtrees_quoted_keys_and_chosen_items() {
        check(
            &["spec.a", "spec", "metadata.annotations['a.b/c']", "status.conditions[type=Ready].status", "metadata.z"],
            &format!(
                r#"{{{META},"spec":{{"a":1,"b":[{{}}]}},"status":{{"conditions":[{{"type":"X","status":"1"}},{{"status":"True","type":"Ready"}}]}}}}"#
            ),
            &["1", r#"{"a":1,"b":[{}]}"#, "\"x\"", "\"True\"", ""],
        );
        check(
            &["spec.a.b", "status.c[x=y].d"],
            &format!(r#"{{{META},"spec":{{"a":3}},"status":{{"c":"no"}}}}"#),
            &["", ""],
        );
    }

    #[test]
    fn refuses_what_is_no_path() {
        for path in ["", "a..b", "a['b", "a[b", "a[b].c", "metadata.name"] {
            assert!(matches!(Projection::new(&[path]), Err(Error::Path { .. })), "{path}");
        }
    }

    #[test]
    fn a_watch_is_read_line_by_line_and_its_error_is_an_error() {
        let projection = Projection::new(&[]).expect("paths");
        let event = |kind: &str| format!("{{\"type\":\"{kind}\",\"object\":{{{META}}}}}\n");
        let lines = event("ADDED") + &event("MODIFIED") + &event("DELETED") + &event("BOOKMARK");
        let kinds: Vec<_> =
            projection.parse_watch(lines.as_bytes()).expect("watch").changes.iter().map(|c| c.kind).collect();
        assert_eq!(kinds, [Kind::Put, Kind::Put, Kind::Deleted, Kind::Bookmark]);
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#;
        assert_eq!(
            projection.parse_watch(gone).map(|_| ()),
            Err(Error::Status(r#"{"kind":"Status","code":410}"#.into()))
        );
        assert!(matches!(
            projection.parse_watch(br#"{"type":"ADDED","object":{"metadata":{"name":"x"}}}"#),
            Err(Error::Metadata { missing: "uid" })
        ));
    }
}
