"""knarr: a cluster orchestrator that speaks the Kubernetes API."""
