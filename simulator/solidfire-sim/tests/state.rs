//! The machine without its skins: transitions, refusals, and what initiators notice of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use solidfire_sim::state::{
    Access, AccountId, AccountPatch, AccountRecord, AccountStatus, ApiError, ChapSecret, ContentId,
    DataPlaneChange, DataPlaneView, Export, Frequency, LogicalBlock, Login, NewAccount, NewVolume, Outcome,
    Page, QosChoice, QosPatch, Reply, Request, Schedule, SchedulePatch, ScheduleRequest, ScheduledSnapshot,
    SecretChoice, SnapshotRequest, State, Volume, VolumeFilter, VolumeId, VolumePatch,
};
use solidfire_sim::traffic::Traffic;

struct NoData;

impl DataPlaneView for NoData {
    fn allocated(&self, _volume: VolumeId) -> u64 {
        0
    }

    fn sessions(&self) -> usize {
        0
    }

    fn traffic(&self, _volume: VolumeId) -> (Traffic, u64) {
        Default::default()
    }

    fn cluster_traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn cluster_iops(&self) -> u32 {
        200_000
    }
}

const NOON: Timestamp = Timestamp::constant(1_795_176_000, 0);

fn cluster() -> State {
    State::new("test", "127.0.0.1:443".parse().unwrap(), "127.0.0.1:3260".parse().unwrap(), 1)
}

fn run(state: &mut State, request: Request) -> Outcome {
    state.execute(request, NOON, &NoData)
}

fn refusal(state: &mut State, request: Request) -> ApiError {
    let outcome = run(state, request);
    assert_eq!(outcome.changes, [], "a refused request reached the data plane");
    outcome.reply.unwrap_err()
}

fn new_account(username: &str) -> NewAccount {
    NewAccount {
        username: username.into(),
        initiator_secret: SecretChoice::Generate,
        target_secret: SecretChoice::Generate,
        enable_chap: true,
        attributes: Map::new(),
    }
}

fn add_account(state: &mut State, username: &str) -> AccountRecord {
    match run(state, Request::AddAccount(new_account(username))).reply.unwrap() {
        Reply::AccountAdded(record) => record,
        other => panic!("{other:?}"),
    }
}

fn new_volume(account: AccountId, name: &str) -> NewVolume {
    NewVolume {
        name: name.into(),
        account,
        size: 10_000_000_000,
        block: LogicalBlock::Emulated512,
        access: Access::ReadWrite,
        qos: QosChoice::default(),
        attributes: Map::new(),
    }
}

fn create_volume(state: &mut State, account: AccountId, name: &str) -> Volume {
    match run(state, Request::CreateVolume(new_volume(account, name))).reply.unwrap() {
        Reply::VolumeCreated(volume) => volume,
        other => panic!("{other:?}"),
    }
}

fn patch(id: VolumeId) -> VolumePatch {
    VolumePatch {
        id,
        account: None,
        size: None,
        access: None,
        qos: QosChoice::default(),
        leave_policy: false,
        attributes: None,
    }
}

fn account_patch(id: AccountId) -> AccountPatch {
    AccountPatch {
        id,
        username: None,
        status: None,
        initiator_secret: None,
        target_secret: None,
        enable_chap: None,
        attributes: None,
    }
}

fn list(state: &mut State, filter: VolumeFilter) -> Vec<VolumeId> {
    match run(state, Request::ListVolumes(filter)).reply.unwrap() {
        Reply::Volumes(volumes) => volumes.into_iter().map(|volume| volume.id).collect(),
        other => panic!("{other:?}"),
    }
}

/// How the data plane is told that the first volume is purged.
fn purged(volume: VolumeId) -> [DataPlaneChange; 2] {
    [DataPlaneChange::Release(volume), DataPlaneChange::Discard(ContentId(1))]
}

/// The one volume that `outcome` publishes.
fn published(outcome: &Outcome) -> &Export {
    match outcome.changes.as_slice() {
        [DataPlaneChange::Publish(export)]
        | [DataPlaneChange::Hold { .. }, DataPlaneChange::Publish(export)] => export,
        other => panic!("expected one publication, not {other:?}"),
    }
}

