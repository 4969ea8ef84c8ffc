//! Export policies: who may reach a volume, judged by client address and credential flavour.
//!
//! The semantics are ONTAP's ("How export rules work", NFS management guide): rules are tried in
//! the order of their index, the first one whose client match fits decides, and a policy in which
//! none fits, above all an empty one, gives no access.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::rpc::Credential;
use crate::tree::Identity;

/// Which credential flavours a rule lets in; ONTAP `ro_rule`, `rw_rule` and `superuser`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthRule {
    /// Every flavour (`any`).
    Any,
    /// AUTH_SYS alone (`sys`).
    Sys,
    /// Every flavour, as the anonymous user (`none`). As superuser rule: root is squashed.
    None,
    /// No flavour (`never`). As superuser rule: root is squashed.
    Never,
}

/// The clients a rule speaks of; ONTAP `clients[].match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientMatch(IpNet);

/// A client match that this server cannot judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientMatchError {
    /// A netgroup (`@name`).
    #[error("client match {0:?} is a netgroup, which needs a directory: use an address or a network")]
    Netgroup(String),
    /// A DNS domain (`.example.org`).
    #[error("client match {0:?} is a domain, which needs reverse DNS: use an address or a network")]
    Domain(String),
    /// A host name, or nothing that ONTAP accepts.
    #[error(
        "client match {0:?} is neither an address nor a network: write it as 192.0.2.7, 192.0.2.0/24, \
         192.0.2.0/255.255.255.0 or 2001:db8::/32"
    )]
    NotAnAddress(String),
}

/// One rule of an export policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// Place in the order of evaluation, lowest first.
    pub index: u32,
    /// The rule fits a client when one of these does.
    pub clients: Vec<ClientMatch>,
    /// Who may read.
    pub ro: AuthRule,
    /// Who may write; reading must be allowed too.
    pub rw: AuthRule,
    /// For whom uid 0 stays uid 0.
    pub superuser: AuthRule,
    /// The uid (and gid) of anonymous and squashed callers; ONTAP's default is 65534.
    pub anonymous_uid: u32,
}

/// A named list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportPolicy {
    /// Its name in the SVM.
    pub name: String,
    /// The rules, in any order: the index of each rule orders them.
    pub rules: Vec<ExportRule>,
}

impl ClientMatch {
    /// Does the client at `address` fit? An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn fits(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for ClientMatch {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

impl FromStr for ClientMatch {
    type Err = ClientMatchError;

    /// Reads ONTAP's forms that name addresses: one address, a prefix, or an IPv4 network mask.
    fn from_str(text: &str) -> Result<Self, ClientMatchError> {
        let text = text.trim();
        if text.starts_with('@') {
            return Err(ClientMatchError::Netgroup(text.to_owned()));
        }
        if text.starts_with('.') {
            return Err(ClientMatchError::Domain(text.to_owned()));
        }
        let not_an_address = || ClientMatchError::NotAnAddress(text.to_owned());
        let Some((address, mask)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(|one| Self(one.into())).map_err(|_| not_an_address());
        };
        let address = address.parse::<IpAddr>().map_err(|_| not_an_address())?;
        let net = match mask.parse::<IpAddr>() {
            Ok(mask) => IpNet::with_netmask(address, mask).map_err(|_| not_an_address())?,
            Err(_) => {
                let length = mask.parse().map_err(|_| not_an_address())?;
                IpNet::new(address, length).map_err(|_| not_an_address())?
            }
        };
        Ok(Self(net))
    }
}

/// What a caller may do in an export, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) writable: bool,
    pub(crate) who: Identity,
}

/// How a rule takes a flavour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AsItself,
    AsAnonymous,
    Refused,
}

impl AuthRule {
    fn judge(self, credential: &Credential) -> Verdict {
        match (self, credential) {
            (Self::Any, _) | (Self::Sys, Credential::Sys(_)) => Verdict::AsItself,
            (Self::None, _) => Verdict::AsAnonymous,
            (Self::Sys, Credential::Anonymous) | (Self::Never, _) => Verdict::Refused,
        }
    }
}

impl ExportPolicy {
    /// The access of a caller; `None` where it has none.
    pub(crate) fn admit(&self, client: IpAddr, credential: &Credential) -> Option<Access> {
        let fits = |rule: &&ExportRule| rule.clients.iter().any(|clients| clients.fits(client));
        let rule = self.rules.iter().filter(fits).min_by_key(|rule| rule.index)?;
        let (read, write) = (rule.ro.judge(credential), rule.rw.judge(credential));
        if read == Verdict::Refused {
            return None;
        }
        let as_itself = read == Verdict::AsItself && write != Verdict::AsAnonymous;
        let who = rule.identity(credential, as_itself);
        Some(Access { writable: write != Verdict::Refused, who })
    }
}

