"""What writers and watchers saw, and the laws that must hold between them. Pure: it knows no server.

A writer raises the number in an object of its own, again and again; now and then it deletes the object and makes it
anew with the next number. It remembers the last number that was acknowledged and the last that it tried: after a
crash, the object holds one of those from the acknowledged one on (the answer may have been lost, the write not). A
watcher sees numbers of one object only grow, sees every acknowledged number exactly once, and revisions only grow,
over all its connections together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Written:
    """One object as its writer knows it. acknowledged: number to the revision it was answered with; tried: the last
    number sent."""

    name: str
    acknowledged: dict[int, int] = field(default_factory=dict)
    tried: int = 0
    # the last acknowledged thing done to it was its deletion
    deleted: bool = False

    @property
    def last(self) -> int:
        return max(self.acknowledged, default=0)

    def check_read(self, number: int | None, unsettled: bool) -> list[str]:
        """Errors of a read after a crash. number: what the object holds, None where there is none. unsettled: the last
        request was not answered."""
        if number is None:
            gone = self.deleted or unsettled or not self.acknowledged
            return [] if gone else [f"{self.name}: gone, though {self.last} was acknowledged"]
        if number < self.last:
            return [f"{self.name}: holds {number}, though {self.last} was acknowledged"]
        if number > self.tried:
            return [f"{self.name}: holds {number}, but {self.tried} is the last that was sent"]
        return []


@dataclass(slots=True)
class Watched:
    """One watcher over all its connections. revision: the last it was told, from which it resumes."""

    revision: int = 0
    seen: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    reconnects: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """One event of the stream."""
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            self.errors.append(f"the watch ended: {found.get('message')}")
            return
        revision = int(found["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            self.revision = max(self.revision, revision)
            return
        if revision <= self.revision:
            self.errors.append(f"{found['metadata']['name']}: revision {revision} after {self.revision}")
        self.revision = revision
        if kind == "DELETED":
            return
        name, number = found["metadata"]["name"], int(found["data"]["number"])
        numbers = self.seen[name]
        if numbers and number <= numbers[-1]:
            self.errors.append(f"{name}: {number} after {numbers[-1]}")
        numbers.append(number)

    def check(self, objects: list[Written]) -> list[str]:
        """All errors, once nothing is written any more and the watcher has caught up."""
        errors = list(self.errors)
        for written in objects:
            missing = set(written.acknowledged) - set(self.seen[written.name])
            if missing:
                errors.append(
                    f"{written.name}: {len(missing)} acknowledged numbers not seen, {sorted(missing)[:5]} among them"
                )
            invented = [number for number in self.seen[written.name] if number > written.tried]
            if invented:
                errors.append(f"{written.name}: {invented[:5]} were never sent")
        return errors
