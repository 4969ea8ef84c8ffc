//! Operational parameters and their negotiation (RFC 7143 §6.2, §13).

use crate::pdu::Digests;
use crate::text::Text;

/// Longest data segment we take, in bytes.
pub(crate) const MAX_RECEIVE: usize = 256 * 1024;
/// MaxBurstLength we agree to at most, in bytes.
const MAX_BURST: u32 = 1024 * 1024;
/// FirstBurstLength we agree to at most, in bytes.
const FIRST_BURST: u32 = 256 * 1024;
/// MaxRecvDataSegmentLength of a peer that declares none (RFC 7143 §13.12).
const DEFAULT_RECEIVE: u32 = 8192;
/// R2Ts outstanding we agree to at most.
const MAX_R2T: u16 = 8;
/// Bounds of counts (RFC 7143 §13.2, §13.17).
const COUNTS: std::ops::RangeInclusive<u32> = 1..=65_535;
/// Keys that mean nothing in a discovery session (RFC 7143 §13, "Irrelevant when").
const NOT_IN_DISCOVERY: [&str; 10] = [
    "MaxConnections",
    "InitialR2T",
    "ImmediateData",
    "MaxBurstLength",
    "FirstBurstLength",
    "MaxOutstandingR2T",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "TaskReporting",
    "iSCSIProtocolLevel",
];
/// Bounds of numerical byte lengths (RFC 7143 §13.12–13.14).
const LENGTHS: std::ops::RangeInclusive<u32> = 512..=0x00ff_ffff;

/// What initiator and target agreed on. `default` is what holds when nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) digests: Digests,
    /// Longest data segment the initiator takes, in bytes.
    pub(crate) max_send: u32,
    pub(crate) max_burst: u32,
    pub(crate) first_burst: u32,
    pub(crate) initial_r2t: bool,
    pub(crate) immediate_data: bool,
    /// R2Ts a command may have outstanding.
    pub(crate) max_r2t: u16,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            digests: Digests::default(),
            max_send: DEFAULT_RECEIVE,
            max_burst: 262_144,
            first_burst: 65_536,
            initial_r2t: true,
            immediate_data: true,
            max_r2t: 1,
        }
    }
}

impl Parameters {
    /// Answers every pair the initiator offers, and remembers the outcome.
    pub(crate) fn negotiate(&mut self, offers: Text, discovery: bool, answers: &mut Text) {
        let solicited_only = self.is_solicited_only(&offers);
        for (key, offer) in offers {
            let key_name = key.as_str();
            let irrelevant = discovery && NOT_IN_DISCOVERY.contains(&key_name)
                || solicited_only && key_name == "FirstBurstLength";
            let answer = if irrelevant { Some("Irrelevant".to_owned()) } else { self.answer(&key, &offer) };
            if let Some(answer) = answer {
                answers.push(&key, answer);
            }
        }
    }

    /// No data without an R2T: then the length of the first burst means nothing (RFC 7143 §13.14).
    fn is_solicited_only(&self, offers: &Text) -> bool {
        let outcome = |key, now| offers.get(key).and_then(boolean).unwrap_or(now);
        outcome("InitialR2T", self.initial_r2t) && !outcome("ImmediateData", self.immediate_data)
    }

    /// The answer to one pair; none to a declaration.
    fn answer(&mut self, key: &str, offer: &str) -> Option<String> {
        let answer = match key {
            "HeaderDigest" => digest(offer, &mut self.digests.header),
            "DataDigest" => digest(offer, &mut self.digests.data),
            "MaxRecvDataSegmentLength" => match length(offer) {
                Some(declared) => {
                    self.max_send = declared;
                    return None;
                }
                None => None,
            },
            "MaxBurstLength" => minimum(offer, MAX_BURST, &mut self.max_burst),
            "FirstBurstLength" => minimum(offer, FIRST_BURST, &mut self.first_burst),
            // Or, and we would rather have none; And, and we like it.
            "InitialR2T" => follow(offer, &mut self.initial_r2t),
            "ImmediateData" => follow(offer, &mut self.immediate_data),
            // Results that do not depend on the offer: one connection, no recovery within a session,
            // data in order. And of these, the lesser or the greater.
            "MaxConnections" => number(offer).filter(|n| COUNTS.contains(n)).map(|_| "1".into()),
            "MaxOutstandingR2T" => number(offer).filter(|n| COUNTS.contains(n)).map(|theirs| {
                self.max_r2t = u16::try_from(theirs).unwrap_or(MAX_R2T).min(MAX_R2T);
                self.max_r2t.to_string()
            }),
            "ErrorRecoveryLevel" => number(offer).filter(|n| *n <= 2).map(|_| "0".into()),
            "DataPDUInOrder" | "DataSequenceInOrder" => boolean(offer).map(|_| "Yes".into()),
            "DefaultTime2Wait" => number(offer).filter(|n| *n <= 3600).map(|n| n.max(2).to_string()),
            "DefaultTime2Retain" => number(offer).filter(|n| *n <= 3600).map(|_| "0".into()),
            "IFMarker" | "OFMarker" => boolean(offer).map(|_| "No".into()),
            "TaskReporting" => Some("RFC3720".into()),
            "iSCSIProtocolLevel" => {
                number(offer).filter(|n| *n <= 31).map(|theirs| theirs.min(1).to_string())
            }
            // Declarations.
            "InitiatorAlias" | "InitiatorName" | "SessionType" | "TargetName" => return None,
            // Keys that only a target says, and security keys out of their stage.
            "TargetAlias" | "TargetAddress" | "TargetPortalGroupTag" | "SendTargets" | "AuthMethod" => None,
            // RFC 7143 §6.2: a key one does not know is answered, not ignored.
            _ => Some("NotUnderstood".into()),
        };
        Some(answer.unwrap_or_else(|| "Reject".into()))
    }
}

