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
    pub(super) fn of(&self, mut record: Value) -> Value {
        if let Value::Object(members) = &mut record {
            self.keep(members, &mut String::new());
        }
        record
    }

    /// Takes out of `members` what is not shown; they lie at `path`.
    fn keep(&self, members: &mut Map<String, Value>, path: &mut String) {
        let above = path.len();
        members.retain(|name, member| {
            if above > 0 {
                path.push('.');
            }
            path.push_str(name);
            let shown = self.keeps(member, path);
            path.truncate(above);
            shown
        });
    }

    fn keeps(&self, value: &mut Value, path: &mut String) -> bool {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                self.keep(inner, path);
                !inner.is_empty()
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.retain_mut(|item| self.keeps(item, path));
                !items.is_empty()
            }
            _ => self.shows(path),
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
pub(super) fn within(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
