"""PodSpec and PodTemplateSpec: what Pod and all that makes pods share."""

from knarr.declare import TypeRules, clear, copy, each, set_to
from knarr.declare.rules import (
    all_of,
    apply,
    at,
    at_most,
    between,
    fail,
    first,
    forbidden,
    is_set,
    is_unset,
    is_value,
    labels,
    native,
    not_,
    one_of,
    required,
    text,
    unique,
    when,
)

from .container import CONTAINER, INIT_CONTAINER, MAIN_CONTAINER
from .scheduling import NODE_AFFINITY, POD_AFFINITY, SPREAD, TOLERATION
from .security import POD_SECURITY_CONTEXT
from .volume import VOLUME

_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32

POD_DNS = TypeRules(
    "PodSpec.dnsConfig",
    rules=(
        at(
            "nameservers",
            at_most(_NAMESERVERS_MAX, invalid=f"must not have more than {_NAMESERVERS_MAX} nameservers"),
            at("[*]", text("ipSloppy", empty=True)),
        ),
        at(
            "searches",
            at_most(_SEARCHES_MAX, invalid=f"must not have more than {_SEARCHES_MAX} search paths"),
            native("searches"),
        ),
        at("options[*]", when(is_unset("name"), fail("required", "must not be empty"))),
    ),
)

POD_SPEC = TypeRules(
    "PodSpec",
    type="io.k8s.api.core.v1.PodSpec",
    defaults=(
        set_to("dnsPolicy", "ClusterFirst"),
        set_to("restartPolicy", "Always"),
        set_to("securityContext", {}),
        set_to("terminationGracePeriodSeconds", 30),
        set_to("schedulerName", "default-scheduler"),
        # Restart policies of single containers are dropped but for sidecars, as long as their feature gate is off.
        each("containers", clear("restartPolicy"), clear("restartPolicyRules")),
        each(
            "initContainers",
            clear("restartPolicy", when=not_(is_value("restartPolicy", "Always"))),
            clear("restartPolicyRules"),
        ),
        # serviceAccount is the deprecated spelling; both are always answered alike.
        copy("serviceAccountName", "serviceAccount"),
        copy("serviceAccount", "serviceAccountName"),
    ),
    rules=(
        at("terminationGracePeriodSeconds", required(pointer=True)),
        at("volumes", at("[*]", apply("Volume")), unique("name", report="name", skip_empty=True, sound=True)),
        at(
            "resourceClaims",
            at("[*]", at("name", first(required(), text("dns1123Label")))),
            unique("name", report="name"),
        ),
        at(
            "containers",
            required(),
            at("[*]", apply("Container"), apply("Container.main")),
            unique("name", report="name"),
            native("hostPorts"),
        ),
        at("initContainers[*]", apply("Container"), apply("Container.init")),
        native("initNames"),
        at("resources", when(is_set(pointer=True), native("podResources"))),
        when(is_value("hostNetwork", True), native("hostNetworkPorts")),
        at("restartPolicy", one_of("Always", "OnFailure", "Never", required=True)),
        at("dnsPolicy", one_of("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", required=True)),
        at("nodeSelector", labels()),
        at("securityContext", when(is_set(), apply("PodSecurityContext"))),
        when(
            all_of(is_value("shareProcessNamespace", True), is_value("hostPID", True)),
            at(
                "securityContext.shareProcessNamespace",
                fail("invalid", "ShareProcessNamespace and HostPID cannot both be enabled", value=True),
            ),
        ),
        at(
            "affinity",
            at("nodeAffinity", when(is_set(), apply("NodeAffinity"))),
            at("podAffinity", when(is_set(), apply("PodAffinity"))),
            at("podAntiAffinity", when(is_set(), apply("PodAffinity"))),
        ),
        first(
            when(
                all_of(is_value("dnsPolicy", "None"), is_unset("dnsConfig", pointer=True)),
                at("dnsConfig", fail("required", "must provide `dnsConfig` when `dnsPolicy` is None")),
            ),
            when(
                all_of(is_value("dnsPolicy", "None"), is_unset("dnsConfig.nameservers")),
                at(
                    "dnsConfig.nameservers",
                    fail("required", "must provide at least one DNS nameserver when `dnsPolicy` is None"),
                ),
            ),
            at("dnsConfig", apply("PodSpec.dnsConfig")),
        ),
        at("readinessGates[*].conditionType", text("qualifiedName", empty=True)),
        at(
            "schedulingGates",
            at("[*]", native("gateName")),
            unique("name"),
        ),
        at(
            "topologySpreadConstraints",
            at("[*]", apply("TopologySpreadConstraint")),
            native("spreadRepeated"),
        ),
        when(
            is_value("hostUsers", False),
            *(
                when(is_value(field, True), fail("forbidden", "when `hostUsers` is false", report=shown))
                for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
            ),
        ),
        at("serviceAccountName", text("dns1123Subdomain")),
        at("nodeName", text("dns1123Subdomain")),
        at("activeDeadlineSeconds", between(1, 2**31 - 1)),
        at("hostname", text("dns1123Label")),
        at("subdomain", text("dns1123Label")),
        at("tolerations[*]", apply("Toleration")),
        at(
            "hostAliases[*]",
            at("ip", text("ipSloppy", empty=True)),
            at("hostnames[*]", text("dns1123Subdomain", empty=True)),
        ),
        at("priorityClassName", text("dns1123Subdomain")),
        at("runtimeClassName", text("dns1123Subdomain")),
        at("preemptionPolicy", when(is_set(pointer=True), one_of("Never", "PreemptLowerPriority", required=True))),
        at("overhead", native("resourceAmounts")),
        at("os", when(is_set(pointer=True), native("osName"))),
    ),
    uses=(
        CONTAINER,
        INIT_CONTAINER,
        MAIN_CONTAINER,
        VOLUME,
        NODE_AFFINITY,
        POD_AFFINITY,
        SPREAD,
        TOLERATION,
        POD_SECURITY_CONTEXT,
        POD_DNS,
    ),
)

POD_TEMPLATE = TypeRules(
    "PodTemplateSpec",
    rules=(
        # Kubernetes reports a template's labels at `template.labels`, without `metadata`.
        native("templateMeta"),
        at("spec", apply("PodSpec")),
        at("spec.ephemeralContainers", forbidden("ephemeral containers not allowed in pod template")),
    ),
    uses=(POD_SPEC,),
)

__all__ = ["POD_SPEC", "POD_TEMPLATE"]
