//! Unstaging: computed from what is there and what was recorded, in an order in which nothing can
//! come back: unmount, nobody has it open, no queueing, disks deleted, map removed, sessions ended.

use std::collections::BTreeSet;

use contract::{IscsiAttachment, NfsAttachment, PublishContext, Wwid};

use super::{Plan, mounts, nfs};
use crate::facts::{Facts, MapFact, MountFact, PathFact, Probe, SessionFact, names};
use crate::intent::Unstage;
use crate::outcome::Disposition;
use crate::progress::Progress;
use crate::proof::{self, Idle};
use crate::record::StageRecord;
use crate::refusal::{Hazard, Refusal};
use crate::step::Step;

pub(super) fn unstage(
    unstage: &Unstage,
    record: Option<&StageRecord>,
    facts: &Facts,
    progress: &Progress,
) -> Result<Plan, Refusal> {
    require_place(unstage, record)?;
    match record.map(|record| &record.attachment) {
        Some(PublishContext::Nfs(nfs)) => unstage_export(unstage, Some(nfs), facts),
        Some(PublishContext::Iscsi(iscsi)) => unstage_lun(unstage, iscsi, facts, progress),
        None => unstage_unrecorded(unstage, facts),
    }
}

/// An OK for another place would end with the record forgotten and the volume still mounted where it
/// is (hazard H06). Not a conflict: CSI knows ALREADY_EXISTS for staging alone.
fn require_place(unstage: &Unstage, record: Option<&StageRecord>) -> Result<(), Refusal> {
    match record.map(|record| &record.staging) {
        Some(staged) if *staged != unstage.staging => Err(Refusal::refused(
            Hazard::H06,
            format!("volume {} is staged at {staged}, not at {}", unstage.volume, unstage.staging),
            format!("unstage it from {staged}"),
        )),
        _ => Ok(()),
    }
}

/// Without a record, only what stands at the staging path tells. An export is simply unmounted. A
/// device needs a record first ([`crate::record::reconstruct`]): after its unmount nothing would
/// lead to its disks and sessions any more (hazard H06).
fn unstage_unrecorded(unstage: &Unstage, facts: &Facts) -> Result<Plan, Refusal> {
    match mounts::topmost(facts, &unstage.staging) {
        None => Ok(Plan::fulfilled()),
        Some(mount) if mounts::is_nfs(mount) => unstage_export(unstage, None, facts),
        Some(mount) => Err(Refusal::refused(
            Hazard::H06,
            format!(
                "{} is a mount of {}, nothing is recorded about volume {}, and its device cannot be identified",
                mount.mount_point, mount.source, unstage.volume
            ),
            "see whether the device's paths are up; the call will be repeated",
        )
        .with(Disposition::Transient)),
    }
}

fn unstage_export(unstage: &Unstage, nfs: Option<&NfsAttachment>, facts: &Facts) -> Result<Plan, Refusal> {
    let mounted: Vec<&MountFact> = mounts::at(facts, &unstage.staging).collect();
    for mount in &mounted {
        if let Some(nfs) = nfs {
            nfs::require_export(mount, nfs)?;
        }
    }
    let is_of = |mount: &MountFact| match nfs {
        Some(nfs) => nfs::is_export(mount, nfs),
        None => mounts::is_nfs(mount) && mounted.iter().any(|staged| staged.source == mount.source),
    };
    require_unpublished(unstage, facts, "export", is_of)?;
    Ok(Plan::sequence(mounted.into_iter().rev().map(mounts::unmount)))
}

fn unstage_lun(
    unstage: &Unstage,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    progress: &Progress,
) -> Result<Plan, Refusal> {
    let map = match &facts.map {
        Probe::Present(map) => Some(map),
        Probe::Absent => None,
        Probe::Unknown(why) => {
            return Err(Refusal::refused(
                Hazard::H03,
                format!("it cannot be told whether the map of WWID {} is there ({why})", iscsi.identity.wwid),
                "the call will be repeated",
            )
            .with(Disposition::Transient));
        }
    };
    if let Some(map) = map {
        let device = format!("device {}", map.kernel_name());
        require_unpublished(unstage, facts, &device, |mount| mounts::is_of(mount, map))?;
    }
    if let Some(plan) = unmount(unstage, iscsi, facts, map)? {
        return Ok(plan);
    }
    let mut plan = Plan::fulfilled();
    if let Some(map) = map {
        match Idle::<proof::Map>::prove(facts, map) {
            Ok(idle) => remove_device(&mut plan, iscsi, facts, progress, Some((map, idle)))?,
            // udev looks at a device that was just closed: give it a moment, then look again.
            Err(_) if progress.may_await_idle() => {
                return Ok(Plan::sequence([Step::AwaitIdle { wwid: map.wwid.clone() }]));
            }
            Err(in_use) => return Err(in_use),
        }
    } else {
        remove_device(&mut plan, iscsi, facts, progress, None)?;
    }
    if !progress.target_shared {
        leave_target(&mut plan, iscsi, facts);
    }
    Ok(plan)
}

