//! Cluster DNS: DNS wire format and answers from an index of Services and their endpoints.
//!
//! Knows: the names that Kubernetes gives to Services, endpoints and pods, and which records stand under them. Never knows:
//! sockets, clocks, upstream servers, Kubernetes objects (the caller gives plain records of them).
//!
//! ```text
//!   query bytes --> answer() --> Reply(bytes)          a name of the cluster's zone, or a query that no server should pass on
//!                           \--> Forward               any other name: the shell asks an upstream and passes the answer back
//!                           \--> Drop                  no query at all
//! ```
//!
//! Start reading at [`answer()`]. Source: Kubernetes DNS-Based Service Discovery 1.1.0; RFC 1035, 2308 (negative answers), 6891 (EDNS).

#![forbid(unsafe_code)]

mod answer;
mod index;

pub use answer::{Answer, Transport, answer, joined};
pub use index::{Endpoint, Index, Port, Service};
