//! Register: a node says who it is, and gets the token its later calls prove it with.

use std::net::IpAddr;

use contract::{Iqn, NodeId, Secret};
use fleet_proto::fleet::RegisterRequest;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{FleetError, now};
use crate::controller::Controller;
use crate::store::{NodeRecord, PublicationRecord};

/// A node without an open stream counts as live for this long after its last word, seconds.
const LIVE_SECONDS: i64 = 60;
/// Shortest key a name is bound to, characters.
const SHORTEST_KEY: usize = 32;
/// Most addresses a node may name.
const ADDRESS_LIMIT: usize = 64;

impl Controller {
    /// Records the node and answers its new token.
    pub(super) async fn register_node(
        &self,
        join_token: &Secret,
        request: RegisterRequest,
    ) -> Result<Secret, FleetError> {
        let given = Sha256::digest(request.join_token.as_bytes());
        if !bool::from(given.ct_eq(&Sha256::digest(join_token.expose().as_bytes()))) {
            return Err(FleetError::WrongJoinToken);
        }
        let malformed = |text: String| FleetError::Malformed(text);
        let id: NodeId = request.node_id.parse().map_err(|error| malformed(format!("node_id: {error}")))?;
        let iqn = match request.iqn.as_str() {
            "" => None,
            text => Some(text.parse::<Iqn>().map_err(|error| malformed(format!("iqn: {error}")))?),
        };
        if request.addresses.len() > ADDRESS_LIMIT {
            return Err(malformed(format!("addresses: more than {ADDRESS_LIMIT}")));
        }
        let addresses = request
            .addresses
            .iter()
            .map(|text| {
                text.parse::<IpAddr>()
                    .map_err(|_| malformed(format!("addresses: `{text}` is not an IP address")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if request.node_key.len() < SHORTEST_KEY {
            return Err(malformed(format!("node_key: shorter than {SHORTEST_KEY} characters")));
        }
        let key_digest = digest(&request.node_key);
        // Two nodes that register at once must not both find the name free.
        let _one_at_a_time = self.registrations().await;
        // The join token lets a node in, not into another node's place.
        if let Some(known) = self.store.find::<NodeRecord>(id.as_str()).await?
            && !bool::from(known.key_digest.as_bytes().ct_eq(key_digest.as_bytes()))
        {
            return Err(FleetError::NameTaken { node: id });
        }
        if let Some(iqn) = &iqn {
            self.require_free(iqn, &id).await?;
        }
        let token = Secret::new(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()));
        self.store
            .put(&NodeRecord {
                id: id.clone(),
                iqn,
                addresses,
                protocols: request.protocols,
                agent_version: request.agent_version,
                kernel: request.kernel,
                token_digest: digest(token.expose()),
                key_digest,
                registered: now(),
            })
            .await?;
        self.fleet.change(&id, |_| ());
        tracing::info!(node = %id, "node registered");
        Ok(token)
    }

    /// Two initiators of one name share sessions and reservations: the second is refused. The name
    /// of a node that is gone and uses nothing is free again.
    async fn require_free(&self, iqn: &Iqn, id: &NodeId) -> Result<(), FleetError> {
        for mut other in self.store.all::<NodeRecord>().await? {
            if other.id == *id || other.iqn.as_ref() != Some(iqn) {
                continue;
            }
            let presence = self.fleet.presence(&other.id);
            let last_word = presence.last_seen.max(other.registered);
            let publications = self.store.all::<PublicationRecord>().await?;
            if presence.is_connected()
                || now() - last_word < LIVE_SECONDS
                || publications.iter().any(|publication| publication.node == other.id)
            {
                return Err(FleetError::DuplicateIqn { iqn: iqn.clone(), holder: other.id });
            }
            other.iqn = None;
            self.store.put(&other).await?;
        }
        Ok(())
    }

    /// Forgets a node, so that another agent can have its name. Answers whether it was known.
    ///
    /// # Errors
    /// [`FleetError::NodeInUse`] while its agent is connected or a volume is published to it.
    pub(crate) async fn forget_node(&self, id: &NodeId) -> Result<bool, FleetError> {
        let _one_at_a_time = self.registrations().await;
        if self.store.find::<NodeRecord>(id.as_str()).await?.is_none() {
            return Ok(false);
        }
        let in_use = |by| Err(FleetError::NodeInUse { node: id.clone(), by });
        if self.fleet.presence(id).is_connected() {
            return in_use("its agent is connected: stop it first".to_owned());
        }
        let publications = self.store.all::<PublicationRecord>().await?;
        let here = publications.into_iter().filter(|publication| publication.node == *id);
        let volumes: Vec<_> = here.map(|publication| publication.volume.to_string()).collect();
        if !volumes.is_empty() {
            return in_use(format!("volumes are published to it: {}", volumes.join(", ")));
        }
        self.store.remove::<NodeRecord>(id.as_str()).await?;
        tracing::info!(node = %id, "node forgotten");
        Ok(true)
    }

    /// The node whose token this is, if it is the one of its last registration.
    pub(super) async fn authenticate(
        &self,
        node: &str,
        token: Option<&str>,
    ) -> Result<NodeRecord, FleetError> {
        let record = self.store.find::<NodeRecord>(node).await?.ok_or(FleetError::Unauthenticated)?;
        let given = digest(token.unwrap_or_default());
        if bool::from(given.as_bytes().ct_eq(record.token_digest.as_bytes())) {
            return Ok(record);
        }
        Err(FleetError::Unauthenticated)
    }
}

fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
