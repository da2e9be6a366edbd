//! Subresources that the core answers: status (the object again), scale (another form of it), binding, finalize.

use crate::bind;
use crate::list;
use crate::machinery::Machinery;
use crate::patch;
use crate::request::{Request, Response, Verb};
use crate::scale;
use crate::status::Status;
use crate::update;

pub(crate) async fn handle(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let entry = &request.kind;
    let refused = || Status::method_not_supported(entry.name(), request.verb.as_str());
    let info = entry.compiled.subresource(&request.subresource).ok_or_else(Status::no_such_path)?;
    // Cold subresources are routes of their own; a request for one never gets here unless nobody serves it.
    if info.cold || !info.verbs.iter().any(|verb| verb == request.verb.as_str()) {
        return Err(refused());
    }
    if let Some(scale) = &info.scale {
        return match request.verb {
            Verb::Get => scale::get(machinery, request, scale).await,
            Verb::Update => scale::update(machinery, request, scale).await,
            Verb::Patch => scale::patch(machinery, request, scale).await,
            _ => Err(refused()),
        };
    }
    match (request.subresource.as_str(), request.verb) {
        ("binding", Verb::Create) => bind::create(machinery, request).await,
        ("finalize", Verb::Update) => finalize(machinery, request).await,
        (_, Verb::Get) => list::get(machinery, request).await,
        (_, Verb::Update) => update::update(machinery, request).await,
        (_, Verb::Patch) => patch::patch(machinery, request).await,
        _ => Err(refused()),
    }
}

/// `namespaces/NAME/finalize`: the one way to change spec.finalizers; with the last the namespace goes.
async fn finalize(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    update::update(machinery, request).await
}
