//! Static documents: discovery, OpenAPI, version, the CA: bytes by path, chosen by Accept, answered with an ETag.

use arc_swap::ArcSwap;
use bytes::Bytes;
use hashbrown::HashMap;
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY};
use parking_lot::Mutex;

use crate::body::ReplyBody;
use crate::negotiate;
use crate::reply::{Reply, reply};

/// One form of a document.
#[derive(Clone, Debug)]
pub struct Document {
    pub content_type: HeaderValue,
    pub body: Bytes,
    /// Without quotes; empty: no ETag.
    pub etag: String,
    /// Named by a hash in its query: clients may keep it for good.
    pub immutable: bool,
}

type Table = HashMap<String, Vec<Document>, foldhash::fast::RandomState>;

/// All documents; readers never wait for a writer.
#[derive(Default)]
pub struct Statics {
    table: ArcSwap<Table>,
    writing: Mutex<()>,
}

impl Statics {
    /// Sets the document at `path` for its content type; other types at this path stay. The first one set is answered to `*/*`.
    pub fn set(&self, path: &str, document: Document) {
        let _writing = self.writing.lock();
        let mut table = Table::clone(&self.table.load());
        let forms = table.entry(path.to_owned()).or_default();
        match forms.iter_mut().find(|form| form.content_type == document.content_type) {
            Some(form) => *form = document,
            None => forms.push(document),
        }
        self.table.store(table.into());
    }

    /// Removes all forms at `path`.
    pub fn remove(&self, path: &str) {
        let _writing = self.writing.lock();
        let mut table = Table::clone(&self.table.load());
        table.remove(path);
        self.table.store(table.into());
    }

    /// The answer, or None when there is no document at `path`.
    pub fn answer(&self, path: &str, query: &str, headers: &HeaderMap) -> Option<Reply> {
        let table = self.table.load();
        let forms = table.get(path).or_else(|| table.get(path.trim_end_matches('/')))?;
        let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
        let offers = forms.iter().filter_map(|form| form.content_type.to_str().ok());
        let chosen = match &forms[..] {
            // What has one form has it for everybody: keys for whoever checks tokens, whatever else the client reads.
            [only] => Some(only),
            _ => negotiate::choose(accept, offers.clone()).and_then(|at| forms.get(at)),
        };
        let Some(document) = chosen else {
            let accepted = offers.collect::<Vec<_>>().join(", ");
            return Some(crate::reply::status(&knarr_machinery::Status::not_acceptable(&accepted)));
        };
        let quoted = format!("\"{}\"", document.etag);
        let tagged = !document.etag.is_empty();
        let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let unchanged =
            tagged && known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == quoted || tag.trim() == "*");
        let (code, body) =
            if unchanged { (304, ReplyBody::Empty) } else { (200, ReplyBody::whole(vec![document.body.clone()])) };
        let mut reply = reply(code, document.content_type.clone(), body);
        let answer_headers = reply.headers_mut();
        answer_headers.insert(VARY, HeaderValue::from_static("Accept"));
        if unchanged {
            answer_headers.remove(http::header::CONTENT_LENGTH);
        }
        if tagged && let Ok(value) = HeaderValue::from_str(&quoted) {
            answer_headers.insert(ETAG, value);
        }
        // OpenAPI v3 documents are asked for with `?hash=`: a changed document has another URL.
        if document.immutable && query.contains("hash=") {
            let value = if query.contains(&document.etag) { "public, immutable" } else { "no-cache, private" };
            answer_headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        }
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statics() -> Statics {
        let statics = Statics::default();
        for (content_type, body) in [("application/json", "plain"), ("application/json;g=x;v=v2;as=List", "grouped")] {
            let content_type = HeaderValue::from_static(content_type);
            statics.set("/api", Document { content_type, body: body.into(), etag: "E1".into(), immutable: true });
        }
        statics
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(key, value)| (http::HeaderName::from_static(key), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_form_asked_for_is_answered() {
        let statics = statics();
        let body = |accept: &'static str| match statics
            .answer("/api", "", &headers(&[("accept", accept)]))
            .expect("there")
            .into_body()
        {
            ReplyBody::One(bytes) => bytes,
            _ => Bytes::new(),
        };
        assert_eq!(body("application/json;as=List;v=v2;g=x,application/json"), "grouped");
        assert_eq!(body("application/json, */*"), "plain");
        assert_eq!(statics.answer("/api", "", &headers(&[("accept", "text/css")])).expect("there").status(), 406);
        let content_type = HeaderValue::from_static("application/jwk-set+json");
        statics.set("/keys", Document { content_type, body: "{}".into(), etag: String::new(), immutable: false });
        let json = headers(&[("accept", "application/json")]);
        let code = statics.answer("/keys", "", &json).map(|reply| reply.status().as_u16());
        assert_eq!(code, Some(200), "the only form there is");
        assert!(statics.answer("/apix", "", &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_known_etag_is_304_and_a_hashed_url_is_kept_for_good() {
        let statics = statics();
        let reply = statics.answer("/api", "", &headers(&[("if-none-match", "\"E1\"")])).expect("there");
        assert_eq!((reply.status().as_u16(), reply.body().len()), (304, Some(0)));
        let reply = statics.answer("/api", "hash=E1", &HeaderMap::new()).expect("there");
        assert_eq!(reply.headers()[CACHE_CONTROL], "public, immutable");
        let reply = statics.answer("/api", "", &headers(&[("if-none-match", "\"E0\"")])).expect("there");
        assert_eq!((reply.status().as_u16(), &reply.headers()[ETAG]), (200, &HeaderValue::from_static("\"E1\"")));
    }
}
