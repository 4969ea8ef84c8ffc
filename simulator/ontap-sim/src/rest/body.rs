//! Bodies as real clients write them: nested objects, dotted keys or both, and numbers and booleans
//! as text.

use serde_json::{Map, Value};

use super::query::boolean_from_text;
use super::value::{insert_at, size_from_text, text_of, values_at};
use crate::state::Refusal;

/// Dots in one key beyond which it is taken as it stands: no field lies deeper.
const DEEPEST: usize = 8;

/// One record of a request.
#[derive(Debug, Clone)]
pub(super) struct Body(Value);

impl Body {
    /// The records in a request's body: one, or those of `{"records":[…]}`.
    ///
    /// # Errors
    /// A [`Refusal`] when a record is no object.
    pub(super) fn records(body: &Value) -> Result<Vec<Self>, Refusal> {
        match body.get("records").and_then(Value::as_array) {
            Some(records) => records.iter().map(Self::from_value).collect(),
            None => Ok(vec![Self::from_value(body)?]),
        }
    }

    fn from_value(value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::Object(_) => Ok(Self(nested(value))),
            Value::Null => Ok(Self(Value::Object(Map::new()))),
            _ => Err(Refusal::request(2, "The request body must be a JSON object")),
        }
    }

    /// With an object given as a bare text taken as the one of that name: `"service_policy": "default"`
    /// where `service_policy.name` is `writable`.
    pub(super) fn with_names(mut self, writable: &[&str]) -> Self {
        let members = self.0.as_object_mut().into_iter().flatten();
        for (field, member) in members.filter(|(_, member)| member.is_string()) {
            if names_object(field, writable) {
                *member = serde_json::json!({ "name": member.take() });
            }
        }
        self
    }

    /// Refuses what the call does not take: `writable` fields are taken, other `known` ones may not be set
    /// here, the rest the array has never heard of.
    ///
    /// # Errors
    /// A [`Refusal`] (262196, 262179) that names the field.
    pub(super) fn admit(&self, writable: &[&str], known: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let mut leaves = Vec::new();
        collect_leaves(&self.0, String::new(), &mut leaves);
        for leaf in leaves {
            if leaf.split('.').any(|part| part == "_links" || part == "_tags")
                || writable.contains(&leaf.as_str())
            {
                continue;
            }
            return Err(if known(&leaf) { Refusal::read_only(&leaf) } else { Refusal::unexpected(&leaf) });
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |value, part| value.get(part)).filter(|value| !value.is_null())
    }

    /// Whether anything but null stands at the path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Text; a number or boolean counts as its text.
    ///
    /// # Errors
    /// A [`Refusal`] when it is an object or an array.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, Refusal> {
        match self.find(path) {
            None => Ok(None),
            Some(value @ (Value::Object(_) | Value::Array(_))) => {
                Err(Refusal::invalid(path, &value.to_string()))
            }
            Some(value) => Ok(Some(text_of(value))),
        }
    }

    /// Text that must be there and not empty.
    ///
    /// # Errors
    /// A [`Refusal`] when it is not.
    pub(super) fn required_text(&self, path: &str) -> Result<String, Refusal> {
        self.text(path)?.filter(|text| !text.is_empty()).ok_or_else(|| Refusal::required(path))
    }

    /// A whole number, as number or text, sizes with units included.
    ///
    /// # Errors
    /// A [`Refusal`] when it is none, or negative.
    pub(super) fn integer(&self, path: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.find(path) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => size_from_text(text).and_then(|number| u64::try_from(number).ok()),
            _ => None,
        };
        number.map(Some).ok_or_else(|| Refusal::invalid(path, &text_of(value)))
    }

    /// A boolean, as boolean or text in any case.
    ///
    /// # Errors
    /// A [`Refusal`] when it is none.
    pub(super) fn boolean(&self, path: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.find(path) else { return Ok(None) };
        let boolean = match value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => boolean_from_text(text),
            _ => None,
        };
        boolean.map(Some).ok_or_else(|| Refusal::invalid(path, &text_of(value)))
    }

    /// A list of texts; one text counts as a list of one, with commas of several.
    ///
    /// # Errors
    /// A [`Refusal`] when an element is an object or an array.
    pub(super) fn texts(&self, path: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.find(path) else { return Ok(None) };
        match value {
            Value::Array(items) => items
                .iter()
                .map(|item| match item {
                    Value::Object(_) | Value::Array(_) => Err(Refusal::invalid(path, &item.to_string())),
                    item => Ok(text_of(item)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Value::Object(_) => Err(Refusal::invalid(path, &value.to_string())),
            value => Ok(Some(text_of(value).split(',').map(|part| part.trim().to_owned()).collect())),
        }
    }

    /// The objects of an array; one object counts as an array of one.
    ///
    /// # Errors
    /// A [`Refusal`] when an element is no object.
    pub(super) fn objects(&self, path: &str) -> Result<Vec<Self>, Refusal> {
        match self.find(path) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::Object(_) => Ok(Self(nested(item))),
                    _ => Err(Refusal::invalid(path, &item.to_string())),
                })
                .collect(),
            Some(value @ Value::Object(_)) => Ok(vec![Self(nested(value))]),
            Some(value) => Err(Refusal::invalid(path, &text_of(value))),
        }
    }

    /// Every text at the path, arrays of objects entered: `aggregates.name`.
    pub(super) fn all_texts(&self, path: &str) -> Vec<String> {
        values_at(&self.0, path).into_iter().map(text_of).collect()
    }
}

/// Whether `field` is no field, but an object whose name is one.
pub(super) fn names_object(field: &str, fields: &[&str]) -> bool {
    !fields.contains(&field) && fields.iter().any(|known| known.strip_suffix(".name") == Some(field))
}

/// Dotted keys become nested objects.
fn nested(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut expanded = Map::new();
            for (name, member) in members {
                if name.matches('.').count() > DEEPEST {
                    expanded.insert(name.clone(), member.clone());
                } else {
                    insert_at(&mut expanded, name, nested(member));
                }
            }
            Value::Object(expanded)
        }
        Value::Array(items) => Value::Array(items.iter().map(nested).collect()),
        other => other.clone(),
    }
}

/// The dotted names of everything that is set.
fn collect_leaves(value: &Value, path: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_leaves(member, path, leaves);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                collect_leaves(item, path.clone(), leaves);
            }
        }
        Value::Null => {}
        _ => leaves.push(path),
    }
}
