//! Name services of an SVM: DNS clients, UNIX users and groups, host tables. They are kept and told;
//! the simulator asks no name server, and NFS callers come with numbers.

use std::net::IpAddr;

use records::untagged;
use serde::{Deserialize, Serialize};

use super::{Cluster, Refusal, SvmId};

/// Names longer than this are none.
const LONGEST_NAME: usize = 64;
/// What a host name may have (RFC 1123 section 2.1).
const LONGEST_HOST: usize = 255;
/// DNS domains and servers that an SVM may have.
const MOST_DOMAINS: usize = 6;
const MOST_SERVERS: usize = 3;

/// Users that every data SVM is made with: name, number, number of the group.
const USERS: [(&str, u32, u32); 3] = [("nobody", 65_535, 65_535), ("pcuser", 65_534, 65_534), ("root", 0, 1)];
/// Groups that every data SVM is made with.
const GROUPS: [(&str, u32); 4] = [("daemon", 1), ("nobody", 65_535), ("pcuser", 65_534), ("root", 0)];

/// Whom an SVM asks for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Domains that are searched.
    pub domains: Vec<String>,
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Seconds to wait for an answer.
    pub timeout: u64,
    /// Times that a server is asked.
    pub attempts: u64,
}

/// A user that an SVM knows itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixUser {
    /// Number.
    pub id: u32,
    /// Number of the primary group.
    pub group: u32,
    /// Full name.
    pub full_name: String,
}

/// A group that an SVM knows itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixGroup {
    /// Number.
    pub id: u32,
    /// Names of its users.
    pub users: Vec<String>,
}

/// A line of a host table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalHost {
    /// Its name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
}

untagged!(Dns, UnixUser, UnixGroup, LocalHost);

/// A change of a DNS client. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct DnsPatch {
    /// Domains.
    pub domains: Option<Vec<String>>,
    /// Servers.
    pub servers: Option<Vec<String>>,
    /// Seconds.
    pub timeout: Option<u64>,
    /// Times.
    pub attempts: Option<u64>,
}

impl Cluster {
    /// Makes the DNS client of an SVM.
    ///
    /// # Errors
    /// A [`Refusal`]: there is one (1), no domain or server, or one that is none.
    pub fn create_dns(&mut self, svm: SvmId, patch: DnsPatch) -> Result<(), Refusal> {
        if self.dns.contains_key(&svm) {
            return Err(Refusal::conflict(1, "duplicate entry").about("svm"));
        }
        for (given, field) in [(patch.domains.is_some(), "domains"), (patch.servers.is_some(), "servers")] {
            if !given {
                return Err(Refusal::required(field));
            }
        }
        let blank = Dns { domains: Vec::new(), servers: Vec::new(), timeout: 2, attempts: 1 };
        self.dns.insert(svm, revised_dns(blank, patch)?);
        Ok(())
    }

    /// Changes the DNS client of an SVM.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_dns`]; 4 when there is none.
    pub fn modify_dns(&mut self, svm: SvmId, patch: DnsPatch) -> Result<(), Refusal> {
        let before = self.dns.get(&svm).ok_or_else(Refusal::no_entry)?.clone();
        self.dns.insert(svm, revised_dns(before, patch)?);
        Ok(())
    }

    /// Makes a user of an SVM.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, or one in use (1).
    pub fn create_unix_user(&mut self, svm: SvmId, name: &str, user: UnixUser) -> Result<(), Refusal> {
        admit_name(name)?;
        let key = (svm, name.to_owned());
        if self.unix_users.contains_key(&key) {
            return Err(Refusal::conflict(1, format!("UNIX user \"{name}\" already exists")).about("name"));
        }
        self.unix_users.insert(key, user);
        Ok(())
    }

    /// Makes a group of an SVM.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, or one in use (1).
    pub fn create_unix_group(&mut self, svm: SvmId, name: &str, id: u32) -> Result<(), Refusal> {
        admit_name(name)?;
        let key = (svm, name.to_owned());
        if self.unix_groups.contains_key(&key) {
            return Err(Refusal::conflict(1, format!("UNIX group \"{name}\" already exists")).about("name"));
        }
        self.unix_groups.insert(key, UnixGroup { id, users: Vec::new() });
        Ok(())
    }

