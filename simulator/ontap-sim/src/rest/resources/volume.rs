//! `/storage/volumes`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Records, Resource, Scope};
use super::{svm_reference, time};
use crate::state::volume::{Guarantee, SecurityStyle, Volume, VolumePatch, VolumeSpec, VolumeTag};
use crate::state::{AggregateId, Cluster, Refusal, SvmId, VolumeId};

pub(super) const VOLUMES: Resource = Resource {
    path: "storage/volumes",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    // From the API reference's list of expensive properties, as far as we have them.
    expensive: &[
        "is_svm_root",
        "autosize",
        "clone",
        "efficiency",
        "encryption",
        "error_state",
        "files",
        "guarantee",
        "movement",
        "nas.gid",
        "nas.path",
        "nas.security_style",
        "nas.uid",
        "nas.unix_permissions",
        "nas.export_policy.id",
        "qos",
        "quota",
        "snaplock",
        "space.logical_space",
        "space.snapshot",
    ],
    readable: &[
        "uuid",
        "name",
        "svm.name",
        "svm.uuid",
        "style",
        "type",
        "state",
        "size",
        "language",
        "comment",
        "create_time",
        "is_svm_root",
        "aggregates.name",
        "aggregates.uuid",
        "nas.path",
        "nas.security_style",
        "nas.unix_permissions",
        "nas.uid",
        "nas.gid",
        "nas.export_policy.name",
        "nas.export_policy.id",
        "guarantee.type",
        "guarantee.honored",
        "snapshot_policy.name",
        "snapshot_directory_access_enabled",
        "space.size",
        "space.used",
        "space.available",
        "space.snapshot.reserve_percent",
        "space.snapshot.used",
        "space.logical_space.enforcement",
        "space.logical_space.reporting",
        "space.logical_space.used",
        "autosize.mode",
        "encryption.enabled",
        "tiering.policy",
        "quota.state",
        "quota.enabled",
        "qos.policy.name",
        "efficiency.state",
        "efficiency.compression",
        "clone.is_flexclone",
        "clone.parent_volume.name",
        "clone.parent_snapshot.name",
        "clone.split_initiated",
        "error_state.is_inconsistent",
        "files.maximum",
        "snaplock.type",
        "movement.state",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "aggregates.name",
        "aggregates.uuid",
        "size",
        "space.size",
        "style",
        "type",
        "state",
        "comment",
        "nas.path",
        "nas.security_style",
        "nas.unix_permissions",
        "nas.uid",
        "nas.gid",
        "nas.export_policy.name",
        "guarantee.type",
        "snapshot_policy.name",
        "snapshot_directory_access_enabled",
        "space.snapshot.reserve_percent",
        "encryption.enabled",
        "tiering.policy",
        "language",
    ],
    modifiable: &[
        "name",
        "size",
        "space.size",
        "state",
        "comment",
        "nas.path",
        "nas.security_style",
        "nas.unix_permissions",
        "nas.uid",
        "nas.gid",
        "nas.export_policy.name",
        "guarantee.type",
        "snapshot_policy.name",
        "snapshot_directory_access_enabled",
        "space.snapshot.reserve_percent",
        "tiering.policy",
    ],
    flags: &["force", "nvfail", "sizing_method"],
    asynchronous: true,
    stream: Some(volumes),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn volumes<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Records<'c> {
    let rows = scope.rows(cluster, &cluster.volumes, VolumeId, VolumeTag::Named, VolumeTag::Of);
    let wanted = |volume: &&Volume| scope.admits("uuid", volume.id) && scope.admits("name", &volume.name);
    Box::new(rows.filter(wanted).map(|volume| record(cluster, volume)))
}

