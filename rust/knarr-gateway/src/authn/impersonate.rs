//! `Impersonate-User`, `-Group`, `-Uid` and `-Extra-*`: acting as another user, if RBAC lets one.
//! Source: apiserver `pkg/endpoints/filters/impersonation.go`.

use std::sync::Arc;

use http::HeaderMap;
use knarr_authz::{Attributes, Authorizer, Decision, Target, forbidden_message};
use knarr_base::User;
use knarr_machinery::{Resource, Status};

const AUTHENTICATED: &str = "system:authenticated";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const EXTRA: &str = "impersonate-extra-";

/// The user to act as: `user` itself when no header asks for another. Errors: 403; 500 for headers that make no sense.
pub fn impersonate(user: Arc<User>, headers: &HeaderMap, authorizer: &Authorizer) -> Result<Arc<User>, Status> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let name = texts("impersonate-user").into_iter().next().unwrap_or_default();
    let groups = texts("impersonate-group");
    let uid = texts("impersonate-uid").into_iter().next().unwrap_or_default();
    let extra_names = headers.keys().filter_map(|key| key.as_str().strip_prefix(EXTRA));
    let extra: Vec<(String, Vec<String>)> =
        extra_names.map(|key| (crate::path::decode(key).into_owned(), texts(&format!("{EXTRA}{key}")))).collect();
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::internal("requested impersonation without impersonating a user"));
    }
    let check = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let target = Target::Resource { group, resource, subresource, namespace, name, node_name: None };
        let attributes = Attributes { verb: "impersonate", target };
        match authorizer.authorize(&user, &attributes) {
            Decision::Allowed => Ok(()),
            Decision::Denied(_) => Err(Status::forbidden(
                Resource { group, plural: resource },
                name,
                forbidden_message(&user, &attributes),
            )),
        }
    };
    let mut acting = User { name: name.clone(), uid: uid.clone(), groups: groups.clone(), extra: extra.clone() };
    match name.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            check("", "serviceaccounts", "", namespace, account)?;
            if acting.groups.is_empty() {
                acting.groups =
                    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            }
        }
        None => check("", "users", "", "", &name)?,
    }
    for group in &groups {
        check("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        check("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            check("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    if name != "system:anonymous" && !acting.groups.iter().any(|group| group == AUTHENTICATED) {
        acting.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(Arc::new(acting))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use knarr_authz::MASTERS;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (key, value) in pairs {
            map.append(HeaderName::from_static(key), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn only_who_may_becomes_another() {
        let authorizer = Authorizer::new(Box::new(|_, _| None));
        let root = Arc::new(User { groups: vec![MASTERS.to_owned()], name: "root".to_owned(), ..User::default() });
        let bob = Arc::new(User { name: "bob".to_owned(), ..User::default() });
        let asked = headers(&[("impersonate-user", "eve"), ("impersonate-group", "a"), ("impersonate-group", "b")]);
        let acting = impersonate(root.clone(), &asked, &authorizer).expect("masters may");
        assert_eq!((acting.name.as_str(), acting.groups.join(",")), ("eve", "a,b,system:authenticated".to_owned()));
        let refused = impersonate(bob.clone(), &asked, &authorizer).expect_err("bob may not");
        assert_eq!(
            refused.message,
            "users \"eve\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
        assert_eq!(impersonate(bob.clone(), &headers(&[]), &authorizer).expect("himself").name, "bob");
        let account = headers(&[("impersonate-user", "system:serviceaccount:ns:sa")]);
        let acting = impersonate(root, &account, &authorizer).expect("masters may");
        assert_eq!(acting.groups[1], "system:serviceaccounts:ns");
        assert_eq!(
            impersonate(bob, &headers(&[("impersonate-group", "x")]), &authorizer).expect_err("no user").code,
            500
        );
    }
}
