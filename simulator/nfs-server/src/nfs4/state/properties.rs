//! What holds of the state whatever clients do, against a naive model of one file.
//!
//! The model keeps what each client believes to hold: opens with access and denial, and a lock kind
//! for every byte. What the server grants must not conflict in the model; what it refuses must.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::client::Exchanged;
use super::*;

const LEASE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(45);
const CLIENTS: u8 = 3;
const BYTES: u64 = 12;
const FILE: FileKey = FileKey { fsid: 1, inode: 100 };
const SLOTS: ChannelLimits =
    ChannelLimits { request: 4096, response: 4096, cached: 512, operations: 8, requests: 2 };

#[derive(Debug, Clone)]
enum Op {
    Open {
        client: u8,
        owner: u8,
        access: u8,
        deny: u8,
    },
    Close {
        client: u8,
        owner: u8,
    },
    Lock {
        client: u8,
        owner: u8,
        first: u64,
        last: u64,
        write: bool,
    },
    Unlock {
        client: u8,
        owner: u8,
        first: u64,
        last: u64,
    },
    /// Silence of so many seconds, after which the clients of this set are heard of again.
    Wait {
        seconds: u64,
        heard: u8,
    },
    /// The client starts again, with another verifier.
    Reboot {
        client: u8,
    },
    Restart,
    ExpireAll,
}

fn op() -> impl Strategy<Value = Op> {
    let (client, owner) = (0..CLIENTS, 0..2u8);
    let range = (0..BYTES, 0..BYTES).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        6 => (client.clone(), owner.clone(), 1..4u8, prop_oneof![4 => Just(0u8), 1 => 0..4u8])
            .prop_map(|(client, owner, access, deny)| Op::Open { client, owner, access, deny }),
        2 => (client.clone(), owner.clone()).prop_map(|(client, owner)| Op::Close { client, owner }),
        8 => (client.clone(), owner.clone(), range.clone(), any::<bool>()).prop_map(
            |(client, owner, (first, last), write)| Op::Lock { client, owner, first, last, write }),
        3 => (client.clone(), owner, range)
            .prop_map(|(client, owner, (first, last))| Op::Unlock { client, owner, first, last }),
        2 => (1..40u64, 0..8u8).prop_map(|(seconds, heard)| Op::Wait { seconds, heard }),
        1 => client.prop_map(|client| Op::Reboot { client }),
        1 => Just(Op::Restart),
        1 => Just(Op::ExpireAll),
    ]
}

/// What one client believes.
#[derive(Debug, Default)]
struct Believed {
    id: Option<ClientId>,
    session: SessionId,
    life: u64,
    /// Of each owner its open: stateid, access, denial.
    opens: BTreeMap<u8, (StateId, u8, u8)>,
    /// Of each owner its lock stateid.
    locks: BTreeMap<u8, StateId>,
    /// Of each owner the kind it holds of each byte: true to write.
    bytes: BTreeMap<u8, [Option<bool>; BYTES as usize]>,
}

impl Believed {
    fn forget(&mut self) {
        *self = Self { life: self.life, ..Self::default() };
    }
}

#[derive(Debug)]
struct World {
    state: State,
    now: Duration,
    clients: Vec<Believed>,
}

fn owner_name(owner: u8) -> Bytes {
    Bytes::copy_from_slice(&[b'o', owner])
}

impl World {
    fn new() -> Self {
        let clients = (0..CLIENTS).map(|_| Believed::default()).collect();
        Self { state: State::new(7, LEASE, GRACE), now: Duration::from_secs(1000), clients }
    }

    fn exchange(&mut self, client: u8) -> Exchanged {
        let request = ExchangeRequest {
            owner: Bytes::copy_from_slice(&[client]),
            verifier: self.clients[usize::from(client)].life.to_be_bytes(),
            principal: Principal(Some(0)),
            address: IpAddr::from([10, 0, 0, client]),
            minor: 1,
            update: false,
        };
        self.state.exchange_id(self.now, request).unwrap()
    }

