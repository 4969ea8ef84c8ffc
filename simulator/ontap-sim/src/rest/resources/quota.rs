//! `/storage/quota/rules` and `/storage/quota/reports`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{svm_reference, volume_reference};
use crate::state::quota::{LimitPatch, QuotaKind, QuotaRule, QuotaSpec, TreeReport};
use crate::state::{Cluster, QuotaRuleId, Refusal};

pub(super) const RULES: Resource = Resource {
    path: "storage/quota/rules",
    keys: &["uuid"],
    always: &["uuid", "svm.name", "svm.uuid", "volume.name", "volume.uuid", "type"],
    readable: &[
        "uuid",
        "type",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
        "qtree.name",
        "qtree.id",
        "users.name",
        "users.id",
        "group.name",
        "group.id",
        "user_mapping",
        "space.hard_limit",
        "space.soft_limit",
        "files.hard_limit",
        "files.soft_limit",
    ],
    creatable: &[
        "type",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
        "qtree.name",
        "qtree.id",
        "users.name",
        "users.id",
        "group.name",
        "group.id",
        "user_mapping",
        "space.hard_limit",
        "space.soft_limit",
        "files.hard_limit",
        "files.soft_limit",
    ],
    modifiable: &[
        "space.hard_limit",
        "space.soft_limit",
        "files.hard_limit",
        "files.soft_limit",
        "user_mapping",
    ],
    asynchronous: true,
    list: Some(rules),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const REPORTS: Resource = Resource {
    path: "storage/quota/reports",
    keys: &["volume.uuid", "index"],
    always: &["index", "svm.name", "svm.uuid", "volume.name", "volume.uuid", "type"],
    readable: &[
        "index",
        "type",
        "specifier",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
        "qtree.name",
        "qtree.id",
        "space.hard_limit",
        "space.soft_limit",
        "space.used.total",
        "space.used.hard_limit_percent",
        "files.hard_limit",
        "files.soft_limit",
        "files.used.total",
        "files.used.hard_limit_percent",
    ],
    list: Some(reports),
    ..NOTHING
};

fn rules(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |rule: &&QuotaRule| {
        scope.admits("uuid", rule.id)
            && scope.admits("volume.uuid", rule.volume)
            && cluster.volumes.contains_key(&rule.volume)
    };
    Ok(cluster.quota_rules.values().filter(wanted).map(|rule| rule_record(cluster, rule)).collect())
}

fn rule_record(cluster: &Cluster, rule: &QuotaRule) -> Value {
    let qtree = rule.qtree.and_then(|id| cluster.qtrees.get(&(rule.volume, id)));
    let who = |kind: QuotaKind| rule.kind == kind && !rule.who.is_empty();
    let users: Vec<_> = rule.who.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "uuid": rule.id.to_string(),
        "type": kind_name(rule.kind),
        "svm": svm_reference(cluster, rule.svm),
        "volume": volume_reference(cluster, rule.volume),
        // The rule for every qtree has one without a name, which clients ask for as `qtree.name=`.
        "qtree": {
            "name": qtree.map_or("", |qtree| qtree.name.as_str()),
            "id": qtree.map(|qtree| qtree.id),
        },
        "users": who(QuotaKind::User).then_some(users),
        "group": if who(QuotaKind::Group) { json!({ "name": rule.who.first() }) } else { Value::Null },
        "user_mapping": (rule.kind == QuotaKind::User).then_some(rule.user_mapping),
        "space": { "hard_limit": rule.limits.hard_bytes, "soft_limit": rule.limits.soft_bytes },
        "files": { "hard_limit": rule.limits.hard_files, "soft_limit": rule.limits.soft_files },
    })
}

fn reports(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let volumes = cluster.volumes.values().filter(|volume| scope.admits("volume.uuid", volume.id));
    let of_volume = |volume| (1_u64..).zip(cluster.tree_reports(volume)).collect::<Vec<_>>();
    let all = volumes.flat_map(|volume| of_volume(volume.id));
    Ok(all.map(|(index, report)| report_record(cluster, index, &report)).collect())
}

fn report_record(cluster: &Cluster, index: u64, report: &TreeReport) -> Value {
    let volume = cluster.volumes.get(&report.volume);
    let name = cluster.qtrees.get(&(report.volume, report.qtree)).map_or("", |qtree| qtree.name.as_str());
    let percent = |used: u64, limit: Option<u64>| limit.map(|limit| used.saturating_mul(100) / limit.max(1));
    let limits = report.limits;
    json!({
        "index": index,
        "type": "tree",
        "specifier": name,
        "svm": volume.map(|volume| svm_reference(cluster, volume.svm)),
        "volume": volume_reference(cluster, report.volume),
        "qtree": { "name": name, "id": report.qtree },
        "space": {
            "hard_limit": limits.hard_bytes,
            "soft_limit": limits.soft_bytes,
            "used": {
                "total": report.used_bytes,
                "hard_limit_percent": percent(report.used_bytes, limits.hard_bytes),
            },
        },
        "files": {
            "hard_limit": limits.hard_files,
            "soft_limit": limits.soft_files,
            "used": {
                "total": report.used_files,
                "hard_limit_percent": percent(report.used_files, limits.hard_files),
            },
        },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let volume = super::require_volume(cluster, scope, body)?;
    let kind = match body.required_text("type")?.as_str() {
        "tree" => QuotaKind::Tree,
        "user" => QuotaKind::User,
        "group" => QuotaKind::Group,
        other => return Err(Refusal::invalid("type", other)),
    };
    let who = match kind {
        QuotaKind::Tree => Vec::new(),
        QuotaKind::User => [body.all_texts("users.name"), body.all_texts("users.id")].concat(),
        QuotaKind::Group => [body.all_texts("group.name"), body.all_texts("group.id")].concat(),
    };
    let spec = QuotaSpec {
        volume,
        kind,
        qtree: body.text("qtree.name")?.unwrap_or_default(),
        who: who.into_iter().filter(|name| !name.is_empty()).collect(),
        user_mapping: body.boolean("user_mapping")?.unwrap_or(false),
        limits: limits(body)?,
    };
    Ok(vec![cluster.create_quota_rule(spec)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_quota_rule(target(scope)?, limits(body)?)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_quota_rule(target(scope)?)
}

fn target(scope: &Scope<'_>) -> Result<QuotaRuleId, Refusal> {
    scope.key(0).parse().map(QuotaRuleId).map_err(|_| Refusal::no_entry())
}

fn limits(body: &Body) -> Result<LimitPatch, Refusal> {
    Ok(LimitPatch {
        hard_bytes: limit(body, "space.hard_limit")?,
        soft_bytes: limit(body, "space.soft_limit")?,
        hard_files: limit(body, "files.hard_limit")?,
        soft_files: limit(body, "files.soft_limit")?,
    })
}

/// A limit; `-1` and `-` are none, and so is 0.
fn limit(body: &Body, field: &str) -> Result<Option<Option<u64>>, Refusal> {
    match body.text(field)?.as_deref() {
        None => Ok(None),
        Some("-1" | "-" | "0") => Ok(Some(None)),
        Some(_) => Ok(body.integer(field)?.map(Some)),
    }
}

fn kind_name(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::Tree => "tree",
        QuotaKind::User => "user",
        QuotaKind::Group => "group",
    }
}
