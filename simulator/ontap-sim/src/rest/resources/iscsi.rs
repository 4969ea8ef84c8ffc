//! `/protocols/san/iscsi`: services, credentials, sessions.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm::svm_id;
use super::svm_reference;
use crate::state::igroup::IgroupTag;
use crate::state::iscsi::{Authentication, CredentialPatch, DEFAULT_INITIATOR, IscsiServiceSpec, Session};
use crate::state::{Cluster, Refusal, Svm, SvmId};

pub(super) const SERVICES: Resource = Resource {
    path: "protocols/san/iscsi/services",
    keys: &["svm.uuid"],
    always: &["svm.name", "svm.uuid"],
    readable: &["svm.name", "svm.uuid", "enabled", "target.name", "target.alias"],
    creatable: &["svm.name", "svm.uuid", "enabled", "target.alias"],
    modifiable: &["enabled", "target.alias"],
    list: Some(services),
    create: Some(create_service),
    modify: Some(modify_service),
    delete: Some(delete_service),
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
    creatable: &[
        "svm.name",
        "svm.uuid",
        "initiator",
        "authentication_type",
        "chap.inbound.user",
        "chap.inbound.password",
        "chap.outbound.user",
        "chap.outbound.password",
    ],
    modifiable: &[
        "authentication_type",
        "chap.inbound.user",
        "chap.inbound.password",
        "chap.outbound.user",
        "chap.outbound.password",
    ],
    list: Some(credentials),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

/// Who is logged in now; read from the data plane at each call.
pub(super) const SESSIONS: Resource = Resource {
    path: "protocols/san/iscsi/sessions",
    keys: &["svm.uuid", "target_portal_group", "tsih"],
    always: &["svm.name", "svm.uuid", "target_portal_group", "tsih"],
    readable: &[
        "svm.name",
        "svm.uuid",
        "target_portal_group",
        "target_portal_group_tag",
        "tsih",
        "isid",
        "initiator.name",
        "igroups.name",
        "igroups.uuid",
        "connections.cid",
        "connections.authentication_type",
        "connections.initiator_address.address",
        "connections.initiator_address.port",
        "connections.interface.name",
        "connections.interface.uuid",
        "connections.interface.ip.address",
        "connections.interface.ip.port",
    ],
    list: Some(sessions),
    ..NOTHING
};

fn sessions(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(cluster.iscsi_sessions().iter().map(|(svm, session)| session_record(cluster, *svm, session)).collect())
}

/// A session has one connection (RFC 7143 MaxConnections=1 is what the target agrees to).
fn session_record(cluster: &Cluster, svm: SvmId, session: &Session) -> Value {
    let lif = cluster.lifs.values().find(|lif| lif.svm == Some(svm) && lif.address == session.portal.ip());
    let initiator = session.initiator.to_ascii_lowercase();
    let igroups = cluster.igroups.tagged(&IgroupTag::With(svm, initiator.clone()));
    let igroups: Vec<_> =
        igroups.map(|igroup| json!({ "name": igroup.name, "uuid": igroup.id.to_string() })).collect();
    let service = cluster.find_svm(svm).and_then(|svm| svm.iscsi.as_ref());
    let login =
        service.map(|service| service.credentials.get(&initiator).unwrap_or(&service.default_authentication));
    let isid: Vec<_> = session.isid.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "svm": svm_reference(cluster, svm),
        "target_portal_group": lif.map(|lif| lif.name.as_str()),
        "target_portal_group_tag": session.tag,
        "tsih": session.tsih,
        "isid": isid.join(":"),
        "initiator": { "name": session.initiator },
        "igroups": if igroups.is_empty() { Value::Null } else { Value::Array(igroups) },
        "connections": [{
            "cid": 0,
            "authentication_type": if matches!(login, Some(Authentication::Chap { .. })) { "chap" } else { "none" },
            "initiator_address": { "address": session.peer.ip().to_string(), "port": session.peer.port() },
            "interface": {
                "name": lif.map(|lif| lif.name.as_str()),
                "uuid": lif.map(|lif| lif.id.to_string()),
                "ip": { "address": session.portal.ip().to_string(), "port": session.portal.port() },
            },
        }],
    })
}

fn services(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |svm: &Svm| {
        let service = svm.iscsi.as_ref()?;
        Some(json!({
            "svm": svm_reference(cluster, svm.id),
            "enabled": service.enabled,
            "target": { "name": service.target, "alias": service.alias },
        }))
    };
    Ok(cluster.svms.values().filter_map(record).collect())
}

fn create_service(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    cluster.create_iscsi_service(svm, service_spec(body)?)?;
    Ok(vec![svm.to_string()])
}

fn modify_service(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_iscsi_service(svm_id(scope.key(0))?, service_spec(body)?)
}

fn delete_service(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_iscsi_service(svm_id(scope.key(0))?)
}

fn service_spec(body: &Body) -> Result<IscsiServiceSpec, Refusal> {
    Ok(IscsiServiceSpec { enabled: body.boolean("enabled")?, alias: body.text("target.alias")? })
}

fn credentials(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let of_svm = |svm: &Svm| {
        let Some(service) = &svm.iscsi else { return Vec::new() };
        let default = (DEFAULT_INITIATOR, &service.default_authentication);
        let single = service.credentials.iter().map(|(name, record)| (name.as_str(), record));
        let all = std::iter::once(default).chain(single);
        all.map(|(initiator, record)| credential_record(cluster, svm, initiator, record)).collect::<Vec<_>>()
    };
    Ok(cluster.svms.values().flat_map(of_svm).collect())
}

/// Passwords are never shown.
fn credential_record(cluster: &Cluster, svm: &Svm, initiator: &str, record: &Authentication) -> Value {
    let (kind, inbound, outbound) = match record {
        Authentication::None => ("none", "", ""),
        Authentication::Deny => ("deny", "", ""),
        Authentication::Chap { inbound, outbound } => {
            ("chap", inbound.user.as_str(), outbound.as_ref().map_or("", |outbound| outbound.user.as_str()))
        }
    };
    json!({
        "svm": svm_reference(cluster, svm.id),
        "initiator": initiator,
        "authentication_type": kind,
        "chap": { "inbound": { "user": inbound }, "outbound": { "user": outbound } },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let initiator = body.required_text("initiator")?;
    let initiator = cluster.create_credentials(svm, &initiator, credential_patch(body)?)?;
    Ok(vec![svm.to_string(), initiator])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_credentials(svm_id(scope.key(0))?, scope.key(1), credential_patch(body)?)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_credentials(svm_id(scope.key(0))?, scope.key(1))
}

fn credential_patch(body: &Body) -> Result<CredentialPatch, Refusal> {
    Ok(CredentialPatch {
        authentication_type: body.text("authentication_type")?,
        inbound: (body.text("chap.inbound.user")?, body.text("chap.inbound.password")?),
        outbound: (body.text("chap.outbound.user")?, body.text("chap.outbound.password")?),
    })
}
