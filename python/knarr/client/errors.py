"""A Status answer as an exception: one class for each reason a caller treats differently.

The class follows the Status's `reason`, never its text; an answer without a Status (a proxy's page, an empty body) is
classed by its HTTP code. Source: apimachinery `pkg/apis/meta/v1/types.go`, StatusReason.
"""

from __future__ import annotations

import json
from typing import Any


class ApiError(Exception):
    """A refusal by the server. code: HTTP status; reason: Kubernetes' word or ""; details: Status.details or {};
    retry_after: seconds the server asked to wait, or None."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = details or {}
        self.retry_after = retry_after

    def causes(self) -> list[dict[str, Any]]:
        """Status.details.causes: dicts with reason, message and field."""
        causes: list[dict[str, Any]] = self.details.get("causes") or []
        return causes


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401: the credentials are not (or no longer) accepted."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409: the name is taken."""


class Conflict(ApiError):
    """409: the object changed, or a precondition (uid, resourceVersion, field owner) does not hold."""


class Expired(ApiError):
    """410: the revision of a watch or of a list's continuation was compacted; list anew."""


class Invalid(ApiError):
    """422: the causes say which field and why."""


class TooManyRequests(ApiError):
    """429."""


class ServerTimeout(ApiError):
    """504, or 500 with reason ServerTimeout: the request may be tried again."""


class ServiceUnavailable(ApiError):
    """503."""


class ConnectionFailed(ApiError):
    """No server answered. Whether a write took effect is unknown when the connection broke after it was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "", message)


_BY_REASON: dict[str, type[ApiError]] = {
    "BadRequest": BadRequest,
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Expired,
    "Gone": Expired,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "Timeout": ServerTimeout,
    "ServerTimeout": ServerTimeout,
    "ServiceUnavailable": ServiceUnavailable,
}
_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    503: ServiceUnavailable,
    504: ServerTimeout,
}


def of_status(status: dict[str, Any], code: int = 0, retry_after: float | None = None) -> ApiError:
    """The exception for a Status object. code: the HTTP status, used where the object has none."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, ApiError)
    return cls(code, reason, str(status.get("message") or f"the server answered {code}"), details, retry_after)


def of_answer(code: int, body: bytes, retry_after: float | None = None) -> ApiError:
    """The exception for an HTTP answer >= 400, whatever its body is."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return of_status(status, code, retry_after)
    text = body[:200].decode(errors="replace").strip()
    return _BY_CODE.get(code, ApiError)(code, "", text or f"the server answered {code}", None, retry_after)
