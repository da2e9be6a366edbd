//! Scalars with a decoder of their own in Go: quantities, times, bytes, int-or-string; and the names of Go's string types.

use crate::error::quote;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use knarr_value::types::Shape;
use knarr_value::{Quantity, Str, Value};

/// Go's decoder accepts bits beyond the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The canonical value of a special scalar; None: not of that kind, report a type error.
pub fn special(shape: &Shape, value: &Value) -> Option<Result<Value, String>> {
    match (shape, value) {
        (Shape::Quantity, Value::Str(s)) => Some(quantity(s)),
        (Shape::Quantity, Value::Int(n)) => Some(quantity(&n.to_string())),
        (Shape::Quantity, Value::Float(f)) => Some(quantity(&number(*f))),
        (Shape::Quantity, _) => Some(Err(QUANTITY.into())),
        (Shape::Time | Shape::MicroTime, Value::Str(s)) => Some(time(shape, s)),
        (Shape::Time | Shape::MicroTime, other) => {
            Some(Err(format!("json: cannot unmarshal {} into Go value of type string", super::json_type(other))))
        }
        (Shape::IntOrString, Value::Str(s)) => Some(Ok(Value::Str(s.clone()))),
        (Shape::IntOrString, Value::Int(n)) if i32::try_from(*n).is_ok() => Some(Ok(Value::Int(*n))),
        (Shape::IntOrString, other) => {
            let found = match other {
                Value::Int(n) => format!("number {n}"),
                Value::Float(f) => format!("number {}", number(*f)),
                other => super::json_type(other).into(),
            };
            Some(Err(format!("json: cannot unmarshal {found} into Go value of type int32")))
        }
        (Shape::Bytes, Value::Str(s)) => Some(bytes(s)),
        _ => None,
    }
}

const QUANTITY: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn quantity(text: &str) -> Result<Value, String> {
    // The most frequent ones are canonical already.
    match Quantity::parse(text) {
        Ok(quantity) => Ok(Value::Str(Str::from(quantity.canonical()))),
        Err(error) => Err(error.to_string()),
    }
}

/// Whole seconds (or microseconds), in UTC.
fn time(shape: &Shape, text: &str) -> Result<Value, String> {
    const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";
    let parsed = knarr_value::time::Timestamp::parse(text);
    if matches!(shape, Shape::MicroTime) {
        let words = |e: String| e.replace("2006-01-02T15:04:05Z07:00", MICROS);
        let parsed = parsed.map_err(|e| words(e.to_string()))?;
        // The date and the time of day are 19 bytes; then a point and six digits, no more and no fewer.
        let rest = text.get(19..).unwrap_or("");
        let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        if !rest.starts_with('.') || digits != 6 {
            let (given, rest, layout) = (quote(text), quote(rest), quote(MICROS));
            return Err(format!("parsing time {given} as {layout}: cannot parse {rest} as \".000000\""));
        }
        return Ok(Value::Str(parsed.rfc3339_micros()));
    }
    let parsed = parsed.map_err(|e| e.to_string())?;
    Ok(Value::Str(parsed.rfc3339()))
}

fn bytes(text: &str) -> Result<Value, String> {
    let given: Vec<u8> = text.bytes().filter(|b| *b != b'\n' && *b != b'\r').collect();
    match BASE64.decode(&given) {
        // Same length and no trailing bits: the text is canonical already, but decoding is the check.
        Ok(decoded) => Ok(Value::Str(Str::from(BASE64.encode(decoded)))),
        Err(error) => {
            let offset = match error {
                base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => {
                    offset
                }
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => given.len() / 4 * 4,
            };
            Err(format!("illegal base64 data at input byte {offset}"))
        }
    }
}

/// A float as JSON had it, as far as that is known.
pub fn number(f: f64) -> String {
    let mut text = Vec::new();
    knarr_value::json::write(&Value::Float(f), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The kind of the Go value that JSON is read into where nothing says a type.
pub fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
    }
}

