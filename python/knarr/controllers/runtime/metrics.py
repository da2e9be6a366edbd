"""What the controllers did, as numbers; `render` writes them in Prometheus' text format."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counters:
    """told: keys that changes named; seconds: in reconcile."""

    told: int = 0
    reconciles: int = 0
    errors: int = 0
    writes: int = 0
    seconds: float = 0.0


class Metrics:
    def __init__(self) -> None:
        self._counters: dict[str, Counters] = {}

    def of(self, controller: str) -> Counters:
        return self._counters.setdefault(controller, Counters())

    def render(self) -> str:
        lines = []
        for field in fields(Counters):
            name = f"knarr_controller_{field.name}_total"
            lines.append(f"# TYPE {name} counter")
            for controller, counters in sorted(self._counters.items()):
                lines.append(f'{name}{{controller="{controller}"}} {getattr(counters, field.name)}')
        return "\n".join(lines) + "\n"
