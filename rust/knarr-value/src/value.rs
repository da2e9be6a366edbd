//! [`Value`]: what JSON, YAML and protobuf documents are read into.

use crate::{Map, Str};

/// A JSON value. Integers are exact within i64; a number with a fraction, an exponent, or beyond i64 is a `Float`, as Go's
/// `util/json` of apimachinery has it. `Int(1)` and `Float(1.0)` are different values.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Str),
    List(Vec<Value>),
    Map(Map),
}

impl Value {
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(i) = self { Some(*i) } else { None }
    }

    /// The number, exact or not.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Null, "", [] or {}: what Go's omitempty drops, numbers and booleans aside.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Str(s) => s.is_empty(),
            Value::List(l) => l.is_empty(),
            Value::Map(m) => m.is_empty(),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        }
    }

    /// Go's zero value in JSON: [`Value::is_empty`], false or 0.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Float(f) => *f == 0.0,
            other => other.is_empty(),
        }
    }

    /// A field of a map; None for other values.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut()?.get_mut(key)
    }

    /// Walk down maps. `path(&["metadata", "name"])`; an empty path is the value itself.
    pub fn path(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |v, key| v.get(key))
    }

    pub fn path_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |v, key| v.get_mut(key))
    }

    /// The string at a path; "" where there is none.
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.path(path).and_then(Value::as_str).unwrap_or("")
    }

    /// Set what stands at a path; whatever is not a map on the way becomes one.
    pub fn set_path(&mut self, path: &[&str], value: impl Into<Value>) {
        let mut at = self;
        for key in path {
            at = at.make_map().entry(key);
        }
        *at = value.into();
    }

    /// Remove what stands at a path and return it.
    pub fn remove_path(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.path_mut(parents)?.as_map_mut()?.remove(last)
    }

    /// This value as a map; anything else is replaced by an empty one first.
    pub fn make_map(&mut self) -> &mut Map {
        if !matches!(self, Value::Map(_)) {
            *self = Value::Map(Map::new());
        }
        match self {
            Value::Map(m) => m,
            _ => unreachable!("was made a map above"),
        }
    }

    /// JSON's word for the type, as Go's json errors have it: null, bool, number, string, array, object.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Float(_) => "number",
            Value::Str(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }

    /// Take the value out and leave Null.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }
}

/// Compact JSON, for messages and logs.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&crate::json::to_vec(self)))
    }
}

macro_rules! from {
    ($($t:ty => $variant:ident($x:ident) $e:expr),* $(,)?) => {
        $(impl From<$t> for Value { fn from($x: $t) -> Self { Value::$variant($e) } })*
    };
}
from! {
    bool => Bool(x) x,
    i32 => Int(x) i64::from(x),
    i64 => Int(x) x,
    u32 => Int(x) i64::from(x),
    u16 => Int(x) i64::from(x),
    f64 => Float(x) x,
    &str => Str(x) Str::from(x),
    String => Str(x) Str::from(x),
    &String => Str(x) Str::from(x),
    Str => Str(x) x,
    &Str => Str(x) x.clone(),
    Vec<Value> => List(x) x,
    Map => Map(x) x,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(x: Option<T>) -> Self {
        x.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    /// A list.
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        Value::List(iter.into_iter().map(Into::into).collect())
    }
}

/// Build a [`Value`] in JSON's own notation: `value!({"metadata": {"name": name}, "items": [1, null]})`. A key is a literal, a name, or
/// an expression in parentheses; a value may be any expression that `Value::from` takes.
#[macro_export]
macro_rules! value {
    (@list $list:ident) => {};
    (@list $list:ident null $(, $($rest:tt)*)?) => {
        $list.extend([$crate::Value::Null]);
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $list.extend([$crate::value!([ $($inner)* ])]);
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $list.extend([$crate::value!({ $($inner)* })]);
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident $item:expr $(, $($rest:tt)*)?) => {
        $list.extend([$crate::Value::from($item)]);
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@map $map:ident) => {};
    (@map $map:ident $key:tt : null $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::Null);
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!([ $($inner)* ]));
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!({ $($inner)* }));
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:tt : $item:expr $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::from($item));
        $crate::value!(@map $map $($($rest)*)?);
    };
    (null) => { $crate::Value::Null };
    ([ $($inner:tt)* ]) => {{
        #[allow(unused_mut)]
        let mut list = ::std::vec::Vec::<$crate::Value>::new();
        $crate::value!(@list list $($inner)*);
        $crate::Value::List(list)
    }};
    ({ $($inner:tt)* }) => {{
        #[allow(unused_mut)]
        let mut map = $crate::Map::new();
        $crate::value!(@map map $($inner)*);
        $crate::Value::Map(map)
    }};
    ($other:expr) => { $crate::Value::from($other) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_set() {
        let mut v = value!({"metadata": {"name": "a", "labels": {}}});
        assert_eq!(v.str_at(&["metadata", "name"]), "a");
        assert_eq!(v.path(&["metadata", "name", "x"]), None);
        v.set_path(&["spec", "nodeName"], "n1");
        assert_eq!(v, value!({"metadata": {"name": "a", "labels": {}}, "spec": {"nodeName": "n1"}}));
        v.set_path(&["metadata", "name", "x"], 1);
        assert_eq!(v.path(&["metadata", "name", "x"]), Some(&Value::Int(1)));
        assert_eq!(v.remove_path(&["spec", "nodeName"]), Some(Value::from("n1")));
        assert!(v.path(&["spec"]).is_some_and(Value::is_empty));
    }

    #[test]
    fn the_macro_takes_expressions() {
        let (key, n) = ("k", 2);
        let v =
            value!({"a": [n + 1, -1, [], {}, null, "x".to_owned(),], key: {(format!("{key}2")): n.max(3)}, "z": true});
        assert_eq!(v.to_string(), r#"{"a":[3,-1,[],{},null,"x"],"k":{"k2":3},"z":true}"#);
    }

    #[test]
    fn emptiness_is_not_zero() {
        assert!(!Value::Int(0).is_empty() && Value::Int(0).is_zero());
        assert!(!Value::Bool(false).is_empty() && Value::Bool(false).is_zero());
        assert!(Value::from("").is_empty() && value!([]).is_empty() && value!({}).is_empty() && Value::Null.is_empty());
    }
}
