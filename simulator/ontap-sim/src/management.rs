//! The management API from within. ZAPI and the shell are further skins over the same collections: they ask
//! here, in the names of the REST API, so that each rule of the array stands in one place.

use serde_json::{Map, Value};

use crate::rest::{Answer, Call, Method, SvmScope, encoded};
use crate::state::{Phase, Refusal};

/// Where a further skin's records are in the management API.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// A collection.
    Collection(&'static str),
    /// A collection, with conditions on its fields.
    Where(&'static str, &'static [(&'static str, &'static str)]),
    /// The collection `child` of each record of `parent`.
    Within {
        /// The collection of parents.
        parent: &'static str,
        /// The collection below each.
        child: &'static str,
        /// The column of the skin that shows the parent's name.
        column: &'static str,
    },
}

/// Somebody who asks the management API, possibly for one SVM alone.
pub(crate) struct Management<'a> {
    ask: &'a mut dyn FnMut(&[Call]) -> Vec<Answer>,
    svm: Option<String>,
}

/// Asks for an answer when the job has ended.
const WAITING: (&str, &str) = ("return_timeout", "120");

/// The members of a request's body; dotted names are those of the API reference.
pub(crate) type Members = Map<String, Value>;

impl<'a> Management<'a> {
    /// Asks through `ask`: calls that belong together are carried out at one instant, all of them or none.
    pub(crate) fn new(ask: &'a mut dyn FnMut(&[Call]) -> Vec<Answer>) -> Self {
        Self { ask, svm: None }
    }

    /// Narrows everything that follows to an SVM, as `X-Dot-SVM-Name` does.
    pub(crate) fn set_svm(&mut self, svm: Option<&str>) {
        self.svm = svm.map(str::to_owned);
    }

    /// The SVM everything is narrowed to.
    pub(crate) fn svm(&self) -> Option<&str> {
        self.svm.as_deref()
    }

    /// Calls the API. `query` is `name=value` pairs that are not escaped yet.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn call(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Value,
    ) -> Result<Answer, Refusal> {
        let call = self.prepared(method, path, query, body);
        self.asked(&[call]).map(|answers| answers.into_iter().next())?.ok_or_else(unanswered)
    }

    /// Makes a record in each of several collections, all at one instant; all are made or none.
    ///
    /// # Errors
    /// The first [`Refusal`] that an answer tells.
    pub(crate) fn create_together(&mut self, paths: &[String], members: &Members) -> Result<(), Refusal> {
        let call =
            |path: &String| self.prepared(Method::Post, path, &[WAITING], Value::Object(members.clone()));
        let calls: Vec<_> = paths.iter().map(call).collect();
        self.asked(&calls).map(drop)
    }

    fn prepared(&self, method: Method, path: &str, query: &[(&str, &str)], body: Value) -> Call {
        let path = path.strip_prefix("/api/").unwrap_or(path);
        let query: Vec<_> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let svm = self.svm.clone().map(SvmScope::Name);
        Call { method, path: format!("/api/{path}"), query: query.join("&"), svm, body }
    }

    fn asked(&mut self, calls: &[Call]) -> Result<Vec<Answer>, Refusal> {
        let answers = (self.ask)(calls);
        answers
            .iter()
            .find(|answer| answer.status >= 400)
            .map_or(Ok(()), |answer| Err(refusal_in(answer)))?;
        Ok(answers)
    }

    /// Every record that matches, complete. Fields of the query that the collection does not have are ignored.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn records(&mut self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Refusal> {
        let mut all =
            vec![("fields", "**"), ("max_records", "4294967295"), ("ignore_unknown_fields", "true")];
        all.extend_from_slice(query);
        let mut answer = self.call(Method::Get, path, &all, Value::Null)?;
        match answer.body.get_mut("records").map(Value::take) {
            Some(Value::Array(records)) => Ok(records),
            // A collection of one has no records around it.
            _ => Ok(vec![answer.body]),
        }
    }

    /// The records whose fields have exactly these values.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn exactly(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Vec<Value>, Refusal> {
        let quoted: Vec<_> = fields.iter().map(|(name, value)| (*name, format!("\"{value}\""))).collect();
        let query: Vec<_> = quoted.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.records(path, &query)
    }

    /// Every record of the collection `child` of each record of `parent` that matches.
    ///
    /// # Errors
    /// The [`Refusal`] that an answer tells.
    pub(crate) fn records_within(
        &mut self,
        parent: &str,
        child: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, Refusal> {
        let mut records = Vec::new();
        for parent in self.records(parent, query)? {
            records.extend(self.records(&format!("{}/{child}", href(&parent)), &[])?);
        }
        Ok(records)
    }

    /// Makes a record and waits until it is there.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn create(&mut self, path: &str, members: Members) -> Result<Answer, Refusal> {
        self.waiting(Method::Post, path, &[("return_records", "true")], members)
    }

    /// Changes a record and waits until it is changed.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn modify(&mut self, href: &str, members: Members) -> Result<Answer, Refusal> {
        self.waiting(Method::Patch, href, &[], members)
    }

    /// Deletes a record and waits until it is gone.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn delete(&mut self, href: &str, flags: &[(&str, &str)]) -> Result<Answer, Refusal> {
        self.waiting(Method::Delete, href, flags, Members::new())
    }

    /// A call that is answered when its job has ended, with the job's refusal if it failed.
    ///
    /// # Errors
    /// The [`Refusal`] that the answer tells.
    pub(crate) fn waiting(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        members: Members,
    ) -> Result<Answer, Refusal> {
        let mut all = vec![WAITING];
        all.extend_from_slice(query);
        self.call(method, path, &all, Value::Object(members))
    }
}

/// The path of a record, as its link tells it.
pub(crate) fn href(record: &Value) -> &str {
    record.pointer("/_links/self/href").and_then(Value::as_str).unwrap_or_default()
}

/// Whoever is asked answers each call.
fn unanswered() -> Refusal {
    Refusal { status: 500, ..Refusal::request(1_500, "An internal error occurred") }
}

/// What an error body says.
fn refusal_in(answer: &Answer) -> Refusal {
    let text = |name: &str| answer.body.pointer(name).and_then(Value::as_str).map(str::to_owned);
    Refusal {
        status: answer.status,
        code: text("/error/code").and_then(|code| code.parse().ok()).unwrap_or(0),
        message: text("/error/message").unwrap_or_else(|| "An internal error occurred".into()),
        target: text("/error/target"),
        phase: Phase::Request,
    }
}
