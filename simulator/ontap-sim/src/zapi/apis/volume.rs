//! Volumes and their clones. Calls whose name ends in `-async` are jobs; the others are answered when all is
//! done.

use serde_json::Value;

use super::super::change::{Change, Creation, Find};
use super::super::failure::{API_ERROR, Failure, INVALID_INPUT, NO_SUCH_VOLUME};
use super::super::field::{
    Column, Input, Kind, always, computed, each, may, members, must, permission_letters, plain, time, words,
};
use super::super::listing::{Leaves, Listing, query_leaves};
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::system::job_number;
use super::{number, text};
use crate::management::{Management, Members, Source, href};
use crate::rest::{Answer, Method, size_from_text};

pub(super) const CALLS: &[Api] = &[
    anyone("volume-get-iter", Act::List(&VOLUMES)),
    vserver("volume-create", Act::Create(&CREATE)),
    vserver("volume-create-async", Act::Run(create_async)),
    vserver("volume-clone-create", Act::Create(&CLONE)),
    vserver("volume-clone-create-async", Act::Run(clone_async)),
    vserver("volume-clone-split-start", Act::Change(&SPLIT)),
    vserver("volume-modify-iter", Act::Run(|management, request| modify(management, request, false))),
    vserver("volume-modify-iter-async", Act::Run(|management, request| modify(management, request, true))),
    vserver("volume-mount", Act::Change(&MOUNT)),
    vserver("volume-unmount", Act::Change(&UNMOUNT)),
    vserver("volume-online", Act::Change(&ONLINE)),
    vserver("volume-offline", Act::Change(&OFFLINE)),
    vserver("volume-rename", Act::Change(&RENAME)),
    vserver("volume-size", Act::Run(|management, request| resize(management, request, BY_VOLUME))),
    vserver("volume-size-async", Act::Run(|management, request| resize(management, request, BY_VOLUME_NAME))),
    vserver("volume-destroy", Act::Run(destroy)),
    vserver("volume-destroy-async", Act::Run(destroy_async)),
    anyone("volume-recovery-queue-get-iter", Act::List(&RECOVERY_QUEUE)),
    vserver("volume-recovery-queue-purge", Act::Run(purge)),
];

/// The volume that the element `volume` names.
pub(super) const BY_VOLUME: Find =
    Find { within: None, path: "storage/volumes", by: &[("volume", "name")], missing: NO_SUCH_VOLUME };
const BY_NAME: Find = Find { by: &[("name", "name")], ..BY_VOLUME };
const BY_VOLUME_NAME: Find = Find { by: &[("volume-name", "name")], ..BY_VOLUME };

const STYLES: &[(&str, &str)] = &[("flexvol", "flex"), ("flexgroup", "flex")];

const VOLUMES: Listing =
    Listing { source: Source::Collection("storage/volumes"), record: "volume-attributes", columns: VOLUME };

