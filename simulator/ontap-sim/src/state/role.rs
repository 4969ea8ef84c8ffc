//! Roles: which paths of the API whoever has them may read and change. The longest path that fits
//! decides (ONTAP REST reference, `/security/roles`).

use records::untagged;
use serde::{Deserialize, Serialize};

use super::account::Caller;
use super::{Cluster, Refusal, SvmId};

/// What may be done below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Nothing.
    None,
    /// GET.
    ReadOnly,
    /// GET and POST.
    ReadCreate,
    /// GET and PATCH.
    ReadModify,
    /// GET, POST and PATCH.
    ReadCreateModify,
    /// Everything.
    All,
}

impl Access {
    /// Each with its name in the API.
    pub const NAMES: [(Self, &'static str); 6] = [
        (Self::None, "none"),
        (Self::ReadOnly, "readonly"),
        (Self::ReadCreate, "read_create"),
        (Self::ReadModify, "read_modify"),
        (Self::ReadCreateModify, "read_create_modify"),
        (Self::All, "all"),
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(access, _)| *access == self).map_or("none", |(_, name)| name)
    }

    fn admits(self, method: &str) -> bool {
        match method {
            "GET" | "HEAD" | "OPTIONS" => self != Self::None,
            "POST" => matches!(self, Self::ReadCreate | Self::ReadCreateModify | Self::All),
            "PATCH" => matches!(self, Self::ReadModify | Self::ReadCreateModify | Self::All),
            _ => self == Self::All,
        }
    }
}

/// What a role may do below one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privilege {
    /// Path, such as `/api/storage/volumes`.
    pub path: String,
    /// What may be done.
    pub access: Access,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The SVM it belongs to; `None`: the cluster.
    pub owner: Option<SvmId>,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub privileges: Vec<Privilege>,
    /// Whether ONTAP made it; such a one stays as it is.
    pub builtin: bool,
}

untagged!(Role);

/// Roles of the cluster. What the array's REST roles for `backup` and `autosupport` reach is assumed.
const CLUSTER_ROLES: [(&str, &[(&str, Access)]); 5] = [
    ("admin", &[("/api", Access::All)]),
    ("readonly", &[("/api", Access::ReadOnly)]),
    ("backup", &[("/api", Access::ReadOnly), ("/api/storage/volumes", Access::All)]),
    ("autosupport", &[("/api/support", Access::All)]),
    ("none", &[("/api", Access::None)]),
];

/// What an administrator of an SVM reaches; of each collection only what is the SVM's. The vendor
/// publishes the list of commands, not of paths: the paths are assumed from it.
const VSADMIN: &[(&str, Access)] = &[
    ("/api/application", Access::All),
    ("/api/cluster", Access::None),
    ("/api/cluster/jobs", Access::ReadModify),
    ("/api/cluster/schedules", Access::ReadOnly),
    ("/api/name-services", Access::All),
    ("/api/network/fc", Access::ReadOnly),
    ("/api/network/ip", Access::ReadOnly),
    ("/api/network/ip/interfaces", Access::ReadModify),
    ("/api/private/cli", Access::All),
    ("/api/protocols", Access::All),
    ("/api/security/accounts", Access::ReadModify),
    ("/api/security/authentication/password", Access::ReadCreate),
    ("/api/security/certificates", Access::All),
    ("/api/security/roles", Access::ReadOnly),
    ("/api/snapmirror", Access::All),
    ("/api/storage/aggregates", Access::ReadOnly),
    ("/api/storage/file", Access::All),
    ("/api/storage/luns", Access::All),
    ("/api/storage/namespaces", Access::All),
    ("/api/storage/qos", Access::ReadOnly),
    ("/api/storage/qtrees", Access::All),
    ("/api/storage/quota", Access::All),
    ("/api/storage/snapshot-policies", Access::All),
    ("/api/storage/volumes", Access::All),
    ("/api/support/ems/application-logs", Access::All),
    ("/api/svm/peers", Access::ReadOnly),
    ("/api/svm/svms", Access::ReadModify),
];

/// What an SVM's reader reaches.
const VSADMIN_READONLY: &[(&str, Access)] = &[
    ("/api", Access::ReadOnly),
    ("/api/cluster", Access::None),
    ("/api/cluster/jobs", Access::ReadOnly),
    ("/api/cluster/schedules", Access::ReadOnly),
    ("/api/security/authentication/password", Access::ReadCreate),
    ("/api/storage/disks", Access::None),
];

/// Roles of an SVM.
const SVM_ROLES: [(&str, &[(&str, Access)]); 6] = [
    ("vsadmin", VSADMIN),
    ("vsadmin-volume", VSADMIN),
    ("vsadmin-protocol", VSADMIN),
    ("vsadmin-backup", VSADMIN_READONLY),
    ("vsadmin-snaplock", VSADMIN),
    ("vsadmin-readonly", VSADMIN_READONLY),
];

