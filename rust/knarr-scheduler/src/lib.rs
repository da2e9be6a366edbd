//! The scheduler: object changes in, assignments and reasons out.
//!
//! Knows: nodes as columns, pods as equivalence classes, the filters and scores of kube-scheduler under their own names, a queue
//! with back-off. Never knows: HTTP, JSON, disks, clocks (the caller says what time it is), who writes the bindings.
//!
//! ```text
//!   node(..) pod(..)            schedule(now)                        forget(..)
//!  -----------------> columns -----------------> assigned (assumed) -----------> back into the queue: the binding failed
//!                     classes                    unschedulable, with the reasons
//!                     queue
//! ```
//!
//! A pod costs the nodes it looks at and no more: what only depends on the pod's class and the node's labels, taints and name is a
//! bitmap per class, kept up to date node by node; what depends on the load is read from columns for the nodes that are
//! set in it, until as many feasible ones are found as kube-scheduler would score.
//!
//! Start reading at [`Scheduler::schedule`], then [`nodes`] and [`class`]. Source: kube-scheduler 1.34, `pkg/scheduler`.

#![forbid(unsafe_code)]

pub mod class;
pub mod nodes;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
mod scheduler;

pub use nodes::Ordinal;
pub use pod::Pod;
pub use scheduler::{Assignment, Options, Outcome, Scheduler, Unschedulable};

/// Maps and sets without a random seed: the same changes give the same decisions.
pub(crate) type HashMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
