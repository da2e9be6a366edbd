"""Endpoints: the addresses behind a Service, in one object (the old form)."""

from knarr.declare import AGE, NAME, Column, Kind, TypeRules, set_to
from knarr.declare.json import Nodes
from knarr.declare.rules import (
    all_of,
    at,
    between,
    entries,
    fail,
    is_unset,
    meta_create,
    meta_update,
    native,
    one_of,
    same,
    text,
    updating,
    when,
)

_ADDRESS: Nodes = (
    at("ip", native("endpointAddress")),
    at("hostname", text("dns1123Label")),
    at("nodeName", text("dns1123Subdomain")),
)
_SUBSETS = at(
    "subsets[*]",
    when(
        all_of(is_unset("addresses"), is_unset("notReadyAddresses")),
        fail("required", "must specify `addresses` or `notReadyAddresses`"),
    ),
    at("addresses[*]", *_ADDRESS),
    at("notReadyAddresses[*]", *_ADDRESS),
    when(entries("ports", 2), at("ports[*]", when(is_unset("name"), at("name", fail("required"))))),
    at(
        "ports[*]",
        at("name", text("dns1123Label")),
        at("port", between(1, 65535, zero=True)),
        at("protocol", one_of("SCTP", "TCP", "UDP", required=True)),
        at("appProtocol", text("qualifiedName")),
    ),
)
# What was stored before a rule was made is not refused while it stays as it is.
_UNLESS_UNCHANGED = when(all_of(updating(), same("subsets", "old:subsets")), otherwise=[_SUBSETS])
_DEPRECATED = fail("invalid", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")

KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    type="io.k8s.api.core.v1.Endpoints",
    short=("ep",),
    description="Endpoints is a collection of endpoints that implement the actual service.",
    types=(
        TypeRules(
            "EndpointPort.default", type="io.k8s.api.core.v1.EndpointPort", defaults=(set_to("protocol", "TCP"),)
        ),
    ),
    create=(meta_create(), _SUBSETS),
    update=(meta_update(), _UNLESS_UNCHANGED),
    warnings=(_DEPRECATED,),
    create_on_update=True,
    columns=(
        NAME,
        Column(
            "Endpoints",
            (
                "The set of all endpoints is the union of all subsets. Addresses are placed into subsets "
                "according to the IPs they share. A single address with multiple ports, some of which are"
                " ready and some of which are not (because they come from different containers) will "
                "result in the address being displayed in different subsets for the different ports. No "
                "address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of "
                "addresses and ports that comprise a service."
            ),
            cell="endpoints.endpoints",
        ),
        AGE,
    ),
)
