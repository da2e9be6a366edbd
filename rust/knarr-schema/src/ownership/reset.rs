//! Paths nobody can own by a request: those the server manages (stripped from every set) and those a kind's strategy resets when it
//! is written through a given subresource, because the write does not reach them.
//!
//! Source: apimachinery `managedfields/internal/stripmeta.go`; `GetResetFields` of the strategies in kubernetes `pkg/registry`.

use std::sync::LazyLock;

use knarr_value::Type;

use super::set::{Element, Set};

fn set(paths: &[&[&str]]) -> Set {
    let mut out = Set::default();
    for path in paths {
        let path: Vec<Element> = path.iter().map(|p| Element::field(p)).collect();
        out.insert(&path);
    }
    out
}

/// What is never part of a set.
pub(super) static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    set(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// Which paths a write through this door reaches.
pub(super) enum Reach {
    All,
    AllBut(&'static Set),
    Only(&'static Set),
}

impl Reach {
    pub fn filter(&self, paths: Set) -> Set {
        match self {
            Reach::All => paths,
            Reach::AllBut(reset) => paths.without(reset),
            Reach::Only(kept) => paths.within(kept),
        }
    }
}

macro_rules! sets {
    ($($name:ident: $paths:expr;)*) => { $(static $name: LazyLock<Set> = LazyLock::new(|| set($paths));)* };
}

sets! {
    STATUS: &[&["status"]];
    SPEC: &[&["spec"]];
    POD_STATUS: &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]];
    DEPLOYMENT_STATUS: &[&["spec"], &["metadata", "labels"]];
    EPHEMERAL: &[&["spec", "ephemeralContainers"]];
    RESIZE: &[&["spec", "containers"], &["spec", "initContainers"]];
}

/// The reach of a write to a kind through a subresource (empty: the object itself).
pub(super) fn reach(ty: &Type, subresource: &str) -> Reach {
    let kind = ty.name.rsplit('.').next().unwrap_or_default();
    match (kind, subresource) {
        ("Pod", "status") => Reach::AllBut(&POD_STATUS),
        ("Pod", "ephemeralcontainers") => Reach::Only(&EPHEMERAL),
        ("Pod", "resize") => Reach::Only(&RESIZE),
        ("Deployment", "status") => Reach::AllBut(&DEPLOYMENT_STATUS),
        (_, "status") if ty.field("spec").is_some() => Reach::AllBut(&SPEC),
        (_, "status") => Reach::Only(&STATUS),
        (_, "" | "finalize") if ty.field("status").is_some() => Reach::AllBut(&STATUS),
        _ => Reach::All,
    }
}
