//! The iSCSI service of an SVM and how initiators must log in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::igroup::is_iscsi_name;
use super::{Cluster, DataPlaneChange, Refusal, Svm, SvmId};

/// The initiator whose record holds for all that have none of their own.
pub const DEFAULT_INITIATOR: &str = "default";

/// A CHAP user and its password, which is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChapUser {
    /// CHAP name.
    pub user: String,
    /// CHAP secret.
    pub password: String,
}

impl fmt::Debug for ChapUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChapUser").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How initiators must log in (RFC 7143 §12.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// No authentication.
    None,
    /// CHAP; with `outbound` the target proves itself too.
    Chap {
        /// What the initiator must prove.
        inbound: ChapUser,
        /// What the target proves.
        outbound: Option<ChapUser>,
    },
    /// Nobody may log in.
    Deny,
}

/// The target of an SVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IscsiService {
    /// Whether it serves.
    pub enabled: bool,
    /// `iqn.1992-08.com.netapp:sn.<svm uuid without dashes>:vs.<n>`.
    pub target: String,
    /// Target alias.
    pub alias: String,
    /// The record of the initiator "default": holds for every initiator without one of its own.
    pub default_authentication: Authentication,
    /// Records of single initiators, by name in lower case.
    pub credentials: BTreeMap<String, Authentication>,
}

/// An initiator that is logged in, as the data plane tells it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Name of the target, lower case.
    pub target: String,
    /// Name of the initiator, as it gave it.
    pub initiator: String,
    /// The portal it came through.
    pub portal: SocketAddr,
    /// Its target portal group tag.
    pub tag: u16,
    /// Address of the initiator.
    pub peer: SocketAddr,
    /// Initiator's part of the session identifier.
    pub isid: [u8; 6],
    /// Target's part of it.
    pub tsih: u16,
}

/// A new iSCSI service, or a change of one. What is absent gets the default, or stays.
#[derive(Debug, Clone, Default)]
pub struct IscsiServiceSpec {
    /// Whether it serves (default true).
    pub enabled: Option<bool>,
    /// Target alias (default: the SVM's name).
    pub alias: Option<String>,
}

/// A change of credentials. What is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct CredentialPatch {
    /// `none`, `chap` or `deny`, in any case.
    pub authentication_type: Option<String>,
    /// User and password the initiator must prove.
    pub inbound: (Option<String>, Option<String>),
    /// User and password the target proves.
    pub outbound: (Option<String>, Option<String>),
}

impl Cluster {
    /// Who is logged in now, with the SVM whose target it is.
    pub fn iscsi_sessions(&self) -> Vec<(SvmId, Session)> {
        let all = self.usage.as_ref().map(|usage| usage.sessions()).unwrap_or_default();
        let serves = |session: &Session| {
            let shows = |svm: &&Svm| {
                svm.iscsi.as_ref().is_some_and(|service| service.target.eq_ignore_ascii_case(&session.target))
            };
            self.svms.values().find(shows).map(|svm| svm.id)
        };
        all.into_iter().filter_map(|session| Some((serves(&session)?, session))).collect()
    }

    /// Gives an SVM an iSCSI service; its target is on the wire at once.
    ///
    /// # Errors
    /// A [`Refusal`]: there is one already (5374077), the protocol is not allowed, a bad alias.
    pub fn create_iscsi_service(&mut self, svm: SvmId, spec: IscsiServiceSpec) -> Result<(), Refusal> {
        let owner = self.find_svm(svm).ok_or_else(Refusal::no_entry)?;
        if owner.iscsi.is_some() {
            let message = format!("An iSCSI service already exists in SVM \"{}\"", owner.name);
            return Err(Refusal::conflict(5_374_077, message).about("svm"));
        }
        let alias = spec.alias.unwrap_or_else(|| owner.name.clone());
        admit_alias(&alias)?;
        let name = owner.id.0.simple();
        let number = self.svms.keys().position(|candidate| *candidate == svm).unwrap_or(0).saturating_add(2);
        let service = IscsiService {
            enabled: spec.enabled.unwrap_or(true),
            target: format!("iqn.1992-08.com.netapp:sn.{name}:vs.{number}"),
            alias,
            default_authentication: Authentication::None,
            credentials: BTreeMap::new(),
        };
        self.set_iscsi(svm, Some(service))?;
        self.put_target(svm);
        Ok(())
    }

