//! Plans as reviewed text. `TINE_UPDATE_TRANSCRIPTS=1 cargo nextest run -p agent-core` writes the
//! transcripts anew; the difference is then read like code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail this way")]

mod flight;
mod model;

use std::path::Path;

use agent_core::facts::{Facts, Probe, SessionState};
use agent_core::intent::{Intent, Publish, Stage, Unpublish, Unstage, Usage};
use agent_core::outcome::Disposition;
use agent_core::progress::Progress;
use agent_core::proof::{Disk, Idle};
use agent_core::record::{self, StageRecord};
use contract::{FsType, IscsiAttachment, PublishContext};
use flight::{End, fly, fly_with};
use model::{Data, World, attachment, export, lun, portal, target};

const STAGING: &str = "/var/lib/kubelet/plugins/csi.tine.dev/vol-1/globalmount";
const TARGET: &str = "/var/lib/kubelet/pods/p1/volumes/vol-1/mount";

fn filesystem(fs: Option<FsType>) -> Usage {
    Usage::Filesystem { fs, mount_options: vec!["noatime".to_owned()] }
}

fn stage(attachment: PublishContext, usage: Usage) -> Stage {
    Stage { volume: "vol-1".parse().unwrap(), attachment, staging: STAGING.parse().unwrap(), usage }
}

fn unstage() -> Unstage {
    Unstage { volume: "vol-1".parse().unwrap(), staging: STAGING.parse().unwrap() }
}

fn publish(usage: Usage, read_only: bool) -> Intent {
    Intent::Publish(Publish {
        volume: "vol-1".parse().unwrap(),
        attachment: None,
        staging: STAGING.parse().unwrap(),
        target: TARGET.parse().unwrap(),
        usage,
        read_only,
    })
}

fn unpublish() -> Intent {
    Intent::Unpublish(Unpublish { volume: "vol-1".parse().unwrap(), target: TARGET.parse().unwrap() })
}

/// A world with one LUN that holds `data`, and how it is reached.
fn world(data: Data) -> (World, IscsiAttachment) {
    let mut world = World::default();
    let lun = lun(1, data);
    let attachment = attachment(&target("a"), 3, &lun);
    world.luns.insert((target("a"), 3), lun);
    (world, attachment)
}

fn san(usage: Usage) -> (World, PublishContext, Usage) {
    let (world, iscsi) = world(Data::Zeros);
    (world, PublishContext::Iscsi(iscsi), usage)
}

fn expect_transcript(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(format!("{name}.txt"));
    if std::env::var_os("TINE_UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        reviewed == text,
        "the plan is not the reviewed one of {}; is:\n{text}\n(TINE_UPDATE_TRANSCRIPTS=1 accepts it)",
        path.display()
    );
}

#[test]
fn an_export_is_mounted_once_and_bound_for_each_pod() {
    let mut world = World::default();
    let stage = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&stage);
    let mut text = String::new();
    for intent in [
        Intent::Stage(stage.clone()),
        Intent::Stage(stage),
        publish(filesystem(None), true),
        publish(filesystem(None), true),
        unpublish(),
        Intent::Unstage(unstage()),
    ] {
        let (end, flight, _) = fly(&mut world, &intent, Some(&record));
        assert!(end.is_fulfilled(), "{flight}");
        text.push_str(&flight);
        text.push('\n');
    }
    assert!(world.is_clean() && world.file(TARGET).is_none());
    expect_transcript("nfs", &text);
}

#[test]
fn a_blank_lun_is_formatted_mounted_and_taken_away_whole() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(Some(FsType::Xfs)));
    let record = StageRecord::of(&stage);
    let mut text = String::new();
    let mut fly = |world: &mut World, intent| {
        let (end, flight, plans) = fly(world, &intent, Some(&record));
        assert!(end.is_fulfilled(), "{flight}");
        text.push_str(&flight);
        text.push('\n');
        plans
    };
    fly(&mut world, Intent::Stage(stage.clone()));
    assert_eq!(world.sessions(), 2);
    assert_eq!(fly(&mut world, Intent::Stage(stage)), 0, "a second stage plans nothing");
    fly(&mut world, publish(filesystem(None), false));
    assert_eq!(fly(&mut world, publish(filesystem(None), false)), 0);
    fly(&mut world, unpublish());
    fly(&mut world, Intent::Unstage(unstage()));
    assert_eq!(fly(&mut world, Intent::Unstage(unstage())), 0);
    assert!(world.is_clean(), "{}", world.residue());
    assert_eq!(world.harm, Vec::<String>::new());
    expect_transcript("iscsi-filesystem", &text);
}

