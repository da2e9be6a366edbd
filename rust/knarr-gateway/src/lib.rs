//! The gateway: TLS, HTTP, who is asking, what they may, how much at once, and where a request goes.
//!
//! Knows: connections, HTTP/1.1 and HTTP/2, WebSocket and SPDY upgrades, certificates and tokens, Kubernetes' URLs and headers, the
//! kubelet's HTTPS paths. Never knows: any particular kind beyond what a pod's and a node's address are read from, storage, Python
//! (cold routes and the node's handlers are traits). What an object means is the machinery's; who may do what is knarr-authz's.
//!
//! ```text
//!  TLS -> authentication -> audit -> authorization -> flow control -> objects | documents | cold routes | health | the node's kubelet
//! ```
//! Start reading at [`gateway`], then `serve`. The agent's HTTPS server is [`node_server`], of the same parts.

mod audit;
pub mod authn;
mod body;
pub mod cold;
mod duration;
mod escalation;
mod feed;
pub mod flow;
pub mod gateway;
pub mod health;
mod ids;
pub mod listen;
mod log;
mod messages;
pub mod metrics;
mod negotiate;
pub mod node_server;
mod path;
pub mod proxy;
mod reply;
mod serve;
pub mod statics;
pub mod tls;
mod upgrade;

pub use gateway::{Config, Gateway, SetupError};
