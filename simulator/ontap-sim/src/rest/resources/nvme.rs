//! `/storage/namespaces` and `/protocols/nvme`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm::svm_id;
use super::{node_reference, svm_reference, time, volume_name};
use crate::state::nvme::{Namespace, NamespacePatch, NamespaceSpec, Subsystem, SubsystemMap};
use crate::state::{Cluster, Refusal, Svm};

pub(super) const NAMESPACES: Resource = Resource {
    path: "storage/namespaces",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    readable: &[
        "uuid",
        "name",
        "os_type",
        "comment",
        "create_time",
        "enabled",
        "svm.name",
        "svm.uuid",
        "location.namespace",
        "location.volume.name",
        "location.volume.uuid",
        "location.node.name",
        "location.node.uuid",
        "space.size",
        "space.used",
        "space.block_size",
        "space.guarantee.requested",
        "space.guarantee.reserved",
        "status.state",
        "status.container_state",
        "status.mapped",
        "status.read_only",
        "qos_policy.name",
        "subsystem_map.nsid",
        "subsystem_map.subsystem.name",
        "subsystem_map.subsystem.uuid",
    ],
    creatable: &[
        "name",
        "os_type",
        "comment",
        "svm.name",
        "svm.uuid",
        "location.volume.name",
        "location.namespace",
        "space.size",
        "space.block_size",
        "space.guarantee.requested",
        "qos_policy.name",
    ],
    modifiable: &["name", "comment", "space.size", "space.guarantee.requested", "qos_policy.name"],
    flags: &["allow_delete_while_mapped"],
    list: Some(namespaces),
    create: Some(create_namespace),
    modify: Some(modify_namespace),
    delete: Some(delete_namespace),
    ..NOTHING
};

pub(super) const SUBSYSTEMS: Resource = Resource {
    path: "protocols/nvme/subsystems",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    readable: &[
        "uuid",
        "name",
        "os_type",
        "comment",
        "serial_number",
        "target_nqn",
        "svm.name",
        "svm.uuid",
        "hosts.nqn",
        "subsystem_maps.nsid",
        "subsystem_maps.namespace.name",
        "subsystem_maps.namespace.uuid",
    ],
    creatable: &["name", "os_type", "comment", "svm.name", "svm.uuid", "hosts.nqn"],
    modifiable: &["comment"],
    flags: &["allow_delete_with_hosts", "allow_delete_while_mapped"],
    list: Some(subsystems),
    create: Some(create_subsystem),
    modify: Some(modify_subsystem),
    delete: Some(delete_subsystem),
    ..NOTHING
};

pub(super) const HOSTS: Resource = Resource {
    path: "protocols/nvme/subsystems/{subsystem.uuid}/hosts",
    keys: &["nqn"],
    always: &["nqn", "subsystem.uuid"],
    readable: &["nqn", "subsystem.uuid", "subsystem.name", "io_queue.count", "io_queue.depth"],
    creatable: &["nqn"],
    list: Some(hosts),
    create: Some(add_host),
    delete: Some(remove_host),
    ..NOTHING
};

pub(super) const MAPS: Resource = Resource {
    path: "protocols/nvme/subsystem-maps",
    keys: &["subsystem.uuid", "namespace.uuid"],
    always: &["subsystem.uuid", "subsystem.name", "namespace.uuid", "namespace.name", "svm.name", "svm.uuid"],
    readable: &[
        "nsid",
        "subsystem.uuid",
        "subsystem.name",
        "namespace.uuid",
        "namespace.name",
        "svm.name",
        "svm.uuid",
    ],
    creatable: &[
        "svm.name",
        "svm.uuid",
        "subsystem.uuid",
        "subsystem.name",
        "namespace.uuid",
        "namespace.name",
    ],
    list: Some(maps),
    create: Some(create_map),
    delete: Some(delete_map),
    ..NOTHING
};

pub(super) const SERVICES: Resource = Resource {
    path: "protocols/nvme/services",
    keys: &["svm.uuid"],
    always: &["svm.name", "svm.uuid"],
    readable: &["svm.name", "svm.uuid", "enabled"],
    creatable: &["svm.name", "svm.uuid", "enabled"],
    modifiable: &["enabled"],
    list: Some(services),
    create: Some(create_service),
    modify: Some(modify_service),
    delete: Some(delete_service),
    ..NOTHING
};

