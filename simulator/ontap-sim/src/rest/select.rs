//! Which fields of a record are shown.

use std::cell::RefCell;
use std::collections::HashMap;

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
    /// What it knows already.
    pub(super) judged: Judged,
}

/// How much of what lies at a path is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    Nothing,
    /// Something below it.
    Part,
    All,
}

/// What has been found out about the paths of records. Those of a collection have the same ones, so that each is
/// judged once for all of them.
#[derive(Debug, Default)]
pub(super) struct Judged(RefCell<HashMap<String, Extent>>);

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
        match (self.extent(path), value) {
            (Extent::All, _) => true,
            (Extent::Nothing, _) => false,
            (Extent::Part, Value::Object(inner)) => {
                self.keep(inner, path);
                !inner.is_empty()
            }
            (Extent::Part, Value::Array(items)) => {
                items.retain_mut(|item| item.is_object() && self.keeps(item, path));
                !items.is_empty()
            }
            (Extent::Part, _) => false,
        }
    }

    fn extent(&self, path: &str) -> Extent {
        if let Some(known) = self.judged.0.borrow().get(path) {
            return *known;
        }
        let extent = self.judge(path);
        self.judged.0.borrow_mut().insert(path.to_owned(), extent);
        extent
    }

    fn judge(&self, path: &str) -> Extent {
        let named = |name: &str| {
            if within(path, name) {
                Extent::All
            } else if within(name, path) {
                Extent::Part
            } else {
                Extent::Nothing
            }
        };
        let always = self.always.iter().map(|name| named(name));
        let requested = self.requested.iter().map(|request| match request.as_str() {
            "**" => Extent::All,
            "*" => self.cheap(path),
            request => named(request.strip_suffix(".*").unwrap_or(request)),
        });
        let unasked = (self.requested.is_empty() && self.instance).then(|| self.cheap(path));
        always.chain(requested).chain(unasked).max().unwrap_or(Extent::Nothing)
    }

    fn cheap(&self, path: &str) -> Extent {
        if self.expensive.iter().any(|name| within(path, name)) {
            Extent::Nothing
        } else if self.expensive.iter().any(|name| within(name, path)) {
            Extent::Part
        } else {
            Extent::All
        }
    }
}

/// Whether `path` is `name` or lies below it.
pub(super) fn within(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
