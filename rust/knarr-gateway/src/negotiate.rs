//! The header Accept: which encoding and form an answer has. Source: apiserver `pkg/endpoints/handlers/negotiation`.

use knarr_machinery::{Accept, Encoding, Form, Status, Verb};

const TYPES: [(&str, Encoding); 3] = [
    ("application/json", Encoding::Json),
    ("application/yaml", Encoding::Yaml),
    ("application/vnd.kubernetes.protobuf", Encoding::Protobuf),
];
/// In Kubernetes' words when nothing fits.
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const ACCEPTED_STREAMS: &str = "application/json, application/vnd.kubernetes.protobuf";
/// What the route of a list and a watch offers besides.
const STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// Chooses among the header's clauses: the best quality first, then the order they stand in.
/// Errors: 406 when none can be answered; Kubernetes words it in one way where no media type is known, in another where only the
/// form or version is not.
pub fn accept(header: Option<&str>, verb: Verb) -> Result<Accept, Status> {
    let stream = verb == Verb::Watch;
    let header = header.unwrap_or_default().trim();
    if header.is_empty() {
        return Ok(Accept::default());
    }
    let mut clauses: Vec<(u16, &str)> = header.split(',').map(|clause| (quality(clause), clause.trim())).collect();
    clauses.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    for (_, clause) in clauses {
        if let Some(found) = clause_accept(clause, stream) {
            return Ok(found);
        }
    }
    let media = |clause: &str| clause.split(';').next().unwrap_or_default().trim().to_owned();
    let known =
        |media: String| media == "*/*" || media == "application/*" || TYPES.iter().any(|(name, _)| *name == media);
    if !header.split(',').map(media).any(known) {
        let streams = matches!(verb, Verb::List | Verb::Watch);
        return Err(Status::no_such_representation(&if streams {
            format!("{ACCEPTED}, {STREAMS}")
        } else {
            ACCEPTED.into()
        }));
    }
    Err(Status::not_acceptable(if stream { ACCEPTED_STREAMS } else { ACCEPTED }))
}

/// Thousandths; absent or unreadable is 1.
fn quality(clause: &str) -> u16 {
    let value = clause.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let value = value.and_then(|text| text.parse::<f32>().ok()).unwrap_or(1.0);
    (value.clamp(0.0, 1.0) * 1000.0) as u16
}

fn clause_accept(clause: &str, stream: bool) -> Option<Accept> {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next()?;
    let (mut kind, mut group, mut version) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            Some(("stream", value)) if !value.is_empty() && (!stream || value != "watch") => return None,
            // `sv`, a version of the server's choice, is offered by nobody.
            Some(("sv", value)) if !value.is_empty() => return None,
            _ => {}
        }
    }
    let fits = |known: &str| media == known || media == "*/*" || (media == "application/*");
    let encodings = TYPES.iter().filter(|(known, encoding)| fits(known) && !(stream && *encoding == Encoding::Yaml));
    encodings.map(|(_, encoding)| *encoding).find_map(|encoding| {
        let version = match version {
            "v1" => "v1",
            "v1beta1" => "v1beta1",
            _ => "",
        };
        let form = match kind {
            "" if group.is_empty() => Form::Object,
            // Tables are read by people and exist in text only.
            "Table" if encoding != Encoding::Protobuf => Form::Table { version },
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Form::PartialObjectMetadata { version },
            _ => return None,
        };
        (form == Form::Object || (group == "meta.k8s.io" && !version.is_empty())).then_some(Accept { encoding, form })
    })
}

/// What the accepted types are when a static document is asked for: `None` when the header names none of `offers`.
pub fn choose<'a>(header: Option<&str>, offers: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
    let header = header.unwrap_or_default().trim();
    if header.is_empty() {
        return offers.clone().next().map(|_| 0);
    }
    let mut clauses: Vec<(u16, String)> = header.split(',').map(|clause| (quality(clause), normal(clause))).collect();
    clauses.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    clauses.iter().find_map(|(_, clause)| {
        let media = clause.split(';').next().unwrap_or_default();
        offers.clone().position(|offer| {
            let offer = normal(offer);
            let plain = offer.split(';').next().unwrap_or_default();
            offer == *clause || media == "*/*" || (clause == media && plain == media) || media == "application/*"
        })
    })
}

/// A media type with its parameters sorted, without spaces, quality and charset.
fn normal(text: &str) -> String {
    let mut parts = text.split(';').map(|part| part.replace(' ', ""));
    let media = parts.next().unwrap_or_default();
    let mut rest: Vec<String> = parts.filter(|part| !part.starts_with("q=") && !part.starts_with("charset=")).collect();
    rest.sort_unstable();
    std::iter::once(media).chain(rest).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_gets_tables_and_client_go_protobuf() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let got = accept(Some(kubectl), Verb::List).expect("acceptable");
        assert_eq!(got, Accept { encoding: Encoding::Json, form: Form::Table { version: "v1" } });
        let got =
            accept(Some("application/vnd.kubernetes.protobuf,application/json"), Verb::Watch).expect("acceptable");
        assert_eq!(got.encoding, Encoding::Protobuf);
        let metadata =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        let got = accept(Some(metadata), Verb::List).expect("acceptable");
        assert_eq!(got, Accept { encoding: Encoding::Protobuf, form: Form::PartialObjectMetadata { version: "v1" } });
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over_or_406() {
        let table = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;q=0.5";
        assert_eq!(accept(Some(table), Verb::List).expect("json is left"), Accept::default());
        let status = accept(Some("text/html"), Verb::List).expect_err("html is not spoken");
        assert_eq!(status.code, 406);
        assert!(status.message.starts_with("406: Not Acceptable\n\nAvailable representations: "), "{}", status.message);
        let unknown = "application/json;as=Table;g=meta.k8s.io;v=v7";
        let status = accept(Some(unknown), Verb::Get).expect_err("no such version of a Table");
        assert_eq!(
            status.message,
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        );
        assert!(accept(Some("application/yaml"), Verb::Watch).is_err(), "a watch is not sent as YAML");
        assert_eq!(accept(Some("text/html, */*;q=0.1"), Verb::List).expect("anything"), Accept::default());
    }

    #[test]
    fn documents_are_chosen_with_their_parameters() {
        let offers = ["application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"];
        let client = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(choose(Some(client), offers.iter().copied()), Some(1));
        assert_eq!(choose(Some("application/json"), offers.iter().copied()), Some(0));
        assert_eq!(choose(None, offers.iter().copied()), Some(0));
        assert_eq!(choose(Some("text/css"), offers.iter().copied()), None);
    }
}
