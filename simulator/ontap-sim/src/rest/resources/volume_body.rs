//! What a request says about a volume.

use super::super::body::Body;
use crate::state::clone::CloneSpec;
use crate::state::features::FeaturePatch;
use crate::state::volume::{Guarantee, Kind, SecurityStyle, Style, VolumePatch, VolumeSpec};
use crate::state::{AggregateId, Cluster, Refusal, SvmId};

/// Constituents of a FlexGroup on each aggregate, when nobody says otherwise.
const CONSTITUENTS_PER_AGGREGATE: u64 = 4;
/// Constituents that one aggregate takes.
const MOST_CONSTITUENTS: u64 = 200;

/// Fields a POST takes.
pub(super) const CREATABLE: &[&str] = &[
    "name",
    "svm.name",
    "svm.uuid",
    "aggregates.name",
    "aggregates.uuid",
    "constituents_per_aggregate",
    "size",
    "space.size",
    "style",
    "type",
    "state",
    "comment",
    "language",
    "access_time_enabled",
    "activity_tracking.state",
    "analytics.state",
    "autosize.mode",
    "autosize.minimum",
    "autosize.maximum",
    "autosize.grow_threshold",
    "autosize.shrink_threshold",
    "clone.is_flexclone",
    "clone.parent_volume.name",
    "clone.parent_volume.uuid",
    "clone.parent_snapshot.name",
    "clone.parent_snapshot.uuid",
    "clone.parent_svm.name",
    "clone.parent_svm.uuid",
    "cloud_retrieval_policy",
    "efficiency.state",
    "efficiency.compression",
    "efficiency.compaction",
    "efficiency.dedupe",
    "efficiency.cross_volume_dedupe",
    "efficiency.policy.name",
    "encryption.enabled",
    "files.maximum",
    "guarantee.type",
    "nas.path",
    "nas.junction_parent.name",
    "nas.security_style",
    "nas.unix_permissions",
    "nas.uid",
    "nas.gid",
    "nas.export_policy.name",
    "nas.export_policy.id",
    "qos.policy.name",
    "quota.enabled",
    "snaplock.type",
    "snapshot_policy.name",
    "snapshot_directory_access_enabled",
    "space.fractional_reserve",
    "space.snapshot.autodelete_enabled",
    "space.snapshot.autodelete.enabled",
    "space.snapshot.reserve_percent",
    "space.logical_space.enforcement",
    "space.logical_space.reporting",
    "tiering.policy",
    "tiering.min_cooling_days",
];

/// Fields a PATCH takes.
pub(super) const MODIFIABLE: &[&str] = &[
    "name",
    "size",
    "space.size",
    "state",
    "comment",
    "access_time_enabled",
    "activity_tracking.state",
    "analytics.state",
    "autosize.mode",
    "autosize.minimum",
    "autosize.maximum",
    "autosize.grow_threshold",
    "autosize.shrink_threshold",
    "clone.split_initiated",
    "cloud_retrieval_policy",
    "efficiency.state",
    "efficiency.compression",
    "efficiency.compaction",
    "efficiency.dedupe",
    "efficiency.cross_volume_dedupe",
    "efficiency.policy.name",
    "encryption.enabled",
    "files.maximum",
    "guarantee.type",
    "movement.destination_aggregate.name",
    "movement.destination_aggregate.uuid",
    "movement.state",
    "nas.path",
    "nas.security_style",
    "nas.unix_permissions",
    "nas.uid",
    "nas.gid",
    "nas.export_policy.name",
    "nas.export_policy.id",
    "qos.policy.name",
    "quota.enabled",
    "restore_to.snapshot.name",
    "snapshot_policy.name",
    "snapshot_directory_access_enabled",
    "space.fractional_reserve",
    "space.snapshot.autodelete_enabled",
    "space.snapshot.autodelete.enabled",
    "space.snapshot.reserve_percent",
    "space.logical_space.enforcement",
    "space.logical_space.reporting",
    "tiering.policy",
    "tiering.min_cooling_days",
];