    /// Changes an iSCSI service. One that is disabled drops its sessions.
    ///
    /// # Errors
    /// A [`Refusal`]: there is none (code 4), a bad alias.
    pub fn modify_iscsi_service(&mut self, svm: SvmId, spec: IscsiServiceSpec) -> Result<(), Refusal> {
        if let Some(alias) = &spec.alias {
            admit_alias(alias)?;
        }
        self.edit_iscsi(svm, |service| {
            service.enabled = spec.enabled.unwrap_or(service.enabled);
            service.alias = spec.alias.unwrap_or_else(|| service.alias.clone());
            Ok(())
        })?;
        self.put_target(svm);
        Ok(())
    }

    /// Makes a service that is there serve or not; makes one when there is none and it is to serve.
    pub(super) fn enable_iscsi(&mut self, svm: SvmId, enabled: bool) -> Result<(), Refusal> {
        let spec = IscsiServiceSpec { enabled: Some(enabled), alias: None };
        match &self.find_svm(svm).ok_or_else(Refusal::no_entry)?.iscsi {
            Some(_) => self.modify_iscsi_service(svm, spec),
            None if enabled => self.create_iscsi_service(svm, spec),
            None => Ok(()),
        }
    }

    /// Deletes an iSCSI service with its credentials.
    ///
    /// # Errors
    /// A [`Refusal`]: there is none (code 4), it is enabled (5374078), a LUN is mapped (5374079: the API
    /// reference has both; which applies when is assumed).
    pub fn delete_iscsi_service(&mut self, svm: SvmId) -> Result<(), Refusal> {
        let service = self.find_svm(svm).and_then(|svm| svm.iscsi.as_ref()).ok_or_else(Refusal::no_entry)?;
        if service.enabled {
            let message = "The SVM has an iSCSI service that is enabled: disable it before the deletion";
            return Err(Refusal::conflict(5_374_078, message));
        }
        if self.lun_maps.keys().any(|(lun, _)| self.luns.get(lun).is_some_and(|lun| lun.svm == svm)) {
            return Err(Refusal::conflict(5_374_079, "LUNs of the SVM are still mapped"));
        }
        self.set_iscsi(svm, None)?;
        self.change(DataPlaneChange::RemoveTarget { svm });
        Ok(())
    }

    /// Makes a record of how one initiator must log in.
    ///
    /// # Errors
    /// A [`Refusal`]: no service (code 4), a bad initiator name (5374039), one
    /// that has a record (1), and as for [`Self::modify_credentials`].
    pub fn create_credentials(
        &mut self,
        svm: SvmId,
        initiator: &str,
        patch: CredentialPatch,
    ) -> Result<String, Refusal> {
        let initiator = initiator.trim().to_ascii_lowercase();
        if !is_iscsi_name(&initiator) {
            let message = format!("\"{initiator}\" is not a valid iSCSI initiator name");
            return Err(Refusal::request(5_374_039, message).about("initiator"));
        }
        let authentication = self.edit_iscsi(svm, |service| {
            if service.credentials.contains_key(&initiator) {
                let message = format!("Credentials for initiator \"{initiator}\" already exist");
                return Err(Refusal::conflict(1, message).about("initiator"));
            }
            let authentication = revised(&Authentication::None, patch)?;
            service.credentials.insert(initiator.clone(), authentication.clone());
            Ok(authentication)
        })?;
        let authentication = Some(authentication);
        self.change(DataPlaneChange::Authenticate {
            svm,
            initiator: Some(initiator.clone()),
            authentication,
        });
        Ok(initiator)
    }

    /// Changes how an initiator must log in; `default` speaks for all that have no record.
    ///
    /// # Errors
    /// A [`Refusal`] for an unknown record (code 4), an unknown type, for CHAP without inbound user and
    /// password (5374149), and for equal secrets in both directions (5374147). The first number is not
    /// verified.
    pub fn modify_credentials(
        &mut self,
        svm: SvmId,
        initiator: &str,
        patch: CredentialPatch,
    ) -> Result<(), Refusal> {
        let initiator = initiator.to_ascii_lowercase();
        let authentication = self.edit_iscsi(svm, |service| {
            let record = match initiator.as_str() {
                DEFAULT_INITIATOR => &mut service.default_authentication,
                name => service.credentials.get_mut(name).ok_or_else(Refusal::no_entry)?,
            };
            *record = revised(record, patch)?;
            Ok(record.clone())
        })?;
        let authentication = Some(authentication);
        let initiator = (initiator != DEFAULT_INITIATOR).then_some(initiator);
        self.change(DataPlaneChange::Authenticate { svm, initiator, authentication });
        Ok(())
    }

