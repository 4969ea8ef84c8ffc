//! Runs the errands of the state, each as a task of its own, while the array goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jiff::Timestamp;
use nfs_server::{AdminError, FileTree};
use serde_json::json;
use sim_front::Controlled as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::door::{blocks, change, content, settle};
use super::link::{Link, LinkError};
use super::{Hello, Introduction, Settled, Wanted, WantedBlocks};
use crate::array::{Array, WeakArray};
use crate::dataplane::CopyError;
use crate::state::arrival::Arrival;
use crate::state::peer::ClusterPeer;
use crate::state::replica::{Offer, Offered};
use crate::state::snapshot::Snapshot;
use crate::state::transfer::Journey;
use crate::state::{Errand, LunId, Refusal, SnapshotId};

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
enum ErrandError {
    /// A peer gave no answer.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// This array refused.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The peer is not one any more.
    #[error("cluster \"{0}\" is not a peer")]
    NoPeer(String),
    /// What came does not fit the copy.
    #[error("{0}")]
    Unfit(#[from] AdminError),
    /// What came of a LUN cannot be kept.
    #[error(transparent)]
    Lun(#[from] CopyError),
    /// A task died.
    #[error("an internal error occurred")]
    Task(#[from] JoinError),
}

impl From<Refusal> for ErrandError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A courier that waits for work.
#[derive(Debug)]
pub(crate) struct Courier {
    errands: UnboundedReceiver<Errand>,
}

impl Courier {
    /// A courier, and where to leave errands.
    pub(crate) fn new() -> (UnboundedSender<Errand>, Self) {
        let (sender, errands) = unbounded_channel();
        (sender, Self { errands })
    }

    /// Runs errands until `stop` is cancelled. What is under way then is begun anew by the next start.
    pub(crate) fn run(mut self, array: &Array, stop: CancellationToken) -> JoinHandle<()> {
        let array = array.downgrade();
        tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            let mut clock = Clock::default();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    errand = self.errands.recv() => match errand {
                        Some(Errand::Reschedule) => clock.set(&array),
                        Some(errand) => drop(under_way.spawn(run(array.clone(), errand))),
                        None => return,
                    },
                    () = clock.rings() => clock.update(&array),
                    Some(_) = under_way.join_next() => {}
                }
            }
        })
    }
}

/// Rings when a schedule's time has come.
#[derive(Debug, Default)]
struct Clock {
    /// Up to when everything is done; nothing was to do before the first time it is set.
    done: Option<Timestamp>,
    next: Option<Timestamp>,
}

impl Clock {
    /// Finds out when it rings next.
    fn set(&mut self, array: &WeakArray) {
        let done = *self.done.get_or_insert_with(Timestamp::now);
        self.next = array.upgrade().and_then(|array| array.read(|cluster| cluster.next_due(done)));
    }

