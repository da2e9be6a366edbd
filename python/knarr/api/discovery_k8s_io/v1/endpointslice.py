"""EndpointSlice: some of the addresses behind a Service."""

from knarr.declare import AGE, NAME, Column, Kind, TypeRules, set_to
from knarr.declare.rules import (
    all_of,
    at,
    at_most,
    first,
    immutable,
    meta_create,
    meta_update,
    native,
    one_of,
    same,
    text,
    unique,
    updating,
    when,
)

_PORTS = at(
    "ports",
    at_most(20_000),
    at(
        "[*]",
        at("name", text("dns1123Label")),
        at("protocol", one_of("SCTP", "TCP", "UDP", required=True)),
        at("appProtocol", text("qualifiedName")),
    ),
    unique("name", report="name"),
)
_ENDPOINTS = first(
    at("endpoints", at_most(1_000)),
    native("sliceEndpoints"),
)
_TYPE = at("addressType", one_of("FQDN", "IPv4", "IPv6", required=True))

KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    type="io.k8s.api.discovery.v1.EndpointSlice",
    description=(
        "EndpointSlice represents a set of service endpoints. Most EndpointSlices are created by the "
        "EndpointSlice controller."
    ),
    types=(
        TypeRules(
            "discovery.EndpointPort.default",
            type="io.k8s.api.discovery.v1.EndpointPort",
            defaults=(set_to("name", ""), set_to("protocol", "TCP")),
        ),
    ),
    create=(meta_create(), _TYPE, _PORTS, _ENDPOINTS),
    update=(
        meta_update(),
        meta_create(),
        _TYPE,
        _PORTS,
        when(all_of(updating(), same("endpoints", "old:endpoints")), otherwise=[_ENDPOINTS]),
        at("addressType", immutable()),
    ),
    generation=("addressType", "endpoints", "ports"),
    columns=(
        NAME,
        Column(
            "AddressType",
            (
                "addressType specifies the type of address carried by this EndpointSlice. All addresses "
                "in this slice must be the same type. This field is immutable after creation. The "
                "following address types are currently supported: * IPv4: Represents an IPv4 Address. * "
                "IPv6: Represents an IPv6 Address. * FQDN: Represents a Fully Qualified Domain Name."
            ),
            path="addressType",
        ),
        Column(
            "Ports",
            (
                "ports specifies the list of network ports exposed by each endpoint in this slice. Each "
                "port must have a unique name. When ports is empty, it indicates that there are no "
                'defined ports. When a port is defined with a nil port value, it indicates "all ports". '
                "Each slice may include a maximum of 100 ports."
            ),
            cell="endpointslice.ports",
        ),
        Column(
            "Endpoints",
            (
                "endpoints is a list of unique endpoints in this slice. Each slice may include a maximum "
                "of 1000 endpoints."
            ),
            cell="endpointslice.endpoints",
        ),
        AGE,
    ),
)
