//! The iSCSI side: one target per volume on the SVIP, LUN 0, CHAP by account; no ALUA. Every volume
//! has a governor that keeps its QoS and counts what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blockstore::{PowerCut, StoreError, Volume};
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Governor, Identity, IscsiServer, Lun, PortalFault, Redirect,
    SessionInfo, Target, Transfer, Visibility,
};
use parking_lot::Mutex;
use tracing::error;

use crate::contents::{ContentError, Contents};
use crate::pace::{ClusterPace, VolumePace};
use crate::state::{
    ContentId, DataPlaneChange, DataPlaneView, Export, LogicalBlock, Login, Qos, VolumeId, home_of,
};
use crate::traffic::{Counter, Traffic};

/// The volumes' content and the server that shows it.
#[derive(Debug)]
pub struct DataPlane {
    server: IscsiServer,
    svip: SocketAddr,
    /// Where the nodes serve iSCSI; none: the SVIP serves all.
    nodes: Vec<SocketAddr>,
    stored: Contents,
    contents: Mutex<BTreeMap<VolumeId, Content>>,
    all: Arc<Everything>,
}

#[derive(Debug)]
struct Content {
    volume: Volume,
    iqn: String,
    hand: Arc<Hand>,
}

/// The cluster's hand on one volume.
#[derive(Debug)]
struct Hand {
    all: Arc<Everything>,
    own: Mutex<(VolumePace, Counter)>,
}

/// What the volumes share.
#[derive(Debug)]
struct Everything {
    pace: ClusterPace,
    iops: u32,
    counter: Mutex<Counter>,
}

impl Hand {
    fn new(all: Arc<Everything>, qos: Qos) -> Self {
        let now = Instant::now();
        Self { all, own: Mutex::new((VolumePace::new(qos, now), Counter::new(now))) }
    }
}

impl Governor for Hand {
    fn admit(&self, transfer: Transfer, now: Instant) -> Duration {
        let mut own = self.own.lock();
        let wait = own.0.admit(transfer.bytes, &self.all.pace, now);
        own.1.add(transfer, wait, now);
        self.all.counter.lock().add(transfer, wait, now);
        wait
    }
}

impl DataPlane {
    /// A data plane without volumes; `server` listens on `svip` already. All volumes together do at
    /// most `iops` operations of 4 KiB a second.
    pub fn new(server: IscsiServer, svip: SocketAddr, iops: u32) -> Self {
        let now = Instant::now();
        let all =
            Everything { pace: ClusterPace::new(iops, now), iops, counter: Mutex::new(Counter::new(now)) };
        Self {
            server,
            svip,
            nodes: Vec::new(),
            stored: Contents::default(),
            contents: Mutex::default(),
            all: Arc::new(all),
        }
    }

    /// The same, with nodes behind the SVIP, which sends initiators to the node of their volume:
    /// `server` listens on `nodes` already.
    pub fn with_nodes(self, nodes: Vec<SocketAddr>) -> Self {
        Self { nodes, ..self }
    }

    /// The same, with these contents.
    #[must_use]
    pub fn with_contents(self, stored: Contents) -> Self {
        Self { stored, ..self }
    }

    /// Makes the contents and snapshots that changes ask for, all or none: before the state that names
    /// them is durable.
    ///
    /// # Errors
    /// [`ContentError`]; then nothing was made.
    pub fn make(&self, changes: &[DataPlaneChange]) -> Result<(), ContentError> {
        self.stored.make(changes)
    }

    /// Takes back what [`Self::make`] made.
    pub fn unmake(&self, changes: &[DataPlaneChange]) {
        self.stored.unmake(changes);
    }

    /// Carries out one change whose contents are made. When this returns, initiators see it.
    pub fn apply(&self, change: DataPlaneChange) {
        match change {
            DataPlaneChange::Publish(export) => self.publish(export),
            DataPlaneChange::Withdraw(volume) => {
                let iqn = self.contents.lock().get(&volume).map(|content| content.iqn.clone());
                if let Some(iqn) = iqn {
                    self.server.remove_target(&iqn);
                }
            }
            DataPlaneChange::Hold { volume, content, .. } => self.hold(volume, content),
            DataPlaneChange::Release(volume) => {
                self.contents.lock().remove(&volume);
            }
            DataPlaneChange::Discard(content) => self.stored.remove(content),
            // Made before.
            DataPlaneChange::Keep { .. } => {}
            DataPlaneChange::Drop(kept) => self.stored.remove_snapshot(kept),
        }
    }

    /// The next publication shows the volume with this content.
    fn hold(&self, volume: VolumeId, content: ContentId) {
        let Some(held) = self.stored.find(content) else {
            error!(%volume, %content, "a volume has no content");
            return;
        };
        let mut contents = self.contents.lock();
        let entry = contents.entry(volume).or_insert_with(|| {
            // Name and rates come with the publication.
            let hand = Arc::new(Hand::new(self.all.clone(), Qos::DEFAULT));
            Content { volume: held.clone(), iqn: String::new(), hand }
        });
        entry.volume = held;
    }