const VOLUME: &[Column] = &[
    plain("volume-id-attributes/name", "name"),
    plain("volume-id-attributes/uuid", "uuid"),
    plain("volume-id-attributes/instance-uuid", "uuid"),
    plain("volume-id-attributes/owning-vserver-name", "svm.name"),
    plain("volume-id-attributes/owning-vserver-uuid", "svm.uuid"),
    plain("volume-id-attributes/containing-aggregate-name", "aggregates.name"),
    plain("volume-id-attributes/containing-aggregate-uuid", "aggregates.uuid"),
    each("volume-id-attributes/aggr-list", "aggr-name", "aggregates.name"),
    plain("volume-id-attributes/junction-path", "nas.path"),
    plain("volume-id-attributes/comment", "comment"),
    plain("volume-id-attributes/type", "type"),
    words("volume-id-attributes/style", "style", STYLES),
    plain("volume-id-attributes/style-extended", "style"),
    time("volume-id-attributes/creation-time", "create_time"),
    plain("volume-space-attributes/size", "size"),
    plain("volume-space-attributes/size-total", "space.size"),
    plain("volume-space-attributes/size-used", "space.used"),
    plain("volume-space-attributes/size-available", "space.available"),
    plain("volume-space-attributes/size-used-by-snapshots", "space.snapshot.used"),
    plain("volume-space-attributes/percentage-snapshot-reserve", "space.snapshot.reserve_percent"),
    computed("volume-space-attributes/percentage-size-used", |volume| {
        let used = number(volume, "space.used")?.saturating_mul(100);
        used.checked_div(number(volume, "size")?).map(|percent| percent.to_string())
    }),
    plain("volume-space-attributes/space-guarantee", "guarantee.type"),
    plain("volume-space-attributes/is-space-guarantee-enabled", "guarantee.honored"),
    plain("volume-state-attributes/state", "state"),
    plain("volume-state-attributes/is-vserver-root", "is_svm_root"),
    computed("volume-state-attributes/is-junction-active", |volume| {
        Some((!text(volume, "nas.path").is_empty()).to_string())
    }),
    always("volume-state-attributes/is-node-root", "false"),
    always("volume-state-attributes/is-cluster-volume", "true"),
    plain("volume-security-attributes/style", "nas.security_style"),
    plain("volume-security-attributes/volume-security-unix-attributes/user-id", "nas.uid"),
    plain("volume-security-attributes/volume-security-unix-attributes/group-id", "nas.gid"),
    computed("volume-security-attributes/volume-security-unix-attributes/permissions", |volume| {
        permission_letters(number(volume, "nas.unix_permissions")?)
    }),
    plain("volume-export-attributes/policy", "nas.export_policy.name"),
    plain("volume-snapshot-attributes/snapshot-policy", "snapshot_policy.name"),
    plain("volume-snapshot-attributes/snapdir-access-enabled", "snapshot_directory_access_enabled"),
    plain("volume-clone-attributes/volume-clone-parent-attributes/name", "clone.parent_volume.name"),
    plain("volume-clone-attributes/volume-clone-parent-attributes/uuid", "clone.parent_volume.uuid"),
    plain(
        "volume-clone-attributes/volume-clone-parent-attributes/snapshot-name",
        "clone.parent_snapshot.name",
    ),
    plain("volume-autosize-attributes/mode", "autosize.mode"),
    plain("volume-comp-aggr-attributes/tiering-policy", "tiering.policy"),
    plain("volume-qos-attributes/policy-group-name", "qos.policy.name"),
    plain("volume-inode-attributes/files-total", "files.maximum"),
    plain("volume-inode-attributes/files-used", "files.used"),
    plain("volume-language-attributes/language-code", "language"),
    plain("volume-snaplock-attributes/snaplock-type", "snaplock.type"),
    plain("encrypt", "encryption.enabled"),
];

/// Inputs that creation and modification name alike.
const SPACE_RESERVE: &[(&str, &str)] = &[("file", "volume")];

const CREATE: Creation = Creation {
    within: None,
    path: "storage/volumes",
    inputs: &[
        must("volume", "name", Kind::Text),
        must("containing-aggr-name", "aggregates.name", Kind::Text),
        may("size", "size", Kind::Size),
        may("space-reserve", "guarantee.type", Kind::Words(SPACE_RESERVE)),
        may("snapshot-policy", "snapshot_policy.name", Kind::Text),
        may("unix-permissions", "nas.unix_permissions", Kind::Permissions),
        may("user-id", "nas.uid", Kind::Number),
        may("group-id", "nas.gid", Kind::Number),
        may("export-policy", "nas.export_policy.name", Kind::Text),
        may("volume-security-style", "nas.security_style", Kind::Text),
        may("junction-path", "nas.path", Kind::Text),
        may("percentage-snapshot-reserve", "space.snapshot.reserve_percent", Kind::Number),
        may("encrypt", "encryption.enabled", Kind::Boolean),
        may("tiering-policy", "tiering.policy", Kind::Text),
        may("volume-comment", "comment", Kind::Text),
        may("volume-state", "state", Kind::Text),
        may("volume-type", "type", Kind::Words(&[("RW", "rw"), ("DP", "dp")])),
        may("qos-policy-group-name", "qos.policy.name", Kind::Text),
        may("language-code", "language", Kind::Text),
    ],
    fixed: &[],
};

const CREATE_GROUP: Creation = Creation {
    inputs: &[
        must("volume-name", "name", Kind::Text),
        must("aggr-list", "aggregates", Kind::Objects("name")),
        may("aggr-list-multiplier", "constituents_per_aggregate", Kind::Number),
        may("size", "size", Kind::Size),
        may("space-guarantee-type", "guarantee.type", Kind::Text),
        may("space-reserve", "guarantee.type", Kind::Words(SPACE_RESERVE)),
        may("snapshot-policy", "snapshot_policy.name", Kind::Text),
        may("unix-permissions", "nas.unix_permissions", Kind::Permissions),
        may("export-policy", "nas.export_policy.name", Kind::Text),
        may("volume-security-style", "nas.security_style", Kind::Text),
        may("junction-path", "nas.path", Kind::Text),
        may("percentage-snapshot-reserve", "space.snapshot.reserve_percent", Kind::Number),
        may("encrypt", "encryption.enabled", Kind::Boolean),
        may("tiering-policy", "tiering.policy", Kind::Text),
        may("volume-comment", "comment", Kind::Text),
        may("qos-policy-group-name", "qos.policy.name", Kind::Text),
    ],
    fixed: &[("style", "flexgroup")],
    ..CREATE
};

