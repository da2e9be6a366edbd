"""Service: one name and address for the pods a selector picks."""

from knarr.declare import AGE, NAME, Column, Kind, Selectable, TypeRules, clear, copy, each, set_to, steps
from knarr.declare.json import Nodes
from knarr.declare.kind import status
from knarr.declare.rules import (
    all_of,
    any_of,
    apply,
    at,
    between,
    entries,
    fail,
    first,
    forbidden,
    forbidden_pointer,
    is_set,
    is_unset,
    is_value,
    labels,
    meta_create,
    meta_update,
    native,
    not_,
    one_of,
    required,
    text,
    unique,
    when,
)

_SPEC = "io.k8s.api.core.v1.ServiceSpec"
_PUBLIC = any_of(
    is_value("type", "NodePort", "LoadBalancer"), all_of(is_value("type", "ClusterIP"), is_set("externalIPs"))
)
_CHECKED = all_of(is_value("type", "LoadBalancer"), is_value("externalTrafficPolicy", "Local"))
_HEADLESS = is_value("clusterIP", "None")
_EXTERNAL_NAME = is_value("type", "ExternalName")

SERVICE_PORT = TypeRules(
    "ServicePort",
    rules=(
        when(
            all_of(is_unset("name"), entries("$$.ports", 2)),
            at("name", fail("required")),
            otherwise=[at("name", text("dns1123Label"))],
        ),
        at("port", between(1, 65535, zero=True)),
        at("protocol", one_of("SCTP", "TCP", "UDP", required=True)),
        at("targetPort", native("portNumberOrName")),
        at("appProtocol", text("qualifiedName")),
    ),
)

SERVICE_SPEC = TypeRules(
    "ServiceSpec",
    type=_SPEC,
    defaults=(
        set_to("sessionAffinity", "None"),
        clear("sessionAffinityConfig", when=is_value("sessionAffinity", "None")),
        set_to(
            "sessionAffinityConfig",
            {"clientIP": {"timeoutSeconds": 10800}},
            when=all_of(
                is_value("sessionAffinity", "ClientIP"),
                is_unset("sessionAffinityConfig.clientIP.timeoutSeconds", pointer=True),
            ),
            zero=True,
        ),
        set_to("type", "ClusterIP"),
        each("ports", set_to("protocol", "TCP"), copy("targetPort", "port", zero=True)),
        set_to("externalTrafficPolicy", "Cluster", when=_PUBLIC),
        set_to("internalTrafficPolicy", "Cluster", when=is_value("type", "ClusterIP", "NodePort", "LoadBalancer")),
        set_to("allocateLoadBalancerNodePorts", True, when=is_value("type", "LoadBalancer")),
    ),
    rules=(
        when(all_of(is_unset("ports"), not_(_HEADLESS), not_(_EXTERNAL_NAME)), at("ports", fail("required"))),
        when(
            all_of(is_value("type", "LoadBalancer"), _HEADLESS),
            native("headlessLoadBalancer"),
        ),
        when(
            all_of(is_value("type", "NodePort"), _HEADLESS),
            native("headlessNodePort"),
        ),
        when(
            _EXTERNAL_NAME,
            at("clusterIPs", forbidden("may not be set for ExternalName services")),
            at("ipFamilies", forbidden("may not be set for ExternalName services")),
            at("ipFamilyPolicy", forbidden_pointer("may not be set for ExternalName services")),
            at("externalName", first(required(), native("externalName"))),
        ),
        at("ports", at("[*]", apply("ServicePort")), unique("name", report="name", skip_empty=True)),
        at("selector", labels()),
        at("sessionAffinity", one_of("ClientIP", "None", required=True)),
        when(
            is_value("sessionAffinity", "ClientIP"),
            at(
                "sessionAffinityConfig.clientIP.timeoutSeconds",
                between(1, 86400, detail="must be greater than 0 and less than 86400"),
            ),
        ),
        when(
            is_value("sessionAffinity", "None"),
            at("sessionAffinityConfig", forbidden_pointer("must not be set when session affinity is None")),
        ),
        native("serviceAddresses"),
        at("externalIPs[*]", native("endpointAddress")),
        at("type", one_of("ClusterIP", "ExternalName", "LoadBalancer", "NodePort", required=True)),
        when(
            is_value("type", "ClusterIP"),
            at("ports[*].nodePort", forbidden("may not be used when `type` is 'ClusterIP'")),
        ),
        at("ports", unique("nodePort", "protocol", report="nodePort", skip_empty=True), native("servicePortTwice")),
        when(
            is_set("loadBalancerSourceRanges"),
            when(
                not_(is_value("type", "LoadBalancer")),
                fail("forbidden", "may only be used when `type` is 'LoadBalancer'", report="LoadBalancerSourceRanges"),
            ),
            native("sourceRanges"),
        ),
        when(
            not_(is_value("type", "LoadBalancer")),
            at(
                "allocateLoadBalancerNodePorts",
                forbidden_pointer("may only be used when `type` is 'LoadBalancer'"),
            ),
            at("loadBalancerClass", forbidden_pointer("may only be used when `type` is 'LoadBalancer'")),
            otherwise=[at("loadBalancerClass", text("qualifiedName"))],
        ),
        at(
            "externalTrafficPolicy",
            when(
                {
                    "any": [
                        {"all": [is_value("$.type", "NodePort", "LoadBalancer")]},
                        all_of(is_value("$.type", "ClusterIP"), is_set("$.externalIPs")),
                    ]
                },
                one_of("Cluster", "Local", required=True),
                otherwise=[when(is_set(), fail("invalid", "may only be set for externally-accessible services"))],
            ),
        ),
        when(
            _CHECKED,
            at("healthCheckNodePort", between(1, 65535)),
            otherwise=[
                at(
                    "healthCheckNodePort",
                    when(
                        is_set(),
                        fail(
                            "invalid",
                            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                        ),
                    ),
                )
            ],
        ),
        at("internalTrafficPolicy", one_of("Cluster", "Local", optional=True)),
        at(
            "trafficDistribution",
            when(is_set(pointer=True), one_of("PreferClose", "PreferSameZone", "PreferSameNode")),
        ),
    ),
    uses=(SERVICE_PORT,),
)

