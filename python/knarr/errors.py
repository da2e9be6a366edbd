"""Every refusal the API has: code, reason, message and details, in Kubernetes' words.

One class per Status reason, mirrored by the Rust core's `status.rs`, which words the hot requests; the cold ones,
written in Python, raise these. A StatusError is what the client sees: `status()` is the body of the answer. The words
are those of `k8s.io/apimachinery/pkg/api/errors` 1.34. `OpenError` is of another kind: a server that cannot start,
told to whoever started it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

__all__ = ["REASONS", "OpenError", "StatusError", "cause"]

Object = dict[str, Any]

# Causes of a Status by field, as they stand in `details.causes[].reason`.
CAUSE_REASONS = (
    "FieldValueNotFound",
    "FieldValueRequired",
    "FieldValueDuplicate",
    "FieldValueInvalid",
    "FieldValueTypeInvalid",
    "FieldValueNotSupported",
    "FieldValueForbidden",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "InternalError",
    "UnexpectedServerResponse",
    "FieldManagerConflict",
    "ResourceVersionTooLarge",
)


def cause(reason: str, field: str, message: str) -> Object:
    """One cause. field: the path in JSON notation, `spec.containers[0].name`; empty parts are left out."""
    return {k: v for k, v in (("reason", reason), ("message", message), ("field", field)) if v}


def qualified(group: str, name: str) -> str:
    """Kubernetes' GroupResource and GroupKind as text: `deployments.apps`, `pods`."""
    return f"{name}.{group}" if group else name


def quote(text: str) -> str:
    """Go's %q for the names that stand in messages."""
    return json.dumps(text, ensure_ascii=False)


class OpenError(Exception):
    """A server or store that cannot be opened: a damaged file, a lock held by another process, a port in use.

    message: what happened to what, on one line. hint: what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StatusError(Exception):
    """A request that is refused. Subclasses fix code and reason; the constructors below word the message.

    details: group, kind (of the resource or kind), name, uid, causes, retryAfterSeconds, where they are known.
    """

    code: int = 500
    reason: str = ""
    # The class of each reason, filled as the classes are made.
    by_reason: ClassVar[dict[str, type[StatusError]]] = {}

    def __init__(
        self, message: str, details: Object | None = None, *, code: int | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: Object = dict(details or {})
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        StatusError.by_reason[cls.reason] = cls

    @property
    def causes(self) -> list[Object]:
        return list(self.details.get("causes", ()))

    def status(self) -> Object:
        """The Status object, its fields in the order of the type."""
        out: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            out["reason"] = self.reason
        if self.details:
            out["details"] = self.details
        out["code"] = self.code
        return out

    @classmethod
    def from_status(cls, status: Object) -> StatusError:
        """The error a Status object stands for, of its reason's class. A reason unknown here stays as text."""
        reason = str(status.get("reason", ""))
        kind = cls.by_reason.get(reason, StatusError)
        details = status.get("details")
        return kind(
            str(status.get("message", "")),
            details if isinstance(details, dict) else None,
            code=int(status.get("code", kind.code)),
            reason=reason,
        )

    # Constructors, one per way Kubernetes words a refusal.

    @staticmethod
    def bad_request(message: str) -> BadRequest:
        return BadRequest(message)

    @staticmethod
    def unauthorized(message: str = "") -> Unauthorized:
        return Unauthorized(message or "not authorized")

    @staticmethod
    def forbidden(group: str, resource: str, name: str, why: str) -> Forbidden:
        what = qualified(group, resource)
        if not resource and not group:
            message = f"forbidden: {why}"
        elif name:
            message = f"{what} {quote(name)} is forbidden: {why}"
        else:
            message = f"{what} is forbidden: {why}"
        return Forbidden(message, _details(group, resource, name))

    @staticmethod
    def not_found(group: str, resource: str, name: str) -> NotFound:
        return NotFound(f"{qualified(group, resource)} {quote(name)} not found", _details(group, resource, name))

    @staticmethod
    def already_exists(group: str, resource: str, name: str) -> AlreadyExists:
        return AlreadyExists(
            f"{qualified(group, resource)} {quote(name)} already exists", _details(group, resource, name)
        )

    @staticmethod
    def conflict(group: str, resource: str, name: str, why: str) -> Conflict:
        message = f"Operation cannot be fulfilled on {qualified(group, resource)} {quote(name)}: {why}"
        return Conflict(message, _details(group, resource, name))

    @staticmethod
    def apply_conflict(message: str, causes: Iterable[Object]) -> Conflict:
        return Conflict(message, {"causes": list(causes)})

    @staticmethod
    def invalid(group: str, kind: str, name: str, causes: Sequence[Object]) -> Invalid:
        """causes: by field, as `cause` makes them; the message joins them as Kubernetes' aggregate does."""
        texts = list(
            dict.fromkeys(f"{c['field']}: {c['message']}" if c.get("field") else str(c["message"]) for c in causes)
        )
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else "<nil>"
        details = _details(group, kind, name) | ({"causes": list(causes)} if causes else {})
        return Invalid(f"{qualified(group, kind)} {quote(name)} is invalid: {joined}", details)

    @staticmethod
    def gone(message: str) -> Gone:
        return Gone(message)

    @staticmethod
    def expired(message: str) -> Expired:
        """A resourceVersion, or a continue token, that is too old."""
        return Expired(message)

    @staticmethod
    def method_not_allowed(group: str, resource: str, action: str) -> MethodNotAllowed:
        message = f"{action} is not supported on resources of kind {quote(qualified(group, resource))}"
        return MethodNotAllowed(message, _details(group, resource, ""))

    @staticmethod
    def not_acceptable(accepted: Sequence[str]) -> NotAcceptable:
        return NotAcceptable(f"only the following media types are accepted: {', '.join(accepted)}")

    @staticmethod
    def unsupported_media_type(
        content_type: str,
        accepted: Sequence[str] = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"),
    ) -> UnsupportedMediaType:
        """content_type is not repeated in the message, as in Kubernetes."""
        del content_type
        text = "the body of the request was in an unknown format - accepted media types include: "
        return UnsupportedMediaType(text + ", ".join(accepted))

    @staticmethod
    def too_large(why: str) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(f"Request entity too large: {why}")

    @staticmethod
    def too_many_requests(message: str, retry_after: int = 0) -> TooManyRequests:
        return TooManyRequests(message, {"retryAfterSeconds": retry_after} if retry_after else None)

    @staticmethod
    def internal(why: str) -> InternalError:
        return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})

    @staticmethod
    def server_timeout(group: str, resource: str, operation: str, retry_after: int = 0) -> ServerTimeout:
        what = qualified(group, resource)
        message = f"The {operation} operation against {what} could not be completed at this time, please try again."
        return ServerTimeout(
            message, _details(group, resource, "") | ({"retryAfterSeconds": retry_after} if retry_after else {})
        )

    @staticmethod
    def timeout(why: str, retry_after: int = 0) -> Timeout:
        return Timeout(f"Timeout: {why}", {"retryAfterSeconds": retry_after} if retry_after else None)

    @staticmethod
    def unavailable(message: str) -> ServiceUnavailable:
        return ServiceUnavailable(message)

    @staticmethod
    def patch_refused() -> Invalid:
        """A patch that does not fit the object. What is wrong with it is told to nobody, as in Kubernetes."""
        return Invalid("the server rejected our request due to an error in our request", {})


