"""Rules: what must hold of a value. Each function gives one node; docs/kinds.md describes them with their messages.

A rule runs at a place. `at` moves down, `apply` enters the named rules of a type (which see themselves as `$`, their
caller as `$$`), `when` chooses. Errors come in the order rules are written, which is the order Kubernetes finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knarr.declare.json import Node, Nodes, node


def at(path: str, *rules: Node) -> Node:
    """Rules at a place below: `spec.ports[*].name` (each item), `data{*}` (each value), `data{key}` (each key)."""
    return node("rule", "at", path=path, rules=list(rules))


def apply(group: str) -> Node:
    """The rules of a type, by the name its `TypeRules` has."""
    return node("rule", "apply", group=group)


def when(condition: Node, *then: Node, otherwise: Nodes = ()) -> Node:
    """Rules if the condition holds, others if not."""
    return {**node("rule", "when", then=list(then), else_=list(otherwise)), "if": condition}


def first(*rules: Node) -> Node:
    """Rules in order until one finds something."""
    return node("rule", "first", rules=list(rules))


def required(detail: str = "", *, pointer: bool = False, number: bool = False) -> Node:
    """`Required value` for null, "", [] and {}; with `pointer` for null only; with `number` for 0 too."""
    return node("rule", "required", detail=detail, pointer=pointer, number=number)


def one_of(*values: str, optional: bool = False, required: bool = False, invalid: str | None = None) -> Node:
    """`Unsupported value` unless one of these, listed in this order. Absent counts as "" unless `optional` or
    `required`.
    """
    return node("rule", "enum", values=list(values), optional=optional, required=required, invalid=invalid)


def between(low: int | None = None, high: int | None = None, *, zero: bool = False, detail: str | None = None) -> Node:
    """A number within bounds; absent is not checked, or with `zero` is 0."""
    out = dict(node("rule", "range", zero=zero, detail=detail))
    if low is not None:
        out["min"] = low
    if high is not None:
        out["max"] = high
    return out


def at_most(count: int, *, invalid: str | None = None) -> Node:
    """At most so many bytes of text (`Too long`) or entries (`Too many`)."""
    return {**node("rule", "length", invalid=invalid), "max": count}


def text(
    format_: str, *, empty: bool = False, prefix: bool = False, report: str | None = None, before: str = ""
) -> Node:
    """Text of a named format; "" is checked with `empty` only. `report`: the child the error names."""
    return node("rule", "format", format=format_, empty=empty, prefix=prefix, report=report, before=before)


def name(format_: str = "dns1123Subdomain") -> Node:
    """The name of another object: required, and of its kind's format."""
    return first(required(), text(format_))


def unique(
    *by: str,
    report: str | None = None,
    skip_empty: bool = False,
    invalid: str | None = None,
    sound: bool = False,
    show: str = "key",
) -> Node:
    """No two items alike, by some fields or wholly. `show`: `key`, `keys` or `item`, what `Duplicate value` shows.
    `sound`: an item that something else is wrong with does not count."""
    shown = None if show == "key" else show
    return node(
        "rule", "unique", by=list(by), report=report, skip_empty=skip_empty, invalid=invalid, sound=sound, show=shown
    )


def union(members: dict[str, Nodes], *, many: str, none: str | None = None) -> Node:
    """Exactly one of several fields; the rules of the first that is set run, others are `Forbidden: many`."""
    pairs = [[field, list(rules)] for field, rules in members.items()]
    return node("rule", "union", members=pairs, many=many, none=none)


def fail(
    reason: str, detail: str = "", *, report: str | None = None, value: Any = None, value_at: str | None = None
) -> Node:
    """An error, whatever stands here. reason: required, invalid, forbidden, duplicate, notFound."""
    shown = {} if value is None else {"value": value}
    return {**node("rule", "fail", reason=reason, detail=detail, report=report, value_at=value_at), **shown}


