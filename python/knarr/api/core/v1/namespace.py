"""Namespace: where names are unique; it goes when everything in it is gone."""

from knarr.declare import AGE, NAME, Column, Kind, Selectable, Subresource, TypeRules, native_default, set_to, steps
from knarr.declare.kind import status
from knarr.declare.rules import at, fail, is_set, is_value, meta_create, meta_update, native, not_, when

_PHASE = at(
    "status.Phase",
    when(
        is_set("$.metadata.deletionTimestamp"),
        when(
            not_(is_value("$.status.phase", "Terminating")),
            fail("invalid", "may only be 'Terminating' if `deletionTimestamp` is not empty", value_at="$.status.phase"),
        ),
        otherwise=[
            when(
                not_(is_value("$.status.phase", "Active")),
                fail("invalid", "may only be 'Active' if `deletionTimestamp` is empty", value_at="$.status.phase"),
            )
        ],
    ),
)

KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    type="io.k8s.api.core.v1.Namespace",
    namespaced=False,
    short=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    description="Namespace provides a scope for Names. Use of multiple namespaces is optional.",
    defaults=(native_default("namespaceLabel"),),
    types=(
        TypeRules(
            "NamespaceStatus.default",
            type="io.k8s.api.core.v1.NamespaceStatus",
            defaults=(set_to("phase", "Active"),),
        ),
    ),
    create=(meta_create("dns1123Label", namespaced=False), at("spec.finalizers", native("finalizerNames"))),
    update=(meta_update(),),
    has_status=True,
    prepare_create=(
        steps.set_to("status", {"phase": "Active"}),
        steps.native("namespaceFinalizer"),
    ),
    prepare_update=(steps.keep("spec.finalizers"),),
    subresources=(
        status(meta_update(), _PHASE),
        Subresource("finalize", ("update",), update=(meta_update(), at("spec.finalizers[*]", native("finalizerName")))),
    ),
    selectable=(Selectable("status.phase"),),
    columns=(
        NAME,
        Column("Status", "The status of the namespace", path="status.phase"),
        AGE,
    ),
)