#[test]
fn a_raw_block_volume_is_attached_and_its_node_bound() {
    let (mut world, iscsi) = world(Data::Foreign("whatever the workload wrote"));
    let stage = stage(PublishContext::Iscsi(iscsi), Usage::Block);
    let record = StageRecord::of(&stage);
    let mut text = String::new();
    for intent in
        [Intent::Stage(stage), publish(Usage::Block, false), unpublish(), Intent::Unstage(unstage())]
    {
        let (end, flight, _) = fly(&mut world, &intent, Some(&record));
        assert!(end.is_fulfilled(), "{flight}");
        text.push_str(&flight);
        text.push('\n');
    }
    assert!(world.is_clean() && world.harm.is_empty(), "{}", world.residue());
    expect_transcript("iscsi-block", &text);
}

#[test]
fn a_dead_portal_is_tried_once_and_the_other_serves() {
    let (mut world, iscsi) = world(Data::Filesystem(FsType::Ext4));
    world.dead.insert(portal(22).socket_addr());
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    let record = StageRecord::of(&stage);
    let (end, text, _) = fly(&mut world, &Intent::Stage(stage), Some(&record));
    assert!(end.is_fulfilled(), "{text}");
    assert_eq!(world.applied.iter().filter(|step| step.starts_with("LogIn")).count(), 2);
    let (end, teardown, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert!(end.is_fulfilled() && world.is_clean(), "{teardown}{}", world.residue());
    expect_transcript("iscsi-dead-portal", &format!("{text}\n{teardown}"));
}

#[test]
fn a_device_that_holds_something_else_is_refused_and_untouched() {
    for (name, data, fs) in [
        ("foreign", Data::Foreign("a GPT at 512"), FsType::Ext4),
        ("other-filesystem", Data::Filesystem(FsType::Xfs), FsType::Ext4),
        ("unreadable", Data::Unreadable, FsType::Ext4),
    ] {
        let (mut world, iscsi) = world(data);
        let before = world.luns.clone();
        let stage = stage(PublishContext::Iscsi(iscsi), filesystem(Some(fs)));
        let record = StageRecord::of(&stage);
        let (end, text, _) = fly(&mut world, &Intent::Stage(stage), Some(&record));
        assert_eq!(end.refusal().hazard.to_string(), "H01", "{text}");
        assert_eq!(format!("{before:?}"), format!("{:?}", world.luns));
        expect_transcript(&format!("refused-{name}"), &text);
        let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
        assert!(end.is_fulfilled() && world.is_clean(), "{text}");
    }
}

#[test]
fn a_reader_formats_nothing() {
    let (mut world, iscsi) = world(Data::Zeros);
    let usage = Usage::Filesystem { fs: None, mount_options: vec!["ro".to_owned()] };
    let (end, text, _) = fly(&mut world, &Intent::Stage(stage(PublishContext::Iscsi(iscsi), usage)), None);
    assert_eq!(end.refusal().hazard.to_string(), "H01", "{text}");
    assert!(world.luns.values().all(|lun| lun.data == Data::Zeros));
}

#[test]
fn a_lun_number_that_means_another_volume_now_is_never_used() {
    let (mut world, iscsi) = world(Data::Zeros);
    world.luns.insert((target("a"), 3), lun(9, Data::Zeros));
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    let (end, text, _) = fly(&mut world, &Intent::Stage(stage.clone()), None);
    assert_eq!(end.refusal().hazard.to_string(), "H02", "{text}");
    assert!(world.luns.values().all(|lun| lun.data == Data::Zeros));
    expect_transcript("refused-wrong-lun", &text);
    // Nor is it taken away, nor called gone.
    let record = StageRecord::of(&stage);
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H02", "{text}");
    assert_eq!((world.disks(), world.sessions(), world.harm.len()), (2, 2, 0));
}

#[test]
fn a_disk_that_an_older_volumes_map_holds_is_named_and_not_used() {
    let (mut world, iscsi) = world(Data::Zeros);
    let old = stage(PublishContext::Iscsi(iscsi.clone()), Usage::Block);
    let (end, _, _) = fly(&mut world, &Intent::Stage(old), None);
    assert!(end.is_fulfilled());
    // The array reuses the number; nobody unstaged here.
    let fresh = lun(2, Data::Zeros);
    let new = attachment(&target("a"), 3, &fresh);
    world.luns.insert((target("a"), 3), fresh);
    let stage = stage(PublishContext::Iscsi(new), filesystem(None));
    let (end, text, _) = fly(&mut world, &Intent::Stage(stage), None);
    assert_eq!(end.refusal().hazard.to_string(), "H02", "{text}");
    assert!(end.refusal().found.contains("dm-4"), "{text}");
    assert!(world.harm.is_empty() && world.luns.values().all(|lun| lun.data == Data::Zeros));
}

#[test]
fn publishing_what_is_not_staged_is_refused() {
    let stage = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&stage);
    let mut world = World::default();
    let (end, _, _) = fly(&mut world, &publish(filesystem(None), false), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H12");
    let (end, _, _) = fly(&mut world, &publish(filesystem(None), false), None);
    assert_eq!(end.refusal().hazard.to_string(), "H12");
    // An ordinary directory of the host's own filesystem, or another export, is no staged volume.
    world.mount_foreign(STAGING, "192.168.49.31:/other", "nfs4");
    let (end, _, _) = fly(&mut world, &publish(filesystem(None), false), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H13");
    let (end, _, _) = fly(&mut world, &Intent::Stage(stage), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H13");
    let (end, _, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H13");
    assert_eq!(world.applied, Vec::<String>::new());
}

#[test]
fn published_read_write_is_not_published_read_only_too() {
    let mut world = World::default();
    let stage = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    let (end, _, _) = fly(&mut world, &publish(filesystem(None), true), Some(&record));
    assert_eq!(end.refusal().disposition, Disposition::Conflict);
}

#[test]
fn a_device_in_use_is_not_taken_away() {
    let (mut world, iscsi) = world(Data::Zeros);
    let wwid = iscsi.identity.wwid.clone();
    let stage = stage(PublishContext::Iscsi(iscsi), Usage::Block);
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    fly(&mut world, &publish(Usage::Block, false), Some(&record));
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H10", "{text}");
    fly(&mut world, &unpublish(), Some(&record));
    world.opened.insert(wwid.clone());
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert!(matches!(end, End::Failed(_)), "{text}");
    assert_eq!((world.disks(), world.harm.len()), (2, 0));
    world.opened.clear();
    let (end, _, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert!(end.is_fulfilled() && world.is_clean());
}

#[test]
fn sessions_that_another_volume_uses_stay() {
    let (mut world, iscsi) = world(Data::Zeros);
    let other = lun(2, Data::Zeros);
    let second = attachment(&target("a"), 4, &other);
    world.luns.insert((target("a"), 4), other);
    let first = stage(PublishContext::Iscsi(iscsi), Usage::Block);
    let record = StageRecord::of(&first);
    let mut neighbour = stage(PublishContext::Iscsi(second), Usage::Block);
    neighbour.volume = "vol-2".parse().unwrap();
    neighbour.staging = "/staging-2".parse().unwrap();
    fly(&mut world, &Intent::Stage(first.clone()), Some(&record));
    fly(&mut world, &Intent::Stage(neighbour), None);
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert!(end.is_fulfilled(), "{text}");
    assert_eq!((world.sessions(), world.disks()), (2, 2), "the neighbour keeps its two paths");
    assert!(world.harm.is_empty());

    // Also when the neighbour is only about to come.
    let mut world = self::world(Data::Zeros).0;
    fly(&mut world, &Intent::Stage(first), Some(&record));
    let mut shared = Progress::default();
    shared.target_shared = true;
    let (end, _, _) = fly_with(&mut world, &Intent::Unstage(unstage()), Some(&record), shared, &mut |_| ());
    assert!(end.is_fulfilled());
    assert_eq!((world.sessions(), world.disks()), (2, 0));
}

#[test]
fn a_volume_is_not_unstaged_from_where_it_is_not() {
    let (iscsi_world, iscsi) = world(Data::Zeros);
    let volumes =
        [(World::default(), PublishContext::Nfs(export())), (iscsi_world, PublishContext::Iscsi(iscsi))];
    for (mut world, attachment) in volumes {
        let stage = stage(attachment, filesystem(None));
        let record = StageRecord::of(&stage);
        assert!(fly(&mut world, &Intent::Stage(stage), Some(&record)).0.is_fulfilled());
        let applied = world.applied.len();
        let elsewhere = Unstage { staging: "/elsewhere".parse().unwrap(), ..unstage() };
        let (end, text, _) = fly(&mut world, &Intent::Unstage(elsewhere), Some(&record));
        let refusal = end.refusal();
        assert_eq!(refusal.hazard.to_string(), "H06", "{text}");
        assert_eq!(refusal.disposition, Disposition::Refused);
        assert!(refusal.found.contains(STAGING) && refusal.found.contains("/elsewhere"), "{refusal}");
        assert_eq!(world.applied.len(), applied, "nothing was done");
    }
}

#[test]
fn a_stranger_at_the_volumes_number_is_told_in_one_sentence() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), Usage::Block);
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    let stranger = lun(2, Data::Zeros).identity.wwid;
    let mut disturb = |facts: &mut Facts| {
        if let Some(Probe::Present(shown)) = facts.paths.first_mut().map(|path| &mut path.identity) {
            shown.wwid = stranger.clone();
        }
    };
    let intent = Intent::Unstage(unstage());
    let (end, text, _) = fly_with(&mut world, &intent, Some(&record), Progress::default(), &mut disturb);
    let refusal = end.refusal();
    assert_eq!(refusal.hazard.to_string(), "H02", "{text}");
    assert!(!refusal.to_string().contains("  "), "{refusal}");
}

#[test]
fn a_session_that_a_neighbours_login_is_making_is_waited_for() {
    let (mut world, iscsi) = world(Data::Zeros);
    let other = lun(2, Data::Zeros);
    let second = attachment(&target("a"), 4, &other);
    world.luns.insert((target("a"), 4), other);
    fly(&mut world, &Intent::Stage(stage(PublishContext::Iscsi(iscsi), Usage::Block)), None);
    let mut neighbour = stage(PublishContext::Iscsi(second), Usage::Block);
    neighbour.volume = "vol-2".parse().unwrap();
    neighbour.staging = "/staging-2".parse().unwrap();
    let mut observed = 0;
    let mut disturb = |facts: &mut Facts| {
        observed += 1;
        if let (1, Some(session)) = (observed, facts.sessions.last_mut()) {
            session.state = SessionState::Free;
        }
    };
    let intent = Intent::Stage(neighbour);
    let (end, text, _) = fly_with(&mut world, &intent, None, Progress::default(), &mut disturb);
    assert!(end.is_fulfilled(), "{text}");
    assert_eq!((world.sessions(), world.disks()), (2, 4), "both paths of both volumes: {text}");
}

#[test]
fn without_a_record_identity_comes_from_what_is_mounted() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    fly(&mut world, &Intent::Stage(stage), None);
    let intent = Intent::Unstage(unstage());
    let facts = world.observe(&agent_core::plan::query(&intent, None, &Progress::default()));
    let record = record::reconstruct(&unstage(), &facts).expect("the mounted device tells");
    let (end, text, _) = fly(&mut world, &intent, Some(&record));
    assert!(end.is_fulfilled() && world.is_clean(), "{text}{}", world.residue());

    // Nothing there: nothing to do. Something unknown there: not guessed at.
    let mut bare = World::default();
    assert!(fly(&mut bare, &intent, None).0.is_fulfilled());
    bare.mount_foreign(STAGING, "/dev/sdq", "ext4");
    assert_eq!(fly(&mut bare, &intent, None).0.refusal().hazard.to_string(), "H06");
}

#[test]
fn an_export_that_a_pod_still_uses_is_not_unstaged() {
    for recorded in [true, false] {
        let mut world = World::default();
        let stage = stage(PublishContext::Nfs(export()), filesystem(None));
        let record = StageRecord::of(&stage);
        fly(&mut world, &Intent::Stage(stage), Some(&record));
        fly(&mut world, &publish(filesystem(None), false), Some(&record));
        let (before, record) = (world.residue(), recorded.then_some(&record));
        let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), record);
        assert_eq!(end.refusal().hazard.to_string(), "H10", "{text}");
        assert_eq!(end.refusal().disposition, Disposition::Refused);
        assert!(end.refusal().found.contains(TARGET), "{}", end.refusal());
        assert_eq!(world.residue(), before, "its staging mount is still there");
        assert!(fly(&mut world, &unpublish(), record).0.is_fulfilled());
        assert!(fly(&mut world, &Intent::Unstage(unstage()), record).0.is_fulfilled() && world.is_clean());
    }
}

