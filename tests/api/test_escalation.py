"""Goal: nobody grants what he does not hold. Method: a user who may write roles of one namespace, and tries."""

from __future__ import annotations

from clusters import Cluster

NAMESPACE = "escalation"


def test_a_role_is_granted_only_by_who_holds_it(hollow: Cluster) -> None:
    ok, within = hollow.ok, ("-n", NAMESPACE)
    ok("create", "namespace", NAMESPACE)
    rules = ("--verb=get,list,create,update,patch", "--resource=roles,rolebindings")
    ok("create", "role", "role-writer", *rules, *within)
    ok("create", "rolebinding", "role-writer", "--role=role-writer", "--user=bob", *within)
    bob = ("--as=bob", *within)

    said = hollow.fails("create", "role", "reader", "--verb=get", "--resource=pods", *bob)
    assert 'roles.rbac.authorization.k8s.io "reader" is forbidden: user "bob" (groups=["system:authenticated"])' in said
    assert "is attempting to grant RBAC permissions not currently held:" in said
    assert '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}' in said

    ok("create", "role", "reader", "--verb=get", "--resource=pods", *within)
    said = hollow.fails("create", "rolebinding", "mine", "--role=reader", "--user=bob", *bob)
    assert "is attempting to grant RBAC permissions not currently held" in said
    said = hollow.fails("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=bob", *bob)
    assert "is attempting to grant RBAC permissions not currently held" in said

    ok("create", "rolebinding", "reader-bob", "--role=reader", "--user=bob", *within)
    ok("create", "rolebinding", "reader-ann", "--role=reader", "--user=ann", *bob)
    patch = '[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]'
    assert "not currently held" in hollow.fails("patch", "role", "reader", "--type=json", "-p", patch, *bob)
    ok("label", "role", "reader", "seen=yes", *bob)