INGRESS = TypeRules(
    "LoadBalancerIngress",
    type="io.k8s.api.core.v1.LoadBalancerIngress",
    defaults=(set_to("ipMode", "VIP", when=is_set("ip")),),
)

_UPDATE: Nodes = (
    meta_update(),
    at("spec", native("serviceAddressesUpdate")),
    at("spec", apply("ServiceSpec")),
)

KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    type="io.k8s.api.core.v1.Service",
    short=("svc",),
    categories=("all",),
    description=(
        "Service is a named abstraction of software service (for example, mysql) consisting of local "
        "port (for example 3306) that"
        " the proxy listens on, and the selector that determines which pods will answer requests sent "
        "through the proxy."
    ),
    types=(SERVICE_SPEC, INGRESS),
    create=(meta_create("dns1035Label"), at("spec", apply("ServiceSpec"))),
    update=_UPDATE,
    warnings=(native("serviceWarnings"),),
    has_status=True,
    create_on_update=True,
    prepare_create=(steps.set_to("status", {"loadBalancer": {}}), steps.native("serviceClusterIPs")),
    prepare_update=(steps.native("serviceType"), steps.native("serviceClusterIPs")),
    subresources=(status(meta_update(), native("serviceStatus")),),
    selectable=(Selectable("spec.clusterIP"), Selectable("spec.type")),
    allocations=(("clusterIPs", "spec.clusterIPs"), ("nodePorts", "spec.ports")),
    columns=(
        NAME,
        Column(
            "Type",
            (
                "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are "
                'ExternalName, ClusterIP, NodePort, and LoadBalancer. "ClusterIP" allocates a '
                "cluster-internal IP address for load-balancing to endpoints. Endpoints are determined by"
                " the selector or if that is not specified, by manual construction of an Endpoints object"
                ' or EndpointSlice objects. If clusterIP is "None", no virtual IP is allocated and the '
                'endpoints are published as a set of endpoints rather than a virtual IP. "NodePort" '
                "builds on ClusterIP and allocates a port on every node which routes to the same "
                'endpoints as the clusterIP. "LoadBalancer" builds on NodePort and creates an external '
                "load-balancer (if supported in the current cloud) which routes to the same endpoints as "
                'the clusterIP. "ExternalName" aliases this service to the specified externalName. '
                "Several other fields do not apply to ExternalName services. More info: "
                "https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types"
            ),
            path="spec.type",
        ),
        Column(
            "Cluster-IP",
            (
                "clusterIP is the IP address of the service and is usually assigned randomly. If an "
                "address is specified manually, is in-range (as per system configuration), and is not in "
                "use, it will be allocated to the service; otherwise creation of the service will fail. "
                "This field may not be changed through updates unless the type field is also being "
                "changed to ExternalName (which requires this field to be blank) or the type field is "
                "being changed from ExternalName (in which case this field may optionally be specified, "
                'as describe above).  Valid values are "None", empty string (""), or a valid IP address. '
                'Setting this to "None" makes a "headless service" (no virtual IP), which is useful when '
                "direct endpoint connections are preferred and proxying is not required.  Only applies to"
                " types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a"
                " Service of type ExternalName, creation will fail. This field will be wiped when "
                "updating a Service to type ExternalName. More info: "
                "https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"
            ),
            cell="service.clusterIP",
        ),
        Column(
            "External-IP",
            (
                "externalIPs is a list of IP addresses for which nodes in the cluster will also accept "
                "traffic for this service.  These IPs are not managed by Kubernetes.  The user is "
                "responsible for ensuring that traffic arrives at a node with this IP.  A common example "
                "is external load-balancers that are not part of the Kubernetes system."
            ),
            cell="service.externalIP",
        ),
        Column(
            "Port(s)",
            (
                "The list of ports that are exposed by this service. More info: "
                "https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"
            ),
            cell="service.ports",
        ),
        AGE,
        Column(
            "Selector",
            (
                "Route service traffic to pods with label keys and values matching this selector. If "
                "empty or not present, the service is assumed to have an external process managing its "
                "endpoints, which Kubernetes will not modify. Only applies to types ClusterIP, NodePort, "
                "and LoadBalancer. Ignored if type is ExternalName. More info: "
                "https://kubernetes.io/docs/concepts/services-networking/service/"
            ),
            cell="selector.labels",
            priority=1,
        ),
    ),
)
