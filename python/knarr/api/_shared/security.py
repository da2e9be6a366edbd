"""Security contexts of pods and containers, and the profiles they name."""

from knarr.declare import TypeRules
from knarr.declare.rules import (
    all_of,
    any_of,
    apply,
    at,
    at_most,
    between,
    fail,
    first,
    is_set,
    is_unset,
    is_value,
    native,
    one_of,
    required,
    text,
    unique,
    when,
)

MAX_ID = 2**31 - 1

SECCOMP_PROFILE = TypeRules(
    "SeccompProfile",
    rules=(
        at(
            "type",
            first(
                when(is_unset(), fail("required", "type is required when seccompProfile is set")),
                one_of("Localhost", "RuntimeDefault", "Unconfined"),
            ),
        ),
        when(
            is_value("type", "Localhost"),
            when(
                is_unset("localhostProfile", pointer=True),
                at("localhostProfile", fail("required", "must be set when seccomp type is Localhost")),
                otherwise=[at("localhostProfile", text("localDescendingPath"))],
            ),
            otherwise=[
                when(
                    is_set("localhostProfile", pointer=True),
                    fail("invalid", "can only be set when seccomp type is Localhost", report="localhostProfile"),
                )
            ],
        ),
    ),
)

APPARMOR_PROFILE = TypeRules(
    "AppArmorProfile",
    rules=(
        when(
            is_value("type", "Localhost"),
            at("localhostProfile", required("must be set when AppArmor type is Localhost"), at_most(4095)),
            otherwise=[
                at(
                    "type",
                    first(
                        when(is_unset(), fail("required", "type is required when appArmorProfile is set")),
                        one_of("Localhost", "RuntimeDefault", "Unconfined"),
                    ),
                ),
                when(
                    all_of(is_value("type", "RuntimeDefault", "Unconfined"), is_set("localhostProfile", pointer=True)),
                    at("localhostProfile", fail("invalid", "can only be set when AppArmor type is Localhost")),
                ),
            ],
        ),
    ),
)

SECURITY_CONTEXT = TypeRules(
    "SecurityContext",
    rules=(
        at("runAsUser", between(0, MAX_ID)),
        at("runAsGroup", between(0, MAX_ID)),
        at("procMount", one_of("Default", "Unmasked", optional=True)),
        when(
            # The running type's caller is a Container, the caller's a PodSpec.
            all_of(
                is_value("procMount", "Unmasked"),
                any_of(is_unset("$$$.hostUsers", pointer=True), is_value("$$$.hostUsers", True)),
            ),
            at("procMount", fail("invalid", "`hostUsers` must be false to use `Unmasked`")),
        ),
        at("seccompProfile", when(is_set(pointer=True), apply("SeccompProfile"))),
        when(
            is_value("allowPrivilegeEscalation", False),
            when(
                is_value("privileged", True),
                native("escalationPrivileged"),
            ),
            when(
                is_set("capabilities.add"),
                native("escalationCapabilities"),
            ),
        ),
        at("appArmorProfile", when(is_set(pointer=True), apply("AppArmorProfile"))),
    ),
    uses=(SECCOMP_PROFILE, APPARMOR_PROFILE),
)

POD_SECURITY_CONTEXT = TypeRules(
    "PodSecurityContext",
    rules=(
        at("fsGroup", between(0, MAX_ID)),
        at("runAsUser", between(0, MAX_ID)),
        at("runAsGroup", between(0, MAX_ID)),
        at("supplementalGroups[*]", between(0, MAX_ID)),
        at(
            "sysctls",
            at("[*]", at("name", first(required(), text("sysctl")))),
            unique("name", report="name"),
        ),
        at("fsGroupChangePolicy", one_of("Always", "OnRootMismatch", optional=True)),
        at("seccompProfile", when(is_set(pointer=True), apply("SeccompProfile"))),
        at("appArmorProfile", when(is_set(pointer=True), apply("AppArmorProfile"))),
        at("supplementalGroupsPolicy", one_of("Merge", "Strict", optional=True)),
        at("seLinuxChangePolicy", one_of("MountOption", "Recursive", optional=True)),
    ),
    uses=(SECCOMP_PROFILE, APPARMOR_PROFILE),
)

__all__ = ["APPARMOR_PROFILE", "MAX_ID", "POD_SECURITY_CONTEXT", "SECCOMP_PROFILE", "SECURITY_CONTEXT"]
