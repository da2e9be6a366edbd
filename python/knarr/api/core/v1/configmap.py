"""ConfigMap: configuration as keys and values."""

from knarr.declare import AGE, NAME, Column, Kind
from knarr.declare.rules import at, meta_create, meta_update, native, text

_DATA = (
    at("data{key}", text("configMapKey", empty=True)),
    at("binaryData{key}", text("configMapKey", empty=True)),
    native("dataSize"),
)

KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    type="io.k8s.api.core.v1.ConfigMap",
    short=("cm",),
    description="ConfigMap holds configuration data for pods to consume.",
    create=(meta_create(), *_DATA),
    update=(meta_update(), native("dataImmutable"), *_DATA),
    create_on_update=False,
    columns=(
        NAME,
        Column(
            "Data",
            (
                "Data contains the configuration data. Each key must consist of alphanumeric characters, "
                "'-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The"
                " keys stored in Data must not overlap with the keys in the BinaryData field, this is "
                "enforced during validation process."
            ),
            cell="configmap.data",
        ),
        AGE,
    ),
)
