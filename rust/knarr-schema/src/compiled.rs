//! A compiled kind: identity for routing and discovery, and the trees of nodes that each step of a request runs.

use crate::admission::{Admission, AdmissionRequest, Denied, Read, Reads};
use crate::decode::{DecodeError, Decoded};
use crate::defaults::Defaults;
use crate::doc::{AllocationDoc, ColumnDoc, Dependents, KindDoc, PrepareDoc, ScaleDoc, StorageDoc};
use crate::error::{CompileError, FieldError};
use crate::prepare::Prepare;
use crate::rules::{Builder, Rules};
use crate::warnings::Warnings;
use knarr_value::types::{TypeId, TypeTable};
use knarr_value::{Str, Value};
use std::sync::Arc;

/// The part of an object a request is about, as far as rules care.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// The object itself.
    None,
    Status,
    /// Any other, by its name (`finalize`, `binding`, `resize` ...).
    Other(Str),
}

impl Subresource {
    pub fn from_name(name: &str) -> Self {
        match name {
            "" => Subresource::None,
            "status" => Subresource::Status,
            other => Subresource::Other(other.into()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Subresource::None => "",
            Subresource::Status => "status",
            Subresource::Other(name) => name,
        }
    }
}

/// Which steps have a Python hook; a step without one never leaves Rust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookSteps(u8);

impl HookSteps {
    pub const PREPARE_CREATE: HookSteps = HookSteps(1);
    pub const PREPARE_UPDATE: HookSteps = HookSteps(2);
    pub const MUTATE: HookSteps = HookSteps(4);
    pub const VALIDATE_CREATE: HookSteps = HookSteps(8);
    pub const VALIDATE_UPDATE: HookSteps = HookSteps(16);

    const NAMES: [(&'static str, HookSteps); 5] = [
        ("prepareCreate", Self::PREPARE_CREATE),
        ("prepareUpdate", Self::PREPARE_UPDATE),
        ("mutate", Self::MUTATE),
        ("validateCreate", Self::VALIDATE_CREATE),
        ("validateUpdate", Self::VALIDATE_UPDATE),
    ];

    pub fn contains(self, step: HookSteps) -> bool {
        self.0 & step.0 == step.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the steps, as Python registers them.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().filter(|(_, step)| self.contains(*step)).map(|(name, _)| *name).collect()
    }

    fn from_names(names: &[String]) -> Result<Self, CompileError> {
        names.iter().try_fold(HookSteps(0), |all, name| {
            Self::NAMES
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, step)| HookSteps(all.0 | step.0))
                .ok_or_else(|| CompileError::new("hooks", format!("no step is called {name}")))
        })
    }
}

/// A subresource as discovery and routing see it.
#[derive(Clone, Debug)]
pub struct SubresourceInfo {
    pub name: Str,
    pub verbs: Vec<Str>,
    /// Group, version and kind of the body; the parent's where not declared.
    pub group: Str,
    pub version: Str,
    pub kind: Str,
    /// Answered by a Python route.
    pub cold: bool,
    pub scale: Option<ScaleDoc>,
}

/// A kind ready to serve. Immutable; machinery swaps a whole one for another.
#[derive(Debug)]
pub struct CompiledKind {
    pub group: Str,
    pub version: Str,
    pub kind: Str,
    pub plural: Str,
    pub singular: Str,
    pub short: Vec<Str>,
    pub categories: Vec<Str>,
    pub namespaced: bool,
    pub verbs: Vec<Str>,
    pub type_id: TypeId,
    pub types: Arc<TypeTable>,
    pub storage: Option<StorageDoc>,
    pub subresources: Vec<SubresourceInfo>,
    pub columns: Vec<ColumnDoc>,
    pub allocations: Vec<AllocationDoc>,
    pub hooks: HookSteps,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub graceful: bool,
    pub dependents: Dependents,
    pub virtual_kind: bool,
    pub description: String,
    /// Field name, the paths it is looked for at, and its default.
    selectable: Vec<(Str, Vec<Vec<Str>>, Str)>,
    defaults: Defaults,
    prepare: Prepare,
    admission: Admission,
    rules: Rules,
    warnings: Warnings,
}

impl CompiledKind {
    /// Compile the document of one kind.
    /// Errors: what is wrong with the declaration and where in it.
    pub fn compile(doc: &[u8], types: &Arc<TypeTable>) -> Result<Self, CompileError> {
        let doc: KindDoc = serde_json::from_slice(doc).map_err(|e| CompileError::new("document", e.to_string()))?;
        Self::from_doc(doc, types)
    }

