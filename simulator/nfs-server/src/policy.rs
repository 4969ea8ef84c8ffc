//! Export policies: who may reach a volume, judged by client address and credential flavour.
//!
//! The semantics are ONTAP's ("How export rules work", NFS management guide): rules are tried in
//! the order of their index, the first one whose client match fits decides, and a policy in which
//! none fits, above all an empty one, gives no access.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

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
