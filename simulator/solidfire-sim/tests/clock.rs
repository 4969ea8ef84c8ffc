//! What happens by itself, on the running cluster and its clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use clap::Parser as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use sim_front::Controlled as _;
use solidfire_sim::state::{
    Access, AccountId, Frequency, LogicalBlock, NewAccount, NewVolume, QosChoice, Reply, Request,
    SchedulePatch, ScheduleRequest, ScheduledSnapshot, SecretChoice, SnapshotRequest, VolumeId,
};
use solidfire_sim::{Arguments, Cluster, start};

fn snapshots(cluster: &Cluster) -> usize {
    match cluster.call(Request::Snapshot(SnapshotRequest::List { volume: None, only: None })).unwrap() {
        Reply::Snapshots(all) => all.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_schedule_runs_when_nobody_asks_and_its_snapshot_goes_when_nobody_asks() {
    let running = start(Arguments::parse_from(["solidfire-sim"])).await.unwrap();
    let cluster = running.cluster();
    let account = NewAccount {
        username: "tenant".into(),
        initiator_secret: SecretChoice::Generate,
        target_secret: SecretChoice::Generate,
        enable_chap: true,
        attributes: Map::new(),
    };
    cluster.call(Request::AddAccount(account)).unwrap();
    let volume = NewVolume {
        name: "v".into(),
        account: AccountId(1),
        size: 1_000_000_000,
        block: LogicalBlock::Emulated512,
        access: Access::ReadWrite,
        qos: QosChoice::default(),
        attributes: Map::new(),
    };
    cluster.call(Request::CreateVolume(volume)).unwrap();
    let patch = SchedulePatch {
        name: Some("once".into()),
        frequency: Some(Frequency::Interval { minutes: 1 }),
        snapshot: Some(ScheduledSnapshot {
            volumes: vec![VolumeId(1)],
            name: None,
            retention: Some(SignedDuration::from_millis(300)),
            replicate: false,
        }),
        recurring: Some(false),
        run_now: true,
        ..SchedulePatch::default()
    };
    let begun = Timestamp::now();
    cluster.call(Request::Schedule(ScheduleRequest::Create(patch))).unwrap();
    let ran = cluster.event_log().await_event(0, |event| event.kind == "clock.due").await;
    let expired = cluster.event_log().await_event(ran.sequence + 1, |event| event.kind == "clock.due").await;
    assert!(expired.sequence > ran.sequence);
    assert!(Timestamp::now().duration_since(begun) >= SignedDuration::from_millis(300));
    assert_eq!(snapshots(cluster), 0);
    let told = cluster.call(Request::Schedule(ScheduleRequest::List)).unwrap();
    let Reply::Schedules(all) = told else { panic!("{told:?}") };
    assert!(matches!(all[0].last, Some((_, false))), "{all:?}");
    running.stop().await;
}