    /// Makes the client known, with a session, and done with reclaiming, if it is not.
    fn connect(&mut self, client: u8) -> ClientId {
        if let Some(id) = self.clients[usize::from(client)].id {
            return id;
        }
        let exchanged = self.exchange(client);
        let created =
            self.state.create_session(self.now, exchanged.client, exchanged.sequence, SLOTS).unwrap();
        let CreatedSession::New { session, .. } = created else { panic!("a new session") };
        self.state.complete_reclaim(exchanged.client).unwrap();
        let believed = &mut self.clients[usize::from(client)];
        (believed.id, believed.session) = (Some(exchanged.client), session);
        exchanged.client
    }

    fn conflicts_open(&self, client: u8, owner: u8, access: u8, deny: u8) -> bool {
        self.clients.iter().enumerate().any(|(at, believed)| {
            believed.opens.iter().any(|(other, (_, held, denied))| {
                (at, *other) != (usize::from(client), owner) && (denied & access != 0 || held & deny != 0)
            })
        })
    }

    fn conflicts_lock(&self, client: u8, owner: u8, (first, last): (u64, u64), write: bool) -> bool {
        self.clients.iter().enumerate().any(|(at, believed)| {
            believed.bytes.iter().any(|(other, bytes)| {
                (at, *other) != (usize::from(client), owner)
                    && (first..=last).any(|byte| bytes[byte as usize].is_some_and(|held| held || write))
            })
        })
    }

    fn open(&mut self, client: u8, owner: u8, access: u8, deny: u8) {
        let id = self.connect(client);
        let conflicts = self.conflicts_open(client, owner, access, deny);
        let request =
            OpenRequest { client: id, owner: owner_name(owner), file: FILE, access, deny, claim: Claim::New };
        let in_grace = self.state.in_grace(self.now);
        match self.state.open(self.now, &request) {
            Ok((state, confirm)) => {
                assert!(!conflicts && !confirm && !in_grace);
                let open = self.clients[usize::from(client)].opens.entry(owner).or_insert((state, 0, 0));
                *open = (state, open.1 | access, open.2 | deny);
            }
            Err(Status::ShareDenied) => assert!(conflicts && !in_grace),
            Err(status) => assert_eq!((status, in_grace), (Status::Grace, true)),
        }
    }

    fn close(&mut self, client: u8, owner: u8) {
        let believed = &mut self.clients[usize::from(client)];
        let Some((state, ..)) = believed.opens.remove(&owner) else { return };
        believed.locks.remove(&owner);
        believed.bytes.remove(&owner);
        assert_eq!(self.state.close(believed.id, state, FILE), Ok(StateId::INVALID));
        assert_eq!(self.state.close(believed.id, state, FILE), Err(Status::BadStateId));
    }

    fn lock(&mut self, client: u8, owner: u8, (first, last): (u64, u64), write: bool) {
        let conflicts = self.conflicts_lock(client, owner, (first, last), write);
        let believed = &mut self.clients[usize::from(client)];
        let Some((open, access, _)) = believed.opens.get(&owner).copied() else { return };
        let locker = match believed.locks.get(&owner) {
            Some(lock) => Locker::Known(*lock),
            None => Locker::New { open, owner: owner_name(owner) },
        };
        let kind = if write { LockKind::Write } else { LockKind::Read };
        let range = ByteRange { first, last };
        let request = LockRequest { locker, file: FILE, range, kind, reclaim: false };
        let in_grace = self.state.in_grace(self.now);
        match self.state.lock(self.now, believed.id, &request) {
            Ok(state) => {
                assert!(!conflicts && !in_grace);
                believed.locks.insert(owner, state);
                let bytes = believed.bytes.entry(owner).or_default();
                (first..=last).for_each(|byte| bytes[byte as usize] = Some(write));
            }
            Err(LockFailure::Denied(conflict)) => {
                assert!(conflicts && !in_grace);
                assert!(conflict.range.first <= last && conflict.range.last >= first);
            }
            Err(LockFailure::Other(Status::OpenMode)) => {
                assert_eq!(access & if write { 2 } else { 1 }, 0);
            }
            Err(LockFailure::Other(status)) => assert_eq!((status, in_grace), (Status::Grace, true)),
        }
    }

