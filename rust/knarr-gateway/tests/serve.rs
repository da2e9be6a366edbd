//! Requests over real TLS on loopback, HTTP/1.1 and HTTP/2: who is let in, what is answered, in which words.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use knarr_base::BoxFuture;
use knarr_gateway::cold::{ColdHandler, ColdReply, ColdRequest};
use knarr_gateway::flow::FlowLimits;
use knarr_gateway::statics::Document;
use support::{World, next_piece, text};

fn world() -> World {
    World::start("127.0.0.1:0", FlowLimits::default())
}

fn configmap(name: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"a":"b"}}}}"#)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_health_and_nothing_else() {
    let world = world();
    let stranger = world.client(None);
    for path in ["/healthz", "/livez", "/readyz?verbose", "/livez/ping"] {
        assert_eq!(stranger.ask("GET", path, &[], "").await.0, 200, "{path}");
    }
    for path in ["/", "/api", "/metrics", "/api/v1/pods", "/healthzz", "/apis/healthz/v1/x"] {
        let (code, body) = stranger.ask("GET", path, &[], "").await;
        assert_eq!(code, 401, "{path}");
        assert!(body.contains(r#""message":"Unauthorized","reason":"Unauthorized""#), "{body}");
    }
    // A bad credential is refused everywhere, also where strangers may go.
    let expired = world.client(Some(&world.pki.expired("kubernetes-admin")));
    assert_eq!(expired.ask("GET", "/api/v1/pods", &[], "").await.0, 401);
    assert_eq!(expired.ask("GET", "/livez", &[], "").await.0, 401);
    let other_ca = support::Pki::new();
    let foreign = world.client(Some(&other_ca.client("kubernetes-admin", &["system:masters"])));
    assert_eq!(foreign.ask("GET", "/api/v1/pods", &[], "").await.0, 401);
    let liar = world.client(None);
    assert_eq!(liar.ask("GET", "/livez", &[("authorization", "Bearer nonsense")], "").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_read_and_watched() {
    let world = world();
    let admin = world.admin();
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, body) = admin.ask("POST", path, &[JSON], &configmap("one")).await;
    assert_eq!(code, 201, "{body}");
    let response = admin.response("GET", &format!("{path}/one"), &[], "").await;
    let headers = response.headers().clone();
    assert_eq!(response.status(), 200);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-cache, private");
    assert_eq!(headers["audit-id"].len(), 36);
    assert!(headers.contains_key("content-length") && headers.contains_key("date"));
    let body = text(response).await;
    assert!(body.starts_with(r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"one""#), "{body}");
    assert_eq!(admin.ask("GET", &format!("{path}?timeout=30s"), &[], "").await.0, 200);
    let (code, body) = admin.ask("GET", &format!("{path}?timeout=soon"), &[], "").await;
    assert!(code == 400 && body.contains("invalid timeout specified in the request URL"), "{body}");
    // HEAD is GET without its body.
    let head = admin.response("HEAD", &format!("{path}/one"), &[], "").await;
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].clone()),
        (200, headers["content-length"].clone())
    );
    assert_eq!(text(head).await, "");

    // Two watches on one HTTP/2 connection, one on HTTP/1.1; each gets what happens after it.
    let mut h2 = admin.h2().await;
    let url = format!("{path}?watch=1&resourceVersion=0");
    let mut first = h2.send_request(admin.request("GET", &url, &[], "")).await.expect("a watch");
    let mut second = h2.send_request(admin.request("GET", &url, &[], "")).await.expect("a watch");
    let mut third =
        admin.response("GET", &format!("{path}?watch=true&fieldSelector=metadata.name%3Dtwo"), &[], "").await;
    assert_eq!(first.headers()["content-type"], "application/json");
    assert_eq!(third.headers()["transfer-encoding"], "chunked");
    assert!(next_piece(&mut first).await.contains(r#""type":"ADDED""#));
    assert!(next_piece(&mut second).await.contains(r#""name":"one""#));
    assert_eq!(admin.ask("POST", path, &[JSON], &configmap("two")).await.0, 201);
    for watch in [&mut first, &mut second, &mut third] {
        let event = next_piece(watch).await;
        assert!(event.contains(r#""name":"two""#) && event.ends_with('\n'), "{event}");
    }
    let (_, metrics) = admin.ask("GET", "/metrics", &[], "").await;
    assert!(metrics.contains("apiserver_longrunning_requests{verb=\"WATCH\"} 3\n"), "{metrics}");
    drop((first, second, third));
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if admin.ask("GET", "/metrics", &[], "").await.1.contains("apiserver_longrunning_requests{verb=\"WATCH\"} 0\n")
        {
            return;
        }
    }
    panic!("dropped watches are still counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_answered_in_kubernetes_words() {
    let world = world();
    let admin = world.admin();
    let missing = [
        ("GET", "/api/v1/namespaces/default/configmaps/none", 404, r#"configmaps \"none\" not found"#),
        ("GET", "/api/v1/namespaces/default/unicorns", 404, "the server could not find the requested resource"),
        ("GET", "/apis/none.example/v1/things", 404, "404 page not found"),
        ("GET", "/nothing", 404, "404 page not found"),
        ("GET", "/api/v1/configmaps/one", 404, "the server could not find the requested resource"),
        ("GET", "/api/v1/namespaces/default/nodes", 404, "the server could not find the requested resource"),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps",
            405,
            "the server does not allow this method on the requested resource",
        ),
        ("POST", "/api/v1/configmaps", 405, "the server does not allow this method on the requested resource"),
        ("GET", "/api/v1/namespaces/default/configmaps?limit=x", 400, "invalid syntax"),
    ];
    for (method, path, code, words) in missing {
        let (got, body) = admin.ask(method, path, &[], "").await;
        assert!(got == code && body.contains(words), "{method} {path}: {got} {body}");
    }
    let (code, body) = admin.ask("GET", "/api/v1/configmaps", &[("accept", "text/css")], "").await;
    assert!(code == 406 && body.contains("406: Not Acceptable"), "{code} {body}");
    let (code, body) =
        admin.ask("POST", "/api/v1/namespaces/default/configmaps", &[("content-type", "text/css")], "x").await;
    assert!(code == 415 && body.contains("the body of the request was in an unknown format"), "{code} {body}");
    let large = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"l"}},"data":{{"a":"{}"}}}}"#,
        "x".repeat(3 << 20)
    );
    let (code, body) = admin.ask("POST", "/api/v1/namespaces/default/configmaps", &[JSON], &large).await;
    assert!(code == 413 && body.contains("Request entity too large: limit is 3145728"), "{code} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_open_doors_and_their_removal_closes_them() {
    let world = world();
    let admin = world.admin();
    let bob = world.client(Some(&world.pki.client("bob", &["dev"])));
    let list = "/api/v1/namespaces/default/configmaps";
    let (code, body) = bob.ask("GET", list, &[], "").await;
    assert_eq!(code, 403);
    let words = r#"configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""#;
    assert!(body.contains(words), "{body}");
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["list"]}]}"#;
    let binding = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"b"},
        "subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"dev"}],
        "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"}}"#;
    let (code, body) = admin.ask("POST", &format!("{rbac}/roles"), &[JSON], role).await;
    assert_eq!(code, 201, "{body}");
    let (code, body) = admin.ask("POST", &format!("{rbac}/rolebindings"), &[JSON], binding).await;
    assert_eq!(code, 201, "{body}");
    // The write was acknowledged: it holds for the next request already.
    assert_eq!(bob.ask("GET", list, &[], "").await.0, 200);
    assert_eq!(bob.ask("GET", "/api/v1/namespaces/other/configmaps", &[], "").await.0, 403);
    let acting = [("impersonate-user", "eve"), ("impersonate-group", "dev")];
    assert_eq!(admin.ask("GET", list, &acting, "").await.0, 200);
    assert_eq!(bob.ask("GET", list, &acting, "").await.0, 403);
    assert_eq!(admin.ask("DELETE", &format!("{rbac}/rolebindings/b"), &[], "").await.0, 200);
    assert_eq!(bob.ask("GET", list, &[], "").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_what_its_pods_refer_to() {
    let world = world();
    let admin = world.admin();
    let node = world.client(Some(&world.pki.client("system:node:n1", &["system:nodes"])));
    let other = world.client(Some(&world.pki.client("system:node:n2", &["system:nodes"])));
    let secret = "/api/v1/namespaces/default/secrets/s";
    let stored = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}"#;
    assert_eq!(admin.ask("POST", "/api/v1/namespaces/default/secrets", &[JSON], stored).await.0, 201);
    assert_eq!(node.ask("GET", secret, &[], "").await.0, 403);
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i"}],
        "volumes":[{"name":"v","secret":{"secretName":"s"}}]}}"#;
    let (code, body) = admin.ask("POST", "/api/v1/namespaces/default/pods", &[JSON], pod).await;
    assert_eq!(code, 201, "{body}");
    assert_eq!(node.ask("GET", secret, &[], "").await.0, 200);
    assert_eq!(other.ask("GET", secret, &[], "").await.0, 403);
    assert_eq!(node.ask("GET", "/api/v1/namespaces/default/pods/p", &[], "").await.0, 200);
    assert_eq!(other.ask("GET", "/api/v1/namespaces/default/pods/p", &[], "").await.0, 403);
    assert_eq!(node.ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", &[], "").await.0, 200);
    assert_eq!(node.ask("GET", "/api/v1/pods", &[], "").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_as_good_as_its_account() {
    let world = world();
    let admin = world.admin();
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"sa"}}"#;
    let (code, body) = admin.ask("POST", "/api/v1/namespaces/default/serviceaccounts", &[JSON], account).await;
    assert_eq!(code, 201, "{body}");
    let made: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let uid = made["metadata"]["uid"].as_str().expect("a uid");
    let now = world.gateway.now();
    let claims = serde_json::json!({
        "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["https://kubernetes.default.svc.cluster.local"],
        "sub": "system:serviceaccount:default:sa", "exp": now + 600, "nbf": now - 1, "iat": now,
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "sa", "uid": uid}},
    });
    let mut client = world.client(None);
    client.bearer = Some(world.gateway.signer.sign(claims.to_string().as_bytes()).expect("signed"));
    let (code, body) = client.ask("GET", "/api/v1/pods", &[], "").await;
    assert!(code == 403 && body.contains("system:serviceaccount:default:sa"), "{code} {body}");
    assert_eq!(admin.ask("DELETE", "/api/v1/namespaces/default/serviceaccounts/sa", &[], "").await.0, 200);
    assert_eq!(client.ask("GET", "/api/v1/pods", &[], "").await.0, 401);
}

