//! Export policies: who may reach a volume over NFS.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use records::Row;
use serde::{Deserialize, Serialize};

use super::qtree::QtreeTag;
use super::volume::{Kind, Volume, VolumeTag};
use super::{Cluster, DataPlaneChange, Refusal, SvmId};

/// Which flavours a rule admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavours(Vec<String>);

impl Flavours {
    /// Every flavour.
    pub fn any() -> Self {
        Self(vec!["any".into()])
    }

    /// From ONTAP's names: `any`, `none`, `never`, `sys`, `krb5`, `krb5i`, `krb5p`, `ntlm`.
    ///
    /// # Errors
    /// A [`Refusal`] that names `field` for another name or an empty list.
    pub fn parse(field: &str, names: &[String]) -> Result<Self, Refusal> {
        const KNOWN: [&str; 8] = ["any", "none", "never", "sys", "krb5", "krb5i", "krb5p", "ntlm"];
        if let Some(unknown) = names.iter().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(Refusal::invalid(field, unknown));
        }
        if names.is_empty() { Err(Refusal::required(field)) } else { Ok(Self(names.to_vec())) }
    }

    /// ONTAP's names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether `name` is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|flavour| flavour == name)
    }
}

/// One rule of an export policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRule {
    /// Whom it speaks of: address, network, host name, netgroup or domain, as the client wrote it.
    pub clients: Vec<String>,
    /// Protocols it speaks of; `any` or `nfs*` make it count for NFS.
    pub protocols: Vec<String>,
    /// Who may read.
    pub ro: Flavours,
    /// Who may write.
    pub rw: Flavours,
    /// For whom root stays root.
    pub superuser: Flavours,
    /// User that others become.
    pub anonymous_user: String,
    /// Whether set-user-id bits count.
    pub allow_suid: bool,
    /// Whether clients may make device nodes.
    pub allow_devices: bool,
    /// `restricted` or `unrestricted`: who may give files away.
    pub chown_mode: String,
    /// `fail` or `ignore`: what a change of UNIX permissions does under Windows security.
    pub ntfs_unix_security: String,
}

impl ExportRule {
    /// A rule with the defaults of the API for all but clients and access.
    pub fn new(clients: Vec<String>, ro: Flavours, rw: Flavours) -> Self {
        Self {
            clients,
            protocols: vec!["any".into()],
            ro,
            rw,
            superuser: Flavours::any(),
            anonymous_user: "65534".into(),
            allow_suid: true,
            allow_devices: true,
            chown_mode: "restricted".into(),
            ntfs_unix_security: "fail".into(),
        }
    }

    /// Whether it counts for NFS clients.
    pub fn concerns_nfs(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol == "any" || protocol.starts_with("nfs"))
    }
}

/// A named, ordered list of rules. No rule, no access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPolicy {
    /// Number, unique in the cluster.
    pub id: u64,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// Name, unique in the SVM.
    pub name: String,
    /// By index; the lowest that fits a client decides.
    pub rules: BTreeMap<u32, ExportRule>,
}

/// What a policy is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyTag {
    /// Its name in its SVM.
    Named(SvmId, String),
    /// Its SVM.
    Of(SvmId),
}

impl Row for ExportPolicy {
    type Tag = PolicyTag;

    fn tags(&self) -> Vec<PolicyTag> {
        vec![PolicyTag::Named(self.svm, self.name.clone()), PolicyTag::Of(self.svm)]
    }
}