/// The new volume that a body asks for.
pub(super) fn spec(cluster: &Cluster, svm: SvmId, body: &Body) -> Result<VolumeSpec, Refusal> {
    let kind = match body.text("type")?.as_deref() {
        None | Some("rw" | "RW") => Kind::ReadWrite,
        Some("dp" | "DP") => Kind::DataProtection,
        Some(other) => return Err(Refusal::invalid("type", other)),
    };
    let (aggregate, style) = place(cluster, svm, body)?;
    Ok(VolumeSpec {
        name: body.required_text("name")?,
        svm,
        aggregate,
        style,
        kind,
        size: size(body)?,
        guarantee: guarantee(body)?,
        snapshot_reserve: reserve(body)?,
        settings: VolumePatch { name: None, size: None, ..patch(cluster, body)? },
    })
}

/// The clone that a body asks for, if it does.
pub(super) fn clone_spec(svm: SvmId, body: &Body) -> Result<Option<CloneSpec>, Refusal> {
    let parent = match body.text("clone.parent_volume.name")? {
        Some(name) => Some(name),
        None => body.text("clone.parent_volume.uuid")?,
    };
    let wanted = body.boolean("clone.is_flexclone")?;
    let Some(parent) = parent.filter(|_| wanted != Some(false)) else {
        return match wanted {
            Some(true) => Err(Refusal::required("clone.parent_volume.name")),
            _ => Ok(None),
        };
    };
    let settings = VolumePatch { name: None, size: None, online: None, ..settings(body)? };
    Ok(Some(CloneSpec {
        name: body.required_text("name")?,
        svm,
        parent,
        snapshot: body.text("clone.parent_snapshot.name")?,
        settings,
    }))
}

/// The change that a body asks for.
pub(super) fn patch(cluster: &Cluster, body: &Body) -> Result<VolumePatch, Refusal> {
    let names = (
        body.text("movement.destination_aggregate.name")?,
        body.text("movement.destination_aggregate.uuid")?,
    );
    let destination = match names {
        (None, None) => None,
        (name, uuid) => {
            let wanted = name.or(uuid).unwrap_or_default();
            let found = cluster
                .aggregates
                .values()
                .find(|aggregate| aggregate.name == wanted || aggregate.id.to_string() == wanted);
            Some(found.map(|aggregate| aggregate.id).ok_or_else(|| no_aggregate(&wanted))?)
        }
    };
    Ok(VolumePatch { destination, ..settings(body)? })
}

fn settings(body: &Body) -> Result<VolumePatch, Refusal> {
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
        policy_id: body.integer("nas.export_policy.id")?,
        security_style: body.text("nas.security_style")?.map(|style| style_from_name(&style)).transpose()?,
        mode: body.integer("nas.unix_permissions")?.map(mode_from_permissions).transpose()?,
        uid: identity(body, "nas.uid")?,
        gid: identity(body, "nas.gid")?,
        snapshot_policy: body.text("snapshot_policy.name")?,
        snapshot_reserve: reserve(body)?,
        snapshot_directory: body.boolean("snapshot_directory_access_enabled")?,
        guarantee: guarantee(body)?,
        tiering: body.text("tiering.policy")?,
        encrypted: body.boolean("encryption.enabled")?,
        destination: None,
        features: features(body)?,
    })
}

