//! What holds in every world (proptest).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail this way")]

mod flight;
mod model;

use agent_core::facts::{Facts, Probe};
use agent_core::intent::{Intent, Publish, Stage, Unpublish, Unstage, Usage};
use agent_core::progress::Progress;
use agent_core::record::StageRecord;
use contract::{FsType, PublishContext};
use flight::{fly, fly_with};
use model::{Data, World, attachment, lun, portal, target};
use proptest::prelude::*;

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        3 => Just(Data::Zeros),
        2 => Just(Data::Filesystem(FsType::Ext4)),
        1 => Just(Data::Filesystem(FsType::Xfs)),
        1 => Just(Data::Foreign("an LVM label at 512")),
        1 => Just(Data::Unreadable),
    ]
}

fn usage() -> impl Strategy<Value = Usage> {
    prop_oneof![
        Just(Usage::Block),
        Just(Usage::Filesystem { fs: None, mount_options: Vec::new() }),
        Just(Usage::Filesystem { fs: Some(FsType::Xfs), mount_options: vec!["ro".to_owned()] }),
    ]
}

/// What may go wrong with the portals before and after staging.
fn deaths() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::subsequence(vec![21_u8, 22], 0..=2)
}

fn stage(world: &mut World, data: Data, usage: Usage) -> (Stage, StageRecord) {
    let lun = lun(1, data);
    let iscsi = attachment(&target("a"), 3, &lun);
    world.luns.insert((target("a"), 3), lun);
    let stage = Stage {
        volume: "vol-1".parse().unwrap(),
        attachment: PublishContext::Iscsi(iscsi),
        staging: "/staging".parse().unwrap(),
        usage,
    };
    let record = StageRecord::of(&stage);
    (stage, record)
}

fn unstage() -> Intent {
    Intent::Unstage(Unstage { volume: "vol-1".parse().unwrap(), staging: "/staging".parse().unwrap() })
}

/// Makes the `doubt`-th thing an observation tells unknown.
fn make_unknown(facts: &mut Facts, doubt: usize) {
    let why = || agent_core::facts::Unreadable("injected".to_owned());
    let paths = facts.paths.len();
    match doubt {
        0 => facts.content = Probe::Unknown(why()),
        1 => facts.map = Probe::Unknown(why()),
        doubt if doubt - 2 < paths => facts.paths[doubt - 2].identity = Probe::Unknown(why()),
        doubt if doubt - 2 < 2 * paths => facts.paths[doubt - 2 - paths].size = Probe::Unknown(why()),
        _ => facts.paths.iter_mut().for_each(|path| path.identity = Probe::Unknown(why())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_cannot_be_told_is_never_formatted(data in data(), doubt in 0_usize..7, dead in deaths()) {
        let mut world = World::default();
        world.dead = dead.iter().map(|last| portal(*last).socket_addr()).collect();
        let usage = Usage::Filesystem { fs: None, mount_options: Vec::new() };
        let (stage, record) = stage(&mut world, data.clone(), usage);
        let mut disturb = |facts: &mut Facts| make_unknown(facts, doubt);
        let (_, text, _) =
            fly_with(&mut world, &Intent::Stage(stage), Some(&record), Progress::default(), &mut disturb);
        prop_assert!(world.harm.is_empty(), "{:?}", world.harm);
        let formats = world.applied.iter().any(|step| step.starts_with("MakeFilesystem"));
        // Of two paths that both show the identity, one need not tell its size.
        let harmless = dead.is_empty() && (4..6).contains(&doubt);
        prop_assert!(!formats || (data == Data::Zeros && harmless), "{text}");
    }

    #[test]
    fn only_blank_devices_are_formatted_and_a_second_call_plans_nothing(data in data(), usage in usage()) {
        let mut world = World::default();
        let (stage, record) = stage(&mut world, data.clone(), usage);
        let stage = Intent::Stage(stage);
        let (end, text, _) = fly(&mut world, &stage, Some(&record));
        prop_assert!(world.harm.is_empty(), "{:?}\n{text}", world.harm);
        if end.is_fulfilled() {
            let (end, text, plans) = fly(&mut world, &stage, Some(&record));
            prop_assert!(end.is_fulfilled() && plans == 0, "{text}");
        }
    }

    #[test]
    fn teardown_leaves_nothing_wherever_the_stage_stopped(
        data in data(),
        usage in usage(),
        dead in deaths(),
        later in deaths(),
        steps in 0_usize..12,
        recorded in any::<bool>(),
    ) {
        let mut world = World::default();
        world.dead = dead.iter().map(|last| portal(*last).socket_addr()).collect();
        let (stage, record) = stage(&mut world, data, usage);
        // The stage is cut off after `steps` observations, wherever that is.
        let mut seen = 0;
        let mut cut = |facts: &mut Facts| {
            seen += 1;
            if seen > steps {
                facts.map = Probe::unknown("the process died");
                facts.sessions.clear();
            }
        };
        let known = recorded.then_some(&record);
        fly_with(&mut world, &Intent::Stage(stage), known, Progress::default(), &mut cut);
        world.dead = later.iter().map(|last| portal(*last).socket_addr()).collect();
        let (end, text, _) = fly(&mut world, &unstage(), Some(&record));
        prop_assert!(end.is_fulfilled(), "{text}");
        prop_assert!(world.is_clean() && world.harm.is_empty(), "{}\n{:?}\n{text}", world.residue(), world.harm);
    }

    #[test]
    fn publishing_again_and_again_changes_nothing(
        times in 1_usize..4,
        read_only in any::<bool>(),
        block in any::<bool>(),
    ) {
        let mut world = World::default();
        let usage = match block {
            true => Usage::Block,
            false => Usage::Filesystem { fs: None, mount_options: Vec::new() },
        };
        let (stage, record) = stage(&mut world, Data::Zeros, usage.clone());
        fly(&mut world, &Intent::Stage(stage), Some(&record));
        let staged = world.residue();
        let publish = Intent::Publish(Publish {
            volume: "vol-1".parse().unwrap(),
            attachment: None,
            staging: "/staging".parse().unwrap(),
            target: "/target".parse().unwrap(),
            usage,
            read_only,
        });
        prop_assert!(fly(&mut world, &publish, Some(&record)).0.is_fulfilled());
        let once = world.residue();
        for _ in 0..times {
            prop_assert!(fly(&mut world, &publish, Some(&record)).0.is_fulfilled());
        }
        prop_assert_eq!(&world.residue(), &once);
        let unpublish = Intent::Unpublish(Unpublish {
            volume: "vol-1".parse().unwrap(),
            target: "/target".parse().unwrap(),
        });
        for _ in 0..times {
            prop_assert!(fly(&mut world, &unpublish, Some(&record)).0.is_fulfilled());
        }
        prop_assert_eq!(&world.residue(), &staged);
    }
}
