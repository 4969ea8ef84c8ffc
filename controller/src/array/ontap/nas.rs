//! Files: a junction a volume, and the export policy that says who may use it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use contract::{NfsAttachment, PublishContext};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use super::Ontap;
use super::client::{Client, code, tolerate};
use super::flexvol::Nas;
use crate::array::{ArrayError, Guest, Origin, Provisioned, VolumeSpec};
use crate::backend::config::{ExportAccess, NasOptions};
use crate::store::VolumeRecord;

/// An export policy.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    id: u64,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Rule {
    index: u64,
    #[serde(default)]
    clients: Vec<ClientMatch>,
    #[serde(default)]
    protocols: Vec<String>,
    #[serde(default)]
    ro_rule: Vec<String>,
    #[serde(default)]
    rw_rule: Vec<String>,
    #[serde(default)]
    superuser: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ClientMatch {
    r#match: String,
}

/// A volume by the policy it uses.
#[derive(Debug, Deserialize)]
struct PolicyUser {
    #[serde(default)]
    name: String,
    #[serde(default)]
    nas: Nas,
}

/// Whether a rule lets an address in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admits {
    Yes,
    No,
    /// Netgroups, domains and host names are resolved by the array alone.
    OnlyTheArrayKnows,
}

impl Rule {
    /// The one address of a rule as we write them.
    fn single_address(&self) -> Option<IpAddr> {
        match self.clients.as_slice() {
            [client] => client.r#match.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is as this controller writes rules; more than that a rule does not tell of its maker.
    fn is_as_ours(&self) -> bool {
        let any = |flavors: &[String]| matches!(flavors, [flavor] if flavor == "any");
        self.single_address().is_some()
            && matches!(self.protocols.as_slice(), [protocol] if protocol == "nfs")
            && any(&self.ro_rule)
            && any(&self.rw_rule)
            && any(&self.superuser)
    }

    fn shown(&self) -> String {
        let clients: Vec<_> = self.clients.iter().map(|client| client.r#match.as_str()).collect();
        format!("rule {} ({})", self.index, clients.join(", "))
    }

    fn admits(&self, address: IpAddr) -> Admits {
        let files = self.protocols.is_empty()
            || self.protocols.iter().any(|name| name == "any" || name.starts_with("nfs"));
        let writable = self.rw_rule.iter().any(|rule| matches!(rule.as_str(), "any" | "sys"));
        if !files || !writable {
            return Admits::No;
        }
        let mut verdict = Admits::No;
        for client in &self.clients {
            let text = client.r#match.as_str();
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) if network.contains(&address) => return Admits::Yes,
                Ok(_) => {}
                Err(_) => verdict = Admits::OnlyTheArrayKnows,
            }
        }
        verdict
    }
}

/// The export policy of that name.
pub(super) async fn find_policy(
    client: &Client,
    svm: &str,
    name: &str,
) -> Result<Option<Policy>, ArrayError> {
    let query = [("svm.uuid", svm), ("name", name), ("fields", "id,name")];
    let found: Vec<Policy> = client.records("protocols/nfs/export-policies", &query).await?;
    Ok(found.into_iter().find(|policy| policy.name == name))
}

impl Ontap {
    pub(super) async fn ensure_export(
        &self,
        nas: &NasOptions,
        spec: &VolumeSpec,
    ) -> Result<Provisioned, ArrayError> {
        let policy = self.ensure_policy_of_new(nas, spec, None).await?;
        let junction = json!({
            "path": format!("/{}", spec.internal_name),
            "security_style": "unix",
            "unix_permissions": self.defaults.unix_permissions,
            "export_policy": { "name": policy },
        });
        let made = self.ensure_flexvol(spec, spec.size, Some(junction)).await?;
        Ok(Provisioned { array_id: made.uuid, size: spec.size })
    }

    /// A copy keeps owner and mode of its root directory: they are data like the rest.
    pub(super) async fn ensure_export_copy(
        &self,
        nas: &NasOptions,
        spec: &VolumeSpec,
        origin: &Origin,
    ) -> Result<Provisioned, ArrayError> {
        let policy = self.ensure_policy_of_new(nas, spec, Some(origin)).await?;
        let junction =
            json!({ "path": format!("/{}", spec.internal_name), "export_policy": { "name": policy } });
        let settings = [("nas".to_owned(), junction)].into_iter().collect();
        let made = self.ensure_clone(spec, origin, settings).await?;
        self.ensure_room(&made, spec.size).await?;
        Ok(Provisioned { array_id: made.uuid, size: spec.size })
    }