const CLONE: Creation = Creation {
    inputs: &[
        must("volume", "name", Kind::Text),
        must("parent-volume", "clone.parent_volume.name", Kind::Text),
        may("parent-snapshot", "clone.parent_snapshot.name", Kind::Text),
        may("junction-path", "nas.path", Kind::Text),
        may("space-reserve", "guarantee.type", Kind::Text),
        may("qos-policy-group-name", "qos.policy.name", Kind::Text),
    ],
    fixed: &[("clone.is_flexclone", "true")],
    ..CREATE
};

const SPLIT: Change = Change { find: BY_VOLUME, inputs: &[], fixed: &[("clone.split_initiated", "true")] };
const MOUNT: Change =
    Change { find: BY_VOLUME_NAME, inputs: &[must("junction-path", "nas.path", Kind::Text)], fixed: &[] };
const UNMOUNT: Change = Change { find: BY_VOLUME_NAME, inputs: &[], fixed: &[("nas.path", "")] };
const ONLINE: Change = Change { find: BY_NAME, inputs: &[], fixed: &[("state", "online")] };
const OFFLINE: Change = Change { find: BY_NAME, inputs: &[], fixed: &[("state", "offline")] };
const RENAME: Change =
    Change { find: BY_VOLUME, inputs: &[must("new-volume-name", "name", Kind::Text)], fixed: &[] };

/// What `volume-modify-iter` changes, below `attributes/volume-attributes`.
const MODIFY: &[Input] = &[
    may("volume-id-attributes/comment", "comment", Kind::Text),
    may("volume-space-attributes/size", "size", Kind::Size),
    may("volume-space-attributes/space-guarantee", "guarantee.type", Kind::Text),
    may(
        "volume-space-attributes/percentage-snapshot-reserve",
        "space.snapshot.reserve_percent",
        Kind::Number,
    ),
    may("volume-export-attributes/policy", "nas.export_policy.name", Kind::Text),
    may("volume-snapshot-attributes/snapshot-policy", "snapshot_policy.name", Kind::Text),
    may(
        "volume-snapshot-attributes/snapdir-access-enabled",
        "snapshot_directory_access_enabled",
        Kind::Boolean,
    ),
    may("volume-security-attributes/style", "nas.security_style", Kind::Text),
    may(
        "volume-security-attributes/volume-security-unix-attributes/permissions",
        "nas.unix_permissions",
        Kind::Permissions,
    ),
    may("volume-security-attributes/volume-security-unix-attributes/user-id", "nas.uid", Kind::Number),
    may("volume-security-attributes/volume-security-unix-attributes/group-id", "nas.gid", Kind::Number),
    may("volume-comp-aggr-attributes/tiering-policy", "tiering.policy", Kind::Text),
    may("volume-qos-attributes/policy-group-name", "qos.policy.name", Kind::Text),
    may("volume-autosize-attributes/mode", "autosize.mode", Kind::Text),
    may("volume-language-attributes/language-code", "language", Kind::Text),
];

const RECOVERY_QUEUE: Listing = Listing {
    source: Source::Collection("private/cli/volume/recovery-queue"),
    record: "volume-recovery-queue-info",
    columns: &[plain("volume-name", "volume"), plain("vserver-name", "vserver")],
};

/// The failure of a volume that is not there.
pub(super) fn missing(name: &str) -> Failure {
    Failure::new(NO_SUCH_VOLUME, format!("Volume \"{name}\" does not exist"))
}

/// What an asynchronous call answers: the job, unless all is done.
pub(super) fn asynchronous(answer: &Answer) -> Vec<Element> {
    let job = answer.body.pointer("/job/uuid").and_then(Value::as_str);
    match job {
        Some(uuid) if answer.status == 202 => vec![
            Element::leaf("result-status", "in_progress"),
            Element::leaf("result-jobid", job_number(uuid)),
        ],
        _ => vec![Element::leaf("result-status", "succeeded")],
    }
}

fn create_async(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    start(management, &CREATE_GROUP, request)
}

fn clone_async(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    start(management, &CLONE, request)
}

fn start(
    management: &mut Management<'_>,
    creation: &Creation,
    request: &Element,
) -> Result<Vec<Element>, Failure> {
    let body = Value::Object(creation.members(request)?);
    Ok(asynchronous(&management.call(Method::Post, creation.path, &[], body)?))
}

