//! What a value is called here and there: columns take fields of management API records into XML, inputs
//! take elements of a request into the members of a body.

use jiff::Timestamp;
use serde_json::Value;

use super::failure::Failure;
use super::xml::Element;
use crate::management::Members;
use crate::rest::{size_from_text, text_of, values_at};

/// A leaf of a record: where it stands in the XML and what field it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Path within the record: `volume-id-attributes/name`.
    pub(super) at: &'static str,
    /// Field of the management API: `aggregates.name`; empty when it needs none.
    pub(super) field: &'static str,
    /// How the field's value is written.
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// As it is; the first of several.
    Plain,
    /// A moment, in seconds since 1970.
    Time,
    /// Each of several values as an element of this name, or as the inner of two (`outer/inner`).
    Each(&'static str),
    /// The same for the values that ONTAPI has a word for, by that word.
    EachOf(&'static str, &'static [(&'static str, &'static str)]),
    /// By the word that ONTAPI has for it; others as they are.
    Words(&'static [(&'static str, &'static str)]),
    /// Always this.
    Always(&'static str),
    /// Whatever the whole record says.
    Computed(fn(&Value) -> Option<String>),
}

/// `at` shows `field` as it is.
pub(super) const fn plain(at: &'static str, field: &'static str) -> Column {
    Column { at, field, form: Form::Plain }
}

/// `at` shows the moment in `field`.
pub(super) const fn time(at: &'static str, field: &'static str) -> Column {
    Column { at, field, form: Form::Time }
}

/// `at` holds an element `item` for each value of `field`.
pub(super) const fn each(at: &'static str, item: &'static str, field: &'static str) -> Column {
    Column { at, field, form: Form::Each(item) }
}

/// `at` holds an element `item` for each value of `field` that is among `words`.
pub(super) const fn each_of(
    at: &'static str,
    item: &'static str,
    field: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> Column {
    Column { at, field, form: Form::EachOf(item, words) }
}

/// `at` shows `field` by other words, given as (management API, ONTAPI).
pub(super) const fn words(
    at: &'static str,
    field: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> Column {
    Column { at, field, form: Form::Words(words) }
}

/// `at` is always `text`.
pub(super) const fn always(at: &'static str, text: &'static str) -> Column {
    Column { at, field: "", form: Form::Always(text) }
}

/// `at` is computed from the record.
pub(super) const fn computed(at: &'static str, how: fn(&Value) -> Option<String>) -> Column {
    Column { at, field: "", form: Form::Computed(how) }
}

impl Column {
    /// Puts what `source` has for this column into `record`.
    pub(super) fn show(&self, source: &Value, record: &mut Element) {
        let values = values_at(source, self.field);
        let first = values.first().map(|value| text_of(value));
        let text = match self.form {
            Form::Plain => first,
            Form::Time => {
                first.and_then(|time| time.parse::<Timestamp>().ok()).map(|time| time.as_second().to_string())
            }
            Form::Words(words) => first.map(|text| {
                words.iter().find(|(theirs, _)| *theirs == text).map_or(text, |(_, ours)| (*ours).to_owned())
            }),
            Form::Always(text) => Some(text.to_owned()),
            Form::Computed(how) => how(source),
            Form::Each(item) => return self.show_each(item, values.into_iter().map(text_of), record),
            Form::EachOf(item, words) => {
                let texts = values.into_iter().filter_map(|value| {
                    let text = text_of(value);
                    words.iter().find(|(theirs, _)| *theirs == text).map(|(_, ours)| (*ours).to_owned())
                });
                return self.show_each(item, texts, record);
            }
        };
        let mut path: Vec<_> = self.at.split('/').collect();
        if let (Some(text), Some(name)) = (text, path.pop()) {
            record.insert(&path, Element::leaf(name, text));
        }
    }

    fn show_each(&self, item: &str, texts: impl Iterator<Item = String>, record: &mut Element) {
        let path: Vec<_> = self.at.split('/').collect();
        for text in texts {
            let element = match item.split_once('/') {
                Some((outer, inner)) => Element::of(outer, vec![Element::leaf(inner, text)]),
                None => Element::leaf(item, text),
            };
            record.insert(&path, element);
        }
    }
}

/// An element of a request and the member of a body that it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// Path within the request: `volume-name`.
    pub(super) at: &'static str,
    /// Member of the body.
    pub(super) field: &'static str,
    /// How the text is read.
    pub(super) kind: Kind,
    /// Whether the call cannot do without.
    pub(super) required: bool,
}

/// How the text of an input is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// As it is.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Bytes, with or without a unit.
    Size,
    /// A whole number.
    Number,
    /// The texts of the elements in it.
    Texts,
    /// The texts of the elements in it, each as an object with this one member.
    Objects(&'static str),
    /// Texts between commas, each as an object with this one member.
    Split(&'static str),
    /// By another word, given as (ONTAPI, management API).
    Words(&'static [(&'static str, &'static str)]),
    /// Unix permissions, `---rwxr-xr-x` or octal.
    Permissions,
}

/// An input that may be left out.
pub(super) const fn may(at: &'static str, field: &'static str, kind: Kind) -> Input {
    Input { at, field, kind, required: false }
}

/// An input that must be given.
pub(super) const fn must(at: &'static str, field: &'static str, kind: Kind) -> Input {
    Input { at, field, kind, required: true }
}

/// The body that a request's elements make.
///
/// # Errors
/// [`Failure`] for what is missing or cannot be read.
pub(super) fn members(inputs: &[Input], request: &Element) -> Result<Members, Failure> {
    let mut members = Members::new();
    for input in inputs {
        match request.at(input.at) {
            Some(element) => {
                members.insert(input.field.to_owned(), input.read(element)?);
            }
            None if input.required => return Err(Failure::missing_input(input.at)),
            None => {}
        }
    }
    Ok(members)
}

impl Input {
    fn read(&self, element: &Element) -> Result<Value, Failure> {
        let text = element.text.as_str();
        let invalid = || Failure::invalid_input(self.at, text);
        Ok(match self.kind {
            Kind::Text => text.into(),
            Kind::Boolean => text.to_ascii_lowercase().parse::<bool>().map_err(|_| invalid())?.into(),
            Kind::Size => {
                let bytes = size_from_text(text).and_then(|bytes| u64::try_from(bytes).ok());
                bytes.ok_or_else(invalid)?.into()
            }
            Kind::Number => text.parse::<i64>().map_err(|_| invalid())?.into(),
            Kind::Texts => element.children.iter().map(|child| Value::from(child.text.as_str())).collect(),
            Kind::Objects(member) => {
                let object = |child: &Element| serde_json::json!({ member: child.text });
                element.children.iter().map(object).collect()
            }
            Kind::Split(member) => {
                text.split(',').map(|part| serde_json::json!({ member: part.trim() })).collect()
            }
            Kind::Words(words) => {
                words.iter().find(|(ours, _)| *ours == text).map_or(text, |(_, theirs)| *theirs).into()
            }
            Kind::Permissions => permissions(text).ok_or_else(invalid)?.into(),
        })
    }
}

/// Permissions as the management API has them, octal digits in a decimal number, from `---rwxr-xr-x`, `0755`
/// or `755`.
pub(crate) fn permissions(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let letters = text.len().checked_sub(9).and_then(|start| text.get(start..))?;
    let bits =
        letters.chars().zip("rwxrwxrwx".chars()).try_fold(0_u32, |bits, (given, letter)| match given {
            '-' => Some(bits << 1),
            given if given == letter => Some(bits << 1 | 1),
            _ => None,
        })?;
    format!("{bits:o}").parse().ok()
}

/// `---rwxr-xr-x` from octal digits in a decimal number.
pub(crate) fn permission_letters(number: u64) -> Option<String> {
    let bits = u32::from_str_radix(&number.to_string(), 8).ok()?;
    let letter = |(place, letter): (usize, char)| if bits >> (8 - place) & 1 == 1 { letter } else { '-' };
    Some(format!("---{}", "rwxrwxrwx".chars().enumerate().map(letter).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_in_every_form_and_written_in_letters() {
        for text in ["---rwxr-x--x", "rwxr-x--x", "0751", "751"] {
            assert_eq!(permissions(text), Some(751), "{text}");
        }
        assert_eq!(permissions("---rwzr-xr-x"), None);
        assert_eq!(permission_letters(751).as_deref(), Some("---rwxr-x--x"));
    }
}
