//! `/protocols/nfs/services`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::super::value::insert_at;
use super::svm_reference;
use crate::state::nfs::{NfsPatch, NfsService};
use crate::state::{Cluster, Refusal, SvmId};

/// Settings that are kept and told, with the API's defaults.
const SWITCHES: [(&str, bool); 26] = [
    ("transport.tcp_enabled", true),
    ("transport.udp_enabled", true),
    ("protocol.v3_64bit_identifiers_enabled", false),
    ("protocol.v4_64bit_identifiers_enabled", true),
    ("protocol.v40_features.acl_enabled", false),
    ("protocol.v40_features.read_delegation_enabled", false),
    ("protocol.v40_features.write_delegation_enabled", false),
    ("protocol.v41_features.acl_enabled", false),
    ("protocol.v41_features.pnfs_enabled", false),
    ("protocol.v41_features.read_delegation_enabled", false),
    ("protocol.v41_features.write_delegation_enabled", false),
    ("protocol.v41_features.trunking_enabled", false),
    ("root.ignore_nt_acl", false),
    ("root.skip_write_permission_check", false),
    ("security.chown_mode_restricted", true),
    ("security.nt_acl_display_permission", false),
    ("showmount_enabled", true),
    ("rquota_enabled", false),
    ("vstorage_enabled", false),
    ("auth_sys_extended_groups_enabled", false),
    ("windows.map_unknown_uid_to_default_user", true),
    ("windows.v3_ms_dos_client_enabled", false),
    ("protocol.v3_features.connection_drop", true),
    ("protocol.v3_features.ejukebox_enabled", true),
    ("protocol.v3_features.fsid_change", true),
    ("protocol.v3_features.hide_snapshot_enabled", false),
];
/// Words and numbers that are kept and told; no default is told of those that have an empty one.
const WORDS: [(&str, &str); 8] = [
    ("protocol.v4_id_domain", "defaultv4iddomain.com"),
    ("protocol.v4_lease_seconds", "30"),
    ("protocol.v4_grace_seconds", "45"),
    ("protocol.v3_features.mount_root_only", ""),
    ("windows.default_user", ""),
    ("security.permitted_encryption_types", ""),
    ("extended_groups_limit", "32"),
    ("security.chown_mode", ""),
];

const FIELDS: &[&str] = &[
    "svm.name",
    "svm.uuid",
    "enabled",
    "state",
    "protocol.v3_enabled",
    "protocol.v40_enabled",
    "protocol.v41_enabled",
    "protocol.v4_id_domain",
    "protocol.v4_lease_seconds",
    "protocol.v4_grace_seconds",
    "protocol.v3_64bit_identifiers_enabled",
    "protocol.v4_64bit_identifiers_enabled",
    "protocol.v40_features.acl_enabled",
    "protocol.v40_features.read_delegation_enabled",
    "protocol.v40_features.write_delegation_enabled",
    "protocol.v41_features.acl_enabled",
    "protocol.v41_features.pnfs_enabled",
    "protocol.v41_features.read_delegation_enabled",
    "protocol.v41_features.write_delegation_enabled",
    "protocol.v41_features.trunking_enabled",
    "protocol.v3_features.connection_drop",
    "protocol.v3_features.ejukebox_enabled",
    "protocol.v3_features.fsid_change",
    "protocol.v3_features.hide_snapshot_enabled",
    "protocol.v3_features.mount_root_only",
    "transport.tcp_enabled",
    "transport.udp_enabled",
    "root.ignore_nt_acl",
    "root.skip_write_permission_check",
    "security.chown_mode",
    "security.chown_mode_restricted",
    "security.nt_acl_display_permission",
    "security.permitted_encryption_types",
    "showmount_enabled",
    "rquota_enabled",
    "vstorage_enabled",
    "auth_sys_extended_groups_enabled",
    "extended_groups_limit",
    "windows.default_user",
    "windows.map_unknown_uid_to_default_user",
    "windows.v3_ms_dos_client_enabled",
];

pub(super) const SERVICES: Resource = Resource {
    path: "protocols/nfs/services",
    keys: &["svm.uuid"],
    always: &["svm.name", "svm.uuid"],
    readable: FIELDS,
    creatable: FIELDS,
    modifiable: FIELDS,
    list: Some(services),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn services(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |service: &&NfsService| scope.admits("svm.uuid", service.svm);
    Ok(cluster.nfs_services.values().filter(wanted).map(|service| record(cluster, service)).collect())
}

fn record(cluster: &Cluster, service: &NfsService) -> Value {
    let mut members = Map::new();
    for (name, default) in SWITCHES {
        insert_at(&mut members, name, default.into());
    }
    for (name, default) in WORDS.into_iter().filter(|(_, default)| !default.is_empty()) {
        let value = default.parse::<u64>().map_or_else(|_| Value::from(default), Value::from);
        insert_at(&mut members, name, value);
    }
    for (name, value) in &service.settings {
        insert_at(&mut members, name, value.clone());
    }
    insert_at(&mut members, "svm", svm_reference(cluster, service.svm));
    insert_at(&mut members, "enabled", service.enabled.into());
    insert_at(&mut members, "state", if service.enabled { "online" } else { "offline" }.into());
    let versions = json!({
        "v3_enabled": service.v3,
        "v40_enabled": service.v4_0,
        "v41_enabled": service.v4_1,
    });
    insert_at(&mut members, "protocol", versions);
    Value::Object(members)
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    cluster.create_nfs_service(svm, patch(body)?)?;
    Ok(vec![svm.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_nfs_service(target(scope)?, patch(body)?)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_nfs_service(target(scope)?)
}

fn target(scope: &Scope<'_>) -> Result<SvmId, Refusal> {
    scope.key(0).parse().map(SvmId).map_err(|_| Refusal::no_entry())
}

fn patch(body: &Body) -> Result<NfsPatch, Refusal> {
    let mut settings = BTreeMap::new();
    for (name, _) in SWITCHES {
        if let Some(value) = body.boolean(name)? {
            settings.insert(name.to_owned(), Value::from(value));
        }
    }
    for (name, _) in WORDS {
        if let Some(text) = body.text(name)? {
            let value = text.parse::<u64>().map_or_else(|_| Value::from(text.clone()), Value::from);
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(NfsPatch {
        enabled: body.boolean("enabled")?,
        v3: body.boolean("protocol.v3_enabled")?,
        v4_0: body.boolean("protocol.v40_enabled")?,
        v4_1: body.boolean("protocol.v41_enabled")?,
        settings,
    })
}
