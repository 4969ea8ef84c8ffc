//! `/name-services`: DNS, UNIX users and groups, host tables.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm::svm_id;
use super::volume_body::identity;
use super::{set, svm_reference};
use crate::state::name_services::{DnsPatch, LocalHost, UnixUser};
use crate::state::{Cluster, Refusal};

pub(super) const DNS: Resource = Resource {
    path: "name-services/dns",
    keys: &["uuid"],
    always: &["uuid", "svm.name", "svm.uuid"],
    readable: &["uuid", "svm.name", "svm.uuid", "scope", "domains", "servers", "timeout", "attempts"],
    creatable: &[
        "svm.name",
        "svm.uuid",
        "domains",
        "servers",
        "timeout",
        "attempts",
        "skip_config_validation",
    ],
    modifiable: &["domains", "servers", "timeout", "attempts", "skip_config_validation"],
    list: Some(dns),
    create: Some(create_dns),
    modify: Some(modify_dns),
    delete: Some(delete_dns),
    ..NOTHING
};

pub(super) const UNIX_USERS: Resource = Resource {
    path: "name-services/unix-users",
    keys: &["svm.uuid", "name"],
    always: &["svm.name", "svm.uuid", "name"],
    readable: &["svm.name", "svm.uuid", "name", "id", "primary_gid", "full_name"],
    creatable: &["svm.name", "svm.uuid", "name", "id", "primary_gid", "full_name", "skip_name_validation"],
    modifiable: &["id", "primary_gid", "full_name"],
    list: Some(users),
    create: Some(create_user),
    modify: Some(modify_user),
    delete: Some(delete_user),
    ..NOTHING
};

pub(super) const UNIX_GROUPS: Resource = Resource {
    path: "name-services/unix-groups",
    keys: &["svm.uuid", "name"],
    always: &["svm.name", "svm.uuid", "name"],
    readable: &["svm.name", "svm.uuid", "name", "id", "users.name"],
    creatable: &["svm.name", "svm.uuid", "name", "id", "skip_name_validation"],
    modifiable: &["id"],
    list: Some(groups),
    create: Some(create_group),
    modify: Some(modify_group),
    delete: Some(delete_group),
    ..NOTHING
};

pub(super) const GROUP_USERS: Resource = Resource {
    path: "name-services/unix-groups/{svm.uuid}/{unix_group.name}/users",
    keys: &["name"],
    always: &["name", "svm.uuid", "svm.name", "unix_group.name"],
    readable: &["name", "svm.name", "svm.uuid", "unix_group.name"],
    creatable: &["name", "skip_name_validation"],
    list: Some(group_users),
    create: Some(add_user),
    delete: Some(remove_user),
    ..NOTHING
};

pub(super) const LOCAL_HOSTS: Resource = Resource {
    path: "name-services/local-hosts",
    keys: &["owner.uuid", "address"],
    always: &["owner.name", "owner.uuid", "address"],
    readable: &["owner.name", "owner.uuid", "address", "hostname", "aliases", "scope"],
    creatable: &["owner.name", "owner.uuid", "address", "hostname", "aliases"],
    modifiable: &["hostname", "aliases"],
    list: Some(hosts),
    create: Some(create_host),
    modify: Some(modify_host),
    delete: Some(delete_host),
    ..NOTHING
};

fn dns(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |(svm, dns): (&crate::state::SvmId, &crate::state::name_services::Dns)| {
        json!({
            "uuid": svm.to_string(),
            "svm": svm_reference(cluster, *svm),
            "scope": "svm",
            "domains": dns.domains,
            "servers": dns.servers.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            "timeout": dns.timeout,
            "attempts": dns.attempts,
        })
    };
    Ok(cluster.dns.iter().map(record).collect())
}

fn create_dns(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    cluster.create_dns(svm, dns_patch(body)?)?;
    Ok(vec![svm.to_string()])
}

fn modify_dns(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_dns(svm_id(scope.key(0))?, dns_patch(body)?)
}

fn delete_dns(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.dns.remove(&svm_id(scope.key(0))?).map(drop).ok_or_else(Refusal::no_entry)
}

fn dns_patch(body: &Body) -> Result<DnsPatch, Refusal> {
    Ok(DnsPatch {
        domains: body.texts("domains")?,
        servers: body.texts("servers")?,
        timeout: body.integer("timeout")?,
        attempts: body.integer("attempts")?,
    })
}

fn users(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = cluster.unix_users.iter().filter(|((_, name), _)| scope.admits("name", name));
    let record = |((svm, name), user): (&(crate::state::SvmId, String), &UnixUser)| {
        json!({
            "svm": svm_reference(cluster, *svm),
            "name": name,
            "id": user.id,
            "primary_gid": user.group,
            "full_name": set(&user.full_name),
        })
    };
    Ok(wanted.map(record).collect())
}

