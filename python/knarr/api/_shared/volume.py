"""Volumes: exactly one source each. Sources this level of knarr's nodes cannot mount are checked for their
presence only.
"""

from knarr.declare import TypeRules, native_default, set_to
from knarr.declare.json import Node, Nodes
from knarr.declare.rules import (
    apply,
    at,
    between,
    count_of,
    fail,
    first,
    is_set,
    label_selector,
    name,
    native,
    one_of,
    required,
    starts,
    text,
    union,
    when,
)

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def _mode(field: str) -> Node:
    return at(field, between(0, 0o777, detail=_MODE))


def _default_mode(type_: str) -> TypeRules:
    return TypeRules(f"{type_}.default", type=f"io.k8s.api.core.v1.{type_}", defaults=(set_to("defaultMode", 0o644),))


def _filled(type_: str, **values: str | bool) -> TypeRules:
    defaults = tuple(set_to(field, value) for field, value in values.items())
    return TypeRules(f"{type_}.default", type=f"io.k8s.api.core.v1.{type_}", defaults=defaults)


KEY_TO_PATH = TypeRules(
    "KeyToPath",
    rules=(
        at("key", required()),
        at("path", required(), text("nonReservedPath")),
        _mode("mode"),
    ),
)

_FILE = (
    at("path", required(), text("nonReservedPath")),
    when(
        is_set("fieldRef", pointer=True),
        at("fieldRef", native("volumeFieldRef")),
        when(
            is_set("resourceFieldRef", pointer=True),
            fail("invalid", "fieldRef and resourceFieldRef can not be specified simultaneously", value="resource"),
        ),
        otherwise=[
            when(
                is_set("resourceFieldRef", pointer=True),
                at("resourceFieldRef", native("volumeResourceRef")),
                otherwise=[fail("required", "one of fieldRef and resourceFieldRef is required")],
            )
        ],
    ),
    _mode("mode"),
)

DOWNWARD_FILE = TypeRules("DownwardAPIVolumeFile", rules=_FILE)

TOKEN_PROJECTION = TypeRules(
    "ServiceAccountTokenProjection",
    type="io.k8s.api.core.v1.ServiceAccountTokenProjection",
    defaults=(set_to("expirationSeconds", 3600),),
    rules=(
        at(
            "expirationSeconds",
            between(600, detail="may not specify a duration less than 10 minutes"),
            between(None, 2**32, detail="may not specify a duration larger than 2^32 seconds"),
        ),
    ),
)

_SOURCES = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")

PROJECTION = TypeRules(
    "VolumeProjection",
    rules=(
        at("secret", when(is_set(pointer=True), at("name", required()), at("items[*]", apply("KeyToPath")))),
        at("configMap", when(is_set(pointer=True), at("name", required()), at("items[*]", apply("KeyToPath")))),
        # Kubernetes names the projection here, not its item.
        at("downwardAPI", when(is_set(pointer=True), native("downwardFiles"))),
        at("serviceAccountToken", when(is_set(pointer=True), apply("ServiceAccountTokenProjection"))),
        at(
            "clusterTrustBundle",
            when(
                is_set(pointer=True),
                at("path", required(), text("nonReservedPath")),
                at("labelSelector", label_selector()),
                when(
                    count_of(("name", "signerName"), 0, 0),
                    fail("required", "either name or signerName must be specified"),
                ),
                when(
                    count_of(("name", "signerName"), 2), fail("invalid", "only one of name and signerName may be used")
                ),
            ),
        ),
        when(count_of(_SOURCES, 2), fail("forbidden", "may not specify more than 1 volume type per source")),
    ),
    uses=(KEY_TO_PATH, DOWNWARD_FILE, TOKEN_PROJECTION),
)

_PRESENT: Nodes = ()

_MEMBERS: dict[str, Nodes] = {
    "emptyDir": (
        at("sizeLimit", when(starts(".", "-"), fail("forbidden", "SizeLimit field must be a valid resource quantity"))),
    ),
    "hostPath": (
        first(
            at("path", required()),
            at("path", text("noBacksteps")),
        ),
        at(
            "type",
            when(
                is_set(),
                one_of(
                    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
                ),
            ),
        ),
    ),
    "gitRepo": (at("repository", required()), at("directory", text("localDescendingPath"))),
    "gcePersistentDisk": (at("pdName", required()),),
    "awsElasticBlockStore": (at("volumeID", required()),),
    "secret": (at("secretName", required()), _mode("defaultMode"), at("items[*]", apply("KeyToPath"))),
    "nfs": (at("server", required()), at("path", required(), text("absolutePath", empty=True))),
    "iscsi": (at("targetPortal", required()), at("iqn", required())),
    "glusterfs": (at("endpoints", required()), at("path", required())),
    "flocker": _PRESENT,
    "persistentVolumeClaim": (at("claimName", required()),),
    "rbd": (at("monitors", required()), at("image", required())),
    "cinder": (at("volumeID", required()),),
    "cephfs": (at("monitors", required()),),
    "quobyte": (at("registry", required()), at("volume", required())),
    "downwardAPI": (_mode("defaultMode"), native("downwardFiles")),
    "fc": _PRESENT,
    "flexVolume": (at("driver", required()),),
    "configMap": (at("name", required()), _mode("defaultMode"), at("items[*]", apply("KeyToPath"))),
    "azureFile": (at("secretName", required()), at("shareName", required())),
    "vsphereVolume": (at("volumePath", required()),),
    "photonPersistentDisk": (at("pdID", required()),),
    "portworxVolume": (at("volumeID", required()),),
    "azureDisk": (at("diskName", required()), at("diskURI", required())),
    "storageos": _PRESENT,
    "projected": (_mode("defaultMode"), at("sources[*]", apply("VolumeProjection")), native("projectedPaths")),
    "scaleIO": (at("gateway", required()), at("system", required()), at("volumeName", required())),
    "csi": (at("driver", name("dns1123Subdomain")),),
    "ephemeral": (at("volumeClaimTemplate", required(pointer=True)),),
    "image": (at("pullPolicy", one_of("Always", "IfNotPresent", "Never", required=True)),),
}

VOLUME = TypeRules(
    "Volume",
    type="io.k8s.api.core.v1.Volume",
    defaults=(set_to("emptyDir", {}, when={"count": list(_MEMBERS), "min": 0, "max": 0}),),
    rules=(
        union(_MEMBERS, many="may not specify more than 1 volume type", none="must specify a volume type"),
        at("name", name("dns1123Label")),
    ),
    uses=(
        KEY_TO_PATH,
        DOWNWARD_FILE,
        PROJECTION,
        _default_mode("SecretVolumeSource"),
        _default_mode("ConfigMapVolumeSource"),
        _default_mode("DownwardAPIVolumeSource"),
        _default_mode("ProjectedVolumeSource"),
        _filled("HostPathVolumeSource", type=""),
        _filled("RBDVolumeSource", pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
        _filled("ISCSIVolumeSource", iscsiInterface="default"),
        _filled("ScaleIOVolumeSource", storageMode="ThinProvisioned", fsType="xfs"),
        _filled("AzureDiskVolumeSource", cachingMode="ReadWrite", fsType="ext4", readOnly=False, kind="Shared"),
        TypeRules(
            "ImageVolume.default",
            type="io.k8s.api.core.v1.ImageVolumeSource",
            defaults=(native_default("imagePullPolicy"),),
        ),
    ),
)

__all__ = ["VOLUME"]
