"""What HTTP adds to the API: strangers, both versions of HTTP, cached documents, discovery, probes; and namespaces
that end.

Against another cluster than knarr the differences that knarr wants are left out.
"""

from __future__ import annotations

import json
import subprocess

import pytest
from clusters import eventually
from targets import Answer, Target

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/api/v1/pods", "/metrics", "/openapi/v2", "/nonsense"])
def test_a_stranger_is_told_nothing(target: Target, path: str) -> None:
    if target.foreign:
        pytest.skip("anonymous requests are a user of their own there")
    answer = target.http("GET", path, certified=False)
    assert (answer.code, answer.message) == (401, "Unauthorized")


def test_a_stranger_may_ask_for_health_version_and_the_ca(target: Target) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert target.http("GET", path, certified=False).body == b"ok"
    assert target.http("GET", "/version", certified=False).json()["minor"] == "34"
    if not target.foreign:
        certificate = target.http("GET", "/ca.crt", certified=False, headers={"Accept": "*/*"}).body
        assert certificate.strip() == target.ca.read_bytes().strip()


def test_the_root_says_where_one_can_look_on(target: Target) -> None:
    paths = target.get("/")["paths"]
    assert {"/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/version"} <= set(paths) and paths == sorted(paths)
    if not target.foreign:
        assert {path: target.http("GET", path).code for path in paths} == dict.fromkeys(paths, 200)


def test_the_probes_list_their_checks(target: Target) -> None:
    text = target.http("GET", "/readyz?verbose").body.decode()
    lines = text.splitlines()
    assert lines[-1] == "readyz check passed" and all(line.startswith("[+]") for line in lines[:-1]) and len(lines) > 1


def test_metrics_are_prometheus_text_and_count_requests(target: Target) -> None:
    target.get("/api/v1/namespaces/default")
    text = target.http("GET", "/metrics").body.decode()
    assert "apiserver_request_total{" in text and "# TYPE apiserver_request_duration_seconds histogram" in text


@pytest.mark.parametrize("version,shown", [("--http1.1", "1.1"), ("--http2", "2")])
def test_both_versions_of_http_give_the_same(target: Target, version: str, shown: str) -> None:
    path = "/api/v1/namespaces/default"
    done = subprocess.run(
        [
            *("curl", "-sS", version, "--noproxy", "*", "-H", "User-Agent: test"),
            *("--cacert", target.ca, "--cert", target.cert, "--key", target.key),
            *("-w", "\n%{http_version} %{http_code}", f"{target.url}{path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, told = done.stdout.rpartition("\n")
    assert told == f"{shown} 200"
    assert json.loads(body)["metadata"]["uid"] == target.get(path)["metadata"]["uid"]


@pytest.mark.parametrize(
    "path,accept", [("/api", AGGREGATED), ("/apis", AGGREGATED), ("/openapi/v2", "application/json")]
)
def test_documents_carry_an_etag_and_are_not_sent_twice(target: Target, path: str, accept: str) -> None:
    def ask(**headers: str) -> Answer:
        return target.http("GET", path, headers={"Accept": accept, **headers})

    first = ask()
    etag = first.headers["etag"]
    assert first.code == 200 and etag
    again = ask(**{"If-None-Match": etag})
    assert (again.code, again.body) == (304, b"")
    assert ask(**{"If-None-Match": '"other"'}).body == first.body


def test_openapi_v3_has_hashed_addresses_that_may_be_kept_for_ever(target: Target) -> None:
    paths = target.get("/openapi/v3")["paths"]
    address = paths["api/v1"]["serverRelativeURL"]
    assert address.startswith("/openapi/v3/api/v1?hash=")
    document = target.http("GET", address)
    assert document.code == 200 and "io.k8s.api.core.v1.Pod" in document.json()["components"]["schemas"]
    assert "immutable" in document.headers["cache-control"] and "public" in document.headers["cache-control"]
    old = target.http("GET", "/openapi/v3/api/v1?hash=OLD")
    assert (old.code, old.headers["location"]) == (301, address)


def test_legacy_and_aggregated_discovery_tell_the_same(target: Target) -> None:
    aggregated = target.http("GET", "/apis", headers={"Accept": AGGREGATED}).json()
    groups = {group["metadata"]["name"]: group for group in aggregated["items"]}
    assert set(groups) == {group["name"] for group in target.get("/apis")["groups"]}
    for version in groups["apps"]["versions"]:
        legacy = target.get(f"/apis/apps/{version['version']}")["resources"]
        plain = {each["name"]: each for each in legacy if "/" not in each["name"]}
        assert set(plain) == {each["resource"] for each in version["resources"]}
        for each in version["resources"]:
            assert sorted(each["verbs"]) == sorted(plain[each["resource"]]["verbs"])
            subresources = {f"{each['resource']}/{sub['subresource']}" for sub in each.get("subresources", ())}
            assert subresources == {
                other["name"] for other in legacy if other["name"].startswith(f"{each['resource']}/")
            }


def test_a_namespace_ends_with_all_that_is_in_it_and_takes_nothing_new_meanwhile(target: Target) -> None:
    name = target.namespace("api-ends")
    path = f"/api/v1/namespaces/{name}"
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    target.post(f"{path}/configmaps", held)
    target.post(f"{path}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert target.http("DELETE", path).json()["status"]["phase"] == "Terminating"
    refused = target.http("POST", f"{path}/configmaps", {**held, "metadata": {"name": "late"}})
    assert refused.code == 403 and "because it is being terminated" in refused.message
    assert refused.json()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    eventually(lambda: target.get(f"{path}/secrets")["items"] == [])
    # what is held holds the namespace
    assert target.get(path)["status"]["phase"] == "Terminating"
    release = {"Content-Type": "application/merge-patch+json"}
    released = target.http("PATCH", f"{path}/configmaps/held", b'{"metadata":{"finalizers":null}}', headers=release)
    assert released.code == 200
    eventually(lambda: target.http("GET", path).code == 404)


def test_a_token_ends_with_its_service_account(target: Target) -> None:
    name = target.namespace("api-token")
    path = f"/api/v1/namespaces/{name}/serviceaccounts"
    target.post(path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = target.post(f"{path}/robot/token", request)["status"]["token"]
    assert target.http("GET", "/api", token=token).code == 200
    assert target.http("DELETE", f"{path}/robot").code == 200
    # a server may keep what it knows of a token for some seconds
    eventually(lambda: target.http("GET", "/api", token=token).code == 401, 20)
    target.drop(name)