fn create_user(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let name = body.required_text("name")?;
    let user = UnixUser {
        id: identity(body, "id")?.ok_or_else(|| Refusal::required("id"))?,
        group: identity(body, "primary_gid")?.ok_or_else(|| Refusal::required("primary_gid"))?,
        full_name: body.text("full_name")?.unwrap_or_default(),
    };
    cluster.create_unix_user(svm, &name, user)?;
    Ok(vec![svm.to_string(), name])
}

fn modify_user(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let (id, group) = (identity(body, "id")?, identity(body, "primary_gid")?);
    let full_name = body.text("full_name")?;
    let key = (svm_id(scope.key(0))?, scope.key(1).to_owned());
    let mut user = cluster.unix_users.get_mut(&key).ok_or_else(Refusal::no_entry)?;
    user.id = id.unwrap_or(user.id);
    user.group = group.unwrap_or(user.group);
    user.full_name = full_name.unwrap_or_else(|| user.full_name.clone());
    Ok(())
}

fn delete_user(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let key = (svm_id(scope.key(0))?, scope.key(1).to_owned());
    cluster.unix_users.remove(&key).map(drop).ok_or_else(Refusal::no_entry)
}

fn groups(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = cluster.unix_groups.iter().filter(|((_, name), _)| scope.admits("name", name));
    let all = wanted.map(|((svm, name), group)| {
        let users: Vec<_> = group.users.iter().map(|user| json!({ "name": user })).collect();
        json!({
            "svm": svm_reference(cluster, *svm),
            "name": name,
            "id": group.id,
            "users": if users.is_empty() { Value::Null } else { Value::Array(users) },
        })
    });
    Ok(all.collect())
}

fn create_group(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let name = body.required_text("name")?;
    cluster.create_unix_group(svm, &name, identity(body, "id")?.ok_or_else(|| Refusal::required("id"))?)?;
    Ok(vec![svm.to_string(), name])
}

fn modify_group(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = identity(body, "id")?;
    let key = (svm_id(scope.key(0))?, scope.key(1).to_owned());
    let mut group = cluster.unix_groups.get_mut(&key).ok_or_else(Refusal::no_entry)?;
    group.id = id.unwrap_or(group.id);
    Ok(())
}

fn delete_group(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let key = (svm_id(scope.key(0))?, scope.key(1).to_owned());
    cluster.unix_groups.remove(&key).map(drop).ok_or_else(Refusal::no_entry)
}

fn group_users(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let (svm, name) = (svm_id(scope.parent(0))?, scope.parent(1));
    let group = cluster.unix_groups.get(&(svm, name.to_owned())).ok_or_else(Refusal::no_entry)?;
    let of_group = json!({ "name": name });
    let record = |user: &String| json!({ "name": user, "svm": svm_reference(cluster, svm), "unix_group": of_group.clone() });
    Ok(group.users.iter().map(record).collect())
}

fn add_user(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let name = body.required_text("name")?;
    cluster.add_to_unix_group(svm_id(scope.parent(0))?, scope.parent(1), &name)?;
    Ok(vec![name])
}

fn remove_user(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.remove_from_unix_group(svm_id(scope.parent(0))?, scope.parent(1), scope.key(0))
}

fn hosts(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let own = cluster.local_hosts.iter().filter(|((svm, _), _)| scope.svm.is_none_or(|own| own == *svm));
    let all = own.map(|((svm, address), host)| {
        json!({
            "owner": svm_reference(cluster, *svm),
            "scope": "svm",
            "address": address.to_string(),
            "hostname": host.name,
            "aliases": host.aliases,
        })
    });
    Ok(all.collect())
}

fn create_host(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let named = match (body.text("owner.uuid")?, body.text("owner.name")?) {
        (Some(uuid), _) => cluster.find_svm(svm_id(&uuid)?),
        (None, Some(name)) => cluster.find_svm_named(&name),
        (None, None) => scope.svm.and_then(|svm| cluster.find_svm(svm)),
    };
    let svm = named.filter(|svm| scope.svm.is_none_or(|own| own == svm.id));
    let svm = svm.ok_or_else(|| Refusal::missing(2_621_462, "The owner does not exist").about("owner"))?.id;
    let address = address(&body.required_text("address")?)?;
    let host = LocalHost {
        name: body.required_text("hostname")?,
        aliases: body.texts("aliases")?.unwrap_or_default(),
    };
    cluster.put_local_host(svm, address, host, true)?;
    Ok(vec![svm.to_string(), address.to_string()])
}

fn modify_host(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let (svm, address) = (svm_id(scope.key(0))?, address(scope.key(1))?);
    let before = cluster.local_hosts.get(&(svm, address)).ok_or_else(Refusal::no_entry)?.clone();
    let host = LocalHost {
        name: body.text("hostname")?.unwrap_or(before.name),
        aliases: body.texts("aliases")?.unwrap_or(before.aliases),
    };
    cluster.put_local_host(svm, address, host, false)
}

fn delete_host(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let key = (svm_id(scope.key(0))?, address(scope.key(1))?);
    cluster.local_hosts.remove(&key).map(drop).ok_or_else(Refusal::no_entry)
}

fn address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map_err(|_| Refusal::invalid("address", text))
}
