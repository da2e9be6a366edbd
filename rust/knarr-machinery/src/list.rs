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
        let fields = match &request.kind.compiled.storage {
            Some(_) => fields.renamed(|field| KindEntry::selector_to_stored(&request.kind.compiled, field)),
            None => fields,
        };
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
        if options.send_initial_events.is_some() {
            errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
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
    let plan = plan(machinery, request, &selection).await?;
    if let Some(mut items) = answer::Items::of(request) {
        let everything = selection.selects_all() && plan.at.is_none() && plan.limit == 0 && plan.only.is_none();
        if everything && items.whole() {
            let (parts, range) = ((&*machinery.store, &*machinery.hub), (&plan.from, &plan.to));
            if let Some((kept, revision)) = machinery.lists.items(parts, &request.kind, range, machinery.second())? {
                return Ok(items.finish_with(&ListMeta { revision, ..ListMeta::default() }, kept));
            }
        }
        let meta = read(machinery, &request.kind, &selection, &plan, &mut |_, record| items.push(record))?;
        return Ok(items.finish(&meta));
    }
    let listed = collect(machinery, &request.kind, &selection, &plan)?;
    answer::list(machinery, request, &listed.records, &listed.meta)
}

/// Reads what a list selects: one page of it when there is a limit.
pub(crate) async fn find(machinery: &Machinery, request: &Request, selection: &Selection) -> Result<Listed, Status> {
    let plan = plan(machinery, request, selection).await?;
    collect(machinery, &request.kind, selection, &plan)
}

/// Where and as of when a list reads.
struct Plan {
    from: Bytes,
    to: Bytes,
    at: Option<Revision>,
    limit: usize,
    /// The one object that can be selected.
    only: Option<Bytes>,
    continued: Option<Continue>,
}

async fn plan(machinery: &Machinery, request: &Request, selection: &Selection) -> Result<Plan, Status> {
    let options = &request.options;
    let wanted = parse_revision(&options.resource_version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    let current = machinery.barrier().await?;
    let limit = usize::try_from(options.limit).unwrap_or(0);
    let entry = &*request.kind;
    let (mut from, to) = entry.range(&selection.namespace);
    let at;
    let mut continued = None;
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
        continued = Some(token);
    } else if wanted > current.0 {
        return Err(Status::too_large_revision(wanted, current.0));
    } else {
        let exact = options.resource_version_match == "Exact"
            || (options.resource_version_match.is_empty() && limit > 0 && wanted > 0);
        at = exact.then_some(Revision(wanted));
    }
    let named = !(selection.namespace.is_empty() && entry.compiled.namespaced);
    let only = selection.name.as_ref().filter(|_| named).map(|name| entry.key(&selection.namespace, name));
    Ok(Plan { from, to, at, limit, only, continued })
}

fn collect(machinery: &Machinery, entry: &KindEntry, selection: &Selection, plan: &Plan) -> Result<Listed, Status> {
    let mut records = Vec::new();
    let meta = read(machinery, entry, selection, plan, &mut |key, record| {
        records.push((key.clone(), Arc::clone(record)));
        Ok(())
    })?;
    Ok(Listed { records, meta })
}

/// Takes what is read, while a writer may be waiting: it copies, and no more.
type Take<'a> = dyn FnMut(&Bytes, &Arc<Record>) -> Result<(), Status> + 'a;

fn read(
    machinery: &Machinery,
    entry: &KindEntry,
    selection: &Selection,
    plan: &Plan,
    take: &mut Take<'_>,
) -> Result<ListMeta, Status> {
    let store = &machinery.store;
    if let Some(key) = &plan.only {
        let revision = plan.at.unwrap_or_else(|| store.revision(KeySpace::Cluster));
        let record = store.get(KeySpace::Cluster, key, Some(revision));
        let record = record.map_err(|error| read_status(machinery, entry, plan, &error))?;
        if let Some(record) = record.filter(|record| selection.matches(entry, key, record)) {
            take(key, &record)?;
        }
        return Ok(ListMeta { revision, ..ListMeta::default() });
    }
    let all = selection.selects_all();
    let (mut taken, mut more, mut last, mut failed) = (0, false, None, Ok(()));
    let revision = store
        .visit(KeySpace::Cluster, &plan.from, &plan.to, plan.at, &mut |key, record| {
            if plan.limit > 0 && taken == plan.limit {
                more = true;
                return false;
            }
            if !all && !selection.matches(entry, key, record) {
                return true;
            }
            taken += 1;
            if taken == plan.limit {
                last = Some(key.clone());
            }
            failed = take(key, record);
            failed.is_ok()
        })
        .map_err(|error| read_status(machinery, entry, plan, &error))?;
    failed?;
    let mut meta = ListMeta { revision, ..ListMeta::default() };
    if let (true, Some(last)) = (more, last) {
        // Counted once, for the first page; the token carries it on. Selectors leave it unknown, as in Kubernetes.
        let of_range = || store.count(KeySpace::Cluster, &plan.from, &plan.to, Some(revision)).ok();
        let carried = plan.continued.as_ref().and_then(|token| token.left);
        let total = if all { carried.or_else(|| of_range().and_then(|count| i64::try_from(count).ok())) } else { None };
        let left = total.map(|total| total.saturating_sub(taken as i64)).filter(|left| *left > 0);
        let start = format!("{}\0", entry.text_after_prefix(&last));
        meta.continue_token = Continue { revision: revision.0 as i64, start, left }.encode();
        meta.remaining = left;
    }
    Ok(meta)
}

/// History that does not go back as far is told with a way to go on.
fn read_status(machinery: &Machinery, entry: &KindEntry, plan: &Plan, error: &StoreError) -> Status {
    match (error, &plan.continued) {
        (StoreError::Compacted { .. }, Some(_)) => {
            let mut status = Status::expired(CONTINUE_TOO_OLD);
            let start = entry.text_after_prefix(&plan.from);
            status.continue_token = Continue { revision: -1, start, left: None }.encode();
            status
        }
        (StoreError::Compacted { .. }, None) => Status::expired(LIST_TOO_OLD),
        (error, _) => machinery.store_status(error),
    }
}
