//! Which fields of a record are shown.

use serde_json::{Map, Value};

/// What decides whether a field is shown.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Names after `fields=`.
    pub(super) requested: &'a [String],
    /// Shown whatever was requested: the key, and what a filter named.
    pub(super) always: Vec<&'a str>,
    /// Shown only when named, by the name or by `**`: costly on a real array.
    pub(super) expensive: &'a [&'a str],
    /// Whether everything inexpensive is shown when nothing is requested (an instance), or only
    /// [`Self::always`] (a collection).
    pub(super) instance: bool,
}

impl Selection<'_> {
    /// The record with only the fields that are to be shown.
    pub(super) fn of(&self, record: &Value) -> Value {
        match record {
            Value::Object(members) => Value::Object(self.members(members, "")),
            other => other.clone(),
        }
    }

    fn members(&self, members: &Map<String, Value>, prefix: &str) -> Map<String, Value> {
        members
            .iter()
            .filter_map(|(name, member)| {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                self.value(member, &path).map(|shown| (name.clone(), shown))
            })
            .collect()
    }

    fn value(&self, value: &Value, path: &str) -> Option<Value> {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let shown = self.members(inner, path);
                (!shown.is_empty()).then_some(Value::Object(shown))
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let shown: Vec<_> = items.iter().filter_map(|item| self.value(item, path)).collect();
                (!shown.is_empty()).then_some(Value::Array(shown))
            }
            leaf => self.shows(path).then(|| leaf.clone()),
        }
    }

    fn shows(&self, path: &str) -> bool {
        if self.always.iter().any(|name| within(path, name)) {
            return true;
        }
        if self.requested.is_empty() {
            return self.instance && self.cheap(path);
        }
        self.requested.iter().any(|request| match request.as_str() {
            "**" => true,
            "*" => self.cheap(path),
            request => within(path, request.strip_suffix(".*").unwrap_or(request)),
        })
    }

    fn cheap(&self, path: &str) -> bool {
        !self.expensive.iter().any(|name| within(path, name))
    }
}

/// Whether `path` is `name` or lies below it.
fn within(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
