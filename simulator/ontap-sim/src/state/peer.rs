//! Peers: other clusters, and SVMs here or there, that data are replicated with.

use std::net::IpAddr;

use records::untagged;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, DataPlaneChange, Errand, Refusal, SvmId};

/// Another cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterPeer {
    /// Identifier of the relation.
    pub id: Uuid,
    /// Its name here.
    pub name: String,
    /// Its intercluster addresses, as they were given: an address, or address and port.
    pub addresses: Vec<String>,
    /// What both prove themselves with; never shown.
    pub passphrase: Option<String>,
    /// Address ranges, seconds until the passphrase may no longer be used: as given, for show.
    pub encryption: bool,
    /// The name that the other gives itself, once it has told.
    #[serde(default)]
    pub remote: Option<String>,
    /// Whether its name here was made up until the other tells its own.
    #[serde(default)]
    pub unnamed: bool,
    /// Why it could not be reached when it was last asked for something.
    #[serde(default)]
    pub unreachable: Option<String>,
}

/// An SVM that replicates with one of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SvmPeer {
    /// Identifier of the relation.
    pub id: Uuid,
    /// Ours.
    pub svm: SvmId,
    /// Name of the other.
    pub peer: String,
    /// Name of the other's cluster; `None`: it is here.
    pub cluster: Option<String>,
    /// What it is for: `snapmirror`, `file_copy`, `flexcache`, `lun_copy`.
    pub applications: Vec<String>,
    /// `peered` or `suspended`.
    pub state: String,
}

untagged!(ClusterPeer, SvmPeer);

/// What peers can be for.
const APPLICATIONS: [&str; 4] = ["snapmirror", "file_copy", "lun_copy", "flexcache"];

impl Cluster {
    /// Makes a relation to another cluster.
    ///
    /// # Errors
    /// A [`Refusal`]: no or bad addresses, a name in use (1), a passphrase shorter than eight characters.
    pub fn create_cluster_peer(
        &mut self,
        name: Option<String>,
        addresses: Vec<String>,
        passphrase: Option<String>,
    ) -> Result<Uuid, Refusal> {
        admit_addresses(&addresses)?;
        if passphrase.as_ref().is_some_and(|passphrase| passphrase.chars().count() < 8) {
            let message = "The passphrase must have at least 8 characters";
            return Err(Refusal::request(2, message).about("authentication.passphrase"));
        }
        let id = self.mint.edit().uuid();
        let unnamed = name.is_none();
        let name = name.unwrap_or_else(|| format!("cluster-{}", self.cluster_peers.len().saturating_add(1)));
        if self.cluster_peers.values().any(|peer| peer.name == name) {
            let message = format!("A peer relation named \"{name}\" already exists");
            return Err(Refusal::conflict(1, message).about("name"));
        }
        let proved = passphrase.is_some();
        let (remote, unreachable) = (None, None);
        let peer =
            ClusterPeer { id, name, addresses, passphrase, encryption: false, remote, unnamed, unreachable };
        self.cluster_peers.insert(id, peer);
        if proved {
            self.change(DataPlaneChange::Errand(Errand::Greet(id)));
        }
        Ok(id)
    }

    /// Changes a relation to another cluster. What is absent stays.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_cluster_peer`].
    pub fn modify_cluster_peer(
        &mut self,
        id: Uuid,
        name: Option<String>,
        addresses: Option<Vec<String>>,
        passphrase: Option<String>,
    ) -> Result<(), Refusal> {
        if let Some(addresses) = &addresses {
            admit_addresses(addresses)?;
        }
        let mut peer = self.cluster_peers.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        peer.name = name.unwrap_or_else(|| peer.name.clone());
        peer.addresses = addresses.unwrap_or_else(|| peer.addresses.clone());
        peer.passphrase = passphrase.or_else(|| peer.passphrase.clone());
        drop(peer);
        self.change(DataPlaneChange::Errand(Errand::Greet(id)));
        Ok(())
    }

    /// Ends a relation to another cluster.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), SVMs are peered over it (8).
    pub fn delete_cluster_peer(&mut self, id: Uuid) -> Result<(), Refusal> {
        let name = self.cluster_peers.get(&id).ok_or_else(Refusal::no_entry)?.name.clone();
        if self.svm_peers.values().any(|peer| peer.cluster.as_ref() == Some(&name)) {
            let message = format!("SVMs are peered with cluster \"{name}\"");
            return Err(Refusal::conflict(8, message));
        }
        self.cluster_peers.remove(&id);
        Ok(())
    }

    /// Peers an SVM with another, here or in a peered cluster.
    ///
    /// # Errors
    /// A [`Refusal`]: an unknown cluster or application, peered already (1).
    pub fn create_svm_peer(
        &mut self,
        svm: SvmId,
        peer: &str,
        cluster: Option<String>,
        applications: Vec<String>,
    ) -> Result<Uuid, Refusal> {
        // A peer of this cluster's own name is meant, where there is one.
        let known = cluster.as_deref().and_then(|name| self.named_peer(name)).map(|peer| peer.name.clone());
        let foreign = cluster.filter(|name| known.is_some() || *name != self.about.name);
        let cluster = match (known, foreign) {
            (None, Some(name)) => {
                let message = format!("Cluster \"{name}\" is not a peer");
                return Err(Refusal::missing(4, message).about("peer.cluster.name"));
            }
            (known, _) => known,
        };
        match &cluster {
            None if self.find_svm_named(peer).is_none() => {
                let message = format!("SVM \"{peer}\" does not exist.");
                return Err(Refusal::missing(2_621_462, message).about("peer.svm.name"));
            }
            _ => {}
        }
        admit_applications(&applications)?;
        let twin = |other: &SvmPeer| other.svm == svm && other.peer == peer && other.cluster == cluster;
        if self.svm_peers.values().any(twin) {
            let message = format!("SVM \"{}\" is peered with \"{peer}\" already", self.svm_name(svm));
            return Err(Refusal::conflict(1, message));
        }
        let id = self.mint.edit().uuid();
        let state = "peered".to_owned();
        let elsewhere = cluster.is_some();
        self.svm_peers.insert(id, SvmPeer { id, svm, peer: peer.to_owned(), cluster, applications, state });
        if elsewhere {
            self.change(DataPlaneChange::Errand(Errand::Introduce(id)));
        }
        Ok(id)
    }

