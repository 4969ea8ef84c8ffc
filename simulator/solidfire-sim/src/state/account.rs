//! Accounts: who owns volumes, and the CHAP credentials that open them.

use std::fmt;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::{ACCOUNT_NAME_LENGTH, ATTRIBUTES_BYTES, SECRET_LENGTH};
use super::{AccountId, ApiError, VolumeId};

records::untagged!(Account);

/// A CHAP secret of 12 to 16 printable characters that does not print itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChapSecret(String);

impl ChapSecret {
    /// Takes a client's own secret; `member` names it in the error.
    ///
    /// # Errors
    /// [`ApiError::InvalidParameter`] when it has not 12 to 16 printable ASCII characters.
    pub fn parse(member: &str, text: &str) -> Result<Self, ApiError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if printable && SECRET_LENGTH.contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(ApiError::InvalidParameter {
            reason: format!("{member} must have 12 to 16 printable characters"),
        })
    }

    /// Draws 16 characters.
    pub fn draw(random: &mut impl Rng) -> Self {
        // No quotes, backslash, blank or `#`: a person pastes these into shells and iscsid.conf.
        const ALPHABET: &[u8] =
            b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789()[]{}~-_.!?*+=:@%^";
        let letter = |_| ALPHABET.get(random.random_range(0..ALPHABET.len())).copied().unwrap_or(b'x');
        Self((0..*SECRET_LENGTH.end()).map(letter).map(char::from).collect())
    }

    /// The secret itself, for the API answer and the target.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChapSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChapSecret(redacted)")
    }
}

/// Whether initiators may use an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    /// They may.
    Active,
    /// Their connections are cut and refused.
    Locked,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name, unique; also the CHAP user.
    pub username: String,
    /// Whether initiators may use it.
    pub status: AccountStatus,
    /// What the initiator proves itself with.
    pub initiator_secret: ChapSecret,
    /// What the target proves itself with, when the initiator asks for mutual CHAP.
    pub target_secret: ChapSecret,
    /// Whether CHAP opens the account's volumes at all.
    pub enable_chap: bool,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

impl Account {
    /// How an initiator gets into this account's volumes.
    pub fn login(&self) -> Login {
        if self.status == AccountStatus::Locked || !self.enable_chap {
            return Login::Refused;
        }
        Login::Chap {
            username: self.username.clone(),
            initiator_secret: self.initiator_secret.clone(),
            target_secret: self.target_secret.clone(),
        }
    }
}

/// How an initiator gets into a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Not at all: the account is locked, or CHAP is off and no access group opens the volume.
    Refused,
    /// With these credentials.
    Chap {
        /// CHAP name of both directions.
        username: String,
        /// The initiator proves itself with it.
        initiator_secret: ChapSecret,
        /// The target proves itself with it, if asked.
        target_secret: ChapSecret,
    },
}

/// An account and the volumes it owns, deleted ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// Its volumes, ascending.
    pub volumes: Vec<VolumeId>,
}

/// A secret as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretChoice {
    /// The cluster draws one.
    Generate,
    /// The client's own.
    Given(ChapSecret),
}

impl SecretChoice {
    pub(super) fn settle(self, random: &mut impl Rng) -> ChapSecret {
        match self {
            Self::Generate => ChapSecret::draw(random),
            Self::Given(secret) => secret,
        }
    }
}

/// Parameters of `AddAccount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Name, unique in the cluster.
    pub username: String,
    /// The initiator's secret.
    pub initiator_secret: SecretChoice,
    /// The target's secret; may equal the initiator's (Cinder does that).
    pub target_secret: SecretChoice,
    /// Whether CHAP opens the account's volumes.
    pub enable_chap: bool,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// Parameters of `ModifyAccount`; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPatch {
    /// The account.
    pub id: AccountId,
    /// A new name.
    pub username: Option<String>,
    /// A new status.
    pub status: Option<AccountStatus>,
    /// A new initiator secret.
    pub initiator_secret: Option<SecretChoice>,
    /// A new target secret.
    pub target_secret: Option<SecretChoice>,
    /// CHAP on or off.
    pub enable_chap: Option<bool>,
    /// New notes; an empty map clears them.
    pub attributes: Option<Map<String, Value>>,
}

pub(super) fn require_username(username: &str) -> Result<(), ApiError> {
    if ACCOUNT_NAME_LENGTH.contains(&username.chars().count()) {
        return Ok(());
    }
    Err(ApiError::InvalidParameter { reason: "username must have 1 to 64 characters".into() })
}

pub(super) fn require_small(attributes: &Map<String, Value>) -> Result<(), ApiError> {
    let bytes = Value::Object(attributes.clone()).to_string().len();
    if bytes < ATTRIBUTES_BYTES {
        return Ok(());
    }
    Err(ApiError::InvalidParameter {
        reason: format!("attributes take {bytes} bytes as JSON and must stay below {ATTRIBUTES_BYTES}"),
    })
}
