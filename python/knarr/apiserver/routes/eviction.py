"""pods/eviction: a deletion that policies may object to. Source: kube-apiserver 1.34, policy/v1 Eviction.

No PodDisruptionBudget exists here, so nothing objects; preconditions and grace period are passed on to the deletion.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from knarr.apiserver.http import Object, Request, Response, Route, answer
from knarr.errors import StatusError

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer


def create(server: ApiServer, request: Request) -> Response:
    eviction = request.object("policy/v1", "Eviction", "policy/v1beta1")
    namespace, name = request.params["namespace"], request.params["name"]
    metadata = eviction.get("metadata") or {}
    if metadata.get("namespace") not in (None, "", namespace):
        raise StatusError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if metadata.get("name") != name:
        raise StatusError.bad_request("name in URL does not match name in Eviction object")
    options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"} | (eviction.get("deleteOptions") or {})
    query = {"dryRun": "All"} if request.dry_run else {}
    # Decided on the pod as it is before anything is written: preconditions that do not hold leave it as it was.
    server.local.request("delete", "", "v1", "pods", namespace, name, query={"dryRun": "All"}, body=options)
    if not request.dry_run and not options.get("dryRun"):
        changed = disrupt(server, namespace, name, options.get("preconditions") or {})
        if "resourceVersion" in (options.get("preconditions") or {}):
            options["preconditions"] = options["preconditions"] | {"resourceVersion": changed}
    server.local.request("delete", "", "v1", "pods", namespace, name, query=query, body=options)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answer(request, status, 201)


def disrupt(server: ApiServer, namespace: str, name: str, preconditions: Object) -> str:
    """Says in the pod's status why it goes; answers the pod's resourceVersion after that."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    known = {field: preconditions[field] for field in ("uid", "resourceVersion") if field in preconditions}
    pod = server.local.request(
        "patch",
        "",
        "v1",
        "pods",
        namespace,
        name,
        "status",
        body={"metadata": known, "status": {"conditions": [condition]}},
        content_type="application/strategic-merge-patch+json",
    )
    return str(pod["metadata"]["resourceVersion"])


ROUTES = [Route("POST", "/api/v1/namespaces/{namespace}/pods/{name}/eviction", create)]
