//! get and list: stored bytes, found and put together.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_schema::FieldError;
use knarr_store::{KeySpace, Record, StoreError};
use knarr_value::{FieldSelector, LabelSelector, stored};

use crate::answer::{self, ListMeta};
use crate::body;
use crate::machinery::Machinery;
use crate::registry::KindEntry;
use crate::request::{Options, Request, Response};
use crate::status::Status;
use crate::token::Continue;

/// Objects read from the store at once for a list with a limit.
const PAGE: usize = 1024;

const LIST_TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a \
                                new list without the continue parameter, or use the continue token in this response to retrieve \
                                the remainder of the results. Continuing with the provided token results in an inconsistent list \
                                - objects that were created, modified, or deleted between the time the first chunk was returned \
                                and now may show up in the list.";

pub(crate) async fn get(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let revision = machinery.barrier().await?;
    let wanted = parse_revision(&request.options.resource_version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    if wanted > revision.0 {
        return Err(Status::too_large_revision(wanted, revision.0));
    }
    let entry = &request.kind;
    let record = machinery
        .get_record(&entry.key(&request.namespace, &request.name))?
        .ok_or_else(|| Status::not_found(entry.name(), &request.name))?;
    answer::object(machinery, request, 200, &record.value, record.mod_revision, Vec::new())
}

/// `""` is 0. Errors: Go's words, with the field.
pub(crate) fn parse_revision(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let quoted = knarr_schema::error::quote(text);
        format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax")
    })
}

/// What a list, a watch or a deletecollection selects.
pub(crate) struct Selection {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// `metadata.name=x`: one object at most.
    pub name: Option<String>,
    /// The path's namespace, or the one that `metadata.namespace=x` leaves.
    pub namespace: String,
}