/// Whether a key is one of the protocol's.
pub(crate) fn is_known(key: &str) -> bool {
    let mut answered = Parameters::default();
    answered.answer(key, "").as_deref() != Some("NotUnderstood")
}

/// A boolean of which the initiator's wish is the outcome.
fn follow(offer: &str, outcome: &mut bool) -> Option<String> {
    *outcome = boolean(offer)?;
    Some(offer.to_owned())
}

fn boolean(offer: &str) -> Option<bool> {
    match offer {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

/// A number in decimal or hexadecimal (RFC 7143 §6.1 "numerical-value").
fn number(offer: &str) -> Option<u32> {
    match offer.strip_prefix("0x").or_else(|| offer.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => offer.parse().ok(),
    }
}

fn length(offer: &str) -> Option<u32> {
    number(offer).filter(|value| LENGTHS.contains(value))
}

fn minimum(offer: &str, ours: u32, outcome: &mut u32) -> Option<String> {
    *outcome = length(offer)?.min(ours);
    Some(outcome.to_string())
}

/// The first digest of the initiator's list that we know.
fn digest(offer: &str, outcome: &mut bool) -> Option<String> {
    let chosen = offer.split(',').find(|name| matches!(*name, "CRC32C" | "None"))?;
    *outcome = chosen == "CRC32C";
    Some(chosen.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(offers: &[(&str, &str)]) -> (Parameters, Text) {
        let mut text = Text::default();
        for (key, value) in offers {
            text.push(key, *value);
        }
        let (mut parameters, mut answers) = (Parameters::default(), Text::default());
        parameters.negotiate(text, false, &mut answers);
        (parameters, answers)
    }

    #[test]
    fn the_offer_of_a_linux_initiator_is_met() {
        let (agreed, mut answers) = negotiate(&[
            ("HeaderDigest", "None,CRC32C"),
            ("DataDigest", "CRC32C,None"),
            ("InitialR2T", "No"),
            ("ImmediateData", "Yes"),
            ("MaxBurstLength", "16776192"),
            ("FirstBurstLength", "262144"),
            ("MaxOutstandingR2T", "8"),
            ("MaxRecvDataSegmentLength", "262144"),
            ("ErrorRecoveryLevel", "2"),
        ]);
        assert!(!agreed.digests.header && agreed.digests.data && !agreed.initial_r2t);
        assert_eq!((agreed.max_send, agreed.max_burst, agreed.first_burst), (262_144, 1_048_576, 262_144));
        assert_eq!((answers.take("MaxOutstandingR2T").as_deref(), agreed.max_r2t), (Some("8"), 8));
        assert_eq!(answers.take("ErrorRecoveryLevel").as_deref(), Some("0"));
        assert_eq!(answers.take("MaxRecvDataSegmentLength"), None, "a declaration has no answer");
    }

    #[test]
    fn keys_that_mean_nothing_here_are_irrelevant() {
        let mut text = Text::default();
        for key in NOT_IN_DISCOVERY {
            text.push(key, "1");
        }
        text.push("HeaderDigest", "None");
        let (mut parameters, mut answers) = (Parameters::default(), Text::default());
        parameters.negotiate(text, true, &mut answers);
        assert_eq!(answers.take("HeaderDigest").as_deref(), Some("None"));
        assert!(answers.into_iter().all(|(_, answer)| answer == "Irrelevant"));
        let (_, mut answers) =
            negotiate(&[("FirstBurstLength", "8192"), ("InitialR2T", "Yes"), ("ImmediateData", "No")]);
        assert_eq!(answers.take("FirstBurstLength").as_deref(), Some("Irrelevant"));
    }

    #[test]
    fn numbers_out_of_range_and_keys_of_the_target_are_rejected() {
        for (key, offer) in [
            ("MaxConnections", "0"),
            ("MaxOutstandingR2T", "65536"),
            ("ErrorRecoveryLevel", "3"),
            ("DefaultTime2Wait", "3601"),
            ("DefaultTime2Retain", "-1"),
            ("MaxRecvDataSegmentLength", "511"),
            ("HeaderDigest", "MD5"),
            ("TargetAddress", "10.0.0.1"),
        ] {
            let (agreed, mut answers) = negotiate(&[(key, offer)]);
            assert_eq!(answers.take(key).as_deref(), Some("Reject"), "{key}={offer}");
            assert_eq!(agreed, Parameters::default());
        }
        let (_, mut answers) = negotiate(&[("MaxConnections", "0x10"), ("DefaultTime2Wait", "0")]);
        assert_eq!(answers.take("MaxConnections").as_deref(), Some("1"));
        assert_eq!(answers.take("DefaultTime2Wait").as_deref(), Some("2"));
    }

    #[test]
    fn what_cannot_be_agreed_is_rejected_and_changes_nothing() {
        let (agreed, mut answers) =
            negotiate(&[("MaxBurstLength", "7"), ("InitialR2T", "maybe"), ("X-com.example", "1")]);
        assert_eq!(agreed, Parameters::default());
        assert_eq!(answers.take("MaxBurstLength").as_deref(), Some("Reject"));
        assert_eq!(answers.take("InitialR2T").as_deref(), Some("Reject"));
        assert_eq!(answers.take("X-com.example").as_deref(), Some("NotUnderstood"));
    }
}