struct Echo;

impl ColdHandler for Echo {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<ColdReply, String>> {
        Box::pin(async move {
            if request.body == "fail" {
                return Err("a bug".to_owned());
            }
            assert!(request.headers.iter().all(|(name, _)| name != "authorization"), "credentials reached a handler");
            let body = format!("{} {:?} {:?} {}", request.user.name, request.params, request.query, request.body.len());
            let headers = vec![("x-answer".to_owned(), "yes".to_owned())];
            Ok(ColdReply { code: 202, content_type: "text/plain".to_owned(), body: body.into(), headers })
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_cold_routes_stand_beside_objects() {
    let world = world();
    let admin = world.admin();
    let json = HeaderValue::from_static("application/json");
    let document =
        Document { content_type: json, body: Bytes::from_static(b"{}"), etag: "E".to_owned(), immutable: false };
    world.gateway.statics.set("/api", document.clone());
    world.gateway.statics.set("/version", document);
    assert_eq!(admin.ask("GET", "/api", &[], "").await, (200, "{}".to_owned()));
    assert_eq!(admin.ask("GET", "/api", &[("if-none-match", "\"E\"")], "").await, (304, String::new()));
    assert_eq!(world.client(None).ask("GET", "/version", &[], "").await.0, 200);
    assert_eq!(world.client(None).ask("GET", "/api", &[], "").await.0, 401);
    world.gateway.cold.add("POST", "/api/v1/namespaces/{ns}/serviceaccounts/{name}/token", Arc::new(Echo));
    let path = "/api/v1/namespaces/a/serviceaccounts/b/token?x=y";
    let response = admin.response("POST", path, &[JSON], "{}").await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-answer"]), (202, &HeaderValue::from_static("yes")));
    assert_eq!(text(response).await, r#"kubernetes-admin [("ns", "a"), ("name", "b")] [("x", "y")] 2"#);
    assert_eq!(admin.ask("POST", path, &[JSON], "fail").await.0, 500);
    assert_eq!(admin.ask("GET", path, &[], "").await.0, 405);
    // What the handler failed at cost that request only.
    assert_eq!(admin.ask("POST", path, &[JSON], "{}").await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_exchanged_while_serving() {
    let world = world();
    let admin = world.admin();
    assert_eq!(admin.ask("GET", "/livez", &[], "").await.0, 200);
    let serial = async || {
        let stream = admin.tls(b"http/1.1").await;
        let (_, session) = stream.get_ref();
        session.peer_certificates().expect("shown")[0].to_vec()
    };
    let before = serial().await;
    let pair = world.pki.server();
    assert!(world.tls.certificate.reload(b"no PEM", pair.key.as_bytes()).is_err());
    assert_eq!(serial().await, before);
    world.tls.certificate.reload(pair.certificate.as_bytes(), pair.key.as_bytes()).expect("a good pair");
    assert_ne!(serial().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_to_come_back() {
    let world = World::start("127.0.0.1:0", FlowLimits { reads: 0, queued: 0, ..FlowLimits::default() });
    let bob = world.client(Some(&world.pki.client("bob", &[])));
    let binding = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"b"},
        "subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"bob"}],
        "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"r"}}"#;
    let role = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"r"},
        "rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}"#;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    assert_eq!(world.admin().ask("POST", &format!("{rbac}/clusterroles"), &[JSON], role).await.0, 201);
    assert_eq!(world.admin().ask("POST", &format!("{rbac}/clusterrolebindings"), &[JSON], binding).await.0, 201);
    let response = bob.response("GET", "/api/v1/pods", &[], "").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &HeaderValue::from_static("1")));
    // Watches and the administrators are not held up.
    assert_eq!(bob.response("GET", "/api/v1/pods?watch=1", &[], "").await.status(), 200);
    assert_eq!(world.admin().ask("GET", "/api/v1/pods", &[], "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_connections_and_the_port() {
    let world = world();
    let admin = world.admin();
    let mut watch = admin.response("GET", "/api/v1/pods?watch=1", &[], "").await;
    world.stop();
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while let Some(Ok(_)) = watch.body_mut().frame().await {}
    });
    ended.await.expect("the watch ends with the server");
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err(), "the port is free again");
}
