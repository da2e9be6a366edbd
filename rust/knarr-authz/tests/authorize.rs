//! Decisions: tables in Kubernetes' words, and the index against a plain loop over all bindings and rules.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

use knarr_authz::{
    Attributes, Authorizer, Decision, MASTERS, RbacKind, RoleRef, Rule, Target, forbidden_message, references_of_pod,
};
use knarr_base::User;
use knarr_value::Value;
use proptest::prelude::*;

fn value(text: &str) -> Value {
    knarr_value::json::parse(text.as_bytes()).expect("JSON").value
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.to_owned(), groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..User::default() }
}

fn authorizer() -> Authorizer {
    Authorizer::new(Box::new(|namespace, name| (namespace == "ns" && name == "mine").then(|| "n1".to_owned())))
}

/// `verb group/resource/subresource namespace name`, `-` for empty; or `verb path /x`.
fn attributes<'a>(text: &'a str) -> Attributes<'a> {
    let words: Vec<&'a str> = text.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    if words[1] == "path" {
        return Attributes { verb: words[0], target: Target::Path(words[2]) };
    }
    let mut parts = words[1].split('/');
    let mut next = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (next(), next(), next());
    let target = Target::Resource {
        group,
        resource,
        subresource,
        namespace: words[2],
        name: words[3],
        node_name: words.get(4).copied(),
    };
    Attributes { verb: words[0], target }
}

fn check(authorizer: &Authorizer, user: &User, text: &str, allowed: bool) {
    let decision = authorizer.authorize(user, &attributes(text));
    assert_eq!(decision == Decision::Allowed, allowed, "{} {text}: {decision:?}", user.name);
}

