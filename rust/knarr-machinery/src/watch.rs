//! watch: from options to a place in the hub.

use std::time::Duration;

use knarr_base::Revision;
use knarr_value::Str;
use knarr_watch::{Initial, WatchSpec};

use crate::answer;
use crate::encoders;
use crate::list::{self, Selection};
use crate::machinery::Machinery;
use crate::request::{Encoding, Form, Options, Request, Response};
use crate::status::Status;
use crate::table::Include;

/// Seconds that a watch lasts if the client does not say: 30 to 60 minutes, at random, so that they do not all end at once
/// (kube-apiserver's --min-request-timeout).
const TIMEOUT_SECONDS_MIN: u64 = 1800;

pub(crate) async fn watch(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let options = &request.options;
    list::check_options(options, true)?;
    let selection = Selection::parse(request)?;
    let from = list::parse_revision(&options.resource_version).map_err(Status::plain_internal)?;
    let include = Include::parse(&options.include_object)?;
    let (encoding, first_encoding) = encoders::register(machinery, &request.kind, request.accept, include);
    let timeout = match options.timeout_seconds {
        Some(seconds) if seconds > 0 => seconds as u64,
        _ => TIMEOUT_SECONDS_MIN + machinery.random() % TIMEOUT_SECONDS_MIN,
    };
    // Without a revision (or with 0) a watch begins with what there is; sendInitialEvents asks for that, or declines it.
    let with_initial = options.send_initial_events.unwrap_or(from == 0);
    let (from, initial) = if with_initial {
        let listed = initial(machinery, request, &selection, from).await?;
        let bookmark = options.send_initial_events == Some(true) && options.allow_watch_bookmarks;
        (listed.meta.revision, Some(Initial { objects: listed.records, bookmark }))
    } else if from == 0 {
        (machinery.barrier().await?, None)
    } else {
        (Revision(from), None)
    };
    let namespace =
        (request.kind.compiled.namespaced && !selection.namespace.is_empty()).then(|| Str::from(&selection.namespace));
    let watcher = machinery.hub.watch(WatchSpec {
        resource: request.kind.resource,
        namespace,
        name: selection.name.as_deref().map(Str::from),
        labels: selection.labels,
        fields: selection.fields,
        from,
        initial,
        encoding,
        first_encoding,
        bookmarks: options.allow_watch_bookmarks,
        timeout_seconds: u32::try_from(timeout).unwrap_or(u32::MAX),
    });
    let protobuf = request.accept.encoding == Encoding::Protobuf && !matches!(request.accept.form, Form::Table { .. });
    let content_type = if protobuf { "application/vnd.kubernetes.protobuf;stream=watch" } else { answer::JSON };
    Ok(Response::Watch { content_type, watcher, timeout: Duration::from_secs(timeout), warnings: Vec::new() })
}

/// The objects that a watch begins with: at least as new as `from`, else as of now.
async fn initial(
    machinery: &Machinery,
    request: &Request,
    selection: &Selection,
    from: u64,
) -> Result<list::Listed, Status> {
    let mut reading = request.clone();
    reading.options = Options::default();
    if from > 0 {
        let current = machinery.barrier().await?;
        if from > current.0 {
            return Err(Status::too_large_revision(from, current.0));
        }
    }
    list::find(machinery, &reading, selection).await
}
