//! Why a login is refused, and the status that says so (RFC 7143 §11.13.5).

use thiserror::Error;

use crate::chap::ChapError;
use crate::portal::Redirect;
use crate::text::TextError;

/// A refusal. The initiator sees a class and a detail, the event log the sentence.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("a PDU other than a login request during login")]
    NotALogin,
    #[error("the initiator speaks no version 0 of the protocol")]
    Version,
    #[error("a stage out of order")]
    Stage,
    #[error("malformed text")]
    Text(#[source] TextError),
    #[error("key {0} is missing")]
    Missing(&'static str),
    #[error("an unknown session type")]
    SessionType,
    #[error("no such target at this portal")]
    NoTarget,
    #[error("the initiator is denied")]
    Denied,
    #[error("CHAP is required and was not done")]
    Unproven,
    #[error("the initiator insists on CHAP and no secret is known for it")]
    NothingToProve,
    #[error("CHAP failed: {0}")]
    Chap(ChapError),
    #[error("a second connection for a session; one is all there is")]
    SecondConnection,
    #[error("the session to be continued does not exist")]
    NoSuchSession,
    #[error("key {0} is negotiated a second time")]
    Again(String),
    #[error("more requests than a login needs")]
    Endless,
    #[error("as many sessions as can be served")]
    TooManySessions,
    #[error("the target is at {}", .0.address)]
    Moved(Redirect),
}

impl Refusal {
    /// Status-Class and Status-Detail.
    pub(crate) fn status(&self) -> (u8, u8) {
        match self {
            Self::Moved(Redirect { permanent: false, .. }) => (1, 0x01),
            Self::Moved(Redirect { permanent: true, .. }) => (1, 0x02),
            Self::Text(_) | Self::Stage | Self::Again(_) | Self::Endless => (2, 0x00),
            Self::Unproven | Self::NothingToProve | Self::Chap(_) => (2, 0x01),
            Self::Denied => (2, 0x02),
            Self::NoTarget => (2, 0x03),
            Self::Version => (2, 0x05),
            Self::SecondConnection => (2, 0x06),
            Self::Missing(_) => (2, 0x07),
            Self::SessionType => (2, 0x09),
            Self::NoSuchSession => (2, 0x0a),
            Self::NotALogin => (2, 0x0b),
            Self::TooManySessions => (3, 0x02),
        }
    }
}
