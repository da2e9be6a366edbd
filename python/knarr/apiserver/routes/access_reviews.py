"""authorization.k8s.io: may this user do that? SelfSubjectAccessReview, SubjectAccessReview, the local form, and a
user's rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from knarr.apiserver.http import Object, Request, Response, Route, User, answer
from knarr.errors import StatusError, cause

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

GROUP = "authorization.k8s.io"
VERSION = f"{GROUP}/v1"


def self_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "SelfSubjectAccessReview")
    return decided(server, request, review, request.user)


def subject_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "SubjectAccessReview")
    return decided(server, request, review, subject(review))


def local_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "LocalSubjectAccessReview")
    namespace = request.params["namespace"]
    metadata = review.get("metadata") or {}
    if metadata.get("namespace") not in (None, "", namespace):
        raise StatusError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    attributes(review)
    user = subject(review)
    spec = review["spec"]
    path = spec.get("nonResourceAttributes")
    if path is not None:
        shown = json.dumps({"Path": path.get("path", ""), "Verb": path.get("verb", "")}, separators=(",", ":"))
        wrong = f"Invalid value: {shown}: disallowed on this kind of request"
        raise StatusError.invalid(GROUP, "", "", [cause("FieldValueInvalid", "spec.nonResourceAttributes", wrong)])
    asked = spec["resourceAttributes"].get("namespace", "")
    if asked != namespace:
        wrong = f'Invalid value: "{asked}": must match metadata.namespace'
        field = "spec.resourceAttributes.namespace"
        raise StatusError.invalid(GROUP, "", "", [cause("FieldValueInvalid", field, wrong)])
    review["metadata"] = metadata | {"namespace": namespace}
    return decided(server, request, review, user)


def subject(review: Object) -> User:
    """Whom a review asks about."""
    spec = review.get("spec", {})
    user, groups = spec.get("user", ""), tuple(spec.get("groups") or ())
    if not user and not groups:
        message = 'Invalid value: "": at least one of user or group must be specified'
        raise StatusError.invalid(GROUP, "", "", [cause("FieldValueInvalid", "spec.user", message)])
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(user, spec.get("uid", ""), groups, extra)


def decided(server: ApiServer, request: Request, review: Object, user: User) -> Response:
    allowed, reason = server.authorize(user, attributes(review))
    status: Object = {"allowed": allowed}
    if reason:
        status["reason"] = reason
    review.setdefault("metadata", {})
    return answer(request, review | {"status": status}, 201)


def attributes(review: Object) -> dict[str, Any]:
    """A review's question as the authorizer takes it. Raises StatusError (422) where it asks none, or two."""
    spec = review.get("spec", {})
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        both = "cannot be specified in combination with resourceAttributes"
        neither = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        if path is not None:
            shown = json.dumps({"Path": path.get("path", ""), "Verb": path.get("verb", "")}, separators=(",", ":"))
            wrong = cause("FieldValueInvalid", "spec.nonResourceAttributes", f"Invalid value: {shown}: {both}")
        else:
            wrong = cause("FieldValueInvalid", "spec.resourceAttributes", f"Invalid value: null: {neither}")
        # Kubernetes names no kind here: it asks the decoded object, which has forgotten it
        raise StatusError.invalid(GROUP, "", "", [wrong])
    if path is not None:
        return {"verb": path.get("verb", ""), "path": path.get("path", "")}
    return {
        "verb": resource.get("verb", ""),
        "group": resource.get("group", ""),
        "version": resource.get("version", ""),
        "resource": resource.get("resource", ""),
        "subresource": resource.get("subresource", ""),
        "namespace": resource.get("namespace", ""),
        "name": resource.get("name", ""),
    }


def rules_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "SelfSubjectRulesReview")
    namespace = (review.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise StatusError.bad_request("no namespace on request")
    resources, paths, incomplete = server.rules_for(request.user, namespace)
    review.setdefault("metadata", {})
    status = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": incomplete}
    return answer(request, review | {"status": status}, 201)


ROUTES = [
    Route("POST", f"/apis/{VERSION}/selfsubjectaccessreviews", self_review),
    Route("POST", f"/apis/{VERSION}/subjectaccessreviews", subject_review),
    Route("POST", f"/apis/{VERSION}/namespaces/{{namespace}}/localsubjectaccessreviews", local_review),
    Route("POST", f"/apis/{VERSION}/selfsubjectrulesreviews", rules_review),
]
