"""A server composed in Python, as a program of its own: what a user of knarr.apiserver writes, with commands on
standard input.

usage: python -m bench.composed DATA_DIR ADDRESS PORT

    add FILE     serve the kind that this Python file declares as KIND
    hook         give Pod a Python hook that judges each new one
    hold N       hold the GIL for N seconds, in a thread
    rows         how often the hook was called
    quit

Each command is answered by one line; the first line says that the server serves.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import sys
import threading
from pathlib import Path
from typing import Any

from knarr.api import all_kinds
from knarr.apiserver import ApiServer, Options
from knarr.cluster.config import Config, settle
from knarr.cluster.prepare import prepare
from knarr.declare import Kind

calls = 0


def judge(request: dict[str, Any], new: dict[str, Any], old: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a site's own rule looks like: every container names its registry."""
    global calls
    calls += 1
    errors = []
    for index, container in enumerate(new["spec"]["containers"]):
        if "/" not in container["image"]:
            path = f"spec.containers[{index}].image"
            errors.append({"field": path, "reason": "Invalid", "value": container["image"], "detail": "no registry"})
    return errors


def load_kind(path: Path) -> Kind:
    """The KIND of a Python file. Raises TypeError where it is none."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TypeError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not isinstance(module.KIND, Kind):
        raise TypeError(f"{path} declares no KIND")
    return module.KIND


def configure(data_dir: str, address: str, port: int) -> Config:
    """Certificates and settings of a server in a folder of its own."""
    config = settle(data_dir, {"node_ip": address, "port": port, "node_name": "composed", "runtime": "hollow"})
    prepare(config)
    return config


def options_of(config: Config) -> Options:
    paths = config.paths
    return Options(str(paths.store), str(paths.pki), config.node_ip, config.port, config.service_cidr)


def run(server: ApiServer, command: str, argument: str) -> str:
    """Carry out one command; the answer's line."""
    if command == "add":
        try:
            server.add_kind(load_kind(Path(argument)))
        except ValueError as error:
            return f"refused: {error}".replace("\n", " ")
        return "added"
    if command == "hook":
        pod = next(kind for kind in all_kinds() if kind.kind == "Pod")
        server.add_kind(dataclasses.replace(pod, hooks={"validateCreate": judge}))
        return "hooked"
    if command == "hold":
        # PyDLL calls without leaving the GIL: no other thread runs Python meanwhile, this one's loop neither
        holder = threading.Thread(target=ctypes.PyDLL(None).sleep, args=(int(argument),))
        print("holding", flush=True)
        holder.start()
        holder.join()
        return "released"
    if command == "rows":
        return str(calls)
    return f"unknown command {command}"


def main() -> None:
    data_dir, address, port = sys.argv[1:]
    config = configure(data_dir, address, int(port))
    options = options_of(config)
    server = ApiServer.open(options)
    server.start(options)
    print("serving", flush=True)
    try:
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            if command == "quit":
                break
            print(run(server, command, argument), flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
