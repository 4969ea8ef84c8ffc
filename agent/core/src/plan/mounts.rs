//! Publishing and unpublishing: what appears at a pod's target path, and its disappearance.

use contract::{IscsiAttachment, NfsAttachment, PublishContext};

use super::{Plan, nfs};
use crate::facts::{Facts, MapFact, MountFact, PathKind, Probe};
use crate::intent::{Publish, Unpublish, Usage};
use crate::outcome::Disposition;
use crate::path::HostPath;
use crate::progress::Progress;
use crate::proof::Verified;
use crate::record::StageRecord;
use crate::refusal::{Hazard, Refusal};
use crate::step::Step;

/// The mount one sees at `path`.
pub(super) fn topmost<'a>(facts: &'a Facts, path: &'a HostPath) -> Option<&'a MountFact> {
    at(facts, path).next_back()
}

/// All mounts at exactly `path`, the topmost last.
pub(super) fn at<'a>(facts: &'a Facts, path: &'a HostPath) -> impl DoubleEndedIterator<Item = &'a MountFact> {
    facts.mounts.iter().filter(|mount| mount.mount_point == path.as_str())
}

/// The refusal for something else mounted where the volume belongs.
pub(super) fn other_mount(mount: &MountFact, wanted: &str) -> Refusal {
    Refusal::refused(
        Hazard::H13,
        format!("{} is a mount of {} ({}), not of {wanted}", mount.mount_point, mount.source, mount.fs_type),
        "nothing was mounted over it; unmount it if it is left over",
    )
}

/// Checks that `mount` is the filesystem of the volume's own map (hazards H12, H13).
pub(super) fn require_device(
    mount: &MountFact,
    facts: &Facts,
    iscsi: &IscsiAttachment,
) -> Result<(), Refusal> {
    let own = facts.map.present().filter(|map| map.wwid == iscsi.identity.wwid);
    match (own, &facts.map) {
        (Some(map), _) if mount.device == map.number => Ok(()),
        (_, Probe::Unknown(why)) => Err(Refusal::refused(
            Hazard::H12,
            format!("it cannot be told whether {} is the volume's mount ({why})", mount.mount_point),
            "the call will be repeated",
        )
        .with(Disposition::Transient)),
        _ => Err(other_mount(mount, &format!("the device with WWID {}", iscsi.identity.wwid))),
    }
}

pub(super) fn publish(
    publish: &Publish,
    record: Option<&StageRecord>,
    facts: &Facts,
) -> Result<Plan, Refusal> {
    let attachment = record.map(|record| &record.attachment).or(publish.attachment.as_ref());
    let Some(attachment) = attachment else {
        return Err(not_staged(publish, "nothing is recorded about it on this node"));
    };
    if record.is_some_and(|record| (record.usage == Usage::Block) != (publish.usage == Usage::Block)) {
        return Err(Refusal::refused(
            Hazard::H12,
            format!("volume {} is staged in another access type than {}", publish.volume, publish.usage),
            "publish it as it was staged",
        )
        .with(Disposition::Conflict));
    }
    match (attachment, &publish.usage) {
        (PublishContext::Nfs(nfs), Usage::Filesystem { .. }) => publish_export(publish, nfs, facts),
        (PublishContext::Iscsi(iscsi), Usage::Filesystem { .. }) => publish_filesystem(publish, iscsi, facts),
        (PublishContext::Iscsi(iscsi), Usage::Block) => publish_block(publish, iscsi, facts),
        (PublishContext::Nfs(_), Usage::Block) => Err(Refusal::refused(
            Hazard::H12,
            format!("volume {} is an export; an export is no block device", publish.volume),
            "claim it with volumeMode: Filesystem",
        )
        .with(Disposition::Invalid)),
    }
}

fn not_staged(publish: &Publish, why: &str) -> Refusal {
    Refusal::refused(
        Hazard::H12,
        format!("volume {} is not staged at {}: {why}", publish.volume, publish.staging),
        "call NodeStageVolume first",
    )
}

fn publish_export(publish: &Publish, nfs: &NfsAttachment, facts: &Facts) -> Result<Plan, Refusal> {
    let staged =
        topmost(facts, &publish.staging).ok_or_else(|| not_staged(publish, "nothing is mounted there"))?;
    nfs::require_export(staged, nfs)?;
    bind(publish, staged, facts)
}

fn publish_filesystem(publish: &Publish, iscsi: &IscsiAttachment, facts: &Facts) -> Result<Plan, Refusal> {
    let staged =
        topmost(facts, &publish.staging).ok_or_else(|| not_staged(publish, "nothing is mounted there"))?;
    require_device(staged, facts, iscsi)?;
    bind(publish, staged, facts)
}

