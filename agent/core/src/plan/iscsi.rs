//! Staging a LUN: sessions, then disks and their map, then filesystem and mount.

use std::time::Duration;

use contract::IscsiAttachment;

use super::{Batch, Need, Plan, Then, mounts};
use crate::facts::{Content, Facts, PathFact, Probe, SessionFact, SessionState, names};
use crate::intent::{Stage, Usage};
use crate::outcome::Disposition;
use crate::progress::Progress;
use crate::proof::{self, Blank, Device, Idle, Verified};
use crate::refusal::{Hazard, Refusal};
use crate::step::Step;

/// What a slow or dead portal may cost beyond the others (hazard H08).
const PORTAL_GRACE: Duration = Duration::from_secs(2);
/// How long to wait for a path whose session is up once the first path is usable (hazard H05).
/// The kernel's probe of its disk, udev and multipathd need this long on a busy node; a dead portal has
/// no session and costs nothing.
const MAP_WINDOW: Duration = Duration::from_secs(5);

pub(super) fn stage(
    stage: &Stage,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    progress: &Progress,
) -> Result<Plan, Refusal> {
    if let Some(mount) = mounts::topmost(facts, &stage.staging) {
        mounts::require_device(mount, facts, iscsi)?;
        refute(facts, iscsi)?;
        return Ok(Plan::fulfilled());
    }
    if let Some(plan) = sessions(iscsi, facts, progress)? {
        return Ok(plan);
    }
    if let Some(plan) = devices(stage, iscsi, facts, progress)? {
        return Ok(plan);
    }
    require_unheld(facts)?;
    let device = Verified::prove(facts, iscsi)?;
    match &stage.usage {
        Usage::Block => Ok(Plan::fulfilled()),
        Usage::Filesystem { fs, mount_options } => {
            let fs = fs.unwrap_or(iscsi.default_fs);
            let mount = |device| Step::MountDevice {
                device,
                fs,
                at: stage.staging.clone(),
                options: options(fs, mount_options),
            };
            let Some(ready) = filesystem(fs, device, iscsi, facts, progress)? else {
                return Ok(Plan::read_content());
            };
            if ready.format.is_some() && mount_options.iter().any(|option| option == "ro") {
                return Err(Refusal::refused(
                    Hazard::H01,
                    format!("volume {} is blank, and it is asked for read-only", stage.volume),
                    "nothing was written; a volume gets its filesystem from its first writer",
                ));
            }
            let directory = Step::EnsureDirectory { path: stage.staging.clone() };
            Ok(Plan::sequence(ready.format.into_iter().chain([directory, mount(ready.device)])))
        }
    }
}

/// XFS refuses a second filesystem with the same UUID: a clone beside its source (hazard P76).
fn options(fs: contract::FsType, asked: &[String]) -> Vec<String> {
    let own = (fs == contract::FsType::Xfs).then(|| "nouuid".to_owned());
    own.into_iter().chain(asked.iter().cloned()).collect()
}

fn is_live(session: &SessionFact) -> bool {
    session.state == SessionState::LoggedIn
}

fn live<'a>(facts: &'a Facts, iscsi: &IscsiAttachment) -> Vec<&'a SessionFact> {
    let offered = |session: &&SessionFact| {
        iscsi.portals.iter().any(|portal| portal.socket_addr() == session.portal.socket_addr())
    };
    facts.sessions.iter().filter(|session| is_live(session)).filter(offered).collect()
}

/// Logs in to every portal that has no usable session, all at once. One that is there and not usable
/// may be another volume's login under way: its end is waited for, not taken for a lost path.
fn sessions(iscsi: &IscsiAttachment, facts: &Facts, progress: &Progress) -> Result<Option<Plan>, Refusal> {
    let live = live(facts, iscsi);
    let missing = iscsi.portals.iter().filter(|portal| {
        let address = portal.socket_addr();
        let usable = live.iter().any(|session| session.portal.socket_addr() == address);
        !usable && !progress.tried_login(address)
    });
    let steps: Vec<Step> = missing
        .map(|portal| Step::LogIn {
            target: iscsi.target.clone(),
            portal: *portal,
            authenticated: iscsi.authenticated,
        })
        .collect();
    if !steps.is_empty() {
        let need = Need::AtLeast { count: usize::from(live.is_empty()), grace: PORTAL_GRACE };
        return Ok(Some(Plan { batches: vec![Batch { steps, need }], then: Then::Verify }));
    }
    if live.is_empty() {
        return Err(Refusal::refused(
            Hazard::H08,
            format!(
                "no session to target {} is logged in (portals {})",
                iscsi.target,
                names(iscsi.portals.iter().map(ToString::to_string))
            ),
            "check the network to these addresses and the target's portals; the call will be repeated",
        )
        .with(Disposition::Transient));
    }
    Ok(None)
}

