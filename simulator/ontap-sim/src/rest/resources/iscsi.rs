//! `/protocols/san/iscsi/services` and `/protocols/san/iscsi/credentials`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
use crate::state::iscsi::{Authentication, CredentialPatch};
use crate::state::{Cluster, Refusal, Svm, SvmId};

pub(super) const SERVICES: Resource = Resource {
    path: "protocols/san/iscsi/services",
    keys: &["svm.uuid"],
    always: &["svm.name", "svm.uuid"],
    readable: &["svm.name", "svm.uuid", "enabled", "target.name", "target.alias"],
    list: Some(services),
    ..NOTHING
};

pub(super) const CREDENTIALS: Resource = Resource {
    path: "protocols/san/iscsi/credentials",
    keys: &["svm.uuid", "initiator"],
    always: &["svm.name", "svm.uuid", "initiator"],
    readable: &[
        "svm.name",
        "svm.uuid",
        "initiator",
        "authentication_type",
        "chap.inbound.user",
        "chap.outbound.user",
    ],
    modifiable: &[
        "authentication_type",
        "chap.inbound.user",
        "chap.inbound.password",
        "chap.outbound.user",
        "chap.outbound.password",
    ],
    list: Some(credentials),
    modify: Some(modify),
    ..NOTHING
};

fn services(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |svm: &Svm| {
        json!({
            "svm": svm_reference(cluster, svm.id),
            "enabled": svm.iscsi.enabled,
            "target": { "name": svm.iscsi.target, "alias": svm.iscsi.alias },
        })
    };
    Ok(cluster.svms.values().map(record).collect())
}

fn credentials(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(cluster.svms.values().map(|svm| credential_record(cluster, svm)).collect())
}

/// Passwords are never shown.
fn credential_record(cluster: &Cluster, svm: &Svm) -> Value {
    let (kind, inbound, outbound) = match &svm.iscsi.default_authentication {
        Authentication::None => ("none", "", ""),
        Authentication::Deny => ("deny", "", ""),
        Authentication::Chap { inbound, outbound } => {
            ("chap", inbound.user.as_str(), outbound.as_ref().map_or("", |outbound| outbound.user.as_str()))
        }
    };
    json!({
        "svm": svm_reference(cluster, svm.id),
        "initiator": "default",
        "authentication_type": kind,
        "chap": { "inbound": { "user": inbound }, "outbound": { "user": outbound } },
    })
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let svm = scope.key(0).parse().map(SvmId).map_err(|_| Refusal::no_entry())?;
    let patch = CredentialPatch {
        authentication_type: body.text("authentication_type")?,
        inbound: (body.text("chap.inbound.user")?, body.text("chap.inbound.password")?),
        outbound: (body.text("chap.outbound.user")?, body.text("chap.outbound.password")?),
    };
    cluster.modify_credentials(svm, patch)
}