    fn publish(&self, export: Export) {
        let (volume, hand) = {
            let mut contents = self.contents.lock();
            let Some(content) = contents.get_mut(&export.volume) else { return };
            content.iqn.clone_from(&export.names.iqn);
            (content.volume.clone(), content.hand.clone())
        };
        hand.own.lock().0.change(export.qos, Instant::now());
        if volume.size() != export.size {
            volume.resize(export.size);
        }
        if let Some(node) = home_of(export.volume, &self.nodes) {
            let to = Redirect { address: *node, permanent: false };
            self.server.set_redirect(&export.names.iqn, self.svip, Some(to));
        }
        self.server.put_target(target(export, volume, hand, self.svip));
    }

    /// The content of `volume`, also of a deleted one.
    pub fn find_content(&self, volume: VolumeId) -> Option<Volume> {
        self.contents.lock().get(&volume).map(|content| content.volume.clone())
    }

    /// From now on every volume keeps in mind what is not flushed.
    pub fn arm_power_cut(&self) {
        self.stored.store().arm_power_cut();
    }

    /// Every volume loses what was not flushed; how many writes that were.
    ///
    /// # Errors
    /// Those of the volumes.
    pub fn cut_power(&self) -> Result<u64, StoreError> {
        Ok(self.stored.store().power_cut(PowerCut::All)?.lost)
    }

    /// Where iSCSI listens.
    pub fn svip(&self) -> SocketAddr {
        self.svip
    }

    /// Where iSCSI listens: the SVIP, and the nodes behind it.
    pub fn portals(&self) -> impl Iterator<Item = SocketAddr> {
        [self.svip].into_iter().chain(self.nodes.iter().copied())
    }

    /// Makes a portal misbehave, or behave again.
    pub fn set_fault(&self, portal: SocketAddr, fault: PortalFault) {
        self.server.set_portal_fault(portal, fault);
    }

    /// The normal sessions, in order of login.
    pub fn list_sessions(&self) -> Vec<SessionInfo> {
        self.server.sessions()
    }
}

impl DataPlaneView for DataPlane {
    fn allocated(&self, volume: VolumeId) -> u64 {
        self.find_content(volume).map_or(0, |content| content.allocated())
    }

    fn sessions(&self) -> usize {
        self.server.sessions().len()
    }

    fn traffic(&self, volume: VolumeId) -> (Traffic, u64) {
        let hand = self.contents.lock().get(&volume).map(|content| content.hand.clone());
        hand.map_or_else(Default::default, |hand| {
            let (now, mut own) = (Instant::now(), hand.own.lock());
            (own.1.read(now), own.0.credit(now))
        })
    }

    fn cluster_traffic(&self) -> Traffic {
        self.all.counter.lock().read(Instant::now())
    }

    fn cluster_iops(&self) -> u32 {
        self.all.iops
    }
}

fn target(export: Export, volume: Volume, governor: Arc<dyn Governor>, svip: SocketAddr) -> Target {
    let default = match export.login {
        Login::Refused => Auth::Deny,
        Login::Chap { username, initiator_secret, target_secret } => Auth::Chap {
            secret: ChapSecret::new(initiator_secret.expose()),
            mutual: Some((username.clone(), ChapSecret::new(target_secret.expose()))),
            user: username,
        },
    };
    let initiators = export.open_to.into_iter().map(|name| (name, Auth::Open)).collect();
    let eui = export.names.eui;
    let lun = Lun {
        number: 0,
        volume,
        identity: Identity {
            vendor: "SolidFir".into(),
            product: "SSD SAN".into(),
            revision: "0006".into(),
            serial: eui.to_string(),
            naa: export.names.naa.0,
            eui: Some(eui.0),
            t10: eui.to_string(),
        },
        block_size: match export.block {
            LogicalBlock::Emulated512 => BlockSize::Emulated512,
            LogicalBlock::Native4096 => BlockSize::Native4096,
        },
        access: Visibility::Everyone,
        thin: true,
        read_only: export.read_only,
        optimized_groups: BTreeSet::new(),
        governor: Some(governor),
    };
    Target {
        iqn: export.names.iqn,
        alias: None,
        portals: vec![svip],
        auth: AuthPolicy { default, initiators },
        luns: vec![lun],
    }
}

#[cfg(test)]
mod tests {
    use levers::EventLog;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::state::{ChapSecret as Secret, UniqueId, VolumeNames};

    const ID: VolumeId = VolumeId(1);
    const CONTENT: ContentId = ContentId(1);

    /// With one volume of zeroes.
    fn holding(bytes: u64) -> DataPlane {
        let data_plane = data_plane();
        let hold = DataPlaneChange::Hold {
            volume: ID,
            content: CONTENT,
            source: crate::state::Source::Zeroes(bytes),
        };
        data_plane.make(std::slice::from_ref(&hold)).unwrap();
        data_plane.apply(hold);
        data_plane
    }

