"""serviceaccounts/token: a signed, bound, expiring token for a ServiceAccount.

Source: kube-apiserver 1.34, TokenRequest (KEP-1205) and its claims (KEP-4193).
"""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING, Any

from knarr.apiserver.http import Object, Request, Response, Route, answer
from knarr.errors import StatusError, cause

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

SECONDS_MIN, SECONDS_MAX = 600, 1 << 32
# what the projected volume of every pod asks for; such tokens live on for old clients that read them once
PROJECTED_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
BOUND_KINDS = {"Pod": ("v1", "pods"), "Secret": ("v1", "secrets"), "Node": ("v1", "nodes")}


def create(server: ApiServer, request: Request) -> Response:
    """POST .../serviceaccounts/{name}/token"""
    wanted = request.object("authentication.k8s.io/v1", "TokenRequest")
    spec = wanted.get("spec") or {}
    namespace, name = request.params["namespace"], request.params["name"]
    check_names(wanted, namespace, name)
    seconds = spec.get("expirationSeconds")
    seconds = 3600 if seconds is None else seconds
    audiences = spec.get("audiences") or [server.issuer]
    reference = spec.get("boundObjectRef")
    check_spec(name, seconds, reference)
    account = server.local.request("get", "", "v1", "serviceaccounts", namespace, name)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    issued = int(now.timestamp())
    bound: Object = {
        "namespace": namespace,
        "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        **bound_object(server, namespace, name, reference),
    }
    lives = seconds
    if seconds == PROJECTED_SECONDS and "pod" in bound and audiences == [server.issuer]:
        lives = EXTENDED_SECONDS
        bound["warnafter"] = issued + seconds
    claims: Object = {
        "aud": audiences,
        "exp": issued + lives,
        "iat": issued,
        "iss": server.issuer,
        "jti": str(uuid.uuid4()),
        "kubernetes.io": bound,
        "nbf": issued,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }
    expires = (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
        "status": {"token": server.sign_token(claims), "expirationTimestamp": expires},
    }
    return answer(request, made, 201)


def check_names(wanted: Object, namespace: str, name: str) -> None:
    metadata = wanted.get("metadata") or {}
    if metadata.get("name") not in (None, "", name):
        wrong = f'Invalid value: "{metadata["name"]}": must match the service account name if specified'
        causes = [cause("FieldValueInvalid", "metadata.name", wrong)]
        raise StatusError.invalid("authentication.k8s.io", "TokenRequest", name, causes)
    if metadata.get("namespace") not in (None, "", namespace):
        raise StatusError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def check_spec(name: str, seconds: Any, reference: Any) -> None:
    field = "spec.expirationSeconds"
    causes = []
    if not isinstance(seconds, int):
        raise StatusError.bad_request("spec.expirationSeconds must be an integer")
    if seconds < SECONDS_MIN:
        causes.append(
            cause(
                "FieldValueInvalid", field, f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            )
        )
    if seconds > SECONDS_MAX:
        causes.append(
            cause(
                "FieldValueInvalid",
                field,
                f"Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds",
            )
        )
    if reference is not None and (reference.get("apiVersion"), reference.get("kind")) not in {
        (version, kind) for kind, (version, _) in BOUND_KINDS.items()
    }:
        group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
        raise StatusError.bad_request(
            f"cannot bind token to object of type {group}/{version}, Kind={reference.get('kind', '')}"
        )
    if causes:
        raise StatusError.invalid("authentication.k8s.io", "TokenRequest", "", causes)


def bound_object(server: ApiServer, namespace: str, account: str, reference: Any) -> Object:
    """The claims about what a token is bound to: it must exist, and a pod must run as this account."""
    if reference is None:
        return {}
    _, plural = BOUND_KINDS[reference["kind"]]
    within = "" if reference["kind"] == "Node" else namespace
    found = server.local.request("get", "", "v1", plural, within, reference.get("name", ""))
    uid = found["metadata"]["uid"]
    if reference.get("uid") not in (None, "", uid):
        raise StatusError.conflict(
            "",
            plural,
            reference["name"],
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    claims: Object = {reference["kind"].lower(): {"name": reference["name"], "uid": uid}}
    if reference["kind"] == "Pod":
        spec = found.get("spec", {})
        if spec.get("serviceAccountName") != account:
            raise StatusError.bad_request(
                f"cannot bind token for serviceaccount {account!r} to pod running with different serviceaccount name."
            )
        if spec.get("nodeName"):
            claims["node"] = node_claim(server, spec["nodeName"])
    return claims


def node_claim(server: ApiServer, name: str) -> Object:
    try:
        node = server.local.request("get", "", "v1", "nodes", "", name)
    except StatusError as error:
        if error.code != 404:
            raise
        return {"name": name}
    return {"name": name, "uid": node["metadata"]["uid"]}


ROUTES = [Route("POST", "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", create)]