#[test]
fn an_account_without_secrets_is_given_two_different_ones() {
    let record = add_account(&mut cluster(), "tenant");
    let (initiator, target) = (record.account.initiator_secret, record.account.target_secret);
    assert_ne!(initiator, target);
    for secret in [initiator, target] {
        let text = secret.expose();
        assert!((12..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

#[test]
fn the_same_seed_gives_the_same_cluster() {
    let build = || {
        let mut state = cluster();
        let account = add_account(&mut state, "tenant").account;
        let volume = create_volume(&mut state, account.id, "v");
        (account, volume)
    };
    assert_eq!(build(), build());
}

#[test]
fn both_secrets_may_be_the_same() {
    let mut state = cluster();
    let secret = SecretChoice::Given(ChapSecret::parse("initiatorSecret", "twelve-chars").unwrap());
    let new = NewAccount { initiator_secret: secret.clone(), target_secret: secret, ..new_account("cinder") };
    assert!(run(&mut state, Request::AddAccount(new)).reply.is_ok());
}

#[test]
fn a_secret_has_12_to_16_printable_characters() {
    assert!(ChapSecret::parse("s", "0123456789abcdef").is_ok());
    for bad in ["", "elevenchars", "seventeen-chars!!", "twelve\nchars", "zwölfzeichen"] {
        assert_eq!(ChapSecret::parse("s", bad).unwrap_err().name(), "xInvalidParameter", "{bad:?}");
    }
}

#[test]
fn a_secret_is_in_no_debug_print() {
    let mut state = cluster();
    let record = add_account(&mut state, "tenant");
    let account = record.account.id;
    let outcome = run(&mut state, Request::CreateVolume(new_volume(account, "v")));
    let printed = format!("{record:?} {outcome:?} {state:?}");
    assert!(!printed.contains(record.account.initiator_secret.expose()));
    assert!(!printed.contains(record.account.target_secret.expose()));
}

#[test]
fn an_account_name_is_unique_also_after_a_rename() {
    let mut state = cluster();
    let first = add_account(&mut state, "first").account.id;
    add_account(&mut state, "second");
    let taken = refusal(&mut state, Request::AddAccount(new_account("first")));
    assert_eq!(taken.name(), "xDuplicateUsername");
    let rename = AccountPatch { username: Some("second".into()), ..account_patch(first) };
    assert_eq!(refusal(&mut state, Request::ModifyAccount(rename)).name(), "xDuplicateUsername");
    let same = AccountPatch { username: Some("first".into()), ..account_patch(first) };
    assert!(run(&mut state, Request::ModifyAccount(same)).reply.is_ok());
}

#[test]
fn an_unknown_account_has_another_name_by_name_than_by_id() {
    let mut state = cluster();
    let by_name = refusal(&mut state, Request::GetAccountByName("nobody".into()));
    assert_eq!(by_name.name(), "xUnknownAccount");
    let by_id = refusal(&mut state, Request::GetAccountById(AccountId(42)));
    assert_eq!(
        (by_id.name(), by_id.to_string().as_str()),
        ("xAccountIDDoesNotExist", "Illegal AccountID 42")
    );
}

#[test]
fn an_account_goes_only_after_its_last_volume_is_purged() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    run(&mut state, Request::DeleteVolume(volume)).reply.unwrap();
    assert!(matches!(
        refusal(&mut state, Request::RemoveAccount(account)),
        ApiError::AccountHasVolumes { volumes: 1, .. }
    ));
    run(&mut state, Request::PurgeDeletedVolume(volume)).reply.unwrap();
    run(&mut state, Request::RemoveAccount(account)).reply.unwrap();
    assert_eq!(refusal(&mut state, Request::GetAccountById(account)).name(), "xAccountIDDoesNotExist");
}

#[test]
fn accounts_are_listed_in_pages() {
    let mut state = cluster();
    for name in ["a", "b", "c"] {
        add_account(&mut state, name);
    }
    let page = Page { start: Some(AccountId(2)), limit: Some(1) };
    let Reply::Accounts(accounts) = run(&mut state, Request::ListAccounts(page)).reply.unwrap() else {
        panic!("no accounts");
    };
    assert_eq!(accounts.iter().map(|record| record.account.id.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_new_volume_is_published_with_its_owners_credentials() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account;
    let outcome = run(&mut state, Request::CreateVolume(new_volume(account.id, "Data-1")));
    let export = published(&outcome);
    assert_eq!(export.size, 10_000_269_312);
    assert!(!export.read_only);
    assert_eq!(
        export.names.iqn,
        format!("iqn.2010-01.com.solidfire:{}.data-1.1", state.identity().unique_id)
    );
    assert_eq!(
        export.login,
        Login::Chap {
            username: "tenant".into(),
            initiator_secret: account.initiator_secret,
            target_secret: account.target_secret,
        }
    );
}

#[test]
fn a_refused_creation_uses_up_no_id() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let bad_qos = QosChoice::Own(QosPatch { min_iops: Some(1), ..QosPatch::default() });
    for bad in [
        NewVolume { name: "a_b".into(), ..new_volume(account, "v") },
        NewVolume { size: 1, ..new_volume(account, "v") },
        NewVolume { qos: bad_qos, ..new_volume(account, "v") },
        new_volume(AccountId(9), "v"),
        NewVolume {
            attributes: Map::from_iter([("k".into(), "x".repeat(1000).into())]),
            ..new_volume(account, "v")
        },
    ] {
        refusal(&mut state, Request::CreateVolume(bad));
    }
    assert_eq!(create_volume(&mut state, account, "v").id, VolumeId(1));
}

#[test]
fn volumes_may_share_a_name_but_nothing_else() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let (one, two) = (create_volume(&mut state, account, "v"), create_volume(&mut state, account, "v"));
    assert_ne!(one.uuid, two.uuid);
    assert_ne!(one.names.iqn, two.names.iqn);
    assert_ne!(one.names.naa, two.names.naa);
    assert_ne!(one.names.eui, two.names.eui);
}

#[test]
fn a_volume_grows_under_its_initiators_and_never_shrinks() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    let grow = VolumePatch { size: Some(11_000_000_000), ..patch(volume) };
    let outcome = run(&mut state, Request::ModifyVolume(grow.clone()));
    assert_eq!(published(&outcome).size, 11_000_610_816);
    let again = run(&mut state, Request::ModifyVolume(grow));
    assert_eq!(published(&again).size, 11_000_610_816, "the same unrounded size is no shrinking");
    let shrink = VolumePatch { size: Some(10_000_000_000), ..patch(volume) };
    assert_eq!(refusal(&mut state, Request::ModifyVolume(shrink)), ApiError::ShrinkProhibited);
}

#[test]
fn a_refused_change_leaves_no_part_of_it_behind() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let before = create_volume(&mut state, account, "v");
    let half_good = VolumePatch {
        size: Some(20_000_000_000),
        qos: QosChoice::Own(QosPatch { min_iops: Some(1), ..QosPatch::default() }),
        ..patch(before.id)
    };
    refusal(&mut state, Request::ModifyVolume(half_good));
    assert_eq!(state.volumes().collect::<Vec<_>>(), [&before]);
}

#[test]
fn access_decides_who_gets_in_and_who_writes() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    let mut with = |access| {
        let outcome =
            run(&mut state, Request::ModifyVolume(VolumePatch { access: Some(access), ..patch(volume) }));
        let export = published(&outcome);
        (export.read_only, export.login != Login::Refused)
    };
    assert_eq!(with(Access::ReadOnly), (true, true));
    assert_eq!(with(Access::Locked), (true, false));
    assert_eq!(with(Access::ReplicationTarget), (true, false));
    assert_eq!(with(Access::ReadWrite), (false, true));
}