impl ExportRule {
    fn identity(&self, credential: &Credential, as_itself: bool) -> Identity {
        let nobody = Identity { uid: self.anonymous_uid, gid: self.anonymous_uid, groups: Vec::new() };
        match credential {
            Credential::Sys(sys) if as_itself => {
                let squashed = sys.uid == 0 && self.superuser.judge(credential) != Verdict::AsItself;
                if squashed {
                    nobody
                } else {
                    Identity { uid: sys.uid, gid: sys.gid, groups: sys.groups.clone() }
                }
            }
            _ => nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::SysCredential;

    fn sys(uid: u32) -> Credential {
        Credential::Sys(SysCredential { machine: "n1".into(), uid, gid: 100, groups: vec![7] })
    }

    fn rule(index: u32, clients: &str, ro: AuthRule, rw: AuthRule) -> ExportRule {
        let clients = clients.split(',').map(|one| one.parse().unwrap()).collect();
        ExportRule { index, clients, ro, rw, superuser: AuthRule::Any, anonymous_uid: 65534 }
    }

    fn policy(rules: Vec<ExportRule>) -> ExportPolicy {
        ExportPolicy { name: "p".into(), rules }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_form_of_ontap_is_read() {
        for (text, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.0/24", "10.1.2.255", "10.1.3.0"),
            ("10.1.2.0/255.255.255.0", "10.1.2.9", "10.1.3.9"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8::7", "2001:db9::7"),
            ("::1", "::1", "::2"),
        ] {
            let clients: ClientMatch = text.parse().unwrap();
            assert!(clients.fits(ip(inside)), "{text} {inside}");
            assert!(!clients.fits(ip(outside)), "{text} {outside}");
        }
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client() {
        assert!("10.0.0.0/8".parse::<ClientMatch>().unwrap().fits(ip("::ffff:10.1.2.3")));
    }

    #[test]
    fn forms_that_need_a_name_service_are_refused_by_name() {
        use ClientMatchError::{Domain, Netgroup, NotAnAddress};
        assert_eq!("@lab".parse::<ClientMatch>(), Err(Netgroup("@lab".into())));
        assert_eq!(".example.org".parse::<ClientMatch>(), Err(Domain(".example.org".into())));
        for bad in ["host7", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "", "/24"] {
            assert_eq!(bad.parse::<ClientMatch>(), Err(NotAnAddress(bad.into())));
        }
    }

    #[test]
    fn an_empty_policy_and_an_unmatched_client_have_no_access() {
        assert_eq!(policy(vec![]).admit(ip("10.0.0.1"), &sys(0)), None);
        let elsewhere = policy(vec![rule(1, "10.9.0.0/16", AuthRule::Any, AuthRule::Any)]);
        assert_eq!(elsewhere.admit(ip("10.0.0.1"), &sys(0)), None);
    }

    #[test]
    fn the_matching_rule_of_the_lowest_index_decides_alone() {
        let policy = policy(vec![
            rule(9, "0.0.0.0/0", AuthRule::Any, AuthRule::Any),
            rule(2, "10.0.0.1", AuthRule::Any, AuthRule::Never),
        ]);
        assert!(!policy.admit(ip("10.0.0.1"), &sys(5)).unwrap().writable);
        assert!(policy.admit(ip("10.0.0.2"), &sys(5)).unwrap().writable);
    }

    #[test]
    fn root_stays_root_only_under_a_superuser_rule() {
        let mut open = rule(1, "0.0.0.0/0", AuthRule::Any, AuthRule::Any);
        assert_eq!(policy(vec![open.clone()]).admit(ip("1.1.1.1"), &sys(0)).unwrap().who.uid, 0);
        open.superuser = AuthRule::None;
        let squashing = policy(vec![open]);
        let root = squashing.admit(ip("1.1.1.1"), &sys(0)).unwrap().who;
        assert_eq!((root.uid, root.gid, root.groups), (65534, 65534, vec![]));
        assert_eq!(squashing.admit(ip("1.1.1.1"), &sys(5)).unwrap().who.uid, 5);
    }

    #[test]
    fn a_sys_rule_refuses_callers_without_credential_and_a_none_rule_makes_all_anonymous() {
        let sys_only = policy(vec![rule(1, "0.0.0.0/0", AuthRule::Sys, AuthRule::Sys)]);
        assert_eq!(sys_only.admit(ip("1.1.1.1"), &Credential::Anonymous), None);
        assert_eq!(sys_only.admit(ip("1.1.1.1"), &sys(5)).unwrap().who.uid, 5);
        let nobody = policy(vec![rule(1, "0.0.0.0/0", AuthRule::None, AuthRule::None)]);
        assert_eq!(nobody.admit(ip("1.1.1.1"), &sys(5)).unwrap().who.uid, 65534);
        let never = policy(vec![rule(1, "0.0.0.0/0", AuthRule::Never, AuthRule::Any)]);
        assert_eq!(never.admit(ip("1.1.1.1"), &sys(5)), None);
    }
}
