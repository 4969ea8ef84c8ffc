//! Calls that make, change or delete one thing, described by tables.

use serde_json::Value;

use super::failure::Failure;
use super::field::{Input, members};
use super::xml::Element;
use crate::management::{Management, Members, href};

/// How the record a call is about is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Find {
    /// The record that its collection lies below, if any.
    pub(super) within: Option<&'static Self>,
    /// Its collection.
    pub(super) path: &'static str,
    /// Elements of the request and the fields that must equal them; all are required.
    pub(super) by: &'static [(&'static str, &'static str)],
    /// The error number when there is no such record.
    pub(super) missing: u32,
}

impl Find {
    /// The record, complete.
    ///
    /// # Errors
    /// [`Failure`] when an element is missing or nothing is found.
    pub(super) fn require(
        &self,
        management: &mut Management<'_>,
        request: &Element,
    ) -> Result<Value, Failure> {
        let mut fields = Vec::new();
        for (at, field) in self.by {
            fields.push((*field, request.text_at(at).ok_or_else(|| Failure::missing_input(at))?));
        }
        let path = below(management, request, self.within, self.path)?;
        let found = management.exactly(&path, &fields)?.into_iter().next();
        found.ok_or_else(|| {
            let named: Vec<_> = fields.iter().map(|(_, value)| format!("\"{value}\"")).collect();
            Failure::new(self.missing, format!("entry doesn't exist: {}", named.join(" ")))
        })
    }
}

/// A call that makes a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Creation {
    /// The record that the collection lies below, if any.
    pub(super) within: Option<&'static Find>,
    /// The collection.
    pub(super) path: &'static str,
    /// What becomes the body.
    pub(super) inputs: &'static [Input],
    /// Members that the body has always, as text.
    pub(super) fixed: &'static [(&'static str, &'static str)],
}

impl Creation {
    /// Makes the record.
    ///
    /// # Errors
    /// [`Failure`]; nothing is made then.
    pub(super) fn run(
        &self,
        management: &mut Management<'_>,
        request: &Element,
    ) -> Result<Vec<Element>, Failure> {
        let members = self.members(request)?;
        let path = below(management, request, self.within, self.path)?;
        management.create(&path, members)?;
        Ok(Vec::new())
    }

    /// The body.
    ///
    /// # Errors
    /// [`Failure`] for inputs that are missing or bad.
    pub(super) fn members(&self, request: &Element) -> Result<Members, Failure> {
        Ok(with(members(self.inputs, request)?, self.fixed))
    }
}

/// A call that changes a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Which.
    pub(super) find: Find,
    /// What becomes the body.
    pub(super) inputs: &'static [Input],
    /// Members that the body has always, as text.
    pub(super) fixed: &'static [(&'static str, &'static str)],
}

impl Change {
    /// Changes the record.
    ///
    /// # Errors
    /// [`Failure`]; nothing is changed then.
    pub(super) fn run(
        &self,
        management: &mut Management<'_>,
        request: &Element,
    ) -> Result<Vec<Element>, Failure> {
        let record = self.find.require(management, request)?;
        management.modify(href(&record), with(members(self.inputs, request)?, self.fixed))?;
        Ok(Vec::new())
    }
}

/// A call that deletes a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deletion {
    /// Which.
    pub(super) find: Find,
    /// An element that, when `true`, sets a parameter of the call.
    pub(super) force: Option<(&'static str, &'static str)>,
}

impl Deletion {
    /// Deletes the record.
    ///
    /// # Errors
    /// [`Failure`]; it is still there then.
    pub(super) fn run(
        &self,
        management: &mut Management<'_>,
        request: &Element,
    ) -> Result<Vec<Element>, Failure> {
        let record = self.find.require(management, request)?;
        let forced = self.force.filter(|(at, _)| request.text_at(at) == Some("true"));
        let flags: Vec<_> = forced.map(|(_, flag)| (flag, "true")).into_iter().collect();
        management.delete(href(&record), &flags)?;
        Ok(Vec::new())
    }
}

/// The path of a collection, which may lie below a record that the request names.
fn below(
    management: &mut Management<'_>,
    request: &Element,
    within: Option<&Find>,
    path: &str,
) -> Result<String, Failure> {
    match within {
        Some(parent) => Ok(format!("{}/{path}", href(&parent.require(management, request)?))),
        None => Ok(path.to_owned()),
    }
}

/// The members with others that are fixed.
pub(super) fn with(mut members: Members, fixed: &[(&str, &str)]) -> Members {
    members.extend(fixed.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    members
}
