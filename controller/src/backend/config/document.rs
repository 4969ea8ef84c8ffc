//! A backend file as a document whose every fault has a line and a column.
//!
//! serde_json says where the syntax breaks; past that, a second walk over the same text remembers
//! where each field stands, so that a fault of meaning is as easy to find as one of syntax.

use std::collections::BTreeMap;

use contract::Secret;
use serde_json::{Map, Value};

/// Where a field stands, both counted from 1, columns in bytes as serde_json counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A backend file that cannot be used: one line, `file:line:column: what: cure`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {fault}", .position.line, .position.column)]
pub struct ConfigError {
    /// Name of the file as the administrator gave it.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// What is wrong there, and the cure.
    pub fault: Fault,
}

/// What is wrong with a backend file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not UTF-8.
    #[error("not UTF-8 text: save the file as UTF-8")]
    NotText,
    /// A `#` or `//` comment.
    #[error("JSON has no comments: delete the text from `{mark}` to the end of the line")]
    Comment {
        /// The characters that open it.
        mark: &'static str,
    },
    /// The syntax breaks here.
    #[error("not valid JSON ({reason}): correct the syntax here or just before")]
    Syntax {
        /// The parser's reason.
        reason: String,
    },
    /// The document is not an object.
    #[error("the file holds {found}, not a JSON object: start it with `{{`")]
    NotAnObject {
        /// What it holds.
        found: &'static str,
    },
    /// A field stands twice in one object.
    #[error("{field} stands twice: keep one of them")]
    Duplicate {
        /// The field.
        field: String,
    },
    /// No driver knows the field.
    #[error("{field} is not a field of {driver}: {cure}")]
    UnknownField {
        /// The field.
        field: String,
        /// The driver.
        driver: &'static str,
        /// "did you mean …", or "delete it".
        cure: String,
    },
    /// A field that must be there is not.
    #[error("{field} is missing: {cure}")]
    Missing {
        /// The field.
        field: String,
        /// What to write.
        cure: String,
    },
    /// A value of the wrong type.
    #[error("{field} is {found}: write {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// What stands there; never the value itself, which may be a secret.
        found: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A value that breaks a rule of its field.
    #[error("{field} {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it, and the cure.
        problem: String,
    },
    /// No such driver.
    #[error("storageDriverName `{name}` is not known: write one of ontap-nas, ontap-san, solidfire-san")]
    UnknownDriver {
        /// The name given.
        name: String,
    },
    /// A driver this build does not have.
    #[error(
        "storageDriverName `{name}` is not supported yet: use one of ontap-nas, ontap-san, solidfire-san"
    )]
    UnsupportedDriver {
        /// The name given.
        name: String,
    },
    /// A documented setting this build cannot honour.
    #[error("{field} is not supported yet with this value: {cure}")]
    Unsupported {
        /// The field.
        field: String,
        /// What to write instead.
        cure: String,
    },
}

/// The text of a backend file and where its fields stand. Keys are JSON pointers (RFC 6901).
#[derive(Debug, Clone)]
pub(super) struct Document {
    file: String,
    positions: BTreeMap<String, Position>,
}

impl Document {
    /// Parses `content`; `file` names it in every error.
    pub(super) fn parse(file: &str, content: &[u8]) -> Result<(Self, Map<String, Value>), ConfigError> {
        let start = Position { line: 1, column: 1 };
        let fault_at = |position, fault| ConfigError { file: file.to_owned(), position, fault };
        let text = std::str::from_utf8(content).map_err(|_| fault_at(start, Fault::NotText))?;
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let position = Position { line: error.line().max(1), column: error.column().max(1) };
            fault_at(position, syntax_fault(text, position, &error))
        })?;
        let mut walk =
            Walk { text: text.as_bytes(), at: 0, line: 1, line_start: 0, positions: BTreeMap::new() };
        walk.value("").map_err(|(position, fault)| fault_at(position, fault))?;
        match value {
            Value::Object(fields) => Ok((Self { file: file.to_owned(), positions: walk.positions }, fields)),
            other => Err(fault_at(start, Fault::NotAnObject { found: kind_of(&other) })),
        }
    }

    /// An error at the field of `pointer`, or at the nearest object around it that is there.
    pub(super) fn error_at(&self, pointer: &str, fault: Fault) -> ConfigError {
        let mut pointer = pointer;
        let position = loop {
            if let Some(position) = self.positions.get(pointer) {
                break *position;
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = pointer.get(..cut).unwrap_or_default(),
                None => break Position { line: 1, column: 1 },
            }
        };
        ConfigError { file: self.file.clone(), position, fault }
    }
}

