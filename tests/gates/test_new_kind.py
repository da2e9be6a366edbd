"""Gate 2: a serving ApiServer is handed a kind from one Python file, and serves it from then on, whole.

Goal: discovery, defaults, validation with causes by field, immutable fields, status apart, table, watch and
server-side apply work for a kind that was not there when the server started; clients of other kinds notice nothing. A
second hand-over of a changed file takes the first one's place in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.http2 import Connection, Request
from bench.servers import Composed

FILE = Path(__file__).with_name("cronjob.py")
PATH = "/apis/batch/v1/namespaces/bench/cronjobs"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"


def cronjob(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    """As a user writes it; the schedule may be taken away by schedule=None."""
    template = {
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a/b"}]}}}
    }
    whole = {"schedule": "0 3 * * *", "jobTemplate": template} | spec
    kept = {key: value for key, value in whole.items() if value is not None}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": kept}


class Client:
    """Requests in JSON, answers as objects."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:
        stream = self.connection.start(
            Request(method, path, json.dumps(body).encode() if body is not None else b"", content_type, accept)
        )
        while not stream.ended:
            self.connection.receive()
        text = bytes(stream.body)
        return stream.status, json.loads(text) if text.startswith(b"{") else text.decode()


@pytest.fixture
def client(composed: Composed) -> Iterator[Client]:
    """A client of a server that got the kind while it served."""
    with composed.connect() as connection:
        yield introduced(composed, Client(connection))


def introduced(composed: Composed, client: Client) -> Client:
    # discovery was asked for before: what is cached of it must be renewed
    code, groups = client("GET", "/apis")
    assert code == 200 and "batch" not in [group["name"] for group in groups["groups"]]
    assert client("GET", PATH)[0] == 404
    seen: list[bytes] = []
    client.connection.watch("/api/v1/namespaces/bench/serviceaccounts?watch=1", seen.append)
    assert composed.ask(f"add {FILE}") == "added"
    before = len(seen)
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}
    assert client("POST", "/api/v1/namespaces/bench/serviceaccounts", body)[0] == 201
    client.connection.idle(0.3)
    assert len(seen) > before, "a watch of another kind ended when the kind came"
    return client


def test_discovery_names_it(client: Client) -> None:
    code, groups = client("GET", "/apis")
    assert code == 200 and "batch" in [group["name"] for group in groups["groups"]]
    code, found = client("GET", "/apis/batch/v1")
    assert code == 200
    by_name = {each["name"]: each for each in found["resources"]}
    assert by_name["cronjobs"]["kind"] == "CronJob" and by_name["cronjobs"]["shortNames"] == ["cj"]
    assert "watch" in by_name["cronjobs"]["verbs"] and "cronjobs/status" in by_name
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    code, found = client("GET", "/apis", accept=aggregated)
    assert code == 200 and "batch" in [item["metadata"]["name"] for item in found["items"]]
    code, index = client("GET", "/openapi/v3")
    assert code == 200 and "apis/batch/v1" in index["paths"]
    code, document = client("GET", index["paths"]["apis/batch/v1"]["serverRelativeURL"])
    assert code == 200 and "io.k8s.api.batch.v1.CronJob" in document["components"]["schemas"]


def test_defaults_and_status(client: Client) -> None:
    code, made = client("POST", PATH, cronjob() | {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}})
    assert code == 201, made
    spec = made["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert made["metadata"]["generation"] == 1 and made.get("status") == {}
    made["spec"]["schedule"] = "1 3 * * *"
    code, updated = client("PUT", f"{PATH}/nightly", made)
    assert (code, updated["metadata"]["generation"]) == (200, 2), updated
    updated["status"] = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
    updated["spec"]["schedule"] = "2 3 * * *"
    code, told = client("PUT", f"{PATH}/nightly/status", updated)
    assert code == 200, told
    assert (told["spec"]["schedule"], told["metadata"]["generation"]) == ("1 3 * * *", 2)
    assert told["status"] == {"lastScheduleTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"schedule": None}, "FieldValueRequired", "spec.schedule"),
        ({"concurrencyPolicy": "Perhaps"}, "FieldValueNotSupported", "spec.concurrencyPolicy"),
        ({"failedJobsHistoryLimit": -1}, "FieldValueInvalid", "spec.failedJobsHistoryLimit"),
    ],
)
def test_validation(client: Client, spec: dict[str, Any], reason: str, field: str) -> None:
    code, status = client("POST", PATH, cronjob(**spec))
    assert (code, status["reason"]) == (422, "Invalid"), status
    assert [(cause["reason"], cause["field"]) for cause in status["details"]["causes"]] == [(reason, field)]
    assert status["message"].startswith('CronJob.batch "nightly" is invalid: ')
    assert client("GET", f"{PATH}/nightly")[0] == 404