    async fn rings(&self) {
        match self.next {
            // A time that has passed is now.
            Some(next) => {
                let wait = next.duration_since(Timestamp::now());
                tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Does what is due, and goes on from there.
    fn update(&mut self, array: &WeakArray) {
        let (Some(running), Some(next), Some(done)) = (array.upgrade(), self.next, self.done) else { return };
        if Timestamp::now() >= next {
            let updated = running.change(|cluster| (cluster.now(), cluster.update_due(done)));
            let (now, updated) = updated.unwrap_or_else(|_| (Timestamp::now(), Vec::new()));
            for mirror in updated {
                running.event_log().record("mirror.scheduled", json!({ "mirror": mirror }));
            }
            self.done = Some(now);
        }
        self.set(array);
    }
}

/// One for all: it keeps connections.
fn link() -> Result<Link, LinkError> {
    static LINK: OnceLock<Link> = OnceLock::new();
    if let Some(link) = LINK.get() {
        return Ok(link.clone());
    }
    let link = Link::new()?;
    Ok(LINK.get_or_init(|| link).clone())
}

async fn run(array: WeakArray, errand: Errand) {
    let Some(array) = array.upgrade() else { return };
    match errand {
        // The courier's own.
        Errand::Reschedule => {}
        Errand::Greet(peer) => greet(&array, peer).await,
        Errand::Introduce(peer) => {
            if let Err(error) = introduce(&array, peer).await {
                let fields = json!({ "peer": peer, "error": told(&error) });
                array.event_log().record("peer.failed", fields);
            }
        }
        Errand::Transfer(transfer) => match carry(&array, transfer).await {
            Ok(Some(bytes)) => {
                let fields = json!({ "transfer": transfer, "bytes": bytes });
                array.event_log().record("mirror.transferred", fields);
            }
            Ok(None) => {}
            Err(error) => {
                let reason = told(&error);
                // It is told where it is shown; what cannot be noted is in the log of the array.
                let _noted = array.change(|cluster| cluster.fail_transfer(transfer, &reason));
                array.event_log().record("mirror.failed", json!({ "transfer": transfer, "error": reason }));
            }
        },
    }
}

/// An error with what is behind it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

async fn greet(array: &Array, id: Uuid) {
    let found =
        array.read(|cluster| Some((cluster.cluster_peers.get(&id)?.clone(), cluster.about.name.clone())));
    let Some((peer, name)) = found else { return };
    let answer = match link() {
        Ok(link) => link.ask::<Hello>(&peer, "hello", &Hello { name }).await,
        Err(error) => Err(error),
    };
    let outcome = answer.map(|hello| hello.name).map_err(|error| told(&error));
    let fields =
        json!({ "peer": peer.name, "remote": outcome.as_ref().ok(), "error": outcome.as_ref().err() });
    if array.change(|cluster| cluster.note_greeting(id, outcome)).is_ok() {
        array.event_log().record("peer.greeted", fields);
    }
}

async fn introduce(array: &Array, id: Uuid) -> Result<(), ErrandError> {
    let found = array.read(|cluster| {
        let peer = cluster.svm_peers.get(&id)?;
        let svm = cluster.svm_name(peer.svm).to_owned();
        Some((peer.clone(), svm))
    });
    let Some((svm_peer, own)) = found else { return Ok(()) };
    let peer = require_peer(array, svm_peer.cluster.as_deref().unwrap_or_default())?;
    let told = Introduction { svm: svm_peer.peer, peer: own, applications: svm_peer.applications };
    let () = link()?.ask(&peer, "introduce", &told).await?;
    array.event_log().record("peer.introduced", json!({ "peer": id }));
    Ok(())
}

fn require_peer(array: &Array, name: &str) -> Result<ClusterPeer, ErrandError> {
    let found = array.read(|cluster| cluster.named_peer(name).cloned());
    found.ok_or_else(|| ErrandError::NoPeer(name.to_owned()))
}

/// The source of a transfer: this array, or a peer.
enum Source {
    Here(Array),
    There(Link, Box<ClusterPeer>),
}

impl Source {
    async fn offer(&self, journey: &Journey) -> Result<Offer, ErrandError> {
        let request = journey.request.clone();
        match self {
            Self::Here(array) => {
                let array = array.clone();
                let offered = spawn_blocking(move || change(&array, |cluster| cluster.offer(None, &request)));
                Ok(offered.await??)
            }
            Self::There(link, peer) => Ok(link.ask(peer, "offer", &request).await?),
        }
    }

    async fn content(&self, wanted: Wanted) -> Result<Vec<u8>, ErrandError> {
        match self {
            Self::Here(array) => {
                let array = array.clone();
                Ok(spawn_blocking(move || content(&array, &wanted)).await??)
            }
            Self::There(link, peer) => Ok(link.ask_raw(peer, "content", &wanted).await?),
        }
    }

    async fn blocks(&self, wanted: WantedBlocks) -> Result<Vec<u8>, ErrandError> {
        match self {
            Self::Here(array) => {
                let array = array.clone();
                Ok(spawn_blocking(move || blocks(&array, &wanted)).await??)
            }
            Self::There(link, peer) => Ok(link.ask_raw(peer, "blocks", &wanted).await?),
        }
    }

    /// Everything that is offered of a volume.
    async fn all_of(&self, array: &Array, transfer: Uuid, offered: &Offered) -> Result<Came, ErrandError> {
        let wanted = Wanted {
            volume: offered.volume.id,
            base: offered.base.clone(),
            snapshots: offered.snapshots.iter().map(|snapshot| snapshot.name.clone()).collect(),
        };
        let files = self.content(wanted).await?;
        let copy = array.read(|cluster| cluster.copy_beneath(transfer, offered));
        let ids: BTreeSet<_> =
            offered.snapshots.iter().flat_map(|snapshot| snapshot.luns.iter().map(|lun| lun.id)).collect();
        let mut luns = Vec::new();
        for lun in ids {
            let beneath = copy.zip(offered.base.as_deref());
            let beneath =
                beneath.and_then(|(copy, base)| array.read(|cluster| cluster.lun_beneath(copy, base, lun)));
            let mut before = offered.base.clone().filter(|_| beneath.is_some());
            let mut states = Vec::new();
            let has = |snapshot: &&Snapshot| snapshot.luns.iter().any(|held| held.id == lun);
            for snapshot in offered.snapshots.iter().filter(has) {
                let (base, snapshot) = (before.take(), snapshot.name.clone());
                before = Some(snapshot.clone());
                states.push(
                    self.blocks(WantedBlocks { volume: offered.volume.id, lun, base, snapshot }).await?,
                );
            }
            luns.push(CameLun { lun, beneath, states });
        }
        Ok(Came { files, luns })
    }

    async fn settle(&self, settled: Settled) -> Result<(), ErrandError> {
        match self {
            Self::Here(array) => Ok(array.change(|cluster| settle(cluster, &settled))?),
            Self::There(link, peer) => Ok(link.ask(peer, "settle", &settled).await?),
        }
    }
}

/// Carries out a transfer; the bytes that came, or nothing when it is not wanted any more.
async fn carry(array: &Array, transfer: Uuid) -> Result<Option<u64>, ErrandError> {
    let Some(journey) = array.change(|cluster| cluster.begin_transfer(transfer))? else { return Ok(None) };
    let source = match &journey.source.cluster {
        None => Source::Here(array.clone()),
        Some(name) => Source::There(link()?, Box::new(require_peer(array, name)?)),
    };
    let offer = source.offer(&journey).await?;
    // What cannot be taken is not sent.
    array.read(|cluster| cluster.admit_offer(transfer, &offer))?;
    let mut came = Vec::new();
    for offered in &offer.volumes {
        came.push(source.all_of(array, transfer, offered).await?);
    }
    let bytes = came.iter().map(Came::bytes).sum();
    let last =
        |offered: &Offered| offered.snapshots.last().map(|last| (offered.volume.id, last.name.clone()));
    let settled =
        Settled { mirror: journey.request.mirror, last: offer.volumes.iter().filter_map(last).collect() };
    let taking = array.clone();
    spawn_blocking(move || take(&taking, transfer, &offer, came)).await??;
    // The copy is whole; what the source keeps too long goes with the next transfer.
    if let Err(error) = source.settle(settled).await {
        tracing::warn!(%transfer, error = told(&error), "the source keeps earlier snapshots");
    }
    Ok(Some(bytes))
}

/// What came of a volume.
struct Came {
    files: Vec<u8>,
    luns: Vec<CameLun>,
}

/// What came of a LUN.
struct CameLun {
    /// Its identifier at the source.
    lun: LunId,
    /// On what the first of its states stands.
    beneath: Option<(LunId, SnapshotId)>,
    /// Each makes of the one before it the state in one snapshot.
    states: Vec<Vec<u8>>,
}

impl Came {
    fn bytes(&self) -> u64 {
        let blocks = self.luns.iter().flat_map(|lun| &lun.states).map(|state| state.len() as u64);
        blocks.fold(self.files.len() as u64, u64::saturating_add)
    }
}

/// Takes in what came, beside the copies and while the array goes on; one change then has all of it seen.
fn take(array: &Array, transfer: Uuid, offer: &Offer, came: Vec<Came>) -> Result<(), ErrandError> {
    let (mut arrivals, mut numbers) = (Vec::new(), Vec::new());
    let staged = offer.volumes.iter().zip(came).try_for_each(|(offered, came)| {
        let bytes = came.bytes();
        let copy = array.read(|cluster| cluster.copy_beneath(transfer, offered));
        let incoming = match copy.and_then(|copy| array.planes().tree_of(copy)) {
            Some(tree) => tree.prepare_snapshots(offered.base.as_deref(), &came.files)?,
            None => FileTree::prepare_first_snapshots(&came.files)?,
        };
        let content = Uuid::from_u128(rand::random());
        numbers.push(content);
        array.planes().stage(content, incoming);
        let mut luns = BTreeMap::new();
        for CameLun { lun, beneath, states } in came.luns {
            let content = Uuid::from_u128(rand::random());
            numbers.push(content);
            array.planes().stage_lun(content, beneath, &states)?;
            luns.insert(lun, content);
        }
        arrivals.push(Arrival { offered: offered.clone(), content, luns, bytes });
        Ok(())
    });
    let taken =
        staged.and_then(|()| Ok(change(array, |cluster| cluster.take_arrivals(transfer, offer, arrivals))?));
    numbers.into_iter().for_each(|number| array.planes().unstage(number));
    taken
}
