"""Containers: ports, environment, resources, and what only the main or only the init ones may have."""

from knarr.declare import TypeRules, native_default, set_to
from knarr.declare.rules import (
    apply,
    at,
    between,
    count_of,
    fail,
    first,
    forbidden_pointer,
    is_set,
    is_value,
    name,
    native,
    one_of,
    required,
    text,
    unique,
    when,
)

from .probe import LIFECYCLE, ONCE_PROBE, READINESS_PROBE
from .security import SECURITY_CONTEXT

CONTAINER_PORT = TypeRules(
    "ContainerPort",
    type="io.k8s.api.core.v1.ContainerPort",
    defaults=(set_to("protocol", "TCP"),),
    rules=(
        at("name", text("portName")),
        at("containerPort", first(required(number=True), between(1, 65535))),
        at("hostPort", between(1, 65535)),
        at("protocol", one_of("SCTP", "TCP", "UDP", required=True)),
    ),
)

OBJECT_FIELD_SELECTOR = TypeRules(
    "ObjectFieldSelector",
    type="io.k8s.api.core.v1.ObjectFieldSelector",
    defaults=(set_to("apiVersion", "v1"),),
)

KEY_SELECTOR = TypeRules(
    "KeySelector",
    rules=(
        at("name", text("dns1123Subdomain", empty=True)),
        at("key", first(required(), text("configMapKey"))),
    ),
)

ENV_VAR = TypeRules(
    "EnvVar",
    rules=(
        at("name", first(required(), text("relaxedEnvVarName"))),
        when(
            is_set("valueFrom", pointer=True),
            at(
                "valueFrom",
                at("fieldRef", when(is_set(pointer=True), native("envFieldRef"))),
                at("resourceFieldRef", when(is_set(pointer=True), native("envResourceRef"))),
                at("configMapKeyRef", when(is_set(pointer=True), apply("KeySelector"))),
                at("secretKeyRef", when(is_set(pointer=True), apply("KeySelector"))),
                first(
                    when(
                        count_of(
                            ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"), 0, 0
                        ),
                        fail(
                            "invalid",
                            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                            value="",
                        ),
                    ),
                    when(
                        is_set("$.value"), fail("invalid", "may not be specified when `value` is not empty", value="")
                    ),
                    when(
                        count_of(("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"), 2),
                        fail("invalid", "may not have more than one field specified at a time", value=""),
                    ),
                ),
            ),
        ),
    ),
    uses=(OBJECT_FIELD_SELECTOR, KEY_SELECTOR),
)

CONTAINER = TypeRules(
    "Container",
    type="io.k8s.api.core.v1.Container",
    defaults=(
        native_default("imagePullPolicy"),
        set_to("terminationMessagePath", "/dev/termination-log"),
        set_to("terminationMessagePolicy", "File"),
    ),
    rules=(
        at("name", name("dns1123Label")),
        at("image", required()),
        at("terminationMessagePolicy", one_of("File", "FallbackToLogsOnError", required=True)),
        at("ports", at("[*]", apply("ContainerPort")), unique("name", report="name", skip_empty=True)),
        at("env[*]", apply("EnvVar")),
        native("envFrom"),
        at("volumeMounts", native("mounts")),
        at("volumeDevices", native("devices")),
        at("imagePullPolicy", one_of("Always", "IfNotPresent", "Never", required=True)),
        at("resources", native("containerResources")),
        native("resizePolicy"),
        at("securityContext", when(is_set(pointer=True), apply("SecurityContext"))),
    ),
    uses=(CONTAINER_PORT, ENV_VAR, SECURITY_CONTEXT),
)

_PROBES = (
    at("lifecycle", when(is_set(pointer=True), apply("Lifecycle"))),
    at("livenessProbe", when(is_set(pointer=True), apply("Probe.once"))),
    at("readinessProbe", when(is_set(pointer=True), apply("Probe.readiness"))),
    at("startupProbe", when(is_set(pointer=True), apply("Probe.once"))),
)

_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"

#: The rules of a PodSpec's `containers`, beyond those of every container. `$` is the container.
MAIN_CONTAINER = TypeRules(
    "Container.main",
    rules=(*_PROBES,),
    uses=(LIFECYCLE, ONCE_PROBE, READINESS_PROBE),
)

INIT_CONTAINER = TypeRules(
    "Container.init",
    rules=(
        when(
            is_value("restartPolicy", "Always"),
            *_PROBES,
            otherwise=[
                at(field, forbidden_pointer(_ONLY_SIDECARS))
                for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
            ],
        ),
    ),
    uses=(LIFECYCLE, ONCE_PROBE, READINESS_PROBE),
)

__all__ = ["CONTAINER", "INIT_CONTAINER", "MAIN_CONTAINER"]