#[test]
fn a_volume_that_changes_hands_is_opened_by_the_new_owner() {
    let mut state = cluster();
    let old = add_account(&mut state, "old").account.id;
    let new = add_account(&mut state, "new").account.id;
    let volume = create_volume(&mut state, old, "v").id;
    let outcome = run(&mut state, Request::ModifyVolume(VolumePatch { account: Some(new), ..patch(volume) }));
    assert!(matches!(&published(&outcome).login, Login::Chap { username, .. } if username == "new"));
    assert_eq!(list(&mut state, VolumeFilter { accounts: Some(vec![old]), ..VolumeFilter::default() }), []);
}

#[test]
fn a_locked_account_shuts_all_its_active_volumes() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let open = create_volume(&mut state, account, "open").id;
    let deleted = create_volume(&mut state, account, "deleted").id;
    run(&mut state, Request::DeleteVolume(deleted)).reply.unwrap();
    let lock = AccountPatch { status: Some(AccountStatus::Locked), ..account_patch(account) };
    let outcome = run(&mut state, Request::ModifyAccount(lock));
    let export = published(&outcome);
    assert_eq!((export.volume, &export.login), (open, &Login::Refused));
}

#[test]
fn new_notes_on_an_account_do_not_touch_the_data_plane() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    create_volume(&mut state, account, "v");
    let notes = Map::from_iter([("k".into(), "v".into())]);
    let outcome = run(
        &mut state,
        Request::ModifyAccount(AccountPatch { attributes: Some(notes), ..account_patch(account) }),
    );
    assert_eq!(outcome.changes, []);
}