#[test]
fn a_pod_that_outlived_the_staging_mount_keeps_its_export_from_being_called_unstaged() {
    let mut world = World::default();
    let stage = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    world.unmount(STAGING);
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert!(end.refusal().found.contains(TARGET), "{text}");
}

#[test]
fn a_device_that_a_pod_still_uses_keeps_its_staging_mount() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    let before = world.residue();
    let (end, text, _) = fly(&mut world, &Intent::Unstage(unstage()), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H10", "{text}");
    assert_eq!(world.residue(), before);
}

#[test]
fn an_unpublish_without_a_record_unmounts_only_what_is_a_publish() {
    // Somebody's own mounts: a filesystem of the host, and an export that is mounted nowhere else.
    for (source, fs_type) in [("/dev/sdq1", "ext4"), ("tmpfs", "tmpfs"), ("192.168.49.31:/home", "nfs4")] {
        let mut world = World::default();
        world.mount_foreign(TARGET, source, fs_type);
        let (end, text, _) = fly(&mut world, &unpublish(), None);
        assert_eq!(end.refusal().disposition, Disposition::Refused, "{text}");
        assert!(end.refusal().found.contains(source), "{}", end.refusal());
        assert_eq!(world.mounts().len(), 1);
    }
    // A bind of the host's own filesystem.
    let mut world = World::default();
    world.mount_foreign("/", "/dev/sda1", "ext4");
    world.bind("/", TARGET);
    assert_eq!(fly(&mut world, &unpublish(), None).0.refusal().hazard.to_string(), "H10");

    // Publishes, whose records are lost.
    let mut world = World::default();
    let export = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&export);
    fly(&mut world, &Intent::Stage(export), Some(&record));
    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    let (end, text, _) = fly(&mut world, &unpublish(), None);
    assert!(end.is_fulfilled() && world.mounts().len() == 1, "{text}");
    for usage in [filesystem(None), Usage::Block] {
        let (mut world, iscsi) = self::world(Data::Zeros);
        let stage = stage(PublishContext::Iscsi(iscsi), usage.clone());
        let record = StageRecord::of(&stage);
        fly(&mut world, &Intent::Stage(stage), Some(&record));
        fly(&mut world, &publish(usage, false), Some(&record));
        let (end, text, _) = fly(&mut world, &unpublish(), None);
        assert!(end.is_fulfilled() && world.file(TARGET).is_none(), "{text}");
    }

    // Nothing there, or an empty directory of kubelet's.
    let mut world = World::default();
    assert!(fly(&mut world, &unpublish(), None).0.is_fulfilled());
    world.make_directory(TARGET);
    assert!(fly(&mut world, &unpublish(), None).0.is_fulfilled() && world.file(TARGET).is_none());
}