    /// Puts a user into a group.
    ///
    /// # Errors
    /// A [`Refusal`]: no such group (4), a bad name, or in it already (1).
    pub fn add_to_unix_group(&mut self, svm: SvmId, group: &str, user: &str) -> Result<(), Refusal> {
        admit_name(user)?;
        let mut group = self.unix_groups.get_mut(&(svm, group.to_owned())).ok_or_else(Refusal::no_entry)?;
        if group.users.iter().any(|member| member == user) {
            return Err(Refusal::conflict(1, "duplicate entry").about("name"));
        }
        group.users.push(user.to_owned());
        Ok(())
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// A [`Refusal`] (4) when it is not in it.
    pub fn remove_from_unix_group(&mut self, svm: SvmId, group: &str, user: &str) -> Result<(), Refusal> {
        let mut group = self.unix_groups.get_mut(&(svm, group.to_owned())).ok_or_else(Refusal::no_entry)?;
        let place = group.users.iter().position(|member| member == user).ok_or_else(Refusal::no_entry)?;
        group.users.remove(place);
        Ok(())
    }

    /// Puts a line into the host table of an SVM, in place of the one of that address if `anew` is not
    /// set.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name; with `anew`, an address that is there (1); without, one that is not (4).
    pub fn put_local_host(
        &mut self,
        svm: SvmId,
        address: IpAddr,
        host: LocalHost,
        anew: bool,
    ) -> Result<(), Refusal> {
        for name in host.aliases.iter().chain([&host.name]) {
            let shaped = !name.is_empty()
                && name.len() <= LONGEST_HOST
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            if !shaped {
                return Err(Refusal::invalid("hostname", name));
            }
        }
        let key = (svm, address);
        match (self.local_hosts.contains_key(&key), anew) {
            (true, true) => return Err(Refusal::conflict(1, "duplicate entry").about("address")),
            (false, false) => return Err(Refusal::no_entry()),
            _ => {}
        }
        self.local_hosts.insert(key, host);
        Ok(())
    }

    /// The users and groups that every data SVM is made with (ONTAP documentation, "default UNIX users and
    /// groups").
    pub(super) fn create_builtin_names(&mut self, svm: SvmId) {
        for (name, id, group) in USERS {
            self.unix_users.insert((svm, name.into()), UnixUser { id, group, full_name: String::new() });
        }
        for (name, id) in GROUPS {
            self.unix_groups.insert((svm, name.into()), UnixGroup { id, users: Vec::new() });
        }
    }

    pub(super) fn forget_names_of(&mut self, svm: SvmId) {
        self.dns.remove(&svm);
        self.unix_users.remove_where(|(owner, _)| *owner == svm);
        self.unix_groups.remove_where(|(owner, _)| *owner == svm);
        self.local_hosts.remove_where(|(owner, _)| *owner == svm);
    }
}

fn admit_name(name: &str) -> Result<(), Refusal> {
    let shaped = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_graphic() && !"/:,\"".contains(c));
    if shaped { Ok(()) } else { Err(Refusal::invalid("name", name)) }
}

fn revised_dns(mut dns: Dns, patch: DnsPatch) -> Result<Dns, Refusal> {
    if let Some(domains) = patch.domains {
        let shaped =
            |domain: &String| !domain.is_empty() && domain.len() <= LONGEST_HOST && !domain.contains(' ');
        if domains.is_empty() || domains.len() > MOST_DOMAINS || !domains.iter().all(shaped) {
            return Err(Refusal::invalid("domains", &domains.join(",")));
        }
        dns.domains = domains;
    }
    if let Some(servers) = patch.servers {
        let parsed: Option<Vec<IpAddr>> = servers.iter().map(|server| server.parse().ok()).collect();
        let parsed = parsed.filter(|all| !all.is_empty() && all.len() <= MOST_SERVERS);
        dns.servers = parsed.ok_or_else(|| Refusal::invalid("servers", &servers.join(",")))?;
    }
    if let Some(timeout) = patch.timeout {
        if !(1..=5).contains(&timeout) {
            return Err(Refusal::invalid("timeout", &timeout.to_string()));
        }
        dns.timeout = timeout;
    }
    if let Some(attempts) = patch.attempts {
        if !(1..=4).contains(&attempts) {
            return Err(Refusal::invalid("attempts", &attempts.to_string()));
        }
        dns.attempts = attempts;
    }
    Ok(dns)
}
