//! CHAP (RFC 1994 with RFC 7143 §12.1.3): challenge, response, and the binary values of both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rand::RngExt;
use subtle::ConstantTimeEq;

use crate::target::{Auth, ChapSecret};
use crate::text::Text;

/// CHAP_A: MD5, the one algorithm every initiator has.
const MD5: &str = "5";
/// Bytes in our challenge.
const CHALLENGE: usize = 16;
/// Longest challenge we answer (RFC 7143 §12.1.3: 1024).
const MAX_BINARY: usize = 1024;

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
    #[error("no CHAP algorithm in common: MD5 (5) is spoken here")]
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
    challenge: Option<(u8, [u8; CHALLENGE])>,
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
    /// An exchange that accepts any of the candidates.
    pub(crate) fn new(candidates: Vec<Credentials>) -> Self {
        Self { candidates, challenge: None }
    }

    /// Takes the initiator's CHAP keys out of `text` and answers them.
    pub(crate) fn answer(&mut self, text: &mut Text) -> Result<Progress, ChapError> {
        match self.challenge {
            None => self.challenge(text).map(Progress::Continue),
            Some((identifier, challenge)) => self.verify(text, identifier, &challenge),
        }
    }

    fn challenge(&mut self, text: &mut Text) -> Result<Text, ChapError> {
        let offered = text.take("CHAP_A").ok_or(ChapError::Malformed)?;
        if !offered.split(',').any(|algorithm| algorithm.trim() == MD5) {
            return Err(ChapError::Algorithm);
        }
        let mut random = rand::rng();
        let (identifier, challenge) = (random.random::<u8>(), random.random::<[u8; CHALLENGE]>());
        self.challenge = Some((identifier, challenge));
        let mut answer = Text::default();
        answer.push("CHAP_A", MD5);
        answer.push("CHAP_I", identifier.to_string());
        answer.push("CHAP_C", to_hex(&challenge));
        Ok(answer)
    }

    fn verify(&self, text: &mut Text, identifier: u8, challenge: &[u8]) -> Result<Progress, ChapError> {
        let user = text.take("CHAP_N").ok_or(ChapError::Malformed)?;
        let response = text.take("CHAP_R").as_deref().and_then(from_text).ok_or(ChapError::Malformed)?;
        let proven = self
            .candidates
            .iter()
            .find(|candidate| {
                candidate.user == user
                    && bool::from(respond(identifier, &candidate.secret, challenge)[..].ct_eq(&response))
            })
            .ok_or(ChapError::Wrong)?;
        let mut answer = Text::default();
        if let Some(theirs) = text.take("CHAP_C") {
            let identifier = text.take("CHAP_I").and_then(|id| id.trim().parse::<u8>().ok());
            let identifier = identifier.ok_or(ChapError::Malformed)?;
            let theirs = from_text(&theirs).ok_or(ChapError::Malformed)?;
            if theirs == challenge {
                return Err(ChapError::Reflected);
            }
            let (name, secret) = proven.mutual.as_ref().ok_or(ChapError::NoMutualSecret)?;
            answer.push("CHAP_N", name.as_str());
            answer.push("CHAP_R", to_hex(&respond(identifier, secret, &theirs)));
        }
        Ok(Progress::Proven(proven.clone(), answer))
    }
}

/// MD5 of identifier, secret, challenge (RFC 1994 §4.1).
pub(crate) fn respond(identifier: u8, secret: &ChapSecret, challenge: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update([identifier]);
    hash.update(secret.bytes());
    hash.update(challenge);
    hash.finalize().into()
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

    fn challenged(mutual: bool) -> (Exchange, u8, Vec<u8>) {
        let mut exchange = Exchange::new(vec![candidate(mutual)]);
        let Progress::Continue(mut sent) = exchange.answer(&mut text(&[("CHAP_A", "7,5".into())])).unwrap()
        else {
            panic!("a challenge comes first")
        };
        assert_eq!(sent.take("CHAP_A").as_deref(), Some("5"));
        let identifier = sent.take("CHAP_I").unwrap().parse().unwrap();
        (exchange, identifier, from_text(&sent.take("CHAP_C").unwrap()).unwrap())
    }

    #[test]
    fn the_rfc_formula_is_md5_of_identifier_secret_challenge() {
        // md5("\x01" "abc" "xyz"), by md5sum.
        assert_eq!(
            to_hex(&respond(1, &ChapSecret::new("abc"), b"xyz")),
            "0x03d42223812429705f28e4fc984933b2"
        );
    }

    #[test]
    fn a_known_user_with_the_secret_is_proven_and_a_wrong_secret_is_not() {
        for (secret, proven) in [("correct horse", true), ("correct pony", false)] {
            let (mut exchange, identifier, challenge) = challenged(false);
            let response = to_hex(&respond(identifier, &ChapSecret::new(secret), &challenge));
            let answer = exchange.answer(&mut text(&[("CHAP_N", "node".into()), ("CHAP_R", response)]));
            assert_eq!(matches!(answer, Ok(Progress::Proven(..))), proven, "{answer:?}");
        }
    }

    #[test]
    fn the_target_proves_itself_when_it_can_and_fails_when_it_cannot() {
        for mutual in [true, false] {
            let (mut exchange, identifier, challenge) = challenged(mutual);
            let response = to_hex(&respond(identifier, &candidate(false).secret, &challenge));
            let answer = exchange.answer(&mut text(&[
                ("CHAP_N", "node".into()),
                ("CHAP_R", response),
                ("CHAP_I", "9".into()),
                ("CHAP_C", "0x0102".into()),
            ]));
            match answer {
                Ok(Progress::Proven(_, mut sent)) if mutual => {
                    assert_eq!(sent.take("CHAP_N").as_deref(), Some("array"));
                    let expected = respond(9, &ChapSecret::new("battery staple"), &[1, 2]);
                    assert_eq!(sent.take("CHAP_R"), Some(to_hex(&expected)));
                }
                Err(ChapError::NoMutualSecret) if !mutual => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_reflected_challenge_is_refused() {
        let (mut exchange, identifier, challenge) = challenged(true);
        let response = to_hex(&respond(identifier, &candidate(false).secret, &challenge));
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