def _details(group: str, kind: str, name: str) -> Object:
    return {k: v for k, v in (("name", name), ("group", group), ("kind", kind)) if v}


class BadRequest(StatusError):
    """The request is malformed: it can never succeed as it is."""

    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    """Nobody is known by what the request carries."""

    code, reason = 401, "Unauthorized"


class Forbidden(StatusError):
    """The user may not do this, or admission refused it."""

    code, reason = 403, "Forbidden"


class NotFound(StatusError):
    """There is no such object or resource."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(StatusError):
    """The resource does not have this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(StatusError):
    """None of the media types the client accepts can be answered."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(StatusError):
    """An object of this name exists."""

    code, reason = 409, "AlreadyExists"


class Conflict(StatusError):
    """The object changed meanwhile, a precondition failed, or an apply met another owner."""

    code, reason = 409, "Conflict"


class Gone(StatusError):
    """It was there and is not any more."""

    code, reason = 410, "Gone"


class Expired(StatusError):
    """The revision or continue token is older than the history kept."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(StatusError):
    """The body, or the work it asks for, is beyond a bound."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    """The body's content type is not known here."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(StatusError):
    """The object breaks rules of its kind; details.causes name the fields."""

    code, reason = 422, "Invalid"


class TooManyRequests(StatusError):
    """Flow control, or a disruption budget, refuses; the same request may be made again later."""

    code, reason = 429, "TooManyRequests"


class InternalError(StatusError):
    """A bug, or a part that failed."""

    code, reason = 500, "InternalError"


class ServerTimeout(StatusError):
    """The server could not do it in time; it was not done."""

    code, reason = 500, "ServerTimeout"


class StoreReadError(StatusError):
    """Stored objects that cannot be read."""

    code, reason = 500, "StorageReadError"


class ServiceUnavailable(StatusError):
    """The server, or what it needs, is not ready."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(StatusError):
    """The request took too long; it may have been done."""

    code, reason = 504, "Timeout"


REASONS: tuple[str, ...] = tuple(StatusError.by_reason)
