//! `/private/cli`: commands of the cluster shell, their words as path segments. `GET` is `show`,
//! `POST` a verb, `PATCH` `modify`, `DELETE` `delete`. Those are here that REST clients use.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::time;
use crate::state::recovery::Deleted;
use crate::state::volume::{Volume, VolumePatch};
use crate::state::{Cluster, Refusal, SvmId, VolumeId};

/// `volume recovery-queue show`.
pub(super) const RECOVERY_QUEUE: Resource = Resource {
    path: "private/cli/volume/recovery-queue",
    keys: &["vserver", "volume"],
    always: &["vserver", "volume"],
    readable: &["vserver", "volume", "deletion_time", "retention_hours", "expiration_time"],
    list: Some(queue),
    ..NOTHING
};

/// `volume recovery-queue purge`. Clients compare the status with 202.
pub(super) const PURGE: Resource = Resource {
    path: "private/cli/volume/recovery-queue/purge",
    creatable: &["vserver", "volume"],
    asynchronous: true,
    create: Some(purge),
    ..NOTHING
};

/// `volume recovery-queue recover`.
pub(super) const RECOVER: Resource = Resource {
    path: "private/cli/volume/recovery-queue/recover",
    creatable: &["vserver", "volume"],
    create: Some(recover),
    ..NOTHING
};

/// `volume efficiency`.
pub(super) const EFFICIENCY: Resource = Resource {
    path: "private/cli/volume/efficiency",
    keys: &["vserver", "volume"],
    always: &["vserver", "volume"],
    readable: &[
        "vserver",
        "volume",
        "state",
        "policy",
        "dedupe",
        "compression",
        "inline_compression",
        "path",
    ],
    modifiable: &["state", "policy", "compression", "inline_compression"],
    list: Some(efficiencies),
    modify: Some(modify_efficiency),
    ..NOTHING
};

/// `volume efficiency on`.
pub(super) const EFFICIENCY_ON: Resource = Resource {
    path: "private/cli/volume/efficiency/on",
    creatable: &["vserver", "volume", "path"],
    create: Some(|cluster, scope, body| switch_efficiency(cluster, scope, body, true)),
    ..NOTHING
};

/// `volume efficiency off`.
pub(super) const EFFICIENCY_OFF: Resource = Resource {
    path: "private/cli/volume/efficiency/off",
    creatable: &["vserver", "volume", "path"],
    create: Some(|cluster, scope, body| switch_efficiency(cluster, scope, body, false)),
    ..NOTHING
};

/// `volume move start`.
pub(super) const MOVE: Resource = Resource {
    path: "private/cli/volume/move/start",
    creatable: &["vserver", "volume", "destination_aggregate", "cutover_window", "encrypt_destination"],
    create: Some(start_move),
    ..NOTHING
};

/// `debug smdb table OntapMode show`: which personality the array has. Clients need exactly one record.
pub(super) const MODE: Resource = Resource {
    path: "private/cli/debug/smdb/table/OntapMode",
    keys: &["ASA_R2"],
    always: &["ASA_R2", "ASA_NEXT"],
    readable: &["ASA_R2", "ASA_NEXT", "ASA_LEGACY", "DISAGGREGATED"],
    list: Some(mode),
    ..NOTHING
};

/// The same, as later versions call it.
pub(super) const PERSONALITY: Resource =
    Resource { path: "private/cli/debug/smdb/table/OntapPersonality", ..MODE };

fn queue(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |deleted: &&Deleted| {
        scope.admits("vserver", cluster.svm_name(deleted.volume.svm)) && scope.admits("volume", &deleted.name)
    };
    let record = |deleted: &Deleted| {
        json!({
            "vserver": cluster.svm_name(deleted.volume.svm),
            "volume": deleted.name,
            "deletion_time": time(deleted.since),
            "expiration_time": time(deleted.until()),
            "retention_hours": deleted.until().duration_since(deleted.since).as_hours(),
        })
    };
    Ok(cluster.recovery.values().filter(wanted).map(record).collect())
}

