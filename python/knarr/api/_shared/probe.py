"""Probes and lifecycle handlers: what a kubelet does to a container."""

from knarr.declare import TypeRules, set_to
from knarr.declare.json import Nodes
from knarr.declare.rules import (
    apply,
    at,
    between,
    fail,
    is_set,
    is_unset,
    is_value,
    native,
    not_,
    one_of,
    required,
    union,
    when,
)

_MANY = "may not specify more than 1 handler type"
_NONE = "must specify a handler type"

HTTP_GET_ACTION = TypeRules(
    "HTTPGetAction",
    type="io.k8s.api.core.v1.HTTPGetAction",
    defaults=(set_to("path", "/"), set_to("scheme", "HTTP")),
    rules=(
        at("path", required()),
        at("port", native("portNumberOrName")),
        at("scheme", one_of("HTTP", "HTTPS")),
        native("headerNames"),
    ),
)

_COMMON: dict[str, Nodes] = {
    "exec": (at("command", required()),),
    "httpGet": (apply("HTTPGetAction"),),
    "tcpSocket": (at("port", native("portNumberOrName")),),
}

LIFECYCLE_HANDLER = TypeRules(
    "LifecycleHandler",
    rules=(union({**_COMMON, "sleep": (native("sleepSeconds"),)}, many=_MANY, none=_NONE),),
    uses=(HTTP_GET_ACTION,),
)

PROBE = TypeRules(
    "Probe",
    type="io.k8s.api.core.v1.Probe",
    defaults=(
        set_to("timeoutSeconds", 1),
        set_to("periodSeconds", 10),
        set_to("successThreshold", 1),
        set_to("failureThreshold", 3),
    ),
    rules=(
        union({**_COMMON, "grpc": (at("port", native("portNumberOrName")),)}, many=_MANY, none=_NONE),
        at("initialDelaySeconds", between(0)),
        at("timeoutSeconds", between(0)),
        at("periodSeconds", between(0)),
        at("successThreshold", between(0)),
        at("failureThreshold", between(0)),
        at("terminationGracePeriodSeconds", between(1)),
    ),
    uses=(HTTP_GET_ACTION,),
)

#: Liveness and startup probes.
ONCE_PROBE = TypeRules(
    "Probe.once",
    rules=(
        apply("Probe"),
        when(not_(is_value("successThreshold", 1)), at("successThreshold", fail("invalid", "must be 1"))),
    ),
    uses=(PROBE,),
)

READINESS_PROBE = TypeRules(
    "Probe.readiness",
    rules=(
        apply("Probe"),
        at(
            "terminationGracePeriodSeconds",
            when(is_set(pointer=True), fail("invalid", "must not be set for readinessProbes")),
        ),
    ),
    uses=(PROBE,),
)

_SIGNALS = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
]

LIFECYCLE = TypeRules(
    "Lifecycle",
    rules=(
        at("postStart", when(is_set(pointer=True), apply("LifecycleHandler"))),
        at("preStop", when(is_set(pointer=True), apply("LifecycleHandler"))),
        at(
            "stopSignal",
            when(
                is_set(pointer=True),
                when(
                    # Lifecycle is applied by a Container, and that by a PodSpec.
                    is_unset("$$$.os.name"),
                    fail("forbidden", "may not be set for containers with empty `spec.os.name`"),
                ),
                when(is_value("$$$.os.name", "linux"), one_of(*_SIGNALS)),
                when(is_value("$$$.os.name", "windows"), one_of("SIGKILL", "SIGTERM")),
            ),
        ),
    ),
    uses=(LIFECYCLE_HANDLER,),
)

__all__ = ["HTTP_GET_ACTION", "LIFECYCLE", "LIFECYCLE_HANDLER", "ONCE_PROBE", "PROBE", "READINESS_PROBE"]
