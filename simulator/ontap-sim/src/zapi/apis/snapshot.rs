//! Snapshots, of one volume and of several at one moment.

use super::super::change::{Change, Creation, Deletion, Find, with};
use super::super::failure::{Failure, NOT_FOUND};
use super::super::field::{Column, Kind, computed, may, must, plain, time};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::volume;
use crate::management::{Management, Members, Source, href};
use crate::rest::{Method, values_at};

pub(super) const CALLS: &[Api] = &[
    anyone("snapshot-get-iter", Act::List(&SNAPSHOTS)),
    vserver("snapshot-create", Act::Create(&CREATE)),
    vserver("snapshot-delete", Act::Delete(&Deletion { find: FIND, force: None })),
    vserver("snapshot-rename", Act::Change(&RENAME)),
    vserver("snapshot-restore-volume", Act::Run(restore)),
    vserver("cg-start", Act::Run(start_group)),
    vserver("cg-commit", Act::Run(commit_group)),
];

const FIND: Find = Find {
    within: Some(&volume::BY_VOLUME),
    path: "snapshots",
    by: &[("snapshot", "name")],
    missing: NOT_FOUND,
};

const SNAPSHOTS: Listing = Listing {
    source: Source::Within { parent: "storage/volumes", child: "snapshots", column: "volume" },
    record: "snapshot-info",
    columns: SNAPSHOT,
};

const SNAPSHOT: &[Column] = &[
    plain("name", "name"),
    plain("volume", "volume.name"),
    plain("vserver", "svm.name"),
    plain("snapshot-instance-uuid", "uuid"),
    plain("snapshot-version-uuid", "version_uuid"),
    time("access-time", "create_time"),
    plain("comment", "comment"),
    plain("snapmirror-label", "snapmirror_label"),
    plain("state", "state"),
    plain("total", "size"),
    computed("busy", |snapshot| Some((!values_at(snapshot, "owners").is_empty()).to_string())),
    computed("dependency", |snapshot| {
        values_at(snapshot, "owners").first()?.as_str().map(|owner| owner.replace('_', " "))
    }),
];

const CREATE: Creation = Creation {
    within: Some(&volume::BY_VOLUME),
    path: "snapshots",
    inputs: &[
        must("snapshot", "name", Kind::Text),
        may("comment", "comment", Kind::Text),
        may("snapmirror-label", "snapmirror_label", Kind::Text),
    ],
    fixed: &[],
};

const RENAME: Change = Change {
    find: Find { by: &[("current-name", "name")], ..FIND },
    inputs: &[must("new-name", "name", Kind::Text)],
    fixed: &[],
};

fn restore(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    // Told apart from a missing volume by its own number.
    FIND.require(management, request)?;
    let volume = volume::BY_VOLUME.require(management, request)?;
    let name = request.text_at("snapshot").unwrap_or_default();
    let query = [("restore_to.snapshot.name", name)];
    management.waiting(Method::Patch, href(&volume), &query, Members::new())?;
    Ok(Vec::new())
}

/// The snapshots are taken at one instant, all or none; what is left for the commit is to agree.
fn start_group(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let name = request.text_at("snapshot").ok_or_else(|| Failure::missing_input("snapshot"))?;
    let mut volumes = Vec::new();
    for volume in request.all("volumes/volume-name") {
        let found = management.exactly("storage/volumes", &[("name", &volume.text)])?.into_iter().next();
        volumes.push(found.ok_or_else(|| volume::missing(&volume.text))?);
    }
    let collections: Vec<_> = volumes.iter().map(|volume| format!("{}/snapshots", href(volume))).collect();
    management.create_together(&collections, &with(Members::new(), &[("name", name)]))?;
    let first = volumes.first().map(|volume| super::text(volume, "uuid")).unwrap_or_default();
    Ok(vec![Element::leaf("cg-id", super::system::job_number(&first))])
}

fn commit_group(_: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let id = request.text_at("cg-id").ok_or_else(|| Failure::missing_input("cg-id"))?;
    id.parse::<u64>().map_err(|_| Failure::invalid_input("cg-id", id))?;
    Ok(Vec::new())
}
