//! The `*-iter` calls: records from a collection of the management API, narrowed by `query`, trimmed to
//! `desired-attributes`, in pages of `max-records` joined by `tag` and `next-tag`.

use serde_json::Value;

use super::failure::Failure;
use super::field::{Column, Form};
use super::xml::Element;
use crate::management::{Management, Source, href};
use crate::rest::satisfies;

/// Records in one page when the client does not say.
const DEFAULT_PAGE: usize = 20;

/// What an `*-iter` call lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    /// The collection.
    pub(super) source: Source,
    /// Name of the element of a record.
    pub(super) record: &'static str,
    /// What is in it.
    pub(super) columns: &'static [Column],
}

impl Listing {
    /// Answers an `*-iter` request.
    ///
    /// # Errors
    /// [`Failure`] of the collection, or for a `max-records` that is no number.
    pub(super) fn answer(
        &self,
        management: &mut Management<'_>,
        request: &Element,
    ) -> Result<Vec<Element>, Failure> {
        let page = match request.text_at("max-records") {
            Some(text) => text.parse().map_err(|_| Failure::invalid_input("max-records", text))?,
            None => DEFAULT_PAGE,
        };
        let queries = query_leaves(request, self.record);
        let mut found = self.find(management, &queries)?;
        // A tag is the place of the record that ended the last page, or would stand there were it not deleted.
        if let Some(tag) = request.text_at("tag") {
            match found.iter().position(|(place, _)| place == tag) {
                Some(last) => drop(found.drain(..=last)),
                None => found.retain(|(place, _)| place.as_str() > tag),
            }
        }
        let more = found.len() > page;
        found.truncate(page.max(1));
        let next = found.last().filter(|_| more).map(|(place, _)| Element::leaf("next-tag", place));
        let desired = request.at("desired-attributes").and_then(|desired| desired.at(self.record));
        let records: Vec<_> = found
            .into_iter()
            .map(|(_, record)| desired.map_or_else(|| record.clone(), |desired| trimmed(&record, desired)))
            .collect();
        let number = Element::leaf("num-records", records.len());
        let list = (!records.is_empty()).then(|| Element::of("attributes-list", records));
        Ok(list.into_iter().chain(next).chain([number]).collect())
    }

    /// The records that match any of the queries, with the place of each.
    ///
    /// # Errors
    /// [`Failure`] of the collection.
    pub(super) fn find(
        &self,
        management: &mut Management<'_>,
        queries: &[Leaves],
    ) -> Result<Vec<(String, Element)>, Failure> {
        let sources = self.sources(management, queries)?;
        let mut records = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let record = self.shown(source);
            if queries.is_empty() || queries.iter().any(|leaves| matches(&record, leaves)) {
                let place = match href(source) {
                    "" => format!("{index:010}"),
                    place => place.to_owned(),
                };
                records.push((place, record));
            }
        }
        Ok(records)
    }

    /// The element that shows a record of the management API.
    pub(super) fn shown(&self, source: &Value) -> Element {
        let mut record = Element::new(self.record);
        for column in self.columns {
            column.show(source, &mut record);
        }
        record
    }

    fn sources(&self, management: &mut Management<'_>, queries: &[Leaves]) -> Result<Vec<Value>, Failure> {
        let narrowed = self.narrowed(queries);
        let narrowed: Vec<_> = narrowed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match self.source {
            Source::Collection(path) => Ok(management.records(path, &narrowed)?),
            Source::Where(path, conditions) => {
                Ok(management.records(path, &[conditions, narrowed.as_slice()].concat())?)
            }
            Source::Within { parent, child, column } => {
                let name = single(queries).and_then(|leaves| leaves.iter().find(|(at, _)| at == column));
                let name: Vec<_> = name.map(|(_, value)| ("name", value.as_str())).into_iter().collect();
                Ok(management.records_within(parent, child, &name)?)
            }
        }
    }

    /// What of the queries the collection itself can answer: both sides have the same operators. The rest is
    /// matched on the records.
    fn narrowed(&self, queries: &[Leaves]) -> Vec<(&'static str, String)> {
        let leaves = single(queries).map(Vec::as_slice).unwrap_or_default();
        let pushed = |(at, pattern): &(String, String)| {
            let column = self.columns.iter().find(|column| column.at == at)?;
            matches!(column.form, Form::Plain).then(|| (column.field, pattern.clone()))
        };
        leaves.iter().filter_map(pushed).collect()
    }
}

/// What a query asks: the path of each leaf and the pattern it must match.
pub(super) type Leaves = Vec<(String, String)>;

fn single(queries: &[Leaves]) -> Option<&Leaves> {
    match queries {
        [one] => Some(one),
        _ => None,
    }
}

/// The queries of a request, one for each record element in `query`; any of them may match.
pub(super) fn query_leaves(request: &Element, record: &str) -> Vec<Leaves> {
    request.all("query").into_iter().flat_map(|query| query.all(record)).map(leaves).collect()
}

/// The leaves of a query that say something.
fn leaves(query: &Element) -> Leaves {
    fn collect(element: &Element, path: &str, leaves: &mut Leaves) {
        for child in &element.children {
            let path = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            if !child.text.is_empty() {
                leaves.push((path.clone(), child.text.clone()));
            }
            collect(child, &path, leaves);
        }
    }
    let mut leaves = Vec::new();
    collect(query, "", &mut leaves);
    leaves
}

fn matches(record: &Element, leaves: &Leaves) -> bool {
    leaves.iter().all(|(path, pattern)| {
        let values: Vec<Value> = record
            .all(path)
            .iter()
            .map(|element| {
                element.text.parse::<i64>().map_or_else(|_| element.text.as_str().into(), Value::from)
            })
            .collect();
        satisfies(pattern, &values.iter().collect::<Vec<_>>())
    })
}

/// What of a record is desired; an empty element desires all that is in it.
fn trimmed(record: &Element, desired: &Element) -> Element {
    if desired.children.is_empty() {
        return record.clone();
    }
    let children = record
        .children
        .iter()
        .filter_map(|child| desired.at(&child.name).map(|desired| trimmed(child, desired)))
        .collect();
    Element { children, ..record.clone() }
}
