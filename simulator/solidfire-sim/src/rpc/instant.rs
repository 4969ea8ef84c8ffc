//! Group snapshots while somebody writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::Api;
use super::tests::{call, cluster};
use crate::state::VolumeId;

/// Snapshots taken under the writer.
const ROUNDS: usize = 100;

/// The number that a volume begins with.
fn number(api: &Api, volume: i64) -> u64 {
    let mut bytes = [0; 8];
    api.cluster.data_plane().find_content(VolumeId(volume)).unwrap().read_at(0, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn write(api: &Api, volume: i64, number: u64) {
    let content = api.cluster.data_plane().find_content(VolumeId(volume)).unwrap();
    content.write_at(0, &number.to_le_bytes()).unwrap();
}

/// Copies what the members of a group snapshot of volumes 1 and 2 hold to volumes 3 and 4.
fn look_into(api: &Api, group: &serde_json::Value) -> (u64, u64) {
    let members = group["members"].as_array().unwrap();
    for (volume, into) in [(1, 3), (2, 4)] {
        let member = members.iter().find(|member| member["volumeID"] == volume).unwrap();
        let copy = json!({"volumeID": volume, "dstVolumeID": into, "snapshotID": member["snapshotID"]});
        call(api, "CopyVolume", &copy);
    }
    (number(api, 3), number(api, 4))
}

#[test]
fn a_group_snapshot_holds_one_instant_of_volumes_that_are_written_meanwhile() {
    let api = cluster();
    for name in ["copy-1", "copy-2"] {
        call(&api, "CreateVolume", &json!({"name": name, "accountID": 1, "totalSize": 1_000_000_000}));
    }
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // A log that is written before its data: at every instant it is the same or one ahead.
        scope.spawn(|| {
            for turn in 1.. {
                write(&api, 1, turn);
                write(&api, 2, turn);
                written.store(turn, Ordering::Release);
                if stop.load(Ordering::Acquire) {
                    return;
                }
            }
        });
        for _ in 0..ROUNDS {
            let before = written.load(Ordering::Acquire);
            let group = call(&api, "CreateGroupSnapshot", &json!({"volumes": [2, 1]}));
            let (log, data) = look_into(&api, &group);
            let id = json!({"groupSnapshotID": group["groupSnapshotID"], "saveMembers": false});
            call(&api, "DeleteGroupSnapshot", &id);
            if !(data <= log && log <= data + 1 && before <= data) {
                stop.store(true, Ordering::Release);
                panic!("the log was at {log}, the data at {data}, both at {before} before");
            }
            // The writer gets somewhere between two snapshots.
            while written.load(Ordering::Acquire) < before + 2 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Release);
    });
}

#[test]
fn a_group_rolled_back_is_what_it_was_and_what_it_is_can_be_kept() {
    let api = cluster();
    let both = |one, two| {
        write(&api, 1, one);
        write(&api, 2, two);
    };
    both(10, 20);
    let group = call(&api, "CreateGroupSnapshot", &json!({"volumes": [1, 2]}))["groupSnapshotID"].take();
    both(11, 21);
    let back = json!({"groupSnapshotID": group, "saveCurrentState": true});
    let saved = call(&api, "RollbackToGroupSnapshot", &back)["groupSnapshotID"].take();
    assert_eq!((number(&api, 1), number(&api, 2)), (10, 20));
    both(12, 22);
    call(&api, "RollbackToGroupSnapshot", &json!({"groupSnapshotID": saved, "saveCurrentState": false}));
    assert_eq!((number(&api, 1), number(&api, 2)), (11, 21));
}
