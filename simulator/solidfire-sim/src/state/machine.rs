//! The transitions. Each one checks everything first and then changes everything, so a refused request
//! leaves no trace.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use jiff::Timestamp;
use records::{Single, Table, records};
use serde::{Deserialize, Serialize};

use super::access_group::Access;
use super::account::{require_small, require_username};
use super::limits::{ACCOUNT_COUNT_MAX, VOLUMES_PER_ACCOUNT_MAX};
use super::mint::Mint;
use super::volume::{require_name, require_size};
use super::{
    Account, AccountId, AccountPatch, AccountRecord, AccountStatus, ApiError, AsyncHandle, Capacity, CloneId,
    ClusterIdentity, ContentId, DataPlaneChange, DataPlaneView, Deletion, Group, GroupId, Job, Kept,
    NewAccount, NewVolume, NodeAddresses, Page, Policy, PolicyId, Qos, Reply, Request, Schedule, ScheduleId,
    Snapshot, SnapshotId, Source, UniqueId, Volume, VolumeFilter, VolumeId, VolumeNames, VolumePatch,
    VolumeUsage, home_of,
};

// One line a table: whatever is here is rolled back when a request is refused, and durable with a data
// directory.
records! {
    /// Everything the cluster knows.
    #[derive(Debug, Default)]
    pub struct State beside {}

    /// Who the cluster is.
    identity: Single<ClusterIdentity>,
    /// Where UUIDs and secrets come from.
    mint: Single<Mint>,
    /// The last number of each kind.
    last: Single<Last>,
    /// Who owns volumes.
    accounts: Table<AccountId, Account>,
    /// Volumes, deleted ones included.
    volumes: Table<VolumeId, Volume>,
    /// Rates that volumes share.
    policies: Table<PolicyId, Policy>,
    /// Snapshots of volumes.
    snapshots: Table<SnapshotId, Snapshot>,
    /// When snapshots are taken.
    schedules: Table<ScheduleId, Schedule>,
    /// Snapshots made together.
    groups: Table<GroupId, Group>,
    /// Jobs whose result was not told yet.
    jobs: Table<AsyncHandle, Job>,
    /// Who reaches which volumes by name.
    access: Single<Access>,
}

/// The last number of each kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Last {
    account: AccountId,
    pub(super) content: ContentId,
    #[serde(default)]
    pub(super) schedule: ScheduleId,
    pub(super) volume: VolumeId,
    pub(super) policy: PolicyId,
    pub(super) snapshot: SnapshotId,
    pub(super) group: GroupId,
    pub(super) clone: CloneId,
    pub(super) job: AsyncHandle,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the client is told.
    pub reply: Result<Reply, ApiError>,
    /// What initiators notice, in order. A refused request can have some: volumes whose time had come
    /// are purged whatever the request was.
    pub changes: Vec<DataPlaneChange>,
}

impl State {
    /// An empty cluster. `seed` decides its unique ID, UUIDs and generated secrets.
    pub fn new(name: &str, mvip: SocketAddr, svip: SocketAddr, seed: u64) -> Self {
        let mut mint = Mint::of(seed);
        let (unique_id, uuid) = (UniqueId::draw(&mut mint.generator()), mint.uuid());
        let mut state = Self::default();
        let identity = state.identity.edit();
        *identity = ClusterIdentity {
            name: name.to_owned(),
            unique_id,
            uuid,
            mvip,
            svip,
            ..ClusterIdentity::default()
        };
        identity.set_nodes(&[NodeAddresses { storage: svip, management: mvip }]);
        *state.mint.edit() = mint;
        state
    }

    /// The cluster has come back at these addresses.
    pub fn readdress(&mut self, mvip: SocketAddr, svip: SocketAddr) {
        let identity = self.identity.edit();
        (identity.mvip, identity.svip) = (mvip, svip);
    }

