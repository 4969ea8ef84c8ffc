//! Life cycles of volumes, LUNs, groups and maps, and what each step asks of the data planes.

use std::collections::BTreeMap;

use super::export::{ExportRule, Flavours};
use super::igroup::{IgroupSpec, Initiator, Protocol};
use super::iscsi::{Authentication, CredentialPatch};
use super::lun::{LunPatch, LunSpec};
use super::volume::{Guarantee, Kind, Style, VolumePatch, VolumeSpec};
use super::*;

const A: &str = "iqn.2026-11.example:a";
const B: &str = "iqn.2026-11.example:b";

fn blueprint(seed: u64) -> Blueprint {
    Blueprint { seed, default_export_clients: Vec::new(), ..Blueprint::sample() }
}

fn booted() -> Cluster {
    let mut cluster = Cluster::boot(&blueprint(7)).unwrap();
    cluster.take_changes();
    cluster
}

fn volume_spec(cluster: &Cluster, name: &str) -> VolumeSpec {
    VolumeSpec {
        name: name.into(),
        svm: cluster.svms.first().unwrap().id,
        aggregate: cluster.aggregates.first().unwrap().id,
        size: Some(1 << 30),
        guarantee: Some(Guarantee::None),
        snapshot_reserve: Some(0),
        style: Style::FlexVol,
        kind: Kind::ReadWrite,
        settings: VolumePatch::default(),
    }
}

fn make_volume(cluster: &mut Cluster, name: &str) -> VolumeId {
    let id = cluster.create_volume(volume_spec(cluster, name)).unwrap();
    cluster.take_changes();
    id
}

fn lun_spec(cluster: &Cluster, path: &str, size: u64, reserved: bool) -> LunSpec {
    LunSpec {
        svm: cluster.svms.first().unwrap().id,
        path: path.into(),
        os_type: "linux".into(),
        size,
        reserved,
        unmap: true,
        comment: String::new(),
        attributes: Vec::new(),
        qos_policy: None,
    }
}

fn make_lun(cluster: &mut Cluster, path: &str) -> LunId {
    let id = cluster.create_lun(lun_spec(cluster, path, 1 << 20, false)).unwrap();
    cluster.take_changes();
    id
}