/// Changes every volume that the query finds; what fails is told volume by volume.
fn modify(
    management: &mut Management<'_>,
    request: &Element,
    asynchronously: bool,
) -> Result<Vec<Element>, Failure> {
    let attributes = request.at("attributes/volume-attributes");
    let attributes = attributes.ok_or_else(|| Failure::missing_input("attributes"))?;
    let members = members(MODIFY, attributes)?;
    let queries: Vec<Leaves> = query_leaves(request, VOLUMES.record);
    if queries.is_empty() {
        return Err(Failure::missing_input("query"));
    }
    let info = if asynchronously { "volume-modify-iter-async-info" } else { "volume-modify-iter-info" };
    let (mut successes, mut failures) = (Vec::new(), Vec::new());
    for (place, record) in VOLUMES.find(management, &queries)? {
        let id = |leaf: &str| record.text_at(&format!("volume-id-attributes/{leaf}")).unwrap_or_default();
        let key = Element::of(
            "volume-key",
            vec![Element::leaf("name", id("name")), Element::leaf("vserver-name", id("owning-vserver-name"))],
        );
        let outcome = if asynchronously {
            management.call(Method::Patch, &place, &[], Value::Object(members.clone()))
        } else {
            management.modify(&place, members.clone())
        };
        match outcome {
            Ok(answer) => {
                let mut told = if asynchronously { status_and_job(&answer) } else { Vec::new() };
                told.push(key);
                successes.push(Element::of(info, told));
            }
            Err(refusal) => {
                let failure = Failure::from(refusal);
                let code = Element::leaf("error-code", failure.errno);
                failures
                    .push(Element::of(info, vec![code, Element::leaf("error-message", failure.reason), key]));
            }
        }
    }
    Ok(vec![
        Element::leaf("num-succeeded", successes.len()),
        Element::leaf("num-failed", failures.len()),
        Element::of("success-list", successes),
        Element::of("failure-list", failures),
    ])
}

/// The same as [`asynchronous`] by the names that the records of an iteration have.
fn status_and_job(answer: &Answer) -> Vec<Element> {
    let named = |element: Element| match element.name.as_str() {
        "result-status" => Element { name: "status".into(), ..element },
        _ => Element { name: "jobid".into(), ..element },
    };
    asynchronous(answer).into_iter().map(named).collect()
}

/// Tells the size, or changes it: to a size, or by one with a sign.
fn resize(management: &mut Management<'_>, request: &Element, find: Find) -> Result<Vec<Element>, Failure> {
    let volume = find.require(management, request)?;
    let now = number(&volume, "size").unwrap_or(0);
    let size = match request.text_at("new-size") {
        None => now,
        Some(wanted) => {
            let invalid = || Failure::invalid_input("new-size", wanted);
            let amount = size_from_text(wanted.trim_start_matches(['+', '-'])).ok_or_else(invalid)?;
            let bytes = match wanted.as_bytes().first() {
                Some(b'+') => i128::from(now).checked_add(amount),
                Some(b'-') => i128::from(now).checked_sub(amount),
                _ => Some(amount),
            };
            let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).ok_or_else(invalid)?;
            management.modify(href(&volume), Members::from_iter([("size".to_owned(), bytes.into())]))?;
            bytes
        }
    };
    let mut told = vec![Element::leaf("volume-size", size)];
    if find.by == BY_VOLUME_NAME.by {
        told.push(Element::leaf("result-status", "succeeded"));
    }
    Ok(told)
}

/// ONTAPI deletes what is offline, or takes it offline when told to; the management API does it always.
fn require_doomed(management: &mut Management<'_>, request: &Element, find: Find) -> Result<Value, Failure> {
    let volume = find.require(management, request)?;
    if text(&volume, "state") == "online" && request.text_at("unmount-and-offline") != Some("true") {
        let name = text(&volume, "name");
        let reason = format!("Unable to delete volume \"{name}\". Reason: Volume must be offline.");
        return Err(Failure::new(API_ERROR, reason));
    }
    Ok(volume)
}

fn destroy(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let volume = require_doomed(management, request, BY_NAME)?;
    management.delete(href(&volume), force(request))?;
    Ok(Vec::new())
}

fn destroy_async(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let volume = require_doomed(management, request, BY_VOLUME_NAME)?;
    let answer = management.call(Method::Delete, href(&volume), force(request), Value::Null)?;
    Ok(asynchronous(&answer))
}

fn force(request: &Element) -> &'static [(&'static str, &'static str)] {
    if request.text_at("force") == Some("true") { &[("force", "true")] } else { &[] }
}

fn purge(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let name = request.text_at("volume-name").ok_or_else(|| Failure::missing_input("volume-name"))?;
    let svm = management.svm().map(str::to_owned).ok_or_else(|| Failure::new(INVALID_INPUT, "vserver"))?;
    let members = [("vserver".to_owned(), svm.into()), ("volume".to_owned(), name.into())];
    management.call(
        Method::Post,
        "private/cli/volume/recovery-queue/purge",
        &[],
        Value::Object(Members::from_iter(members)),
    )?;
    Ok(Vec::new())
}