    fn unlock(&mut self, client: u8, owner: u8, (first, last): (u64, u64)) {
        let believed = &mut self.clients[usize::from(client)];
        let Some(lock) = believed.locks.get(&owner).copied() else { return };
        let unlocked = self.state.unlock(self.now, believed.id, lock, (FILE, ByteRange { first, last }));
        believed.locks.insert(owner, unlocked.unwrap());
        let bytes = believed.bytes.entry(owner).or_default();
        (first..=last).for_each(|byte| bytes[byte as usize] = None);
    }

    fn wait(&mut self, seconds: u64, heard: u8) {
        // Halfway those of the set are heard of; the others are silent all along.
        for part in [seconds / 2, seconds - seconds / 2] {
            self.now += Duration::from_secs(part);
            self.state.expire(self.now);
            for client in 0..CLIENTS {
                let believed = &mut self.clients[usize::from(client)];
                let Some(id) = believed.id else { continue };
                if heard & (1 << client) != 0 && self.state.renew(self.now, id).is_ok() {
                    continue;
                }
                if self.state.renew_would_fail(id) {
                    for (state, ..) in believed.opens.values() {
                        assert_eq!(self.state.test_state(id, *state), Status::BadStateId);
                    }
                    believed.forget();
                }
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Open { client, owner, access, deny } => self.open(client, owner, access, deny),
            Op::Close { client, owner } => self.close(client, owner),
            Op::Lock { client, owner, first, last, write } => {
                self.lock(client, owner, (first, last), write);
            }
            Op::Unlock { client, owner, first, last } => self.unlock(client, owner, (first, last)),
            Op::Wait { seconds, heard } => self.wait(seconds, heard),
            Op::Reboot { client } => {
                let believed = &mut self.clients[usize::from(client)];
                believed.forget();
                believed.life += 1;
                // Only its new session ends its earlier life.
                self.connect(client);
            }
            Op::Restart => {
                self.state.restart(self.now, 7);
                self.clients.iter_mut().for_each(Believed::forget);
            }
            Op::ExpireAll => {
                self.state.expire_all();
                self.clients.iter_mut().for_each(Believed::forget);
            }
        }
    }

    /// Nothing is held by a client that is not there, and the indexes agree.
    fn assert_sound(&self) {
        let mut opens = 0;
        for (file, held) in &self.state.files {
            assert_eq!(*file, FILE);
            assert!(!held.opens.is_empty() || !held.locks.is_empty(), "an empty file is kept");
            for (client, number) in &held.opens {
                opens += 1;
                assert!(matches!(self.state.clients[client].states[number], Held::Open(_)));
            }
            for lock in held.locks.all() {
                assert!(self.state.clients.contains_key(&lock.owner.client));
            }
        }
        let states = self.state.clients.values().flat_map(|client| client.states.values());
        assert_eq!(states.filter(|held| matches!(held, Held::Open(_))).count(), opens);
        let believed: usize = self.clients.iter().map(|client| client.opens.len()).sum();
        assert_eq!(believed, opens);
        for (id, session) in self
            .state
            .clients
            .iter()
            .flat_map(|(id, client)| client.sessions.iter().map(move |session| (id, session)))
        {
            assert!(self.state.sessions.contains_key(session), "a session of client {id} is gone");
        }
    }
}

impl State {
    fn renew_would_fail(&self, id: ClientId) -> bool {
        self.require_client(id).is_err()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_two_conflicting_opens_or_locks_are_granted_and_the_silent_hold_nothing(
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
            world.assert_sound();
        }
    }

