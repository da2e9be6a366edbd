"""Pod: containers that run together on one node."""

from knarr.declare import AGE, NAME, Column, Kind, Selectable, Subresource, native_default, set_to, steps
from knarr.declare.json import Nodes
from knarr.declare.kind import status
from knarr.declare.rules import (
    all_of,
    apply,
    at,
    fail,
    forbidden,
    is_set,
    is_unset,
    less,
    meta_create,
    meta_update,
    native,
    updating,
    when,
)

from ..._shared.pod_spec import POD_SPEC

_SPEC: Nodes = (
    at("spec", apply("PodSpec")),
    when(
        is_unset("spec.serviceAccountName"),
        at(
            "spec.volumes[*].projected.sources[*].serviceAccountToken",
            when(
                is_set(pointer=True),
                fail("forbidden", "must not be specified when serviceAccountName is not set"),
            ),
        ),
    ),
    at("spec.containers[*].image", native("trimmed")),
    at("spec.initContainers[*].image", native("trimmed")),
)

# A negative period is the least there is: of pods alone, not of the templates they come from.
_GRACE = steps.set_to("spec.terminationGracePeriodSeconds", 1, when=less("spec.terminationGracePeriodSeconds", 0))

KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    type="io.k8s.api.core.v1.Pod",
    short=("po",),
    categories=("all",),
    description=(
        "Pod is a collection of containers that can run on a host. This resource is created by clients "
        "and scheduled onto hosts."
    ),
    defaults=(
        native_default("requestsFromLimits"),
        native_default("podLevelRequests"),
        set_to("spec.enableServiceLinks", True),
        native_default("hostNetworkPorts"),
    ),
    types=(POD_SPEC,),
    create=(
        meta_create("dns1123Subdomain"),
        *_SPEC,
        at("spec.ephemeralContainers", forbidden("cannot be set on create")),
        when(
            all_of(is_set("spec.nodeName"), is_set("spec.schedulingGates")),
            at("spec.nodeName", fail("forbidden", "cannot be set until all schedulingGates have been cleared")),
        ),
    ),
    update=(meta_update(), *_SPEC, at("spec", native("podUpdate"))),
    warnings=(when(updating(), otherwise=[native("podNameWarning"), native("podWarnings")]),),
    has_status=True,
    generation=("spec",),
    prepare_create=(steps.native("podStatus"), _GRACE),
    prepare_update=(_GRACE,),
    prepare_status=(
        steps.keep("metadata.deletionTimestamp"),
        steps.keep("metadata.ownerReferences"),
        steps.native("podStatusUpdate"),
    ),
    subresources=(
        status(meta_update(), native("podStatusUpdate")),
        Subresource("binding", ("create",), body=("", "v1", "Binding")),
        Subresource("eviction", ("create",), body=("policy", "v1", "Eviction"), cold=True),
        Subresource("log", ("get",), cold=True),
        Subresource("exec", ("create", "get"), body=("", "v1", "PodExecOptions"), cold=True),
        Subresource("attach", ("create", "get"), body=("", "v1", "PodAttachOptions"), cold=True),
        Subresource("portforward", ("create", "get"), body=("", "v1", "PodPortForwardOptions"), cold=True),
    ),
    selectable=(
        Selectable("spec.nodeName"),
        Selectable("spec.restartPolicy"),
        Selectable("spec.schedulerName"),
        Selectable("spec.serviceAccountName"),
        Selectable("spec.hostNetwork", default="false"),
        Selectable("status.phase"),
        Selectable("status.podIP"),
        Selectable("status.nominatedNodeName"),
    ),
    graceful=True,
    columns=(
        NAME,
        Column("Ready", "The aggregate readiness state of this pod for accepting traffic.", cell="pod.ready"),
        Column("Status", "The aggregate status of the containers in this pod.", cell="pod.status"),
        Column(
            "Restarts",
            (
                "The number of times the containers in this pod have been restarted and when the last "
                "container in this pod has restarted."
            ),
            cell="pod.restarts",
        ),
        AGE,
        Column(
            "IP",
            "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
            cell="pod.ip",
            priority=1,
        ),
        Column(
            "Node",
            (
                "NodeName indicates in which node this pod is scheduled. If empty, this pod is a "
                "candidate for scheduling by the scheduler defined in schedulerName. Once this field is "
                "set, the kubelet for this node becomes responsible for the lifecycle of this pod. This "
                "field should not be used to express a desire for the pod to be scheduled on a specific "
                "node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename"
            ),
            path="spec.nodeName",
            priority=1,
            default="<none>",
        ),
        Column(
            "Nominated Node",
            (
                "nominatedNodeName is set only when this pod preempts other pods on the node, but it "
                "cannot be scheduled right away as preemption victims receive their graceful termination "
                "periods. This field does not guarantee that the pod will be scheduled on this node. "
                "Scheduler may decide to place the pod elsewhere if other nodes become available sooner. "
                "Scheduler may also decide to give the resources on this node to a higher priority pod "
                "that is created after preemption. As a result, this field may be different than "
                "PodSpec.nodeName when the pod is scheduled."
            ),
            path="status.nominatedNodeName",
            priority=1,
            default="<none>",
        ),
        Column(
            "Readiness Gates",
            (
                "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready "
                "when all its containers are ready AND all conditions specified in the readiness gates "
                'have status equal to "True" More info: '
                "https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates"
            ),
            cell="pod.readinessGates",
            priority=1,
        ),
    ),
)
