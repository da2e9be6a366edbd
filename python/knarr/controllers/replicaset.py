"""ReplicaSet: as many pods as asked for, made from its template. What it does stands in `_replicas`."""

from __future__ import annotations

from knarr.controllers._replicas import Replicas
from knarr.controllers.runtime.objects import REPLICA_SETS

CONTROLLER = Replicas(REPLICA_SETS).controller("replicaset", "replicaset-controller")
