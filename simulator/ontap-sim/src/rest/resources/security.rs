//! `/security`: accounts, passwords, roles and certificates.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm::svm_id;
use super::{svm_reference, time};
use crate::certificate;
use crate::state::account::{Account, AccountPatch, Application, Certificate, CertificateKind};
use crate::state::role::{Access, Privilege, Role};
use crate::state::{Cluster, Refusal, SvmId};

pub(super) const ACCOUNTS: Resource = Resource {
    path: "security/accounts",
    keys: &["owner.uuid", "name"],
    always: &["owner.uuid", "owner.name", "name"],
    readable: &[
        "owner.uuid",
        "owner.name",
        "name",
        "scope",
        "role.name",
        "applications.application",
        "applications.authentication_methods",
        "applications.second_authentication_method",
        "locked",
        "comment",
    ],
    creatable: &[
        "owner.uuid",
        "owner.name",
        "svm.name",
        "svm.uuid",
        "name",
        "role.name",
        "role",
        "applications.application",
        "applications.authentication_methods",
        "applications.second_authentication_method",
        "password",
        "password_hash_algorithm",
        "locked",
        "comment",
    ],
    modifiable: &[
        "role.name",
        "role",
        "applications.application",
        "applications.authentication_methods",
        "applications.second_authentication_method",
        "password",
        "password_hash_algorithm",
        "locked",
        "comment",
    ],
    list: Some(accounts),
    create: Some(create_account),
    modify: Some(modify_account),
    delete: Some(delete_account),
    ..NOTHING
};

pub(super) const PASSWORD: Resource = Resource {
    path: "security/authentication/password",
    creatable: &["owner.uuid", "owner.name", "name", "password", "password_hash_algorithm"],
    create: Some(change_password),
    ..NOTHING
};

pub(super) const ROLES: Resource = Resource {
    path: "security/roles",
    keys: &["owner.uuid", "name"],
    always: &["owner.uuid", "owner.name", "name"],
    readable: &[
        "owner.uuid",
        "owner.name",
        "name",
        "scope",
        "builtin",
        "privileges.path",
        "privileges.access",
    ],
    creatable: &["owner.uuid", "owner.name", "name", "privileges.path", "privileges.access"],
    list: Some(roles),
    create: Some(create_role),
    delete: Some(delete_role),
    ..NOTHING
};

pub(super) const PRIVILEGES: Resource = Resource {
    path: "security/roles/{owner.uuid}/{name}/privileges",
    keys: &["path"],
    always: &["path", "owner.uuid", "name"],
    readable: &["path", "access", "owner.uuid", "name"],
    creatable: &["path", "access"],
    modifiable: &["access"],
    list: Some(privileges),
    create: Some(create_privilege),
    modify: Some(modify_privilege),
    delete: Some(delete_privilege),
    ..NOTHING
};

pub(super) const CERTIFICATES: Resource = Resource {
    path: "security/certificates",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "scope",
        "type",
        "common_name",
        "serial_number",
        "ca",
        "expiry_time",
        "public_certificate",
        "svm.name",
        "svm.uuid",
    ],
    creatable: &[
        "name",
        "scope",
        "type",
        "common_name",
        "public_certificate",
        "private_key",
        "intermediate_certificates",
        "svm.name",
        "svm.uuid",
    ],
    list: Some(certificates),
    create: Some(install_certificate),
    delete: Some(delete_certificate),
    ..NOTHING
};

/// The owner of an account or role: an SVM, or the cluster under its own name and UUID.
fn owner_reference(cluster: &Cluster, owner: Option<SvmId>) -> Value {
    match owner {
        Some(svm) => svm_reference(cluster, svm),
        None => json!({ "name": cluster.about.name, "uuid": cluster.about.uuid.to_string() }),
    }
}

fn scope_name(owner: Option<SvmId>) -> &'static str {
    if owner.is_some() { "svm" } else { "cluster" }
}

/// The owner that a path names.
fn owner_in_path(cluster: &Cluster, uuid: &str) -> Result<Option<SvmId>, Refusal> {
    if uuid == cluster.about.uuid.to_string() {
        return Ok(None);
    }
    let svm = svm_id(uuid)?;
    cluster.find_svm(svm).map(|svm| Some(svm.id)).ok_or_else(Refusal::no_entry)
}

