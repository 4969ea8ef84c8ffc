//! From a record of the file to the body that the API would be sent.

use serde_json::{Map, Value};
use sim_front::yaml::{Entry, Node, Tree};

/// Names of the API that stand for a record somewhere else. A plain text there is that record's `name`.
const REFERENCES: [&str; 15] = [
    "aggregates",
    "broadcast_domain",
    "export_policy",
    "home_node",
    "home_port",
    "igroup",
    "initiators",
    "ipspace",
    "lun",
    "node",
    "owner",
    "service_policy",
    "snapshot_policy",
    "svm",
    "volume",
];

/// The body of a record.
pub(super) fn body_of(record: &Tree) -> Value {
    body_under(record, "")
}

fn body_under(tree: &Tree, key: &str) -> Value {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    match &tree.node {
        Node::Scalar(value) if REFERENCES.contains(&leaf) => named("name", value),
        Node::Scalar(value) if leaf == "clients" => named("match", value),
        Node::Scalar(value) => value.clone(),
        Node::List(items) => items.iter().map(|item| body_under(item, key)).collect(),
        Node::Map(entries) => {
            let member = |entry: &Entry| (entry.key.clone(), body_under(&entry.value, &entry.key));
            Value::Object(entries.iter().map(member).collect())
        }
    }
}

fn named(name: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.clone())]))
}