fn bind(publish: &Publish, staged: &MountFact, facts: &Facts) -> Result<Plan, Refusal> {
    if !publish.read_only && staged.super_options.split(',').next() == Some("ro") {
        return Err(Refusal::refused(
            Hazard::H14,
            format!("the filesystem at {} is read-only", publish.staging),
            "it was asked for so at stage, or the kernel turned it read-only after an error: see its log; \
             unstage and stage again, or publish it read-only",
        ));
    }
    if let Some(mount) = topmost(facts, &publish.target) {
        if (mount.device, &mount.root) != (staged.device, &staged.root) {
            return Err(other_mount(mount, &format!("volume {}", publish.volume)));
        }
        return same_access(publish, mount);
    }
    require_kind(publish, facts, PathKind::Directory)?;
    Ok(Plan::sequence([
        Step::EnsureDirectory { path: publish.target.clone() },
        Step::BindMount {
            from: publish.staging.clone(),
            to: publish.target.clone(),
            read_only: publish.read_only,
        },
    ]))
}

fn publish_block(publish: &Publish, iscsi: &IscsiAttachment, facts: &Facts) -> Result<Plan, Refusal> {
    if facts.map.is_absent() {
        return Err(not_staged(publish, "its multipath map is not there"));
    }
    let device = Verified::prove(facts, iscsi)?;
    if let Some(mount) = topmost(facts, &publish.target) {
        if mount.node_of != Some(device.what().number) {
            return Err(other_mount(mount, &format!("volume {}", publish.volume)));
        }
        return same_access(publish, mount);
    }
    require_kind(publish, facts, PathKind::File)?;
    Ok(Plan::sequence([
        Step::EnsureFile { path: publish.target.clone() },
        Step::BindDevice { device, to: publish.target.clone(), read_only: publish.read_only },
    ]))
}

fn same_access(publish: &Publish, mount: &MountFact) -> Result<Plan, Refusal> {
    if mount.read_only == publish.read_only {
        return Ok(Plan::fulfilled());
    }
    let access = |read_only| if read_only { "read-only" } else { "read-write" };
    Err(Refusal::refused(
        Hazard::H13,
        format!(
            "volume {} is already published at {} {}, not {}",
            publish.volume,
            publish.target,
            access(mount.read_only),
            access(publish.read_only)
        ),
        "unpublish it first",
    )
    .with(Disposition::Conflict))
}

fn require_kind(publish: &Publish, facts: &Facts, wanted: PathKind) -> Result<(), Refusal> {
    match &facts.target {
        Probe::Absent => Ok(()),
        Probe::Present(kind) if *kind == wanted => Ok(()),
        Probe::Present(kind) => Err(Refusal::refused(
            Hazard::H13,
            format!("target {} is a {kind:?} where a {wanted:?} is needed", publish.target),
            "remove it or choose another target path",
        )),
        Probe::Unknown(why) => Err(Refusal::refused(
            Hazard::H13,
            format!("it cannot be told what target {} is ({why})", publish.target),
            "the call will be repeated",
        )
        .with(Disposition::Transient)),
    }
}

pub(super) fn unpublish(
    unpublish: &Unpublish,
    record: Option<&StageRecord>,
    facts: &Facts,
    progress: &Progress,
) -> Result<Plan, Refusal> {
    let target = &unpublish.target;
    let mounted: Vec<&MountFact> = at(facts, target).collect();
    let below = |mount: &&MountFact| {
        mount.mount_point != target.as_str()
            && target.contains(&mount.mount_point)
            && !is_crossing(mount, &mounted, facts)
    };
    if let Some(inner) = facts.mounts.iter().find(below) {
        return Err(Refusal::refused(
            Hazard::H13,
            format!("{} is mounted below {target}", inner.mount_point),
            "the agent did not mount it and leaves it alone; unmount it and repeat",
        )
        .with(Disposition::Transient));
    }
    for mount in &mounted {
        require_ours(mount, unpublish, record, facts, progress)?;
    }
    let unmounts = mounted.iter().rev().map(|mount| unmount(mount));
    let kind = match mounted.first() {
        Some(mount) if mount.node_of.is_some() => Probe::Present(PathKind::File),
        Some(_) => Probe::Present(PathKind::Directory),
        None => facts.target.clone(),
    };
    let remove = match kind {
        Probe::Present(PathKind::Directory) => Some(Step::RemoveDirectory { path: target.clone() }),
        Probe::Present(PathKind::File) => Some(Step::RemoveFile { path: target.clone() }),
        Probe::Absent => None,
        Probe::Present(PathKind::Other) => {
            return Err(Refusal::refused(
                Hazard::H13,
                format!("target {target} is neither a directory nor a file, so it is none of ours"),
                "remove it by hand if it is left over",
            ));
        }
        Probe::Unknown(why) => {
            return Err(Refusal::refused(
                Hazard::H13,
                format!("it cannot be told what target {target} is ({why})"),
                "the call will be repeated",
            )
            .with(Disposition::Transient));
        }
    };
    Ok(Plan::sequence(unmounts.chain(remove)))
}