fn purge(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = require_vserver(cluster, scope, body)?;
    cluster.purge_deleted(svm, &body.required_text("volume")?)?;
    Ok(Vec::new())
}

fn recover(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = require_vserver(cluster, scope, body)?;
    cluster.recover_deleted(svm, &body.required_text("volume")?)?;
    Ok(Vec::new())
}

fn efficiencies(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |volume: &&Volume| {
        scope.admits("vserver", cluster.svm_name(volume.svm)) && scope.admits("volume", &volume.name)
    };
    let record = |volume: &Volume| {
        let efficiency = &volume.features.efficiency;
        let inline = ["inline", "both"].contains(&efficiency.compression.as_str());
        json!({
            "vserver": cluster.svm_name(volume.svm),
            "volume": volume.name,
            "path": format!("/vol/{}", volume.name),
            "state": if efficiency.enabled { "enabled" } else { "disabled" },
            "policy": efficiency.policy,
            "compression": efficiency.compression != "none",
            "inline_compression": inline,
        })
    };
    Ok(cluster.volumes.values().filter(wanted).map(record).collect())
}

fn modify_efficiency(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let volume = require_volume(cluster, scope.key(0), scope.key(1))?;
    let mut patch = VolumePatch::default();
    let (background, inline) = (body.boolean("compression")?, body.boolean("inline_compression")?);
    patch.features.compression = match (background, inline) {
        (None, None) => None,
        (Some(true), Some(true)) => Some("both".into()),
        (Some(true), _) => Some("background".into()),
        (_, Some(true)) => Some("inline".into()),
        _ => Some("none".into()),
    };
    patch.features.efficiency_policy = body.text("policy")?;
    patch.features.efficiency = match body.text("state")?.as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(other) => return Err(Refusal::invalid("state", other)),
    };
    cluster.modify_volume(volume, patch)
}

fn switch_efficiency(
    cluster: &mut Cluster,
    scope: &Scope<'_>,
    body: &Body,
    on: bool,
) -> Result<Vec<String>, Refusal> {
    let svm = require_vserver(cluster, scope, body)?;
    let name = match body.text("volume")? {
        Some(name) => name,
        None => body.required_text("path")?.trim_start_matches("/vol/").to_owned(),
    };
    let svm_name = cluster.svm_name(svm).to_owned();
    let volume = require_volume(cluster, &svm_name, &name)?;
    let mut patch = VolumePatch::default();
    patch.features.efficiency = Some(on);
    cluster.modify_volume(volume, patch)?;
    Ok(Vec::new())
}

fn start_move(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = require_vserver(cluster, scope, body)?;
    let svm_name = cluster.svm_name(svm).to_owned();
    let volume = require_volume(cluster, &svm_name, &body.required_text("volume")?)?;
    let name = body.required_text("destination_aggregate")?;
    let destination = cluster.find_aggregate_named(&name).map(|aggregate| aggregate.id);
    let destination = destination.ok_or_else(|| Refusal::invalid("destination_aggregate", &name))?;
    cluster
        .modify_volume(volume, VolumePatch { destination: Some(destination), ..VolumePatch::default() })?;
    Ok(Vec::new())
}

fn mode(_: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(vec![json!({ "ASA_R2": false, "ASA_NEXT": false, "ASA_LEGACY": false, "DISAGGREGATED": false })])
}

fn require_vserver(cluster: &Cluster, scope: &Scope<'_>, body: &Body) -> Result<SvmId, Refusal> {
    match body.text("vserver")? {
        Some(name) => cluster.find_svm_named(&name).map(|svm| svm.id).ok_or_else(|| {
            Refusal::missing(2_621_462, format!("SVM \"{name}\" does not exist.")).about("vserver")
        }),
        None => scope.svm.ok_or_else(|| Refusal::required("vserver")),
    }
}

fn require_volume(cluster: &Cluster, vserver: &str, name: &str) -> Result<VolumeId, Refusal> {
    let svm = cluster.find_svm_named(vserver).ok_or_else(Refusal::no_entry)?.id;
    cluster.find_volume_named(svm, name).map(|volume| volume.id).ok_or_else(Refusal::no_entry)
}