/// Takes the staging mount away, when there is one.
fn unmount(
    unstage: &Unstage,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    map: Option<&MapFact>,
) -> Result<Option<Plan>, Refusal> {
    let mounted: Vec<&MountFact> = mounts::at(facts, &unstage.staging).collect();
    if mounted.is_empty() {
        return Ok(None);
    }
    for mount in &mounted {
        mounts::require_device(mount, facts, iscsi)?;
    }
    // Written data waits in a queueing map for ever when no path is left; umount would wait with it.
    let dead = map.filter(|map| map.usable.is_empty());
    let stop = dead.map(|map| Step::StopQueueing { wwid: map.wwid.clone() });
    let idle = map.map(|map| Step::AwaitIdle { wwid: map.wwid.clone() });
    let unmounts = mounted.into_iter().rev().map(mounts::unmount);
    Ok(Some(Plan::sequence(stop.into_iter().chain(unmounts).chain(idle))))
}

/// Refuses while the volume is mounted anywhere but at its staging path: a pod still uses it. What
/// follows an unstage revokes the access on the array, and the pod's files would hang or fail under it
/// (hazard H10). The staging mount stays too, so that another publish still finds it.
fn require_unpublished(
    unstage: &Unstage,
    facts: &Facts,
    what: &str,
    is_of: impl Fn(&MountFact) -> bool,
) -> Result<(), Refusal> {
    let elsewhere: Vec<&str> = facts
        .mounts
        .iter()
        .filter(|mount| mount.mount_point != unstage.staging.as_str() && is_of(mount))
        .map(|mount| mount.mount_point.as_str())
        .collect();
    if elsewhere.is_empty() {
        return Ok(());
    }
    Err(Refusal::refused(
        Hazard::H10,
        format!("the volume's {what} is still mounted at {}", names(elsewhere)),
        "call NodeUnpublishVolume for these paths first",
    ))
}

/// The disks go before the map, or multipathd could make the map again from one that is left; and
/// the map stops queueing before, or whoever probes it then would hang and hold it.
fn remove_device(
    plan: &mut Plan,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    progress: &Progress,
    map: Option<(&MapFact, Idle<proof::Map>)>,
) -> Result<(), Refusal> {
    let in_map = |path: &PathFact| map.as_ref().is_some_and(|(map, _)| map.paths.contains(&path.name));
    let mut disks = Vec::new();
    for path in &facts.paths {
        let ours = match &path.identity {
            Probe::Present(shown) if shown.wwid == iscsi.identity.wwid => true,
            // The number is another volume's now; whoever is recorded on the target may own it.
            Probe::Present(_) if progress.target_shared => false,
            Probe::Present(shown) => return Err(stranger(path, &shown.wwid)),
            // Nobody answers for it: it is ours by its place on our target, or in our map.
            Probe::Absent | Probe::Unknown(_) => in_map(path) || path.hctl.lun == iscsi.lun,
        };
        if ours {
            disks.push(Step::DeletePath {
                disk: Idle::<proof::Disk>::prove(facts, path, &iscsi.identity.wwid)?,
            });
        }
    }
    if let Some((map, idle)) = map {
        if !map.usable.is_empty() {
            plan.push_all(vec![Step::FlushMap { wwid: map.wwid.clone() }]);
        }
        plan.push_all(vec![Step::StopQueueing { wwid: map.wwid.clone() }]);
        plan.push_all(disks);
        plan.push_all(vec![Step::RemoveMap { map: idle }]);
    } else {
        plan.push_all(disks);
    }
    Ok(())
}

/// A disk no record explains, where the volume's disk should be: deleting it might harm, logging out
/// beneath it would leave its map behind (hazard H02).
fn stranger(path: &PathFact, shown: &Wwid) -> Refusal {
    Refusal::refused(
        Hazard::H02,
        format!(
            "disk {} ({}) stands at the volume's LUN number and shows WWID {shown}",
            path.name, path.hctl
        ),
        "no volume recorded on this node has it: if nobody uses it, remove its multipath map and delete \
         the disk, then repeat",
    )
}

/// Ends the sessions nobody else needs, and forgets their portals.
fn leave_target(plan: &mut Plan, iscsi: &IscsiAttachment, facts: &Facts) {
    let ours = facts.sessions.iter().filter(|session| session.target == iscsi.target);
    let alone = |session: &&SessionFact| session.other_luns == 0;
    let logouts = ours.clone().filter(alone).map(|session| Step::LogOut {
        sid: session.sid,
        target: session.target.clone(),
        portal: session.portal,
    });
    let kept: BTreeSet<_> = ours.map(|session| session.portal.socket_addr()).collect();
    let orphans = facts.node_records.iter().filter(|portal| !kept.contains(&portal.socket_addr()));
    let forgotten =
        orphans.map(|portal| Step::ForgetPortal { target: iscsi.target.clone(), portal: *portal });
    let steps: Vec<Step> = logouts.chain(forgotten).collect();
    plan.push_all(steps);
}
