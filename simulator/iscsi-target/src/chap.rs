//! CHAP (RFC 1994 with RFC 7143 §12.1.3): challenge, response, and the binary values of both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rand::RngExt;
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use subtle::ConstantTimeEq;

use crate::target::{Auth, ChapSecret};
use crate::text::Text;

/// Bytes in our challenge: as many as the longest response has.
const CHALLENGE: usize = 32;
/// Longest challenge we answer (RFC 7143 §12.1.3: 1024).
const MAX_BINARY: usize = 1024;

/// A hash that CHAP may use (IANA "PPP Authentication Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChapAlgorithm {
    /// 5, the one every initiator has.
    Md5,
    /// 6.
    Sha1,
    /// 7.
    Sha256,
    /// 8.
    Sha3_256,
}

impl ChapAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha3_256, Self::Sha256, Self::Sha1, Self::Md5];

    /// The number in CHAP_A.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Md5 => 5,
            Self::Sha1 => 6,
            Self::Sha256 => 7,
            Self::Sha3_256 => 8,
        }
    }

    /// The hash of identifier, secret, challenge (RFC 1994 §4.1).
    pub(crate) fn respond(self, identifier: u8, secret: &ChapSecret, challenge: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => hash::<Md5>(identifier, secret, challenge),
            Self::Sha1 => hash::<Sha1>(identifier, secret, challenge),
            Self::Sha256 => hash::<Sha256>(identifier, secret, challenge),
            Self::Sha3_256 => hash::<Sha3_256>(identifier, secret, challenge),
        }
    }
}

fn hash<H: Digest>(identifier: u8, secret: &ChapSecret, challenge: &[u8]) -> Vec<u8> {
    let mut hash = H::new();
    hash.update([identifier]);
    hash.update(secret.bytes());
    hash.update(challenge);
    hash.finalize().to_vec()
}

/// What an initiator may prove to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) secret: ChapSecret,
    pub(crate) mutual: Option<(String, ChapSecret)>,
}

impl Credentials {
    pub(crate) fn of(auth: &Auth) -> Option<Self> {
        match auth {
            Auth::Chap { user, secret, mutual } => {
                Some(Self { user: user.clone(), secret: secret.clone(), mutual: mutual.clone() })
            }
            Auth::Open | Auth::Deny => None,
        }
    }
}

/// Why the initiator is not who it says. For the event log; on the wire all are 0x0201.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChapError {
    #[error("no CHAP algorithm in common")]
    Algorithm,
    #[error("a CHAP key is missing or malformed")]
    Malformed,
    #[error("user or secret is wrong")]
    Wrong,
    #[error("the initiator wants the target to prove itself, and it has no secret for that")]
    NoMutualSecret,
    #[error("the initiator returned the target's own challenge")]
    Reflected,
}

/// One CHAP exchange, after AuthMethod=CHAP was agreed.
#[derive(Debug)]
pub(crate) struct Exchange {
    candidates: Vec<Credentials>,
    spoken: Vec<ChapAlgorithm>,
    challenge: Option<Challenge>,
}

/// What the initiator was asked.
#[derive(Clone, Copy, Debug)]
struct Challenge {
    algorithm: ChapAlgorithm,
    identifier: u8,
    bytes: [u8; CHALLENGE],
}

/// Where the exchange stands after a message.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Send this and go on.
    Continue(Text),
    /// Proven, with these credentials; send this.
    Proven(Credentials, Text),
}

impl Exchange {
    /// An exchange that accepts any of the candidates, proven by an algorithm that is spoken here.
    pub(crate) fn new(candidates: Vec<Credentials>, spoken: &[ChapAlgorithm]) -> Self {
        Self { candidates, spoken: spoken.to_vec(), challenge: None }
    }

    /// Takes the initiator's CHAP keys out of `text` and answers them.
    pub(crate) fn answer(&mut self, text: &mut Text) -> Result<Progress, ChapError> {
        match self.challenge {
            None => self.challenge(text).map(Progress::Continue),
            Some(challenge) => self.verify(text, challenge),
        }
    }

