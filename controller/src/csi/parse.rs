//! CSI requests into intents: the last place where a missing or malformed field can be seen.

use std::collections::{BTreeMap, HashMap};

use contract::{FsType, NodeId, SnapshotId, VolumeId};
use csi_proto::v1;
use csi_proto::v1::volume_capability::AccessType;
use csi_proto::v1::volume_capability::access_mode::Mode;
use csi_proto::v1::volume_content_source::Type as SourceType;
use tonic::Status;
use uuid::Uuid;

use crate::scheduling::Class;
use crate::store::{SourceRecord, UseRecord};
use crate::volume::{CreateIntent, Page, PublishIntent, SnapshotIntent};

/// CSI, "Size Limits".
const NAME_LIMIT: usize = 128;

fn invalid(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

/// A volume id that must be there. One that no volume can have is the id of no volume: absent.
pub(super) fn volume_id(text: &str) -> Result<Option<VolumeId>, Status> {
    match text {
        "" => Err(invalid("volume_id is missing")),
        text => Ok(text.parse().ok()),
    }
}

/// [`volume_id`] where the volume must exist.
pub(super) fn known_volume_id(text: &str) -> Result<VolumeId, Status> {
    volume_id(text)?
        .ok_or_else(|| Status::not_found(format!("volume {} does not exist", text.escape_debug())))
}

pub(super) fn node_id(text: &str) -> Result<NodeId, Status> {
    match text {
        "" => Err(invalid("node_id is missing")),
        text => text
            .parse()
            .map_err(|_| Status::not_found(format!("node {} has not registered", text.escape_debug()))),
    }
}

/// [`volume_id`] of a snapshot.
pub(super) fn snapshot_id(text: &str) -> Result<Option<SnapshotId>, Status> {
    match text {
        "" => Err(invalid("snapshot_id is missing")),
        text => Ok(text.parse().ok()),
    }
}

fn name(text: String) -> Result<String, Status> {
    match text.len() {
        0 => Err(invalid("name is missing")),
        length if length > NAME_LIMIT => {
            Err(invalid(format!("name is {length} bytes long, more than {NAME_LIMIT}")))
        }
        _ => Ok(text),
    }
}

/// The id of what is to be called `name`: the name itself, or its digest where it has characters that
/// an id cannot have.
fn id_of<T: std::str::FromStr<Err = contract::NameError>>(name: &str) -> Result<T, Status> {
    let id =
        name.parse().or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string().parse());
    id.map_err(|error: contract::NameError| invalid(format!("name: {error}")))
}

/// What the volume is to begin as. A source that cannot exist is not there.
fn source(source: v1::VolumeContentSource) -> Result<SourceRecord, Status> {
    match source.r#type {
        None => Err(invalid("volume_content_source names neither a volume nor a snapshot")),
        Some(SourceType::Volume(volume)) => known_volume_id(&volume.volume_id).map(SourceRecord::Volume),
        Some(SourceType::Snapshot(snapshot)) => {
            let text = snapshot.snapshot_id;
            let missing = || Status::not_found(format!("snapshot {} does not exist", text.escape_debug()));
            snapshot_id(&text)?.map(SourceRecord::Snapshot).ok_or_else(missing)
        }
    }
}

/// A volume is to be kept as it is.
pub(super) fn snapshot(request: v1::CreateSnapshotRequest) -> Result<SnapshotIntent, Status> {
    let name = name(request.name)?;
    if request.source_volume_id.is_empty() {
        return Err(invalid("source_volume_id is missing"));
    }
    let volume = known_volume_id(&request.source_volume_id)?;
    if let Some(parameter) = request.parameters.keys().find(|key| !key.starts_with("csi.storage.k8s.io/")) {
        return Err(invalid(format!("parameter {parameter} of the snapshot class is not known: remove it")));
    }
    Ok(SnapshotIntent { id: id_of(&name)?, name, volume })
}

/// Least and most bytes of a volume that grows.
pub(super) fn growth(range_asked: Option<v1::CapacityRange>) -> Result<(u64, Option<u64>), Status> {
    let asked = range_asked.ok_or_else(|| invalid("capacity_range is missing"))?;
    match range(Some(asked))? {
        (Some(required), limit) => Ok((required, limit)),
        (None, _) => Err(invalid("capacity_range.required_bytes is missing")),
    }
}

