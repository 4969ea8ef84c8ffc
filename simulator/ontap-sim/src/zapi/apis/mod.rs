//! The calls, one module a family.

mod aggregate;
mod export;
mod igroup;
mod iscsi;
mod lun;
mod mirror;
mod network;
mod qtree;
mod snapshot;
mod svm;
mod system;
mod volume;

use serde_json::Value;

pub(super) use system::ontapi_minor;

use super::Api;
use super::xml::Element;
use crate::rest::{text_of, values_at};

/// Every call.
pub(super) const ALL: &[&[Api]] = &[
    system::CALLS,
    svm::CALLS,
    aggregate::CALLS,
    network::CALLS,
    volume::CALLS,
    snapshot::CALLS,
    export::CALLS,
    qtree::CALLS,
    lun::CALLS,
    igroup::CALLS,
    iscsi::CALLS,
    mirror::CALLS,
];

/// The text of a field of a record; empty when it is not set.
fn text(record: &Value, field: &str) -> String {
    values_at(record, field).first().map(|value| text_of(value)).unwrap_or_default()
}

/// The number in a field of a record.
fn number(record: &Value, field: &str) -> Option<u64> {
    values_at(record, field).first().and_then(|value| value.as_u64())
}

/// The one record of a call that is not an iteration.
fn attributes(record: Element) -> Vec<Element> {
    vec![Element::of("attributes", vec![record])]
}
