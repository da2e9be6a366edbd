"""`knarr server`: the API server with its store and scheduler."""

from __future__ import annotations

import os
import resource
import signal
import threading

from knarr.apiserver import ApiServer, Options
from knarr.cluster import notify
from knarr.cluster.config import Config
from knarr.cluster.prepare import prepare
from knarr.cluster.refusal import Refusal
from knarr.cluster.supervisor import role_of
from knarr.errors import OpenError

# Between two looks at the store's figures: as often as Prometheus asks by default.
FIGURES_SECONDS = 60


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises Refusal where the server cannot start."""
    paths = config.paths
    running = role_of(config, "server")
    if running is not None and running.pid != os.getpid():
        raise Refusal(f"a server already runs on {paths.data_dir}", "see `knarr status`, or end it with `knarr down`")
    prepare(config)
    # A connection is a file, and the store must never lack one: the soft limit is for users of select(2). Go's programs
    # raise theirs too.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    options = Options(
        store_dir=str(paths.store),
        pki_dir=str(paths.pki),
        address=config.node_ip,
        port=config.port,
        service_cidr=config.service_cidr,
    )
    try:
        server = ApiServer.open(options)
    except OpenError as error:
        raise Refusal(str(error), error.hint) from None
    try:
        server.start(options)
        notify.ready()
        # a signal interrupts the wait; the handler runs between two of them
        server.publish()
        while not stop.wait(FIGURES_SECONDS):
            server.publish()
    except OpenError as error:
        raise Refusal(str(error), error.hint) from None
    finally:
        server.stop()
