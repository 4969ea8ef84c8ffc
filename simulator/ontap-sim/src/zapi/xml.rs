//! XML as ONTAPI has it: elements with text or with elements in them. Attributes are read on the
//! envelope alone. What a request may hold is bounded, and entities beyond XML's own five are refused
//! (XML 1.0 §4.6), so that no document costs more than its length.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

/// Elements within elements beyond which a request is refused; the deepest call needs eight.
const DEEPEST: usize = 32;
/// Elements in one request.
const MOST_ELEMENTS: usize = 20_000;

/// Why a request is no XML of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum XmlError {
    /// Not well-formed.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// An entity that only a document type could define, or a document type that defines some.
    #[error("entity declarations and references are not supported")]
    Entity,
    /// Deeper or larger than any call.
    #[error("more than {MOST_ELEMENTS} elements or deeper than {DEEPEST}")]
    TooLarge,
    /// Nothing, or more than one element, at the top.
    #[error("not one element")]
    NotOne,
}

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name, without namespace prefix.
    pub(super) name: String,
    /// Its attributes.
    pub(super) attributes: Vec<(String, String)>,
    /// Its text, trimmed.
    pub(super) text: String,
    /// The elements in it.
    pub(super) children: Vec<Self>,
}

impl Element {
    /// An empty element.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// An element with text.
    pub(super) fn leaf(name: &str, text: impl ToString) -> Self {
        Self { text: text.to_string(), ..Self::new(name) }
    }

    /// An element with elements in it.
    pub(super) fn of(name: &str, children: Vec<Self>) -> Self {
        Self { children, ..Self::new(name) }
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The elements at a path such as `volume-id-attributes/name`.
    pub(super) fn all(&self, path: &str) -> Vec<&Self> {
        path.split('/').fold(vec![self], |level, part| {
            level
                .into_iter()
                .flat_map(|element| element.children.iter().filter(|child| child.name == part))
                .collect()
        })
    }

    /// The first element at a path.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        self.all(path).into_iter().next()
    }

    /// The text of the first element at a path, unless it is empty.
    pub(super) fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).map(|element| element.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Puts `leaf` below the elements of a path, which are made where they are missing.
    pub(super) fn insert(&mut self, path: &[&str], leaf: Self) {
        let Some((head, rest)) = path.split_first() else { return self.children.push(leaf) };
        let place = self.children.iter().position(|child| child.name == *head);
        match place.and_then(|place| self.children.get_mut(place)) {
            Some(child) => child.insert(rest, leaf),
            None => {
                let mut child = Self::new(head);
                child.insert(rest, leaf);
                self.children.push(child);
            }
        }
    }

    /// Writes the element at the end of `out`.
    pub(super) fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
        if self.text.is_empty() && self.children.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        out.push_str(&escaped(&self.text));
        for child in &self.children {
            child.write(out);
        }
        out.push_str(&format!("</{}>", self.name));
    }
}

/// Without the characters that XML 1.0 cannot hold at all (§2.2).
fn escaped(text: &str) -> String {
    let legal: String = text.chars().filter(|c| !c.is_control() || "\t\n\r".contains(*c)).collect();
    escape(legal.as_str()).into_owned()
}

/// Reads a document.
///
/// # Errors
/// [`XmlError`].
pub(super) fn parse(text: &str) -> Result<Element, XmlError> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let (mut root, mut elements) = (None, 0_usize);
    loop {
        let event = reader.read_event().map_err(|error| XmlError::Malformed(error.to_string()))?;
        let closed = match event {
            Event::Start(start) => {
                open.push(opened(&start)?);
                None
            }
            Event::Empty(start) => Some(opened(&start)?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                append(&mut open, &text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                append(&mut open, &text.xml10_content())?;
                None
            }
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| XmlError::Entity)?;
                match character {
                    Some(character) => append(&mut open, character.encode_utf8(&mut [0; 4]))?,
                    None => {
                        let name = reference.xml10_content();
                        append(&mut open, resolve_predefined_entity(&name).ok_or(XmlError::Entity)?)?;
                    }
                }
                None
            }
            // Clients name the array's DTD; what it would define here is refused.
            Event::DocType(kind) if kind.contains('[') => return Err(XmlError::Entity),
            Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::Eof => break,
        };
        if let Some(mut element) = closed {
            element.text = element.text.trim().to_owned();
            elements = elements.saturating_add(1);
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None if root.is_some() => return Err(XmlError::NotOne),
                None => root = Some(element),
            }
        }
        if open.len() > DEEPEST || elements > MOST_ELEMENTS {
            return Err(XmlError::TooLarge);
        }
    }
    if open.is_empty() { root.ok_or(XmlError::NotOne) } else { Err(XmlError::Malformed("unclosed".into())) }
}

fn opened(start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let name = start.local_name();
    let mut element = Element::new(name.as_ref());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Malformed(error.to_string()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| XmlError::Entity)?;
        element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// Text outside of every element is blank, or it is no XML.
fn append(open: &mut [Element], text: &str) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(XmlError::NotOne),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut element = Element::of("a", vec![Element::leaf("b", "x < y & \"z\""), Element::new("c")]);
        element.attributes.push(("k".into(), "<v>".into()));
        let mut text = String::new();
        element.write(&mut text);
        assert_eq!(parse(&text), Ok(element));
    }

    #[test]
    fn an_entity_is_neither_declared_nor_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"lol\">]><a>&x;</a>";
        assert_eq!(parse(bomb), Err(XmlError::Entity));
        assert_eq!(parse("<a>&x;</a>"), Err(XmlError::Entity));
        assert_eq!(parse("<a b=\"&x;\"/>"), Err(XmlError::Entity));
        let named =
            "<?xml version='1.0'?><!DOCTYPE netapp SYSTEM 'file:/etc/netapp_filer.dtd'><a>&lt;&#65;</a>";
        assert_eq!(parse(named), Ok(Element::leaf("a", "<A")));
    }

    #[test]
    fn what_is_deeper_or_larger_than_any_call_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(DEEPEST + 1), "</a>".repeat(DEEPEST + 1));
        assert_eq!(parse(&deep), Err(XmlError::TooLarge));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MOST_ELEMENTS + 1));
        assert_eq!(parse(&wide), Err(XmlError::TooLarge));
    }

    #[test]
    fn what_is_not_one_whole_element_is_refused() {
        for bad in ["", "text", "<a>", "<a/><b/>", "<a></b>", "</a>", "<a/>text"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