def test_what_is_immutable_and_what_is_unknown(client: Client) -> None:
    code, made = client("POST", PATH, cronjob(timeZone="Etc/UTC"))
    assert code == 201, made
    made["spec"]["timeZone"] = "Europe/Paris"
    code, status = client("PUT", f"{PATH}/nightly", made)
    assert code == 422 and status["details"]["causes"][0]["message"].endswith("field is immutable"), status
    code, status = client("POST", f"{PATH}?fieldValidation=Strict", cronjob("other", colour="blue"))
    assert code == 400 and 'unknown field "spec.colour"' in status["message"], status


def test_table_and_watch(client: Client) -> None:
    seen: list[bytes] = []
    client.connection.watch(f"{PATH}?watch=1", seen.append)
    assert client("POST", PATH, cronjob())[0] == 201
    code, table = client("GET", PATH, accept=TABLE)
    assert code == 200
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Schedule", "Suspend", "Active", "Age"]
    assert table["rows"][0]["cells"][:4] == ["nightly", "0 3 * * *", False, 0]
    assert client("DELETE", f"{PATH}/nightly")[0] == 200
    client.connection.idle(0.3)
    events = [json.loads(line) for line in b"".join(seen).splitlines()]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "nightly"),
        ("DELETED", "nightly"),
    ]


def test_server_side_apply(client: Client) -> None:
    code, made = client("PATCH", f"{PATH}/nightly?fieldManager=one", cronjob(suspend=True), APPLY)
    assert code == 201, made
    owned = [each for each in made["metadata"]["managedFields"] if each["manager"] == "one"]
    assert owned[0]["operation"] == "Apply" and "f:suspend" in owned[0]["fieldsV1"]["f:spec"]
    other = cronjob(suspend=False)
    other["spec"] = {"suspend": False}
    code, status = client("PATCH", f"{PATH}/nightly?fieldManager=two", other, APPLY)
    assert (code, status["reason"]) == (409, "Conflict"), status
    assert [cause["field"] for cause in status["details"]["causes"]] == [".spec.suspend"]
    code, forced = client("PATCH", f"{PATH}/nightly?fieldManager=two&force=true", other, APPLY)
    assert code == 200 and forced["spec"]["suspend"] is False
    assert forced["spec"]["schedule"] == "0 3 * * *"


def test_a_changed_file_takes_its_place(client: Client, composed: Composed, tmp_path: Path) -> None:
    assert client("POST", PATH, cronjob())[0] == 201
    changed = tmp_path / "cronjob.py"
    changed.write_text(FILE.read_text().replace('"Allow", "Forbid", "Replace"', '"Allow", "Perhaps"'))
    assert composed.ask(f"add {changed}") == "added"
    assert client("POST", PATH, cronjob("second", concurrencyPolicy="Perhaps"))[0] == 201
    assert client("POST", PATH, cronjob("third", concurrencyPolicy="Forbid"))[0] == 422
    _, found = client("GET", PATH)
    assert [item["metadata"]["name"] for item in found["items"]] == ["nightly", "second"], (
        "what was stored before is still served"
    )


def test_a_kind_that_cannot_be_compiled_changes_nothing(client: Client, composed: Composed, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(FILE.read_text().replace("io.k8s.api.batch.v1.CronJobSpec", "io.k8s.api.batch.v1.NoSuchType"))
    said = composed.ask(f"add {broken}")
    assert said.startswith("refused: ") and "NoSuchType" in said, said
    assert client("POST", PATH, cronjob())[0] == 201
