//! SnapMirror. ONTAPI names a relationship by its paths, `SVM:VOLUME`, or by their parts.

use serde_json::{Value, json};

use super::super::failure::{Failure, NOT_FOUND};
use super::super::field::{Column, computed, plain, words};
use super::super::listing::{Listing, query_leaves};
use super::super::xml::Element;
use super::super::{Act, Api, anyone};
use super::{attributes, text};
use crate::management::{Management, Members, Source, href};
use crate::rest::Method;

pub(super) const CALLS: &[Api] = &[
    anyone("snapmirror-get-iter", Act::List(&RELATIONSHIPS)),
    anyone("snapmirror-get", Act::Run(get)),
    anyone("snapmirror-get-destination-iter", Act::List(&DESTINATIONS)),
    anyone("snapmirror-policy-get-iter", Act::List(&POLICIES)),
    anyone("snapmirror-create", Act::Run(create)),
    anyone(
        "snapmirror-destroy",
        Act::Run(|management, request| remove(management, request, "destination_only")),
    ),
    anyone("snapmirror-release", Act::Run(|management, request| remove(management, request, "source_only"))),
    anyone("snapmirror-release-iter", Act::Run(release)),
    anyone(
        "snapmirror-initialize",
        Act::Run(|management, request| turn(management, request, "snapmirrored")),
    ),
    anyone("snapmirror-resync", Act::Run(|management, request| turn(management, request, "snapmirrored"))),
    anyone("snapmirror-break", Act::Run(|management, request| turn(management, request, "broken_off"))),
    anyone("snapmirror-quiesce", Act::Run(|management, request| turn(management, request, "paused"))),
    anyone("snapmirror-resume", Act::Run(|management, request| turn(management, request, "snapmirrored"))),
    anyone("snapmirror-update", Act::Run(update)),
    anyone("snapmirror-abort", Act::Run(abort)),
];

const PATH: &str = "snapmirror/relationships";

const RELATIONSHIPS: Listing =
    Listing { source: Source::Collection(PATH), record: "snapmirror-info", columns: RELATIONSHIP };

const DESTINATIONS: Listing = Listing {
    source: Source::Where(PATH, &[("list_destinations_only", "true")]),
    record: "snapmirror-destination-info",
    columns: RELATIONSHIP,
};

const RELATIONSHIP: &[Column] = &[
    plain("relationship-id", "uuid"),
    plain("source-location", "source.path"),
    computed("source-vserver", |record| part(record, "source.path", 0)),
    computed("source-volume", |record| part(record, "source.path", 1)),
    plain("destination-location", "destination.path"),
    computed("destination-vserver", |record| part(record, "destination.path", 0)),
    computed("destination-volume", |record| part(record, "destination.path", 1)),
    plain("policy", "policy.name"),
    plain("policy-type", "policy.type"),
    plain("schedule", "transfer_schedule.name"),
    words(
        "mirror-state",
        "state",
        &[("broken_off", "broken-off"), ("in_sync", "snapmirrored"), ("paused", "snapmirrored")],
    ),
    computed("relationship-status", |record| Some(status(record).to_owned())),
    plain("is-healthy", "healthy"),
    plain("last-transfer-type", "transfer.type"),
    computed("relationship-type", |_| Some("extended_data_protection".into())),
];

const POLICIES: Listing = Listing {
    source: Source::Collection("snapmirror/policies"),
    record: "snapmirror-policy-info",
    columns: &[
        plain("policy-name", "name"),
        plain("vserver-name", "svm.name"),
        words("type", "type", &[("async", "async_mirror"), ("sync", "sync_mirror")]),
        plain("comment", "comment"),
    ],
};

/// What a relationship does at the moment.
fn status(record: &Value) -> &'static str {
    match (text(record, "transfer.state").as_str(), text(record, "state").as_str()) {
        ("queued" | "transferring", _) => "transferring",
        (_, "in_sync") => "insync",
        (_, "paused") => "quiesced",
        _ => "idle",
    }
}

