"""Goal: the pod state machine begins the right actions. Method: tables of (pod, observed) -> actions, and laws over
random pods (hypothesis): a run against a perfect runtime ends in the state that the spec asks for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from knarr.agent import step as steps
from knarr.agent.observed import CrashBackoff, Failure, Observed, ProbeState, Rejection
from knarr.agent.podspec import CONTAINER_HASH, RESTART_COUNT, container_hash
from knarr.agent.runtime import Container, ContainerState, Sandbox
from knarr.agent.status import Host, pod_status

NOW = 1_000_000.0
IMAGE = "i:1"


def pod(
    *names: str, init: tuple[dict[str, Any], ...] = (), policy: str = "Always", deleted: bool = False, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}
    if deleted:
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7}
    containers = [{"name": n, "image": IMAGE} for n in names or ("c",)]
    whole = {"restartPolicy": policy, "containers": containers, **spec}
    if init:
        whole["initContainers"] = list(init)
    return {"metadata": metadata, "spec": whole, "status": {}}


def init(name: str, sidecar: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, **({"restartPolicy": "Always"} if sidecar else {}), **more}


def box(attempt: int = 0, ready: bool = True) -> Sandbox:
    return Sandbox(f"s{attempt}", "p", "ns", "u", attempt, ready, attempt + 1, ("10.0.0.1",) if ready else ())


def ran(
    name: str,
    state: ContainerState = ContainerState.RUNNING,
    code: int = 0,
    attempt: int = 0,
    sandbox: int = 0,
    finished: float = NOW,
) -> Container:
    ended = state is ContainerState.EXITED
    return Container(
        id=f"{name}{attempt}",
        sandbox_id=f"s{sandbox}",
        name=name,
        attempt=attempt,
        state=state,
        created_at=attempt + 1,
        started_at=1,
        finished_at=int(finished * 1e9) if ended else 0,
        exit_code=code,
        annotations={RESTART_COUNT: str(attempt), CONTAINER_HASH: container_hash({"name": name, "image": IMAGE})},
    )


EXITED, CREATED = ContainerState.EXITED, ContainerState.CREATED


def seen(*containers: Container, boxes: tuple[Sandbox, ...] = (box(),), **more: Any) -> Observed:
    by_name: dict[str, tuple[Container, ...]] = {}
    for container in sorted(containers, key=lambda c: -c.attempt):
        by_name[container.name] = (*by_name.get(container.name, ()), container)
    return Observed(sandboxes=boxes, containers=by_name, **more)


def check(subject: dict[str, Any], observed: Observed, *expected: steps.Action, now: float = NOW) -> steps.Decision:
    decision = steps.step(subject, observed, now)
    assert decision.actions == expected
    return decision


def start(name: str, restarts: int = 0, delay: float | None = None) -> steps.StartContainer:
    return steps.StartContainer(name, restarts, None if delay is None else CrashBackoff(delay, NOW))


def test_a_new_pod_gets_a_sandbox_then_all_containers() -> None:
    check(pod("a", "b"), seen(boxes=()), steps.CreateSandbox(0))
    check(pod("a", "b"), seen(), start("a"), start("b"))
    check(pod("a", "b"), seen(ran("a"), ran("b")))


def test_a_sandbox_waits_for_volumes_that_failed_but_not_for_those_under_way() -> None:
    check(pod(), seen(boxes=(), volumes_ready=False), steps.CreateSandbox(0))
    check(pod(), seen(boxes=(), volumes_ready=False, volumes_failed=True))
    check(pod(), seen(volumes_ready=False))


def test_a_failed_sandbox_is_tried_again_later() -> None:
    decision = check(pod(), seen(boxes=(), sandbox_retry_at=NOW + 5))
    assert decision.wake_at == NOW + 5


def test_a_dead_sandbox_is_replaced_by_the_next_attempt() -> None:
    check(pod(), seen(ran("c", EXITED, 137), boxes=(box(0, ready=False),)), steps.CreateSandbox(1))
    check(pod(policy="Never"), seen(ran("c", EXITED, 137), boxes=(box(0, ready=False),)), steps.Cleanup())


def test_what_runs_in_a_sandbox_that_is_not_the_pods_is_ended_first() -> None:
    dead, kill = (box(0, ready=False),), steps.KillContainer("c0", "c", 30, "Stopping container c")
    check(pod("c", "d"), seen(ran("c"), ran("d", EXITED, 1), boxes=dead), kill)
    check(pod("c", "d"), seen(ran("c"), ran("d", EXITED, 1), boxes=(box(1), *dead)), kill)
    lost = replace(box(), ips=())
    check(pod(), seen(ran("c"), boxes=(lost,)), kill)


def test_a_ready_sandbox_without_address_is_stopped() -> None:
    lost = replace(box(), ips=())
    check(pod(), seen(boxes=(lost,)), steps.StopSandbox("s0"))
    check(pod(hostNetwork=True), seen(boxes=(lost,)), start("c"))


def test_init_containers_run_in_order_and_once() -> None:
    subject = pod(init=(init("i"), init("j")))
    check(subject, seen(), start("i"))
    check(subject, seen(ran("i")))
    check(subject, seen(ran("i", EXITED)), start("j"))
    check(subject, seen(ran("i", EXITED), ran("j", EXITED)), start("c"))
    check(subject, seen(ran("i", EXITED, 1), ran("j", EXITED)), start("i", 1, 10))


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    subject = pod(init=(init("i"),), policy="Never")
    check(subject, seen(ran("i", EXITED, 1)), steps.StopSandbox("s0"))


def test_sidecars_start_before_and_are_restarted_always() -> None:
    subject = pod(init=(init("side", sidecar=True), init("i")), policy="Never")
    check(subject, seen(), start("side"))
    check(subject, seen(ran("side")), start("i"))
    check(subject, seen(ran("side"), ran("i", EXITED)), start("c"))
    check(subject, seen(ran("side", EXITED), ran("i", EXITED), ran("c")), start("side", 1, 10))


def test_a_sidecar_with_a_startup_probe_holds_the_rest_back() -> None:
    subject = pod(init=(init("side", sidecar=True, startupProbe={}),))
    check(subject, seen(ran("side"), probes={"side0": ProbeState(started=False)}))
    check(subject, seen(ran("side"), probes={"side0": ProbeState()}), start("c"))


def test_what_follows_a_post_start_hook_waits_for_it() -> None:
    subject = pod("a", "b")
    subject["spec"]["containers"][0]["lifecycle"] = {"postStart": {"exec": {"command": ["true"]}}}
    a = replace(ran("a"), annotations={RESTART_COUNT: "0"})
    check(subject, seen(), start("a"))
    check(subject, seen(a, hooks=frozenset({"a0"})))
    check(subject, seen(a), start("b"))
    failed = {"a": Failure("ErrImagePull", "no", NOW + 3)}
    check(subject, seen(failures=failed), start("b"))
    sidecar = pod(init=(init("side", sidecar=True),))
    check(sidecar, seen(ran("side"), hooks=frozenset({"side0"})))
    check(sidecar, seen(ran("side")), start("c"))


def test_a_container_is_running_when_its_post_start_hook_has_ended() -> None:
    host = Host(("192.0.2.1",))
    during = pod_status(pod(), seen(ran("c"), hooks=frozenset({"c0"})), host, NOW)
    assert (during["phase"], during["containerStatuses"][0]["state"]) == (
        "Pending",
        {"waiting": {"reason": "ContainerCreating"}},
    )
    again = pod_status(pod(), seen(ran("c", EXITED, 1), ran("c", attempt=1), hooks=frozenset({"c1"})), host, NOW)
    assert again["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    after = pod_status(pod(), seen(ran("c")), host, NOW)
    assert after["phase"] == "Running" and "running" in after["containerStatuses"][0]["state"]


def test_restart_policies() -> None:
    for policy, code, restarted in (
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ):
        expected = (start("c", 1, 10),) if restarted else (steps.StopSandbox("s0"),)
        check(pod(policy=policy), seen(ran("c", EXITED, code)), *expected)


def test_crash_backoff_doubles_to_five_minutes_and_is_forgotten_after_ten() -> None:
    ended = ran("c", EXITED, 1, attempt=3, finished=NOW)
    held = {"c": CrashBackoff(20.0, NOW - 5)}
    decision = check(pod(), seen(ended, backoffs=held))
    assert decision.wake_at == NOW + 20
    assert decision.waiting["c"] == Failure(
        "CrashLoopBackOff", "back-off 20s restarting failed container=c pod=p_ns(u)", NOW + 20
    )
    later = NOW + 20
    check(pod(), seen(ended, backoffs=held), steps.StartContainer("c", 4, CrashBackoff(40.0, later)), now=later)
    longest = {"c": CrashBackoff(300.0, NOW - 5)}
    decision = check(pod(), seen(ended, backoffs=longest))
    assert "back-off 5m0s" in decision.waiting["c"].message
    at = NOW + 300
    check(pod(), seen(ended, backoffs=longest), steps.StartContainer("c", 4, CrashBackoff(300.0, at)), now=at)
    old = {"c": CrashBackoff(300.0, NOW - 601)}
    check(pod(), seen(ended, backoffs=old), start("c", 4, 10))


def test_a_container_that_could_not_start_waits_for_its_retry() -> None:
    failed = {"c": Failure("ErrImagePull", "no", NOW + 3)}
    assert check(pod(), seen(failures=failed)).wake_at == NOW + 3
    check(pod(), seen(failures=failed), start("c"), now=NOW + 3)


def test_probes_kill() -> None:
    dead = {"c0": ProbeState(failed="liveness")}
    text = "Container c failed liveness probe, will be restarted"
    check(pod(), seen(ran("c"), probes=dead), steps.KillContainer("c0", "c", 30, text, "liveness"))
    never = "Container c failed liveness probe"
    check(pod(policy="Never"), seen(ran("c"), probes=dead), steps.KillContainer("c0", "c", 30, never, "liveness"))
    own = pod()
    own["spec"]["containers"][0]["startupProbe"] = {"terminationGracePeriodSeconds": 3}
    startup = "Container c failed startup probe, will be restarted"
    slow = {"c0": ProbeState(started=False, failed="startup")}
    check(own, seen(ran("c"), probes=slow), steps.KillContainer("c0", "c", 3, startup, "startup"))


def test_a_container_killed_to_be_restarted_is_restarted_whatever_its_code() -> None:
    check(pod(policy="OnFailure"), seen(ran("c", EXITED), restarting=frozenset({"c"})), start("c", 1, 10))


def test_a_changed_image_restarts() -> None:
    subject = pod()
    subject["spec"]["containers"][0]["image"] = "i:2"
    text = "Container c definition changed, will be restarted"
    check(subject, seen(ran("c")), steps.KillContainer("c0", "c", 30, text))


def test_deletion_ends_containers_then_sidecars_backwards_then_the_sandbox() -> None:
    subject = pod("a", "b", init=(init("x", sidecar=True), init("y", sidecar=True)), deleted=True)

    def kill(name: str) -> steps.KillContainer:
        return steps.KillContainer(f"{name}0", name, 7, f"Stopping container {name}")

    check(subject, seen(ran("x"), ran("y"), ran("a"), ran("b")), kill("a"), kill("b"))
    check(subject, seen(ran("x"), ran("y"), ran("a", EXITED), ran("b")), kill("b"))
    check(subject, seen(ran("x"), ran("y"), ran("a", EXITED)), kill("y"))
    check(subject, seen(ran("x"), ran("y", EXITED)), kill("x"))
    check(subject, seen(ran("x", EXITED)), steps.StopSandbox("s0"))
    check(subject, seen(boxes=(box(ready=False),)), steps.Cleanup())
    check(subject, seen(boxes=(box(ready=False),), cleaned=True), steps.Forget())


def test_a_pod_gone_from_the_api_ends_at_once() -> None:
    check(pod(), seen(ran("c"), gone=True), steps.KillContainer("c0", "c", 1, "Stopping container c"))


def test_the_deadline_rejects_and_rejection_ends() -> None:
    subject = pod(activeDeadlineSeconds=10)
    subject["status"]["startTime"] = "1970-01-12T13:46:30Z"  # NOW - 10 s
    check(subject, seen(ran("c")), steps.Reject(steps.DEADLINE))
    assert check(subject, seen(ran("c")), now=NOW - 4).wake_at == NOW
    over = seen(ran("c"), rejection=steps.DEADLINE)
    check(subject, over, steps.KillContainer("c0", "c", 30, "Stopping container c"))
    check(subject, seen(boxes=(), rejection=Rejection("r", "m"), cleaned=True))


def test_the_deadline_passes_by_what_has_ended() -> None:
    subject = pod(policy="Never", activeDeadlineSeconds=10)
    subject["status"] = {"startTime": "1970-01-12T13:46:30Z", "phase": "Succeeded"}  # NOW - 10 s
    done = seen(ran("c", EXITED), boxes=(box(0, ready=False),), cleaned=True)
    assert check(subject, done).wake_at == math.inf
    late = pod_status(subject, replace(done, rejection=steps.DEADLINE), Host(("10.9.9.9",)), NOW)
    assert late["phase"] == "Succeeded" and "reason" not in late


def test_a_pod_has_not_ended_while_something_of_it_runs() -> None:
    for subject, observed, whole in (
        (pod(policy="Never", init=(init("s", sidecar=True),)), seen(ran("s"), ran("c", EXITED)), "Succeeded"),
        (pod(policy="Never", init=(init("s", sidecar=True), init("i"))), seen(ran("s"), ran("i", EXITED, 1)), "Failed"),
        (pod(), seen(ran("c"), rejection=steps.DEADLINE), "Failed"),
    ):
        subject["status"] = {"phase": "Running", "startTime": "1970-01-12T13:46:30Z"}
        status = pod_status(subject, observed, Host(("10.9.9.9",)), NOW)
        assert status["phase"] == "Running" and "reason" not in status
        (kill,) = steps.step({**subject, "status": status}, observed, NOW).actions
        assert isinstance(kill, steps.KillContainer)
        done = {n: tuple(replace(c, state=EXITED) for c in found) for n, found in observed.containers.items()}
        status = pod_status({**subject, "status": status}, replace(observed, containers=done), Host(("h",)), NOW)
        assert status["phase"] == whole
        assert status.get("reason") == (steps.DEADLINE.reason if observed.rejection else None)


def test_a_container_that_never_ran_began_at_the_beginning_of_time() -> None:
    never = replace(ran("c", EXITED, 128), started_at=0, reason="StartError")
    (entry,) = pod_status(pod(policy="Never"), seen(never), Host(("10.9.9.9",)), NOW)["containerStatuses"]
    assert entry["state"]["terminated"]["startedAt"] == "1970-01-01T00:00:00Z"


def test_statuses_of_containers_are_sorted_by_name() -> None:
    status = pod_status(pod("b", "a", init=(init("z"), init("y"))), seen(), Host(("10.9.9.9",)), NOW)
    assert [entry["name"] for entry in status["containerStatuses"]] == ["a", "b"]
    assert [entry["name"] for entry in status["initContainerStatuses"]] == ["z", "y"]


def test_old_records_are_removed() -> None:
    containers = [ran("c", EXITED, 1, attempt=n) for n in range(4)]
    decision = steps.step(pod(), seen(*containers, backoffs={"c": CrashBackoff(300, NOW)}), NOW)
    assert set(decision.actions) == {steps.RemoveContainer("c0"), steps.RemoveContainer("c1")}
    boxes = (box(1), box(0, ready=False))
    check(pod(), seen(ran("c", attempt=1, sandbox=1), boxes=boxes), steps.RemoveSandbox("s0"))


# Laws


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    mains = [f"m{n}" for n in range(draw(st.integers(1, 3)))]
    inits = tuple(init(f"i{n}", sidecar=draw(st.booleans())) for n in range(draw(st.integers(0, 3))))
    return pod(*mains, init=inits, policy=draw(st.sampled_from(["Always", "OnFailure", "Never"])))


class World:
    """A runtime that does what it is told at once; init containers end well by themselves, main ones by `codes`."""

    def __init__(self, subject: dict[str, Any], codes: dict[str, list[int]]) -> None:
        self.pod, self.codes = subject, codes
        self.observed = Observed()
        self.now = NOW
        self.done: list[steps.Action] = []
        self.sidecars = {c["name"] for c in subject["spec"].get("initContainers", ()) if c.get("restartPolicy")}

    def act(self, action: steps.Action) -> None:
        self.done.append(action)
        o = self.observed
        containers = dict(o.containers)
        match action:
            case steps.CreateSandbox(attempt):
                assert not any(s.ready for s in o.sandboxes)
                o = replace(o, sandboxes=(box(attempt), *o.sandboxes))
            case steps.StartContainer(name, restarts, backoff):
                found = containers.get(name, ())
                assert not any(c.state is ContainerState.RUNNING for c in found), f"{name} runs already"
                made = replace(ran(name, attempt=restarts, sandbox=o.sandboxes[0].attempt), id=f"{name}-{restarts}")
                containers[name] = (self._end(made), *found)
                backoffs = {**o.backoffs, **({name: backoff} if backoff else {})}
                o = replace(o, containers=containers, backoffs=backoffs)
            case steps.KillContainer(cid, name, _, _, _):
                assert containers[name][0].id == cid
                containers[name] = (self._exit(containers[name][0], 0), *containers[name][1:])
                o = replace(o, containers=containers)
            case steps.StopSandbox(sid):
                o = replace(o, sandboxes=tuple(replace(s, ready=s.ready and s.id != sid) for s in o.sandboxes))
            case steps.RemoveContainer(cid):
                o = replace(o, containers={n: tuple(c for c in f if c.id != cid) for n, f in containers.items()})
            case steps.RemoveSandbox(sid):
                o = replace(o, sandboxes=tuple(s for s in o.sandboxes if s.id != sid))
            case steps.Cleanup():
                assert not o.any_running()
                o = replace(o, cleaned=True)
            case steps.Forget() | steps.Reject():
                o = replace(o, gone=True)
        self.observed = o

    def _exit(self, container: Container, code: int) -> Container:
        return replace(container, state=EXITED, exit_code=code, finished_at=int(self.now * 1e9))

    def _end(self, container: Container) -> Container:
        if container.name in self.sidecars:
            return container
        if container.name.startswith("i"):
            return self._exit(container, 0)
        left = self.codes.get(container.name)
        return self._exit(container, left.pop(0)) if left else container

    def run(self, until: type[steps.Action] | None = None) -> None:
        for _ in range(200):
            decision = steps.step(self.pod, self.observed, self.now)
            for action in decision.actions:
                self.act(action)
                if until is not None and isinstance(action, until):
                    return
            status = pod_status(self.pod, self.observed, Host(("10.9.9.9",)), self.now)
            self.pod = {**self.pod, "status": status}
            if not decision.actions:
                if decision.wake_at == math.inf:
                    return
                self.now = max(self.now, decision.wake_at)
        raise AssertionError("no end in sight")


@settings(max_examples=150, deadline=None)
@given(pods(), st.dictionaries(st.sampled_from(["m0", "m1", "m2"]), st.lists(st.sampled_from([0, 1]), max_size=3)))
def test_every_pod_comes_to_rest_where_its_spec_says(subject: dict[str, Any], codes: dict[str, list[int]]) -> None:
    world = World(subject, codes)
    world.run()
    policy = subject["spec"]["restartPolicy"]
    phase = world.pod["status"]["phase"]
    running = [c["name"] for c in subject["spec"]["containers"] if world.observed.running(c["name"])]
    if policy == "Always":
        assert phase == "Running" and len(running) == len(subject["spec"]["containers"])
    if not running:
        assert phase in ("Succeeded", "Failed")
        assert not world.observed.any_running(), "a sidecar outlives what it serves"
        assert not any(s.ready for s in world.observed.sandboxes)
    assert steps.step(world.pod, world.observed, world.now).actions == ()


@settings(max_examples=100, deadline=None)
@given(pods(), st.integers(0, 12))
def test_a_pod_deleted_at_any_moment_is_forgotten_with_nothing_left(subject: dict[str, Any], after: int) -> None:
    world = World(subject, {})
    for _ in range(after):
        for action in steps.step(world.pod, world.observed, world.now).actions[:1]:
            world.act(action)
    metadata = {**world.pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 1}
    world.pod = {**world.pod, "metadata": metadata}
    world.run(until=steps.Forget)
    assert isinstance(world.done[-1], steps.Forget)
    assert not world.observed.any_running() and not any(s.ready for s in world.observed.sandboxes)
