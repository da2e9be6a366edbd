"""Node: a machine that runs pods. Its kubelet writes the status, controllers the taints."""

from knarr.declare import AGE, NAME, Column, Kind, Selectable, Subresource, TypeRules, copy, steps
from knarr.declare.kind import status
from knarr.declare.rules import at, immutable, meta_create, meta_update, native, text, unique

from ..._shared.scheduling import TAINT

# Kubernetes reports taints at `metadata.taints`: the path of its caller, kept by habit.
_TAINTS = native("nodeTaints")
_AMOUNTS = at("status", at("capacity", native("resourceAmounts")), at("allocatable", native("resourceAmounts")))
_UPDATE = (
    meta_update(),
    _AMOUNTS,
    at("status.addresses", unique(show="item")),
    at(
        "spec.podCIDRs",
        immutable('node updates may not change podCIDR except from "" to valid', forbidden=True, once_set=True),
    ),
    at(
        "spec.providerID",
        immutable('node updates may not change providerID except from "" to valid', forbidden=True, once_set=True),
    ),
    _TAINTS,
)

KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    type="io.k8s.api.core.v1.Node",
    namespaced=False,
    short=("no",),
    description=(
        "Node is a worker node in Kubernetes. Each node will have a unique identifier in the cache (i.e. in etcd)."
    ),
    types=(
        TypeRules(
            "NodeStatus.default",
            type="io.k8s.api.core.v1.NodeStatus",
            defaults=(copy("allocatable", "capacity"),),
        ),
        TAINT,
    ),
    create=(
        meta_create("dns1123Subdomain", namespaced=False),
        _TAINTS,
        _AMOUNTS,
        at("spec.podCIDRs[*]", text("cidr", empty=True)),
    ),
    update=_UPDATE,
    # A new node may bring its status: kubelets register with theirs.
    prepare_update=(steps.keep("status"),),
    subresources=(status(*_UPDATE), Subresource("proxy", ("create", "delete", "get", "patch", "update"), cold=True)),
    selectable=(Selectable("spec.unschedulable", default="false"),),
    columns=(
        NAME,
        Column("Status", "The status of the node", cell="node.status"),
        Column("Roles", "The roles of the node", cell="node.roles"),
        AGE,
        Column("Version", "Kubelet Version reported by the node.", path="status.nodeInfo.kubeletVersion"),
        Column(
            "Internal-IP",
            (
                "List of addresses reachable to the node. Queried from cloud provider, if available. More"
                " info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field"
                " is declared as mergeable, but the merge key is not sufficiently unique, which can cause"
                " data corruption when it is merged. Callers should instead use a full-replacement patch."
                " See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can "
                "change during the lifetime of a Node. However, there are some exceptions where this may "
                "not be possible, such as Pods that inherit a Node's address in its own status or "
                "consumers of the downward API (status.hostIP)."
            ),
            cell="node.internalIP",
            priority=1,
        ),
        Column(
            "External-IP",
            (
                "List of addresses reachable to the node. Queried from cloud provider, if available. More"
                " info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field"
                " is declared as mergeable, but the merge key is not sufficiently unique, which can cause"
                " data corruption when it is merged. Callers should instead use a full-replacement patch."
                " See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can "
                "change during the lifetime of a Node. However, there are some exceptions where this may "
                "not be possible, such as Pods that inherit a Node's address in its own status or "
                "consumers of the downward API (status.hostIP)."
            ),
            cell="node.externalIP",
            priority=1,
        ),
        Column(
            "OS-Image",
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
            path="status.nodeInfo.osImage",
            priority=1,
            default="<unknown>",
        ),
        Column(
            "Kernel-Version",
            "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
            path="status.nodeInfo.kernelVersion",
            priority=1,
            default="<unknown>",
        ),
        Column(
            "Container-Runtime",
            "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
            path="status.nodeInfo.containerRuntimeVersion",
            priority=1,
            default="<unknown>",
        ),
    ),
)