/// What apimachinery's unstructured converter says of a value that is no `wanted` (the Go type of `shape`). Go converts between
/// numbers, and an integer to a string; the converter refuses those with one message and all others with another.
/// Source: apimachinery `pkg/runtime/converter.go`, fromUnstructured.
pub fn unconverted(shape: &Shape, value: &Value, wanted: &str) -> String {
    let found = go_kind(value);
    let kind = match shape {
        Shape::List(_) | Shape::Bytes => return format!("cannot restore slice from {found}"),
        Shape::Map(_) => return format!("cannot restore map from {found}"),
        Shape::Struct(_) | Shape::OrBool(_) | Shape::OrList(_) | Shape::OrStrings(_) => {
            return format!("cannot restore struct from: {found}");
        }
        Shape::Str => "string",
        Shape::Bool => "bool",
        _ => wanted,
    };
    match (shape, value) {
        (Shape::Str, Value::Int(_)) | (Shape::Int32 | Shape::Int64, Value::Int(_) | Value::Float(_)) => {
            format!("cannot convert {found} to {wanted}")
        }
        _ => format!("unrecognized type: {kind}"),
    }
}

/// The Go type of a string field that has one of its own, which is what Go's error names.
pub fn named(owner: &str, field: &str) -> Option<&'static str> {
    NAMED.iter().find(|(o, f, _)| *o == owner && *f == field).map(|(.., name)| *name)
}

/// Struct, field and Go type, for the structs users write by hand.
const NAMED: &[(&str, &str, &str)] = &[
    ("ObjectMeta", "uid", "types.UID"),
    ("OwnerReference", "uid", "types.UID"),
    ("ObjectReference", "uid", "types.UID"),
    ("PodSpec", "restartPolicy", "v1.RestartPolicy"),
    ("PodSpec", "dnsPolicy", "v1.DNSPolicy"),
    ("PodSpec", "preemptionPolicy", "v1.PreemptionPolicy"),
    ("Container", "imagePullPolicy", "v1.PullPolicy"),
    ("Container", "terminationMessagePolicy", "v1.TerminationMessagePolicy"),
    ("Container", "restartPolicy", "v1.ContainerRestartPolicy"),
    ("ContainerPort", "protocol", "v1.Protocol"),
    ("ServicePort", "protocol", "v1.Protocol"),
    ("EndpointPort", "protocol", "v1.Protocol"),
    ("ServiceSpec", "type", "v1.ServiceType"),
    ("ServiceSpec", "sessionAffinity", "v1.ServiceAffinity"),
    ("ServiceSpec", "externalTrafficPolicy", "v1.ServiceExternalTrafficPolicy"),
    ("ServiceSpec", "internalTrafficPolicy", "v1.ServiceInternalTrafficPolicy"),
    ("ServiceSpec", "ipFamilyPolicy", "v1.IPFamilyPolicy"),
    ("Secret", "type", "v1.SecretType"),
    ("DeploymentStrategy", "type", "v1.DeploymentStrategyType"),
    ("Toleration", "operator", "v1.TolerationOperator"),
    ("Toleration", "effect", "v1.TaintEffect"),
    ("Taint", "effect", "v1.TaintEffect"),
    ("LabelSelectorRequirement", "operator", "v1.LabelSelectorOperator"),
    ("NodeSelectorRequirement", "operator", "v1.NodeSelectorOperator"),
    ("HTTPGetAction", "scheme", "v1.URIScheme"),
    ("EmptyDirVolumeSource", "medium", "v1.StorageMedium"),
    ("HostPathVolumeSource", "type", "v1.HostPathType"),
    ("TopologySpreadConstraint", "whenUnsatisfiable", "v1.UnsatisfiableConstraintAction"),
    ("SeccompProfile", "type", "v1.SeccompProfileType"),
    ("PodStatus", "phase", "v1.PodPhase"),
    ("PodStatus", "qosClass", "v1.PodQOSClass"),
    ("PodCondition", "type", "v1.PodConditionType"),
    ("PodCondition", "status", "v1.ConditionStatus"),
    ("NodeCondition", "type", "v1.NodeConditionType"),
    ("NodeCondition", "status", "v1.ConditionStatus"),
    ("NamespaceStatus", "phase", "v1.NamespacePhase"),
    ("EndpointSlice", "addressType", "v1.AddressType"),
];
