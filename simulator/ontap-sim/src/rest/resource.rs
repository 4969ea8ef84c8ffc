//! What a collection of the API is: its path, its fields and what can be done to its records. The
//! rest of the skin works on this description alone.

use std::fmt::Display;
use std::ops::Bound;

use records::{Row, Table};
use serde_json::Value;
use uuid::Uuid;

use super::body::Body;
use super::query::Query;
use super::select::within;
use super::value::text_of;
use super::veil::Veil;
use crate::state::{Cluster, Refusal, Svm, SvmId};

/// Lists the records a scope may contain, complete; the engine filters and trims them.
pub(super) type List = fn(&Cluster, &Scope<'_>) -> Result<Vec<Value>, Refusal>;
/// The same, record for record, for collections that grow: in the order of the keys, beginning after
/// [`Scope::after`]. The engine takes no more of them than a page.
pub(super) type Stream = for<'c> fn(&'c Cluster, &'c Scope<'_>) -> Records<'c>;
/// Records that are made when they are asked for.
pub(super) type Records<'c> = Box<dyn Iterator<Item = Value> + 'c>;
/// Makes a record; returns its key.
pub(super) type Create = fn(&mut Cluster, &Scope<'_>, &Body) -> Result<Vec<String>, Refusal>;
/// Changes the record that the scope's key names.
pub(super) type Modify = fn(&mut Cluster, &Scope<'_>, &Body) -> Result<(), Refusal>;
/// Deletes the record that the scope's key names.
pub(super) type Delete = fn(&mut Cluster, &Scope<'_>) -> Result<(), Refusal>;

/// A collection of the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource {
    /// Path below `/api`, parents in braces: `storage/luns/{uuid}/attributes`.
    pub(super) path: &'static str,
    /// Fields that name a record within the collection, in the order of the path.
    pub(super) keys: &'static [&'static str],
    /// Fields of every record that is shown.
    pub(super) always: &'static [&'static str],
    /// Fields shown only when asked for by name.
    pub(super) expensive: &'static [&'static str],
    /// Every field a record can show.
    pub(super) readable: &'static [&'static str],
    /// Fields a POST takes.
    pub(super) creatable: &'static [&'static str],
    /// Fields a PATCH takes.
    pub(super) modifiable: &'static [&'static str],
    /// Query parameters of its own.
    pub(super) flags: &'static [&'static str],
    /// Whether changes are jobs: answered 202 unless the client waits.
    pub(super) asynchronous: bool,
    /// GET.
    pub(super) list: Option<List>,
    /// GET of a collection that grows; instead of [`Self::list`].
    pub(super) stream: Option<Stream>,
    /// POST.
    pub(super) create: Option<Create>,
    /// PATCH.
    pub(super) modify: Option<Modify>,
    /// DELETE.
    pub(super) delete: Option<Delete>,
    /// The answer to a key that names no record.
    pub(super) missing: fn() -> Refusal,
}

/// A collection that knows nothing yet: the base of the tables.
pub(super) const NOTHING: Resource = Resource {
    path: "",
    keys: &[],
    always: &[],
    expensive: &[],
    readable: &[],
    creatable: &[],
    modifiable: &[],
    flags: &[],
    asynchronous: false,
    list: None,
    stream: None,
    create: None,
    modify: None,
    delete: None,
    missing: Refusal::no_entry,
};

