"""One machine's cluster: its files, its certificates, its processes.

Knows: the data directory's layout, the certificate authority, how the roles (server, controllers, agent) are started,
watched and ended. Never knows: what a request, a reconcile or a pod is. Start reading at `supervisor.py`, which is what
`knarr up` runs.
"""
