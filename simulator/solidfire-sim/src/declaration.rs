//! The cluster as a file declares it (`--config`): YAML whose records are parameters of the API.
//!
//! ```text
//! file ─ yaml::Tree (every value with its place) ─ Section by Section ─ rpc::decode ─ State
//!                                                    └ a refusal becomes line, field, reason and cure
//! ```
//!
//! The rules of the cluster stand in one place, the API: a declaration that it refuses is refused here,
//! before anything listens or is written.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value};
use sim_front::yaml::{Entry, Mark, Node, Tree};
use sim_front::{Password, User};

use crate::rpc::decode_call;
use crate::state::{ApiError, DataPlaneView, State, VolumeId};
use crate::traffic::Traffic;

/// A list of records that is made with one call of the API each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Section {
    /// Its key in the file.
    name: &'static str,
    /// The method that makes a record.
    method: &'static str,
    /// The field that names a record; no two of a file share it.
    identity: &'static str,
    /// Fields that name another record, the parameter they become, and the section that has it.
    references: &'static [(&'static str, &'static str, &'static str)],
}

/// Every section, in the order in which it is made: what refers to something comes after it.
const SECTIONS: [Section; 4] = [
    Section { name: "accounts", method: "AddAccount", identity: "username", references: &[] },
    Section { name: "qos_policies", method: "CreateQoSPolicy", identity: "name", references: &[] },
    Section {
        name: "volumes",
        method: "CreateVolume",
        identity: "name",
        references: &[("account", "accountID", "accounts"), ("qosPolicy", "qosPolicyID", "qos_policies")],
    },
    Section {
        name: "access_groups",
        method: "CreateVolumeAccessGroup",
        identity: "name",
        references: &[("volumes", "volumes", "volumes")],
    },
];

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
    /// Not YAML, or a key is given twice.
    #[error("--config {}: {error}; correct it there", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        error: sim_front::yaml::SyntaxError,
    },
    /// A value that the cluster does not take.
    #[error("--config {}: line {}, column {}: {field}: {problem}; {cure}", path.display(), mark.line, mark.column)]
    Field {
        /// The file.
        path: PathBuf,
        /// Where.
        mark: Mark,
        /// Where in the document, such as `volumes[1].account`.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
}

/// A cluster that a file declares, as far as can be told without making it.
#[derive(Debug)]
pub struct Declaration {
    path: PathBuf,
    /// Its name.
    pub name: Option<String>,
    /// Where the API listens.
    pub mvip: Option<SocketAddr>,
    /// Where iSCSI listens.
    pub svip: Option<SocketAddr>,
    /// Who may log in besides the administrator of the flags.
    pub admins: Vec<User>,
    records: Vec<(Section, Vec<Tree>)>,
}