    pub fn from_doc(doc: KindDoc, types: &Arc<TypeTable>) -> Result<Self, CompileError> {
        let type_id = types
            .id(&doc.type_name)
            .ok_or_else(|| CompileError::new("type", format!("{} is not in the type table", doc.type_name)))?;
        let mut builder = Builder::new(&doc.rules);
        let create = builder.nodes("create", &doc.create)?;
        let update = builder.nodes("update", &doc.update)?;
        let mut subresource_updates = Vec::new();
        let mut subresources = Vec::new();
        for sub in &doc.subresources {
            if !sub.update.is_empty() {
                subresource_updates.push((Str::from(&sub.name), builder.nodes(&sub.name, &sub.update)?));
            }
            subresources.push(SubresourceInfo {
                name: Str::from(&sub.name),
                verbs: strs(&sub.verbs),
                group: Str::from(sub.group.as_ref().unwrap_or(&doc.group)),
                version: Str::from(sub.version.as_ref().unwrap_or(&doc.version)),
                kind: Str::from(sub.kind.as_ref().unwrap_or(&doc.kind)),
                cold: sub.cold,
                scale: sub.scale.clone(),
            });
        }
        let warnings = Warnings::build(&doc.warnings, &mut builder)?;
        let rules = Rules { create, update, subresources: subresource_updates, groups: builder.finish()? };
        let prepare_doc: &PrepareDoc = &doc.prepare;
        Ok(Self {
            prepare: Prepare::build(prepare_doc)?,
            defaults: Defaults::build(&doc.defaults, types, type_id)?,
            admission: Admission::build(&doc.admission)?,
            hooks: HookSteps::from_names(&doc.hooks)?,
            selectable: selectable(&doc),
            rules,
            warnings,
            group: Str::from(&doc.group),
            version: Str::from(&doc.version),
            kind: Str::from(&doc.kind),
            plural: Str::from(&doc.plural),
            singular: Str::from(&doc.singular),
            short: strs(&doc.short),
            categories: strs(&doc.categories),
            namespaced: doc.namespaced,
            verbs: strs(&doc.verbs),
            type_id,
            types: Arc::clone(types),
            storage: doc.storage,
            subresources,
            columns: doc.columns,
            allocations: doc.allocations,
            create_on_update: doc.create_on_update,
            unconditional_update: doc.unconditional_update,
            graceful: doc.graceful,
            dependents: doc.dependents,
            virtual_kind: doc.virtual_kind,
            description: doc.description,
        })
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> Str {
        if self.group.is_empty() { self.version.clone() } else { Str::from(format!("{}/{}", self.group, self.version)) }
    }

    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// Bring a parsed body into this kind's form: fields in the table's order, zeros elided, unknown fields apart. An empty list of
    /// managedFields is no zero: it asks to forget the owners, which none does not ([`crate::ownership::update`]).
    /// Errors: the first value of a wrong type, in the words of Go's decoder.
    pub fn decode(&self, value: Value) -> Result<Decoded, DecodeError> {
        let forget = value.path(&["metadata", "managedFields"]).and_then(Value::as_list).is_some_and(<[_]>::is_empty);
        let mut decoded = crate::decode::decode(&self.types, self.type_id, &self.kind, value)?;
        if forget {
            decoded.value.set_path(&["metadata", "managedFields"], Value::List(Vec::new()));
        }
        Ok(decoded)
    }

    /// Fill in defaults; `value` is what [`Self::decode`] gave.
    pub fn default(&self, value: &mut Value) {
        self.defaults.run(self.type_id, value);
        crate::decode::reorder(&self.types, self.type_id, value);
    }

    /// What Kubernetes' strategies do before a create: drop status, set generation, clear what clients may not set.
    pub fn prepare_create(&self, value: &mut Value) {
        self.prepare.create(&self.types, self.type_id, value);
    }

    /// The same before an update: `new` keeps of `old` what the request may not touch; the generation grows if what counts changed.
    pub fn prepare_update(&self, new: &mut Value, old: &Value, subresource: Subresource) {
        self.prepare.update(&self.types, self.type_id, new, old, &subresource);
    }

    /// Objects that admission of this request needs to see, known from the object alone.
    pub fn admission_reads(&self, request: &AdmissionRequest<'_>, value: &Value) -> Vec<Read> {
        self.admission.reads(request, value)
    }

    /// Run the declared plugins in order; they may change `value`.
    /// reads: what [`Self::admission_reads`] named, each with the object found or None.
    /// Errors: the refusal of the first plugin that refuses, with Kubernetes' code, reason and words.
    #[allow(clippy::result_large_err, reason = "a refusal is rare")]
    pub fn admit(&self, request: &AdmissionRequest<'_>, value: &mut Value, reads: Reads<'_>) -> Result<(), Denied> {
        self.admission.run(request, value, reads)?;
        crate::decode::reorder(&self.types, self.type_id, value);
        Ok(())
    }

    /// Errors in the order Kubernetes finds them; none: the object is valid.
    pub fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        self.rules.create(value)
    }

    pub fn validate_update(&self, new: &Value, old: &Value, subresource: Subresource) -> Vec<FieldError> {
        self.rules.update(new, old, &subresource)
    }

    /// What the client is warned of; `old` is None on create.
    pub fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        self.warnings.run(&self.rules.groups, new, old)
    }

    /// The values of the selectable fields, in declared order; those of metadata come first.
    pub fn selectable(&self, value: &Value) -> Vec<(Str, Str)> {
        self.selectable.iter().map(|(field, paths, default)| (field.clone(), select(value, paths, default))).collect()
    }

    /// The names a field selector may use.
    pub fn selectable_names(&self) -> impl Iterator<Item = &Str> {
        self.selectable.iter().map(|(field, _, _)| field)
    }
}

fn strs(all: &[String]) -> Vec<Str> {
    all.iter().map(Str::from).collect()
}

fn selectable(doc: &KindDoc) -> Vec<(Str, Vec<Vec<Str>>, Str)> {
    let split = |path: &str| path.split('.').map(Str::from).collect::<Vec<_>>();
    doc.selectable
        .iter()
        .map(|one| {
            let paths = if one.paths.is_empty() {
                vec![split(&one.field)]
            } else {
                one.paths.iter().map(|p| split(p)).collect()
            };
            (Str::from(&one.field), paths, Str::from(&one.default))
        })
        .collect()
}

fn select(value: &Value, paths: &[Vec<Str>], default: &Str) -> Str {
    for path in paths {
        let found = path.iter().try_fold(value, |at, name| at.get(name));
        match found {
            Some(Value::Str(s)) if !s.is_empty() => return s.clone(),
            Some(Value::Bool(b)) => return Str::from(if *b { "true" } else { "false" }),
            Some(Value::Int(n)) => return Str::from(n.to_string()),
            _ => {}
        }
    }
    default.clone()
}
