//! From a method's name and parameters to a [`Request`]: one function a family, one line a method.

use crate::state::{
    Access, AccountId, AccountPatch, AccountStatus, ApiError, ChapSecret, HardwareKind, LogicalBlock,
    NewAccount, NewVolume, Page, PolicyId, QosChoice, QosPatch, Request, SecretChoice, VolumeFilter,
    VolumeId, VolumePatch,
};

use super::params::Params;
use super::{access_groups, protection};

/// What `method` asks with `params`.
pub(super) fn decode(method: &str, params: &mut Params) -> Result<Request, ApiError> {
    if let Some(request) = protection::decode(method, params)? {
        return Ok(request);
    }
    if let Some(request) = access_groups::decode(method, params)? {
        return Ok(Request::Access(request));
    }
    Ok(match method {
        "GetAPI" => Request::GetApi,
        "GetClusterInfo" => Request::GetClusterInfo,
        "GetClusterVersionInfo" => Request::GetClusterVersionInfo,
        "GetClusterHardwareInfo" => Request::GetClusterHardwareInfo(hardware_kind(params)?),
        "GetClusterCapacity" => Request::GetClusterCapacity,
        "GetLimits" => Request::GetLimits,
        "GetDefaultQoS" => Request::GetDefaultQos,
        "GetAccountByName" => Request::GetAccountByName(params.require_text("username")?),
        "GetAccountByID" => Request::GetAccountById(account_id(params)?),
        "ListAccounts" => Request::ListAccounts(page(params)?),
        "AddAccount" => Request::AddAccount(new_account(params)?),
        "ModifyAccount" => Request::ModifyAccount(account_patch(params)?),
        "RemoveAccount" => Request::RemoveAccount(account_id(params)?),
        "CreateVolume" => Request::CreateVolume(new_volume(params)?),
        "ModifyVolume" => Request::ModifyVolume(volume_patch(params)?),
        "DeleteVolume" => Request::DeleteVolume(volume_id(params)?),
        "PurgeDeletedVolume" => Request::PurgeDeletedVolume(volume_id(params)?),
        "RestoreDeletedVolume" => Request::RestoreDeletedVolume(volume_id(params)?),
        "ListVolumes" => Request::ListVolumes(volume_filter(params)?),
        "ListActiveVolumes" => Request::ListVolumes(VolumeFilter { deleted: Some(false), ..part(params)? }),
        "ListDeletedVolumes" => Request::ListVolumes(VolumeFilter { deleted: Some(true), ..part(params)? }),
        "ListVolumesForAccount" => {
            let account = account_id(params)?;
            let filter = VolumeFilter { accounts: Some(vec![account]), ..part(params)? };
            Request::ListVolumesForAccount(account, filter)
        }
        "GetVolumeStats" => Request::GetVolumeStats(volume_id(params)?),
        _ => return Err(ApiError::UnknownMethod { method: method.to_owned() }),
    })
}

fn account_id(params: &mut Params) -> Result<AccountId, ApiError> {
    params.require_integer("accountID").map(AccountId)
}

pub(super) fn volume_id(params: &mut Params) -> Result<VolumeId, ApiError> {
    params.require_integer("volumeID").map(VolumeId)
}

fn hardware_kind(params: &mut Params) -> Result<HardwareKind, ApiError> {
    match params.find_text("type")?.as_deref() {
        None | Some("all" | "") => Ok(HardwareKind::All),
        Some("nodes") => Ok(HardwareKind::Nodes),
        Some("drives") => Ok(HardwareKind::Drives),
        Some(other) => Err(unrecognized("type", other, "all, nodes, drives")),
    }
}

/// `limit`; 0 is what a client sends that left the field at its zero value, and means no limit.
pub(super) fn limit(params: &mut Params) -> Result<Option<usize>, ApiError> {
    let limit = params.find_integer("limit")?.filter(|limit| *limit != 0);
    limit
        .map(|limit| {
            usize::try_from(limit)
                .map_err(|_| ApiError::InvalidParameter { reason: format!("limit {limit} is negative") })
        })
        .transpose()
}

fn page(params: &mut Params) -> Result<Page, ApiError> {
    // Storage containers exist only with virtual volumes, which there are none of.
    params.find_flag("includeStorageContainers")?;
    Ok(Page { start: params.find_integer("startAccountID")?.map(AccountId), limit: limit(params)? })
}

/// A secret of a new or changed account. Null and empty text ask for a generated one: null is how the
/// Python SDK's `CHAPSecret.auto_generate()` travels.
fn secret(params: &mut Params, member: &'static str) -> Result<Option<SecretChoice>, ApiError> {
    if params.take_null(member) {
        return Ok(Some(SecretChoice::Generate));
    }
    match params.find_text(member)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(Some(SecretChoice::Generate)),
        Some(text) => ChapSecret::parse(member, &text).map(SecretChoice::Given).map(Some),
    }
}

