//! SnapMirror between arrays: two simulators talk over the management API's own port, below `/replication/v1`.
//!
//! ```text
//! state ─ Errand → courier ─┬─ offer    the source takes a snapshot and says what it will send
//!                           ├─ content  snapshots of one volume's files, whole or what differs
//!                           ├─ blocks   the same of one LUN, snapshot by snapshot
//!                           ├─ (here)   taken in beside the copies, then seen: one change of the state
//!                           └─ settle   the source lets go of earlier snapshots
//! ```
//!
//! Every question and every answer is proved with the passphrase of the cluster peers, and nobody is answered
//! without one. An array speaks a protocol of its own between clusters, on ports of its own; no client sees it.

mod blocks;
mod courier;
mod door;
mod link;

pub(crate) use blocks::{BlocksError, put as put_blocks};
pub(crate) use courier::Courier;
pub(crate) use door::router;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::state::{LunId, VolumeId};

/// Where peers talk.
const PATH: &str = "/replication/v1/";
/// The header with what makes a proof good for one question only.
const NONCE: &str = "x-peer-nonce";
/// The header with the proof.
const PROOF: &str = "x-peer-proof";

/// `hello`, and its answer.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// The name of who speaks.
    name: String,
}

/// `introduce`: an SVM there is peered with one here.
#[derive(Debug, Serialize, Deserialize)]
struct Introduction {
    /// The SVM of who is asked.
    svm: String,
    /// The SVM of who asks.
    peer: String,
    /// What the peers are for.
    applications: Vec<String>,
}

/// `content`: snapshots of a volume.
#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    volume: VolumeId,
    base: Option<String>,
    snapshots: Vec<String>,
}

/// `blocks`: a LUN of a volume as a snapshot has it.
#[derive(Debug, Serialize, Deserialize)]
struct WantedBlocks {
    volume: VolumeId,
    lun: LunId,
    base: Option<String>,
    snapshot: String,
}

/// `settle`: a copy has everything up to these snapshots.
#[derive(Debug, Serialize, Deserialize)]
struct Settled {
    mirror: Uuid,
    last: Vec<(VolumeId, String)>,
}

/// Why a question was refused.
#[derive(Debug, Serialize, Deserialize)]
struct Denial {
    code: u64,
    message: String,
}

/// What only somebody with the passphrase can say of these bytes, in hexadecimal.
fn proof(passphrase: &str, parts: &[&[u8]]) -> String {
    keyed(passphrase, parts).map_or_else(String::new, |mac| {
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// Whether `given` is that, told without a branch on where it differs.
fn proves(passphrase: &str, parts: &[&[u8]], given: &str) -> bool {
    let digit =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = given.as_bytes().chunks(2).map(digit).collect();
    match (keyed(passphrase, parts), bytes) {
        (Some(mac), Some(bytes)) => mac.verify_slice(&bytes).is_ok(),
        _ => false,
    }
}

fn keyed(passphrase: &str, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    // Keys of every length are good.
    let mut mac = Hmac::<Sha256>::new_from_slice(passphrase.as_bytes()).ok()?;
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    Some(mac)
}

/// Seconds for which a question is good.
const FRESH: i64 = 300;

/// What makes a proof good for one question: when it was asked, and a random number.
fn nonce() -> String {
    format!("{}.{:032x}", Timestamp::now().as_second(), rand::random::<u128>())
}

/// Whether a question was asked just now.
fn is_fresh(nonce: &str) -> bool {
    let asked = nonce.split('.').next().and_then(|seconds| seconds.parse::<i64>().ok());
    asked.is_some_and(|asked| Timestamp::now().as_second().saturating_sub(asked).saturating_abs() <= FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_passphrase_and_its_bytes_alone() {
        let made = proof("secret-1", &[b"a", b"bc"]);
        assert!(proves("secret-1", &[b"a", b"bc"], &made));
        assert!(!proves("secret-2", &[b"a", b"bc"], &made));
        assert!(!proves("secret-1", &[b"ab", b"c"], &made));
        assert!(!proves("secret-1", &[b"a", b"bc"], ""));
        assert!(!proves("secret-1", &[b"a", b"bc"], "zz"));
    }

    #[test]
    fn a_question_grows_stale() {
        assert!(is_fresh(&nonce()));
        assert!(!is_fresh("12.ab") && !is_fresh("") && !is_fresh("-9223372036854775808.x"));
    }
}
