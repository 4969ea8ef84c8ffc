//! Volumes: what the cluster keeps about one, and what a client may ask of it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::limits::{VOLUME_NAME_LENGTH, VOLUME_SIZE_MAX, VOLUME_SIZE_MIN, VOLUME_SIZE_STEP};
use super::{AccessGroupId, AccountId, ApiError, ContentId, PolicyId, Qos, QosChoice, VolumeId, VolumeNames};

/// What initiators may do with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read.
    ReadOnly,
    /// Nothing; their connections are cut.
    Locked,
    /// Nothing: the volume receives another cluster's data.
    ReplicationTarget,
    /// Nothing: the volume receives an ONTAP volume's data.
    SnapMirrorTarget,
}

/// The smallest unit an initiator addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogicalBlock {
    /// 512 bytes, emulated on 4096-byte blocks (`enable512e`).
    Emulated512,
    /// 4096 bytes.
    Native4096,
}

/// When a volume was deleted and when its data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When `DeleteVolume` came.
    pub deleted_at: Timestamp,
    /// When the cluster purges it by itself.
    pub purge_at: Timestamp,
}

impl Deletion {
    /// How long a deleted volume can be restored.
    const RETENTION: SignedDuration = SignedDuration::from_hours(8);

    pub(super) fn at(now: Timestamp) -> Self {
        Self { deleted_at: now, purge_at: now.saturating_add(Self::RETENTION).unwrap_or(Timestamp::MAX) }
    }
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its number.
    pub id: VolumeId,
    /// Its UUID.
    pub uuid: Uuid,
    /// UUID of the consistency group it alone forms.
    pub consistency_group: Uuid,
    /// Its name; several volumes may share one.
    pub name: String,
    /// Its names on the wire.
    pub names: VolumeNames,
    /// Who owns it.
    pub account: AccountId,
    /// When it was created.
    pub created_at: Timestamp,
    /// What initiators may do with it.
    pub access: Access,
    /// What initiators address.
    pub block: LogicalBlock,
    /// Bytes, a multiple of 1 MiB.
    pub size: u64,
    /// Where its data is.
    pub content: ContentId,
    /// Its IOPS.
    pub qos: Qos,
    /// The policy they come from.
    pub policy: Option<PolicyId>,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
    /// The volume access groups it is in.
    pub groups: Vec<AccessGroupId>,
    /// Names of the initiators that these groups let in without CHAP, in lower case.
    pub open_to: BTreeSet<String>,
    /// Set while it waits for its purge.
    pub deletion: Option<Deletion>,
}

/// Found under its owner too.
impl records::Row for Volume {
    type Tag = AccountId;

    fn tags(&self) -> Vec<AccountId> {
        vec![self.account]
    }
}

/// Parameters of `CreateVolume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// Name.
    pub name: String,
    /// Owner.
    pub account: AccountId,
    /// Bytes, as asked.
    pub size: i64,
    /// What initiators address.
    pub block: LogicalBlock,
    /// What initiators may do.
    pub access: Access,
    /// IOPS over the defaults.
    pub qos: QosChoice,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// Parameters of `ModifyVolume`; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePatch {
    /// The volume.
    pub id: VolumeId,
    /// A new owner, whose credentials open it from now on.
    pub account: Option<AccountId>,
    /// A new size in bytes, not below the present one.
    pub size: Option<i64>,
    /// What initiators may do.
    pub access: Option<Access>,
    /// IOPS over the present ones.
    pub qos: QosChoice,
    /// Keeps the rates and leaves the policy they come from.
    pub leave_policy: bool,
    /// New notes; an empty map clears them.
    pub attributes: Option<Map<String, Value>>,
}

/// Which volumes a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFilter {
    /// From this ID on.
    pub start: Option<VolumeId>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Only these.
    pub ids: Option<Vec<VolumeId>>,
    /// Only of these owners.
    pub accounts: Option<Vec<AccountId>>,
    /// Only of this name.
    pub name: Option<String>,
    /// Only active (`Some(false)`) or only deleted (`Some(true)`) ones.
    pub deleted: Option<bool>,
    /// Only paired ones; no volume is.
    pub paired: Option<bool>,
}

impl VolumeFilter {
    /// Whether `volume` is asked for, `limit` aside.
    pub fn admits(&self, volume: &Volume) -> bool {
        self.start.is_none_or(|start| volume.id >= start)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&volume.id))
            && self.accounts.as_ref().is_none_or(|accounts| accounts.contains(&volume.account))
            && self.name.as_ref().is_none_or(|name| *name == volume.name)
            && self.deleted.is_none_or(|deleted| deleted == volume.deletion.is_some())
            && self.paired != Some(true)
    }
}

/// Rounds a client's size up to the next 1 MiB.
pub(super) fn require_size(bytes: i64) -> Result<u64, ApiError> {
    let asked = u64::try_from(bytes).unwrap_or(0);
    if (VOLUME_SIZE_MIN..=VOLUME_SIZE_MAX).contains(&asked) {
        return Ok(asked.next_multiple_of(VOLUME_SIZE_STEP));
    }
    Err(ApiError::InvalidParameter {
        reason: format!("totalSize {bytes} is not in {VOLUME_SIZE_MIN}..{VOLUME_SIZE_MAX}"),
    })
}

/// Letters, digits and dashes: what can stand in an IQN and is what clients reduce their names to.
pub(super) fn require_name(name: &str) -> Result<(), ApiError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if VOLUME_NAME_LENGTH.contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(ApiError::InvalidParameter {
        reason: format!("name `{name}` must have 1 to 64 letters, digits or dashes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_rounded_up_to_the_next_mebibyte() {
        assert_eq!(require_size(10_000_000_000).unwrap(), 10_000_269_312);
        assert_eq!(require_size(5_000_000_000).unwrap(), 5_000_658_944);
        assert_eq!(require_size(1_073_741_824).unwrap(), 1_073_741_824);
    }

    #[test]
    fn a_size_has_its_bounds() {
        assert_eq!(require_size(1_000_000_000).unwrap(), 1_000_341_504);
        assert_eq!(require_size(17_592_186_044_416).unwrap(), 17_592_186_044_416);
        for bad in [999_999_999, 17_592_186_044_417, 0, -1, i64::MAX] {
            assert_eq!(require_size(bad).unwrap_err().name(), "xInvalidParameter", "{bad}");
        }
    }

    #[test]
    fn a_name_that_cannot_stand_in_an_iqn_is_refused() {
        require_name("UUID-2cc06226-cc74").unwrap();
        require_name(&"x".repeat(64)).unwrap();
        for bad in ["", "a_b", "a.b", "a b", "ü", &"x".repeat(65)] {
            assert!(require_name(bad).is_err(), "{bad}");
        }
    }
}
