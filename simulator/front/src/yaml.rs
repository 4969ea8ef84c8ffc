//! A YAML document with the place of every value, so that a mistake is told where it was made.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the file.
    pub line: u64,
    /// Of the line.
    pub column: u64,
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The value.
    pub node: Node,
    /// Where it begins.
    pub mark: Mark,
}

/// What a value is.
#[derive(Clone)]
pub enum Node {
    /// Text, number, boolean or nothing.
    Scalar(Value),
    /// A sequence.
    List(Vec<Tree>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where it begins.
    pub mark: Mark,
    /// What it is given.
    pub value: Tree,
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

/// A text that is no YAML, or gives a key twice. It shows nothing of the text: some of it may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {reason}", mark.line, mark.column)]
pub struct SyntaxError {
    /// Where.
    pub mark: Mark,
    /// The parser's reason.
    pub reason: String,
}

impl Tree {
    /// Reads a document.
    ///
    /// # Errors
    /// [`SyntaxError`].
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            let mark = Mark {
                line: place.map_or(1, |place| place.line()),
                column: place.map_or(1, |place| place.column()),
            };
            SyntaxError { mark, reason: reason_of(error.without_snippet()) }
        })
    }

    /// The text of a scalar; numbers as they print.
    pub fn text(&self) -> Option<String> {
        match &self.node {
            Node::Scalar(Value::String(text)) => Some(text.clone()),
            Node::Scalar(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The text at a dotted path: keys may be nested or dotted, and a reference may be a plain name.
    pub fn text_at(&self, path: &str) -> Option<String> {
        match self.descend(path) {
            (tree, "" | "name") => tree.text(),
            _ => None,
        }
    }

    /// As far as the file goes towards a field that the API names, and what is left of the path.
    pub fn descend<'p>(&self, path: &'p str) -> (&Tree, &'p str) {
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
    pub fn place_of(&self, path: &str) -> Mark {
        if let Node::Map(entries) = &self.node
            && let Some(entry) = entries.iter().find(|entry| entry.key == path)
        {
            return entry.mark;
        }
        self.descend(path).0.mark
    }
}

/// The first line of what the parser says, without the place, which is told before it.
fn reason_of(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).trim_start_matches("error: ").to_owned()
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
