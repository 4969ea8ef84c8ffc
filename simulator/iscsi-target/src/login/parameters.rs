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
        }
    }
}

impl Parameters {
    /// Answers every pair the initiator offers, and remembers the outcome.
    pub(crate) fn negotiate(&mut self, offers: Text, answers: &mut Text) {
        for (key, offer) in offers {
            if let Some(answer) = self.answer(&key, &offer) {
                answers.push(&key, answer);
            }
        }
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
            // Results that do not depend on the offer: one connection, one R2T a task, no recovery
            // within a session, data in order.
            "MaxConnections" | "MaxOutstandingR2T" => offer.parse::<u16>().ok().map(|_| "1".into()),
            "ErrorRecoveryLevel" => offer.parse::<u16>().ok().map(|_| "0".into()),
            "DataPDUInOrder" | "DataSequenceInOrder" => boolean(offer).map(|_| "Yes".into()),
            "DefaultTime2Wait" => offer.parse::<u16>().ok().map(|theirs| theirs.max(2).to_string()),
            "DefaultTime2Retain" => offer.parse::<u16>().ok().map(|_| "0".into()),
            "IFMarker" | "OFMarker" => boolean(offer).map(|_| "No".into()),
            "TaskReporting" => Some("RFC3720".into()),
            "iSCSIProtocolLevel" => offer.parse::<u16>().ok().map(|theirs| theirs.min(1).to_string()),
            // Declarations.
            "InitiatorAlias" | "InitiatorName" | "SessionType" | "TargetName" => return None,
            // RFC 7143 §6.2: a key one does not know is answered, not ignored.
            _ => Some("NotUnderstood".into()),
        };
        Some(answer.unwrap_or_else(|| "Reject".into()))
    }
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
        parameters.negotiate(text, &mut answers);
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
        assert_eq!(answers.take("MaxOutstandingR2T").as_deref(), Some("1"));
        assert_eq!(answers.take("ErrorRecoveryLevel").as_deref(), Some("0"));
        assert_eq!(answers.take("MaxRecvDataSegmentLength"), None, "a declaration has no answer");
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