impl Cluster {
    /// Every role there is, ONTAP's own first.
    pub fn roles(&self) -> Vec<Role> {
        let of_cluster = CLUSTER_ROLES.iter().map(|(name, privileges)| builtin(name, privileges));
        let of_svms = SVM_ROLES.iter().map(|(name, privileges)| builtin(name, privileges));
        of_cluster.chain(of_svms).chain(self.custom_roles.values().cloned()).collect()
    }

    /// The role of this name that accounts of the owner can have.
    pub fn find_role(&self, owner: Option<SvmId>, name: &str) -> Option<Role> {
        let table: &[(&str, &[(&str, Access)])] = if owner.is_some() { &SVM_ROLES } else { &CLUSTER_ROLES };
        let known = table.iter().find(|(known, _)| *known == name);
        let custom = || self.custom_roles.get(&(owner, name.to_owned())).cloned();
        known.map(|(name, privileges)| builtin(name, privileges)).or_else(custom)
    }

    /// Makes a role.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use (1), a path outside of `/api`.
    pub fn create_role(
        &mut self,
        owner: Option<SvmId>,
        name: &str,
        privileges: Vec<Privilege>,
    ) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_role(owner, name).is_some() {
            return Err(Refusal::conflict(1, format!("Role \"{name}\" already exists")).about("name"));
        }
        privileges.iter().try_for_each(admit_privilege)?;
        let role = Role { owner, name: name.to_owned(), privileges, builtin: false };
        self.custom_roles.insert((owner, name.to_owned()), role);
        Ok(())
    }

    /// Deletes a role.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), ONTAP's own or had by an account (8).
    pub fn delete_role(&mut self, owner: Option<SvmId>, name: &str) -> Result<(), Refusal> {
        let role = self.find_role(owner, name).ok_or_else(Refusal::no_entry)?;
        if role.builtin {
            return Err(Refusal::conflict(8, format!("Role \"{name}\" is built in and cannot be deleted")));
        }
        if self.accounts.values().any(|account| account.owner == owner && account.role == name) {
            return Err(Refusal::conflict(8, format!("Role \"{name}\" is in use by an account")));
        }
        self.custom_roles.remove(&(owner, name.to_owned()));
        Ok(())
    }

    /// Sets what a role may do below a path; `None` takes the path from the role.
    ///
    /// # Errors
    /// A [`Refusal`]: no such role or path (4), ONTAP's own role (8), a path outside of `/api`.
    pub fn set_privilege(
        &mut self,
        owner: Option<SvmId>,
        name: &str,
        path: &str,
        access: Option<Access>,
    ) -> Result<(), Refusal> {
        if self.find_role(owner, name).is_some_and(|role| role.builtin) {
            return Err(Refusal::conflict(8, format!("Role \"{name}\" is built in and cannot be changed")));
        }
        let mut role = self.custom_roles.get_mut(&(owner, name.to_owned())).ok_or_else(Refusal::no_entry)?;
        let before = role.privileges.len();
        role.privileges.retain(|privilege| privilege.path != path);
        match access {
            Some(access) => {
                let privilege = Privilege { path: path.to_owned(), access };
                admit_privilege(&privilege)?;
                role.privileges.push(privilege);
            }
            None if role.privileges.len() == before => return Err(Refusal::no_entry()),
            None => {}
        }
        Ok(())
    }

    /// Whether the caller's role admits a call. `path` has no doubled slashes and no slash at its end.
    ///
    /// # Errors
    /// A [`Refusal`] (403, code 6) when it does not.
    pub fn authorise(&self, caller: &Caller, method: &str, path: &str) -> Result<(), Refusal> {
        let denied = || Refusal { status: 403, ..Refusal::request(6, "not authorized for that command") };
        let role = self.find_role(caller.svm, &caller.role).ok_or_else(denied)?;
        // The cluster's own record tells its version to everybody who may log in.
        let public = path == "/api/cluster" && matches!(method, "GET" | "HEAD" | "OPTIONS");
        let below = |privilege: &&Privilege| {
            let rest = path.strip_prefix(privilege.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let longest = role.privileges.iter().filter(below).max_by_key(|privilege| privilege.path.len());
        let admitted = longest.is_some_and(|privilege| privilege.access.admits(method));
        if admitted || (public && caller.role != "none") { Ok(()) } else { Err(denied()) }
    }

    pub(super) fn forget_roles_of(&mut self, svm: SvmId) {
        let of_svm = |key: &&(Option<SvmId>, String)| key.0 == Some(svm);
        let roles: Vec<_> = self.custom_roles.keys().filter(of_svm).cloned().collect();
        roles.iter().for_each(|key| drop(self.custom_roles.remove(key)));
    }
}

fn builtin(name: &str, privileges: &[(&str, Access)]) -> Role {
    let privilege = |(path, access): &(&str, Access)| Privilege { path: (*path).to_owned(), access: *access };
    Role {
        owner: None,
        name: name.to_owned(),
        privileges: privileges.iter().map(privilege).collect(),
        builtin: true,
    }
}

fn admit_privilege(privilege: &Privilege) -> Result<(), Refusal> {
    let inside = privilege.path == "/api" || privilege.path.starts_with("/api/");
    if inside { Ok(()) } else { Err(Refusal::invalid("privileges.path", &privilege.path)) }
}
