//! One object of a backend file, read field by field; what is left over at the end is checked
//! against the documented fields that this build does not act on.

use serde_json::{Map, Value};

use super::document::{ConfigError, Document, Fault, Scalar, kind_of};

/// A documented field this build does not act on, and the values that ask for nothing it lacks.
pub(super) struct Inert {
    pub(super) field: &'static str,
    pub(super) accepts: Accepts,
}

/// Values that may stand in an [`Inert`] field. "Not set" (null, "", [], {}) always may.
pub(super) enum Accepts {
    /// Any: the field changes nothing about volumes.
    Anything,
    /// Only "not set".
    Nothing,
    /// One of these, written as a string, number or boolean: the defaults.
    Default(&'static [&'static str]),
}

impl Inert {
    pub(super) const fn anything(field: &'static str) -> Self {
        Self { field, accepts: Accepts::Anything }
    }
    pub(super) const fn unset(field: &'static str) -> Self {
        Self { field, accepts: Accepts::Nothing }
    }
    pub(super) const fn default(field: &'static str, values: &'static [&'static str]) -> Self {
        Self { field, accepts: Accepts::Default(values) }
    }

    fn cure_for(&self, value: &Value) -> Option<String> {
        let unset = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if unset {
            return None;
        }
        match &self.accepts {
            Accepts::Anything => None,
            Accepts::Nothing => Some("delete the field".to_owned()),
            Accepts::Default(values) => {
                let written = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let allowed = values.contains(&written.as_str());
                (!allowed).then(|| format!("write {} or delete the field", values.join(" or ")))
            }
        }
    }
}

/// An object being read.
pub(super) struct Section<'d> {
    document: &'d Document,
    pointer: String,
    /// Shown before field names in errors: `defaults.`.
    label: String,
    left: Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(super) fn new(
        document: &'d Document,
        pointer: &str,
        label: &str,
        fields: Map<String, Value>,
    ) -> Self {
        Self {
            document,
            pointer: pointer.to_owned(),
            label: label.to_owned(),
            left: fields,
            asked: Vec::new(),
        }
    }

    /// The value of `field`, if it is set.
    pub(super) fn take<T: Scalar>(&mut self, field: &'static str) -> Result<Option<T>, ConfigError> {
        self.asked.push(field);
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::read(&value) {
                Some(read) => Ok(Some(read)),
                None => Err(self.error(
                    field,
                    Fault::WrongType {
                        field: self.name(field),
                        found: kind_of(&value),
                        expected: T::EXPECTED,
                    },
                )),
            },
        }
    }

    /// A text that is not empty, if the field is set to one: published samples write `""` for "not set".
    pub(super) fn text(&mut self, field: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.take::<String>(field)?.filter(|text| !text.is_empty()))
    }

    /// The value of a field that must be there.
    pub(super) fn require<T: Scalar>(&mut self, field: &'static str, cure: &str) -> Result<T, ConfigError> {
        match self.take(field)? {
            Some(value) => Ok(value),
            None => Err(self.missing(field, cure)),
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn require_text(&mut self, field: &'static str, cure: &str) -> Result<String, ConfigError> {
        match self.text(field)? {
            Some(text) => Ok(text),
            None => Err(self.missing(field, cure)),
        }
    }

    /// A field that is not there; where another looks like a misspelling of it, that one is named.
    pub(super) fn missing(&self, field: &'static str, cure: &str) -> ConfigError {
        let misspelt = self.left.keys().find(|written| nearest(written, [field].into_iter()).is_some());
        match misspelt {
            Some(written) => {
                let problem = format!("is not a field: did you mean {}?", self.name(field));
                self.invalid(written, problem)
            }
            None => self.error(field, Fault::Missing { field: self.name(field), cure: cure.to_owned() }),
        }
    }

    /// The value of `field` through `parse`, whose error says what is wrong and the cure.
    pub(super) fn parsed<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|problem| self.invalid(field, problem)),
        }
    }

    pub(super) fn invalid(&self, field: &str, problem: String) -> ConfigError {
        self.error(field, Fault::Invalid { field: self.name(field), problem })
    }

    pub(super) fn unsupported(&self, field: &str, cure: &str) -> ConfigError {
        self.error(field, Fault::Unsupported { field: self.name(field), cure: cure.to_owned() })
    }

    pub(super) fn error(&self, field: &str, fault: Fault) -> ConfigError {
        self.document.error_at(&format!("{}/{field}", self.pointer), fault)
    }

    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.label)
    }

    /// Checks every field nobody asked for.
    pub(super) fn finish(self, driver: &'static str, inert: &[&[Inert]]) -> Result<(), ConfigError> {
        let known = || inert.iter().flat_map(|table| table.iter());
        for (field, value) in &self.left {
            match known().find(|candidate| candidate.field == field) {
                Some(candidate) => {
                    if let Some(cure) = candidate.cure_for(value) {
                        return Err(self.unsupported(field, &cure));
                    }
                }
                None => {
                    let names = self.asked.iter().copied().chain(known().map(|inert| inert.field));
                    let cure = match nearest(field, names) {
                        Some(name) => format!("did you mean {}?", self.name(name)),
                        None => "delete it".to_owned(),
                    };
                    let fault = Fault::UnknownField { field: self.name(field), driver, cure };
                    return Err(self.error(field, fault));
                }
            }
        }
        Ok(())
    }
}

/// The name that differs least from `written`, if it differs by no more than a third of it.
pub(crate) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (distance(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| distance * 3 <= written.len().max(name.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's edit distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = substituted.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
