"""The declaration of a controller, and the views its reconcile reads.

A controller says which fields it reads as NamedTuple classes, one for each kind:

    class Pod(NamedTuple):
        namespace: str
        name: str
        uid: str
        revision: int
        phase: Annotated[str | None, "status.phase"]

and gets rows of exactly these. A change that touches no declared field is never told. See knarr._core.View for paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, cast, get_type_hints

from knarr.client.protocol import Resource

if TYPE_CHECKING:
    from knarr._core import View
    from knarr.controllers.runtime.plan import Plan

R = TypeVar("R")
Word = Literal[
    "own",
    "own-uid",
    "owners-left",
    "namespace",
    "controller",
    "label",
    "field",
    "selected-by-map",
    "selected-by-selector",
    "every",
]


@dataclass(frozen=True, slots=True)
class To:
    """How a change becomes keys `namespace/name`.

    own: the object's key; own-uid: `namespace/name/uid`; owners-left:
    `owner|apiVersion|kind|namespace/name/uid` of the owners it had, when it is gone or they changed; namespace:
    `/its-namespace`; controller: the key of its
    controller of kind `argument`; label: `namespace/<value of the label argument>`; field: `/<text of the field
    argument>`; selected-by-map and selected-by-selector: the objects of `by` whose field `argument` selects its
    labels (the latter only while it has no controller); every: each object of `by` (for rare changes that concern
    all). fields: tell only changes of these (None: of all the row has).
    """

    word: Word
    argument: str = ""
    by: type[Any] | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A kind that is read. row: the NamedTuple. to: what its changes wake. indexes: paths asked for with `with_field`;
    labels: selectors are asked. A watch without `to` is read only."""

    resource: Resource
    row: type[Any]
    to: tuple[To, ...] = ()
    indexes: tuple[str, ...] = ()
    labels: bool = False


@dataclass(frozen=True, slots=True)
class Writes:
    """What is written: verbs on a resource (or `pods/status`), and the fields that are this controller's alone (for
    kinds that several controllers write; whole objects it creates need no fields)."""

    resource: Resource
    verbs: tuple[str, ...]
    subresource: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Controller:
    """name: as kube-controller-manager's, without "-controller" where that has it too; account: its ServiceAccount in
    kube-system. reconcile: pure. catalog: it reads the metadata of every resource there is, and may write any of
    them; `everything` says how changes of those become keys. initial: keys taken up at the start, for work that no
    change brings. extra_rules: RBAC beyond the declared writes and reads."""

    name: str
    account: str
    watches: tuple[Watch, ...]
    writes: tuple[Writes, ...]
    reconcile: Callable[[Views, str, datetime], Plan]
    workers: int = 5
    everything: tuple[To, ...] = ()
    catalog: bool = False
    initial: tuple[str, ...] = ()
    extra_rules: tuple[dict[str, list[str]], ...] = field(default=())


class Lens(Protocol[R]):
    """The rows of one kind (knarr._core.Lens). namespace "" is that of cluster-scoped objects. Orders are stable."""

    def __len__(self) -> int: ...
    def get(self, namespace: str, name: str) -> R | None: ...
    def of_uid(self, uid: str) -> R | None: ...
    def all(self) -> list[R]: ...
    def in_namespace(self, namespace: str) -> list[R]: ...
    def owned_by(self, uid: str) -> list[R]: ...
    def controlled_by(self, uid: str) -> list[R]: ...
    def orphans(self, selector: dict[str, Any] | None, namespace: str) -> list[R]: ...
    def strays(self, uid: str, selector: dict[str, Any] | None) -> list[R]: ...
    def with_field(self, field: str, value: str) -> list[R]: ...
    def selected(self, selector: dict[str, Any] | None, namespace: str | None = None) -> list[R]: ...
    def labelled(self, labels: dict[str, Any] | None, namespace: str) -> list[R]: ...


class Meta(NamedTuple):
    """What is known of an object of any kind."""

    namespace: str
    name: str
    uid: str
    revision: int
    owners: list[dict[str, Any]] | None
    finalizers: list[str] | None
    deleted: str | None


META_PATHS: tuple[str, ...] = ("metadata.ownerReferences", "metadata.finalizers", "metadata.deletionTimestamp")

