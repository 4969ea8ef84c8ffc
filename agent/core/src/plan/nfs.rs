//! Staging an export: mounted once for this node, bound from there for every pod.

use contract::NfsAttachment;

use super::{Plan, mounts};
use crate::facts::{Facts, MountFact};
use crate::intent::{Stage, Usage};
use crate::outcome::Disposition;
use crate::refusal::{Hazard, Refusal};
use crate::step::Step;

pub(super) fn stage(stage: &Stage, nfs: &NfsAttachment, facts: &Facts) -> Result<Plan, Refusal> {
    let Usage::Filesystem { mount_options, .. } = &stage.usage else {
        return Err(Refusal::refused(
            Hazard::H12,
            format!("volume {} is an export; an export is no block device", stage.volume),
            "claim it with volumeMode: Filesystem",
        )
        .with(Disposition::Invalid));
    };
    if let Some(mount) = mounts::topmost(facts, &stage.staging) {
        require_export(mount, nfs)?;
        return Ok(Plan::fulfilled());
    }
    let options = nfs.mount_options.iter().chain(mount_options).cloned().collect();
    Ok(Plan::sequence([
        Step::EnsureDirectory { path: stage.staging.clone() },
        Step::MountNfs { server: nfs.server, export: nfs.export.clone(), at: stage.staging.clone(), options },
    ]))
}

/// Checks that `mount` is the export of this volume (hazards H12, H13).
pub(super) fn require_export(mount: &MountFact, nfs: &NfsAttachment) -> Result<(), Refusal> {
    if is_export(mount, nfs) { Ok(()) } else { Err(mounts::other_mount(mount, &nfs.source())) }
}

/// Whether `mount` is of this export, wherever it is mounted.
pub(super) fn is_export(mount: &MountFact, nfs: &NfsAttachment) -> bool {
    mounts::is_nfs(mount) && nfs.is_source(&mount.source)
}
