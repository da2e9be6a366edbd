"""Secret: keys and values in base64, of a type that may ask for certain keys."""

from knarr.declare import AGE, NAME, Column, Kind, Selectable, native_default, set_to
from knarr.declare.rules import at, immutable, meta_create, meta_update, native, text

_RULES = (
    at("data{key}", text("configMapKey", empty=True)),
    native("dataSize"),
    native("secretType"),
)

KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    type="io.k8s.api.core.v1.Secret",
    description=(
        "Secret holds secret data of a certain type. The total bytes of the values in the Data field "
        "must be less than MaxSecretSize bytes."
    ),
    defaults=(set_to("type", "Opaque"), native_default("stringData")),
    create=(meta_create(), *_RULES),
    update=(meta_update(), at("type", immutable()), native("dataImmutable"), *_RULES),
    selectable=(Selectable("type"),),
    columns=(
        NAME,
        Column(
            "Type",
            (
                "Used to facilitate programmatic handling of secret data. More info: "
                "https://kubernetes.io/docs/concepts/configuration/secret/#secret-types"
            ),
            path="type",
        ),
        Column(
            "Data",
            (
                "Data contains the secret data. Each key must consist of alphanumeric characters, '-', "
                "'_' or '.'. The serialized form of the secret data is a base64 encoded string, "
                "representing the arbitrary (possibly non-string) data value here. Described in "
                "https://tools.ietf.org/html/rfc4648#section-4"
            ),
            path="data",
            cell="count",
        ),
        AGE,
    ),
)
