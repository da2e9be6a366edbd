"""A kind that knarr does not ship, as a user would declare it: one Python file, handed to a server that serves
already."""

from knarr.declare import AGE, NAME, Column, Kind, TypeRules, set_to
from knarr.declare.kind import status
from knarr.declare.rules import (
    apply,
    at,
    between,
    fail,
    immutable,
    is_set,
    meta_create,
    meta_update,
    one_of,
    required,
    when,
)

SPEC = TypeRules(
    "CronJobSpec",
    type="io.k8s.api.batch.v1.CronJobSpec",
    defaults=(
        set_to("concurrencyPolicy", "Allow"),
        set_to("suspend", False),
        set_to("successfulJobsHistoryLimit", 3),
        set_to("failedJobsHistoryLimit", 1),
    ),
    rules=(
        at("schedule", required()),
        at("concurrencyPolicy", one_of("Allow", "Forbid", "Replace")),
        at("startingDeadlineSeconds", when(is_set(pointer=True), between(0))),
        at("failedJobsHistoryLimit", when(is_set(pointer=True), between(0))),
        at("successfulJobsHistoryLimit", when(is_set(pointer=True), between(0))),
        when(
            is_set("jobTemplate.metadata.name"),
            at("jobTemplate.metadata.name", fail("forbidden", "must be left to the server")),
        ),
    ),
)

KIND = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    type="io.k8s.api.batch.v1.CronJob",
    short=("cj",),
    categories=("all",),
    description="CronJob makes a Job at the times of its schedule.",
    types=(SPEC,),
    create=(meta_create(), at("spec", apply("CronJobSpec"))),
    update=(meta_update(), at("spec", apply("CronJobSpec")), at("spec.timeZone", immutable())),
    has_status=True,
    generation=("spec",),
    subresources=(status(meta_update()),),
    columns=(
        NAME,
        Column("Schedule", "The schedule in Cron format.", path="spec.schedule"),
        Column("Suspend", "Whether it is suspended.", path="spec.suspend", type="boolean"),
        Column("Active", "Jobs that run now.", path="status.active", cell="count", type="integer"),
        AGE,
    ),
)
