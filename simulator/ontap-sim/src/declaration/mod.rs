//! The array as a file declares it (`--config`): YAML whose records are bodies of the management API.
//!
//! ```text
//! file ─ Tree (every value with its place) ─ Section by Section ─ Management ─ Cluster
//!                                              └ a Refusal becomes line, field, reason and cure
//! ```
//!
//! The rules of the array stand in one place, the API: a declaration that it refuses is refused here, before
//! anything listens or is written.

mod body;
mod section;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sim_front::yaml::{Entry, Mark, Node, Tree};

use self::body::body_of;
use self::section::{SECTIONS, Section, find_section, known_keys};
use crate::management::Management;
use crate::rest::{Call, Method, answer_together};
use crate::state::{Blueprint, BlueprintError, Cluster, Refusal, Version};

/// The account that every SVM is made with, locked.
const SVM_ADMINISTRATOR: &str = "vsadmin";
/// Unknown field or parameter (REST error reference).
const UNEXPECTED: u64 = 262_179;

/// An array that a file declares, as far as can be told without making it.
#[derive(Debug, Clone)]
pub struct Declaration {
    path: PathBuf,
    version: Option<Version>,
    model: Option<String>,
    cluster: Option<Tree>,
    records: Vec<(&'static Section, Vec<Tree>)>,
}

/// What is wrong with a declaration: file, place, reason and cure.
#[derive(Debug, thiserror::Error)]
pub enum DeclarationError {
    /// No such file, or not readable.
    #[error("--config {}: cannot be read; give a readable YAML file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Not YAML, or not a mapping.
    #[error("--config {}: line {line}, column {column}: not readable as YAML: {reason}; correct it there", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// The parser's reason.
        reason: String,
    },
    /// A value that the array does not take.
    #[error("--config {}: line {line}, column {column}: {field}: {problem}; {cure}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// Where in the document, such as `lifs[1].svm`.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// The flags do not fit.
    #[error(transparent)]
    Blueprint(#[from] BlueprintError),
}

impl Declaration {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DeclarationError`] for what can be told without making the array.
    pub fn read(path: &Path) -> Result<Self, DeclarationError> {
        let text = fs::read_to_string(path)
            .map_err(|source| DeclarationError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, DeclarationError> {
        let tree = Tree::parse(text).map_err(|error| DeclarationError::Syntax {
            path: path.to_owned(),
            line: error.mark.line,
            column: error.mark.column,
            reason: error.reason,
        })?;
        let mut read = Self {
            path: path.to_owned(),
            version: None,
            model: None,
            cluster: None,
            records: SECTIONS.iter().map(|section| (section, Vec::new())).collect(),
        };
        let entries = match tree.node {
            Node::Map(entries) => entries,
            Node::Scalar(Value::Null) => Vec::new(),
            _ => {
                let cure = format!("begin with a key such as `svms:`; known are {}", known_keys());
                return Err(read.wrong(tree.mark, "the document", "no mapping of keys", cure));
            }
        };
        for entry in entries {
            read.take(entry)?;
        }
        Ok(read)
    }

    /// The release that the file asks for.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The model that the file asks for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether it declares this account of the cluster.
    pub(crate) fn declares_administrator(&self, name: &str) -> bool {
        let of_cluster = |user: &Tree| ["owner", "svm"].iter().all(|key| user.text_at(key).is_none());
        let named = |user: &Tree| user.text_at("name").as_deref() == Some(name);
        self.section("users").iter().any(|user| of_cluster(user) && named(user))
    }

    /// Makes the array. The changes that bring its data planes up are in [`Cluster::take_changes`].
    ///
    /// # Errors
    /// [`DeclarationError::Field`] for the first record that the array does not take.
    pub fn build(&self, blueprint: &Blueprint) -> Result<Cluster, DeclarationError> {
        let mut cluster = Cluster::boot_bare(blueprint, self.section("aggregates").is_empty())?;
        if let Some(about) = &self.cluster {
            let done =
                on(&mut cluster, |array| array.call(Method::Patch, "cluster", &[], body_of(about)).map(drop));
            done.map_err(|refusal| self.refused(&cluster, "cluster", about, &refusal))?;
        }
        for (section, records) in &self.records {
            self.admit_once(section, records)?;
            for (number, record) in records.iter().enumerate() {
                let done = on(&mut cluster, |array| make(array, section, record));
                let place = format!("{}[{number}]", section.name);
                done.map_err(|refusal| self.refused(&cluster, &place, record, &refusal))?;
            }
        }
        Ok(cluster)
    }

    /// The LIF at this address cannot be served.
    pub(crate) fn lif_cannot_be_served(&self, address: IpAddr, reason: &str) -> Option<DeclarationError> {
        let fits = |lif: &Tree| lif.text_at("ip.address").and_then(|text| text.parse().ok()) == Some(address);
        let (number, lif) = self.section("lifs").iter().enumerate().find(|(_, lif)| fits(lif))?;
        let problem = format!("{address} cannot be served ({reason})");
        let cure = "give an address of this host whose port is free".to_owned();
        Some(self.wrong(lif.place_of("ip.address"), &format!("lifs[{number}].ip.address"), problem, cure))
    }

    fn section(&self, name: &str) -> &[Tree] {
        let found = self.records.iter().find(|(section, _)| section.name == name);
        found.map_or(&[], |(_, records)| records)
    }

    fn take(&mut self, entry: Entry) -> Result<(), DeclarationError> {
        let Entry { key, mark, value } = entry;
        match key.as_str() {
            "version" => {
                let text = value.text().unwrap_or_default();
                let refused = |_| {
                    let cure = "write a release as 9.15.1".to_owned();
                    self.wrong(value.mark, &key, format!("`{text}` is no release"), cure)
                };
                self.version = Some(text.parse().map_err(refused)?);
            }
            "model" => match value.text() {
                Some(model) => self.model = Some(model),
                None => {
                    return Err(self.wrong(
                        value.mark,
                        &key,
                        "no text",
                        "name a model, such as AFF-A250".into(),
                    ));
                }
            },
            "cluster" => self.cluster = Some(value),
            name => {
                let Some(section) = find_section(name) else {
                    let cure = format!("known are {}", known_keys());
                    return Err(self.wrong(mark, name, "no such key", cure));
                };
                let records = self.listed(section, value)?;
                self.records.iter_mut().filter(|(known, _)| *known == section).for_each(|(_, place)| {
                    records.clone_into(place);
                });
            }
        }
        Ok(())
    }

    fn listed(&self, section: &Section, value: Tree) -> Result<Vec<Tree>, DeclarationError> {
        let items = match value.node {
            Node::List(items) => items,
            Node::Scalar(Value::Null) => Vec::new(),
            _ => {
                let cure = "begin each record with `- `".to_owned();
                return Err(self.wrong(value.mark, section.name, "no list", cure));
            }
        };
        match items.iter().enumerate().find(|(_, item)| !matches!(item.node, Node::Map(_))) {
            Some((number, item)) => {
                let cure = format!("write fields of POST /api/{}, such as `name: …`", section.collection);
                Err(self.wrong(
                    item.mark,
                    &format!("{}[{number}]", section.name),
                    "no mapping of fields",
                    cure,
                ))
            }
            None => Ok(items),
        }
    }

    /// No two records go by the same name: some collections would take the second for a change of the first.
    fn admit_once(&self, section: &Section, records: &[Tree]) -> Result<(), DeclarationError> {
        let mut seen = BTreeMap::new();
        for (number, record) in records.iter().enumerate() {
            let identity: Vec<_> = section.identity.iter().map(|field| record.text_at(field)).collect();
            let Some(last) = identity.iter().rev().find_map(Clone::clone) else { continue };
            if let Some(first) = seen.insert(identity, record.mark.line) {
                let field = section.identity.last().copied().unwrap_or("name");
                let place = format!("{}[{number}].{field}", section.name);
                let cure = "give this one another name, or take one of them out".to_owned();
                let problem = format!("`{last}` is declared already at line {first}");
                return Err(self.wrong(record.descend(field).0.mark, &place, problem, cure));
            }
        }
        Ok(())
    }

    fn refused(&self, cluster: &Cluster, place: &str, record: &Tree, refusal: &Refusal) -> DeclarationError {
        let target = refusal.target.as_deref().unwrap_or_default();
        let (field, mark) = if target.is_empty() {
            (place.to_owned(), record.mark)
        } else {
            (format!("{place}.{target}"), record.place_of(target))
        };
        let problem = refusal.message.trim_end_matches('.').to_owned();
        self.wrong(mark, &field, problem, cure(cluster, place, target, refusal))
    }

    fn wrong(&self, mark: Mark, field: &str, problem: impl Into<String>, cure: String) -> DeclarationError {
        DeclarationError::Field {
            path: self.path.clone(),
            line: mark.line,
            column: mark.column,
            field: field.to_owned(),
            problem: problem.into(),
            cure,
        }
    }
}

fn on<T>(
    cluster: &mut Cluster,
    act: impl FnOnce(&mut Management<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut ask = |calls: &[Call]| answer_together(cluster, calls);
    act(&mut Management::new(&mut ask))
}

fn make(array: &mut Management<'_>, section: &Section, record: &Tree) -> Result<(), Refusal> {
    let Value::Object(mut members) = body_of(record) else { return Ok(()) };
    let owner = section.identity.first().copied().unwrap_or_default();
    let (svm, name) = (record.text_at(owner), record.text_at("name"));
    if section.name == "users" && name.as_deref() != Some(SVM_ADMINISTRATOR) {
        let usual = |name: &str| json!({ "application": name, "authentication_methods": ["password"] });
        members.entry("applications").or_insert_with(|| ["http", "ontapi", "ssh"].map(usual).to_vec().into());
    }
    // Some things every SVM is made with: what the file says of them is a change.
    let made_with = [("export_policies", "default"), ("users", SVM_ADMINISTRATOR)];
    match (svm, name) {
        (Some(svm), Some(name)) if made_with.contains(&(section.name, name.as_str())) => {
            if array.exactly("svm/svms", &[("name", &svm)])?.is_empty() {
                let message = format!("SVM \"{svm}\" does not exist.");
                return Err(Refusal::missing(2_621_462, message).about(owner));
            }
            let dotted = format!("{owner}.name");
            members.retain(|key, _| ![owner, &dotted, "name"].contains(&key.as_str()));
            if section.name == "users" {
                members.entry("locked").or_insert(false.into());
            }
            let query = [(dotted.as_str(), svm.as_str()), ("name", name.as_str())];
            array.call(Method::Patch, section.collection, &query, members.into()).map(drop)
        }
        _ => array.create(section.collection, members).map(drop),
    }
}

/// What to do about a refusal.
fn cure(cluster: &Cluster, place: &str, target: &str, refusal: &Refusal) -> String {
    let section = place.split('[').next().and_then(find_section);
    let call = section.map_or_else(
        || "PATCH /api/cluster".to_owned(),
        |section| format!("POST /api/{}", section.collection),
    );
    let named = |what: &str, names: Vec<&str>| match names.as_slice() {
        [] => format!("declare it under `{what}`"),
        _ => format!("declare it under `{what}`, or name one of {}", names.join(", ")),
    };
    let absent = refusal.status == 404;
    let leaf = target.trim_end_matches(".name").rsplit('.').next().unwrap_or_default();
    match leaf {
        _ if refusal.code == UNEXPECTED => format!("take it out; the fields are those of {call}"),
        "svm" | "owner" if absent => {
            named("svms", cluster.svms.values().map(|svm| svm.name.as_str()).collect())
        }
        "aggregates" if absent => {
            named("aggregates", cluster.aggregates.values().map(|known| known.name.as_str()).collect())
        }
        "node" | "home_node" => {
            let nodes: Vec<_> = cluster.nodes.values().map(|node| node.name.as_str()).collect();
            format!("the nodes are {}", nodes.join(", "))
        }
        "size" => "write a size in bytes or as 100MB, 20GB, 1TB".to_owned(),
        "address" => "write an address that no other LIF has, such as 192.168.0.121".to_owned(),
        "netmask" => "write the length of the prefix, such as 24".to_owned(),
        "match" | "clients" => "write an address, a network such as 10.0.0.0/8, or 0.0.0.0/0".to_owned(),
        _ if absent => "declare it in this file, or correct the name".to_owned(),
        _ if refusal.status == 409 => "give it another name, or take one of them out".to_owned(),
        _ => format!("write what {call} takes"),
    }
}
