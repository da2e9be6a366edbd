//! Who may do what: RBAC and the node authorizer, as an index over roles and bindings.
//!
//! Knows: rules, roles, bindings, which user holds which rules, which objects the pods of a node refer to, and Kubernetes' words for
//! a refusal. Never knows: HTTP, tokens, certificates, the store, admission. It is fed objects as values ([`Authorizer::apply`],
//! [`Authorizer::pod_bound`]) and asked questions ([`Authorizer::authorize`]); it does no I/O and reads no clock.
//!
//! ```text
//!  roles, bindings --> Index --(once per set of bindings)--> Grants (rules by resource) --+
//!  user --> (cache) the bindings that name the user or one of its groups ----------------+--> allowed?  else the node graph
//! ```
//!
//! A decision costs a hash of the user's name and groups and two or three look-ups; the index is compiled again when a role or
//! binding changes. Start reading at [`Authorizer`].

mod attributes;
mod authorizer;
mod compiled;
mod index;
mod node;
mod rule;

pub use attributes::{Attributes, Target, forbidden_message};
pub use authorizer::{Authorizer, Decision, EscalationError, MASTERS};
pub use index::{RbacKind, RoleRef};
pub use node::{PodNodes, Reference, ReferenceKind, references_of_pod};
pub use rule::{Rule, covers};
