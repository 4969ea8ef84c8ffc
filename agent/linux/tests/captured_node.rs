//! The readers on a tree captured from a worker node (Debian 12, Linux 6.1) that has one LUN staged
//! through two portals: `tests/fixtures/two-paths.tree`, with lines `path -> target` for links and
//! `path = text` for (lines of) files. Not kept as a tree: sysfs is full of links in circles, which
//! tools that walk a package complain about.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use agent_core::facts::{DeviceNumber, PathState, SessionState};
use agent_linux::mount::table;
use agent_linux::root::HostRoot;
use agent_linux::sysfs::{block, iscsi, scsi};

const WWID: &str = "3600a098038314461522451712f316969";

struct Node {
    _directory: tempfile::TempDir,
    root: HostRoot,
}

fn node() -> Node {
    let directory = tempfile::tempdir().unwrap();
    for line in include_str!("fixtures/two-paths.tree").lines() {
        let (path, rest) = line.split_once(' ').unwrap();
        let place = directory.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        match rest.split_once(' ').unwrap() {
            ("->", target) => symlink(target, place).unwrap(),
            (_, text) => append(&place, text),
        }
    }
    let root = HostRoot::at(directory.path());
    Node { _directory: directory, root }
}

fn append(path: &Path, line: &str) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

#[test]
fn sessions_are_read_with_their_host_and_the_portal_logged_in_to() {
    let sessions = iscsi::sessions(&node().root).unwrap();
    let shown: Vec<_> =
        sessions.iter().map(|session| (session.sid, session.host, session.portal.to_string())).collect();
    let wanted = [(1, 0, "192.168.0.101:3260,1030".to_owned()), (2, 1, "192.168.1.101:3260,1031".to_owned())];
    assert_eq!(shown, wanted);
    assert!(sessions.iter().all(|session| session.state == SessionState::LoggedIn));
    let devices = sessions[1].devices(&node().root).unwrap();
    assert_eq!(devices.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1:0:0:3"]);
}

#[test]
fn disks_are_read_with_their_place_session_and_holders() {
    let disks = scsi::disks(&node().root).unwrap();
    let shown: Vec<_> =
        disks.iter().map(|disk| (disk.name.as_str(), disk.hctl.to_string(), disk.sid)).collect();
    let wanted = [("sda", "0:0:0:3".to_owned(), Some(1)), ("sdb", "1:0:0:3".to_owned(), Some(2))];
    assert_eq!(shown, wanted);
    for disk in &disks {
        assert_eq!(disk.state, PathState::Running);
        assert_eq!(disk.holders, ["dm-0"]);
        assert_eq!(disk.remembered_wwid.as_ref().unwrap().as_str(), WWID);
        assert_eq!(scsi::disk_at(&node().root, disk.hctl).unwrap().as_ref(), Some(&disk.name));
    }
}

#[test]
fn a_map_is_read_with_its_uuid_paths_and_size() {
    let [map] = block::dm_devices(&node().root).unwrap().try_into().unwrap();
    assert_eq!((map.uuid, map.name.as_str()), (format!("mpath-{WWID}"), WWID));
    assert_eq!((map.number, map.size), (DeviceNumber { major: 253, minor: 0 }, 512 << 20));
    assert_eq!((map.slaves, map.holders), (vec!["sda".to_owned(), "sdb".to_owned()], Vec::new()));
    assert!(!block::is_going(&node().root, "dm-0").unwrap());
}

#[test]
fn what_is_not_there_is_absent_and_no_error() {
    assert_eq!(iscsi::session(&node().root, 3).unwrap(), None);
    assert_eq!(block::dm_device(&node().root, "dm-1").unwrap(), None);
    assert_eq!(scsi::state(&node().root, "sdc").unwrap(), None);
    let nothing = tempfile::tempdir().unwrap();
    let nothing = HostRoot::at(nothing.path());
    assert_eq!(scsi::disks(&nothing).unwrap(), []);
    assert_eq!(iscsi::sessions(&nothing).unwrap(), []);
    assert_eq!(block::dm_devices(&nothing).unwrap(), []);
}

#[test]
fn the_staged_mount_is_found_by_its_device() {
    let mounts = table::read(&node().root).unwrap();
    let staged: Vec<_> =
        mounts.iter().filter(|mount| mount.device == DeviceNumber { major: 253, minor: 0 }).collect();
    let [mount] = staged.as_slice() else { panic!("{staged:?}") };
    assert!(mount.is_at("/var/lib/kubelet/staging/v"));
    assert!(mount.is_within(&"/var/lib/kubelet".parse().unwrap()));
}