/// SVM or volume of a path.
fn part(record: &Value, field: &str, index: usize) -> Option<String> {
    text(record, field).split(':').nth(index).filter(|part| !part.is_empty()).map(str::to_owned)
}

/// `SVM:VOLUME` from either form that a request has.
fn location(request: &Element, side: &str) -> Option<String> {
    if let Some(path) = request.text_at(&format!("{side}-location")) {
        return Some(path.to_owned());
    }
    let vserver = request.text_at(&format!("{side}-vserver"))?;
    let volume = request.text_at(&format!("{side}-volume")).unwrap_or_default();
    Some(format!("{vserver}:{volume}"))
}

fn required(request: &Element, side: &str) -> Result<String, Failure> {
    location(request, side).ok_or_else(|| Failure::missing_input(&format!("{side}-location")))
}

fn require(management: &mut Management<'_>, request: &Element) -> Result<Value, Failure> {
    let destination = required(request, "destination")?;
    find(management, &destination, &[])
}

fn find(
    management: &mut Management<'_>,
    destination: &str,
    query: &[(&str, &str)],
) -> Result<Value, Failure> {
    let records = management.records(PATH, query)?;
    let found = records.into_iter().find(|record| text(record, "destination.path") == destination);
    found.ok_or_else(|| Failure::new(NOT_FOUND, format!("entry doesn't exist: \"{destination}\"")))
}

fn get(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    Ok(attributes(RELATIONSHIPS.shown(&require(management, request)?)))
}

fn create(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let mut members = Members::new();
    members.insert("source.path".into(), required(request, "source")?.into());
    members.insert("destination.path".into(), required(request, "destination")?.into());
    for (at, field) in [("policy", "policy.name"), ("schedule", "transfer_schedule.name")] {
        if let Some(text) = request.text_at(at) {
            members.insert(field.into(), text.into());
        }
    }
    management.create(PATH, members)?;
    Ok(vec![Element::leaf("result-status", "succeeded")])
}

fn turn(management: &mut Management<'_>, request: &Element, state: &str) -> Result<Vec<Element>, Failure> {
    let relationship = require(management, request)?;
    management.modify(href(&relationship), Members::from_iter([("state".to_owned(), state.into())]))?;
    Ok(vec![Element::leaf("result-status", "succeeded")])
}

fn update(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let relationship = require(management, request)?;
    management.create(&format!("{}/transfers", href(&relationship)), Members::new())?;
    Ok(vec![Element::leaf("result-status", "succeeded")])
}

/// Aborting where nothing moves is told apart (`ENOTRANSFER_IN_PROGRESS`).
fn abort(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    const NO_TRANSFER: u32 = 17_130;
    let relationship = require(management, request)?;
    let transfers = format!("{}/transfers", href(&relationship));
    let running = management.exactly(&transfers, &[("state", "transferring")])?;
    let transfer =
        running.first().ok_or_else(|| Failure::new(NO_TRANSFER, "No transfer to abort for destination"))?;
    management.waiting(
        Method::Patch,
        href(transfer),
        &[],
        Members::from_iter([("state".to_owned(), json!("aborted"))]),
    )?;
    Ok(Vec::new())
}

fn remove(management: &mut Management<'_>, request: &Element, side: &str) -> Result<Vec<Element>, Failure> {
    let destination = required(request, "destination")?;
    let listed: &[(&str, &str)] =
        if side == "source_only" { &[("list_destinations_only", "true")] } else { &[] };
    let relationship = find(management, &destination, listed)?;
    management.delete(href(&relationship), &[(side, "true")])?;
    Ok(Vec::new())
}

fn release(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let queries = query_leaves(request, DESTINATIONS.record);
    let found = DESTINATIONS.find(management, &queries)?;
    for (place, _) in &found {
        management.delete(place, &[("source_only", "true")])?;
    }
    Ok(vec![Element::leaf("num-succeeded", found.len()), Element::leaf("num-failed", 0)])
}
