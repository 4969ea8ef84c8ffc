//! `/protocols/nfs/export-policies` and their rules.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
use crate::state::export::{ExportPolicy, ExportRule, Flavours};
use crate::state::{Cluster, Refusal};

pub(super) const POLICIES: Resource = Resource {
    path: "protocols/nfs/export-policies",
    keys: &["id"],
    always: &["id", "name", "svm.name", "svm.uuid"],
    expensive: &["rules"],
    readable: &[
        "id",
        "name",
        "svm.name",
        "svm.uuid",
        "rules.index",
        "rules.clients.match",
        "rules.protocols",
        "rules.ro_rule",
        "rules.rw_rule",
        "rules.superuser",
        "rules.anonymous_user",
        "rules.allow_suid",
        "rules.chown_mode",
        "rules.allow_device_creation",
        "rules.ntfs_unix_security",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "rules.clients.match",
        "rules.protocols",
        "rules.ro_rule",
        "rules.rw_rule",
        "rules.superuser",
        "rules.anonymous_user",
        "rules.allow_suid",
        "rules.chown_mode",
        "rules.allow_device_creation",
        "rules.ntfs_unix_security",
    ],
    modifiable: &[
        "name",
        "rules.clients.match",
        "rules.protocols",
        "rules.ro_rule",
        "rules.rw_rule",
        "rules.superuser",
        "rules.anonymous_user",
        "rules.allow_suid",
        "rules.chown_mode",
        "rules.allow_device_creation",
        "rules.ntfs_unix_security",
    ],
    list: Some(policies),
    create: Some(create_policy),
    modify: Some(modify_policy),
    delete: Some(delete_policy),
    ..NOTHING
};

const RULE_FIELDS: &[&str] = &[
    "index",
    "clients.match",
    "protocols",
    "ro_rule",
    "rw_rule",
    "superuser",
    "anonymous_user",
    "allow_suid",
    "chown_mode",
    "allow_device_creation",
    "ntfs_unix_security",
];

pub(super) const RULES: Resource = Resource {
    path: "protocols/nfs/export-policies/{policy.id}/rules",
    keys: &["index"],
    always: &["index"],
    readable: &[
        "index",
        "clients.match",
        "protocols",
        "ro_rule",
        "rw_rule",
        "superuser",
        "anonymous_user",
        "allow_suid",
        "chown_mode",
        "allow_device_creation",
        "ntfs_unix_security",
        "policy.id",
        "policy.name",
        "svm.name",
        "svm.uuid",
    ],
    creatable: RULE_FIELDS,
    modifiable: RULE_FIELDS,
    flags: &["new_index"],
    list: Some(rules),
    create: Some(create_rule),
    modify: Some(modify_rule),
    delete: Some(delete_rule),
    ..NOTHING
};

fn policies(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |policy: &&ExportPolicy| scope.admits("id", policy.id) && scope.admits("name", &policy.name);
    let record = |policy: &ExportPolicy| {
        let rules: Vec<_> = policy.rules.iter().map(|(index, rule)| rule_record(*index, rule)).collect();
        json!({
            "id": policy.id,
            "name": policy.name,
            "svm": svm_reference(cluster, policy.svm),
            "rules": rules,
        })
    };
    Ok(cluster.policies.values().filter(wanted).map(record).collect())
}

fn rules(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let policy = require_policy(cluster, scope.parent(0))?;
    let record = |(index, rule): (&u32, &ExportRule)| {
        let mut record = rule_record(*index, rule);
        if let Some(members) = record.as_object_mut() {
            members.insert("policy".into(), json!({ "id": policy.id, "name": policy.name }));
            members.insert("svm".into(), svm_reference(cluster, policy.svm));
        }
        record
    };
    Ok(policy.rules.iter().map(record).collect())
}

fn rule_record(index: u32, rule: &ExportRule) -> Value {
    let clients: Vec<_> = rule.clients.iter().map(|client| json!({ "match": client })).collect();
    json!({
        "index": index,
        "clients": clients,
        "protocols": rule.protocols,
        "ro_rule": rule.ro.names(),
        "rw_rule": rule.rw.names(),
        "superuser": rule.superuser.names(),
        "anonymous_user": rule.anonymous_user,
        "allow_suid": rule.allow_suid,
        "chown_mode": rule.chown_mode,
        "allow_device_creation": rule.allow_devices,
        "ntfs_unix_security": rule.ntfs_unix_security,
    })
}

