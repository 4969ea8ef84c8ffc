//! What this cluster gives to copies elsewhere, or here: snapshots taken for them, and a note of who has them.

use jiff::Timestamp;
use records::untagged;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::export::ExportPolicy;
use super::nfs::NfsService;
use super::quota::{QuotaRule, QuotaTag};
use super::snapshot::{Snapshot, SnapshotSpec};
use super::svm::Svm;
use super::transfer::OfferRequest;
use super::volume::{Kind, Volume, VolumeTag};
use super::{Cluster, Refusal, SvmId, VolumeId};

/// SnapMirror's own snapshots begin so.
const OWN: &str = "snapmirror.";

/// A copy that was given something, kept where the source is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// The relationship.
    pub mirror: Uuid,
    /// The source's SVM.
    pub svm: SvmId,
    /// The source; `None`: the SVM.
    pub volume: Option<VolumeId>,
    /// Path of the copy.
    pub destination: String,
    /// The copy's cluster, by its name here; `None`: this one.
    pub cluster: Option<String>,
    /// Policy of the relationship.
    pub policy: String,
    /// Whether it is one that a snapshot goes back by.
    #[serde(default)]
    pub restore: bool,
}

untagged!(Replica);

impl Replica {
    /// Whether the volume is what is copied, or is in the SVM that is.
    fn has(&self, volume: &Volume) -> bool {
        self.svm == volume.svm && self.volume.is_none_or(|own| own == volume.id)
    }
}

/// What belongs to an SVM besides its volumes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SvmPicture {
    /// The SVM.
    pub svm: Svm,
    /// Its export policies.
    pub policies: Vec<ExportPolicy>,
    /// Its NFS service.
    pub nfs: Option<NfsService>,
}

/// A volume that is offered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offered {
    /// The volume.
    pub volume: Volume,
    /// Name of its export policy.
    pub policy: Option<String>,
    /// The latest snapshot that both have; everything is sent when there is none.
    pub base: Option<String>,
    /// What is sent, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Names of all snapshots that the copy may have.
    pub kept: Vec<String>,
    /// Its quota rules.
    #[serde(default)]
    pub quotas: Vec<QuotaRule>,
}

/// What is offered to a copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    /// The volumes.
    pub volumes: Vec<Offered>,
    /// The SVM, where it is copied whole.
    pub svm: Option<SvmPicture>,
}

impl Cluster {
    /// Takes the snapshots that a transfer sends, and says what is in it. `peer` is the cluster that asks; `None`:
    /// this one.
    ///
    /// # Errors
    /// A [`Refusal`]: no such SVM (2621462) or volume (918235), the SVMs are not peered (8), and as for
    /// [`Self::create_snapshot`].
    pub fn offer(&mut self, peer: Option<&str>, request: &OfferRequest) -> Result<Offer, Refusal> {
        let svm = self
            .find_svm_named(&request.svm)
            .cloned()
            .ok_or_else(|| Refusal::missing(2_621_462, format!("SVM \"{}\" does not exist.", request.svm)))?;
        self.admit_replica(&svm, peer, &request.destination_svm)?;
        if self.replicas.get(&request.mirror).is_some_and(|known| known.cluster.as_deref() != peer) {
            return Err(Refusal::no_entry());
        }
        let volumes = match &request.volume {
            Some(name) => {
                let missing = || {
                    let message = format!("A volume with name \"{name}\" was not found");
                    Refusal::missing(918_235, message)
                };
                vec![self.find_volume_named(svm.id, name).ok_or_else(missing)?.clone()]
            }
            None => {
                let all = self.volumes.tagged(&VolumeTag::Of(svm.id));
                let serving =
                    |volume: &&Volume| !volume.is_svm_root && volume.online && volume.kind == Kind::ReadWrite;
                all.filter(serving).cloned().collect()
            }
        };
        let replica = Replica {
            mirror: request.mirror,
            svm: svm.id,
            volume: request.volume.as_ref().and(volumes.first()).map(|volume| volume.id),
            destination: request.destination.clone(),
            cluster: peer.map(str::to_owned),
            policy: request.policy.clone(),
            restore: request.restore,
        };
        let volumes = volumes.into_iter().map(|volume| self.offered(request, volume));
        let volumes = volumes.collect::<Result<_, _>>()?;
        self.replicas.insert(request.mirror, replica);
        let picture = request.volume.is_none().then(|| SvmPicture {
            policies: self.policies.values().filter(|policy| policy.svm == svm.id).cloned().collect(),
            nfs: self.nfs_services.get(&svm.id).cloned(),
            svm,
        });
        Ok(Offer { volumes, svm: picture })
    }

    /// Whether a peered cluster has a relationship that this volume is copied by.
    pub fn is_given_to(&self, peer: &str, volume: VolumeId) -> bool {
        let Some(volume) = self.volumes.get(&volume) else { return false };
        let theirs = |replica: &&Replica| replica.cluster.as_deref() == Some(peer);
        self.replicas.values().filter(theirs).any(|replica| replica.has(volume))
    }