    #[test]
    fn a_slot_runs_each_request_once_and_replays_the_same_bytes(
        calls in proptest::collection::vec((0..2u32, 0..4u32, any::<bool>()), 1..60),
    ) {
        let mut world = World::new();
        world.connect(0);
        let session = world.clients[0].session;
        let mut slots = [(0u32, None::<Option<Bytes>>), (0, None)];
        for (number, (slot, ahead, keep)) in calls.into_iter().enumerate() {
            // Mostly the next request of the slot, or the last one again.
            let (last, reply) = slots[slot as usize].clone();
            let sequence = (last + ahead).saturating_sub(1);
            let request =
                SequenceRequest { session, sequence, slot, highest_slot: 1, fingerprint: sequence.into() };
            let begun = world.state.begin(world.now, request);
            if sequence == last + 1 {
                let is_run = matches!(begun, Ok(Begun::Run { .. }));
                prop_assert!(is_run);
                prop_assert_eq!(world.state.begin(world.now, request), Err(Status::Delay));
                let reply = keep.then(|| Bytes::copy_from_slice(&number.to_be_bytes()));
                world.state.finish(&session, slot, reply.clone());
                slots[slot as usize] = (sequence, Some(reply));
            } else if let (true, Some(reply)) = (sequence == last, reply) {
                let expected = reply.map(Begun::Replay).ok_or(Status::RetryUncachedReply);
                prop_assert_eq!(begun, expected);
                let other = SequenceRequest { fingerprint: 1 << 40, ..request };
                prop_assert_eq!(world.state.begin(world.now, other), Err(Status::FalseRetry));
            } else {
                prop_assert_eq!(begun, Err(Status::Misordered));
            }
        }
    }
}

/// A client with one file open to read and write; its open's stateid.
fn holder() -> (World, ClientId, StateId) {
    let mut world = World::new();
    world.open(0, 0, 3, 0);
    let (id, state) = (world.clients[0].id.unwrap(), world.clients[0].opens[&0].0);
    (world, id, state)
}

fn reclaim(world: &mut World, client: ClientId, owner: u8) -> Result<StateId, Status> {
    let request = OpenRequest {
        client,
        owner: owner_name(owner),
        file: FILE,
        access: 3,
        deny: 0,
        claim: Claim::Reclaim,
    };
    world.state.open(world.now, &request).map(|(state, _)| state)
}

/// Known again with a session, but not done with reclaiming.
fn back(world: &mut World, client: u8) -> ClientId {
    let exchanged = world.exchange(client);
    world.state.create_session(world.now, exchanged.client, exchanged.sequence, SLOTS).unwrap();
    exchanged.client
}

#[test]
fn after_a_restart_who_held_something_takes_it_back_and_the_last_one_ends_the_grace() {
    let (mut world, ..) = holder();
    world.open(1, 0, 1, 0);
    world.state.restart(world.now, 7);
    let (first, second) = (back(&mut world, 0), back(&mut world, 1));
    assert!(reclaim(&mut world, first, 0).is_ok());
    world.state.complete_reclaim(first).unwrap();
    assert_eq!(reclaim(&mut world, first, 1), Err(Status::NoGrace));
    assert!(world.state.in_grace(world.now));
    assert!(reclaim(&mut world, second, 0).is_ok());
    world.state.complete_reclaim(second).unwrap();
    assert!(!world.state.in_grace(world.now));
    assert_eq!(world.state.complete_reclaim(second), Err(Status::CompleteAlready));
}

#[test]
fn who_held_nothing_reclaims_nothing_and_waits_out_the_grace() {
    let (mut world, ..) = holder();
    world.state.restart(world.now, 7);
    let stranger = back(&mut world, 2);
    assert_eq!(reclaim(&mut world, stranger, 0), Err(Status::ReclaimBad));
    world.state.complete_reclaim(stranger).unwrap();
    let request = OpenRequest {
        client: stranger,
        owner: owner_name(0),
        file: FILE,
        access: 1,
        deny: 0,
        claim: Claim::New,
    };
    assert_eq!(world.state.open(world.now, &request), Err(Status::Grace));
    world.now += GRACE;
    assert!(world.state.open(world.now, &request).is_ok());
}

#[test]
fn without_anybody_who_held_something_there_is_no_grace() {
    let mut world = World::new();
    world.connect(0);
    world.state.restart(world.now, 7);
    assert!(!world.state.in_grace(world.now));
}

#[test]
fn a_state_of_an_earlier_instance_or_seqid_is_told_from_one_that_never_was() {
    let (mut world, id, state) = holder();
    world.open(0, 0, 1, 0);
    assert_eq!(world.state.test_state(id, state), Status::OldStateId);
    assert_eq!(world.state.test_state(id, StateId { seqid: 0, ..state }), Status::Ok);
    assert_eq!(world.state.test_state(id, StateId { seqid: 9, ..state }), Status::BadStateId);
    assert_eq!(world.state.find_state(StateId { seqid: 0, ..state }, None), Err(Status::OldStateId));
    world.state.expire_all();
    assert_eq!(world.state.find_state(state, None), Err(Status::Expired));
    world.state.restart(world.now, 7);
    assert_eq!(world.state.find_state(state, None), Err(Status::StaleStateId));
}

#[test]
fn a_downgrade_goes_back_to_what_an_open_asked_for_and_to_nothing_else() {
    let (mut world, id, state) = holder();
    assert_eq!(world.state.downgrade(Some(id), state, FILE, (1, 0)), Err(Status::Invalid));
    world.open(0, 0, 1, 0);
    let state = world.clients[0].opens[&0].0;
    let narrow = world.state.downgrade(Some(id), state, FILE, (1, 0)).unwrap();
    assert_eq!(world.state.require_io(world.now, Some(id), narrow, FILE, 2), Err(Status::OpenMode));
    assert_eq!(world.state.downgrade(Some(id), narrow, FILE, (3, 0)), Err(Status::Invalid));
}

#[test]
fn a_denied_reader_finds_the_file_locked_with_or_without_an_open() {
    let mut world = World::new();
    world.open(0, 0, 2, 1);
    let io = |world: &mut World, state, access| world.state.require_io(world.now, None, state, FILE, access);
    assert_eq!(io(&mut world, StateId::ANONYMOUS, 1), Err(Status::Locked));
    assert_eq!(io(&mut world, StateId::ANONYMOUS, 2), Ok(()));
    assert_eq!(io(&mut world, StateId::BYPASS, 1), Ok(()));
}

#[test]
fn a_second_life_of_a_client_ends_the_first_only_when_it_is_confirmed() {
    let (mut world, id, state) = holder();
    world.clients[0].life += 1;
    let exchanged = world.exchange(0);
    assert_ne!(exchanged.client, id);
    assert_eq!(world.state.test_state(id, state), Status::Ok);
    world.state.create_session(world.now, exchanged.client, exchanged.sequence, SLOTS).unwrap();
    assert_eq!(world.state.renew(world.now, id), Err(Status::StaleClient));
    assert!(world.state.files.is_empty());
}

#[test]
fn a_session_asked_for_again_is_the_same_session() {
    let mut world = World::new();
    let exchanged = world.exchange(0);
    let create = |world: &mut World, sequence| {
        world.state.create_session(world.now, exchanged.client, sequence, SLOTS)
    };
    assert_eq!(create(&mut world, exchanged.sequence + 1), Err(Status::Misordered));
    assert!(matches!(create(&mut world, exchanged.sequence), Ok(CreatedSession::New { .. })));
    let kept = Bytes::from_static(b"kept");
    world.state.keep_created(exchanged.client, kept.clone());
    assert_eq!(create(&mut world, exchanged.sequence), Ok(CreatedSession::Replay(kept)));
    assert_eq!(world.state.sessions.len(), 1);
    assert_eq!(world.state.destroy_client(exchanged.client), Err(Status::ClientBusy));
}

#[test]
fn a_request_that_runs_keeps_its_client_alive() {
    let (mut world, id, _) = holder();
    let session = world.clients[0].session;
    let request = SequenceRequest { session, sequence: 1, slot: 0, highest_slot: 0, fingerprint: 0 };
    assert!(matches!(world.state.begin(world.now, request), Ok(Begun::Run { .. })));
    world.now += LEASE * 2;
    world.state.expire(world.now);
    assert_eq!(world.state.renew(world.now, id), Ok(()));
}
