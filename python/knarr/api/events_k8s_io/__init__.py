"""Built-in kinds of events.k8s.io."""