#[test]
fn what_another_volumes_record_claims_is_not_unpublished() {
    for (mut world, attachment, usage) in [
        (World::default(), PublishContext::Nfs(export()), filesystem(None)),
        san(filesystem(None)),
        san(Usage::Block),
    ] {
        let stage = stage(attachment, usage.clone());
        let record = StageRecord::of(&stage);
        fly(&mut world, &Intent::Stage(stage), Some(&record));
        fly(&mut world, &publish(usage, false), Some(&record));
        let other = Intent::Unpublish(Unpublish {
            volume: "vol-2".parse().unwrap(),
            target: TARGET.parse().unwrap(),
        });
        let mut progress = Progress::default();
        progress.others = vec![record];
        let before = world.residue();
        let (end, text, _) = fly_with(&mut world, &other, None, progress, &mut |_| ());
        assert!(end.refusal().found.contains("vol-1"), "{text}");
        assert_eq!(world.residue(), before);
    }
}

#[test]
fn a_recorded_volumes_target_with_somebody_elses_mount_is_left_alone() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    let record = StageRecord::of(&stage);
    // Its device is not there: before its stage, or after somebody removed its map.
    world.mount_foreign(TARGET, "tmpfs", "tmpfs");
    let (end, text, _) = fly(&mut world, &unpublish(), Some(&record));
    assert_eq!(end.refusal().hazard.to_string(), "H13", "{text}");
    assert_eq!(world.mounts().len(), 1);
    // What its lost device left is unmounted.
    let mut world = World::default();
    world.mount_foreign(TARGET, "/dev/dm-7", "ext4");
    assert!(fly(&mut world, &unpublish(), Some(&record)).0.is_fulfilled() && world.mounts().is_empty());
}

