"""pods/eviction: a deletion that policies may object to. Source: kube-apiserver 1.34, policy/v1 Eviction.

No PodDisruptionBudget exists here, so nothing objects; preconditions and grace period are passed on to the deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knarr.apiserver.http import Request, Response, Route, answer
from knarr.errors import StatusError

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer


def create(server: ApiServer, request: Request) -> Response:
    eviction = request.object("policy/v1", "Eviction")
    namespace, name = request.params["namespace"], request.params["name"]
    named = (eviction.get("metadata") or {}).get("name")
    if named not in (None, "", name):
        raise StatusError.bad_request(f"name in URL does not match name in Eviction object: {named}")
    options = {"apiVersion": "v1", "kind": "DeleteOptions"} | (eviction.get("deleteOptions") or {})
    query = {"dryRun": "All"} if request.dry_run else {}
    server.local.request("delete", "", "v1", "pods", namespace, name, query=query, body=options)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answer(request, status, 201)


ROUTES = [Route("POST", "/api/v1/namespaces/{namespace}/pods/{name}/eviction", create)]