/// The owner that a body names; the caller's SVM, else the cluster, when it names none.
fn owner_in_body(cluster: &Cluster, scope: &Scope<'_>, body: &Body) -> Result<Option<SvmId>, Refusal> {
    let named = body.text("owner.name")?.or(body.text("svm.name")?);
    let uuid = body.text("owner.uuid")?.or(body.text("svm.uuid")?);
    let of_cluster = named.as_deref() == Some(cluster.about.name.as_str())
        || uuid.as_deref() == Some(cluster.about.uuid.to_string().as_str());
    let found = match (named, uuid) {
        _ if of_cluster => None,
        (None, None) => return Ok(scope.svm),
        (Some(name), _) => {
            let svm = cluster.find_svm_named(&name).map(|svm| svm.id);
            Some(svm.ok_or_else(|| no_svm(&name))?)
        }
        (None, Some(uuid)) => {
            let svm = uuid.parse().ok().and_then(|uuid| cluster.find_svm(SvmId(uuid)));
            Some(svm.map(|svm| svm.id).ok_or_else(|| no_svm(&uuid))?)
        }
    };
    match scope.svm {
        Some(own) if found != Some(own) => Err(no_svm("owner")),
        _ => Ok(found),
    }
}

fn no_svm(what: &str) -> Refusal {
    Refusal::missing(2_621_462, format!("SVM \"{what}\" does not exist.")).about("owner")
}

fn visible(scope: &Scope<'_>, owner: Option<SvmId>) -> bool {
    scope.svm.is_none_or(|own| owner == Some(own))
}

fn accounts(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let shown = cluster.accounts.values().filter(|account| visible(scope, account.owner));
    Ok(shown.map(|account| account_record(cluster, account)).collect())
}

fn account_record(cluster: &Cluster, account: &Account) -> Value {
    let application = |application: &Application| {
        json!({
            "application": application.name,
            "authentication_methods": application.methods,
            "second_authentication_method": "none",
        })
    };
    json!({
        "owner": owner_reference(cluster, account.owner),
        "name": account.name,
        "scope": scope_name(account.owner),
        "role": { "name": account.role },
        "applications": account.applications.iter().map(application).collect::<Vec<_>>(),
        "locked": account.locked,
        "comment": account.comment,
    })
}

fn create_account(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let owner = owner_in_body(cluster, scope, body)?;
    let name = body.required_text("name")?;
    if !body.has("applications") {
        return Err(Refusal::required("applications"));
    }
    cluster.create_account(owner, &name, account_patch(body)?)?;
    Ok(vec![owner_uuid(cluster, owner), name])
}

fn owner_uuid(cluster: &Cluster, owner: Option<SvmId>) -> String {
    owner.map_or_else(|| cluster.about.uuid.to_string(), |svm| svm.to_string())
}

fn modify_account(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let owner = owner_in_path(cluster, scope.key(0))?;
    cluster.modify_account(owner, scope.key(1), account_patch(body)?)
}

fn delete_account(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let owner = owner_in_path(cluster, scope.key(0))?;
    cluster.delete_account(owner, scope.key(1))
}

fn account_patch(body: &Body) -> Result<AccountPatch, Refusal> {
    // `role` as plain text is what the API reference's examples have.
    let role = if body.has("role.name") { body.text("role.name")? } else { body.text("role")? };
    let applications = body.objects("applications")?;
    let application = |body: &Body| {
        Ok(Application {
            name: body.required_text("application")?,
            methods: body.texts("authentication_methods")?.unwrap_or_default(),
        })
    };
    let applications: Vec<_> = applications.iter().map(application).collect::<Result<_, Refusal>>()?;
    Ok(AccountPatch {
        role,
        applications: body.has("applications").then_some(applications),
        password: body.text("password")?,
        locked: body.boolean("locked")?,
        comment: body.text("comment")?,
    })
}

fn change_password(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let owner = owner_in_body(cluster, scope, body)?;
    let patch = AccountPatch { password: Some(body.required_text("password")?), ..AccountPatch::default() };
    cluster.modify_account(owner, &body.required_text("name")?, patch)?;
    Ok(Vec::new())
}

fn roles(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let shown = cluster.roles().into_iter().filter(|role| role.builtin || visible(scope, role.owner));
    Ok(shown.map(|role| role_record(cluster, &role)).collect())
}