impl Cluster {
    /// The policy of this name in the SVM.
    pub fn find_policy_named(&self, svm: SvmId, name: &str) -> Option<&ExportPolicy> {
        self.policies.find(&PolicyTag::Named(svm, name.to_owned()))
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// A [`Refusal`] for a bad rule, an empty name, or a name in use (code 1, which clients tolerate).
    pub fn create_export_policy(
        &mut self,
        svm: SvmId,
        name: &str,
        rules: Vec<ExportRule>,
    ) -> Result<u64, Refusal> {
        if name.is_empty() || name.len() > 256 || name.contains(['/', ' ']) {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_policy_named(svm, name).is_some() {
            return Err(Refusal::conflict(1, "duplicate entry").about("name"));
        }
        for rule in &rules {
            check(rule)?;
        }
        let id = self.policies.last_key_value().map_or(1, |(id, _)| id.saturating_add(1));
        let rules = (1..).zip(rules).collect();
        self.policies.insert(id, ExportPolicy { id, svm, name: name.to_owned(), rules });
        Ok(id)
    }

    /// Changes a policy: its name, and all of its rules.
    ///
    /// # Errors
    /// A [`Refusal`] for a bad rule or name, a name in use (1), and another name of the default policy
    /// (1703948, not verified against an array).
    pub fn modify_export_policy(
        &mut self,
        id: u64,
        name: Option<String>,
        rules: Option<Vec<ExportRule>>,
    ) -> Result<(), Refusal> {
        let mut after = self.policies.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = name.filter(|name| *name != after.name) {
            if after.name == "default" {
                return Err(Refusal::conflict(1_703_948, "The default export policy cannot be renamed"));
            }
            if name.is_empty() || name.len() > 256 || name.contains(['/', ' ']) {
                return Err(Refusal::invalid("name", &name));
            }
            if self.find_policy_named(after.svm, &name).is_some() {
                return Err(Refusal::conflict(1, "duplicate entry").about("name"));
            }
            after.name = name;
        }
        if let Some(rules) = rules {
            for rule in &rules {
                check(rule)?;
            }
            after.rules = (1..).zip(rules).collect();
        }
        self.policies.insert(id, after);
        self.republish_policy(id);
        Ok(())
    }

    /// Changes the rule at `index`, and moves it to `new_index`.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when there is none at `index`; for a bad rule.
    pub fn modify_export_rule(
        &mut self,
        id: u64,
        index: u32,
        rule: ExportRule,
        new_index: Option<u32>,
    ) -> Result<(), Refusal> {
        check(&rule)?;
        let mut after = self.policies.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        after.rules.remove(&index).ok_or_else(Refusal::no_entry)?;
        let mut place = new_index.unwrap_or(index);
        let mut displaced = after.rules.insert(place, rule);
        while let Some(rule) = displaced {
            place = place.saturating_add(1);
            displaced = after.rules.insert(place, rule);
        }
        self.policies.insert(id, after);
        self.republish_policy(id);
        Ok(())
    }

    /// Removes a policy.
    ///
    /// # Errors
    /// A [`Refusal`] for the default policy (1703947), and for one that a volume uses (1703945).
    pub fn delete_export_policy(&mut self, id: u64) -> Result<(), Refusal> {
        let policy = self.policies.get(&id).ok_or_else(Refusal::no_entry)?;
        if policy.name == "default" {
            return Err(Refusal::conflict(1_703_947, "The default export policy cannot be deleted"));
        }
        if let Some(volume) = self.volumes.find(&VolumeTag::Under(id)) {
            return Err(Refusal::conflict(
                1_703_945,
                format!("Export policy \"{}\" is in use by volume \"{}\"", policy.name, volume.name),
            ));
        }
        if let Some(qtree) = self.qtrees.find(&QtreeTag::Under(id)) {
            return Err(Refusal::conflict(
                1_703_953,
                format!("Export policy \"{}\" is in use by qtree \"{}\"", policy.name, qtree.name),
            ));
        }
        self.policies.remove(&id);
        Ok(())
    }

    /// Adds a rule at `index`, moving those there up, or at the end.
    ///
    /// # Errors
    /// A [`Refusal`] for a bad rule and for one that is there already (1704070).
    pub fn create_export_rule(
        &mut self,
        id: u64,
        index: Option<u32>,
        rule: ExportRule,
    ) -> Result<u32, Refusal> {
        check(&rule)?;
        let mut policy = self.policies.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        if policy.rules.values().any(|existing| *existing == rule) {
            return Err(Refusal::conflict(1_704_070, "The export policy already contains this rule"));
        }
        let last = policy.rules.last_key_value().map_or(0, |(last, _)| *last);
        let index = index.filter(|index| *index > 0).unwrap_or(last.saturating_add(1));
        let mut displaced = policy.rules.insert(index, rule);
        let mut place = index;
        while let Some(rule) = displaced {
            place = place.saturating_add(1);
            displaced = policy.rules.insert(place, rule);
        }
        drop(policy);
        self.republish_policy(id);
        Ok(index)
    }

    /// Removes a rule. Clients it admitted lose access at their next operation.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when there is none at `index`.
    pub fn delete_export_rule(&mut self, id: u64, index: u32) -> Result<(), Refusal> {
        let mut policy = self.policies.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        policy.rules.remove(&index).ok_or_else(Refusal::no_entry)?;
        drop(policy);
        self.republish_policy(id);
        Ok(())
    }

    /// What clients are to see of a volume that is mounted. Nobody but SnapMirror writes a copy.
    pub(super) fn export_of(&self, volume: &Volume) -> Option<DataPlaneChange> {
        let path = volume.junction.clone()?;
        let mut policy = self.policies.get(&volume.policy)?.clone();
        if volume.kind == Kind::DataProtection {
            policy.rules.values_mut().for_each(|rule| rule.rw = Flavours(vec!["never".into()]));
        }
        Some(DataPlaneChange::Export { svm: volume.svm, path, volume: volume.id, policy })
    }

    /// Makes of the SVM's policy of the same name what another one is.
    pub(super) fn put_policy(&mut self, svm: SvmId, wanted: &ExportPolicy) -> Result<(), Refusal> {
        let known = self.find_policy_named(svm, &wanted.name).map(|policy| policy.id);
        let id = known.map_or_else(|| self.create_export_policy(svm, &wanted.name, Vec::new()), Ok)?;
        if let Some(mut policy) = self.policies.get_mut(&id) {
            policy.rules.clone_from(&wanted.rules);
        }
        self.republish_policy(id);
        Ok(())
    }

    fn republish_policy(&mut self, id: u64) {
        let exports: Vec<_> =
            self.volumes.tagged(&VolumeTag::Under(id)).filter_map(|volume| self.export_of(volume)).collect();
        self.changes.extend(exports);
    }
}

/// A client match is an address, a network with prefix or mask, a netgroup `@n`, a domain `.d` or a
/// host name.
fn check(rule: &ExportRule) -> Result<(), Refusal> {
    if rule.clients.is_empty() {
        return Err(Refusal::required("clients.match"));
    }
    match rule.clients.iter().find(|client| !is_client_match(client)) {
        Some(bad) => Err(Refusal::invalid("clients.match", bad)),
        None => Ok(()),
    }
}

fn is_client_match(text: &str) -> bool {
    if let Some((address, mask)) = text.split_once('/') {
        let Ok(address) = address.parse::<IpAddr>() else { return false };
        return match mask.parse::<IpAddr>() {
            Ok(mask) => IpNet::with_netmask(address, mask).is_ok(),
            Err(_) => mask.parse().is_ok_and(|length| IpNet::new(address, length).is_ok()),
        };
    }
    let name = text.strip_prefix(['@', '.']).unwrap_or(text);
    text.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
}
