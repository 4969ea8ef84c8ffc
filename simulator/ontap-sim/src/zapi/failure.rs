//! Why a ZAPI call fails: `errno` and `reason`. The rules are the management API's; here is only what its
//! refusals are called in ONTAPI. Numbers and their names are those of the ONTAPI error list (`EAPIERROR`,
//! `EVDISK_ERROR_NO_SUCH_LUNMAP` …), which clients carry with them.

use crate::state::Refusal;

/// `EAPIERROR`: what has no number of its own.
pub(super) const API_ERROR: u32 = 13_001;
/// `EAPINOTFOUND`.
pub(super) const NO_SUCH_API: u32 = 13_005;
/// `EINVALIDINPUTERROR`.
pub(super) const INVALID_INPUT: u32 = 13_115;
/// `EOBJECTNOTFOUND`.
pub(super) const NOT_FOUND: u32 = 15_661;
/// `EVSERVERNOTFOUND`.
pub(super) const NO_SUCH_VSERVER: u32 = 15_698;
/// `EVOLUMEDOESNOTEXIST`.
pub(super) const NO_SUCH_VOLUME: u32 = 13_040;
/// `EVDISK_ERROR_NO_SUCH_INITGROUP`.
pub(super) const NO_SUCH_IGROUP: u32 = 9_003;
/// `EVDISK_ERROR_NODE_NOT_IN_INITGROUP`.
pub(super) const NO_SUCH_INITIATOR: u32 = 9_007;
/// `EVDISK_ERROR_NO_SUCH_ATTRIBUTE`.
pub(super) const NO_SUCH_ATTRIBUTE: u32 = 9_011;
/// `EVDISK_ERROR_NO_SUCH_LUNMAP`.
pub(super) const NO_SUCH_LUN_MAP: u32 = 9_016;
/// `EVDISK_ERROR_NO_SUCH_VDISK`.
pub(super) const NO_SUCH_LUN: u32 = 9_017;

/// Refusals of the management API that have a number of their own here; the rest is `EAPIERROR`.
const NUMBERS: &[(u64, u32)] = &[
    (1, 13_130), // EDUPLICATEENTRY
    (2, INVALID_INPUT),
    (3, INVALID_INPUT),
    (4, NOT_FOUND),
    (6, 13_003), // EAPIPRIVILEGE
    (262_179, INVALID_INPUT),
    (262_196, INVALID_INPUT),
    (262_197, INVALID_INPUT),
    (525_059, 13_020), // ESNAPSHOTEXISTS
    (917_526, 17_159), // EVOLEXISTS
    (917_927, NO_SUCH_VOLUME),
    (1_638_555, 13_024), // ESNAPSHOTBUSY
    (1_703_954, NOT_FOUND),
    (2_621_462, NO_SUCH_VSERVER),
    (13_434_908, 13_130),
    (1_254_197, 9_013), // EVDISK_ERROR_VDISK_EXPORTED
    (1_254_207, 9_023), // EVDISK_ERROR_INITGROUP_HAS_VDISK
    (1_254_213, 9_029), // EVDISK_ERROR_INITGROUP_MAPS_EXIST
    (1_254_226, 9_042), // EVDISK_ERROR_SIZE_UNCHANGED
    (5_374_023, 9_004), // EVDISK_ERROR_INITGROUP_EXISTS
    (5_374_035, 9_008), // EVDISK_ERROR_INITGROUP_HAS_NODE
    (5_374_124, 9_034), // EVDISK_ERROR_SIZE_TOO_LARGE
    (5_374_125, 9_041), // EVDISK_ERROR_SIZE_TOO_SMALL
    (5_374_242, 9_012), // EVDISK_ERROR_VDISK_EXISTS
    (5_374_852, NO_SUCH_IGROUP),
    (5_374_875, NO_SUCH_LUN),
    (5_374_878, NO_SUCH_IGROUP),
    (5_374_892, 9_033), // EVDISK_ERROR_MUST_SPECIFY_F_FLAG
    (5_374_922, NO_SUCH_LUN_MAP),
];

/// Texts that clients look for.
const REASONS: &[(u64, &str)] =
    &[(1, "duplicate entry"), (1_704_070, "policy already contains a rule with the same clientmatch")];

/// `EVDISK_ERROR_INITGROUP_HAS_LUN`: the number, not the LUN, is taken.
const NUMBER_TAKEN: u32 = 9_024;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (errno {errno})")]
pub(super) struct Failure {
    /// ONTAPI error number.
    pub(super) errno: u32,
    /// What is wrong.
    pub(super) reason: String,
}

impl Failure {
    /// A failure of this number.
    pub(super) fn new(errno: u32, reason: impl Into<String>) -> Self {
        Self { errno, reason: reason.into() }
    }

    /// An input that must be there and is not.
    pub(super) fn missing_input(name: &str) -> Self {
        Self::new(INVALID_INPUT, format!("Missing input: {name}"))
    }

    /// An input that cannot be used.
    pub(super) fn invalid_input(name: &str, value: &str) -> Self {
        Self::new(
            INVALID_INPUT,
            format!("Invalid value specified for \"{name}\" element within the request: \"{value}\"."),
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code;
        let errno = match refusal.target.as_deref() {
            Some("logical_unit_number") if code == 1_254_207 => NUMBER_TAKEN,
            _ => NUMBERS.iter().find(|(known, _)| *known == code).map_or(API_ERROR, |(_, errno)| *errno),
        };
        match REASONS.iter().find(|(known, _)| *known == code) {
            Some((_, reason)) => Self::new(errno, *reason),
            None => Self::new(errno, refusal.message),
        }
    }
}