fn features(body: &Body) -> Result<FeaturePatch, Refusal> {
    let autodelete = match body.boolean("space.snapshot.autodelete_enabled")? {
        Some(enabled) => Some(enabled),
        None => body.boolean("space.snapshot.autodelete.enabled")?,
    };
    let switched = |field: &str| -> Result<Option<bool>, Refusal> {
        body.text(field)?
            .map(|state| match state.as_str() {
                "on" | "enabled" => Ok(true),
                "off" | "disabled" => Ok(false),
                _ => Err(Refusal::invalid(field, &state)),
            })
            .transpose()
    };
    Ok(FeaturePatch {
        autosize_mode: body.text("autosize.mode")?,
        autosize_minimum: body.integer("autosize.minimum")?,
        autosize_maximum: body.integer("autosize.maximum")?,
        grow_threshold: body.integer("autosize.grow_threshold")?,
        shrink_threshold: body.integer("autosize.shrink_threshold")?,
        efficiency: switched("efficiency.state")?,
        compression: body.text("efficiency.compression")?,
        compaction: body.text("efficiency.compaction")?,
        dedupe: body.text("efficiency.dedupe")?,
        cross_volume_dedupe: body.text("efficiency.cross_volume_dedupe")?,
        efficiency_policy: body.text("efficiency.policy.name")?,
        logical_enforcement: body.boolean("space.logical_space.enforcement")?,
        logical_reporting: body.boolean("space.logical_space.reporting")?,
        files_maximum: body.integer("files.maximum")?,
        qos_policy: body.text("qos.policy.name")?,
        tags: body.texts("_tags")?,
        quota: body.boolean("quota.enabled")?,
        cooling_days: body.integer("tiering.min_cooling_days")?,
        autodelete,
        access_time: body.boolean("access_time_enabled")?,
        fractional_reserve: body.integer("space.fractional_reserve")?,
        analytics: switched("analytics.state")?,
        activity_tracking: switched("activity_tracking.state")?,
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

pub(super) fn identity(body: &Body, field: &str) -> Result<Option<u32>, Refusal> {
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

/// The aggregate of a FlexVol, or the aggregates of a FlexGroup's constituents. A FlexGroup without
/// aggregates gets all of the SVM's.
fn place(cluster: &Cluster, svm: SvmId, body: &Body) -> Result<(AggregateId, Style), Refusal> {
    let named = named_aggregates(cluster, svm, body)?;
    let per_aggregate = body.integer("constituents_per_aggregate")?;
    let style = body.text("style")?;
    let grouped = match style.as_deref() {
        None => named.len() > 1 || per_aggregate.is_some(),
        Some("flexvol") => false,
        Some("flexgroup") => true,
        Some(other) => return Err(Refusal::invalid("style", other)),
    };
    if !grouped {
        return match named.as_slice() {
            [one] => Ok((*one, Style::FlexVol)),
            [] => Err(Refusal::required("aggregates.name")),
            _ => Err(Refusal::request(3, "A FlexVol volume lies on one aggregate").about("aggregates")),
        };
    }
    let all = if named.is_empty() {
        cluster.find_svm(svm).map(|svm| svm.aggregates.clone()).unwrap_or_default()
    } else {
        named
    };
    let first = all.first().copied().ok_or_else(|| Refusal::required("aggregates.name"))?;
    let each = per_aggregate.unwrap_or(CONSTITUENTS_PER_AGGREGATE);
    if !(1..=MOST_CONSTITUENTS).contains(&each) {
        return Err(Refusal::invalid("constituents_per_aggregate", &each.to_string()));
    }
    let constituents = (0..each).flat_map(|_| all.iter().copied()).collect();
    Ok((first, Style::FlexGroup(constituents)))
}

/// The aggregates that a body names, by name or UUID; all must be the SVM's.
fn named_aggregates(cluster: &Cluster, svm: SvmId, body: &Body) -> Result<Vec<AggregateId>, Refusal> {
    let mut wanted = body.all_texts("aggregates.name");
    if wanted.is_empty() {
        wanted = body.all_texts("aggregates.uuid");
    }
    let assigned = |id: &AggregateId| cluster.find_svm(svm).is_some_and(|svm| svm.aggregates.contains(id));
    wanted
        .into_iter()
        .map(|what| {
            let named = |id: &str| id == what;
            let found = cluster
                .aggregates
                .values()
                .find(|aggregate| named(&aggregate.name) || named(&aggregate.id.to_string()));
            found.map(|aggregate| aggregate.id).filter(assigned).ok_or_else(|| no_aggregate(&what))
        })
        .collect()
}

fn no_aggregate(what: &str) -> Refusal {
    let message = format!("Aggregate \"{what}\" does not exist or is not assigned to the SVM");
    Refusal::missing(917_508, message).about("aggregates")
}

pub(super) fn style_name(style: SecurityStyle) -> &'static str {
    match style {
        SecurityStyle::Unix => "unix",
        SecurityStyle::Ntfs => "ntfs",
        SecurityStyle::Mixed => "mixed",
    }
}

pub(super) fn style_from_name(name: &str) -> Result<SecurityStyle, Refusal> {
    match name {
        "unix" => Ok(SecurityStyle::Unix),
        "ntfs" => Ok(SecurityStyle::Ntfs),
        "mixed" => Ok(SecurityStyle::Mixed),
        _ => Err(Refusal::invalid("nas.security_style", name)),
    }
}

/// The API writes permissions as octal digits in a decimal number: mode `0o755` is the number 755.
pub(super) fn permissions_number(mode: u32) -> u32 {
    format!("{mode:o}").parse().unwrap_or(0)
}

pub(super) fn mode_from_permissions(number: u64) -> Result<u32, Refusal> {
    let text = number.to_string();
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Refusal::invalid("nas.unix_permissions", &text))
}