    fn challenge(&mut self, text: &mut Text) -> Result<Text, ChapError> {
        let offered = text.take("CHAP_A").ok_or(ChapError::Malformed)?;
        // RFC 7143 §12.1.3: a list in order of preference.
        let algorithm = offered
            .split(',')
            .filter_map(|number| number.trim().parse::<u8>().ok())
            .find_map(|number| self.spoken.iter().find(|algorithm| algorithm.number() == number))
            .ok_or(ChapError::Algorithm)?;
        let mut random = rand::rng();
        let challenge =
            Challenge { algorithm: *algorithm, identifier: random.random(), bytes: random.random() };
        self.challenge = Some(challenge);
        let mut answer = Text::default();
        answer.push("CHAP_A", algorithm.number().to_string());
        answer.push("CHAP_I", challenge.identifier.to_string());
        answer.push("CHAP_C", to_hex(&challenge.bytes));
        Ok(answer)
    }

    fn verify(&self, text: &mut Text, challenge: Challenge) -> Result<Progress, ChapError> {
        let Challenge { algorithm, identifier, bytes } = challenge;
        let user = text.take("CHAP_N").ok_or(ChapError::Malformed)?;
        let response = text.take("CHAP_R").as_deref().and_then(from_text).ok_or(ChapError::Malformed)?;
        let proven = self
            .candidates
            .iter()
            .find(|candidate| {
                let expected = algorithm.respond(identifier, &candidate.secret, &bytes);
                candidate.user == user && bool::from(expected[..].ct_eq(&response))
            })
            .ok_or(ChapError::Wrong)?;
        let mut answer = Text::default();
        if let Some(theirs) = text.take("CHAP_C") {
            let identifier = text.take("CHAP_I").and_then(|id| id.trim().parse::<u8>().ok());
            let identifier = identifier.ok_or(ChapError::Malformed)?;
            let theirs = from_text(&theirs).ok_or(ChapError::Malformed)?;
            // A challenge is answered once, and never our own: who has no secret must not get the
            // response to it from us.
            if theirs == bytes {
                return Err(ChapError::Reflected);
            }
            let (name, secret) = proven.mutual.as_ref().ok_or(ChapError::NoMutualSecret)?;
            answer.push("CHAP_N", name.as_str());
            answer.push("CHAP_R", to_hex(&algorithm.respond(identifier, secret, &theirs)));
        }
        Ok(Progress::Proven(proven.clone(), answer))
    }
}

/// A binary value in hexadecimal (RFC 7143 §6.1 "hex-constant").
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
}

