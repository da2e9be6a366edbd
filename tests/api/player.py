"""Plays HTTP exchanges.

A question is a request: the line `METHOD /path`, then lines `name: value`, then, after an empty indentless `|` line,
the body in YAML or JSON. Names that are not headers steer the exchange:

    as: nobody | token     without the certificate; with the token that was kept under that name
    keep: NAME = .path     keep a value of the answer; ${NAME} stands for it afterwards
    show: a, b             the headers whose values belong to the answer
    only: .path, .path     the parts of the answer that are compared; all of it otherwise
    raw: yes               the answer as text

The answer is the code, the shown headers, and the body line by line: `.path = value` for JSON, one block for each line
of a stream. ${ns} is the namespace of the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from targets import Target

STEERING = {"as", "keep", "show", "only", "raw", "size"}
# written as one line each: they are compared whole, and a line for every field of them would hide the rest
WHOLE = ("managedFields", "fieldsV1", "columnDefinitions", "cells")


def flatten(value: Any, path: str = "") -> Iterator[str]:
    """`.path = value` lines, maps in the order of their keys."""
    last = path.rsplit(".", 1)[-1].split("[")[0]
    if isinstance(value, dict) and value and last not in WHOLE:
        for key in sorted(value):
            step = f".{key}" if re.fullmatch(r"[\w-]+", key) else f"[{json.dumps(key)}]"
            yield from flatten(value[key], f"{path}{step}")
    elif isinstance(value, list) and value and (last not in WHOLE or path.endswith(last)) and last != "cells":
        for index, each in enumerate(value):
            yield from flatten(each, f"{path}[{index}]")
    elif last == "resourceVersion" and isinstance(value, str) and value.isdigit() and value != "0":
        yield f'{path} = "RV"'
    elif last == "continue" and value:
        yield f'{path} = "CONTINUE"'
    else:
        yield f"{path} = {json.dumps(value, sort_keys=True, ensure_ascii=False)}"


def unrepeated(status: Any) -> None:
    """Kubernetes names a cause as often as it came across it (its message does so once); knarr once."""
    if isinstance(status, dict) and isinstance(details := status.get("details"), dict) and details.get("causes"):
        causes = details["causes"]
        details["causes"] = [each for at, each in enumerate(causes) if each not in causes[:at]]


def find(value: Any, path: str) -> Any:
    """The value at `.a.b[0]`."""
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(index)]
    return value


class Player:
    """Asks one cluster; keeps values between the steps of a file."""

    def __init__(self, target: Target, namespace: str) -> None:
        self.target = target
        self.kept = {"ns": namespace}

    def ask(self, question: str) -> str:
        lines = question.split("\n")
        body: bytes | None = None
        if "|" in lines:
            cut = lines.index("|")
            lines, text = lines[:cut], "\n".join(lines[cut + 1 :])
            body = self.fill(text).encode()
        method, path = self.fill(lines[0]).split(" ", 1)
        headers: dict[str, str] = {}
        steering: dict[str, list[str]] = {}
        for line in lines[1:]:
            if line.startswith("#"):
                continue
            name, value = line.split(":", 1)
            if name in STEERING:
                steering.setdefault(name, []).append(value.strip())
            else:
                headers[name] = self.fill(value.strip())
        if "size" in steering:
            body = (body or b"").replace(b"SIZE", b"x" * int(steering["size"][0]))
        if body is not None and "Content-Type" not in headers:
            body = json.dumps(yaml.safe_load(body)).encode()
        who = steering.get("as", [""])[0]
        token = self.kept[who] if who not in ("", "nobody") else ""
        try:
            answer = self.target.http(method, path, body, headers=headers, certified=not who, token=token)
        except OSError as error:
            return f"no answer: {type(error).__name__}"
        out = [str(answer.code)]
        for name in ",".join(steering.get("show", [])).split(","):
            if name.strip() == "warning":
                out += [f"> warning: {each}" for each in answer.warnings]
            elif name.strip():
                out.append(f"> {name.strip()}: {answer.headers.get(name.strip().lower())}")
        text = answer.body.decode(errors="backslashreplace")
        if "raw" in steering:
            return "\n".join([*out, text])
        try:
            documents = [json.loads(line) for line in text.splitlines()] if "\n{" in text else [json.loads(text)]
        except ValueError:
            return "\n".join([*out, text])
        for each in steering.get("keep", []):
            name, _, where = each.partition(" = ")
            self.kept[name] = str(find(documents[0], where))
        wanted = tuple(each.strip() for each in ",".join(steering.get("only", [])).split(",") if each.strip())
        for number, document in enumerate(documents):
            unrepeated(document)
            if len(documents) > 1:
                out.append(f"-- {number}")
            shown = [line for line in flatten(document) if not wanted or line.startswith(wanted)]
            out += shown
        return "\n".join(out)

    def fill(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: self.kept[found[1]], text)
