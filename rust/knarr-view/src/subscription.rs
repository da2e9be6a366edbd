//! How a change of an object becomes keys of a controller's work: declared, and done without Python.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::view::View;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionId(pub usize);

/// Keys are `namespace/name`; for cluster-scoped objects `/name`.
#[derive(Clone)]
pub enum Mapping {
    /// The object's own key.
    Own,
    /// Its own key and uid: `namespace/name/uid`, for who must tell two objects of one name apart.
    OwnUid,
    /// The key of its controller, when that is of this kind.
    Controller { kind: Box<str> },
    /// Its owners, when it leaves them (it is gone, or its references changed): `owner|apiVersion|kind|namespace/name/uid`.
    OwnersLeft,
    /// Its namespace: `/namespace`.
    Namespace,
    /// The text of a field: `/value`.
    Field { slot: usize },
    /// `namespace/value` of one of its labels.
    Label { name: Box<str> },
    /// The objects of another view in its namespace whose selector (a field there) matches its labels. map: a plain map of labels.
    /// orphans: only while it has no controller.
    Selected { view: Arc<Mutex<View>>, slot: usize, map: bool, orphans: bool },
}

pub(crate) struct Subscription {
    /// A change that touches none of these slots is not told; None: everything is told, the revision too.
    pub slots: Option<Vec<usize>>,
    pub mapping: Mapping,
    pub pending: BTreeSet<String>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("Own"),
            Self::OwnUid => f.write_str("OwnUid"),
            Self::Controller { kind } => write!(f, "Controller({kind})"),
            Self::OwnersLeft => f.write_str("OwnersLeft"),
            Self::Namespace => f.write_str("Namespace"),
            Self::Field { slot } => write!(f, "Field({slot})"),
            Self::Label { name } => write!(f, "Label({name})"),
            Self::Selected { slot, .. } => write!(f, "Selected({slot})"),
        }
    }
}
