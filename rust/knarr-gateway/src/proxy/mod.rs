//! Requests that a node answers: pods/{log,exec,attach,portforward} and nodes/proxy.
//!
//! ```text
//!  pod --spec.nodeName--> node --status.addresses, port--> https://ADDRESS:10250/containerLogs|exec|attach|portForward/NS/POD[/CONTAINER]
//!
//!  client                         here                              kubelet
//!  GET .../log            -->     streamed                  <--     GET /containerLogs
//!  WebSocket, on log      -->     messages                  <--     the same
//!  WebSocket v5, v4       -->     channels <-> streams      -->     POST /exec, Upgrade: SPDY/3.1
//!  WebSocket SPDY/3.1+portforward.k8s.io -> frames' bytes   -->     POST /portForward, Upgrade: SPDY/3.1
//!  WebSocket v4, on portforward: channels <-> streams       -->     the same
//!  Upgrade: SPDY/3.1      -->     bytes                     -->     the same
//! ```
//! Source: kubernetes `pkg/registry/core/pod/strategy.go`, apimachinery `pkg/util/proxy`.

mod channels;
mod exec;
mod forward;
mod kubelet;
mod locate;
mod logs;
mod raw;
mod tunnel;

use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use knarr_base::User;
use knarr_machinery::Status;

pub use kubelet::Kubelets;

use crate::gateway::Gateway;
use crate::messages;
use crate::path::{ResourcePath, query_pairs};
use crate::reply::{self, Reply};
use crate::serve::Upload;
use crate::upgrade;

/// A request for a node, as far as it was read.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub info: &'a ResourcePath<'a>,
    pub query: &'a str,
    pub parts: &'a Parts,
    pub user: &'a User,
}

impl Target<'_> {
    /// The first value of a query parameter; empty when absent.
    fn query(&self, name: &str) -> String {
        query_pairs(self.query).find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

/// Answers by asking the node.
pub(crate) async fn answer(gateway: &Gateway, target: Target<'_>, body: Upload, client: Option<OnUpgrade>) -> Reply {
    let answered = match target.info.subresource.as_ref() {
        "log" => logs::answer(gateway, target).await.map(|reply| messages::log(&target.parts.headers, client, reply)),
        "exec" | "attach" => exec::answer(gateway, target, client).await,
        "portforward" => tunnel::answer(gateway, target, client).await,
        _ => raw::node_proxy(gateway, target, body, client).await,
    };
    answered.unwrap_or_else(|status| reply::status(&status))
}

/// A failure with nothing but a code and words, as Kubernetes shows an error of its own plumbing.
pub(crate) fn failure(code: u16, message: String) -> Status {
    Status { code, success: false, reason: "", message, details: None, continue_token: String::new() }
}

/// The protocol the client wants. Errors: 400 when it wants none.
fn upgrade_wanted<'a>(target: &Target<'a>) -> Result<&'a str, Status> {
    upgrade::wanted(&target.parts.headers).ok_or_else(|| Status::bad_request("Upgrade request required"))
}
