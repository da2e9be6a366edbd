//! Label selectors over interned labels, as LabelSelector objects and as plain maps (a Service's spec.selector) write them.

use crate::pool::{Labels, parse_labels};
use crate::scan::{Cursor, text_of};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Equals(Box<str>, Box<str>),
    In(Box<str>, Vec<Box<str>>),
    NotIn(Box<str>, Vec<Box<str>>),
    Exists(Box<str>),
    Absent(Box<str>),
    /// An operator Kubernetes does not know: matches nothing, as an invalid selector does in its controllers.
    Never,
}

/// All requirements must hold; an empty LabelSelector matches everything, an absent one nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    pub fn nothing() -> Self {
        Self { requirements: vec![Requirement::Never] }
    }

    /// From the JSON text of a map of labels. Empty or absent: nothing (a Service without a selector selects no pods).
    pub fn of_map(text: &[u8]) -> Self {
        let pairs = parse_labels(text);
        if pairs.is_empty() {
            return Self::nothing();
        }
        Self { requirements: pairs.into_iter().map(|(k, v)| Requirement::Equals(k, v)).collect() }
    }

    /// From the JSON text of a LabelSelector. Absent or broken: nothing.
    pub fn of_label_selector(text: &[u8]) -> Self {
        let mut requirements = Vec::new();
        let outcome = Cursor::new(text).members(|key, at| {
            let null = at.peek() == b'n';
            match key {
                b"matchLabels" if !null => {
                    let pairs = parse_labels(&text[at.skip()?]);
                    requirements.extend(pairs.into_iter().map(|(k, v)| Requirement::Equals(k, v)));
                    Ok(())
                }
                b"matchExpressions" if !null => at.elements(|at| {
                    let (mut name, mut operator, mut values) = (String::new(), String::new(), Vec::<Box<str>>::new());
                    at.members(|key, at| match key {
                        b"key" => at.skip().map(|range| name = text_of(&text[range]).into_owned()),
                        b"operator" => at.skip().map(|range| operator = text_of(&text[range]).into_owned()),
                        b"values" if at.peek() == b'[' => at.elements(|at| {
                            values.push(text_of(&text[at.skip()?]).into());
                            Ok(())
                        }),
                        _ => at.skip().map(drop),
                    })?;
                    let name = name.into_boxed_str();
                    requirements.push(match operator.as_str() {
                        "In" => Requirement::In(name, values),
                        "NotIn" => Requirement::NotIn(name, values),
                        "Exists" => Requirement::Exists(name),
                        "DoesNotExist" => Requirement::Absent(name),
                        _ => Requirement::Never,
                    });
                    Ok(())
                }),
                _ => at.skip().map(drop),
            }
        });
        if outcome.is_err() { Self::nothing() } else { Self { requirements } }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let get = |name: &str| labels.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value);
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::Equals(key, value) => get(key) == Some(value),
            Requirement::In(key, values) => get(key).is_some_and(|found| values.iter().any(|v| **v == *found)),
            Requirement::NotIn(key, values) => !get(key).is_some_and(|found| values.iter().any(|v| **v == *found)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Absent(key) => get(key).is_none(),
            Requirement::Never => false,
        })
    }

    /// The pairs an index can be asked for.
    pub(crate) fn equals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.requirements.iter().filter_map(|requirement| match requirement {
            Requirement::Equals(key, value) => Some((&**key, &**value)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &str, expected: bool) {
        let selector = Selector::of_label_selector(selector.as_bytes());
        assert_eq!(selector.matches(&parse_labels(labels.as_bytes())), expected, "{selector:?} {labels}");
    }

    #[test]
    fn matches_as_kubernetes_does() {
        check("{}", "{}", true);
        check("", "{}", false);
        check(r#"{"matchLabels":{"a":"1"}}"#, r#"{"a":"1","b":"2"}"#, true);
        check(r#"{"matchLabels":{"a":"1"}}"#, r#"{"a":"2"}"#, false);
        let expression = |op: &str, values: &str| {
            format!(r#"{{"matchExpressions":[{{"key":"a","operator":"{op}","values":{values}}}],"matchLabels":null}}"#)
        };
        check(&expression("In", r#"["1","2"]"#), r#"{"a":"2"}"#, true);
        check(&expression("In", r#"["1"]"#), "{}", false);
        check(&expression("NotIn", r#"["1"]"#), "{}", true);
        check(&expression("NotIn", r#"["1"]"#), r#"{"a":"1"}"#, false);
        check(&expression("Exists", "null"), r#"{"a":""}"#, true);
        check(&expression("DoesNotExist", "[]"), r#"{"a":""}"#, false);
        check(&expression("Like", "[]"), r#"{"a":""}"#, false);
        assert!(!Selector::of_map(b"{}").matches(&[]));
        assert!(Selector::of_map(br#"{"a":"1"}"#).matches(&parse_labels(br#"{"a":"1"}"#)));
    }
}