fn syntax_fault(text: &str, position: Position, error: &serde_json::Error) -> Fault {
    let line = text.lines().nth(position.line - 1).unwrap_or_default();
    let from_here = line.get(position.column - 1..).unwrap_or_default();
    if from_here.starts_with('#') {
        return Fault::Comment { mark: "#" };
    }
    if from_here.starts_with("//") {
        return Fault::Comment { mark: "//" };
    }
    // serde_json appends its own " at line … column …".
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
    Fault::Syntax { reason }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One walk over text that serde_json has accepted (nesting is bounded by its limit of 128).
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    line_start: usize,
    positions: BTreeMap<String, Position>,
}

impl Walk<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn blank(&mut self) {
        while self.peek().is_ascii_whitespace() {
            if self.peek() == b'\n' {
                self.line += 1;
                self.line_start = self.at + 1;
            }
            self.at += 1;
        }
    }

    fn position(&self) -> Position {
        Position { line: self.line, column: self.at - self.line_start + 1 }
    }

    /// The text of a string, escapes decoded.
    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while self.at < self.text.len() && self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        self.text
            .get(start..self.at)
            .and_then(|quoted| serde_json::from_slice(quoted).ok())
            .unwrap_or_default()
    }

    fn value(&mut self, pointer: &str) -> Result<(), (Position, Fault)> {
        self.blank();
        self.positions
            .entry(pointer.to_owned())
            .or_insert(Position { line: self.line, column: self.at - self.line_start + 1 });
        match self.peek() {
            b'{' => self.object(pointer),
            b'[' => self.list(pointer),
            b'"' => {
                self.string();
                Ok(())
            }
            _ => {
                while !matches!(self.peek(), b',' | b']' | b'}' | 0) && !self.peek().is_ascii_whitespace() {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, pointer: &str) -> Result<(), (Position, Fault)> {
        self.at += 1;
        loop {
            self.blank();
            match self.peek() {
                b'"' => {
                    let position = self.position();
                    let field = self.string();
                    let below = format!("{pointer}/{}", field.replace('~', "~0").replace('/', "~1"));
                    if self.positions.insert(below.clone(), position).is_some() {
                        return Err((position, Fault::Duplicate { field }));
                    }
                    self.blank();
                    self.at += 1; // the colon
                    self.value(&below)?;
                }
                b',' => self.at += 1,
                _ => break,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn list(&mut self, pointer: &str) -> Result<(), (Position, Fault)> {
        self.at += 1;
        let mut index = 0_usize;
        loop {
            self.blank();
            match self.peek() {
                b']' | 0 => break,
                b',' => self.at += 1,
                _ => {
                    self.value(&format!("{pointer}/{index}"))?;
                    index += 1;
                }
            }
        }
        self.at += 1;
        Ok(())
    }
}

/// A JSON value read as `Self`. Published samples write numbers and booleans as strings.
pub(super) trait Scalar: Sized {
    const EXPECTED: &'static str;
    fn read(value: &Value) -> Option<Self>;
}

impl Scalar for String {
    const EXPECTED: &'static str = "a string in double quotes";
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Scalar for Secret {
    const EXPECTED: &'static str = "a string in double quotes";
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(|text| Self::new(text.to_owned()))
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for u64 {
    const EXPECTED: &'static str = "a whole number";
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for Vec<String> {
    const EXPECTED: &'static str = "a list of strings";
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

impl Scalar for Vec<Value> {
    const EXPECTED: &'static str = "a list";
    fn read(value: &Value) -> Option<Self> {
        value.as_array().cloned()
    }
}

impl Scalar for Map<String, Value> {
    const EXPECTED: &'static str = "an object";
    fn read(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}