fn make_igroup(cluster: &mut Cluster, name: &str, initiators: &[&str]) -> IgroupId {
    let member = |name: &&str| Initiator { name: (*name).into(), comment: String::new() };
    let id = cluster.create_igroup(IgroupSpec {
        svm: cluster.svms.first().unwrap().id,
        name: name.into(),
        protocol: Protocol::Iscsi,
        os_type: "linux".into(),
        comment: String::new(),
        initiators: initiators.iter().map(member).collect(),
    });
    cluster.take_changes();
    id.unwrap()
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> u64 {
    outcome.unwrap_err().code
}

#[test]
fn one_seed_makes_one_array_and_another_seed_another() {
    let mut serials = Vec::new();
    for seed in [7, 7, 8] {
        let mut cluster = Cluster::boot(&blueprint(seed)).unwrap();
        make_volume(&mut cluster, "v");
        let lun = make_lun(&mut cluster, "/vol/v/lun0");
        serials.push((cluster.about.uuid, cluster.luns.get(&lun).unwrap().serial.to_string()));
    }
    assert_eq!(serials[0], serials[1]);
    assert_ne!(serials[0], serials[2]);
}

#[test]
fn a_serial_is_twelve_printable_characters_and_the_tail_of_the_naa() {
    let mut cluster = booted();
    make_volume(&mut cluster, "v");
    for number in 0..200 {
        let id = make_lun(&mut cluster, &format!("/vol/v/lun{number}"));
        let serial = cluster.luns.get(&id).unwrap().serial;
        assert!(serial.as_bytes().iter().all(u8::is_ascii_graphic));
        assert_eq!(&serial.naa()[..4], [0x60, 0x0a, 0x09, 0x80]);
        assert_eq!(serial.naa()[4..], serial.as_bytes());
    }
    let unique: std::collections::BTreeSet<_> = cluster.luns.values().map(|lun| lun.serial).collect();
    assert_eq!(unique.len(), 200);
}

#[test]
fn a_volume_is_made_mounted_moved_grown_unmounted_and_deleted() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    let policy = cluster.policies.get(&1).unwrap().clone();
    let id = cluster.create_volume(volume_spec(&cluster, "v")).unwrap();
    let shape = TreeShape {
        capacity: 1 << 30,
        reserve_percent: 0,
        snapshots_visible: true,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let tree = DataPlaneChange::CreateTree { volume: id, shape };
    assert_eq!(cluster.take_changes(), [tree]);
    let mount = |path: &str| VolumePatch { junction: Some(path.into()), ..VolumePatch::default() };
    let export =
        |path: &str| DataPlaneChange::Export { svm, path: path.into(), volume: id, policy: policy.clone() };
    let unexport = |path: &str| DataPlaneChange::Unexport { svm, path: path.into() };
    cluster.modify_volume(id, mount("/v")).unwrap();
    assert_eq!(cluster.take_changes(), [export("/v")]);
    cluster.modify_volume(id, mount("/v")).unwrap();
    assert_eq!(cluster.take_changes(), []);
    cluster.modify_volume(id, mount("/w")).unwrap();
    assert_eq!(cluster.take_changes(), [unexport("/v"), export("/w")]);
    cluster.modify_volume(id, VolumePatch { size: Some(2 << 30), ..VolumePatch::default() }).unwrap();
    assert_eq!(
        cluster.take_changes(),
        [DataPlaneChange::ReshapeTree {
            volume: id,
            before: shape,
            after: TreeShape { capacity: 2 << 30, ..shape }
        }]
    );
    cluster.modify_volume(id, mount("")).unwrap();
    assert_eq!(cluster.take_changes(), [unexport("/w")]);
    cluster.modify_volume(id, mount("/v")).unwrap();
    cluster.take_changes();
    cluster.delete_volume(id, true).unwrap();
    assert_eq!(cluster.take_changes(), [unexport("/v"), DataPlaneChange::RemoveTree { volume: id }]);
    assert_eq!(code(cluster.delete_volume(id, true)), 4);
}

#[test]
fn a_refused_change_of_a_volume_changes_nothing() {
    let mut cluster = booted();
    let id = make_volume(&mut cluster, "v");
    make_volume(&mut cluster, "w");
    cluster.modify_volume(id, VolumePatch { junction: Some("/v".into()), ..VolumePatch::default() }).unwrap();
    cluster.take_changes();
    let nothing = VolumePatch::default;
    let refused = [
        (VolumePatch { policy: Some("none".into()), comment: Some("x".into()), ..nothing() }, 1_703_954),
        (VolumePatch { snapshot_policy: Some("hourly9".into()), ..nothing() }, 917_551),
        (VolumePatch { junction: Some("v".into()), ..nothing() }, 918_252),
        (VolumePatch { junction: Some("/".into()), ..nothing() }, 918_252),
        (VolumePatch { junction: Some("/a//b".into()), ..nothing() }, 918_252),
        (VolumePatch { junction: Some("/nowhere/v".into()), ..nothing() }, 918_252),
        (VolumePatch { name: Some("w".into()), ..nothing() }, 917_526),
        (VolumePatch { name: Some("9v".into()), ..nothing() }, 262_197),
        (VolumePatch { size: Some((20 << 20) - 1), ..nothing() }, 2),
        (VolumePatch { guarantee: Some(Guarantee::Volume), size: Some(100 << 40), ..nothing() }, 460_770),
    ];
    let before = format!("{:?}", cluster.volumes.get(&id).unwrap());
    for (patch, expected) in refused {
        assert_eq!(code(cluster.modify_volume(id, patch)), expected);
        assert_eq!(cluster.take_changes(), []);
        assert_eq!(format!("{:?}", cluster.volumes.get(&id).unwrap()), before);
    }
    let taken = VolumePatch { junction: Some("/v".into()), ..nothing() };
    let other = cluster.find_volume_named(cluster.svms.first().unwrap().id, "w").unwrap().id;
    assert_eq!(code(cluster.modify_volume(other, taken)), 918_252);
    let below = VolumePatch { junction: Some("/v/w".into()), ..nothing() };
    cluster.modify_volume(other, below).unwrap();
}

#[test]
fn the_root_volume_stays_and_a_full_aggregate_takes_no_thick_volume() {
    let mut cluster = booted();
    let root = cluster.volumes.values().find(|volume| volume.is_svm_root).unwrap().id;
    assert_eq!(code(cluster.delete_volume(root, true)), 917_531);
    let thick = VolumeSpec {
        size: Some(16 << 40),
        guarantee: Some(Guarantee::Volume),
        ..volume_spec(&cluster, "thick")
    };
    assert_eq!(code(cluster.create_volume(thick.clone())), 460_770);
    cluster.create_volume(VolumeSpec { guarantee: Some(Guarantee::None), ..thick }).unwrap();
}

#[test]
fn offline_takes_junction_and_luns_away_and_online_gives_the_luns_back() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    let volume = make_volume(&mut cluster, "v");
    let lun = make_lun(&mut cluster, "/vol/v/lun0");
    let igroup = make_igroup(&mut cluster, "g", &[A]);
    cluster.create_lun_map(lun, igroup, None).unwrap();
    cluster
        .modify_volume(volume, VolumePatch { junction: Some("/v".into()), ..VolumePatch::default() })
        .unwrap();
    cluster.take_changes();
    let online = |online| VolumePatch { online: Some(online), ..VolumePatch::default() };
    let mask = |luns| DataPlaneChange::Mask { svm, initiator: A.into(), luns };
    cluster.modify_volume(volume, online(false)).unwrap();
    let unexport = DataPlaneChange::Unexport { svm, path: "/v".into() };
    assert_eq!(cluster.take_changes(), [unexport, mask(Vec::new())]);
    cluster.modify_volume(volume, online(true)).unwrap();
    assert_eq!(cluster.take_changes(), [mask(vec![(0, lun)])]);
}