impl Selection {
    /// Errors: 400 for what is no selector, or selects by a field the kind is not selectable by.
    pub fn parse(request: &Request) -> Result<Self, Status> {
        let options = &request.options;
        let labels =
            LabelSelector::parse(&options.label_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        let fields =
            FieldSelector::parse(&options.field_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        check_fields(&request.kind, &fields)?;
        let mut name = fields.requires_equal("metadata.name").map(str::to_owned);
        if !request.name.is_empty() {
            if name.as_deref().is_some_and(|selected| selected != request.name) {
                return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
            }
            name = Some(request.name.to_string());
        }
        let namespace = match fields.requires_equal("metadata.namespace") {
            Some(namespace) if request.namespace.is_empty() => namespace.to_owned(),
            _ => request.namespace.to_string(),
        };
        Ok(Self { labels, fields, name, namespace })
    }

    pub fn selects_all(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub fn matches(&self, entry: &KindEntry, key: &[u8], record: &Record) -> bool {
        if self.selects_all() {
            return true;
        }
        let Ok(stored) = stored::decode(&record.value) else { return false };
        let (namespace, name) = entry.split_key(key);
        self.labels.matches(&stored)
            && self.fields.matches(|field| {
                Some(match field {
                    "metadata.name" => name,
                    "metadata.namespace" => namespace,
                    field => stored.field(field).unwrap_or(""),
                })
            })
    }
}

fn check_fields(entry: &KindEntry, fields: &FieldSelector) -> Result<(), Status> {
    let is_metadata = |field: &str| field == "metadata.name" || field == "metadata.namespace";
    let own = || entry.compiled.selectable_names().filter(|field| !is_metadata(field));
    for term in fields.terms() {
        if is_metadata(&term.field) || own().any(|field| *field == term.field) {
            continue;
        }
        // Kinds without selectable fields of their own answer by another function of Kubernetes than the others.
        return Err(Status::bad_request(if own().next().is_some() {
            format!("field label not supported: {}", term.field)
        } else {
            let field = knarr_schema::error::quote(&term.field);
            format!("{field} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }));
    }
    Ok(())
}

/// ValidateListOptions of apimachinery, for lists and watches. `watch` says which.
pub(crate) fn check_options(options: &Options, watch: bool) -> Result<(), Status> {
    let mut errors = Vec::new();
    let matching = options.resource_version_match.as_str();
    let revision = options.resource_version.as_str();
    let at = "resourceVersionMatch";
    if watch {
        match options.send_initial_events {
            None => {
                if !matching.is_empty() {
                    errors.push(FieldError::forbidden(
                        at,
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    ));
                }
            }
            Some(_) => {
                if matching != "NotOlderThan" {
                    errors.push(FieldError::forbidden(
                        at,
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                    ));
                }
                if !options.continue_token.is_empty() {
                    errors.push(FieldError::forbidden("continue", "continue is forbidden for watch"));
                }
            }
        }
        if !matching.is_empty() && matching != "NotOlderThan" {
            errors.push(FieldError::not_supported(at, matching, &["NotOlderThan"]));
        }
    } else {
        if options.send_initial_events.is_some() {
            errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        if !matching.is_empty() {
            if revision.is_empty() {
                errors.push(FieldError::forbidden(
                    at,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !options.continue_token.is_empty() {
                errors.push(FieldError::forbidden(at, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if matching != "Exact" && matching != "NotOlderThan" {
                errors.push(FieldError::not_supported(at, matching, &["Exact", "NotOlderThan", ""]));
            }
            if matching == "Exact" && revision == "0" {
                errors.push(FieldError::forbidden(
                    at,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid("meta.k8s.io", "ListOptions", "", body::causes(&errors)))
    }
}

/// A page of a list.
pub(crate) struct Listed {
    pub records: Vec<(Bytes, Arc<Record>)>,
    pub meta: ListMeta,
}

pub(crate) async fn list(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    check_options(&request.options, false)?;
    let selection = Selection::parse(request)?;
    let listed = find(machinery, request, &selection).await?;
    answer::list(request, &listed.records, &listed.meta, machinery.clock.wall())
}

/// Reads what a list selects: one page of it when there is a limit.
pub(crate) async fn find(machinery: &Machinery, request: &Request, selection: &Selection) -> Result<Listed, Status> {
    let options = &request.options;
    let wanted = parse_revision(&options.resource_version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    let current = machinery.barrier().await?;
    let limit = usize::try_from(options.limit).unwrap_or(0);
    let entry = &*request.kind;
    let (mut from, to) = entry.range(&selection.namespace);
    let at;
    let mut continued = false;
    if !options.continue_token.is_empty() {
        let token = Continue::decode(&options.continue_token)?;
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let start = entry.key_from(&token.start);
        // A token of another namespace's list would lead out of this one.
        if start < from || (!to.is_empty() && start >= to) {
            return Err(Status::bad_request("invalid continue token: the key is not within the list"));
        }
        from = start;
        at = u64::try_from(token.revision).ok().map(Revision);
        continued = true;
    } else if wanted > current.0 {
        return Err(Status::too_large_revision(wanted, current.0));
    } else {
        let exact = options.resource_version_match == "Exact"
            || (options.resource_version_match.is_empty() && limit > 0 && wanted > 0);
        at = exact.then_some(Revision(wanted));
    }
    if let (Some(name), false) = (&selection.name, selection.namespace.is_empty() && entry.compiled.namespaced) {
        return one(machinery, entry, selection, name, at);
    }
    collect(machinery, entry, selection, (from, to), at, limit).map_err(|error| match error {
        Failure::Status(status) => status,
        Failure::Compacted { next } if continued => {
            let mut status = Status::expired(CONTINUE_TOO_OLD);
            status.continue_token = Continue { revision: -1, start: next }.encode();
            status
        }
        Failure::Compacted { .. } => Status::expired(LIST_TOO_OLD),
    })
}

enum Failure {
    Status(Status),
    /// History does not go back as far; `next` is where the list would have gone on.
    Compacted {
        next: String,
    },
}

fn one(
    machinery: &Machinery,
    entry: &KindEntry,
    selection: &Selection,
    name: &str,
    at: Option<Revision>,
) -> Result<Listed, Status> {
    let key = entry.key(&selection.namespace, name);
    let revision = at.unwrap_or_else(|| machinery.store.revision(KeySpace::Cluster));
    let record = machinery.store.get(KeySpace::Cluster, &key, Some(revision)).map_err(|error| match error {
        StoreError::Compacted { .. } => Status::expired(LIST_TOO_OLD),
        error => machinery.store_status(&error),
    })?;
    let records = record.filter(|record| selection.matches(entry, &key, record)).map(|record| (key, record));
    Ok(Listed { records: records.into_iter().collect(), meta: ListMeta { revision, ..ListMeta::default() } })
}

fn collect(
    machinery: &Machinery,
    entry: &KindEntry,
    selection: &Selection,
    (mut from, to): (Bytes, Bytes),
    at: Option<Revision>,
    limit: usize,
) -> Result<Listed, Failure> {
    let all = selection.selects_all();
    let mut records: Vec<(Bytes, Arc<Record>)> = Vec::new();
    let mut at = at;
    loop {
        // Without a limit one read: the store takes its lock a few keys at a time by itself. With selectors a page is larger than
        // what is missing, since most objects of a page do not match.
        let size = match limit {
            0 => 0,
            limit if all => limit.min(PAGE),
            _ => PAGE,
        };
        let (page, revision) =
            machinery.store.range(KeySpace::Cluster, &from, &to, at, size).map_err(|error| match error {
                StoreError::Compacted { .. } => Failure::Compacted { next: entry.text_after_prefix(&from) },
                error => Failure::Status(machinery.store_status(&error)),
            })?;
        // All pages are of one revision: that of the first.
        at = Some(revision);
        let seen = records.len();
        let last_of_page = page.records.last().map(|(key, _)| key.clone());
        let total = page.count;
        let read = page.records.len() as u64;
        let mut filled = None;
        for (index, (key, record)) in page.records.into_iter().enumerate() {
            if !all && !selection.matches(entry, &key, &record) {
                continue;
            }
            records.push((key, record));
            if limit > 0 && records.len() == limit {
                filled = Some(index as u64 + 1);
                break;
            }
        }
        let more = page.more || filled.is_some_and(|index| index < read);
        if filled.is_some() || !more {
            let mut meta = ListMeta { revision, ..ListMeta::default() };
            if let (Some(_), true, Some((last, _))) = (filled, more, records.last()) {
                let start = format!("{}\0", entry.text_after_prefix(last));
                meta.continue_token = Continue { revision: revision.0 as i64, start }.encode();
                meta.remaining =
                    all.then(|| total.saturating_sub((records.len() - seen) as u64) as i64).filter(|left| *left > 0);
            }
            return Ok(Listed { records, meta });
        }
        let Some(last) = last_of_page else {
            return Ok(Listed { records, meta: ListMeta { revision, ..ListMeta::default() } });
        };
        let mut next = last.to_vec();
        next.push(0);
        from = Bytes::from(next);
    }
}