    /// What a data plane must be told for the state to be true again after a restart.
    pub fn revive(&self) -> Vec<DataPlaneChange> {
        let held = self.volumes.values().map(|volume| DataPlaneChange::Hold {
            volume: volume.id,
            content: volume.content,
            source: Source::Zeroes(volume.size),
        });
        held.chain(self.volumes.keys().filter_map(|id| self.publication(*id))).collect()
    }

    /// The contents that rows name, and the snapshots.
    pub fn contents(&self) -> (BTreeSet<ContentId>, BTreeSet<Kept>) {
        let contents = self.volumes.values().map(|volume| volume.content).collect();
        (contents, self.snapshots.values().map(Snapshot::kept).collect())
    }

    /// The cluster with nodes at these addresses, instead of the one it has without.
    pub fn with_nodes(mut self, addresses: &[NodeAddresses]) -> Self {
        self.identity.edit().set_nodes(addresses);
        self
    }

    /// The cluster with another number of volumes that it may have.
    pub fn with_volume_count_max(mut self, maximum: usize) -> Self {
        self.identity.edit().volume_count_max = maximum;
        self
    }

    /// Who the cluster is.
    pub fn identity(&self) -> &ClusterIdentity {
        &self.identity
    }

    /// All accounts, ascending.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// All volumes, ascending, deleted ones included.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// Carries out `request` at the time `now`; `seen` answers what the data plane alone knows.
    pub fn execute(&mut self, request: Request, now: Timestamp, seen: &dyn DataPlaneView) -> Outcome {
        let mut changes = Vec::new();
        self.purge_expired(now, &mut changes);
        self.drop_expired(now, &mut changes);
        self.run_schedules(now, &mut changes);
        let (marks, expired) = (self.mark_rows(), changes.len());
        let reply = self.transition(request, now, seen, &mut changes);
        if reply.is_err() {
            self.roll_back_rows(&marks);
            changes.truncate(expired);
        }
        Outcome { reply, changes }
    }

    fn transition(
        &mut self,
        request: Request,
        now: Timestamp,
        seen: &dyn DataPlaneView,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        Ok(match request {
            Request::GetApi => Reply::Api,
            Request::GetClusterInfo => Reply::ClusterInfo(self.identity().clone()),
            Request::GetClusterVersionInfo => Reply::ClusterVersionInfo(self.identity().clone()),
            Request::GetClusterHardwareInfo(kind) => {
                Reply::ClusterHardwareInfo(kind, self.identity().clone())
            }
            Request::GetClusterCapacity => Reply::ClusterCapacity(self.capacity(now, seen)),
            Request::GetLimits => Reply::Limits(self.identity.volume_count_max),
            Request::GetDefaultQos => Reply::DefaultQos(Qos::DEFAULT),
            Request::GetAccountByName(username) => Reply::Account(self.require_account_named(&username)?),
            Request::GetAccountById(id) => Reply::Account(self.record(self.require_account(id)?)),
            Request::ListAccounts(page) => Reply::Accounts(self.list_accounts(page)),
            Request::AddAccount(new) => Reply::AccountAdded(self.add_account(new)?),
            Request::ModifyAccount(patch) => Reply::Account(self.modify_account(patch, changes)?),
            Request::RemoveAccount(id) => self.remove_account(id)?,
            Request::CreateVolume(new) => Reply::VolumeCreated(self.create_volume(new, now, changes)?),
            Request::ModifyVolume(patch) => Reply::Volume(self.modify_volume(patch, changes)?),
            Request::DeleteVolume(id) => Reply::Volume(self.delete_volume(id, now, changes)?),
            Request::PurgeDeletedVolume(id) => self.purge_deleted_volume(id, changes)?,
            Request::RestoreDeletedVolume(id) => Reply::Volume(self.restore_deleted_volume(id, changes)?),
            Request::ListVolumes(filter) => Reply::Volumes(self.list_volumes(&filter)),
            Request::ListVolumesForAccount(account, filter) => {
                self.require_account(account)?;
                Reply::Volumes(self.list_volumes(&filter))
            }
            Request::GetVolumeStats(id) => {
                let volume = self.require_active(id)?.clone();
                let (traffic, burst_credit) = seen.traffic(id);
                let used = seen.allocated(id);
                let node = home_of(id, &self.identity.nodes).map_or(0, |node| node.id);
                Reply::VolumeStats(VolumeUsage { volume, used, traffic, burst_credit, node, at: now })
            }
            Request::Policy(request) => self.policies(request, changes)?,
            Request::Snapshot(request) => self.snapshots(request, now, changes)?,
            Request::Schedule(request) => self.schedule(request, now)?,
            Request::Copy(request) => self.copies(request, now, changes)?,
            Request::Access(request) => self.access_groups(request, changes)?,
        })
    }

