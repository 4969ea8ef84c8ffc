//! The iSCSI service of an SVM and how initiators must log in.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cluster, DataPlaneChange, Refusal, SvmId};

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
    /// The record of the initiator "default": holds for every initiator.
    pub default_authentication: Authentication,
}

/// A change of the default credentials. What is absent stays as it is.
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
    /// Changes how initiators must log in.
    ///
    /// # Errors
    /// A [`Refusal`] for an unknown type, for CHAP without inbound user and password (5374149), and for
    /// equal secrets in both directions (5374147). The first number is not verified.
    pub fn modify_credentials(&mut self, svm: SvmId, patch: CredentialPatch) -> Result<(), Refusal> {
        let mut tenant = self.svms.get_mut(&svm).ok_or_else(Refusal::no_entry)?;
        let authentication = revised(&tenant.iscsi.default_authentication, patch)?;
        tenant.iscsi.default_authentication = authentication.clone();
        drop(tenant);
        self.change(DataPlaneChange::Authenticate { svm, authentication });
        Ok(())
    }
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
