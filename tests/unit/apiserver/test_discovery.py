"""Goal: discovery says what kube-apiserver says of the same kinds. Method: its answers for some kinds, copied, are
the expectation.
"""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
from knarr.apiserver import discovery

ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
STATUS = {"name": "status", "verbs": ["get", "patch", "update"]}
POD = {
    "group": "",
    "version": "v1",
    "kind": "Pod",
    "plural": "pods",
    "singular": "pod",
    "short": ["po"],
    "categories": ["all"],
    "namespaced": True,
    "verbs": ALL,
    "subresources": [
        STATUS,
        {"name": "eviction", "verbs": ["create"], "group": "policy", "version": "v1", "kind": "Eviction"},
        {"name": "binding", "verbs": ["create"], "group": "", "version": "v1", "kind": "Binding"},
    ],
}
DEPLOYMENT = {
    "group": "apps",
    "version": "v1",
    "kind": "Deployment",
    "plural": "deployments",
    "singular": "deployment",
    "short": ["deploy"],
    "categories": ["all"],
    "namespaced": True,
    "verbs": ALL,
    "subresources": [
        STATUS,
        {
            "name": "scale",
            "verbs": ["get", "patch", "update"],
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
        },
    ],
}
REVIEW = {
    "group": "authorization.k8s.io",
    "version": "v1",
    "kind": "SelfSubjectAccessReview",
    "plural": "selfsubjectaccessreviews",
    "singular": "selfsubjectaccessreview",
    "namespaced": False,
    "verbs": ["create"],
}
KINDS = [REVIEW, POD, DEPLOYMENT]


def test_resources_of_a_version() -> None:
    assert discovery.api_resource_list(KINDS, "", "v1") == {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": "pods",
                "singularName": "pod",
                "namespaced": True,
                "kind": "Pod",
                "verbs": ALL,
                "shortNames": ["po"],
                "categories": ["all"],
                "storageVersionHash": "xPOwRZ+Yhw8=",
            },
            {"name": "pods/binding", "singularName": "", "namespaced": True, "kind": "Binding", "verbs": ["create"]},
            {
                "name": "pods/eviction",
                "singularName": "",
                "namespaced": True,
                "group": "policy",
                "version": "v1",
                "kind": "Eviction",
                "verbs": ["create"],
            },
            {
                "name": "pods/status",
                "singularName": "",
                "namespaced": True,
                "kind": "Pod",
                "verbs": ["get", "patch", "update"],
            },
        ],
    }
    assert discovery.api_resource_list(KINDS, "apps", "v2") is None


def test_groups() -> None:
    apps = {"groupVersion": "apps/v1", "version": "v1"}
    assert discovery.api_group(KINDS, "apps") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "apps",
        "versions": [apps],
        "preferredVersion": apps,
    }
    assert discovery.api_group(KINDS, "none") is None
    assert [g["name"] for g in discovery.api_group_list(KINDS)["groups"]] == ["apps", "authorization.k8s.io"]


def test_aggregated() -> None:
    core = discovery.aggregated(KINDS, True)
    assert (core["apiVersion"], core["items"][0]["metadata"]) == ("apidiscovery.k8s.io/v2", {})
    named = discovery.aggregated(KINDS, False, "v2beta1")
    assert named["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert named["items"][0] == {
        "metadata": {"name": "apps"},
        "versions": [
            {
                "version": "v1",
                "resources": [
                    {
                        "resource": "deployments",
                        "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                        "scope": "Namespaced",
                        "singularResource": "deployment",
                        "verbs": ALL,
                        "shortNames": ["deploy"],
                        "categories": ["all"],
                        "subresources": [
                            {
                                "subresource": "scale",
                                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                                "verbs": ["get", "patch", "update"],
                            },
                            {
                                "subresource": "status",
                                "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                                "verbs": ["get", "patch", "update"],
                            },
                        ],
                    }
                ],
                "freshness": "Current",
            }
        ],
    }


def test_accept() -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
    client_go = ",".join([aggregated.format("v2"), aggregated.format("v2beta1"), "application/json"])
    assert discovery.accepted_form(client_go) == "v2"
    assert discovery.accepted_form(aggregated.format("v3") + "," + aggregated.format("v2beta1")) == "v2beta1"
    assert discovery.accepted_form("application/json," + aggregated.format("v2")) == ""
    assert discovery.accepted_form("") == ""


def test_versions_in_order() -> None:
    given = ["v1alpha1", "v1", "foo", "v2", "v1beta1", "v1beta2", "v10"]
    assert sorted(given, key=discovery.version_rank) == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]


@hypothesis.given(st.text(alphabet="v12alphbet", max_size=12))
def test_any_version_has_a_rank(version: str) -> None:
    assert discovery.version_rank(version)[3] == version


def test_etag_follows_the_bytes() -> None:
    assert discovery.etag(b"a") != discovery.etag(b"b")
    assert discovery.etag(b"a") == discovery.etag(b"a")