def forbidden(detail: str) -> Node:
    """`Forbidden` if anything is set here."""
    return node("rule", "fail", reason="forbidden", detail=detail, if_set=True)


def forbidden_pointer(detail: str) -> Node:
    """`Forbidden` if anything but null stands here."""
    return when(is_set(pointer=True), fail("forbidden", detail))


def found_in(place: str, key: str, *, invalid: str | None = None) -> Node:
    """The text here is the key of an item of a list elsewhere."""
    return node("rule", "reference", list=place, key=key, invalid=invalid)


def quantity(*, positive: bool = False, integer: bool = False) -> Node:
    """A quantity of at least zero, or more than zero; whole if asked."""
    return node("rule", "quantity", positive=positive, integer=integer)


def label_selector() -> Node:
    """A LabelSelector is well formed."""
    return node("rule", "selector")


def labels() -> Node:
    """A map of labels is well formed."""
    return node("rule", "selector", labels=True)


def meta_create(name_format: str = "dns1123Subdomain", *, namespaced: bool = True) -> Node:
    """ObjectMeta of a new object: name, namespace, labels, annotations, owners, finalizers."""
    return at("metadata", node("rule", "meta", step="create", name=name_format, namespaced=namespaced))


def meta_update() -> Node:
    """ObjectMeta of a changed object: what is fixed stays."""
    return at("metadata", node("rule", "meta", step="update"))


def meta_template() -> Node:
    """Labels and annotations of a template's metadata."""
    return node("rule", "meta", step="template")


def immutable(detail: str | None = None, *, forbidden: bool = False, once_set: bool = False) -> Node:
    """The value stays as it was; with `once_set` it may be set where it was not."""
    return node("rule", "immutable", detail=detail, forbidden=forbidden, once_set=once_set)


def each_new(*rules: Node) -> Node:
    """Rules for the items that the old list does not hold."""
    return node("rule", "eachNew", rules=list(rules))


def native(rule: str) -> Node:
    """A rule written in Rust (rust/knarr-schema/src/rules/native)."""
    return node("rule", "native", name=rule)


# Conditions. A place is a dotted path from here; `$` begins at the running type, `$$` at its caller; `old:` takes
# the old object's.


def is_set(place: str = ".", *, pointer: bool = False) -> Node:
    """Something other than null, "", [] and {} stands there; with `pointer`, anything but null."""
    return {"set": True, "at": place} | ({"pointer": True} if pointer else {})


def is_unset(place: str = ".", *, pointer: bool = False) -> Node:
    return not_(is_set(place, pointer=pointer))


def is_value(place: str, *values: Any) -> Node:
    """One of these stands there; None is absence."""
    return {"in": list(values), "at": place}


def same(place: str, other: str) -> Node:
    return {"same": other, "at": place}


def count_of(fields: Sequence[str], low: int, high: int | None = None) -> Node:
    """So many of these fields are not null."""
    return {"count": list(fields), "min": low} | ({} if high is None else {"max": high})


def entries(place: str, at_least: int) -> Node:
    return {"entries": at_least, "at": place}


def less(place: str, bound: int) -> Node:
    """The number there (0 where absent) is less."""
    return {"less": bound, "at": place}


def over(place: str, other: str) -> Node:
    """The number here (0 where absent) is greater than that there."""
    return {"over": other, "at": place}


def starts(place: str, prefix: str) -> Node:
    return {"prefix": prefix, "at": place}


def contains(place: str, part: str) -> Node:
    return {"contains": part, "at": place}


def some(place: str, field: str, *values: Any) -> Node:
    """Some item of the list there has this field equal to one of these."""
    return {"some": list(values), "at": place, "field": field}


def updating() -> Node:
    return {"update": True}


def not_(condition: Node) -> Node:
    return {"not": condition}


def all_of(*conditions: Node) -> Node:
    return {"all": list(conditions)}


def any_of(*conditions: Node) -> Node:
    return {"any": list(conditions)}
