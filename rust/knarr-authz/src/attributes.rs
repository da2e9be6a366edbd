//! What a request asks for, and the sentence that refuses it.

use knarr_base::User;

/// A request as authorization sees it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// `get`, `list`, `deletecollection` ...; for a path the lower-case HTTP method.
    pub verb: &'a str,
    pub target: Target<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A path outside the resources, such as `/metrics` or `/apis`.
    Path(&'a str),
    Resource {
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        /// Empty: cluster scope, or all namespaces.
        namespace: &'a str,
        /// Empty for collections; for a list or watch by `fieldSelector=metadata.name=x`, x.
        name: &'a str,
        /// x of `fieldSelector=spec.nodeName=x`: what lets a node list the pods bound to it.
        node_name: Option<&'a str>,
    },
}

/// Why it is forbidden, as `kubectl` prints it after `Error from server (Forbidden): ... is forbidden: `.
/// Source: apiserver `pkg/endpoints/handlers/responsewriters/errors.go`.
pub fn forbidden_message(user: &User, attributes: &Attributes<'_>) -> String {
    let name = &user.name;
    let verb = attributes.verb;
    let message = match attributes.target {
        Target::Path(path) => format!("User {name:?} cannot {verb} path {path:?}"),
        Target::Resource { group, resource, subresource, namespace, .. } => {
            let slash = if subresource.is_empty() { "" } else { "/" };
            let scope = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {namespace:?}")
            };
            format!(
                "User {name:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group {group:?} {scope}"
            )
        }
    };
    // A browser must not take part of the path for markup.
    message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
