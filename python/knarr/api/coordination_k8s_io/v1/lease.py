"""Lease: who holds something, and since when; nodes renew theirs to show they live."""

from knarr.declare import AGE, NAME, Column, Kind, steps
from knarr.declare.rules import at, between, meta_create, meta_update

_SPEC = at(
    "spec",
    at("leaseDurationSeconds", between(1)),
    at("leaseTransitions", between(0)),
)

KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    type="io.k8s.api.coordination.v1.Lease",
    description="Lease defines a lease concept.",
    create=(meta_create(), _SPEC),
    update=(meta_update(), _SPEC),
    # Coordinated leader election is behind a feature gate that is off: its fields are dropped.
    prepare_create=(steps.clear("spec.strategy"), steps.clear("spec.preferredHolder")),
    prepare_update=(steps.clear("spec.strategy"), steps.clear("spec.preferredHolder")),
    create_on_update=True,
    unconditional_update=False,
    columns=(
        NAME,
        Column(
            "Holder",
            (
                "holderIdentity contains the identity of the holder of a current lease. If Coordinated "
                "Leader Election is used, the holder identity must be equal to the elected "
                "LeaseCandidate.metadata.name field."
            ),
            path="spec.holderIdentity",
        ),
        AGE,
    ),
)
