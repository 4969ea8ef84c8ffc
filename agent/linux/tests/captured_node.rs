//! The readers on a tree captured from a worker node (Debian 12, Linux 6.1) that has one LUN staged
//! through two portals: `tests/fixtures/two-paths`.

use agent_core::facts::{DeviceNumber, PathState, SessionState};
use agent_linux::mount::table;
use agent_linux::root::HostRoot;
use agent_linux::sysfs::{block, iscsi, scsi};

const WWID: &str = "3600a098038314461522451712f316969";

fn node() -> HostRoot {
    HostRoot::at(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/two-paths"))
}

#[test]
fn sessions_are_read_with_their_host_and_the_portal_logged_in_to() {
    let sessions = iscsi::sessions(&node()).unwrap();
    let shown: Vec<_> =
        sessions.iter().map(|session| (session.sid, session.host, session.portal.to_string())).collect();
    let wanted = [(1, 0, "192.168.0.101:3260,1030".to_owned()), (2, 1, "192.168.1.101:3260,1031".to_owned())];
    assert_eq!(shown, wanted);
    assert!(sessions.iter().all(|session| session.state == SessionState::LoggedIn));
    let devices = sessions[1].devices(&node()).unwrap();
    assert_eq!(devices.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1:0:0:3"]);
}

#[test]
fn disks_are_read_with_their_place_session_and_holders() {
    let disks = scsi::disks(&node()).unwrap();
    let shown: Vec<_> =
        disks.iter().map(|disk| (disk.name.as_str(), disk.hctl.to_string(), disk.sid)).collect();
    let wanted = [("sda", "0:0:0:3".to_owned(), Some(1)), ("sdb", "1:0:0:3".to_owned(), Some(2))];
    assert_eq!(shown, wanted);
    for disk in &disks {
        assert_eq!(disk.state, PathState::Running);
        assert_eq!(disk.holders, ["dm-0"]);
        assert_eq!(disk.remembered_wwid.as_ref().unwrap().as_str(), WWID);
        assert_eq!(scsi::disk_at(&node(), disk.hctl).unwrap().as_ref(), Some(&disk.name));
    }
}

#[test]
fn a_map_is_read_with_its_uuid_paths_and_size() {
    let [map] = block::dm_devices(&node()).unwrap().try_into().unwrap();
    assert_eq!((map.uuid, map.name.as_str()), (format!("mpath-{WWID}"), WWID));
    assert_eq!((map.number, map.size), (DeviceNumber { major: 253, minor: 0 }, 512 << 20));
    assert_eq!((map.slaves, map.holders), (vec!["sda".to_owned(), "sdb".to_owned()], Vec::new()));
    assert!(!block::is_going(&node(), "dm-0").unwrap());
}

#[test]
fn what_is_not_there_is_absent_and_no_error() {
    assert_eq!(iscsi::session(&node(), 3).unwrap(), None);
    assert_eq!(block::dm_device(&node(), "dm-1").unwrap(), None);
    assert_eq!(scsi::state(&node(), "sdc").unwrap(), None);
    let nothing = tempfile::tempdir().unwrap();
    let nothing = HostRoot::at(nothing.path());
    assert_eq!(scsi::disks(&nothing).unwrap(), []);
    assert_eq!(iscsi::sessions(&nothing).unwrap(), []);
    assert_eq!(block::dm_devices(&nothing).unwrap(), []);
}

#[test]
fn the_staged_mount_is_found_by_its_device() {
    let mounts = table::read(&node()).unwrap();
    let staged: Vec<_> =
        mounts.iter().filter(|mount| mount.device == DeviceNumber { major: 253, minor: 0 }).collect();
    let [mount] = staged.as_slice() else { panic!("{staged:?}") };
    assert!(mount.is_at("/var/lib/kubelet/staging/v"));
    assert!(mount.is_within(&"/var/lib/kubelet".parse().unwrap()));
}
