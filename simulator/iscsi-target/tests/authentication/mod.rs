//! CHAP over the wire, with hashes computed here and not by the target's code.

use iscsi_target::{ChapAlgorithm, Options};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;

use crate::initiator::{Initiator, NODE_A, Offer};
use crate::{Array, Auth, ChapSecret, IQN};

const ALGORITHMS: [u8; 4] = [5, 6, 7, 8];

fn hash(algorithm: u8, identifier: u8, secret: &str, challenge: &[u8]) -> Vec<u8> {
    let message = [&[identifier], secret.as_bytes(), challenge].concat();
    match algorithm {
        5 => Md5::digest(message).to_vec(),
        6 => Sha1::digest(message).to_vec(),
        7 => Sha256::digest(message).to_vec(),
        _ => Sha3_256::digest(message).to_vec(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.strip_prefix("0x").unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn value(text: &[u8], key: &str) -> Option<String> {
    let text = std::str::from_utf8(text).unwrap();
    text.split('\0').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
}

async fn with_chap(options: Options) -> Array {
    let array = Array::with_options(options).await;
    let mutual = Some(("array".to_owned(), ChapSecret::new("target-secret")));
    let auth = Auth::Chap { user: "node".into(), secret: ChapSecret::new("initiator-sec"), mutual };
    array.put(IQN, auth, vec![]);
    array
}

/// Logs in with CHAP; the status, and what the target proved itself with.
async fn log_in(array: &Array, offered: &str, secret: &str, mutual: bool) -> ([u8; 2], Option<Vec<u8>>) {
    let mut node = Initiator::dial(array.portal, Offer::of(NODE_A, IQN)).await;
    let names = format!("InitiatorName={NODE_A}\0TargetName={IQN}\0AuthMethod=CHAP,None\0");
    let answer = node.log_in_step(0x00, &names).await.unwrap();
    assert_eq!(value(&answer.data, "AuthMethod").as_deref(), Some("CHAP"));
    let answer = node.log_in_step(0x00, &format!("CHAP_A={offered}\0")).await.unwrap();
    if answer.header[36] != 0 {
        return ([answer.header[36], answer.header[37]], None);
    }
    let algorithm = value(&answer.data, "CHAP_A").unwrap().parse().unwrap();
    let identifier = value(&answer.data, "CHAP_I").unwrap().parse().unwrap();
    let challenge = bytes(&value(&answer.data, "CHAP_C").unwrap());
    let response = hex(&hash(algorithm, identifier, secret, &challenge));
    let mut text = format!("CHAP_N=node\0CHAP_R={response}\0");
    if mutual {
        text += "CHAP_I=77\0CHAP_C=0x00112233445566778899aabbccddeeff\0";
    }
    let answer = node.log_in_step(0x81, &text).await.unwrap();
    let proof = value(&answer.data, "CHAP_R").map(|proof| bytes(&proof));
    ([answer.header[36], answer.header[37]], proof)
}

#[tokio::test]
async fn every_algorithm_admits_the_secret_alone_and_proves_the_target() {
    let array = with_chap(Options::default()).await;
    let challenge = bytes("0x00112233445566778899aabbccddeeff");
    for algorithm in ALGORITHMS {
        let offered = algorithm.to_string();
        assert_eq!(log_in(&array, &offered, "initiator-sec", false).await, ([0, 0], None));
        let proof = Some(hash(algorithm, 77, "target-secret", &challenge));
        assert_eq!(log_in(&array, &offered, "initiator-sec", true).await, ([0, 0], proof));
        assert_eq!(log_in(&array, &offered, "initiator-sex", true).await, ([2, 1], None));
    }
    assert_eq!(log_in(&array, "9", "initiator-sec", false).await, ([2, 1], None));
}

#[tokio::test]
async fn a_server_may_refuse_weak_algorithms() {
    let chap = vec![ChapAlgorithm::Sha256];
    let array = with_chap(Options { chap, ..Options::default() }).await;
    assert_eq!(log_in(&array, "5,6", "initiator-sec", false).await, ([2, 1], None));
    assert_eq!(log_in(&array, "5,6,7,8", "initiator-sec", false).await, ([0, 0], None));
}
