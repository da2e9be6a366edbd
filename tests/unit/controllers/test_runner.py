"""Goal: what the runner makes of a refused write. Method: a client that refuses."""

from __future__ import annotations

from typing import Any, cast

import pytest
from knarr.client.errors import ApiError, Forbidden
from knarr.client.protocol import Client, Resource
from knarr.controllers.runtime.declare import Controller, Views
from knarr.controllers.runtime.metrics import Metrics
from knarr.controllers.runtime.plan import Plan, Write
from knarr.controllers.runtime.runner import Runner

PODS = Resource("", "v1", "pods", "Pod")
ENDING = {"causes": [{"reason": "NamespaceTerminating", "message": "namespace n is being terminated"}]}


class Refusing:
    def __init__(self, error: ApiError) -> None:
        self._error = error

    async def create(self, *_: Any, **__: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(("details", "failed"), [(ENDING, False), ({}, True)])
async def test_nothing_is_tried_again_in_a_namespace_that_ends(details: dict[str, Any], failed: bool) -> None:
    error = Forbidden(403, "Forbidden", "pods is forbidden", details=details)

    async def client(_account: str) -> Client:
        return cast(Client, Refusing(error))

    controller = Controller(name="c", account="c", watches=(), writes=(), reconcile=lambda *_: Plan())
    runner = Runner(controller, Views({}), {}, client, Metrics())
    plan = Plan()
    plan.writes.append(Write("create", PODS, "n", "p", {"metadata": {"name": "p"}}))
    assert (await runner._execute("n/p", plan) is not None) == failed