    /// Whether the relationship is one of that peered cluster.
    pub fn is_replica_of(&self, mirror: Uuid, peer: &str) -> bool {
        self.replicas.get(&mirror).is_some_and(|replica| replica.cluster.as_deref() == Some(peer))
    }

    /// The copy has everything up to this snapshot: earlier ones that were taken for it go.
    pub fn settle_replica(&mut self, mirror: Uuid, volume: VolumeId, last: &str) {
        let own = own_prefix(mirror);
        let earlier: Vec<_> = self
            .snapshots_of(volume)
            .into_iter()
            .filter(|snapshot| snapshot.name.starts_with(&own) && snapshot.name != last)
            .map(|snapshot| snapshot.id)
            .collect();
        for snapshot in earlier {
            // One that a clone stands on stays, and goes with a later transfer.
            let _stays = self.delete_snapshot(snapshot);
        }
    }

    /// Everything has come: a relationship by which something goes back is over.
    pub fn end_replica(&mut self, mirror: Uuid) {
        if self.replicas.get(&mirror).is_some_and(|replica| replica.restore) {
            self.replicas.remove(&mirror);
        }
    }

    /// Forgets a copy at its source, with the snapshots taken for it, unless only the note is to go.
    ///
    /// # Errors
    /// A [`Refusal`] (4) when it is not there.
    pub fn release_replica(&mut self, mirror: Uuid, with_snapshots: bool) -> Result<(), Refusal> {
        let replica = self.replicas.remove(&mirror).ok_or_else(Refusal::no_entry)?;
        if with_snapshots {
            let of_svm = self.volumes.tagged(&VolumeTag::Of(replica.svm)).map(|volume| volume.id);
            for volume in of_svm.collect::<Vec<_>>() {
                self.settle_replica(mirror, volume, "");
            }
        }
        Ok(())
    }

    /// `SVM:VOLUME` or `SVM:` of the source of a copy.
    pub fn source_path(&self, replica: &Replica) -> String {
        let volume = replica.volume.and_then(|id| self.volumes.get(&id));
        format!("{}:{}", self.svm_name(replica.svm), volume.map_or("", |volume| volume.name.as_str()))
    }

    fn offered(&mut self, request: &OfferRequest, volume: Volume) -> Result<Offered, Refusal> {
        if request.restore {
            return self.offered_back(request, volume);
        }
        let time = self.now.strftime("%Y-%m-%d_%H%M%S%.6f").to_string();
        let spec = SnapshotSpec {
            volume: volume.id,
            name: format!("{}{}", own_prefix(request.mirror), time),
            comment: String::new(),
            label: "sm_created".into(),
            expiry: None,
        };
        self.create_snapshot(spec)?;
        let there: Vec<_> = self.snapshots_of(volume.id).into_iter().cloned().collect();
        let held = request.held.iter().find(|(name, _)| *name == volume.name);
        let held = held.map(|(_, snapshots)| snapshots.as_slice()).unwrap_or_default();
        let common = |snapshot: &Snapshot| held.contains(&(snapshot.name.clone(), snapshot.created));
        let base = there.iter().rposition(common);
        let new = there.iter().skip(base.map_or(0, |base| base.saturating_add(1)));
        let snapshots: Vec<_> = if request.all_snapshots {
            new.cloned().collect()
        } else {
            new.last().into_iter().cloned().collect()
        };
        let base = base.and_then(|base| there.get(base)).map(|snapshot| snapshot.name.clone());
        let mut kept: Vec<_> = there.iter().map(|snapshot| snapshot.name.clone()).collect();
        if !request.all_snapshots {
            kept.retain(|name| {
                base.as_ref() == Some(name) || snapshots.iter().any(|snapshot| snapshot.name == *name)
            });
        }
        let policy = self.policies.get(&volume.policy).map(|policy| policy.name.clone());
        let quotas = self.quota_rules.tagged(&QuotaTag::In(volume.id)).cloned().collect();
        Ok(Offered { volume, policy, base, snapshots, kept, quotas })
    }

    fn admit_replica(&self, svm: &Svm, peer: Option<&str>, destination: &str) -> Result<(), Refusal> {
        if peer.is_none() && svm.name == destination {
            return Ok(());
        }
        let peered = self.svm_peers.values().any(|known| {
            // A peer within the cluster is noted with one of the two.
            let one = known.svm == svm.id && known.peer == destination;
            let other = known.peer == svm.name && self.svm_name(known.svm) == destination && peer.is_none();
            known.cluster.as_deref() == peer && known.state == "peered" && (one || other)
        });
        if peered {
            return Ok(());
        }
        let message = format!("SVM \"{}\" is not peered with SVM \"{destination}\" for SnapMirror", svm.name);
        Err(Refusal::conflict(8, message))
    }
}

fn own_prefix(mirror: Uuid) -> String {
    format!("{OWN}{mirror}.")
}

/// When a snapshot that both have was taken: for the lag of a copy.
pub fn lag(now: Timestamp, exported_at: Timestamp) -> String {
    let seconds = now.duration_since(exported_at).as_secs().max(0);
    let (hours, rest) = (seconds / 3_600, seconds % 3_600);
    format!("PT{hours}H{}M{}S", rest / 60, rest % 60)
}