/// A binary value in hexadecimal or base64.
pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MAX_BINARY + 2 {
        return None;
    }
    let (prefix, digits) = text.split_at_checked(2)?;
    match prefix {
        "0b" | "0B" => STANDARD.decode(digits).ok(),
        "0x" | "0X" => {
            let nibbles: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
            let mut nibbles = nibbles?;
            if nibbles.len() % 2 == 1 {
                nibbles.insert(0, 0);
            }
            Some(nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, n| byte << 4 | *n as u8)).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(mutual: bool) -> Credentials {
        Credentials {
            user: "node".into(),
            secret: ChapSecret::new("correct horse"),
            mutual: mutual.then(|| ("array".into(), ChapSecret::new("battery staple"))),
        }
    }

    fn text(pairs: &[(&str, String)]) -> Text {
        let mut text = Text::default();
        for (key, value) in pairs {
            text.push(key, value.clone());
        }
        text
    }

    /// An exchange of an initiator that offers one algorithm, up to the challenge.
    fn challenged(mutual: bool, algorithm: ChapAlgorithm) -> (Exchange, u8, Vec<u8>) {
        let mut exchange = Exchange::new(vec![candidate(mutual)], &ChapAlgorithm::ALL);
        let offer = text(&[("CHAP_A", algorithm.number().to_string())]);
        let (chosen, identifier, challenge) = challenge_of(&mut exchange, offer);
        assert_eq!(chosen, algorithm.number().to_string());
        (exchange, identifier, challenge)
    }

    fn challenge_of(exchange: &mut Exchange, mut offer: Text) -> (String, u8, Vec<u8>) {
        let Progress::Continue(mut sent) = exchange.answer(&mut offer).unwrap() else {
            panic!("a challenge comes first")
        };
        let challenge = from_text(&sent.take("CHAP_C").unwrap()).unwrap();
        (sent.take("CHAP_A").unwrap(), sent.take("CHAP_I").unwrap().parse().unwrap(), challenge)
    }

    #[test]
    fn the_response_is_the_hash_of_identifier_secret_challenge() {
        // printf '\x01abcxyz' | md5sum, sha1sum, sha256sum, openssl sha3-256
        for (algorithm, hash) in [
            (ChapAlgorithm::Md5, "0x03d42223812429705f28e4fc984933b2"),
            (ChapAlgorithm::Sha1, "0x8912d57fd488edc0d501393edebcd446497ab51a"),
            (ChapAlgorithm::Sha256, "0xa5240b7ae8cdc0c1e7fef2fd59b54a1a3f2838025f8b0882a9263a0284f32ac6"),
            (ChapAlgorithm::Sha3_256, "0xc2dba5bf8a166a11baf08a2761866f47293228224ea5fcb813199a4983e97e90"),
        ] {
            assert_eq!(to_hex(&algorithm.respond(1, &ChapSecret::new("abc"), b"xyz")), hash);
        }
    }

    #[test]
    fn the_first_algorithm_of_the_initiator_that_is_spoken_here_is_taken() {
        for (offered, spoken, chosen) in [
            ("8,7,6,5", &ChapAlgorithm::ALL[..], Some("8")),
            ("5,7", &ChapAlgorithm::ALL[..], Some("5")),
            ("9,x,7,5", &ChapAlgorithm::ALL[..], Some("7")),
            ("8,7,6,5", &[ChapAlgorithm::Md5, ChapAlgorithm::Sha1][..], Some("6")),
            ("8,7", &[ChapAlgorithm::Md5][..], None),
        ] {
            let mut exchange = Exchange::new(vec![candidate(false)], spoken);
            let mut offer = text(&[("CHAP_A", offered.into())]);
            let seen = match exchange.answer(&mut offer) {
                Ok(Progress::Continue(mut sent)) => sent.take("CHAP_A"),
                other => {
                    assert_eq!(other.unwrap_err(), ChapError::Algorithm);
                    None
                }
            };
            assert_eq!(seen.as_deref(), chosen, "{offered}");
        }
    }

    #[test]
    fn a_known_user_with_the_secret_is_proven_and_a_wrong_secret_is_not() {
        for algorithm in ChapAlgorithm::ALL {
            for (secret, proven) in [("correct horse", true), ("correct pony", false)] {
                let (mut exchange, identifier, challenge) = challenged(false, algorithm);
                let response = to_hex(&algorithm.respond(identifier, &ChapSecret::new(secret), &challenge));
                let answer = exchange.answer(&mut text(&[("CHAP_N", "node".into()), ("CHAP_R", response)]));
                assert_eq!(matches!(answer, Ok(Progress::Proven(..))), proven, "{algorithm:?} {answer:?}");
            }
        }
    }

    #[test]
    fn the_target_proves_itself_when_it_can_and_fails_when_it_cannot() {
        let algorithm = ChapAlgorithm::Sha256;
        for mutual in [true, false] {
            let (mut exchange, identifier, challenge) = challenged(mutual, algorithm);
            let response = to_hex(&algorithm.respond(identifier, &candidate(false).secret, &challenge));
            let answer = exchange.answer(&mut text(&[
                ("CHAP_N", "node".into()),
                ("CHAP_R", response),
                ("CHAP_I", "9".into()),
                ("CHAP_C", "0x0102".into()),
            ]));
            match answer {
                Ok(Progress::Proven(_, mut sent)) if mutual => {
                    assert_eq!(sent.take("CHAP_N").as_deref(), Some("array"));
                    let expected = algorithm.respond(9, &ChapSecret::new("battery staple"), &[1, 2]);
                    assert_eq!(sent.take("CHAP_R"), Some(to_hex(&expected)));
                }
                Err(ChapError::NoMutualSecret) if !mutual => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_reflected_challenge_is_refused() {
        let (mut exchange, identifier, challenge) = challenged(true, ChapAlgorithm::Md5);
        let response = to_hex(&ChapAlgorithm::Md5.respond(identifier, &candidate(false).secret, &challenge));
        let answer = exchange.answer(&mut text(&[
            ("CHAP_N", "node".into()),
            ("CHAP_R", response),
            ("CHAP_I", identifier.to_string()),
            ("CHAP_C", to_hex(&challenge)),
        ]));
        assert_eq!(answer.unwrap_err(), ChapError::Reflected);
    }

    #[test]
    fn binary_values_come_in_hex_and_base64() {
        assert_eq!(from_text("0xfA01"), Some(vec![0xfa, 1]));
        assert_eq!(from_text("0xF"), Some(vec![15]));
        assert_eq!(from_text("0bAQI="), Some(vec![1, 2]));
        for bad in ["", "0x0g", "12", "0b*", "é0"] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }
}