fn uuid(text: &str) -> Result<Uuid, Refusal> {
    text.parse().map_err(|_| Refusal::no_entry())
}

fn namespaces(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |namespace: &&Namespace| scope.admits("uuid", namespace.id) && scope.admits("name", &namespace.path);
    Ok(cluster.namespaces.values().filter(wanted).map(|namespace| record(cluster, namespace)).collect())
}

fn record(cluster: &Cluster, namespace: &Namespace) -> Value {
    let volume = cluster.volumes.get(&namespace.volume);
    let node = volume.and_then(|volume| cluster.owner_of(volume)).map(|node| node.id);
    let online = volume.is_some_and(|volume| volume.online);
    let map = cluster.map_of_namespace(namespace.id);
    let subsystem = map.and_then(|map| cluster.subsystems.get(&map.subsystem));
    json!({
        "uuid": namespace.id.to_string(),
        "name": namespace.path,
        "os_type": namespace.os_type,
        "comment": namespace.comment,
        "create_time": time(namespace.created),
        "enabled": true,
        "svm": svm_reference(cluster, namespace.svm),
        "location": {
            "namespace": namespace.path.rsplit('/').next(),
            "volume": { "name": volume_name(cluster, namespace.volume), "uuid": namespace.volume.to_string() },
            "node": node.map(|node| node_reference(cluster, node)),
        },
        "space": {
            "size": namespace.size,
            "used": 0,
            "block_size": namespace.block_size,
            "guarantee": { "requested": false, "reserved": false },
        },
        "status": {
            "state": if online { "online" } else { "offline" },
            "container_state": "online",
            "mapped": map.is_some(),
            "read_only": false,
        },
        "qos_policy": namespace.qos_policy.as_ref().map(|name| json!({ "name": name })),
        "subsystem_map": map.zip(subsystem).map(|(map, subsystem)| json!({
            "nsid": format!("{:08x}h", map.number),
            "subsystem": { "name": subsystem.name, "uuid": subsystem.id.to_string() },
        })),
    })
}

fn create_namespace(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let path =
        match (body.text("name")?, body.text("location.volume.name")?, body.text("location.namespace")?) {
            (Some(name), ..) => name,
            (None, Some(volume), Some(name)) => format!("/vol/{volume}/{name}"),
            _ => return Err(Refusal::required("name")),
        };
    let spec = NamespaceSpec {
        svm,
        path,
        os_type: body.required_text("os_type")?,
        size: body.integer("space.size")?.ok_or_else(|| Refusal::required("space.size"))?,
        block_size: body.integer("space.block_size")?.unwrap_or(4096),
        comment: body.text("comment")?.unwrap_or_default(),
        qos_policy: body.text("qos_policy.name")?,
    };
    body.boolean("space.guarantee.requested")?;
    Ok(vec![cluster.create_namespace(spec)?.to_string()])
}

fn modify_namespace(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = NamespacePatch {
        path: body.text("name")?,
        size: body.integer("space.size")?,
        comment: body.text("comment")?,
        qos_policy: body.text("qos_policy.name")?,
    };
    cluster.modify_namespace(uuid(scope.key(0))?, patch)
}

fn delete_namespace(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let though_mapped = scope.query.flag("allow_delete_while_mapped")?;
    cluster.delete_namespace(uuid(scope.key(0))?, though_mapped)
}

fn subsystems(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |subsystem: &&Subsystem| scope.admits("uuid", subsystem.id) && scope.admits("name", &subsystem.name);
    let record = |subsystem: &Subsystem| {
        let of_it = cluster.subsystem_maps.values().filter(|map| map.subsystem == subsystem.id);
        let map = |map: &SubsystemMap| {
            let path = cluster.namespaces.get(&map.namespace).map(|namespace| namespace.path.as_str());
            json!({
                "nsid": format!("{:08x}h", map.number),
                "namespace": { "name": path, "uuid": map.namespace.to_string() },
            })
        };
        let maps: Vec<_> = of_it.map(map).collect();
        let hosts: Vec<_> = subsystem.hosts.iter().map(|nqn| json!({ "nqn": nqn })).collect();
        json!({
            "uuid": subsystem.id.to_string(),
            "name": subsystem.name,
            "os_type": subsystem.os_type,
            "comment": if subsystem.comment.is_empty() { Value::Null } else { json!(subsystem.comment) },
            "serial_number": subsystem.serial,
            "target_nqn": subsystem.nqn,
            "svm": svm_reference(cluster, subsystem.svm),
            "hosts": if hosts.is_empty() { Value::Null } else { Value::Array(hosts) },
            "subsystem_maps": if maps.is_empty() { Value::Null } else { Value::Array(maps) },
        })
    };
    Ok(cluster.subsystems.values().filter(wanted).map(record).collect())
}