#[test]
fn a_deleted_volume_is_withdrawn_kept_and_can_come_back() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let before = create_volume(&mut state, account, "v");
    let outcome = run(&mut state, Request::DeleteVolume(before.id));
    assert_eq!(outcome.changes, [DataPlaneChange::Withdraw(before.id)]);
    assert_eq!(
        refusal(&mut state, Request::DeleteVolume(before.id)),
        ApiError::VolumeIdDoesNotExist(before.id)
    );
    assert!(matches!(
        refusal(&mut state, Request::ModifyVolume(patch(before.id))),
        ApiError::VolumeIdDoesNotExist(_)
    ));
    let outcome = run(&mut state, Request::RestoreDeletedVolume(before.id));
    assert_eq!(published(&outcome).names, before.names);
    assert_eq!(outcome.reply, Ok(Reply::Volume(before)));
}

#[test]
fn only_a_deleted_volume_is_purged_and_then_for_good() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    refusal(&mut state, Request::PurgeDeletedVolume(volume));
    refusal(&mut state, Request::RestoreDeletedVolume(volume));
    run(&mut state, Request::DeleteVolume(volume)).reply.unwrap();
    let outcome = run(&mut state, Request::PurgeDeletedVolume(volume));
    assert_eq!(outcome.changes, purged(volume));
    refusal(&mut state, Request::RestoreDeletedVolume(volume));
    assert_eq!(create_volume(&mut state, account, "v").id, VolumeId(2), "an ID is never used again");
}

#[test]
fn a_deleted_volume_purges_itself_after_eight_hours() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    run(&mut state, Request::DeleteVolume(volume)).reply.unwrap();
    let at = |seconds| NOON.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let just_before = state.execute(Request::GetApi, at(8 * 3600 - 1), &NoData);
    assert_eq!(just_before.changes, []);
    let due = state.execute(Request::GetAccountById(AccountId(9)), at(8 * 3600), &NoData);
    assert_eq!(due.changes, purged(volume));
    assert!(due.reply.is_err(), "a purge is due whatever the request was");
}

#[test]
fn lists_filter_and_page() {
    let mut state = cluster();
    let ours = add_account(&mut state, "ours").account.id;
    let theirs = add_account(&mut state, "theirs").account.id;
    for (account, name) in [(ours, "a"), (theirs, "b"), (ours, "c"), (ours, "a")] {
        create_volume(&mut state, account, name);
    }
    run(&mut state, Request::DeleteVolume(VolumeId(3))).reply.unwrap();
    let none = VolumeFilter::default;
    let mut ids = |filter| list(&mut state, filter).into_iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ids(none()), [1, 2, 3, 4]);
    assert_eq!(ids(VolumeFilter { deleted: Some(true), ..none() }), [3]);
    assert_eq!(ids(VolumeFilter { deleted: Some(false), start: Some(VolumeId(2)), ..none() }), [2, 4]);
    assert_eq!(ids(VolumeFilter { limit: Some(2), start: Some(VolumeId(2)), ..none() }), [2, 3]);
    assert_eq!(ids(VolumeFilter { name: Some("a".into()), ..none() }), [1, 4]);
    assert_eq!(ids(VolumeFilter { accounts: Some(vec![ours]), ..none() }), [1, 3, 4]);
    assert_eq!(ids(VolumeFilter { ids: Some(vec![VolumeId(4), VolumeId(99)]), ..none() }), [4]);
    assert!(ids(VolumeFilter { paired: Some(true), ..none() }).is_empty());
}

