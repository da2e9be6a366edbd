//! Label selectors and what they match.

use super::{parse, validate};
use crate::error::quote;
use crate::{Error, Map, Result, Str, Value};

/// Something that has labels: an object's header in the store, a map, a list of pairs.
pub trait Labels {
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for Map {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}
impl Labels for [(Str, Str)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}
impl Labels for Vec<(Str, Str)> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_slice().label(key)
    }
}
/// The labels map of a value (`metadata.labels`); anything but a map has none.
impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_map()?.label(key)
    }
}
impl<T: Labels + ?Sized> Labels for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}
impl<T: Labels> Labels for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.label(key)
    }
}

/// How a label relates to the values of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    In,
    NotIn,
    /// `=`.
    Equals,
    /// `==`.
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One term of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: Str,
    pub operator: Operator,
    /// Sorted and unique where the selector was text, as given where it was an object.
    pub values: Vec<Str>,
}

/// Go's `%q` for a slice inside field.Invalid: `["a", "b"]` prints as `["a","b"]`, for it goes through JSON.
fn shown(values: &[Str]) -> String {
    let mut out = Vec::new();
    crate::json::write(&values.iter().collect::<Value>(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

impl Requirement {
    /// A requirement, checked as labels.NewRequirement does. Errors: [`Error::LabelSelector`], all that is wrong, aggregated.
    pub fn new(key: impl Into<Str>, operator: Operator, values: Vec<Str>) -> Result<Self> {
        use Operator::{DoesNotExist, DoubleEquals, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn};
        let key = key.into();
        let mut errors = Vec::new();
        let sentences = validate::qualified_name(&key);
        if !sentences.is_empty() {
            errors.push(format!("key: Invalid value: {}: {}", quote(&key), sentences.join("; ")));
        }
        let mut count = |wrong: bool, sentence: &str| {
            if wrong {
                errors.push(format!("values: Invalid value: {}: {sentence}", shown(&values)));
            }
        };
        match operator {
            In | NotIn => count(values.is_empty(), "for 'in', 'notin' operators, values set can't be empty"),
            Equals | DoubleEquals | NotEquals => {
                count(values.len() != 1, "exact-match compatibility requires one single value");
            }
            Exists | DoesNotExist => {
                count(!values.is_empty(), "values set must be empty for exists and does not exist");
            }
            GreaterThan | LessThan => {
                count(values.len() != 1, "for 'Gt', 'Lt' operators, exactly one value is required");
                for (i, v) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let sentence = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(format!("values[{i}]: Invalid value: {}: {sentence}", quote(v)));
                }
            }
        }
        for (i, v) in values.iter().enumerate() {
            let sentences = validate::label_value(v);
            if !sentences.is_empty() {
                errors.push(format!("values[{i}][{key}]: Invalid value: {}: {}", quote(v), sentences.join("; ")));
            }
        }
        match errors.len() {
            0 => Ok(Requirement { key, operator, values }),
            1 => Err(Error::LabelSelector(errors.remove(0))),
            _ => Err(Error::LabelSelector(format!("[{}]", errors.join(", ")))),
        }
    }

    pub fn matches(&self, labels: &dyn Labels) -> bool {
        use Operator::{DoesNotExist, DoubleEquals, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn};
        let label = labels.label(&self.key);
        let among = |l: &str| self.values.iter().any(|v| v == l);
        match self.operator {
            In | Equals | DoubleEquals => label.is_some_and(among),
            NotIn | NotEquals => !label.is_some_and(among),
            Exists => label.is_some(),
            DoesNotExist => label.is_none(),
            GreaterThan | LessThan => {
                let given = label.and_then(|l| l.parse::<i64>().ok());
                let bound = self.values.first().and_then(|v| v.parse::<i64>().ok());
                match (given, bound) {
                    (Some(g), Some(b)) if self.operator == GreaterThan => g > b,
                    (Some(g), Some(b)) => g < b,
                    _ => false,
                }
            }
        }
    }
}

/// A conjunction of requirements, or nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        LabelSelector::default()
    }

    /// Matches no object: what a null LabelSelector means.
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Read the text form: `app=web,tier in (a, b),!old`. "" is everything. Terms are sorted by key.
    ///
    /// Errors: [`Error::LabelSelector`] in the words of labels.Parse.
    pub fn parse(text: &str) -> Result<Self> {
        let mut requirements = parse::requirements(text)?;
        requirements.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// Read the object form, `{matchLabels: {..}, matchExpressions: [{key, operator, values}]}`. Null is nothing, {} everything.
    ///
    /// Errors: [`Error::LabelSelector`] in the words of metav1.LabelSelectorAsSelector.
    pub fn from_value(value: &Value) -> Result<Self> {
        let wrong = |what: &str| Error::LabelSelector(format!("{what} in a label selector"));
        let map = match value {
            Value::Null => return Ok(LabelSelector::nothing()),
            Value::Map(map) => map,
            other => return Err(wrong(&format!("expected an object, got {}", other.type_name()))),
        };
        let mut requirements = Vec::new();
        if let Some(labels) = map.get("matchLabels").filter(|l| !l.is_null()) {
            let labels = labels.as_map().ok_or_else(|| wrong("matchLabels is not an object"))?;
            for (key, v) in labels {
                let v = v.as_str().ok_or_else(|| wrong("a value that is not a string"))?;
                requirements.push(Requirement::new(key.clone(), Operator::Equals, vec![v.into()])?);
            }
        }
        if let Some(expressions) = map.get("matchExpressions").filter(|l| !l.is_null()) {
            for e in expressions.as_list().ok_or_else(|| wrong("matchExpressions is not a list"))? {
                let operator = match e.str_at(&["operator"]) {
                    "In" => Operator::In,
                    "NotIn" => Operator::NotIn,
                    "Exists" => Operator::Exists,
                    "DoesNotExist" => Operator::DoesNotExist,
                    other => {
                        let message = format!("{} is not a valid label selector operator", quote(other));
                        return Err(Error::LabelSelector(message));
                    }
                };
                let values = e.get("values").and_then(Value::as_list).unwrap_or(&[]);
                let values: Option<Vec<Str>> = values.iter().map(|v| v.as_str().map(Str::from)).collect();
                let values = values.ok_or_else(|| wrong("a value that is not a string"))?;
                requirements.push(Requirement::new(e.str_at(&["key"]), operator, values)?);
            }
        }
        requirements.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// A map of labels as a selector: `spec.selector` of a ReplicationController. What is no text counts as "".
    pub fn from_labels(labels: &Map) -> Self {
        Self::from_equals(labels.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default())))
    }

    /// A selector of plain equalities (`spec.selector` of a Service or a ReplicationController), unchecked as there.
    pub fn from_equals<K: Into<Str>, V: Into<Str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let one = |(k, v): (K, V)| Requirement { key: k.into(), operator: Operator::Equals, values: vec![v.into()] };
        let mut requirements: Vec<_> = pairs.into_iter().map(one).collect();
        requirements.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        LabelSelector { requirements, nothing: false }
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    pub fn matches(&self, labels: &dyn Labels) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// The equalities every match fulfils, where the selector consists of such only: what an index can answer. None otherwise.
    pub fn requires_equal(&self) -> Option<Vec<(Str, Str)>> {
        if self.nothing {
            return None;
        }
        let one = |r: &Requirement| match (r.operator, r.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [v]) => Some((r.key.clone(), v.clone())),
            _ => None,
        };
        self.requirements.iter().map(one).collect()
    }
}

/// The text form, as Go's `Selector.String()` has it.
impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            let values = || {
                let mut values: Vec<&str> = r.values.iter().map(Str::as_str).collect();
                values.sort_unstable();
                values.join(",")
            };
            match r.operator {
                Operator::In => write!(f, "{} in ({})", r.key, values())?,
                Operator::NotIn => write!(f, "{} notin ({})", r.key, values())?,
                Operator::Equals => write!(f, "{}={}", r.key, values())?,
                Operator::DoubleEquals => write!(f, "{}=={}", r.key, values())?,
                Operator::NotEquals => write!(f, "{}!={}", r.key, values())?,
                Operator::GreaterThan => write!(f, "{}>{}", r.key, values())?,
                Operator::LessThan => write!(f, "{}<{}", r.key, values())?,
                Operator::Exists => write!(f, "{}", r.key)?,
                Operator::DoesNotExist => write!(f, "!{}", r.key)?,
            }
        }
        Ok(())
    }
}