impl Declaration {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DeclarationError`] for what can be told without making the cluster.
    pub fn read(path: &Path) -> Result<Self, DeclarationError> {
        let text = fs::read_to_string(path)
            .map_err(|source| DeclarationError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DeclarationError> {
        let syntax = |error| DeclarationError::Syntax { path: path.to_owned(), error };
        let tree = Tree::parse(text).map_err(syntax)?;
        let (path, records) = (path.to_owned(), Vec::new());
        let mut read = Self { path, name: None, mvip: None, svip: None, admins: Vec::new(), records };
        let entries = read.entries(tree, "the document")?;
        for Entry { key, mark, value } in entries {
            match (key.as_str(), SECTIONS.iter().find(|section| section.name == key)) {
                ("cluster", _) => read.take_cluster(value)?,
                ("admins", _) => read.take_admins(value)?,
                (_, Some(section)) => {
                    let listed = read.listed(section.name, value)?;
                    read.admit_once(section, &listed)?;
                    read.records.push((*section, listed));
                }
                _ => {
                    return Err(read.wrong(mark, &key, "no such key", format!("known are {}", known_keys())));
                }
            }
        }
        Ok(read)
    }

    /// Makes everything in an empty cluster.
    ///
    /// # Errors
    /// [`DeclarationError::Field`] for the first record that the cluster does not take.
    pub fn build(&self, state: &mut State) -> Result<(), DeclarationError> {
        for section in &SECTIONS {
            for (number, record) in self.section(section.name).iter().enumerate() {
                let place = format!("{}[{number}]", section.name);
                let params = self.params(state, section, record, &place)?;
                let (request, unused) = decode_call(section.method, params)
                    .map_err(|error| self.refused(section, record, &place, &error))?;
                if let Some(field) = unused.keys().next() {
                    let cure = format!("take it out; the fields are those of {}", section.method);
                    let field_place = format!("{place}.{field}");
                    return Err(self.wrong(record.place_of(field), &field_place, "no such field", cure));
                }
                let outcome = state.execute(request, Timestamp::now(), &Nothing);
                outcome.reply.map_err(|error| self.refused(section, record, &place, &error))?;
            }
        }
        Ok(())
    }

    fn section(&self, name: &str) -> &[Tree] {
        let found = self.records.iter().find(|(section, _)| section.name == name);
        found.map_or(&[], |(_, records)| records)
    }

    /// A record as parameters of its method: names of other records become their numbers.
    fn params(
        &self,
        state: &State,
        section: &Section,
        record: &Tree,
        place: &str,
    ) -> Result<Map<String, Value>, DeclarationError> {
        let Value::Object(mut params) = plain(record) else { return Ok(Map::new()) };
        for (field, parameter, of) in section.references {
            let Some(given) = params.shift_remove(*field) else { continue };
            let found = match &given {
                Value::Array(names) => names.iter().map(|name| number_of(state, of, name)).collect(),
                name => number_of(state, of, name),
            };
            let unknown = || {
                let cure = format!("declare it under `{of}`, or correct the name");
                self.wrong(
                    record.place_of(field),
                    &format!("{place}.{field}"),
                    "there is none of that name",
                    cure,
                )
            };
            params.insert((*parameter).to_owned(), found.ok_or_else(unknown)?);
        }
        Ok(params)
    }

    fn take_cluster(&mut self, value: Tree) -> Result<(), DeclarationError> {
        for Entry { key, mark, value } in self.entries(value, "cluster")? {
            let text = value.text().unwrap_or_default();
            let place = format!("cluster.{key}");
            let address = || {
                let cure = "write ADDRESS:PORT, such as 192.168.0.239:443".to_owned();
                text.parse().map_err(|_| self.wrong(value.mark, &place, "no address", cure))
            };
            match key.as_str() {
                "name" if !text.is_empty() => self.name = Some(text),
                "name" => {
                    return Err(self.wrong(value.mark, &place, "no text", "write a name".to_owned()));
                }
                "mvip" => self.mvip = Some(address()?),
                "svip" => self.svip = Some(address()?),
                _ => {
                    let cure = "known are name, mvip, svip".to_owned();
                    return Err(self.wrong(mark, &place, "no such key", cure));
                }
            }
        }
        Ok(())
    }

    fn take_admins(&mut self, value: Tree) -> Result<(), DeclarationError> {
        for (number, record) in self.listed("admins", value)?.into_iter().enumerate() {
            let place = format!("admins[{number}]");
            let required = |field: &str| {
                record.text_at(field).filter(|text| !text.is_empty()).ok_or_else(|| {
                    let cure = format!("write `{field}: …`");
                    self.wrong(record.place_of(field), &format!("{place}.{field}"), "missing", cure)
                })
            };
            let user = User { name: required("username")?, password: Password::new(required("password")?) };
            let twice = self.admins.iter().any(|known| known.name == user.name);
            if twice || user.name.contains(':') {
                let (problem, cure) = match twice {
                    true => ("declared already", "give this one another name"),
                    false => ("a name with a colon cannot log in", "write it without"),
                };
                let field = format!("{place}.username");
                return Err(self.wrong(record.place_of("username"), &field, problem, cure.to_owned()));
            }
            self.admins.push(user);
        }
        Ok(())
    }

    fn entries(&self, tree: Tree, place: &str) -> Result<Vec<Entry>, DeclarationError> {
        match tree.node {
            Node::Map(entries) => Ok(entries),
            Node::Scalar(Value::Null) => Ok(Vec::new()),
            _ => {
                let cure = format!("begin with a key; at the top, known are {}", known_keys());
                Err(self.wrong(tree.mark, place, "no mapping of keys", cure))
            }
        }
    }

    fn listed(&self, name: &str, value: Tree) -> Result<Vec<Tree>, DeclarationError> {
        let items = match value.node {
            Node::List(items) => items,
            Node::Scalar(Value::Null) => Vec::new(),
            _ => {
                return Err(self.wrong(
                    value.mark,
                    name,
                    "no list",
                    "begin each record with `- `".to_owned(),
                ));
            }
        };
        match items.iter().enumerate().find(|(_, item)| !matches!(item.node, Node::Map(_))) {
            Some((number, item)) => {
                let cure = "write fields, such as `name: …`".to_owned();
                Err(self.wrong(item.mark, &format!("{name}[{number}]"), "no mapping of fields", cure))
            }
            None => Ok(items),
        }
    }

    /// No two records go by the same name: the API would allow it, but nothing could then refer to them.
    fn admit_once(&self, section: &Section, records: &[Tree]) -> Result<(), DeclarationError> {
        let mut seen = BTreeMap::new();
        for (number, record) in records.iter().enumerate() {
            let Some(name) = record.text_at(section.identity) else { continue };
            if let Some(first) = seen.insert(name.clone(), record.mark.line) {
                let place = format!("{}[{number}].{}", section.name, section.identity);
                let problem = format!("`{name}` is declared already at line {first}");
                let cure = "give this one another name, or take one of them out".to_owned();
                return Err(self.wrong(record.place_of(section.identity), &place, problem, cure));
            }
        }
        Ok(())
    }

    fn refused(&self, section: &Section, record: &Tree, place: &str, error: &ApiError) -> DeclarationError {
        let problem = error.to_string().trim_end_matches('.').to_owned();
        // The API says which parameter it is by beginning with its name.
        let said = |word: &str| word.split(['.', ':']).next().unwrap_or_default().to_owned();
        let first = problem.split([' ', '=']).map(said).find(|word| has(record, word));
        let (field, mark) = match first {
            Some(field) => (format!("{place}.{field}"), record.place_of(&field)),
            None => (place.to_owned(), record.mark),
        };
        let cure = match error {
            ApiError::ExceededLimit { .. } => "declare fewer".to_owned(),
            _ => format!("write what {} takes", section.method),
        };
        self.wrong(mark, &field, problem, cure)
    }

    fn wrong(&self, mark: Mark, field: &str, problem: impl Into<String>, cure: String) -> DeclarationError {
        let (path, field, problem) = (self.path.clone(), field.to_owned(), problem.into());
        DeclarationError::Field { path, mark, field, problem, cure }
    }
}

/// The keys of a declaration, for a message.
fn known_keys() -> String {
    let single = ["cluster", "admins"];
    single.into_iter().chain(SECTIONS.iter().map(|section| section.name)).collect::<Vec<_>>().join(", ")
}

fn has(record: &Tree, field: &str) -> bool {
    matches!(&record.node, Node::Map(entries) if entries.iter().any(|entry| entry.key == field))
}

fn plain(tree: &Tree) -> Value {
    match &tree.node {
        Node::Scalar(value) => value.clone(),
        Node::List(items) => items.iter().map(plain).collect(),
        Node::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), plain(&entry.value))).collect())
        }
    }
}

/// The number of the record of that name.
fn number_of(state: &State, section: &str, name: &Value) -> Option<Value> {
    let name = name.as_str()?;
    let found = match section {
        "accounts" => state.accounts().find(|account| account.username == name)?.id.0,
        "qos_policies" => state.policies.values().find(|policy| policy.name == name)?.id.0,
        _ => state.volumes().find(|volume| volume.name == name)?.id.0,
    };
    Some(found.into())
}

/// A data plane that does not exist yet.
struct Nothing;

impl DataPlaneView for Nothing {
    fn allocated(&self, _volume: VolumeId) -> u64 {
        0
    }

    fn sessions(&self) -> usize {
        0
    }

    fn traffic(&self, _volume: VolumeId) -> (Traffic, u64) {
        Default::default()
    }

    fn cluster_traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn cluster_iops(&self) -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let address = "127.0.0.1:1".parse().unwrap();
        State::new("test", address, address, 1)
    }

    fn declared(text: &str) -> Result<State, DeclarationError> {
        let mut state = state();
        Declaration::parse(Path::new("lab.yaml"), text)?.build(&mut state)?;
        Ok(state)
    }

    const LAB: &str = "
cluster: {name: lab, svip: 127.0.0.1:3260}
admins:
  - {username: ops, password: secret-of-ops}
accounts:
  - {username: tenant, initiatorSecret: initiator-sec, targetSecret: target-secret}
qos_policies:
  - {name: gold, qos: {minIOPS: 1000, maxIOPS: 2000, burstIOPS: 4000}}
access_groups:
  - {name: nodes, initiators: ['iqn.2026-11.example:a'], volumes: [data]}
volumes:
  - {name: data, account: tenant, totalSize: 2000000000, qosPolicy: gold, enable512e: true}
";

    #[test]
    fn a_declared_cluster_has_what_the_file_says_whatever_the_order_of_its_keys() {
        let file = Declaration::parse(Path::new("lab.yaml"), LAB).unwrap();
        assert_eq!((file.name.as_deref(), file.mvip), (Some("lab"), None));
        assert_eq!(file.admins[0].name, "ops");
        let mut state = state();
        file.build(&mut state).unwrap();
        let volume = state.volumes().next().unwrap();
        assert_eq!((volume.name.as_str(), volume.qos.max_iops(), volume.groups.len()), ("data", 2000, 1));
        assert_eq!(volume.open_to.len(), 1);
        let account = state.accounts().next().unwrap();
        assert_eq!(account.initiator_secret.expose(), "initiator-sec");
    }

    #[test]
    fn a_mistake_is_told_with_file_place_and_cure() {
        for (text, said) in [
            (
                "volume: []",
                ["line 1, column 1", "volume: no such key", "known are cluster, admins, accounts"],
            ),
            (
                "accounts:\n  - {username: a}\nvolumes:\n  - name: v\n    account: b\n    totalSize: 1000000000",
                ["line 5, column 5", "volumes[0].account: there is none", "declare it under `accounts`"],
            ),
            (
                "accounts:\n  - {username: a}\nvolumes:\n  - name: v\n    account: a\n    totalSize: 5",
                [
                    "line 6, column 5",
                    "volumes[0].totalSize: totalSize 5 is not in",
                    "what CreateVolume takes",
                ],
            ),
            (
                "accounts:\n  - {username: a}\n  - {username: a}",
                ["line 3, column", "`a` is declared already at line 2", "another name"],
            ),
            (
                "accounts:\n  - username: a\n    colour: red",
                ["line 3, column 5", "accounts[0].colour: no such field", "those of AddAccount"],
            ),
            ("cluster: {svip: here}", ["line 1", "cluster.svip: no address", "ADDRESS:PORT"]),
            ("admins: [{username: a}]", ["line 1", "admins[0].password: missing", "write `password"]),
            ("a: [", ["line", "lab.yaml", "correct it there"]),
        ] {
            let error = declared(text).err().unwrap().to_string();
            assert!(said.iter().all(|part| error.contains(part)), "{text}\n{error}");
        }
    }
}
