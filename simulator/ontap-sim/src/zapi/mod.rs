//! The ZAPI skin (ONTAPI over XML): what clients spoke before REST and still speak for a while.
//!
//! ```text
//! XML ─ xml ─ envelope (version, vfiler) ─ Api (a row of apis) ─┬ Listing   *-iter
//!                                                                ├ Creation, Change, Deletion
//!                                                                └ a function, where a table says too little
//!                       management (REST from within) ───────────┘
//! ```
//!
//! A row says what a call and its elements are named in the management API; the rules of the array are there.

mod apis;
mod change;
mod failure;
mod field;
mod listing;
#[cfg(test)]
mod tests;
mod xml;

use change::{Change, Creation, Deletion};
use failure::{API_ERROR, Failure, NO_SUCH_API, NO_SUCH_VSERVER};
pub(crate) use field::{permission_letters, permissions};

use listing::Listing;
use xml::Element;

use crate::management::Management;

/// Where clients post.
pub(crate) const PATH: &str = "/servlets/netapp.servlets.admin.XMLrequest_filer";

/// A call.
#[derive(Debug, Clone, Copy)]
struct Api {
    /// Its name.
    name: &'static str,
    /// Whose call it is.
    scope: Scope,
    /// What it does.
    act: Act,
}

/// Whose call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Needs no SVM.
    Anyone,
    /// Needs an SVM: by `vfiler`, or by an account that belongs to one.
    Vserver,
}

/// What a call does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Lists records.
    List(&'static Listing),
    /// Makes a record.
    Create(&'static Creation),
    /// Changes a record.
    Change(&'static Change),
    /// Deletes a record.
    Delete(&'static Deletion),
    /// What no table describes.
    Run(fn(&mut Management<'_>, &Element) -> Result<Vec<Element>, Failure>),
}

/// A call of the cluster.
const fn anyone(name: &'static str, act: Act) -> Api {
    Api { name, scope: Scope::Anyone, act }
}

/// A call of an SVM.
const fn vserver(name: &'static str, act: Act) -> Api {
    Api { name, scope: Scope::Vserver, act }
}

/// What was called, for the event log, and the answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Name of the call; empty when there was none.
    pub(crate) api: String,
    /// The error number of a failure.
    pub(crate) errno: Option<u32>,
    /// The document.
    pub(crate) document: String,
}

/// Answers a request.
pub(crate) fn answer(management: &mut Management<'_>, request: &[u8]) -> Reply {
    let minor = apis::ontapi_minor(management);
    let (api, outcome) = match std::str::from_utf8(request).map(xml::parse) {
        Ok(Ok(envelope)) => {
            let api = envelope.children.first().map(|call| call.name.clone()).unwrap_or_default();
            (api, serve(management, &envelope))
        }
        Ok(Err(error)) => (String::new(), Err(Failure::new(API_ERROR, format!("Invalid request: {error}")))),
        Err(_) => (String::new(), Err(Failure::new(API_ERROR, "Invalid request: not UTF-8"))),
    };
    let (errno, results) = match outcome {
        Ok(children) => (None, results(&[("status", "passed".into())], children)),
        Err(Failure { errno, reason }) => {
            let attributes = [("status", "failed".into()), ("reason", reason), ("errno", errno.to_string())];
            (Some(errno), results(&attributes, Vec::new()))
        }
    };
    let mut document = format!(
        "<?xml version='1.0' encoding='UTF-8' ?>\n<!DOCTYPE netapp SYSTEM 'file:/etc/netapp_gx.dtd'>\n\
         <netapp version='1.{minor}' xmlns='http://www.netapp.com/filer/admin'>"
    );
    results.write(&mut document);
    document.push_str("</netapp>");
    Reply { api, errno, document }
}

fn results(attributes: &[(&str, String)], children: Vec<Element>) -> Element {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Element { attributes, ..Element::of("results", children) }
}

fn serve(management: &mut Management<'_>, envelope: &Element) -> Result<Vec<Element>, Failure> {
    let invalid = |what: &str| Failure::new(API_ERROR, format!("Invalid request: {what}"));
    if envelope.name != "netapp" {
        return Err(invalid("the document is not a netapp element"));
    }
    let [request] = envelope.children.as_slice() else { return Err(invalid("not one call")) };
    if let Some(svm) = envelope.attribute("vfiler") {
        require_svm(management, svm)?;
        management.set_svm(Some(svm));
    }
    let api = apis::ALL.iter().copied().flatten().find(|api| api.name == request.name);
    let api =
        api.ok_or_else(|| Failure::new(NO_SUCH_API, format!("Unable to find API: {}", request.name)))?;
    if api.scope == Scope::Vserver && management.svm().is_none() {
        return Err(Failure::new(API_ERROR, "Vserver API missing vserver parameter."));
    }
    match api.act {
        Act::List(listing) => listing.answer(management, request),
        Act::Create(creation) => creation.run(management, request),
        Act::Change(change) => change.run(management, request),
        Act::Delete(deletion) => deletion.run(management, request),
        Act::Run(run) => run(management, request),
    }
}

fn require_svm(management: &mut Management<'_>, name: &str) -> Result<(), Failure> {
    match management.exactly("svm/svms", &[("name", name)])?.as_slice() {
        [] => Err(Failure::new(NO_SUCH_VSERVER, format!("Specified vserver not found: \"{name}\""))),
        _ => Ok(()),
    }
}