    fn capacity(&self, now: Timestamp, seen: &dyn DataPlaneView) -> Capacity {
        Capacity {
            provisioned: self.volumes.values().map(|volume| volume.size).sum(),
            used: self.volumes.keys().map(|id| seen.allocated(*id)).sum(),
            sessions: seen.sessions(),
            traffic: seen.cluster_traffic(),
            iops: seen.cluster_iops(),
            at: now,
        }
    }

    // Accounts.

    pub(super) fn require_account(&self, id: AccountId) -> Result<&Account, ApiError> {
        self.accounts.get(&id).ok_or(ApiError::AccountIdDoesNotExist(id))
    }

    fn find_account_named(&self, username: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.username == username)
    }

    fn require_account_named(&self, username: &str) -> Result<AccountRecord, ApiError> {
        let found = self.find_account_named(username).map(|account| self.record(account));
        found.ok_or_else(|| ApiError::UnknownAccount { username: username.to_owned() })
    }

    fn require_free(&self, username: &str) -> Result<(), ApiError> {
        match self.find_account_named(username) {
            Some(_) => Err(ApiError::DuplicateUsername { username: username.to_owned() }),
            None => Ok(()),
        }
    }

    fn volumes_of(&self, account: AccountId) -> impl Iterator<Item = &Volume> {
        self.volumes.tagged(&account)
    }

    fn record(&self, account: &Account) -> AccountRecord {
        let volumes = self.volumes_of(account.id).map(|volume| volume.id).collect();
        AccountRecord { account: account.clone(), volumes }
    }

    fn list_accounts(&self, page: Page) -> Vec<AccountRecord> {
        self.accounts
            .values()
            .filter(|account| page.start.is_none_or(|start| account.id >= start))
            .take(page.limit.unwrap_or(usize::MAX))
            .map(|account| self.record(account))
            .collect()
    }

    fn add_account(&mut self, new: NewAccount) -> Result<AccountRecord, ApiError> {
        require_username(&new.username)?;
        require_small(&new.attributes)?;
        self.require_free(&new.username)?;
        if self.accounts.len() >= ACCOUNT_COUNT_MAX {
            return Err(ApiError::ExceededLimit { what: "accounts", maximum: ACCOUNT_COUNT_MAX });
        }
        let account = Account {
            id: self.last.edit().account.advance(),
            username: new.username,
            status: AccountStatus::Active,
            initiator_secret: new.initiator_secret.settle(&mut self.mint.edit().generator()),
            target_secret: new.target_secret.settle(&mut self.mint.edit().generator()),
            enable_chap: new.enable_chap,
            attributes: new.attributes,
        };
        let record = self.record(&account);
        self.accounts.insert(account.id, account);
        Ok(record)
    }

    fn modify_account(
        &mut self,
        patch: AccountPatch,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<AccountRecord, ApiError> {
        let mut account = self.require_account(patch.id)?.clone();
        let login_before = account.login();
        if let Some(username) = patch.username.filter(|username| *username != account.username) {
            require_username(&username)?;
            self.require_free(&username)?;
            account.username = username;
        }
        if let Some(attributes) = patch.attributes {
            require_small(&attributes)?;
            account.attributes = attributes;
        }
        if let Some(choice) = patch.initiator_secret {
            account.initiator_secret = choice.settle(&mut self.mint.edit().generator());
        }
        if let Some(choice) = patch.target_secret {
            account.target_secret = choice.settle(&mut self.mint.edit().generator());
        }
        account.status = patch.status.unwrap_or(account.status);
        account.enable_chap = patch.enable_chap.unwrap_or(account.enable_chap);
        if account.login() != login_before {
            let active = self.volumes_of(account.id).filter(|volume| volume.deletion.is_none());
            changes.extend(active.map(|volume| DataPlaneChange::publish(volume, &account)));
        }
        let record = self.record(&account);
        self.accounts.insert(account.id, account);
        Ok(record)
    }

    fn remove_account(&mut self, id: AccountId) -> Result<Reply, ApiError> {
        self.require_account(id)?;
        match self.volumes_of(id).count() {
            0 => {
                self.accounts.remove(&id);
                Ok(Reply::Nothing)
            }
            volumes => Err(ApiError::AccountHasVolumes { account: id, volumes }),
        }
    }

    // Volumes.

    /// The volume of this number, deleted or not.
    pub(super) fn require_volume(&self, id: VolumeId) -> Result<&Volume, ApiError> {
        self.volumes.get(&id).ok_or(ApiError::VolumeIdDoesNotExist(id))
    }

    /// How initiators are to see a volume, if they are.
    pub(super) fn publication(&self, id: VolumeId) -> Option<DataPlaneChange> {
        let volume = self.volumes.get(&id).filter(|volume| volume.deletion.is_none())?;
        Some(DataPlaneChange::publish(volume, self.accounts.get(&volume.account)?))
    }

    pub(super) fn require_active(&self, id: VolumeId) -> Result<&Volume, ApiError> {
        let volume = self.volumes.get(&id).filter(|volume| volume.deletion.is_none());
        volume.ok_or(ApiError::VolumeIdDoesNotExist(id))
    }

    fn require_deleted(&self, id: VolumeId) -> Result<&Volume, ApiError> {
        let volume = self.volumes.get(&id).filter(|volume| volume.deletion.is_some());
        volume.ok_or(ApiError::VolumeIdDoesNotExist(id))
    }

    /// Room in the cluster for one volume more.
    pub(super) fn require_room(&self) -> Result<(), ApiError> {
        let maximum = self.identity.volume_count_max;
        match self.volumes.len() < maximum {
            true => Ok(()),
            false => Err(ApiError::ExceededLimit { what: "volumes", maximum }),
        }
    }

    pub(super) fn require_room_in(&self, account: AccountId) -> Result<(), ApiError> {
        if self.volumes_of(account).count() >= VOLUMES_PER_ACCOUNT_MAX {
            return Err(ApiError::ExceededLimit {
                what: "volumes per account",
                maximum: VOLUMES_PER_ACCOUNT_MAX,
            });
        }
        Ok(())
    }

    fn list_volumes(&self, filter: &VolumeFilter) -> Vec<Volume> {
        // A page begins where it begins: it costs what it holds, not what is before it.
        self.volumes
            .range(filter.start.unwrap_or_default()..)
            .map(|(_, volume)| volume)
            .filter(|volume| filter.admits(volume))
            .take(filter.limit.unwrap_or(usize::MAX))
            .cloned()
            .collect()
    }

    fn create_volume(
        &mut self,
        new: NewVolume,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Volume, ApiError> {
        require_name(&new.name)?;
        let size = require_size(new.size)?;
        require_small(&new.attributes)?;
        let (qos, policy) = self.rates((Qos::DEFAULT, None), new.qos)?;
        let account = self.require_account(new.account)?.clone();
        self.require_room()?;
        self.require_room_in(account.id)?;
        let last = self.last.edit();
        let (id, content) = (last.volume.advance(), last.content.advance());
        let volume = Volume {
            id,
            uuid: self.mint.edit().uuid(),
            consistency_group: self.mint.edit().uuid(),
            names: VolumeNames::of(self.identity.unique_id, &new.name, id),
            name: new.name,
            account: account.id,
            created_at: now,
            access: new.access,
            block: new.block,
            size,
            content,
            qos,
            policy,
            attributes: new.attributes,
            groups: Vec::new(),
            open_to: BTreeSet::new(),
            deletion: None,
        };
        changes.push(DataPlaneChange::Hold { volume: id, content, source: Source::Zeroes(size) });
        changes.push(DataPlaneChange::publish(&volume, &account));
        self.volumes.insert(volume.id, volume.clone());
        Ok(volume)
    }

    fn modify_volume(
        &mut self,
        patch: VolumePatch,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Volume, ApiError> {
        let before = self.require_active(patch.id)?;
        let mut volume = before.clone();
        volume.account = patch.account.unwrap_or(before.account);
        let account = self.require_account(volume.account)?;
        if volume.account != before.account {
            self.require_room_in(volume.account)?;
        }
        if let Some(bytes) = patch.size {
            volume.size = grown(before.size, bytes)?;
        }
        volume.access = patch.access.unwrap_or(before.access);
        (volume.qos, volume.policy) = self.rates((before.qos, before.policy), patch.qos)?;
        if patch.leave_policy {
            volume.policy = None;
        }
        if let Some(attributes) = patch.attributes {
            require_small(&attributes)?;
            volume.attributes = attributes;
        }
        changes.push(DataPlaneChange::publish(&volume, account));
        self.volumes.insert(volume.id, volume.clone());
        Ok(volume)
    }

    fn delete_volume(
        &mut self,
        id: VolumeId,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Volume, ApiError> {
        let mut volume = self.require_active(id)?.clone();
        volume.deletion = Some(Deletion::at(now));
        changes.push(DataPlaneChange::Withdraw(id));
        self.volumes.insert(id, volume.clone());
        Ok(volume)
    }

    fn restore_deleted_volume(
        &mut self,
        id: VolumeId,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Volume, ApiError> {
        let mut volume = self.require_deleted(id)?.clone();
        volume.deletion = None;
        changes.push(DataPlaneChange::publish(&volume, self.require_account(volume.account)?));
        self.volumes.insert(id, volume.clone());
        Ok(volume)
    }

    fn purge_deleted_volume(
        &mut self,
        id: VolumeId,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        self.require_deleted(id)?;
        self.purge(id, changes);
        Ok(Reply::Nothing)
    }

    fn purge(&mut self, id: VolumeId, changes: &mut Vec<DataPlaneChange>) {
        let Some(volume) = self.volumes.remove(&id) else { return };
        self.drop_snapshots_of(id, changes);
        self.leave_groups(id);
        changes.push(DataPlaneChange::Release(id));
        changes.push(DataPlaneChange::Discard(volume.content));
    }

    fn purge_expired(&mut self, now: Timestamp, changes: &mut Vec<DataPlaneChange>) {
        let expired = |volume: &&Volume| volume.deletion.is_some_and(|deletion| deletion.purge_at <= now);
        let ids: Vec<_> = self.volumes.values().filter(expired).map(|volume| volume.id).collect();
        ids.into_iter().for_each(|id| self.purge(id, changes));
    }
}

/// The size after a request for `bytes`. A client that repeats its own unrounded size asks for no change.
pub(super) fn grown(present: u64, bytes: i64) -> Result<u64, ApiError> {
    let asked = u64::try_from(bytes).unwrap_or(0).next_multiple_of(super::limits::VOLUME_SIZE_STEP);
    if asked < present { Err(ApiError::ShrinkProhibited) } else { require_size(bytes) }
}
