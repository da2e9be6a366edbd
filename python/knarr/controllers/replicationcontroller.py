"""ReplicationController: a ReplicaSet whose selector is a map of labels. What it does stands in `_replicas`.

Its account is not called after its name, as in Kubernetes: `replication-controller`.
"""

from __future__ import annotations

from knarr.controllers._replicas import Replicas
from knarr.controllers.runtime.objects import REPLICATION_CONTROLLERS

CONTROLLER = Replicas(REPLICATION_CONTROLLERS, labels=True).controller(
    "replicationcontroller", "replication-controller"
)
