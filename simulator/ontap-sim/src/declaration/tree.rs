//! A YAML document with the place of every value, so that a mistake is told where it was made.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

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

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) node: Node,
    pub(super) mark: Mark,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Node {
    /// Text, number, boolean or nothing.
    Scalar(Value),
    /// A sequence.
    List(Vec<Tree>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) value: Tree,
}

/// Scalars are not shown: some are passwords.
impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(_) => formatter.write_str("Scalar"),
            Self::List(items) => formatter.debug_list().entries(items).finish(),
            Self::Map(entries) => {
                formatter.debug_map().entries(entries.iter().map(|entry| (&entry.key, &entry.value))).finish()
            }
        }
    }
}

impl Tree {
    /// The text of a scalar; numbers as they print.
    pub(super) fn text(&self) -> Option<String> {
        match &self.node {
            Node::Scalar(Value::String(text)) => Some(text.clone()),
            Node::Scalar(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The text at a dotted path: keys may be nested or dotted, and a reference may be a plain name.
    pub(super) fn text_at(&self, path: &str) -> Option<String> {
        match self.descend(path) {
            (tree, "" | "name") => tree.text(),
            _ => None,
        }
    }

    /// As far as the file goes towards a field that the API names, and what is left of the path.
    pub(super) fn descend<'p>(&self, path: &'p str) -> (&Tree, &'p str) {
        let Node::Map(entries) = &self.node else { return (self, path) };
        let leads = |entry: &Entry| {
            let rest = path.strip_prefix(entry.key.as_str())?;
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
        };
        match entries.iter().find_map(|entry| leads(entry).map(|rest| (entry, rest))) {
            Some((entry, "")) => (&entry.value, ""),
            Some((entry, rest)) => entry.value.descend(rest),
            None => (self, path),
        }
    }

    /// Where a field that the API names is, or would be.
    pub(super) fn place_of(&self, path: &str) -> Mark {
        if let Node::Map(entries) = &self.node
            && let Some(entry) = entries.iter().find(|entry| entry.key == path)
        {
            return entry.mark;
        }
        self.descend(path).0.mark
    }

    /// The body that the API would be sent.
    pub(super) fn to_body(&self) -> Value {
        self.body_under("")
    }

    fn body_under(&self, key: &str) -> Value {
        let leaf = key.rsplit('.').next().unwrap_or(key);
        match &self.node {
            Node::Scalar(value) if REFERENCES.contains(&leaf) => named("name", value),
            Node::Scalar(value) if leaf == "clients" => named("match", value),
            Node::Scalar(value) => value.clone(),
            Node::List(items) => items.iter().map(|item| item.body_under(key)).collect(),
            Node::Map(entries) => {
                let member = |entry: &Entry| (entry.key.clone(), entry.value.body_under(&entry.key));
                Value::Object(entries.iter().map(member).collect())
            }
        }
    }
}

fn named(name: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.clone())]))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Self { mark: mark_of(&spanned), node: spanned.value })
    }
}

fn mark_of<T>(spanned: &Spanned<T>) -> Mark {
    Mark { line: spanned.referenced.line(), column: spanned.referenced.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Node::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = members.next_key::<Spanned<String>>()? {
            if entries.iter().any(|entry| entry.key == key.value) {
                return Err(A::Error::custom(format!("the key `{}` is given twice", key.value)));
            }
            let mark = mark_of(&key);
            entries.push(Entry { key: key.value, mark, value: members.next_value()? });
        }
        Ok(Node::Map(entries))
    }
}