fn role(rules: &str) -> Value {
    value(&format!(r#"{{"rules":[{rules}]}}"#))
}

fn binding(kind: &str, role: &str, subjects: &str) -> Value {
    value(&format!(r#"{{"roleRef":{{"kind":"{kind}","name":"{role}"}},"subjects":[{subjects}]}}"#))
}

#[test]
fn roles_hold_where_they_are_bound() {
    let a = authorizer();
    a.apply(
        RbacKind::ClusterRole,
        "",
        "view",
        Some(&role(r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","pods/log"]}"#)),
    );
    a.apply(
        RbacKind::RoleBinding,
        "ns",
        "b",
        Some(&binding("ClusterRole", "view", r#"{"kind":"User","name":"bob"},{"kind":"ServiceAccount","name":"sa"}"#)),
    );
    let bob = user("bob", &["system:authenticated"]);
    check(&a, &bob, "get /pods ns p", true);
    check(&a, &bob, "get /pods/log ns p", true);
    check(&a, &bob, "get /pods/exec ns p", false);
    check(&a, &bob, "get /pods other p", false);
    check(&a, &bob, "list /pods - -", false);
    check(&a, &bob, "delete /pods ns p", false);
    check(&a, &bob, "get apps/pods ns p", false);
    check(&a, &user("system:serviceaccount:ns:sa", &[]), "list /pods ns -", true);
    check(&a, &user("system:serviceaccount:other:sa", &[]), "list /pods ns -", false);
    check(&a, &user("root", &[MASTERS]), "anything x/y/z ns n", true);
    // What is taken away is gone at once, also for users known already.
    a.apply(RbacKind::RoleBinding, "ns", "b", None);
    check(&a, &bob, "get /pods ns p", false);
}

#[test]
fn stars_names_subresources_and_urls() {
    let a = authorizer();
    let rules = r#"{"verbs":["update"],"apiGroups":["*"],"resources":["*/scale"]},
        {"verbs":["*"],"apiGroups":["apps"],"resources":["*"]},
        {"verbs":["get"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["one"]},
        {"verbs":["get"],"nonResourceURLs":["/healthz/*","/version"]},
        {"verbs":["fly"],"apiGroups":[""],"resources":["kites"]}"#;
    a.apply(RbacKind::ClusterRole, "", "r", Some(&role(rules)));
    a.apply(
        RbacKind::ClusterRoleBinding,
        "",
        "b",
        Some(&binding("ClusterRole", "r", r#"{"kind":"Group","name":"g"}"#)),
    );
    let member = user("any", &["g"]);
    for (text, allowed) in [
        ("update batch/jobs/scale ns j", true),
        ("update batch/jobs ns j", false),
        ("delete apps/deployments/status ns d", true),
        ("get /configmaps ns one", true),
        ("get /configmaps ns two", false),
        ("list /configmaps ns -", false),
        ("fly /kites ns k", true),
        ("walk /kites ns k", false),
        ("get path /healthz/etcd", true),
        ("get path /healthz", false),
        ("get path /version", true),
        ("post path /version", false),
    ] {
        check(&a, &member, text, allowed);
    }
}

#[test]
fn a_node_is_held_to_its_own() {
    let a = authorizer();
    let n1 = user("system:node:n1", &["system:nodes", "system:authenticated"]);
    let pod = value(
        r#"{"metadata":{"name":"mine"},"spec":{"serviceAccountName":"sa","imagePullSecrets":[{"name":"pull"}],
            "containers":[{"name":"c","envFrom":[{"secretRef":{"name":"env"}}],"env":[{"name":"x","valueFrom":{"configMapKeyRef":{"name":"cm"}}}]}],
            "volumes":[{"name":"v","projected":{"sources":[{"configMap":{"name":"kube-root-ca.crt"}}]}},{"name":"w","persistentVolumeClaim":{"claimName":"pvc"}}]}}"#,
    );
    let readable = [
        "get /secrets ns pull",
        "get /secrets ns env",
        "watch /configmaps ns cm",
        "list /configmaps ns kube-root-ca.crt",
        "get /persistentvolumeclaims ns pvc",
        "create /serviceaccounts/token ns sa",
    ];
    for text in readable {
        check(&a, &n1, text, false);
    }
    a.pod_bound("n1", references_of_pod("ns", &pod));
    a.pod_bound("n1", references_of_pod("ns", &pod));
    a.pod_gone("n1", references_of_pod("ns", &pod));
    for text in readable {
        check(&a, &n1, text, true);
        check(&a, &user("system:node:n2", &["system:nodes"]), text, false);
        check(&a, &user("system:node:n1", &[]), text, false);
    }
    for (text, allowed) in [
        ("get /secrets other pull", false),
        ("list /secrets ns -", false),
        ("update /secrets ns pull", false),
        ("get /pods ns mine", true),
        ("get /pods ns theirs", false),
        ("watch /pods - - n1", true),
        ("watch /pods - - n2", false),
        ("watch /pods - -", false),
        ("patch /pods/status ns any", true),
        ("get /nodes - n1", true),
        ("get /nodes - n2", false),
        ("list /nodes - -", false),
        ("patch /nodes/status - n1", true),
        ("update coordination.k8s.io/leases kube-node-lease n1", true),
        ("update coordination.k8s.io/leases kube-node-lease n2", false),
        ("update coordination.k8s.io/leases ns n1", false),
        ("list /services - -", true),
        ("create /events ns -", true),
        ("delete /nodes - n1", false),
    ] {
        check(&a, &n1, text, allowed);
    }
    a.pod_gone("n1", references_of_pod("ns", &pod));
    check(&a, &n1, "get /secrets ns pull", false);
    let mirror = value(
        r#"{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"imagePullSecrets":[{"name":"s"}]}}"#,
    );
    assert!(references_of_pod("ns", &mirror).is_empty());
}

#[test]
fn refusals_are_worded_as_in_kubernetes() {
    let check =
        |text: &str, expected: &str| assert_eq!(forbidden_message(&user("x", &[]), &attributes(text)), expected);
    check("list /pods default -", r#"User "x" cannot list resource "pods" in API group "" in the namespace "default""#);
    check(
        "get apps/deployments/scale - d",
        r#"User "x" cannot get resource "deployments/scale" in API group "apps" at the cluster scope"#,
    );
    check("get path /a<b>", r#"User "x" cannot get path "/a&lt;b&gt;""#);
}

#[test]
fn nobody_grants_what_he_lacks() {
    let a = authorizer();
    let bob = user("bob", &["dev"]);
    let wanted =
        Rule::list_from_role(&role(r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","secrets"]}"#));
    a.apply(
        RbacKind::Role,
        "ns",
        "pods",
        Some(&role(r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}"#)),
    );
    a.apply(RbacKind::RoleBinding, "ns", "b", Some(&binding("Role", "pods", r#"{"kind":"User","name":"bob"}"#)));
    let error = a.check_role(&bob, "ns", "new", &wanted).expect_err("bob reads no secrets");
    assert_eq!(
        error.to_string(),
        "user \"bob\" (groups=[\"dev\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
    );
    let pods = RoleRef { cluster: false, name: "pods".to_owned() };
    assert!(a.check_binding(&bob, "ns", &pods).is_ok());
    assert!(a.check_binding(&bob, "other", &pods).is_err(), "that namespace has no such role");
    a.apply(RbacKind::ClusterRole, "", "admin", Some(&role(r#"{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}"#)));
    let admin = RoleRef { cluster: true, name: "admin".to_owned() };
    assert!(a.check_binding(&bob, "ns", &admin).is_err());
    let may = role(
        r#"{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["admin"]},
        {"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"]}"#,
    );
    a.apply(RbacKind::Role, "ns", "may", Some(&may));
    a.apply(RbacKind::RoleBinding, "ns", "c", Some(&binding("Role", "may", r#"{"kind":"Group","name":"dev"}"#)));
    assert!(a.check_binding(&bob, "ns", &admin).is_ok());
    assert!(a.check_role(&bob, "ns", "new", &wanted).is_ok());
    assert!(a.check_role(&user("root", &[MASTERS]), "", "any", &wanted).is_ok());
}

/// Small words, so that rules and requests meet.
fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn words(of: &'static [&'static str], max: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(word(of), 0..=max)
}

const RESOURCES: &[&str] = &["pods", "pods/log", "*/log", "*", "secrets"];

fn rule() -> impl Strategy<Value = Rule> {
    let parts = (
        words(&["get", "list", "fly", "*"], 2),
        words(&["", "apps", "*"], 2),
        words(RESOURCES, 2),
        words(&["a", "b"], 1),
        words(&["/x", "/x/*", "*"], 1),
    );
    parts.prop_map(|(verbs, groups, resources, names, urls)| Rule { verbs, groups, resources, names, urls })
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_plain_loop(
        roles in proptest::collection::vec((word(&["", "n1", "n2"]), proptest::collection::vec(rule(), 0..3)), 1..4),
        bound in proptest::collection::vec((0usize..4, word(&["", "n1", "n2"]), word(&["u:bob", "g:dev", "u:eve"])), 0..5),
        asked in (word(&["get", "list", "fly"]), word(&["", "apps"]), word(&["pods", "secrets"]), word(&["", "log"]), word(&["", "n1"]), word(&["", "a", "c"]), any::<bool>()),
    ) {
        let a = authorizer();
        for (at, (namespace, rules)) in roles.iter().enumerate() {
            let kind = if namespace.is_empty() { RbacKind::ClusterRole } else { RbacKind::Role };
            let mut object = Value::Map(Default::default());
            object.set_path(&["rules"], Value::List(rules.iter().map(Rule::to_value).collect()));
            a.apply(kind, namespace, &format!("r{at}"), Some(&object));
        }
        let bob = user("bob", &["dev"]);
        let (verb, group, resource, subresource, namespace, name, by_path) = &asked;
        let target = if *by_path {
            Target::Path("/x/y")
        } else {
            Target::Resource { group, resource, subresource, namespace, name, node_name: None }
        };
        let attributes = Attributes { verb, target };
        let mut expected = false;
        let scope = if *by_path { "" } else { namespace.as_str() };
        for (at, (index, binding_namespace, subject)) in bound.iter().enumerate() {
            let Some((role_namespace, rules)) = roles.get(*index) else { continue };
            let (kind, plain) = subject.split_at(2);
            let kind = if kind == "u:" { "User" } else { "Group" };
            let role_kind = if role_namespace.is_empty() { "ClusterRole" } else { "Role" };
            let object = binding(role_kind, &format!("r{index}"), &format!(r#"{{"kind":"{kind}","name":"{plain}"}}"#));
            let binding_kind = if binding_namespace.is_empty() { RbacKind::ClusterRoleBinding } else { RbacKind::RoleBinding };
            a.apply(binding_kind, binding_namespace, &format!("b{at}"), Some(&object));
            let named = subject != "u:eve";
            // A Role is found in the binding's own namespace only; a binding of a namespace holds there only.
            let found = role_namespace.is_empty() || role_namespace == binding_namespace;
            let holds = binding_namespace.is_empty() || binding_namespace == scope;
            expected |= named && found && holds && rules.iter().any(|rule| rule.allows(&attributes));
        }
        for _ in 0..2 {
            prop_assert_eq!(a.authorize(&bob, &attributes) == Decision::Allowed, expected);
        }
    }
}

/// Not a test of speed but a bound on it: a decision for a user known already, many times the budget of one microsecond away from
/// what a forgotten cache would cost.
#[test]
fn a_known_users_decision_does_not_compile_again() {
    let a = authorizer();
    for at in 0..500 {
        a.apply(
            RbacKind::ClusterRole,
            "",
            &format!("r{at}"),
            Some(&role(r#"{"verbs":["get"],"apiGroups":["x"],"resources":["y"]}"#)),
        );
        a.apply(
            RbacKind::ClusterRoleBinding,
            "",
            &format!("b{at}"),
            Some(&binding("ClusterRole", &format!("r{at}"), r#"{"kind":"Group","name":"g"}"#)),
        );
    }
    let member = user("any", &["g", "system:authenticated"]);
    check(&a, &member, "get x/y ns n", true);
    let started = std::time::Instant::now();
    for _ in 0..100_000 {
        check(&a, &member, "get x/y ns n", true);
    }
    let each = started.elapsed() / 100_000;
    assert!(each < std::time::Duration::from_micros(20), "{each:?} a decision");
    println!("{each:?} a decision");
}
