//! `/storage/aggregates`.

use serde_json::{Value, json};

use super::super::resource::{NOTHING, Resource, Scope};
use super::node_reference;
use crate::state::volume::VolumeTag;
use crate::state::{Aggregate, Cluster, Media, Refusal};

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
        "block_storage.primary.raid_type",
        "block_storage.storage_type",
        "space.footprint",
        "space.block_storage.size",
        "space.block_storage.used",
        "space.block_storage.available",
        "volume_count",
    ],
    list: Some(aggregates),
    ..NOTHING
};

fn aggregates(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |aggregate: &&Aggregate| scope.admits("uuid", aggregate.id) && scope.admits("name", &aggregate.name);
    Ok(cluster.aggregates.values().filter(wanted).map(|aggregate| record(cluster, aggregate)).collect())
}

fn record(cluster: &Cluster, aggregate: &Aggregate) -> Value {
    let disk_type = match aggregate.media {
        Media::Ssd => "ssd",
        Media::Hdd => "hdd",
    };
    let used = cluster.reserved_on(aggregate.id);
    let volumes = cluster.volumes.count(&VolumeTag::On(aggregate.id));
    json!({
        "uuid": aggregate.id.to_string(),
        "name": aggregate.name,
        "state": "online",
        "node": node_reference(cluster, aggregate.node),
        "home_node": node_reference(cluster, aggregate.node),
        "block_storage": {
            "primary": { "disk_type": disk_type, "raid_type": "raid_dp" },
            "storage_type": disk_type,
        },
        "space": {
            "footprint": used,
            "block_storage": {
                "size": aggregate.size,
                "used": used,
                "available": aggregate.size.saturating_sub(used),
            },
        },
        "volume_count": volumes,
    })
}