fn record(cluster: &Cluster, volume: &Volume) -> Value {
    let aggregate = cluster.find_aggregate(volume.aggregate);
    let policy = cluster.policies.get(&volume.policy);
    let used = cluster.used_by_volume(volume.id);
    // A volume that is offline tells little.
    let honored = volume.online.then_some(true);
    json!({
        "uuid": volume.id.to_string(),
        "name": volume.name,
        "svm": svm_reference(cluster, volume.svm),
        "style": "flexvol",
        "type": "rw",
        "state": if volume.online { "online" } else { "offline" },
        "size": volume.size,
        "language": "c.utf_8",
        "comment": volume.comment,
        "create_time": time(volume.created),
        "is_svm_root": volume.is_svm_root,
        "aggregates": aggregate.map(|aggregate| json!([{ "name": aggregate.name, "uuid": aggregate.id.to_string() }])),
        "nas": {
            "path": volume.junction,
            "security_style": style_name(volume.security_style),
            "unix_permissions": permissions_number(volume.mode),
            "uid": volume.uid,
            "gid": volume.gid,
            "export_policy": policy.map(|policy| json!({ "name": policy.name, "id": policy.id })),
        },
        "guarantee": {
            "type": match volume.guarantee { Guarantee::None => "none", Guarantee::Volume => "volume" },
            "honored": honored,
        },
        "snapshot_policy": { "name": volume.snapshot_policy },
        "snapshot_directory_access_enabled": volume.snapshot_directory,
        "space": {
            "size": volume.size,
            "used": used,
            "available": volume.capacity().saturating_sub(used),
            "snapshot": { "reserve_percent": volume.snapshot_reserve, "used": 0 },
            "logical_space": { "enforcement": false, "reporting": false, "used": used },
        },
        "autosize": { "mode": "off" },
        "encryption": { "enabled": volume.encrypted },
        "tiering": { "policy": volume.tiering },
        "quota": { "state": "off", "enabled": false },
        "efficiency": { "state": "disabled", "compression": "none" },
        "clone": { "is_flexclone": false },
        "error_state": { "is_inconsistent": false },
        "snaplock": { "type": "non_snaplock" },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    if body.text("style")?.is_some_and(|style| style != "flexvol") {
        return Err(Refusal::request(3, "Only volumes of style \"flexvol\" are supported").about("style"));
    }
    if body.text("type")?.is_some_and(|kind| kind != "rw") {
        return Err(Refusal::request(3, "Only volumes of type \"rw\" are supported").about("type"));
    }
    let encrypted = body.boolean("encryption.enabled")?;
    let spec = VolumeSpec {
        name: body.required_text("name")?,
        svm,
        aggregate: require_aggregate(cluster, svm, body)?,
        size: size(body)?,
        guarantee: guarantee(body)?,
        snapshot_reserve: reserve(body)?,
        encrypted,
        tiering: body.text("tiering.policy")?,
        settings: VolumePatch { name: None, size: None, ..patch(body)? },
    };
    Ok(vec![cluster.create_volume(spec)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = patch(body)?;
    cluster.modify_volume(target(scope)?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_volume(target(scope)?)
}

fn target(scope: &Scope<'_>) -> Result<VolumeId, Refusal> {
    scope.key(0).parse().map(VolumeId).map_err(|_| Refusal::no_entry())
}

fn patch(body: &Body) -> Result<VolumePatch, Refusal> {
    Ok(VolumePatch {
        name: body.text("name")?,
        size: size(body)?,
        comment: body.text("comment")?,
        online: body
            .text("state")?
            .map(|state| match state.as_str() {
                "online" => Ok(true),
                "offline" => Ok(false),
                _ => Err(Refusal::invalid("state", &state)),
            })
            .transpose()?,
        junction: body.text("nas.path")?,
        policy: body.text("nas.export_policy.name")?,
        security_style: body.text("nas.security_style")?.map(|style| style_from_name(&style)).transpose()?,
        mode: body.integer("nas.unix_permissions")?.map(mode_from_permissions).transpose()?,
        uid: identity(body, "nas.uid")?,
        gid: identity(body, "nas.gid")?,
        snapshot_policy: body.text("snapshot_policy.name")?,
        snapshot_reserve: reserve(body)?,
        snapshot_directory: body.boolean("snapshot_directory_access_enabled")?,
        guarantee: guarantee(body)?,
        tiering: body.text("tiering.policy")?,
    })
}

fn size(body: &Body) -> Result<Option<u64>, Refusal> {
    Ok(body.integer("size")?.or(body.integer("space.size")?))
}

fn reserve(body: &Body) -> Result<Option<u8>, Refusal> {
    let field = "space.snapshot.reserve_percent";
    let percent = body.integer(field)?;
    percent
        .map(|percent| u8::try_from(percent).map_err(|_| Refusal::invalid(field, &percent.to_string())))
        .transpose()
}

fn identity(body: &Body, field: &str) -> Result<Option<u32>, Refusal> {
    let number = body.integer(field)?;
    number
        .map(|number| u32::try_from(number).map_err(|_| Refusal::invalid(field, &number.to_string())))
        .transpose()
}

fn guarantee(body: &Body) -> Result<Option<Guarantee>, Refusal> {
    body.text("guarantee.type")?
        .map(|kind| match kind.as_str() {
            "none" => Ok(Guarantee::None),
            "volume" => Ok(Guarantee::Volume),
            _ => Err(Refusal::invalid("guarantee.type", &kind)),
        })
        .transpose()
}

/// The one aggregate of a FlexVol, which must be the SVM's.
fn require_aggregate(cluster: &Cluster, svm: SvmId, body: &Body) -> Result<AggregateId, Refusal> {
    let (names, uuids) = (body.all_texts("aggregates.name"), body.all_texts("aggregates.uuid"));
    let missing = |what: &str| {
        let message = format!("Aggregate \"{what}\" does not exist or is not assigned to the SVM");
        Refusal::missing(917_508, message).about("aggregates")
    };
    let (found, what) = match (names.as_slice(), uuids.as_slice()) {
        ([name], _) => (cluster.find_aggregate_named(name), name),
        ([], [uuid]) => (uuid.parse().ok().and_then(|uuid| cluster.find_aggregate(AggregateId(uuid))), uuid),
        ([], []) => return Err(Refusal::required("aggregates.name")),
        _ => {
            return Err(
                Refusal::request(3, "Only volumes on one aggregate are supported").about("aggregates")
            );
        }
    };
    let assigned = |id: &AggregateId| cluster.find_svm(svm).is_some_and(|svm| svm.aggregates.contains(id));
    found.map(|aggregate| aggregate.id).filter(assigned).ok_or_else(|| missing(what))
}

fn style_name(style: SecurityStyle) -> &'static str {
    match style {
        SecurityStyle::Unix => "unix",
        SecurityStyle::Ntfs => "ntfs",
        SecurityStyle::Mixed => "mixed",
    }
}

fn style_from_name(name: &str) -> Result<SecurityStyle, Refusal> {
    match name {
        "unix" => Ok(SecurityStyle::Unix),
        "ntfs" => Ok(SecurityStyle::Ntfs),
        "mixed" => Ok(SecurityStyle::Mixed),
        _ => Err(Refusal::invalid("nas.security_style", name)),
    }
}

/// The API writes permissions as octal digits in a decimal number: mode `0o755` is the number 755.
fn permissions_number(mode: u32) -> u32 {
    format!("{mode:o}").parse().unwrap_or(0)
}

fn mode_from_permissions(number: u64) -> Result<u32, Refusal> {
    let text = number.to_string();
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Refusal::invalid("nas.unix_permissions", &text))
}