    fn data_plane() -> DataPlane {
        DataPlane::new(IscsiServer::new(EventLog::new()), "127.0.0.1:3260".parse().unwrap(), 200_000)
    }

    impl DataPlane {
        fn hand(&self, qos: Qos) -> Arc<Hand> {
            Arc::new(Hand::new(self.all.clone(), qos))
        }
    }

    fn export(size: u64) -> Export {
        Export {
            volume: ID,
            names: VolumeNames::of(UniqueId::draw(&mut StdRng::seed_from_u64(1)), "v", ID),
            size,
            block: LogicalBlock::Native4096,
            read_only: false,
            qos: Qos::DEFAULT,
            open_to: BTreeSet::new(),
            login: Login::Chap {
                username: "tenant".into(),
                initiator_secret: Secret::parse("i", "initiator-sec").unwrap(),
                target_secret: Secret::parse("t", "target-secret").unwrap(),
            },
        }
    }

    fn first_bytes(data_plane: &DataPlane) -> [u8; 4] {
        let mut bytes = [0; 4];
        data_plane.find_content(ID).unwrap().read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_withdrawn_volume_keeps_its_data_until_it_is_discarded() {
        let data_plane = holding(1 << 20);
        data_plane.apply(DataPlaneChange::Publish(export(1 << 20)));
        data_plane.find_content(ID).unwrap().write_at(0, b"data").unwrap();
        data_plane.apply(DataPlaneChange::Withdraw(ID));
        assert_eq!(first_bytes(&data_plane), *b"data");
        data_plane.apply(DataPlaneChange::Publish(export(1 << 20)));
        assert_eq!(first_bytes(&data_plane), *b"data");
        data_plane.apply(DataPlaneChange::Withdraw(ID));
        data_plane.apply(DataPlaneChange::Release(ID));
        data_plane.apply(DataPlaneChange::Discard(CONTENT));
        assert!(data_plane.find_content(ID).is_none());
        assert!(data_plane.stored.find(CONTENT).is_none());
    }

    #[test]
    fn a_volume_grows_without_losing_what_it_holds() {
        let data_plane = holding(1 << 20);
        data_plane.apply(DataPlaneChange::Publish(export(1 << 20)));
        let content = data_plane.find_content(ID).unwrap();
        content.write_at(0, b"data").unwrap();
        data_plane.apply(DataPlaneChange::Publish(export(2 << 20)));
        assert_eq!(content.size(), 2 << 20);
        assert_eq!(first_bytes(&data_plane), *b"data");
        assert_eq!(data_plane.allocated(ID), 4096);
    }

    #[test]
    fn a_target_shows_the_identity_of_a_solidfire_volume() {
        let export = export(1 << 20);
        let names = export.names.clone();
        let hand = data_plane().hand(Qos::DEFAULT);
        let target = target(export, Volume::new(1 << 20), hand, "127.0.0.1:3260".parse().unwrap());
        assert_eq!(target.iqn, names.iqn);
        let lun = target.luns.first().unwrap();
        assert_eq!((lun.number, lun.block_size), (0, BlockSize::Native4096));
        assert_eq!((lun.identity.vendor.as_str(), lun.identity.product.as_str()), ("SolidFir", "SSD SAN"));
        assert_eq!(lun.identity.serial, names.eui.to_string());
        assert_eq!((lun.identity.naa, lun.identity.eui), (names.naa.0, Some(names.eui.0)));
        assert!(lun.optimized_groups.is_empty(), "no ALUA");
        assert!(
            matches!(target.auth.default, Auth::Chap { ref user, mutual: Some(_), .. } if user == "tenant")
        );
    }

    #[test]
    fn initiators_of_an_access_group_need_no_proof_and_others_do() {
        let open_to = BTreeSet::from(["iqn.2026-11.example:node-a".to_owned()]);
        let export = Export { open_to, ..export(1 << 20) };
        let hand = data_plane().hand(Qos::DEFAULT);
        let target = target(export, Volume::new(1 << 20), hand, "127.0.0.1:3260".parse().unwrap());
        let initiators: Vec<_> = target.auth.initiators.iter().collect();
        assert!(
            matches!(initiators.as_slice(), [(name, Auth::Open)] if *name == "iqn.2026-11.example:node-a")
        );
        assert!(matches!(target.auth.default, Auth::Chap { .. }));
    }

    #[test]
    fn nobody_logs_in_to_a_volume_of_a_locked_account() {
        let export = Export { login: Login::Refused, ..export(1 << 20) };
        let hand = data_plane().hand(Qos::DEFAULT);
        let target = target(export, Volume::new(1 << 20), hand, "127.0.0.1:3260".parse().unwrap());
        assert!(matches!(target.auth.default, Auth::Deny));
    }
}