/// The NFS client mounts by itself what lies behind `.snapshot`, and takes it away minutes later.
#[test]
fn a_snapshot_directory_somebody_walked_into_keeps_no_pod_from_ending() {
    let mut world = World::default();
    let stage = stage(PublishContext::Nfs(export()), filesystem(None));
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    let crossing = format!("{TARGET}/.snapshot");
    world.mount_below(TARGET, &crossing, "192.168.49.31:/trident_pvc_1/.snapshot", "nfs4");
    let (end, text, _) = fly(&mut world, &unpublish(), Some(&record));
    assert!(end.is_fulfilled(), "{text}");

    fly(&mut world, &publish(filesystem(None), false), Some(&record));
    world.mount_below(TARGET, &crossing, "tmpfs", "tmpfs");
    let (end, text, _) = fly(&mut world, &unpublish(), Some(&record));
    assert!(end.refusal().found.contains(".snapshot"), "{text}");
}

#[test]
fn udev_that_opens_the_device_between_two_looks_costs_no_error() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = stage(PublishContext::Iscsi(iscsi), filesystem(None));
    let record = StageRecord::of(&stage);
    fly(&mut world, &Intent::Stage(stage), Some(&record));
    let mut looks = 0;
    let mut udev = |facts: &mut Facts| {
        if let Probe::Present(map) = &mut facts.map {
            looks += 1;
            map.open_count = u32::from(looks < 5);
        }
    };
    let intent = Intent::Unstage(unstage());
    let (end, text, _) = fly_with(&mut world, &intent, Some(&record), Progress::default(), &mut udev);
    assert!(end.is_fulfilled() && world.is_clean(), "{text}");
}

