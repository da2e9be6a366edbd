"""The table: work, peer, knarr, and whether the goal is met. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MISSING = "-"


@dataclass(frozen=True)
class Row:
    """One figure of both sides. goal: what knarr is to reach, in words; met: whether a pair (peer, knarr) does."""

    work: str
    unit: str
    peer: float | None
    knarr: float | None
    goal: str = ""
    met: Callable[[float, float], bool] | None = None

    @property
    def ratio(self) -> str:
        if not self.peer or not self.knarr:
            return MISSING
        high, low = max(self.peer, self.knarr), min(self.peer, self.knarr)
        return f"{'x' if self.knarr >= self.peer else '1/'}{high / low:.1f}"

    @property
    def verdict(self) -> str:
        if self.met is None or self.knarr is None:
            return ""
        # a goal in figures of its own needs no peer
        if self.peer is None and self.goal[:1] in "x1":
            return "no peer"
        return "met" if self.met(self.peer or 0.0, self.knarr) else "MISSED"


def at_most(limit: float) -> Callable[[float, float], bool]:
    return lambda _peer, knarr: knarr <= limit


def times(factor: float) -> Callable[[float, float], bool]:
    """At least `factor` times the peer's."""
    return lambda peer, knarr: knarr >= factor * peer


def share(parts: float) -> Callable[[float, float], bool]:
    """At most one of `parts` parts of the peer's."""
    return lambda peer, knarr: knarr * parts <= peer


def number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| work | unit | Kubernetes | knarr | ratio | goal | |", "| --- | --- | ---: | ---: | ---: | --- | --- |"]
    for row in rows:
        cells = (row.work, row.unit, number(row.peer), number(row.knarr), row.ratio, row.goal, row.verdict)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