    /// Changes what an SVM's peer is for, or suspends and resumes it.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), an unknown application or state.
    pub fn modify_svm_peer(
        &mut self,
        id: Uuid,
        applications: Option<Vec<String>>,
        state: Option<String>,
    ) -> Result<(), Refusal> {
        if let Some(applications) = &applications {
            admit_applications(applications)?;
        }
        if let Some(state) = state.as_ref().filter(|state| !["peered", "suspended"].contains(&state.as_str()))
        {
            return Err(Refusal::invalid("state", state));
        }
        let mut peer = self.svm_peers.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        peer.applications = applications.unwrap_or_else(|| peer.applications.clone());
        peer.state = state.unwrap_or_else(|| peer.state.clone());
        Ok(())
    }

    /// Ends the relation of an SVM with another.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_svm_peer(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.svm_peers.remove(&id).map(drop).ok_or_else(Refusal::no_entry)
    }

    /// The peered cluster of this name: the one it has here, or the one that it gives itself.
    pub fn named_peer(&self, name: &str) -> Option<&ClusterPeer> {
        let here = self.cluster_peers.values().find(|peer| peer.name == name);
        here.or_else(|| self.cluster_peers.values().find(|peer| peer.remote.as_deref() == Some(name)))
    }

    /// Notes how a peered cluster calls itself, or why it does not answer.
    pub fn note_greeting(&mut self, id: Uuid, outcome: Result<String, String>) {
        let name = match outcome {
            Ok(name) => name,
            Err(reason) => {
                if let Some(mut peer) = self.cluster_peers.get_mut(&id) {
                    peer.unreachable = Some(reason);
                }
                return;
            }
        };
        let free = !self.cluster_peers.values().any(|peer| peer.id != id && peer.name == name);
        let Some(mut peer) = self.cluster_peers.get_mut(&id) else { return };
        peer.unreachable = None;
        peer.remote = Some(name.clone());
        if !peer.unnamed || !free {
            return;
        }
        peer.unnamed = false;
        let before = std::mem::replace(&mut peer.name, name.clone());
        drop(peer);
        let known = self.svm_peers.values().filter(|peer| peer.cluster.as_ref() == Some(&before));
        for id in known.map(|peer| peer.id).collect::<Vec<_>>() {
            if let Some(mut peer) = self.svm_peers.get_mut(&id) {
                peer.cluster = Some(name.clone());
            }
        }
    }

    /// Notes that a peered cluster has peered an SVM of its own with one here. On an array somebody here accepts
    /// that first.
    ///
    /// # Errors
    /// A [`Refusal`]: no such SVM (2621462), an unknown application.
    pub fn accept_svm_peer(
        &mut self,
        cluster: &str,
        svm: &str,
        peer: &str,
        applications: Vec<String>,
    ) -> Result<(), Refusal> {
        let own = self
            .find_svm_named(svm)
            .ok_or_else(|| Refusal::missing(2_621_462, format!("SVM \"{svm}\" does not exist.")))?;
        let own = own.id;
        admit_applications(&applications)?;
        let known = |other: &SvmPeer| {
            other.svm == own && other.peer == peer && other.cluster.as_deref() == Some(cluster)
        };
        if !self.svm_peers.values().any(known) {
            let (id, state) = (self.mint.edit().uuid(), "peered".to_owned());
            let (peer, cluster) = (peer.to_owned(), Some(cluster.to_owned()));
            self.svm_peers.insert(id, SvmPeer { id, svm: own, peer, cluster, applications, state });
        }
        Ok(())
    }

    pub(super) fn forget_peers_of(&mut self, svm: SvmId) {
        let ids: Vec<_> =
            self.svm_peers.values().filter(|peer| peer.svm == svm).map(|peer| peer.id).collect();
        ids.iter().for_each(|id| drop(self.svm_peers.remove(id)));
    }
}

fn admit_addresses(addresses: &[String]) -> Result<(), Refusal> {
    let good = |text: &String| text.parse::<IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok();
    match addresses.iter().find(|text| !good(text)) {
        Some(bad) => Err(Refusal::invalid("remote.ip_addresses", bad)),
        None if addresses.is_empty() => Err(Refusal::required("remote.ip_addresses")),
        None => Ok(()),
    }
}

fn admit_applications(applications: &[String]) -> Result<(), Refusal> {
    match applications.iter().find(|name| !APPLICATIONS.contains(&name.as_str())) {
        Some(bad) => Err(Refusal::invalid("applications", bad)),
        None if applications.is_empty() => Err(Refusal::required("applications")),
        None => Ok(()),
    }
}