#[test]
fn an_account_owns_at_most_2000_volumes() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    for _ in 0..2000 {
        create_volume(&mut state, account, "v");
    }
    let error = refusal(&mut state, Request::CreateVolume(new_volume(account, "v")));
    assert_eq!(error.name(), "xExceededLimit");
}

fn schedule(state: &mut State, volume: VolumeId, patch: SchedulePatch) -> Schedule {
    let snapshot = ScheduledSnapshot {
        volumes: vec![volume],
        name: Some("hourly".into()),
        retention: Some(SignedDuration::from_mins(90)),
        replicate: false,
    };
    let patch = SchedulePatch {
        name: Some("s".into()),
        frequency: Some(Frequency::Interval { minutes: 60 }),
        snapshot: Some(snapshot),
        ..patch
    };
    match run(state, Request::Schedule(ScheduleRequest::Create(patch))).reply.unwrap() {
        Reply::ScheduleCreated(schedule) => schedule,
        other => panic!("{other:?}"),
    }
}

/// The times of the snapshots there are, in minutes after noon, at such a time.
fn taken(state: &mut State, minutes: i64) -> Vec<i64> {
    let now = NOON.checked_add(SignedDuration::from_mins(minutes)).unwrap();
    let all = Request::Snapshot(SnapshotRequest::List { volume: None, only: None });
    match state.execute(all, now, &NoData).reply.unwrap() {
        Reply::Snapshots(all) => {
            all.iter().map(|one| one.created_at.duration_since(NOON).as_mins()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_schedule_takes_snapshots_when_their_time_comes_and_retention_takes_them_away() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    let made = schedule(&mut state, volume, SchedulePatch::default());
    assert_eq!(state.next_event(), made.next);
    assert_eq!(taken(&mut state, 59), Vec::<i64>::new());
    assert_eq!(taken(&mut state, 60), [60]);
    assert_eq!(taken(&mut state, 120), [60, 120]);
    assert_eq!(taken(&mut state, 150), [120], "90 minutes are over");
    assert_eq!(taken(&mut state, 400), [400], "what was missed is done once");
    let rest = SchedulePatch { paused: Some(true), ..SchedulePatch::default() };
    run(&mut state, Request::Schedule(ScheduleRequest::Modify(made.id, rest))).reply.unwrap();
    assert_eq!(taken(&mut state, 1000), Vec::<i64>::new());
    assert_eq!(state.next_event(), None);
}

#[test]
fn a_schedule_whose_volume_is_gone_fails_and_one_that_does_not_recur_runs_once() {
    let mut state = cluster();
    let account = add_account(&mut state, "tenant").account.id;
    let volume = create_volume(&mut state, account, "v").id;
    let once = schedule(&mut state, volume, SchedulePatch { recurring: Some(false), ..Default::default() });
    assert_eq!(taken(&mut state, 60), [60]);
    assert_eq!(taken(&mut state, 125), [60]);
    let again = schedule(&mut state, volume, SchedulePatch::default());
    run(&mut state, Request::DeleteVolume(volume)).reply.unwrap();
    assert_eq!(taken(&mut state, 130), [60]);
    let told = |state: &mut State, id| match run(state, Request::Schedule(ScheduleRequest::Get(id))).reply {
        Ok(Reply::Schedule(schedule)) => (schedule.paused, schedule.last.map(|(_, failed)| failed)),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&mut state, once.id), (true, Some(false)));
    assert_eq!(told(&mut state, again.id), (false, Some(true)));
}