/// Which part of a list.
pub(super) fn page(max_entries: i32, token: String) -> Result<Page, Status> {
    let most = usize::try_from(max_entries).map_err(|_| invalid("max_entries is negative"))?;
    Ok(Page { token, most })
}

pub(super) fn create(request: v1::CreateVolumeRequest) -> Result<CreateIntent, Status> {
    let name = name(request.name)?;
    if !request.mutable_parameters.is_empty() {
        return Err(invalid(
            "mutable_parameters are not supported: MODIFY_VOLUME is not among the capabilities",
        ));
    }
    let (uses, filesystem) = capabilities(&request.volume_capabilities)?;
    let (required, limit) = range(request.capacity_range)?;
    let parameters: BTreeMap<_, _> = request.parameters.into_iter().collect();
    let class = Class::parse(&parameters).map_err(|error| invalid(error.to_string()))?;
    let source = request.volume_content_source.map(source).transpose()?;
    let id = id_of(&name)?;
    Ok(CreateIntent { id, name, required, limit, uses, filesystem, parameters, class, source })
}

pub(super) fn publish(request: v1::ControllerPublishVolumeRequest) -> Result<PublishIntent, Status> {
    // Presence first, existence second: CSI names a code for each.
    volume_id(&request.volume_id)?;
    if request.node_id.is_empty() {
        return Err(invalid("node_id is missing"));
    }
    let capability = request.volume_capability.ok_or_else(|| invalid("volume_capability is missing"))?;
    let (r#use, _) = capability_of(&capability)?;
    if request.readonly {
        return Err(invalid("readonly is set: PUBLISH_READONLY is not among the capabilities"));
    }
    Ok(PublishIntent {
        volume: known_volume_id(&request.volume_id)?,
        node: node_id(&request.node_id)?,
        r#use,
    })
}

pub(super) fn parameters(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}

/// All ways of use, and the filesystem they agree on.
pub(super) fn capabilities(
    list: &[v1::VolumeCapability],
) -> Result<(Vec<UseRecord>, Option<FsType>), Status> {
    if list.is_empty() {
        return Err(invalid("volume_capabilities are missing"));
    }
    let (mut uses, mut agreed) = (Vec::new(), None);
    for capability in list {
        let (r#use, filesystem) = capability_of(capability)?;
        match (agreed, filesystem) {
            (Some(agreed), Some(other)) if agreed != other => {
                return Err(invalid(format!("volume_capabilities name both {agreed} and {other}")));
            }
            (None, named) => agreed = named,
            _ => {}
        }
        uses.push(r#use);
    }
    Ok((uses, agreed))
}

fn capability_of(capability: &v1::VolumeCapability) -> Result<(UseRecord, Option<FsType>), Status> {
    let mode = capability.access_mode.as_ref().ok_or_else(|| invalid("access_mode is missing"))?;
    let mode = Mode::try_from(mode.mode).unwrap_or(Mode::Unknown);
    if mode == Mode::Unknown {
        return Err(invalid("access_mode is not known"));
    }
    match &capability.access_type {
        None => Err(invalid("access_type is missing: mount or block")),
        Some(AccessType::Block(_)) => Ok((UseRecord { block: true, mode: mode as i32 }, None)),
        Some(AccessType::Mount(mount)) => {
            // Sidecars name their default here for file volumes too, where it means nothing.
            let filesystem = match mount.fs_type.as_str() {
                "" | "nfs" => None,
                text => Some(text.parse().map_err(|_| {
                    invalid(format!("fs_type `{}` is not supported: use ext4 or xfs", text.escape_debug()))
                })?),
            };
            Ok((UseRecord { block: false, mode: mode as i32 }, filesystem))
        }
    }
}

/// Least and most bytes; zero means "not set" (CSI, CapacityRange).
fn range(range: Option<v1::CapacityRange>) -> Result<(Option<u64>, Option<u64>), Status> {
    let Some(range) = range else { return Ok((None, None)) };
    let bytes = |value: i64, name: &str| match u64::try_from(value) {
        Ok(0) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(invalid(format!("capacity_range.{name} is negative"))),
    };
    let required = bytes(range.required_bytes, "required_bytes")?;
    let limit = bytes(range.limit_bytes, "limit_bytes")?;
    match (required, limit) {
        (None, None) => Err(invalid("capacity_range is given and empty: set required_bytes or limit_bytes")),
        (Some(required), Some(limit)) if limit < required => {
            Err(invalid(format!("capacity_range asks for at least {required} and at most {limit} bytes")))
        }
        range => Ok(range),
    }
}