impl Resource {
    /// Whether `field` is a field, or the object that fields lie in.
    pub(super) fn knows(&self, field: &str) -> bool {
        [self.readable, self.creatable, self.modifiable]
            .into_iter()
            .flatten()
            .any(|name| name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether there is but one record and no collection around it.
    pub(super) fn is_single(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it has a GET.
    pub(super) fn is_listed(&self) -> bool {
        self.list.is_some() || self.stream.is_some()
    }

    /// Whether it is a command of the cluster shell, where `-` and `_` are the same.
    pub(super) fn is_command(&self) -> bool {
        self.path.starts_with("private/cli/")
    }

    /// The parents and the key in a path, if it is a path of this resource.
    pub(super) fn match_path(&self, segments: &[String]) -> Option<(Vec<String>, Vec<String>)> {
        let pattern: Vec<_> = self.path.split('/').collect();
        let keyed = segments.len() == pattern.len().saturating_add(self.keys.len());
        if segments.len() != pattern.len() && !keyed {
            return None;
        }
        let (own, keys) = segments.split_at_checked(pattern.len())?;
        let mut parents = Vec::new();
        for (expected, given) in pattern.iter().zip(own) {
            if expected.starts_with('{') {
                parents.push(given.clone());
            } else if expected != given && !(self.is_command() && *expected == given.replace('_', "-")) {
                return None;
            }
        }
        Some((parents, keys.to_vec()))
    }

    /// Methods, for `Allow`.
    pub(super) fn allowed(&self) -> String {
        let methods = [
            (self.is_listed(), "GET, HEAD"),
            (self.create.is_some(), "POST"),
            (self.modify.is_some(), "PATCH"),
            (self.delete.is_some(), "DELETE"),
        ];
        let named = methods.into_iter().filter(|(there, _)| *there).map(|(_, name)| name);
        named.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
    }
}

/// What a call is about: where in the tree, which record, which SVM.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// The resource the path named.
    pub(super) resource: &'a Resource,
    /// Values of the path's braces.
    pub(super) parents: &'a [String],
    /// The record's key; empty for the collection.
    pub(super) keys: Vec<String>,
    /// The query.
    pub(super) query: &'a Query,
    /// The SVM named by header.
    pub(super) svm: Option<SvmId>,
    /// What is shown as it is not.
    pub(super) veil: &'a Veil,
}

impl Scope<'_> {
    /// Whether a record whose `field` is `value` can be in the answer: resources skip building the others.
    pub(super) fn admits(&self, field: &str, value: impl Display) -> bool {
        if self.keys.is_empty() && !self.query.filters.iter().any(|filter| filter.field == field) {
            return true;
        }
        let value = value.to_string();
        let keyed = self.resource.keys.iter().zip(&self.keys).find(|(name, _)| **name == field);
        match keyed {
            Some((_, key)) if *key != value => false,
            _ => !self.keys.is_empty() || self.query.admits(field, value),
        }
    }

    /// Whether the part `name` of a record can be in the answer or decide about it: resources skip making the
    /// others.
    pub(super) fn needs(&self, name: &str) -> bool {
        let query = self.query;
        let usual = if query.fields.is_empty() {
            !self.keys.is_empty()
        } else {
            query.fields.iter().any(|field| field == "*")
        };
        let costly = || self.resource.expensive.iter().any(|costly| within(name, costly));
        // What is veiled may be shown by any call.
        (usual && !costly()) || query.touches(name) || !self.veil.is_clear()
    }

    /// The one value that `field` must have, when key or query say so.
    pub(super) fn exact(&self, field: &str) -> Option<&str> {
        let keyed = self.resource.keys.iter().zip(&self.keys).find(|(name, _)| **name == field);
        match keyed {
            Some((_, key)) => Some(key),
            None if self.keys.is_empty() => self.query.exact(field),
            None => None,
        }
    }

    /// The key after which a page begins; none when the records are to be put in another order first.
    pub(super) fn after(&self) -> Option<&str> {
        self.query.start.as_deref().filter(|_| self.keys.is_empty() && self.query.order.is_empty())
    }

    /// Rows of a table that can be in the answer, in the order of their keys: looked up where the call
    /// says which, and beginning with the page. `id` makes the key, `named` and `of` the tags for a
    /// name in an SVM and for all of an SVM.
    pub(super) fn rows<'c, K: Ord + Clone, V: Row>(
        &self,
        cluster: &'c Cluster,
        table: &'c Table<K, V>,
        id: fn(Uuid) -> K,
        named: impl Fn(SvmId, String) -> V::Tag,
        of: impl Fn(SvmId) -> V::Tag,
    ) -> Box<dyn Iterator<Item = &'c V> + 'c>
    where
        V::Tag: 'c,
    {
        let parsed = |text: &str| text.parse::<Uuid>().ok();
        if let Some(uuid) = self.exact("uuid") {
            return Box::new(parsed(uuid).and_then(|uuid| table.get(&id(uuid))).into_iter());
        }
        // What is no key comes before all of them.
        let after = || self.after().and_then(parsed).map(id);
        let by_uuid = self.exact("svm.uuid").map(|uuid| parsed(uuid).map(SvmId));
        let by_name = || self.exact("svm.name").map(|name| cluster.find_svm_named(name).map(|svm| svm.id));
        let svms: Vec<SvmId> = match by_uuid.or_else(by_name) {
            Some(svm) => svm.into_iter().collect(),
            None if self.exact("name").is_some() => cluster.svms.keys().copied().collect(),
            None => {
                let range = (after().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
                return Box::new(table.range(range).map(|(_, row)| row));
            }
        };
        let tag = |svm| match self.exact("name") {
            Some(name) => named(svm, name.to_owned()),
            None => of(svm),
        };
        let tags: Vec<_> = svms.into_iter().map(tag).collect();
        if self.exact("name").is_none()
            && let Some(after) = after()
        {
            // A later page does not pass over the earlier ones.
            let rest = table.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, row)| row);
            return Box::new(rest.filter(move |row| row.tags().iter().any(|tag| tags.contains(tag))));
        }
        Box::new(tags.into_iter().flat_map(|tag| table.tagged(&tag)))
    }

    /// The key's part `index`.
    pub(super) fn key(&self, index: usize) -> &str {
        self.keys.get(index).map_or("", String::as_str)
    }

    /// The parent `index`.
    pub(super) fn parent(&self, index: usize) -> &str {
        self.parents.get(index).map_or("", String::as_str)
    }

    /// The same call on the record with this key.
    pub(super) fn keyed(&self, keys: Vec<String>) -> Self {
        Self { keys, ..*self }
    }

    /// The key of a record of this resource.
    pub(super) fn key_of(&self, record: &Value) -> Vec<String> {
        let field = |name: &&str| name.split('.').try_fold(record, |value, part| value.get(part));
        self.resource.keys.iter().map(|name| field(name).map(text_of).unwrap_or_default()).collect()
    }

    /// The SVM that a body names by name, UUID or both, else the one in the header.
    ///
    /// # Errors
    /// A [`Refusal`]: none named (2621707), both named and different (2621706), unknown (2621462).
    pub(super) fn require_svm<'c>(&self, cluster: &'c Cluster, body: &Body) -> Result<&'c Svm, Refusal> {
        let (name, uuid) = (body.text("svm.name")?, body.text("svm.uuid")?);
        let unknown =
            |what: &str| Refusal::missing(2_621_462, format!("SVM \"{what}\" does not exist.")).about("svm");
        let by_name = name.as_ref().map(|name| cluster.find_svm_named(name).ok_or_else(|| unknown(name)));
        let by_uuid = uuid.as_ref().map(|uuid| {
            let found = uuid.parse().ok().and_then(|uuid| cluster.find_svm(SvmId(uuid)));
            found.ok_or_else(|| unknown(uuid))
        });
        let (by_name, by_uuid) = (by_name.transpose()?, by_uuid.transpose()?);
        if let (Some(own), Some(named)) = (self.svm, by_name.or(by_uuid))
            && named.id != own
        {
            return Err(unknown(&named.name));
        }
        match (by_name, by_uuid) {
            (Some(named), Some(other)) if named.id != other.id => Err(Refusal::request(
                2_621_706,
                "The specified svm.uuid and svm.name do not refer to the same SVM",
            )
            .about("svm")),
            (Some(svm), _) | (None, Some(svm)) => Ok(svm),
            (None, None) => self.svm.and_then(|svm| cluster.find_svm(svm)).ok_or_else(|| {
                Refusal::request(2_621_707, "No SVM was specified: svm.name or svm.uuid must be given")
                    .about("svm")
            }),
        }
    }
}