/// Refuses a mount that is not proven to be a publish of the volume: what somebody else mounted there
/// is theirs (hazard H10).
fn require_ours(
    mount: &MountFact,
    unpublish: &Unpublish,
    record: Option<&StageRecord>,
    facts: &Facts,
    progress: &Progress,
) -> Result<(), Refusal> {
    match record.map(|record| &record.attachment) {
        Some(PublishContext::Nfs(nfs)) => nfs::require_export(mount, nfs),
        Some(PublishContext::Iscsi(iscsi)) => match &facts.map {
            Probe::Present(map) if is_of(mount, map) => Ok(()),
            Probe::Present(map) => Err(other_mount(mount, &format!("map {}", map.name))),
            Probe::Absent if is_orphan(mount) => Ok(()),
            Probe::Absent => {
                Err(other_mount(mount, &format!("the device with WWID {}", iscsi.identity.wwid)))
            }
            Probe::Unknown(why) => Err(Refusal::refused(
                Hazard::H13,
                format!("it cannot be told whether {} is the volume's mount ({why})", mount.mount_point),
                "the call will be repeated",
            )
            .with(Disposition::Transient)),
        },
        None => require_published(mount, unpublish, facts, progress),
    }
}

/// Without a record only the mount itself can tell that it is a publish: it is the node of a map, or
/// the same filesystem, of an export or a map, stands at another place, from where it was bound; and
/// no other volume's record claims it.
fn require_published(
    mount: &MountFact,
    unpublish: &Unpublish,
    facts: &Facts,
    progress: &Progress,
) -> Result<(), Refusal> {
    let map = facts.map.present();
    let is_node = map.is_some_and(|map| mount.node_of == Some(map.number));
    let is_volume = is_nfs(mount) || map.is_some_and(|map| mount.device == map.number);
    let origin = facts.mounts.iter().any(|other| {
        other.mount_point != mount.mount_point && (other.device, &other.root) == (mount.device, &mount.root)
    });
    let claimed = progress.others.iter().find(|other| match &other.attachment {
        PublishContext::Nfs(nfs) => nfs::is_export(mount, nfs),
        PublishContext::Iscsi(iscsi) => {
            map.is_some_and(|map| map.wwid == iscsi.identity.wwid && is_of(mount, map))
        }
    });
    if let Some(other) = claimed {
        return Err(other_mount(
            mount,
            &format!("volume {} but of volume {}", unpublish.volume, other.volume),
        ));
    }
    if is_node || (is_volume && origin) {
        return Ok(());
    }
    Err(Refusal::refused(
        Hazard::H10,
        format!(
            "{} is a mount of {} ({}); nothing is recorded about volume {} on this node, and nothing shows \
             that this is a publish of it",
            mount.mount_point, mount.source, mount.fs_type, unpublish.volume
        ),
        "it was not unmounted; unmount it by hand if it is left over, then repeat",
    ))
}

/// What is left at a target of a volume whose map went away beneath it.
fn is_orphan(mount: &MountFact) -> bool {
    let of_map = ["/dev/dm-", "/dev/mapper/"].iter().any(|prefix| mount.source.starts_with(prefix));
    let of_node = mount.fs_type == "devtmpfs" && mount.root.starts_with("/dm-");
    of_map || (of_node && mount.root.ends_with("//deleted"))
}

/// Whether `mount` came of itself when somebody walked from one of `above` into another filesystem of
/// the same server (a `.snapshot` directory, a junction). The kernel's NFS client makes such mounts,
/// and detaching what they stand on takes them along.
fn is_crossing(mount: &MountFact, above: &[&MountFact], facts: &Facts) -> bool {
    let server = |mount: &MountFact| mount.source.split_once(":/").map(|(server, _)| server.to_owned());
    let mut at = mount;
    // A chain is no longer than the table: a loop in it ends there.
    for _ in 0..=facts.mounts.len() {
        if let Some(parent) = above.iter().find(|parent| parent.id == at.parent) {
            return is_nfs(mount) && is_nfs(parent) && server(mount) == server(parent);
        }
        let Some(parent) = facts.mounts.iter().find(|parent| parent.id == at.parent) else { return false };
        at = parent;
    }
    false
}

/// Whether it is a mount of an export.
pub(super) fn is_nfs(mount: &MountFact) -> bool {
    matches!(mount.fs_type.as_str(), "nfs" | "nfs4")
}

/// Whether `mount` is of the map's filesystem, or of its device node.
pub(super) fn is_of(mount: &MountFact, map: &MapFact) -> bool {
    mount.device == map.number || mount.node_of == Some(map.number)
}

/// NFS is detached: its server may be gone, and waiting for it could last for ever (hazard H04).
pub(super) fn unmount(mount: &MountFact) -> Step {
    Step::Unmount { at: mount.mount_point.clone(), mount_id: mount.id, detach: is_nfs(mount) }
}