/// Finds the LUN on every live session and waits for its map.
fn devices(
    stage: &Stage,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    progress: &Progress,
) -> Result<Option<Plan>, Refusal> {
    let live = live(facts, iscsi);
    let here = |session: &SessionFact| {
        facts.paths.iter().find(|path| path.hctl.host == session.host && path.hctl.lun == iscsi.lun)
    };
    let stale: Vec<&PathFact> =
        live.iter().filter_map(|session| here(session)).filter(|path| is_stale(path, iscsi)).collect();
    let mut scans = Vec::new();
    let mut deletions = Vec::new();
    for session in &live {
        match here(session) {
            Some(path) if is_stale(path, iscsi) && progress.scanned(session.sid) => {
                return Err(wrong_lun(stage, path, iscsi));
            }
            // H02: the number was another volume's. A disk somebody uses is never taken away.
            Some(path) if is_stale(path, iscsi) => {
                let disk = Idle::<proof::Disk>::prove(facts, path, &iscsi.identity.wwid)?;
                deletions.push(Step::DeletePath { disk });
            }
            Some(_) => continue,
            None if progress.scanned(session.sid) => continue,
            None => {}
        }
        scans.push(Step::ScanLun { sid: session.sid, host: session.host, lun: iscsi.lun });
    }
    let found = live.iter().filter(|session| here(session).is_some()).count() - stale.len();
    let usable = facts.map.present().map_or(0, |map| map.usable.len());
    let await_map = !progress.awaited_map() && usable < live.len();
    if scans.is_empty() && !await_map {
        return Ok(None);
    }
    let mut plan = Plan { batches: Vec::new(), then: Then::Verify };
    plan.push_all(deletions);
    if !scans.is_empty() {
        let need = Need::AtLeast { count: usize::from(found == 0), grace: MAP_WINDOW };
        plan.batches.push(Batch { steps: scans, need });
    }
    if await_map {
        let wwid = iscsi.identity.wwid.clone();
        let wait = Step::AwaitMap { wwid, paths: live.len(), window: MAP_WINDOW };
        plan.batches.push(Batch { steps: vec![wait], need: Need::Attempt });
    }
    if stage.usage != Usage::Block {
        plan.then = Then::ReadContent;
    }
    Ok(Some(plan))
}

fn is_stale(path: &PathFact, iscsi: &IscsiAttachment) -> bool {
    matches!(&path.identity, Probe::Present(shown) if *shown != iscsi.identity)
}

fn wrong_lun(stage: &Stage, path: &PathFact, iscsi: &IscsiAttachment) -> Refusal {
    let shown = path.identity.present().map_or_else(|| "nothing".to_owned(), |shown| shown.wwid.to_string());
    Refusal::refused(
        Hazard::H02,
        format!(
            "LUN {} of {} ({}) shows WWID {shown} after a fresh scan, volume {} has WWID {}",
            iscsi.lun, iscsi.target, path.name, stage.volume, iscsi.identity.wwid
        ),
        "check on the array which LUN is mapped to this node under this number",
    )
}

/// A disk that shows the right identity although another map holds it is the disk of a volume that
/// had this LUN number before and was never unstaged here (hazard H02). multipathd will not use it
/// for a second map, and taking it from the first is not this volume's business.
fn require_unheld(facts: &Facts) -> Result<(), Refusal> {
    if !facts.map.is_absent() {
        return Ok(());
    }
    let Some(path) = facts.paths.iter().find(|path| !path.holders.is_empty()) else { return Ok(()) };
    Err(Refusal::refused(
        Hazard::H02,
        format!(
            "disk {} ({}) is held by {}, left over from a volume that had LUN {} before",
            path.name,
            path.hctl,
            names(path.holders.clone()),
            path.hctl.lun
        ),
        "unstage that volume on this node; the call will be repeated",
    )
    .with(Disposition::Transient))
}

/// A mounted map with a path that shows another device must not be called staged (hazard H02).
fn refute(facts: &Facts, iscsi: &IscsiAttachment) -> Result<(), Refusal> {
    let Some(map) = facts.map.present() else { return Ok(()) };
    let foreign = facts.paths.iter().find(|path| map.paths.contains(&path.name) && is_stale(path, iscsi));
    match foreign {
        None => Ok(()),
        Some(path) => Err(Refusal::refused(
            Hazard::H02,
            format!(
                "path {} ({}) of the mounted map {} shows another device",
                path.name, path.hctl, map.name
            ),
            "stop the workload, unstage the volume and stage it again",
        )),
    }
}

/// A device that can be mounted once the step, if there is one, has formatted it.
struct Ready {
    format: Option<Step>,
    device: Verified<Device>,
}

/// What makes the device mountable as `fs`; `None` when its content must be read first.
fn filesystem(
    fs: contract::FsType,
    device: Verified<Device>,
    iscsi: &IscsiAttachment,
    facts: &Facts,
    progress: &Progress,
) -> Result<Option<Ready>, Refusal> {
    match &facts.content {
        Probe::Unknown(_) if !progress.content_wanted() => Ok(None),
        Probe::Present(Content::Filesystem(found)) if found.kind == fs => {
            Ok(Some(Ready { format: None, device }))
        }
        Probe::Present(Content::Filesystem(found)) => Err(proof::holds_data(
            &device,
            &format!("a filesystem {} (UUID {}) where {fs} is asked for", found.kind, found.uuid),
        )),
        _ => {
            let blank = Blank::prove(facts, &device)?;
            if device.what().size != iscsi.size {
                return Err(Refusal::refused(
                    Hazard::H02,
                    format!(
                        "blank device {} has {} bytes, the controller promised {}",
                        device.what().number,
                        device.what().size,
                        iscsi.size
                    ),
                    "nothing was written; publish the volume again, so that both agree on its size",
                ));
            }
            let mountable = Verified::prove(facts, iscsi)?;
            let format = Some(Step::MakeFilesystem { device, blank, fs });
            Ok(Some(Ready { format, device: mountable }))
        }
    }
}
