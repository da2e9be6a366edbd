"""Event: something that happened to an object; the stored form of events.k8s.io too."""

from dataclasses import replace

from knarr.declare import NAME, Column, Kind, Selectable
from knarr.declare.rules import native

# Events have names of any form that fits into a path; the namespace, and what events.k8s.io asks of a new event, are
# checked too.
RULES = (native("event"),)

SELECTABLE = (
    Selectable("involvedObject.kind"),
    Selectable("involvedObject.namespace"),
    Selectable("involvedObject.name"),
    Selectable("involvedObject.uid"),
    Selectable("involvedObject.apiVersion"),
    Selectable("involvedObject.resourceVersion"),
    Selectable("involvedObject.fieldPath"),
    Selectable("reason"),
    Selectable("reportingComponent"),
    Selectable("source", paths=("source.component", "reportingComponent")),
    Selectable("type"),
)

KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    type="io.k8s.api.core.v1.Event",
    short=("ev",),
    description="Event is a report of an event somewhere in the cluster.",
    create=RULES,
    update=RULES,
    selectable=SELECTABLE,
    create_on_update=True,
    dependents="none",
    columns=(
        Column(
            "Last Seen",
            "The time at which the most recent occurrence of this event was recorded.",
            cell="event.lastSeen",
        ),
        Column("Type", "Type of this event (Normal, Warning), new types could be added in the future", path="type"),
        Column(
            "Reason",
            (
                "This should be a short, machine understandable string that gives the reason for the "
                "transition into the object's current status."
            ),
            path="reason",
        ),
        Column("Object", "The object that this event is about.", cell="event.object"),
        Column(
            "Subobject",
            (
                "If referring to a piece of an object instead of an entire object, this string should "
                "contain a valid JSON/Go field access statement, such as "
                "desiredState.manifest.containers[2]. For example, if the object reference is to a "
                'container within a pod, this would take on a value like: "spec.containers{name}" (where '
                '"name" refers to the name of the container that triggered the event) or if no container '
                'name is specified "spec.containers[2]" (container with index 2 in this pod). This syntax'
                " is chosen only to have some well-defined way of referencing a part of an object."
            ),
            path="involvedObject.fieldPath",
            priority=1,
        ),
        Column(
            "Source",
            "The component reporting this event. Should be a short machine understandable string.",
            cell="event.source",
            priority=1,
        ),
        Column("Message", "A human-readable description of the status of this operation.", cell="event.message"),
        Column(
            "First Seen",
            "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
            cell="event.firstSeen",
            priority=1,
        ),
        Column("Count", "The number of times this event has occurred.", cell="event.count", priority=1),
        replace(NAME, priority=1),
    ),
)