#[test]
fn a_disk_in_another_volumes_map_is_not_idle() {
    let (mut world, iscsi) = world(Data::Zeros);
    fly(&mut world, &Intent::Stage(stage(PublishContext::Iscsi(iscsi.clone()), Usage::Block)), None);
    let query = agent_core::facts::Query {
        attachment: Some(PublishContext::Iscsi(iscsi.clone())),
        paths: true,
        ..Default::default()
    };
    let facts = world.observe(&query);
    let own = &iscsi.identity.wwid;
    let disk = Idle::<Disk>::prove(&facts, &facts.paths[0], own).unwrap();
    assert_eq!(disk.what().wwid, *own);
    let other = lun(2, Data::Zeros).identity.wwid;
    let refusal = Idle::<Disk>::prove(&facts, &facts.paths[0], &other).unwrap_err();
    assert_eq!(refusal.hazard.to_string(), "H10");
}

/// A record, or the lack of one, cannot make a facts-reader's doubt into a format (hazard H01).
#[test]
fn a_scan_with_a_gap_formats_nothing() {
    let (mut world, iscsi) = world(Data::Zeros);
    let stage = Intent::Stage(stage(PublishContext::Iscsi(iscsi), filesystem(None)));
    let mut shorten = |facts: &mut Facts| {
        if let Probe::Present(agent_core::facts::Content::Blank(scan)) = &mut facts.content {
            scan.areas.pop();
        }
    };
    let (end, text, _) = fly_with(&mut world, &stage, None, Progress::default(), &mut shorten);
    assert_eq!(end.refusal().hazard.to_string(), "H01", "{text}");
}
