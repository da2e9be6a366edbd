"""authentication.k8s.io: who am I (SelfSubjectReview), and whose token is this (TokenReview)?"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from knarr.apiserver.http import Object, Request, Response, Route, User, answer
from knarr.errors import StatusError

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

VERSION = "authentication.k8s.io/v1"


def self_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "SelfSubjectReview")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    review.setdefault("metadata", {})["creationTimestamp"] = now
    return answer(request, review | {"status": {"userInfo": user_info(request.user)}}, 201)


def token_review(server: ApiServer, request: Request) -> Response:
    review = request.object(VERSION, "TokenReview")
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise StatusError.bad_request("token is required for TokenReview in authentication")
    user, audiences, error = server.authenticate(spec.get("token", ""), spec.get("audiences") or [])
    status: Object = {"user": {}}
    if user is not None:
        status = {"authenticated": True, "user": user_info(user), "audiences": audiences}
    elif error:
        status["error"] = error
    review.setdefault("metadata", {})
    return answer(request, review | {"status": status}, 201)


def user_info(user: User) -> Object:
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


ROUTES = [
    Route("POST", f"/apis/{VERSION}/selfsubjectreviews", self_review),
    Route("POST", f"/apis/{VERSION}/tokenreviews", token_review),
]
