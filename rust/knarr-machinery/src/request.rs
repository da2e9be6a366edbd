//! A request as the machinery sees it (no HTTP), and its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use knarr_base::User;
use knarr_value::Str;
use knarr_watch::Watcher;

use crate::registry::KindEntry;
use crate::status::Status;

/// Kubernetes' verbs on objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// The word that RBAC rules and discovery use.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "get" => Verb::Get,
            "list" => Verb::List,
            "watch" => Verb::Watch,
            "create" => Verb::Create,
            "update" => Verb::Update,
            "patch" => Verb::Patch,
            "delete" => Verb::Delete,
            "deletecollection" => Verb::DeleteCollection,
            _ => return None,
        })
    }

    /// Whether it writes.
    pub fn mutates(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

/// How unknown and duplicate fields of a body are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    /// The server's default: accepted, with a Warning header each.
    #[default]
    Warn,
    Strict,
}

/// `preconditions` of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<Str>,
    pub resource_version: Option<Str>,
}

/// Query parameters (and, for a delete, DeleteOptions of the body) by Kubernetes' names. Values stay as the client gave
/// them where the machinery words the error about them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `dryRun`: every value given; only `All` is legal.
    pub dry_run: Vec<Str>,
    pub field_manager: Str,
    pub force: Option<bool>,
    /// `fieldValidation`: empty, Ignore, Warn or Strict.
    pub field_validation: Str,
    pub propagation_policy: Option<Str>,
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub orphan_dependents: Option<bool>,
    pub resource_version: Str,
    pub resource_version_match: Str,
    pub limit: i64,
    pub continue_token: Str,
    pub label_selector: Str,
    pub field_selector: Str,
    pub timeout_seconds: Option<i64>,
    pub allow_watch_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub pretty: bool,
    /// `includeObject` of a Table: None, Metadata (default) or Object.
    pub include_object: Str,
    /// The request's User-Agent: the field manager's name where none is given (its part before the first `/`).
    pub user_agent: Str,
}

impl Options {
    /// Reads one query parameter. Unknown names are ignored, as Kubernetes ignores them.
    /// Errors: 400 in Go's words for a number or boolean that is none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Status> {
        match name {
            "dryRun" => self.dry_run.push(value.into()),
            "fieldManager" => self.field_manager = value.into(),
            "force" => self.force = Some(boolean(value)),
            "fieldValidation" => self.field_validation = value.into(),
            "propagationPolicy" => self.propagation_policy = Some(value.into()),
            "gracePeriodSeconds" => self.grace_period_seconds = Some(integer(value)?),
            "orphanDependents" => self.orphan_dependents = Some(boolean(value)),
            "resourceVersion" => self.resource_version = value.into(),
            "resourceVersionMatch" => self.resource_version_match = value.into(),
            "limit" => self.limit = integer(value)?,
            "continue" => self.continue_token = value.into(),
            "labelSelector" => self.label_selector = value.into(),
            "fieldSelector" => self.field_selector = value.into(),
            "timeoutSeconds" => self.timeout_seconds = Some(integer(value)?),
            "allowWatchBookmarks" => self.allow_watch_bookmarks = boolean(value),
            "sendInitialEvents" => self.send_initial_events = Some(boolean(value)),
            "pretty" => self.pretty = boolean(value),
            "includeObject" => self.include_object = value.into(),
            _ => {}
        }
        Ok(())
    }

    /// The name under which a write is recorded in managedFields: `fieldManager`, else the client's program name.
    pub fn manager(&self) -> &str {
        if !self.field_manager.is_empty() {
            return &self.field_manager;
        }
        let agent = self.user_agent.as_str();
        let program = agent.split('/').next().unwrap_or("");
        if program.is_empty() {
            return "unknown";
        }
        // A manager's name has at most 128 bytes and no unprintable characters (Kubernetes cuts it the same way).
        let end = program.char_indices().find(|(at, c)| *at + c.len_utf8() > 128 || c.is_control()).map(|(at, _)| at);
        &program[..end.unwrap_or(program.len())]
    }
}

/// Go's conversion of a query's boolean: anything but `false` and `0` is true, also the empty value.
fn boolean(value: &str) -> bool {
    !(value.eq_ignore_ascii_case("false") || value == "0")
}

fn integer(value: &str) -> Result<i64, Status> {
    if value.is_empty() {
        return Ok(0);
    }
    value.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: {why}"))
    })
}

/// The text form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

/// What an answer consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    #[default]
    Object,
    /// `as=Table;g=meta.k8s.io;v=v1` (or v1beta1)
    Table { version: &'static str },
    /// `as=PartialObjectMetadata` or, for a list, `as=PartialObjectMetadataList`
    PartialObjectMetadata { version: &'static str },
}

/// The negotiated answer; the gateway reads it from the header Accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accept {
    pub encoding: Encoding,
    pub form: Form,
}

/// One request, after authentication and authorization.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub kind: Arc<KindEntry>,
    /// Empty for a cluster-scoped object and for a list over all namespaces.
    pub namespace: Str,
    /// Empty for a create by collection, a list or a watch of one.
    pub name: Str,
    /// Empty, `status`, `scale`, `binding`, `finalize`, ...
    pub subresource: Str,
    pub user: Arc<User>,
    pub body: Bytes,
    /// The header Content-Type as sent (parameters included).
    pub content_type: Str,
    pub accept: Accept,
    pub options: Options,
}

/// The answer. A `Watch` is a stream that the hub ends by itself when `timeout` has passed: no timer is needed above.
pub enum Response {
    Whole { code: u16, content_type: &'static str, chunks: Vec<Bytes>, warnings: Vec<String>, retry_after: u32 },
    Watch { content_type: &'static str, watcher: Watcher, timeout: Duration, warnings: Vec<String> },
}

impl Response {
    /// The whole body in one piece; a watch has none.
    pub fn body(&self) -> Vec<u8> {
        match self {
            Response::Whole { chunks, .. } => chunks.concat(),
            Response::Watch { .. } => Vec::new(),
        }
    }

    pub fn code(&self) -> u16 {
        match self {
            Response::Whole { code, .. } => *code,
            Response::Watch { .. } => 200,
        }
    }
}

/// Whoever answers requests: the gateway (authorization, flow control, then the machinery) for the scheduler and Python in
/// the same process, the machinery itself in tests.
pub trait Api: Send + Sync {
    fn call(&self, request: Request) -> knarr_base::BoxFuture<Response>;
}
