"""Goal: each reason a Status can have is raised with Kubernetes' code and words. Method: one example per reason; a
reason without an example fails."""

from __future__ import annotations

import pytest
from knarr.errors import REASONS, OpenError, StatusError, cause

CAUSES = [
    cause("FieldValueRequired", "spec.a", "Required value"),
    cause("FieldValueInvalid", "spec.b", "Invalid value: 1: no"),
]

EXAMPLES: list[tuple[StatusError, int, str, str]] = [
    (StatusError.bad_request("no"), 400, "BadRequest", "no"),
    (StatusError.unauthorized(), 401, "Unauthorized", "not authorized"),
    (
        StatusError.forbidden("apps", "deployments", "d", "why"),
        403,
        "Forbidden",
        'deployments.apps "d" is forbidden: why',
    ),
    (StatusError.forbidden("", "pods", "", "why"), 403, "Forbidden", "pods is forbidden: why"),
    (StatusError.forbidden("", "", "", "why"), 403, "Forbidden", "forbidden: why"),
    (StatusError.not_found("", "pods", "p"), 404, "NotFound", 'pods "p" not found'),
    (StatusError.already_exists("", "pods", "p"), 409, "AlreadyExists", 'pods "p" already exists'),
    (
        StatusError.conflict("apps", "deployments", "d", "the object has been modified"),
        409,
        "Conflict",
        'Operation cannot be fulfilled on deployments.apps "d": the object has been modified',
    ),
    (StatusError.apply_conflict("Apply failed", [{"field": ".a"}]), 409, "Conflict", "Apply failed"),
    (StatusError.gone("gone"), 410, "Gone", "gone"),
    (StatusError.expired("too old resource version: 1 (2)"), 410, "Expired", "too old resource version: 1 (2)"),
    (
        StatusError.invalid("apps", "Deployment", "d", CAUSES),
        422,
        "Invalid",
        'Deployment.apps "d" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: no]',
    ),
    (StatusError.invalid("", "Pod", "p", CAUSES[:1]), 422, "Invalid", 'Pod "p" is invalid: spec.a: Required value'),
    (StatusError.patch_refused(), 422, "Invalid", "the server rejected our request due to an error in our request"),
    (
        StatusError.method_not_allowed("", "pods", "patch"),
        405,
        "MethodNotAllowed",
        'patch is not supported on resources of kind "pods"',
    ),
    (
        StatusError.not_acceptable(["a/b", "c/d"]),
        406,
        "NotAcceptable",
        "only the following media types are accepted: a/b, c/d",
    ),
    (
        StatusError.unsupported_media_type("x/y", ["a/b"]),
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: a/b",
    ),
    (
        StatusError.too_large("limit is 3145728"),
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    ),
    (StatusError.too_many_requests("later", 1), 429, "TooManyRequests", "later"),
    (StatusError.internal("boom"), 500, "InternalError", "Internal error occurred: boom"),
    (
        StatusError.server_timeout("", "pods", "list", 2),
        500,
        "ServerTimeout",
        "The list operation against pods could not be completed at this time, please try again.",
    ),
    (StatusError.by_reason["StorageReadError"]("unreadable"), 500, "StorageReadError", "unreadable"),
    (StatusError.timeout("slow"), 504, "Timeout", "Timeout: slow"),
    (StatusError.unavailable("starting"), 503, "ServiceUnavailable", "starting"),
]


@pytest.mark.parametrize(("error", "code", "reason", "message"), EXAMPLES)
def test_words(error: StatusError, code: int, reason: str, message: str) -> None:
    status = error.status()
    assert (status["code"], status.get("reason"), status["message"]) == (code, reason, message)
    assert list(status)[:4] == ["kind", "apiVersion", "metadata", "status"]
    again = StatusError.from_status(status)
    assert type(again) is type(error)
    assert again.status() == status


def test_every_reason_has_an_example() -> None:
    assert {reason for _, _, reason, _ in EXAMPLES} == set(REASONS)


def test_details() -> None:
    assert StatusError.invalid("apps", "Deployment", "d", CAUSES).status()["details"] == {
        "name": "d",
        "group": "apps",
        "kind": "Deployment",
        "causes": CAUSES,
    }
    assert StatusError.too_many_requests("later", 1).details == {"retryAfterSeconds": 1}
    assert StatusError.internal("boom").causes == [{"message": "boom"}]
    assert "details" not in StatusError.bad_request("no").status()


def test_an_unknown_reason_stays() -> None:
    error = StatusError.from_status({"code": 418, "reason": "Teapot", "message": "short"})
    assert (type(error), error.code, error.status()["reason"]) == (StatusError, 418, "Teapot")


def test_open_error_has_a_hint() -> None:
    error = OpenError("segment 3 is damaged at offset 17", "restore a snapshot")
    assert (str(error), error.hint) == ("segment 3 is damaged at offset 17", "restore a snapshot")