fn role_record(cluster: &Cluster, role: &Role) -> Value {
    let privilege =
        |privilege: &Privilege| json!({ "path": privilege.path, "access": privilege.access.name() });
    json!({
        "owner": owner_reference(cluster, role.owner),
        "name": role.name,
        "scope": if role.name.starts_with("vsadmin") { "svm" } else { scope_name(role.owner) },
        "builtin": role.builtin,
        "privileges": role.privileges.iter().map(privilege).collect::<Vec<_>>(),
    })
}

fn create_role(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let owner = owner_in_body(cluster, scope, body)?;
    let name = body.required_text("name")?;
    let given = body.objects("privileges")?;
    let privileges = given.iter().map(privilege_in).collect::<Result<Vec<_>, _>>()?;
    if privileges.is_empty() {
        return Err(Refusal::required("privileges"));
    }
    cluster.create_role(owner, &name, privileges)?;
    Ok(vec![owner_uuid(cluster, owner), name])
}

fn privilege_in(body: &Body) -> Result<Privilege, Refusal> {
    Ok(Privilege { path: body.required_text("path")?, access: access_in(body)? })
}

fn access_in(body: &Body) -> Result<Access, Refusal> {
    let name = body.required_text("access")?;
    let known = Access::NAMES.iter().find(|(_, known)| *known == name);
    known.map(|(access, _)| *access).ok_or_else(|| Refusal::invalid("access", &name))
}

fn delete_role(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let owner = owner_in_path(cluster, scope.key(0))?;
    cluster.delete_role(owner, scope.key(1))
}

fn privileges(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let owner = owner_in_path(cluster, scope.parent(0))?;
    let role = cluster.find_role(owner, scope.parent(1)).ok_or_else(Refusal::no_entry)?;
    let record = |privilege: &Privilege| {
        json!({
            "path": privilege.path,
            "access": privilege.access.name(),
            "owner": { "uuid": scope.parent(0) },
            "name": role.name,
        })
    };
    Ok(role.privileges.iter().map(record).collect())
}

fn create_privilege(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let owner = owner_in_path(cluster, scope.parent(0))?;
    let Privilege { path, access } = privilege_in(body)?;
    cluster.set_privilege(owner, scope.parent(1), &path, Some(access))?;
    Ok(vec![path])
}

fn modify_privilege(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let owner = owner_in_path(cluster, scope.parent(0))?;
    cluster.set_privilege(owner, scope.parent(1), scope.key(0), Some(access_in(body)?))
}

fn delete_privilege(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let owner = owner_in_path(cluster, scope.parent(0))?;
    cluster.set_privilege(owner, scope.parent(1), scope.key(0), None)
}

fn certificates(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let shown = cluster.certificates.values().filter(|certificate| visible(scope, certificate.svm));
    let record = |certificate: &Certificate| {
        let kind = CertificateKind::NAMES.iter().find(|(kind, _)| *kind == certificate.kind);
        json!({
            "uuid": certificate.id.to_string(),
            "name": certificate.name,
            "scope": scope_name(certificate.svm),
            "type": kind.map(|(_, name)| *name),
            "common_name": certificate.common_name,
            "serial_number": certificate.serial,
            "ca": certificate.authority,
            "expiry_time": time(certificate.expires),
            "public_certificate": certificate.pem,
            "svm": certificate.svm.map(|svm| svm_reference(cluster, svm)),
        })
    };
    Ok(shown.map(record).collect())
}

fn install_certificate(
    cluster: &mut Cluster,
    scope: &Scope<'_>,
    body: &Body,
) -> Result<Vec<String>, Refusal> {
    let kind = body.required_text("type")?;
    let known = CertificateKind::NAMES.iter().find(|(_, name)| *name == kind);
    let kind = known.map(|(kind, _)| *kind).ok_or_else(|| Refusal::invalid("type", &kind))?;
    let svm = if body.has("svm") { Some(scope.require_svm(cluster, body)?.id) } else { scope.svm };
    let pem = body.required_text("public_certificate")?;
    let certificate = certificate::read(svm, body.text("name")?, kind, pem)
        .map_err(|error| Refusal::request(2, error.to_string()).about("public_certificate"))?;
    Ok(vec![cluster.install_certificate(certificate)?.to_string()])
}

fn delete_certificate(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_certificate(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}