fn new_account(params: &mut Params) -> Result<NewAccount, ApiError> {
    Ok(NewAccount {
        username: params.require_text("username")?,
        initiator_secret: secret(params, "initiatorSecret")?.unwrap_or(SecretChoice::Generate),
        target_secret: secret(params, "targetSecret")?.unwrap_or(SecretChoice::Generate),
        enable_chap: params.find_flag("enableChap")?.unwrap_or(true),
        attributes: params.find_object("attributes")?.unwrap_or_default(),
    })
}

fn account_patch(params: &mut Params) -> Result<AccountPatch, ApiError> {
    let status = match params.find_text("status")?.as_deref() {
        None | Some("") => None,
        Some("active") => Some(AccountStatus::Active),
        Some("locked") => Some(AccountStatus::Locked),
        Some(other) => return Err(unrecognized("status", other, "active, locked")),
    };
    Ok(AccountPatch {
        id: account_id(params)?,
        username: params.find_text("username")?,
        status,
        initiator_secret: secret(params, "initiatorSecret")?,
        target_secret: secret(params, "targetSecret")?,
        enable_chap: params.find_flag("enableChap")?,
        attributes: params.find_object("attributes")?,
    })
}

pub(super) fn access(params: &mut Params) -> Result<Option<Access>, ApiError> {
    Ok(Some(match params.find_text("access")?.as_deref() {
        None | Some("") => return Ok(None),
        Some("readWrite") => Access::ReadWrite,
        Some("readOnly") => Access::ReadOnly,
        Some("locked") => Access::Locked,
        Some("replicationTarget") => Access::ReplicationTarget,
        Some("snapMirrorTarget") => Access::SnapMirrorTarget,
        Some(other) => {
            let expected = "readWrite, readOnly, locked, replicationTarget, snapMirrorTarget";
            return Err(unrecognized("access", other, expected));
        }
    }))
}

/// Rates, or the policy that gives them. Both at once contradict each other.
pub(super) fn qos(params: &mut Params) -> Result<QosChoice, ApiError> {
    let patch = qos_patch(params)?;
    match params.find_integer("qosPolicyID")? {
        None => Ok(QosChoice::Own(patch)),
        Some(policy) if patch == QosPatch::default() => Ok(QosChoice::Policy(PolicyId(policy))),
        Some(_) => Err(ApiError::InvalidParameter { reason: "give qos or qosPolicyID, not both".into() }),
    }
}

pub(super) fn qos_patch(params: &mut Params) -> Result<QosPatch, ApiError> {
    let mut qos = params.find_nested("qos")?;
    Ok(QosPatch {
        min_iops: qos.find_integer("minIOPS")?,
        max_iops: qos.find_integer("maxIOPS")?,
        burst_iops: qos.find_integer("burstIOPS")?,
    })
}

fn new_volume(params: &mut Params) -> Result<NewVolume, ApiError> {
    // Of a policy that is given; without one it has nothing to say.
    params.find_flag("associateWithQoSPolicy")?;
    let emulate_512 = params.find_flag("enable512e")?.unwrap_or(false);
    Ok(NewVolume {
        name: params.require_text("name")?,
        account: account_id(params)?,
        size: params.require_integer("totalSize")?,
        block: if emulate_512 { LogicalBlock::Emulated512 } else { LogicalBlock::Native4096 },
        access: access(params)?.unwrap_or(Access::ReadWrite),
        qos: qos(params)?,
        attributes: params.find_object("attributes")?.unwrap_or_default(),
    })
}

fn volume_patch(params: &mut Params) -> Result<VolumePatch, ApiError> {
    Ok(VolumePatch {
        id: volume_id(params)?,
        account: params.find_integer("accountID")?.map(AccountId),
        size: params.find_integer("totalSize")?,
        access: access(params)?,
        qos: qos(params)?,
        leave_policy: params.find_flag("associateWithQoSPolicy")? == Some(false),
        attributes: params.find_object("attributes")?,
    })
}

/// The part of a list that every listing method can ask for.
fn part(params: &mut Params) -> Result<VolumeFilter, ApiError> {
    // Virtual volumes are only made through a vSphere provider, which there is none of.
    params.find_flag("includeVirtualVolumes")?;
    Ok(VolumeFilter {
        start: params.find_integer("startVolumeID")?.map(VolumeId),
        limit: limit(params)?,
        ..VolumeFilter::default()
    })
}

fn volume_filter(params: &mut Params) -> Result<VolumeFilter, ApiError> {
    let deleted = match params.find_text("volumeStatus")?.as_deref() {
        None | Some("") => None,
        Some("active") => Some(false),
        Some("deleted") => Some(true),
        Some(other) => return Err(unrecognized("volumeStatus", other, "active, deleted")),
    };
    Ok(VolumeFilter {
        ids: params.find_integers("volumeIDs")?.map(|ids| ids.into_iter().map(VolumeId).collect()),
        accounts: params.find_integers("accounts")?.map(|ids| ids.into_iter().map(AccountId).collect()),
        name: params.find_text("volumeName")?.filter(|name| !name.is_empty()),
        deleted,
        paired: params.find_flag("isPaired")?,
        ..part(params)?
    })
}

fn unrecognized(member: &'static str, value: &str, expected: &'static str) -> ApiError {
    ApiError::UnrecognizedEnum { member, value: value.to_owned(), expected }
}
