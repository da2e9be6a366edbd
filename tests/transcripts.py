"""Transcripts: what was asked and what was answered, as text that is read as a diff.

A transcript is a file of steps. A step is its input, a line `----`, and the answer up to the next blank line; an answer
that holds blank lines stands between `----` `----` pairs. Lines before the first step that begin with `#` describe the
file.

Every transcript was recorded from kube-apiserver 1.34 (REWRITE=1 with TARGET_KUBECONFIG naming such a cluster): what
stands in it is Kubernetes' answer, and knarr must give the same. What no two clusters share (uids, times, revisions,
random names, allocated addresses) is replaced by its kind before it is compared, see `normalize`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REWRITE = bool(os.environ.get("REWRITE"))

RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
        (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d{4}( UTC)?)", "TIME"),
        (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"https://[\w.-]+:\d+", "SERVER"),
        # a ReplicaSet's hash (its function is not promised) and a generated suffix, with the width that Kubernetes
        # gives them
        (rf"(?<=-){RANDOM}{{8,10}}-{RANDOM}{{5}}\b", "HASH-RANDOM"),
        (rf"(?<=-){RANDOM}{{8,10}}\b", "HASH"),
        (rf"(?<=pod-template-hash[=:])\s*\"?{RANDOM}{{8,10}}\"?", "HASH"),
        # the addresses that transcripts give themselves are left
        (r"\b10\.(?!96\.0\.1\b|96\.77\.[78]\b|1\.2\.)\d+\.\d+\.\d+\b", "ADDRESS"),
        (r"(?<=odePort = )3(?!123)\d{4}\b", "NODEPORT"),
        (r"(?<=:)3(?!123)\d{4}(?=/TCP)", "NODEPORT"),
        (r"(Resource Version: +)\d+", r"\1RV"),
        (r"(?<=in record \()\d+", "RV"),
        # the head of a line of klog
        (r"(?m)^[WIE]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", "LOG "),
        (r"(?<=current: )\d+", "RV"),
        (rf"(?<=kube-api-access-){RANDOM}{{5}}\b", "RANDOM"),
        # Go prints the difference of two structs, with spaces that change from run to run on purpose
        (r"(?<=previously negative\)\\n)(?:[^\"\\]|\\.)*", "DIFFERENCE"),
        # a whole object inside a message: nothing promises the order of its fields
        (r"(Invalid value: \\*\")\{\\+\"apiVersion.*?\}(\\*\": )", r"\1OBJECT\2"),
        # ages, as a column or in words
        (r"(?m)(?<=[ (])(\d+[dhms]){1,3}(?=$|[ )])", "AGE"),
        (r"(?<=\")\d+s(?=\")", "AGE"),
        (r"<unknown>(?= )", "AGE"),
    )
)
REVISION = re.compile(r"(resourceVersion(?:Match)?\\?\"?[:=] ?\\?\"?)[1-9]\d*")
SPACES = re.compile(r"(?<=\S) {2,}")


def normalize(text: str) -> str:
    """An answer without what differs between two clusters; the width of columns is not compared either."""
    text = REVISION.sub(r"\1RV", text)
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return "\n".join(SPACES.sub("  ", line).rstrip() for line in text.rstrip("\n").split("\n"))


@dataclass
class Step:
    """One question and its recorded answer. line: of the question, counted from 1."""

    line: int
    question: str
    answer: str


@dataclass
class Transcript:
    path: Path
    head: str
    steps: list[Step]

    def text(self) -> str:
        parts = [self.head] if self.head else []
        for step in self.steps:
            answer = step.answer
            fenced = (answer and "\n\n" in f"\n{answer}\n") or answer.startswith("----")
            rule = "----\n----" if fenced else "----"
            parts.append(f"{step.question}\n{rule}\n{answer}\n" + (f"{rule}\n" if fenced else ""))
        return "\n".join(parts)

    def play(self, ask: Callable[[str], str]) -> None:
        """Ask every question in turn (or record, under REWRITE); fails with the difference of every answer that is not
        as recorded."""
        differences: list[str] = []
        for step in self.steps:
            answer = normalize(ask(step.question))
            if REWRITE:
                step.answer = answer
            elif answer != step.answer:
                before, after = step.answer.split("\n"), answer.split("\n")
                lines = difflib.unified_diff(before, after, "recorded", "now", lineterm="")
                differences.append("\n".join([f"{self.path.name}:{step.line}: {step.question}", *lines]))
        if REWRITE:
            self.path.write_text(self.text())
        assert not differences, f"{len(differences)} of {len(self.steps)} answers differ\n\n" + "\n\n".join(differences)


def read(path: Path) -> Transcript:
    """Parse a file of steps."""
    lines = path.read_text().split("\n")
    head: list[str] = []
    at = 0
    while at < len(lines) and lines[at].startswith("#"):
        head.append(lines[at])
        at += 1
    steps: list[Step] = []
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        begin = at
        question: list[str] = []
        while at < len(lines) and lines[at] != "----":
            question.append(lines[at])
            at += 1
        at += 1
        answer: list[str] = []
        if lines[at : at + 1] == ["----"]:
            at += 1
            while lines[at : at + 2] != ["----", "----"]:
                assert at < len(lines), f"{path.name}:{begin + 1}: the answer does not end"
                answer.append(lines[at])
                at += 1
            at += 2
        else:
            while at < len(lines) and lines[at].strip():
                answer.append(lines[at])
                at += 1
        while question and not question[-1].strip():
            question.pop()
        steps.append(Step(begin + 1, "\n".join(question), "\n".join(answer)))
    return Transcript(path, "\n".join(head) + "\n" if head else "", steps)