#[test]
fn a_lun_is_made_mapped_grown_unmapped_and_deleted() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    make_volume(&mut cluster, "v");
    let id = cluster.create_lun(lun_spec(&cluster, "/vol/v/lun0", 1_000_000, false)).unwrap();
    let serial = cluster.luns.get(&id).unwrap().serial;
    let optimised = cluster.nodes.first().unwrap().id;
    // Whole blocks.
    let size = 1_003_520;
    let made = DataPlaneChange::CreateLun { svm, lun: id, serial, size, unmap: true, optimised };
    assert_eq!(cluster.take_changes(), [made]);
    let igroup = make_igroup(&mut cluster, "g", &[A, B]);
    let mask = |initiator: &str, luns| DataPlaneChange::Mask { svm, initiator: initiator.into(), luns };
    cluster.create_lun_map(id, igroup, None).unwrap();
    assert_eq!(cluster.take_changes(), [mask(A, vec![(0, id)]), mask(B, vec![(0, id)])]);
    let grow = |size| LunPatch { size: Some(size), ..LunPatch::default() };
    assert_eq!(code(cluster.modify_lun(id, grow(1_000_000))), 1_254_226);
    assert_eq!(code(cluster.modify_lun(id, grow(4096))), 5_374_892);
    cluster.modify_lun(id, grow(2 << 20)).unwrap();
    assert_eq!(cluster.take_changes(), [DataPlaneChange::ResizeLun { svm, lun: id, size: 2 << 20 }]);
    assert_eq!(cluster.luns.get(&id).unwrap().serial, serial);
    assert_eq!(code(cluster.delete_lun(id, false)), 1_254_197);
    cluster.delete_lun_map(id, igroup).unwrap();
    assert_eq!(cluster.take_changes(), [mask(A, Vec::new()), mask(B, Vec::new())]);
    assert_eq!(code(cluster.delete_lun_map(id, igroup)), 5_374_922);
    cluster.delete_lun(id, false).unwrap();
    assert_eq!(cluster.take_changes(), [DataPlaneChange::RemoveLun { svm, lun: id }]);
}

