"""What a running cluster says of itself, asked over its own API as the administrator."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request

from knarr.cluster.config import Config


def get(config: Config, path: str) -> bytes | None:
    """One GET as the administrator; None where the answer is not 200, or there is none."""
    folder = config.paths.pki
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        # the server is on this machine: no proxy of the environment's is between
        https, direct = urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        with urllib.request.build_opener(https, direct).open(config.server_url + path, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return None


def node_ready(config: Config) -> bool:
    body = get(config, f"/api/v1/nodes/{config.node_name}")
    if body is None:
        return False
    conditions = json.loads(body).get("status", {}).get("conditions", [])
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
