"""Hooks written in Python, from a kind's declaration to the answer of a request.

Goal: each step is asked when it is due, with what it is promised; what it answers is used; an exception costs the
request it was raised for, and nothing else. Method: a kind with one hook a step, driven through `Machinery.handle`
over a store on disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from knarr import _core
from knarr.declare import Kind
from knarr.declare.rules import meta_create, meta_update

Object = dict[str, Any]
Hook = Callable[[Object, Object, Object | None], Any]
NOTES = ("example.dev", "v1", "notes")


class Recorder:
    """Hooks that note what they were called with; `answers` says what each does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Object, Object, Object | None]] = []
        self.answers: dict[str, Hook] = {}

    def hook(self, step: str) -> Hook:
        def call(request: Object, new: Object, old: Object | None) -> Any:
            self.calls.append((step, request, new, old))
            answer = self.answers.get(step)
            return answer(request, new, old) if answer else None

        return call

    def steps(self) -> list[str]:
        steps = [step for step, *_ in self.calls]
        self.calls.clear()
        return steps


STEPS = ("mutate", "prepareCreate", "prepareUpdate", "validateCreate", "validateUpdate")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def machinery(tmp_path: Path, recorder: Recorder) -> Iterator[_core.Machinery]:
    store = _core.Store.open(str(tmp_path / "store"), fsync=False)
    types = files("knarr.api").joinpath("_tables", "types.json.zz").read_bytes()
    served = _core.Machinery(store, types)
    kind = Kind(
        group=NOTES[0],
        version=NOTES[1],
        kind="Note",
        plural=NOTES[2],
        type="io.k8s.api.core.v1.ConfigMap",
        create=(meta_create("dns1123Subdomain"),),
        update=(meta_update(),),
        hooks={step: recorder.hook(step) for step in STEPS},
    )
    served.add_kind(kind.encode(), dict(kind.hooks))
    yield served
    del served
    store.close()


def send(
    machinery: _core.Machinery, verb: str, name: str = "", body: Object | None = None, **query: str
) -> tuple[int, Object]:
    kind = "application/merge-patch+json" if verb == "patch" else "application/json"
    code, _, answer = machinery.handle(
        ("ann", ["team"]),
        verb,
        *NOTES,
        namespace="default",
        name=name,
        query=query,
        body=json.dumps(body).encode() if body is not None else None,
        content_type=kind,
    )
    return code, json.loads(answer)


def note(name: str, **data: str) -> Object:
    return {"apiVersion": "example.dev/v1", "kind": "Note", "metadata": {"name": name}, "data": data}


def test_each_step_is_asked_when_it_is_due(machinery: _core.Machinery, recorder: Recorder) -> None:
    assert send(machinery, "create", body=note("a", k="1"))[0] == 201
    step, request, new, old = recorder.calls[0]
    assert (step, old) == ("mutate", None)
    assert request == {
        "operation": "create",
        "user": "ann",
        "groups": ["team"],
        "namespace": "default",
        "name": "a",
        "subresource": "",
        "dryRun": False,
    }
    assert new["data"] == {"k": "1"}
    assert recorder.steps() == ["mutate", "prepareCreate", "validateCreate"]
    assert send(machinery, "patch", "a", {"data": {"k": "2"}}, dryRun="All")[0] == 200
    step, request, new, old = recorder.calls[-1]
    assert (step, request["operation"], request["dryRun"]) == ("validateUpdate", "update", True)
    assert old is not None
    assert (old["data"], new["data"]) == ({"k": "1"}, {"k": "2"})
    assert recorder.steps() == ["mutate", "prepareUpdate", "validateUpdate"]
    assert send(machinery, "get", "a")[0] == send(machinery, "list")[0] == send(machinery, "delete", "a")[0] == 200
    assert recorder.steps() == []


def test_what_mutates_changes_the_object_and_what_validates_refuses_it(
    machinery: _core.Machinery, recorder: Recorder
) -> None:
    recorder.answers["mutate"] = lambda request, new, old: new | {"data": new["data"] | {"by": request["user"]}}
    recorder.answers["validateCreate"] = lambda request, new, old: [
        {"field": "data.k", "reason": "Invalid", "value": new["data"]["k"], "detail": "no zeros"}
        for _ in range(new["data"]["k"] == "0")
    ]
    code, made = send(machinery, "create", body=note("a", k="1"))
    assert (code, made["data"]) == (201, {"k": "1", "by": "ann"})
    code, refused = send(machinery, "create", body=note("b", k="0"))
    assert code == 422
    assert refused["message"] == 'Note.example.dev "b" is invalid: data.k: Invalid value: "0": no zeros'
    assert refused["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "0": no zeros', "field": "data.k"}
    ]
    assert send(machinery, "get", "b")[0] == 404


@pytest.mark.parametrize("step", ["mutate", "prepareCreate", "validateCreate"])
@pytest.mark.parametrize("broken", ["raises", "answers nonsense"])
def test_a_broken_hook_costs_its_request_and_no_other(
    machinery: _core.Machinery,
    recorder: Recorder,
    capfd: pytest.CaptureFixture[str],
    step: str,
    broken: str,
) -> None:
    def hook(request: Object, new: Object, old: Object | None) -> Any:
        if request["name"] != "bad":
            return None
        if broken == "raises":
            raise LookupError("no such shelf")
        return [{"reason": "Whatever"}] if step.startswith("validate") else {"data": 7}

    recorder.answers[step] = hook
    codes: dict[str, int] = {}

    def create(name: str) -> None:
        code, answer = send(machinery, "create", body=note(name))
        codes[name] = code
        if name == "bad":
            assert (answer["kind"], answer["reason"]) == ("Status", "InternalError")
            assert step in answer["message"]

    threads = [threading.Thread(target=create, args=(name,)) for name in ("a", "b", "bad", "c", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert codes == {"a": 201, "b": 201, "bad": 500, "c": 201, "d": 201}
    assert send(machinery, "get", "bad")[0] == 404
    if broken == "raises":
        assert "LookupError: no such shelf" in capfd.readouterr().err