#[test]
fn a_mapped_lun_is_deleted_with_its_maps_only_when_that_is_allowed() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    let volume = make_volume(&mut cluster, "v");
    let lun = make_lun(&mut cluster, "/vol/v/lun0");
    let igroup = make_igroup(&mut cluster, "g", &[A]);
    cluster.create_lun_map(lun, igroup, None).unwrap();
    cluster.take_changes();
    assert_eq!(code(cluster.delete_volume(volume, true)), 8);
    assert_eq!(cluster.take_changes(), []);
    cluster.delete_lun(lun, true).unwrap();
    let mask = DataPlaneChange::Mask { svm, initiator: A.into(), luns: Vec::new() };
    assert_eq!(cluster.take_changes(), [mask, DataPlaneChange::RemoveLun { svm, lun }]);
    assert!(cluster.lun_maps.is_empty());
}

#[test]
fn luns_are_optimised_on_the_owner_of_their_aggregate_and_reported_on_the_pair() {
    let mut cluster = booted();
    let spec = VolumeSpec {
        aggregate: cluster.aggregates.values().nth(1).unwrap().id,
        ..volume_spec(&cluster, "v")
    };
    cluster.create_volume(spec).unwrap();
    cluster.take_changes();
    let lun = cluster.create_lun(lun_spec(&cluster, "/vol/v/l", 4096, false)).unwrap();
    let second = cluster.nodes.values().nth(1).unwrap().id;
    let [DataPlaneChange::CreateLun { optimised, .. }] = cluster.take_changes()[..] else { panic!() };
    assert_eq!(optimised, second);
    let igroup = make_igroup(&mut cluster, "g", &[A]);
    cluster.create_lun_map(lun, igroup, None).unwrap();
    let pair: Vec<_> = cluster.nodes.values().map(|node| node.id).collect();
    assert_eq!(cluster.lun_maps.get(&(lun, igroup)).unwrap().reporting_nodes, pair);
}

#[test]
fn lun_paths_sizes_and_reservations_are_judged() {
    let mut cluster = booted();
    make_volume(&mut cluster, "v");
    make_lun(&mut cluster, "/vol/v/lun0");
    for (path, size, reserved, expected) in [
        ("/vol/v/lun0", 4096, false, 5_374_242),
        ("/vol/none/lun0", 4096, false, 917_927),
        ("/vol/v", 4096, false, 262_197),
        ("/vol/v/", 4096, false, 262_197),
        ("/vol/v/a/b", 4096, false, 262_197),
        ("v/lun0", 4096, false, 262_197),
        ("/vol/v/a", 512, false, 5_374_125),
        ("/vol/v/a", (128 << 40) + 1, false, 5_374_124),
        ("/vol/v/a", 2 << 30, true, 5_374_893),
    ] {
        let spec = lun_spec(&cluster, path, size, reserved);
        assert_eq!(code(cluster.create_lun(spec)), expected, "{path} {size}");
        assert_eq!(cluster.take_changes(), []);
    }
    // Thin overcommits, thick does not, and two thick LUNs share what there is.
    cluster.create_lun(lun_spec(&cluster, "/vol/v/thin", 2 << 30, false)).unwrap();
    cluster.create_lun(lun_spec(&cluster, "/vol/v/thick1", 700 << 20, true)).unwrap();
    assert_eq!(code(cluster.create_lun(lun_spec(&cluster, "/vol/v/thick2", 700 << 20, true))), 5_374_893);
}

