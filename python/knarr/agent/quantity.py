"""Kubernetes quantities as exact numbers: `quantity("1500m") == Fraction(3, 2)`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")


def quantity(text: str | int | float) -> Fraction:
    """Raises ValueError for what is no quantity."""
    found = _FORM.fullmatch(str(text))
    if found is None:
        raise ValueError(f"not a quantity: {text!r}")
    number, suffix = Fraction(found[1]), found[2] or ""
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    if suffix in _DECIMAL:
        return number * Fraction(10) ** _DECIMAL[suffix]
    return number * Fraction(10) ** int(suffix[1:])


def amount(resources: Mapping[str, str] | None, name: str) -> Fraction:
    """The named resource, 0 when it is not there."""
    value = (resources or {}).get(name)
    return Fraction(0) if value is None else quantity(value)


def milli(value: Fraction) -> int:
    """Thousandths, rounded up, as Quantity.MilliValue."""
    return math.ceil(value * 1000)


def whole(value: Fraction) -> int:
    """Units, rounded up, as Quantity.Value."""
    return math.ceil(value)
