"""Ask a real kube-apiserver for its verdict on every case; write it beside the Rust tests that assert the same of
knarr.

usage: python tests/differential/record.py https://127.0.0.1:16443 ADMIN.crt ADMIN.key > rust/knarr-
schema/testdata/verdicts.json
(the peer needs no controllers; namespaces `default` and the account `default/default` are made where missing)
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cases import Object, cases, change, updates

PLURAL = {"Endpoints": "endpoints"}


class Peer:
    """A kube-apiserver, spoken to as its administrator."""

    def __init__(self, url: str, cert: str, key: str) -> None:
        self.url = url
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.load_cert_chain(cert, key)

    def call(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object, list[str]]:
        """(code, answer, warnings)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, context=self.context) as answer:
                return answer.status, json.load(answer), warnings(answer.headers.get_all("Warning"))
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), []


def warnings(headers: list[str] | None) -> list[str]:
    """The texts of `299 - "text"`."""
    return [re.sub(r"\\(.)", r"\1", header.removeprefix('299 - "').removesuffix('"')) for header in headers or ()]


def path(obj: Object) -> str:
    version, kind = obj["apiVersion"], obj["kind"]
    plural = PLURAL.get(kind, kind.lower() + "s")
    base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = obj["metadata"].get("namespace")
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


def verdict(code: int, answer: Object, warned: list[str]) -> Any:
    if code in (200, 201):
        for field in ("uid", "creationTimestamp", "managedFields", "resourceVersion"):
            answer["metadata"].pop(field, None)
        return {"object": answer} | ({"warnings": warned} if warned else {})
    details = answer.get("details", {})
    if "causes" in details:
        return {"causes": [[c.get("reason", ""), c.get("field", ""), c.get("message", "")] for c in details["causes"]]}
    return {"code": code, "message": answer["message"]}


def main() -> None:
    peer = Peer(*sys.argv[1:4])
    peer.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    out: dict[str, list[Any]] = {"create": [], "update": []}
    for name, obj in cases():
        answered = peer.call("POST", path(obj) + "?dryRun=All&fieldValidation=Strict", obj)
        out["create"].append({"name": name, "given": obj, **verdict(*answered)})
    for name, old, places in updates():
        place = path(old)
        code, made, _ = peer.call("POST", place, old)
        if code != 201:
            raise SystemExit(f"{name}: {made['message']}")
        made["metadata"].pop("managedFields", None)
        one = f"{place}/{old['metadata']['name']}"
        new = change(made, **places)
        answered = peer.call("PUT", one + "?dryRun=All", new)
        # No controller runs there that would take off the finalizer with which some kinds orphan their pods.
        peer.call("DELETE", one + "?gracePeriodSeconds=0&propagationPolicy=Background")
        out["update"].append({"name": name, "given": made, "new": new, **verdict(*answered)})
    json.dump(out, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