    /// Deletes the record of an initiator, for which `default` then speaks.
    ///
    /// # Errors
    /// A [`Refusal`]: no such record (code 4), or the `default` one (the generic 2).
    pub fn delete_credentials(&mut self, svm: SvmId, initiator: &str) -> Result<(), Refusal> {
        let initiator = initiator.to_ascii_lowercase();
        if initiator == DEFAULT_INITIATOR {
            return Err(Refusal::request(2, "The default credentials cannot be deleted").about("initiator"));
        }
        self.edit_iscsi(svm, |service| {
            service.credentials.remove(&initiator).map(drop).ok_or_else(Refusal::no_entry)
        })?;
        let initiator = Some(initiator);
        self.change(DataPlaneChange::Authenticate { svm, initiator, authentication: None });
        Ok(())
    }

    /// Changes the iSCSI service of an SVM, which must have one.
    fn edit_iscsi<T>(
        &mut self,
        svm: SvmId,
        edit: impl FnOnce(&mut IscsiService) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut owner = self.svms.get_mut(&svm).ok_or_else(Refusal::no_entry)?;
        edit(owner.iscsi.as_mut().ok_or_else(Refusal::no_entry)?)
    }

    fn set_iscsi(&mut self, svm: SvmId, service: Option<IscsiService>) -> Result<(), Refusal> {
        self.svms.get_mut(&svm).ok_or_else(Refusal::no_entry)?.iscsi = service;
        Ok(())
    }

    /// Asks the data planes for the target of an SVM and its credentials, if it has them.
    pub(super) fn revive_target(&mut self, svm: SvmId) {
        self.put_target(svm);
        let Some(service) = self.find_svm(svm).and_then(|svm| svm.iscsi.clone()) else { return };
        let default = (None, service.default_authentication);
        let single = service.credentials.into_iter().map(|(name, record)| (Some(name), record));
        for (initiator, authentication) in std::iter::once(default).chain(single) {
            let authentication = Some(authentication);
            self.change(DataPlaneChange::Authenticate { svm, initiator, authentication });
        }
    }

    fn put_target(&mut self, svm: SvmId) {
        let Some(service) = self.find_svm(svm).and_then(|svm| svm.iscsi.as_ref()) else { return };
        let (iqn, alias, enabled) = (service.target.clone(), service.alias.clone(), service.enabled);
        self.change(DataPlaneChange::PutTarget { svm, iqn, alias, enabled });
    }
}

fn admit_alias(alias: &str) -> Result<(), Refusal> {
    if alias.is_empty() || alias.len() > 128 || alias.chars().any(char::is_control) {
        return Err(Refusal::invalid("target.alias", alias));
    }
    Ok(())
}

fn revised(before: &Authentication, patch: CredentialPatch) -> Result<Authentication, Refusal> {
    let kind = match patch.authentication_type {
        Some(kind) => kind.to_ascii_lowercase(),
        None => match before {
            Authentication::None => "none".to_owned(),
            Authentication::Chap { .. } => "chap".to_owned(),
            Authentication::Deny => "deny".to_owned(),
        },
    };
    let (was_inbound, was_outbound) = match before {
        Authentication::Chap { inbound, outbound } => (Some(inbound), outbound.as_ref()),
        Authentication::None | Authentication::Deny => (None, None),
    };
    match kind.as_str() {
        "none" => Ok(Authentication::None),
        "deny" => Ok(Authentication::Deny),
        "chap" => {
            let inbound = chap_user(was_inbound, patch.inbound, "chap.inbound")?.ok_or_else(|| {
                Refusal::request(5_374_149, "CHAP requires an inbound user and password")
                    .about("chap.inbound")
            })?;
            let outbound = chap_user(was_outbound, patch.outbound, "chap.outbound")?;
            if outbound.as_ref().is_some_and(|outbound| outbound.password == inbound.password) {
                return Err(Refusal::request(
                    5_374_147,
                    "The inbound and the outbound CHAP password must not be the same",
                )
                .about("chap.outbound.password"));
            }
            Ok(Authentication::Chap { inbound, outbound })
        }
        _ => Err(Refusal::invalid("authentication_type", &kind)),
    }
}

fn chap_user(
    before: Option<&ChapUser>,
    (user, password): (Option<String>, Option<String>),
    field: &str,
) -> Result<Option<ChapUser>, Refusal> {
    let user = user.or_else(|| before.map(|before| before.user.clone())).filter(|user| !user.is_empty());
    let password = password
        .or_else(|| before.map(|before| before.password.clone()))
        .filter(|password| !password.is_empty());
    match (user, password) {
        (Some(user), Some(password)) => Ok(Some(ChapUser { user, password })),
        (None, None) => Ok(None),
        _ => {
            Err(Refusal::request(5_374_149, "A CHAP user and its password must be given together")
                .about(field))
        }
    }
}
