"""`Kind`: a kind as one declaration, and the JSON document it becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from knarr.declare.columns import AGE, NAME, Column
from knarr.declare.json import Node, Nodes
from knarr.declare.plugins import Plugin

#: What becomes of an owner's dependents when its deletion does not say.
Dependents = Literal["delete", "orphan", "none"]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class TypeRules:
    """What hangs on a type, for every kind that holds it.

    name: how `apply` calls the rules (`PodSpec`). type: the type's full name in the table, needed where there are
    defaults. uses: the TypeRules that its rules apply, or that hang on types below it.
    """

    name: str
    type: str = ""
    defaults: Nodes = ()
    rules: Nodes = ()
    uses: tuple[TypeRules, ...] = ()

    def walk(self) -> Iterator[TypeRules]:
        """This and all it uses, each once."""
        seen: dict[str, TypeRules] = {}

        def visit(one: TypeRules) -> None:
            known = seen.get(one.name)
            if known is one:
                return
            if known is not None:
                raise ValueError(f"two TypeRules are called {one.name}")
            seen[one.name] = one
            for other in one.uses:
                visit(other)

        visit(self)
        yield from seen.values()


@dataclass(frozen=True)
class Scale:
    """Where the scale subresource finds its numbers, and the selector. labels: that is a map of labels, not a
    LabelSelector.
    """

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"
    labels: bool = False


@dataclass(frozen=True)
class Subresource:
    """A subresource. body: group, version and kind of its body where that is not the parent's. cold: a Python
    route answers.
    """

    name: str
    verbs: tuple[str, ...]
    body: tuple[str, str, str] | None = None
    update: Nodes = ()
    cold: bool = False
    scale: Scale | None = None

    def document(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "name": self.name,
            "verbs": list(self.verbs),
            "update": list(self.update),
            "cold": self.cold,
        }
        if self.body:
            out |= dict(zip(("group", "version", "kind"), self.body, strict=True))
        if self.scale:
            out["scale"] = {
                "specReplicas": self.scale.spec_replicas,
                "statusReplicas": self.scale.status_replicas,
                "selector": self.scale.selector,
                "labels": self.scale.labels,
            }
        return out


def status(*update: Node) -> Subresource:
    """The status subresource, with the rules of its update."""
    return Subresource("status", ("get", "patch", "update"), update=update)


@dataclass(frozen=True)
class Selectable:
    """A field that field selectors may name. paths: where it is looked for (its own name if empty); the first
    set counts.
    """

    field: str
    paths: tuple[str, ...] = ()
    default: str = ""

    def document(self) -> dict[str, Any]:
        return {"field": self.field, "paths": list(self.paths), "default": self.default}


@dataclass(frozen=True)
class Storage:
    """A kind that is another form of a stored one. fields: (name here, name there) of top-level fields that differ."""

    group: str
    version: str
    plural: str
    kind: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind, whole. One screen for most; docs/kinds.md explains each field.

    Order, as every file has it: identity, schema, defaults and types, rules on create, rules on update, status and
    subresources, selectable fields, columns, hooks. `types` are the TypeRules that occur below it. Hooks are Python
    callables by step (`validateCreate` ...); only kinds that have one ever take the GIL.
    """

    group: str
    version: str
    kind: str
    plural: str
    type: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    singular: str = ""
    description: str = ""
    types: tuple[TypeRules, ...] = ()
    defaults: Nodes = ()
    create: Nodes = ()
    update: Nodes = ()
    warnings: Nodes = ()
    has_status: bool = False
    generation: tuple[str, ...] = ()
    prepare_create: Nodes = ()
    prepare_update: Nodes = ()
    prepare_status: Nodes = ()
    subresources: tuple[Subresource, ...] = ()
    selectable: tuple[Selectable, ...] = ()
    columns: tuple[Column, ...] = (NAME, AGE)
    allocations: tuple[tuple[str, str], ...] = ()
    storage: Storage | None = None
    create_on_update: bool = False
    unconditional_update: bool = True
    graceful: bool = False
    dependents: Dependents = "delete"
    virtual: bool = False
    hooks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def type_rules(self) -> Iterable[TypeRules]:
        """Every TypeRules below this kind, each once.

        Raises ValueError where two different ones share a name.
        """
        return TypeRules("", uses=self.types).walk()

    def document(self, plugins: Sequence[Plugin] = ()) -> dict[str, Any]:
        """The document the core compiles. plugins: those admission knows; the ones for this kind are taken, in
        order.
        """
        rules = {one.name: list(one.rules) for one in self.type_rules() if one.rules}
        defaults: dict[str, list[Node]] = {}
        if self.defaults:
            defaults[self.type] = list(self.defaults)
        for one in self.type_rules():
            if one.defaults:
                defaults.setdefault(one.type, []).extend(one.defaults)
        metadata = [Selectable("metadata.name")]
        if self.namespaced:
            metadata.append(Selectable("metadata.namespace"))
        chosen = sorted(
            (p for p in plugins if p.applies(self.group, self.plural, self.namespaced)), key=lambda p: p.order
        )
        out: dict[str, Any] = {
            "group": self.group,
            "version": self.version,
            "kind": self.kind,
            "plural": self.plural,
            "singular": self.singular or self.kind.lower(),
            "short": list(self.short),
            "categories": list(self.categories),
            "namespaced": self.namespaced,
            "verbs": list(self.verbs),
            "type": self.type,
            "subresources": [one.document() for one in self.subresources],
            "defaults": defaults,
            "rules": rules,
            "create": list(self.create),
            "update": list(self.update),
            "warnings": list(self.warnings),
            "prepare": {
                "status": self.has_status,
                "generation": list(self.generation),
                "create": list(self.prepare_create),
                "update": list(self.prepare_update),
                "statusUpdate": list(self.prepare_status),
            },
            "selectable": [one.document() for one in (*metadata, *self.selectable)],
            "columns": [one.document() for one in self.columns],
            "admission": [] if self.virtual else [one.document() for one in chosen],
            "allocations": [{"allocator": allocator, "field": place} for allocator, place in self.allocations],
            "hooks": sorted(self.hooks),
            "createOnUpdate": self.create_on_update,
            "unconditionalUpdate": self.unconditional_update,
            "graceful": self.graceful,
            "dependents": self.dependents,
            "virtualKind": self.virtual,
            "description": self.description,
        }
        if self.storage:
            out["storage"] = {
                "group": self.storage.group,
                "version": self.storage.version,
                "plural": self.storage.plural,
                "kind": self.storage.kind,
                "fields": [list(pair) for pair in self.storage.fields],
            }
        return out

    def encode(self, plugins: Sequence[Plugin] = ()) -> bytes:
        """`document` as the bytes that `Machinery.add_kind` takes."""
        return json.dumps(self.document(plugins), separators=(",", ":"), sort_keys=True).encode()
