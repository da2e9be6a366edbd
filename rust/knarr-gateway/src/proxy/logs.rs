//! pods/log: the kubelet's stream, passed on as it comes.

use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use knarr_machinery::{Cause, Status};

use super::{Target, failure, kubelet, locate};
use crate::body::{BodyError, ReplyBody};
use crate::gateway::Gateway;
use crate::path::{is_true, query_pairs};
use crate::reply::{Reply, TEXT, reply};

/// Query parameters passed on to the kubelet, and whether each is a boolean.
const PARAMETERS: [(&str, bool); 8] = [
    ("follow", true),
    ("previous", true),
    ("timestamps", true),
    ("sinceSeconds", false),
    ("sinceTime", false),
    ("tailLines", false),
    ("limitBytes", false),
    ("stream", false),
];

pub async fn answer(gateway: &Gateway, target: Target<'_>) -> Result<Reply, Status> {
    if target.parts.method != Method::GET && target.parts.method != Method::HEAD {
        return Ok(crate::reply::method_not_allowed());
    }
    let (namespace, name) = (target.info.namespace.as_ref(), target.info.name.as_ref());
    let pairs = parameters(target.query, name)?;
    let pod = locate::pod(&gateway.machinery, namespace, name)?;
    let container = locate::container(&pod, &target.query("container"))?;
    // A pod without a node has no log yet: an empty answer, as in Kubernetes.
    let Some(node) = locate::pod_node(&gateway.machinery, &pod)? else {
        return Ok(reply(200, TEXT, ReplyBody::Empty));
    };
    let path = format!("/containerLogs/{namespace}/{name}/{container}?{}", kubelet::query(&pairs));
    let response = gateway.kubelets.send(&node, kubelet::request(Method::GET, &node, &path)?).await?;
    match response.status().as_u16() {
        200..=206 => {
            let content_type = response.headers().get(http::header::CONTENT_TYPE).cloned();
            let body = response.into_body().map_err(|error| -> BodyError { error.into() });
            let mut answer = reply(200, content_type.unwrap_or(TEXT), ReplyBody::Stream(Box::pin(body)));
            answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
            Ok(answer)
        }
        400 => Err(Status::bad_request(kubelet::text_of(response).await)),
        500 => Err(Status::internal(kubelet::text_of(response).await)),
        404 => {
            let text = kubelet::text_of(response).await;
            let mut status = Status::not_found(knarr_machinery::Resource { group: "", plural: "pods/log" }, name);
            status.message = format!("the server could not find the requested resource ( pods/log {name})");
            Err(status.with_cause("UnexpectedServerResponse", text, ""))
        }
        code => {
            let text = kubelet::text_of(response).await;
            Err(failure(code, format!("the server responded with the status code {code}: {text}")))
        }
    }
}

/// The parameters for the kubelet. Errors: 422 in Kubernetes' words, as PodLogOptions.
fn parameters(query: &str, name: &str) -> Result<Vec<(String, String)>, Status> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut causes = Vec::new();
    for (key, value) in query_pairs(query) {
        let Some((known, boolean)) = PARAMETERS.iter().find(|(known, _)| *known == key) else { continue };
        if *boolean {
            if is_true(&value) {
                pairs.push(((*known).to_owned(), "true".to_owned()));
            }
            continue;
        }
        let least = match *known {
            "tailLines" => Some((0, "must be greater than or equal to 0")),
            "limitBytes" | "sinceSeconds" => Some((1, "must be greater than 0")),
            _ => None,
        };
        if let Some((least, words)) = least {
            let number: i64 = value
                .parse()
                .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")))?;
            if number < least {
                causes.push(invalid(known, &format!("Invalid value: {number}: {words}"), "FieldValueInvalid"));
            }
        }
        pairs.push(((*known).to_owned(), value.into_owned()));
    }
    let given = |wanted: &str| pairs.iter().any(|(key, _)| key == wanted);
    if given("sinceSeconds") && given("sinceTime") {
        let words = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(invalid("", words, "FieldValueForbidden"));
    }
    if causes.is_empty() { Ok(pairs) } else { Err(Status::invalid("", "PodLogOptions", name, causes)) }
}

fn invalid(field: &str, message: &str, reason: &str) -> Cause {
    Cause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked_and_passed_on() {
        let pairs = parameters("container=c&follow=true&previous=false&tailLines=5&pretty=1", "p").expect("good");
        assert_eq!(kubelet::query(&pairs), "follow=true&tailLines=5");
        let status = parameters("tailLines=-1", "p").expect_err("negative");
        assert_eq!((status.code, status.details.expect("details").causes[0].field.as_str()), (422, "tailLines"));
        assert_eq!(parameters("sinceSeconds=1&sinceTime=2024-01-01T00:00:00Z", "p").expect_err("both").code, 422);
        assert_eq!(parameters("limitBytes=x", "p").expect_err("no number").code, 400);
    }
}
