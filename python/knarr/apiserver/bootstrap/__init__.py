"""What a cluster holds before its first user: namespaces, roles and bindings, Service default/kubernetes and its
endpoints.

Each is made at start where it is missing; roles that lost a rule, and bindings that lost a subject, get it back, unless
the annotation rbac.authorization.kubernetes.io/autoupdate says "false". Source: kube-apiserver 1.34's post-start hooks.
"""

from knarr.apiserver.bootstrap.objects import ensure

__all__ = ["ensure"]