_PATHS: dict[type[Any], tuple[str, ...]] = {Meta: META_PATHS}


class Views:
    """What one controller reads: `views[Pod]` is the lens of its row class. `catalog`: every resource's metadata, when
    declared. `settings`: values the process was started with (the root CA, grace periods). `memory`: what a controller
    saw and when, for what the API does not record; lost at a restart, which may only make it wait longer."""

    __slots__ = ("_lenses", "catalog", "memory", "settings")

    def __init__(
        self,
        lenses: Mapping[type[Any], Any],
        catalog: Catalog | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._lenses = lenses
        self.catalog = catalog or Catalog()
        self.settings = settings or {}
        self.memory: dict[str, Any] = {}

    def __getitem__(self, row: type[R]) -> Lens[R]:
        return cast("Lens[R]", self._lenses[row])


@dataclass(slots=True)
class Catalog:
    """Every resource of the server that can be listed and deleted. entries: with a view of its metadata. unseen: those
    without one (events). complete: discovery answered for all groups; failures: what it said of the others."""

    entries: dict[Resource, Lens[Meta]] = field(default_factory=dict)
    unseen: list[Resource] = field(default_factory=list)
    complete: bool = False
    failures: list[str] = field(default_factory=list)

    def of_kind(self, api_version: str, kind: str) -> tuple[Resource, Lens[Meta]] | None:
        """The resource an owner reference names; the version may be another one of the same group."""
        group = api_version.rpartition("/")[0]
        for resource, lens in self.entries.items():
            if resource.kind == kind and resource.group == group:
                return resource, lens
        return None


def paths_of(row: type[Any]) -> tuple[str, ...]:
    """The declared paths of a row class, in order after the four fixed fields."""
    known = _PATHS.get(row)
    if known is not None:
        return known
    hints = get_type_hints(row, include_extras=True)
    names = list(row._fields)
    if names[:4] != ["namespace", "name", "uid", "revision"]:
        raise TypeError(f"{row.__name__} must begin with namespace, name, uid, revision")
    paths = []
    for name in names[4:]:
        metadata: tuple[Any, ...] = getattr(hints[name], "__metadata__", ())
        if len(metadata) != 1 or not isinstance(metadata[0], str):
            raise TypeError(f"{row.__name__}.{name} needs Annotated[..., 'a.path']")
        paths.append(metadata[0])
    _PATHS[row] = tuple(paths)
    return _PATHS[row]


def union(controllers: Iterable[Controller]) -> dict[Resource, tuple[list[str], list[str], bool]]:
    """For each resource what one shared view must keep: paths, field indexes, whether labels are indexed."""
    kept: dict[Resource, tuple[dict[str, None], dict[str, None], bool]] = {}
    for controller in controllers:
        for watch in controller.watches:
            fields, indexes, labels = kept.get(watch.resource, ({}, {}, False))
            fields |= dict.fromkeys(paths_of(watch.row))
            indexes |= dict.fromkeys(watch.indexes)
            kept[watch.resource] = (fields, indexes, labels or watch.labels)
    return {
        resource: ([*dict.fromkeys([*META_PATHS, *fields])], [*indexes], labels)
        for resource, (fields, indexes, labels) in kept.items()
    }


def bind(controller: Controller, views: Mapping[Resource, View], settings: Mapping[str, Any] | None = None) -> Views:
    """The lenses of a controller over shared views."""
    lenses = {
        watch.row: views[watch.resource].lens(watch.row, list(paths_of(watch.row))) for watch in controller.watches
    }
    return Views(lenses, None, settings)


def subscribe(controller: Controller, views: Mapping[Resource, View]) -> list[tuple[Resource, int, To]]:
    """Subscribes a controller's mappings. `every` is subscribed as `own`; its reader turns any key into all of them."""
    resource_of = {watch.row: watch.resource for watch in controller.watches}
    subscribed = []
    for watch in controller.watches:
        for to in watch.to:
            fields: Sequence[str] = to.fields if to.fields is not None else paths_of(watch.row)
            other = views[resource_of[to.by]] if to.by is not None and to.word != "every" else None
            word = "own" if to.word == "every" else to.word
            view = views[watch.resource]
            identity = view.subscribe(word, list(fields), argument=to.argument, other=other)
            subscribed.append((watch.resource, identity, to))
    return subscribed