    /// The export policy that the new volume is to have.
    async fn ensure_policy_of_new(
        &self,
        nas: &NasOptions,
        spec: &VolumeSpec,
        origin: Option<&Origin>,
    ) -> Result<String, ArrayError> {
        let name = &spec.internal_name;
        match nas.access {
            ExportAccess::Administrator => Ok(self.defaults.export_policy.clone()),
            ExportAccess::Automatic(_) => {
                // Another's volume of that name is to be left without a policy of ours.
                if let Some(found) = self.find_flexvol(name).await?
                    && origin
                        .is_none_or(|origin| found.clone.parent_volume.name != origin.volume.internal_name)
                {
                    self.require_ours(name, &spec.id, &found)?;
                }
                // Born with a policy that lets nobody in.
                self.ensure_policy(name, name).await?;
                Ok(name.clone())
            }
        }
    }

    pub(super) async fn ensure_exported(
        &self,
        nas: &NasOptions,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<PublishContext, ArrayError> {
        let name = &volume.internal_name;
        let found = self.require_flexvol(name, &volume.id).await?;
        let junction = format!("/{name}");
        let mut amended = serde_json::Map::new();
        if found.nas.path.is_empty() {
            amended.insert("path".to_owned(), junction.clone().into());
        }
        match &nas.access {
            ExportAccess::Administrator => {
                self.require_admitted(&found.nas.export_policy.name, guest).await?;
            }
            ExportAccess::Automatic(networks) => {
                if admitted(networks, guest).is_empty() {
                    let reason = format!(
                        "node {} has no address within autoExportCIDRs: widen autoExportCIDRs, or correct the node's addresses",
                        guest.node
                    );
                    return Err(ArrayError::NoAccess { reason });
                }
                let wanted = everybody(networks, others.iter().chain([guest]));
                self.ensure_rules(name, &wanted).await?;
                if found.nas.export_policy.name != *name {
                    amended.insert("export_policy".to_owned(), json!({ "name": name }));
                }
            }
        }
        let export = match found.nas.path.as_str() {
            "" => junction,
            path => path.to_owned(),
        };
        if !amended.is_empty() {
            let path = format!("storage/volumes/{}", found.uuid);
            self.client.patch(&path, json!({ "nas": amended })).await?;
        }
        Ok(PublishContext::Nfs(NfsAttachment {
            server: self.data_lif,
            export,
            mount_options: nas.mount_options.clone(),
        }))
    }

    pub(super) async fn ensure_not_exported(
        &self,
        nas: &NasOptions,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<(), ArrayError> {
        match &nas.access {
            // The rules are the administrator's, for every volume and node alike: not ours to take.
            ExportAccess::Administrator => Ok(()),
            ExportAccess::Automatic(networks) => {
                if find_policy(&self.client, &self.svm_uuid, &volume.internal_name).await?.is_none() {
                    return Ok(());
                }
                let name = &volume.internal_name;
                match self.find_flexvol(name).await? {
                    Some(found) => self.require_ours(name, &volume.id, &found)?,
                    // Without its volume the policy lets nobody in anywhere.
                    None => return Ok(()),
                }
                let wanted = everybody(networks, others.iter());
                let left = self.ensure_rules(name, &wanted).await?;
                require_shut_out(name, guest, &wanted, &left)
            }
        }
    }

    pub(super) async fn ensure_no_policy(&self, nas: &NasOptions, name: &str) -> Result<(), ArrayError> {
        if matches!(nas.access, ExportAccess::Administrator) {
            return Ok(());
        }
        let Some(policy) = find_policy(&self.client, &self.svm_uuid, name).await? else { return Ok(()) };
        // The volume is gone by now: whoever uses the policy still is somebody else.
        if let Some(trace) = self.find_foreign(&policy, None).await? {
            tracing::warn!(policy = name, trace, "the policy is left on the array: somebody else uses it");
            return Ok(());
        }
        let path = format!("protocols/nfs/export-policies/{}", policy.id);
        tolerate(self.client.delete(&path).await, &[code::MISSING])
    }

    /// The policy of `volume`, made or found. One that is found has no mark on it (the API knows
    /// none), so what it is used for must show that it is ours: no volume but ours uses it, and
    /// unless ours does, it holds no rule that we do not write.
    async fn ensure_policy(&self, name: &str, volume: &str) -> Result<Policy, ArrayError> {
        if let Some(found) = find_policy(&self.client, &self.svm_uuid, name).await? {
            return match self.find_foreign(&found, Some(volume)).await? {
                None => Ok(found),
                Some(trace) => Err(ArrayError::Foreign {
                    name: format!("export policy {name} of SVM {} ({trace})", self.svm_name),
                }),
            };
        }
        let body = json!({ "name": name, "svm": { "uuid": self.svm_uuid } });
        let made = self.client.post("protocols/nfs/export-policies", &[], body).await;
        tolerate(made, &[code::DUPLICATE])?;
        let found = find_policy(&self.client, &self.svm_uuid, name).await?;
        found.ok_or_else(|| ArrayError::Missing { what: format!("export policy {name}") })
    }

    /// What shows that a policy is not, or not only, ours. `volume` is the one it was made for; that
    /// it is ours was seen by its mark.
    async fn find_foreign(
        &self,
        policy: &Policy,
        volume: Option<&str>,
    ) -> Result<Option<String>, ArrayError> {
        let query = [
            ("svm.uuid", self.svm_uuid.as_str()),
            ("nas.export_policy.name", policy.name.as_str()),
            ("fields", "name,nas.export_policy.name"),
        ];
        let users: Vec<PolicyUser> = self.client.records("storage/volumes", &query).await?;
        let users = users.into_iter().filter(|user| user.nas.export_policy.name == policy.name);
        let (ours, others): (Vec<_>, Vec<_>) = users.partition(|user| Some(user.name.as_str()) == volume);
        if let Some(other) = others.first() {
            return Ok(Some(format!("volume {} uses it", other.name)));
        }
        if !ours.is_empty() {
            return Ok(None);
        }
        let rules = self.rules(&rules_of(policy)).await?;
        Ok(rules.iter().find(|rule| !rule.is_as_ours()).map(|rule| format!("it has {}", rule.shown())))
    }

    /// Makes the rules of a volume's own policy let in exactly `wanted`, one rule an address, and
    /// reads them back. A rule for one of these addresses that is not as we write it is replaced: the
    /// array takes the first that matches. Rules for networks and names are not ours and stay; they
    /// are the answer.
    async fn ensure_rules(&self, name: &str, wanted: &BTreeSet<IpAddr>) -> Result<Vec<Rule>, ArrayError> {
        let policy = self.ensure_policy(name, name).await?;
        let path = rules_of(&policy);
        let rules = self.rules(&path).await?;
        let surplus = |rule: &&Rule| {
            rule.single_address().is_some_and(|address| !wanted.contains(&address) || !rule.is_as_ours())
        };
        for rule in rules.iter().filter(surplus) {
            let gone = self.client.delete(&format!("{path}/{}", rule.index)).await;
            tolerate(gone, &[code::MISSING])?;
        }
        let present =
            rules.iter().filter(|rule| rule.is_as_ours()).filter_map(Rule::single_address).collect();
        for address in wanted.difference(&present) {
            let body = json!({
                "clients": [{ "match": address.to_string() }],
                "protocols": ["nfs"],
                "ro_rule": ["any"],
                "rw_rule": ["any"],
                "superuser": ["any"],
            });
            tolerate(self.client.post(&path, &[], body).await, &[code::RULE_EXISTS, code::DUPLICATE])?;
        }
        let (single, left): (Vec<_>, Vec<_>) =
            self.rules(&path).await?.into_iter().partition(|rule| rule.single_address().is_some());
        let now: BTreeSet<_> = single.iter().filter_map(Rule::single_address).collect();
        if now == *wanted && single.iter().all(Rule::is_as_ours) {
            return Ok(left);
        }
        Err(ArrayError::Unexpected {
            call: format!("the rules of export policy {name}"),
            problem: format!("they let in {now:?}, not {wanted:?}"),
        })
    }

    async fn rules(&self, path: &str) -> Result<Vec<Rule>, ArrayError> {
        let fields = "index,clients,protocols,ro_rule,rw_rule,superuser";
        self.client.records(path, &[("fields", fields)]).await
    }

    /// The administrator's policy must let the node in; if it does not, say so now, since the mount
    /// would only say "permission denied".
    async fn require_admitted(&self, policy: &str, guest: &Guest) -> Result<(), ArrayError> {
        let found = find_policy(&self.client, &self.svm_uuid, policy).await?;
        let found = found.ok_or_else(|| ArrayError::Missing {
            what: format!("export policy {policy} of SVM {}", self.svm_name),
        })?;
        let rules = self.rules(&rules_of(&found)).await?;
        let verdicts: Vec<_> = guest
            .addresses
            .iter()
            .flat_map(|address| rules.iter().map(|rule| rule.admits(*address)))
            .collect();
        if verdicts.contains(&Admits::Yes) {
            return Ok(());
        }
        if verdicts.contains(&Admits::OnlyTheArrayKnows) {
            tracing::info!(policy, node = %guest.node, "only the array can tell whether the policy lets the node in");
            return Ok(());
        }
        let addresses: Vec<_> = guest.addresses.iter().map(IpAddr::to_string).collect();
        let reason = format!(
            "export policy {policy} of SVM {} has no read-write NFS rule for node {} ({}): add one, or set autoExportPolicy in the backend file",
            self.svm_name,
            guest.node,
            addresses.join(", ")
        );
        Err(ArrayError::NoAccess { reason })
    }
}

fn rules_of(policy: &Policy) -> String {
    format!("protocols/nfs/export-policies/{}/rules", policy.id)
}

/// A revoked node must not get in by a rule that somebody else added: access is not revoked then, and
/// nobody may be told that it is (hazard H07).
fn require_shut_out(
    policy: &str,
    guest: &Guest,
    wanted: &BTreeSet<IpAddr>,
    rules: &[Rule],
) -> Result<(), ArrayError> {
    let revoked = guest.addresses.iter().filter(|address| !wanted.contains(*address));
    for address in revoked {
        if let Some(rule) = rules.iter().find(|rule| rule.admits(*address) == Admits::Yes) {
            let reason = format!(
                "node {} ({address}) still has access by {} of export policy {policy}, which this controller did not make: remove the rule",
                guest.node,
                rule.shown()
            );
            return Err(ArrayError::NoAccess { reason });
        }
    }
    Ok(())
}

fn admitted(networks: &[IpNet], guest: &Guest) -> BTreeSet<IpAddr> {
    let within = |address: &&IpAddr| networks.iter().any(|network| network.contains(*address));
    guest.addresses.iter().filter(within).copied().collect()
}

fn everybody<'g>(networks: &[IpNet], guests: impl Iterator<Item = &'g Guest>) -> BTreeSet<IpAddr> {
    guests.flat_map(|guest| admitted(networks, guest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(clients: &[&str], rw: &str) -> Rule {
        Rule {
            index: 1,
            clients: clients.iter().map(|text| ClientMatch { r#match: (*text).to_owned() }).collect(),
            protocols: vec!["nfs".to_owned()],
            ro_rule: vec!["any".to_owned()],
            rw_rule: vec![rw.to_owned()],
            superuser: vec!["any".to_owned()],
        }
    }

    #[test]
    fn a_rule_lets_in_whom_its_networks_hold() {
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        for (rule, verdict) in [
            (rule(&["0.0.0.0/0"], "any"), Admits::Yes),
            (rule(&["192.168.0.1", "10.1.2.3"], "sys"), Admits::Yes),
            (rule(&["10.1.3.0/24"], "any"), Admits::No),
            (rule(&["10.1.2.0/24"], "never"), Admits::No),
            (rule(&["::/0"], "any"), Admits::No),
            (rule(&["@workers"], "any"), Admits::OnlyTheArrayKnows),
            (rule(&["10.1.3.0/24", ".example.com"], "any"), Admits::OnlyTheArrayKnows),
        ] {
            assert_eq!(rule.admits(address), verdict, "{rule:?}");
        }
        let smb = Rule { protocols: vec!["cifs".to_owned()], ..rule(&["0.0.0.0/0"], "any") };
        assert_eq!(smb.admits(address), Admits::No);
    }
}