#[test]
fn the_lowest_free_number_is_free_for_every_host_of_the_group() {
    let mut cluster = booted();
    make_volume(&mut cluster, "v");
    let luns: Vec<_> = (0..5).map(|number| make_lun(&mut cluster, &format!("/vol/v/l{number}"))).collect();
    let shared = make_igroup(&mut cluster, "shared", &[A, B]);
    let own = make_igroup(&mut cluster, "own", &[A]);
    cluster.create_lun_map(luns[0], shared, None).unwrap();
    cluster.create_lun_map(luns[1], own, None).unwrap();
    cluster.create_lun_map(luns[2], shared, Some(5)).unwrap();
    cluster.create_lun_map(luns[3], shared, None).unwrap();
    let svm = cluster.svms.first().unwrap().id;
    let number_of: BTreeMap<_, _> = cluster.lun_maps.values().map(|map| (map.lun, map.number)).collect();
    assert_eq!(luns[..4].iter().map(|lun| number_of[lun]).collect::<Vec<_>>(), [0, 1, 5, 2]);
    assert_eq!(cluster.view_of(svm, A), [(0, luns[0]), (1, luns[1]), (2, luns[3]), (5, luns[2])]);
    assert_eq!(cluster.view_of(svm, B), [(0, luns[0]), (2, luns[3]), (5, luns[2])]);
    assert_eq!(code(cluster.create_lun_map(luns[4], own, Some(5))), 1_254_207);
    assert_eq!(code(cluster.create_lun_map(luns[4], own, Some(4096))), 262_197);
    assert_eq!(code(cluster.create_lun_map(luns[0], shared, None)), 1_254_207);
    cluster.delete_lun_map(luns[0], shared).unwrap();
    cluster.create_lun_map(luns[4], own, None).unwrap();
    assert_eq!(cluster.lun_maps.get(&(luns[4], own)).unwrap().number, 0);
}

#[test]
fn an_initiator_that_joins_or_leaves_a_group_sees_it_at_once() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    make_volume(&mut cluster, "v");
    let lun = make_lun(&mut cluster, "/vol/v/l");
    let igroup = make_igroup(&mut cluster, "g", &[]);
    cluster.create_lun_map(lun, igroup, None).unwrap();
    assert_eq!(cluster.take_changes(), []);
    let joins = Initiator { name: A.to_ascii_uppercase(), comment: String::new() };
    cluster.add_initiator(igroup, joins.clone()).unwrap();
    let mask = |luns| DataPlaneChange::Mask { svm, initiator: A.into(), luns };
    assert_eq!(cluster.take_changes(), [mask(vec![(0, lun)])]);
    assert_eq!(code(cluster.add_initiator(igroup, joins)), 5_374_035);
    assert_eq!(code(cluster.delete_igroup(igroup, false)), 1_254_213);
    cluster.remove_initiator(igroup, A).unwrap();
    assert_eq!(cluster.take_changes(), [mask(Vec::new())]);
    assert_eq!(code(cluster.remove_initiator(igroup, A)), 4);
    for bad in ["", "node-a", "iqn.", "iqn.2026-11.example:a b", "eui.12", "50:0a:09:80:00:00:00:01"] {
        let initiator = Initiator { name: bad.into(), comment: String::new() };
        assert_eq!(code(cluster.add_initiator(igroup, initiator)), 262_197, "{bad}");
    }
    cluster.delete_igroup(igroup, true).unwrap();
    assert!(cluster.lun_maps.is_empty());
}