fn create_subsystem(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let (name, os_type) = (body.required_text("name")?, body.required_text("os_type")?);
    let comment = body.text("comment")?.unwrap_or_default();
    let id = cluster.create_subsystem(svm, &name, &os_type, comment, body.all_texts("hosts.nqn"))?;
    Ok(vec![id.to_string()])
}

fn modify_subsystem(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_subsystem(uuid(scope.key(0))?, body.text("comment")?)
}

fn delete_subsystem(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let with_hosts = scope.query.flag("allow_delete_with_hosts")?;
    let while_mapped = scope.query.flag("allow_delete_while_mapped")?;
    cluster.delete_subsystem(uuid(scope.key(0))?, with_hosts, while_mapped)
}

fn hosts(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let subsystem = cluster.subsystems.get(&uuid(scope.parent(0))?).ok_or_else(Refusal::no_entry)?;
    let record = |nqn: &String| {
        json!({
            "nqn": nqn,
            "subsystem": { "uuid": subsystem.id.to_string(), "name": subsystem.name },
            "io_queue": { "count": 4, "depth": 32 },
        })
    };
    Ok(subsystem.hosts.iter().map(record).collect())
}

fn add_host(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let nqn = body.required_text("nqn")?;
    cluster.add_subsystem_host(uuid(scope.parent(0))?, &nqn)?;
    Ok(vec![nqn])
}

fn remove_host(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.remove_subsystem_host(uuid(scope.parent(0))?, scope.key(0))
}

fn maps(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |map: &SubsystemMap| {
        let (subsystem, namespace) =
            (cluster.subsystems.get(&map.subsystem)?, cluster.namespaces.get(&map.namespace)?);
        Some(json!({
            "nsid": format!("{:08x}h", map.number),
            "subsystem": { "uuid": subsystem.id.to_string(), "name": subsystem.name },
            "namespace": { "uuid": namespace.id.to_string(), "name": namespace.path },
            "svm": svm_reference(cluster, subsystem.svm),
        }))
    };
    Ok(cluster.subsystem_maps.values().filter_map(record).collect())
}

fn create_map(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let (name, id) = (body.text("subsystem.name")?, body.text("subsystem.uuid")?);
    let found = cluster.subsystems.values().find(|subsystem| {
        let named = || name.as_ref() == Some(&subsystem.name);
        let addressed = |id: &String| *id == subsystem.id.to_string();
        subsystem.svm == svm && id.as_ref().map_or_else(named, addressed)
    });
    let missing = |what: &str| Refusal::missing(4, format!("The NVMe {what} does not exist")).about(what);
    let subsystem = found.ok_or_else(|| missing("subsystem"))?.id;
    let namespace = match (body.text("namespace.uuid")?, body.text("namespace.name")?) {
        (Some(id), _) => id.parse().ok().and_then(|id| cluster.namespaces.get(&id)),
        (None, Some(path)) => cluster.namespaces.find(&(svm, path)),
        (None, None) => return Err(Refusal::required("namespace.name")),
    };
    let namespace =
        namespace.filter(|namespace| namespace.svm == svm).ok_or_else(|| missing("namespace"))?.id;
    cluster.create_subsystem_map(subsystem, namespace)?;
    Ok(vec![subsystem.to_string(), namespace.to_string()])
}

fn delete_map(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_subsystem_map(uuid(scope.key(0))?, uuid(scope.key(1))?)
}

fn services(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |svm: &Svm| {
        let enabled = svm.nvme?;
        Some(json!({ "svm": svm_reference(cluster, svm.id), "enabled": enabled }))
    };
    Ok(cluster.svms.values().filter_map(record).collect())
}

fn create_service(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    cluster.set_nvme_service(svm, body.boolean("enabled")?, true)?;
    Ok(vec![svm.to_string()])
}

fn modify_service(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.set_nvme_service(svm_id(scope.key(0))?, body.boolean("enabled")?, false)
}

fn delete_service(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_nvme_service(svm_id(scope.key(0))?)
}
