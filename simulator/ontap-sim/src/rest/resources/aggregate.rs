//! `/storage/aggregates`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::network::node;
use super::node_reference;
use crate::state::aggregate::AggregatePatch;
use crate::state::volume::VolumeTag;
use crate::state::{Aggregate, AggregateId, Cluster, Media, Refusal};

pub(super) const AGGREGATES: Resource = Resource {
    path: "storage/aggregates",
    keys: &["uuid"],
    always: &["uuid", "name"],
    expensive: &["space.footprint"],
    readable: &[
        "uuid",
        "name",
        "state",
        "node.name",
        "node.uuid",
        "home_node.name",
        "home_node.uuid",
        "block_storage.primary.disk_type",
        "block_storage.primary.disk_class",
        "block_storage.primary.disk_count",
        "block_storage.primary.raid_type",
        "block_storage.hybrid_cache.enabled",
        "block_storage.mirror.enabled",
        "block_storage.mirror.state",
        "snaplock_type",
        "space.block_storage.percent_used",
        "block_storage.storage_type",
        "space.footprint",
        "space.block_storage.size",
        "space.block_storage.used",
        "space.block_storage.available",
        "volume_count",
    ],
    creatable: &[
        "name",
        "node.name",
        "node.uuid",
        "block_storage.primary.disk_class",
        "block_storage.primary.disk_type",
        "block_storage.primary.disk_count",
        "block_storage.primary.raid_type",
        "block_storage.primary.raid_size",
        "block_storage.mirror.enabled",
        "snaplock_type",
    ],
    modifiable: &[
        "name",
        "node.name",
        "node.uuid",
        "block_storage.primary.disk_count",
        "block_storage.hybrid_cache.enabled",
    ],
    asynchronous: true,
    list: Some(aggregates),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn aggregates(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |aggregate: &&Aggregate| scope.admits("uuid", aggregate.id) && scope.admits("name", &aggregate.name);
    Ok(cluster.aggregates.values().filter(wanted).map(|aggregate| record(cluster, aggregate)).collect())
}

/// The aggregates that a body names in `field`, by name or UUID; `None` when it names none at all.
pub(super) fn require_aggregates(
    cluster: &Cluster,
    body: &Body,
    field: &str,
) -> Result<Option<Vec<AggregateId>>, Refusal> {
    let named = body.all_texts(&format!("{field}.name"));
    let by_uuid = if named.is_empty() { body.all_texts(&format!("{field}.uuid")) } else { Vec::new() };
    if named.is_empty() && by_uuid.is_empty() && !body.has(field) {
        return Ok(None);
    }
    let find = |what: &String| {
        let aggregate = cluster
            .aggregates
            .values()
            .find(|aggregate| aggregate.name == *what || aggregate.id.to_string() == *what);
        aggregate.map(|aggregate| aggregate.id).ok_or_else(|| {
            Refusal::missing(917_508, format!("Aggregate \"{what}\" does not exist")).about(field)
        })
    };
    named.iter().chain(&by_uuid).map(find).collect::<Result<_, _>>().map(Some)
}

fn record(cluster: &Cluster, aggregate: &Aggregate) -> Value {
    let disk_type = aggregate.media.name();
    let used = cluster.reserved_on(aggregate.id);
    let volumes = cluster.volumes.count(&VolumeTag::On(aggregate.id));
    json!({
        "uuid": aggregate.id.to_string(),
        "name": aggregate.name,
        "state": "online",
        "node": node_reference(cluster, aggregate.node),
        "home_node": node_reference(cluster, aggregate.node),
        "block_storage": {
            "primary": {
                "disk_type": disk_type,
                "disk_class": if aggregate.media == Media::Ssd { "solid_state" } else { "capacity" },
                "disk_count": aggregate.disks(),
                "raid_type": "raid_dp",
            },
            "hybrid_cache": { "enabled": aggregate.media == Media::Hybrid },
            "mirror": { "enabled": false, "state": "unmirrored" },
            "storage_type": disk_type,
        },
        "space": {
            "footprint": used,
            "block_storage": {
                "size": aggregate.size,
                "used": used,
                "percent_used": used.saturating_mul(100) / aggregate.size.max(1),
                "available": aggregate.size.saturating_sub(used),
            },
        },
        "snaplock_type": "non_snaplock",
        "volume_count": volumes,
    })
}

fn create(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let node = node(cluster, body, "node")?.ok_or_else(|| Refusal::required("node.name"))?;
    let (class, kind) =
        (body.text("block_storage.primary.disk_class")?, body.text("block_storage.primary.disk_type")?);
    let media = match (class.as_deref(), kind.as_deref()) {
        (_, Some("ssd")) | (Some("solid_state"), None) => Media::Ssd,
        (_, Some("hdd" | "sas" | "fsas" | "mediumtier"))
        | (Some("capacity" | "performance" | "archive"), None) => Media::Hdd,
        (None, None) => Media::Ssd,
        (class, kind) => {
            let given = kind.or(class).unwrap_or_default();
            return Err(Refusal::invalid("block_storage.primary.disk_class", given));
        }
    };
    let disks = body.integer("block_storage.primary.disk_count")?;
    let disks = disks.ok_or_else(|| Refusal::required("block_storage.primary.disk_count"))?;
    Ok(vec![cluster.create_aggregate(&body.required_text("name")?, node, media, disks)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = AggregatePatch {
        name: body.text("name")?,
        node: node(cluster, body, "node")?,
        disks: body.integer("block_storage.primary.disk_count")?,
        hybrid: body.boolean("block_storage.hybrid_cache.enabled")?,
    };
    cluster.modify_aggregate(aggregate_id(scope)?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_aggregate(aggregate_id(scope)?)
}

fn aggregate_id(scope: &Scope<'_>) -> Result<AggregateId, Refusal> {
    scope.key(0).parse().map(AggregateId).map_err(|_| Refusal::no_entry())
}