#[test]
fn rules_keep_their_order_and_reach_every_volume_of_the_policy() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    let id = cluster.create_export_policy(svm, "p", Vec::new()).unwrap();
    for (name, path) in [("v", "/v"), ("w", "/w")] {
        let settings =
            VolumePatch { policy: Some("p".into()), junction: Some(path.into()), ..VolumePatch::default() };
        cluster.create_volume(VolumeSpec { settings, ..volume_spec(&cluster, name) }).unwrap();
    }
    cluster.take_changes();
    let rule = |client: &str| ExportRule::new(vec![client.into()], Flavours::any(), Flavours::any());
    assert_eq!(cluster.create_export_rule(id, None, rule("10.0.0.1")).unwrap(), 1);
    let mut told: Vec<_> = cluster
        .take_changes()
        .into_iter()
        .map(|change| match change {
            DataPlaneChange::Export { path, policy, .. } => (path, policy.rules.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort();
    assert_eq!(told, [("/v".to_owned(), 1), ("/w".to_owned(), 1)]);
    assert_eq!(cluster.create_export_rule(id, None, rule("10.0.0.0/8")).unwrap(), 2);
    assert_eq!(cluster.create_export_rule(id, Some(1), rule("@hosts")).unwrap(), 1);
    let order: Vec<_> = cluster
        .policies
        .get(&id)
        .unwrap()
        .rules
        .iter()
        .map(|(index, rule)| (*index, rule.clients[0].as_str()))
        .collect();
    assert_eq!(order, [(1, "@hosts"), (2, "10.0.0.1"), (3, "10.0.0.0/8")]);
    assert_eq!(code(cluster.create_export_rule(id, None, rule("10.0.0.1"))), 1_704_070);
    for bad in ["", "10.0.0.0/33", "a b", "10.0.0.0/x", "@"] {
        assert_eq!(code(cluster.create_export_rule(id, None, rule(bad))), 262_197, "{bad}");
    }
    cluster.delete_export_rule(id, 2).unwrap();
    assert_eq!(code(cluster.delete_export_rule(id, 2)), 4);
    assert_eq!(code(cluster.delete_export_policy(id)), 1_703_945);
    assert_eq!(code(cluster.delete_export_policy(1)), 1_703_947);
}

#[test]
fn chap_needs_user_and_password_and_two_different_secrets() {
    let mut cluster = booted();
    let svm = cluster.svms.first().unwrap().id;
    let pair = |user: &str, password: &str| (Some(user.to_owned()), Some(password.to_owned()));
    let patch =
        |kind: &str| CredentialPatch { authentication_type: Some(kind.into()), ..CredentialPatch::default() };
    assert_eq!(code(cluster.modify_credentials(svm, "default", patch("chap"))), 5_374_149);
    assert_eq!(code(cluster.modify_credentials(svm, "default", patch("kerberos"))), 262_197);
    let same = CredentialPatch {
        inbound: pair("u", "s3cret-s3cret"),
        outbound: pair("t", "s3cret-s3cret"),
        ..patch("CHAP")
    };
    assert_eq!(code(cluster.modify_credentials(svm, "default", same)), 5_374_147);
    assert_eq!(cluster.take_changes(), []);
    let good = CredentialPatch { inbound: pair("u", "s3cret-s3cret"), ..patch("CHAP") };
    cluster.modify_credentials(svm, "default", good).unwrap();
    let [
        DataPlaneChange::Authenticate {
            authentication: Some(Authentication::Chap { inbound, outbound: None }),
            ..
        },
    ] = &cluster.take_changes()[..]
    else {
        panic!()
    };
    assert_eq!(inbound.user, "u");
    assert!(!format!("{inbound:?}").contains("s3cret"));
    cluster.modify_credentials(svm, "default", patch("none")).unwrap();
    assert_eq!(
        cluster.svms.first().unwrap().iscsi.as_ref().unwrap().default_authentication,
        Authentication::None
    );
}

#[test]
fn what_cannot_be_built_names_the_value_and_the_cure() {
    let lif = LifBlueprint { address: "10.0.0.1".parse().unwrap(), node: Some("sim-09".into()) };
    let error = Cluster::boot(&Blueprint { iscsi: vec![lif], ..blueprint(7) }).unwrap_err().to_string();
    assert!(error.contains("sim-09") && error.contains("sim-01, sim-02"), "{error}");
    let error = Cluster::boot(&Blueprint { svm: "a b".into(), ..blueprint(7) }).unwrap_err().to_string();
    assert!(error.contains("a b"), "{error}");
    let clients = vec!["10.0.0.0/99".to_owned()];
    let error = Cluster::boot(&Blueprint { default_export_clients: clients, ..blueprint(7) }).unwrap_err();
    assert!(error.to_string().contains("10.0.0.0/99"));
}