fn create_policy(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let name = body.required_text("name")?;
    let rules = body.objects("rules")?.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(vec![cluster.create_export_policy(svm, &name, rules)?.to_string()])
}

fn modify_policy(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = require_policy(cluster, scope.key(0))?.id;
    let rules = body.objects("rules")?.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    cluster.modify_export_policy(id, body.text("name")?, (!rules.is_empty()).then_some(rules))
}

fn delete_policy(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let id = require_policy(cluster, scope.key(0))?.id;
    cluster.delete_export_policy(id)
}

fn create_rule(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let id = require_policy(cluster, scope.parent(0))?.id;
    let index = body.integer("index")?.map(place).transpose()?;
    Ok(vec![cluster.create_export_rule(id, index, rule(body)?)?.to_string()])
}

fn modify_rule(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let policy = require_policy(cluster, scope.parent(0))?;
    let index: u32 = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    let before = policy.rules.get(&index).ok_or_else(Refusal::no_entry)?.clone();
    let id = policy.id;
    let moved = match scope.query.text("new_index") {
        Some(text) => Some(text.parse().map_err(|_| Refusal::invalid("new_index", text))?),
        None => body.integer("index")?,
    };
    let moved = moved.map(place).transpose()?;
    cluster.modify_export_rule(id, index, revised(before, body)?, moved)
}

fn place(index: u64) -> Result<u32, Refusal> {
    u32::try_from(index)
        .ok()
        .filter(|index| (1..=65_535).contains(index))
        .ok_or_else(|| Refusal::invalid("index", &index.to_string()))
}

fn delete_rule(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let id = require_policy(cluster, scope.parent(0))?.id;
    let index = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    cluster.delete_export_rule(id, index)
}

fn require_policy<'c>(cluster: &'c Cluster, id: &str) -> Result<&'c ExportPolicy, Refusal> {
    id.parse().ok().and_then(|id: u64| cluster.policies.get(&id)).ok_or_else(Refusal::no_entry)
}

fn flavours(body: &Body, field: &str) -> Result<Option<Flavours>, Refusal> {
    body.texts(field)?.map(|names| Flavours::parse(field, &names)).transpose()
}

fn rule(body: &Body) -> Result<ExportRule, Refusal> {
    let ro = flavours(body, "ro_rule")?.ok_or_else(|| Refusal::required("ro_rule"))?;
    let rw = flavours(body, "rw_rule")?.ok_or_else(|| Refusal::required("rw_rule"))?;
    revised(ExportRule::new(Vec::new(), ro, rw), body)
}

/// The rule as the body wants it; what the body does not name stays.
fn revised(mut rule: ExportRule, body: &Body) -> Result<ExportRule, Refusal> {
    const PROTOCOLS: [&str; 7] = ["any", "nfs", "nfs3", "nfs4", "cifs", "flexcache", "s3"];
    let clients = body.all_texts("clients.match");
    if !clients.is_empty() {
        rule.clients = clients;
    }
    rule.ro = flavours(body, "ro_rule")?.unwrap_or(rule.ro);
    rule.rw = flavours(body, "rw_rule")?.unwrap_or(rule.rw);
    rule.superuser = flavours(body, "superuser")?.unwrap_or(rule.superuser);
    if let Some(protocols) = body.texts("protocols")? {
        if let Some(unknown) = protocols.iter().find(|protocol| !PROTOCOLS.contains(&protocol.as_str())) {
            return Err(Refusal::invalid("protocols", unknown));
        }
        rule.protocols = protocols;
    }
    rule.anonymous_user = body.text("anonymous_user")?.unwrap_or(rule.anonymous_user);
    rule.allow_suid = body.boolean("allow_suid")?.unwrap_or(rule.allow_suid);
    rule.allow_devices = body.boolean("allow_device_creation")?.unwrap_or(rule.allow_devices);
    let words = |field: &str, known: [&str; 2]| match body.text(field)? {
        Some(word) if !known.contains(&word.as_str()) => Err(Refusal::invalid(field, &word)),
        word => Ok(word),
    };
    rule.chown_mode = words("chown_mode", ["restricted", "unrestricted"])?.unwrap_or(rule.chown_mode);
    rule.ntfs_unix_security =
        words("ntfs_unix_security", ["fail", "ignore"])?.unwrap_or(rule.ntfs_unix_security);
    Ok(rule)
}
