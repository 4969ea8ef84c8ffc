//! The array in one piece: the state behind a lock, its data planes, its users and its event log.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use axum::http::StatusCode;
use jiff::Timestamp;
use levers::{EventLog, Hit, Levers, PortalFault, Schedule};
use parking_lot::Mutex;
use records::{DataDir, DataDirError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sim_front::{ControlError, Controlled, Digest, Happening, PortalSelector, Portrait};

use crate::dataplane::{ContentError, DataPlanes};
use crate::management::Management;
use crate::mishap;
use crate::rest::{self, Answer, Call, Method, SvmScope, Veil};
use crate::shell::{self, Prepared};
use crate::state::account::Caller;
use crate::state::lif::LifPatch;
use crate::state::{Cluster, LunId, Refusal, SvmId};
use crate::status;
use crate::zapi;

/// Bytes read at once when a LUN is digested.
const DIGEST_CHUNK: usize = 1 << 20;

/// ONTAP's number of an internal error.
const INTERNAL_ERROR: u64 = 1_500;

/// A running array.
#[derive(Debug, Clone)]
pub struct Array {
    shared: Arc<Shared>,
    /// On whose behalf it is asked; absent: on the simulator's own.
    caller: Option<Arc<Caller>>,
}

/// An array that does not live for the sake of who holds this.
#[derive(Debug, Clone)]
pub(crate) struct WeakArray(Weak<Shared>);

impl WeakArray {
    /// The array, while there is one.
    pub(crate) fn upgrade(&self) -> Option<Array> {
        self.0.upgrade().map(|shared| Array { shared, caller: None })
    }
}

#[derive(Debug)]
struct Shared {
    cluster: Mutex<Cluster>,
    planes: DataPlanes,
    events: EventLog,
    levers: Levers,
    schedule: Schedule,
    data: Option<DataDir>,
    /// What the API shows as it is not.
    veil: Mutex<Veil>,
}

/// Why what was decided could not be carried out. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    /// No content for a volume or LUN.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The data directory.
    #[error(transparent)]
    Durable(#[from] DataDirError),
}

impl Array {
    /// Puts the state and its data planes together, and carries out what the state wants from them.
    ///
    /// # Errors
    /// [`CarryOutError`] when content cannot be made or the data directory not be written.
    pub fn new(
        mut cluster: Cluster,
        planes: DataPlanes,
        data: Option<DataDir>,
        events: EventLog,
        levers: Levers,
    ) -> Result<Self, CarryOutError> {
        cluster.set_usage(planes.usage());
        carry_out(&mut cluster, &planes, data.as_ref())?;
        let schedule = Schedule::new(levers.clone(), events.clone());
        let cluster = Mutex::new(cluster);
        let veil = Mutex::default();
        let shared = Arc::new(Shared { cluster, planes, events, levers, schedule, data, veil });
        Ok(Self { shared, caller: None })
    }

    /// Answers a call. The data planes have done their part when it returns.
    pub fn answer(&self, call: &Call) -> Answer {
        self.answer_amid(call, &[])
    }

    /// The same, with a call that these faults of the API have hit.
    pub fn answer_amid(&self, call: &Call, hits: &[Hit]) -> Answer {
        let answer = self.admitted(call).and_then(|call| {
            if let Some(answer) = self.answer_command(&call, hits) {
                return Ok(answer);
            }
            let mut veil = self.shared.veil.lock();
            veil.lift(Instant::now(), |rule| self.shared.levers.api().holds(rule));
            self.change(|cluster| mishap::answer(cluster, &call, hits, &mut veil))
        });
        let answer = answer.unwrap_or_else(|refusal| Answer::refused(&refusal));
        self.record(call, &answer);
        answer
    }

    /// Answers calls that belong together: at one instant, all of them or none. When one is refused its answer is
    /// the only one.
    pub(crate) fn answer_together(&self, calls: &[Call]) -> Vec<Answer> {
        if let [call] = calls {
            return vec![self.answer(call)];
        }
        let admitted = calls.iter().map(|call| Ok(self.admitted(call)?.into_owned()));
        let answers = admitted
            .collect::<Result<Vec<_>, Refusal>>()
            .and_then(|calls| self.change(|cluster| rest::answer_together(cluster, &calls)));
        let answers = answers.unwrap_or_else(|refusal| vec![Answer::refused(&refusal)]);
        calls.iter().zip(&answers).for_each(|(call, answer)| self.record(call, answer));
        answers
    }

    /// Answers a call that is a command of the shell, if it is one. Each step of it is a call of its own; the
    /// faults that hit it hit what it changes.
    fn answer_command(&self, call: &Call, hits: &[Hit]) -> Option<Answer> {
        let words = rest::command_words(call)?;
        let named = |scope| {
            self.read(|cluster| {
                let svm = rest::find_scope(cluster, scope)?;
                Ok(cluster.svm_name(svm).to_owned())
            })
        };
        let svm = match call.svm.as_ref().map(named).transpose() {
            Ok(svm) => svm,
            Err(refusal) => return Some(Answer::refused(&refusal)),
        };
        let mut ask = |calls: &[Call]| match calls {
            [call] if !matches!(call.method, Method::Get | Method::Options) => {
                vec![self.answer_amid(call, hits)]
            }
            calls => self.answer_together(calls),
        };
        let mut management = Management::new(&mut ask);
        management.set_svm(svm.as_deref());
        rest::run_command(&mut management, &words, call)
    }

    /// Runs what somebody typed into the shell, with what they answered to its questions.
    ///
    /// # Errors
    /// [`shell::Failure`]: what the shell prints instead.
    pub(crate) fn run_typed(
        &self,
        prepared: Prepared,
        answers: Vec<String>,
    ) -> Result<String, shell::Failure> {
        let mut ask = |calls: &[Call]| self.answer_together(calls);
        let mut management = Management::new(&mut ask);
        management.set_svm(self.own_svm().as_deref());
        prepared.run(&mut management, answers)
    }

    /// Name of the SVM that is all the caller sees.
    pub(crate) fn own_svm(&self) -> Option<String> {
        let own = self.caller.as_ref()?.svm?;
        Some(self.read(|cluster| cluster.svm_name(own).to_owned()))
    }

    /// Answers a ZAPI request. Each step of it is a call of its own; `svm` narrows it to an SVM.
    pub fn answer_zapi(&self, svm: Option<&str>, request: &[u8]) -> String {
        let mut ask = |calls: &[Call]| self.answer_together(calls);
        let mut management = Management::new(&mut ask);
        management.set_svm(svm);
        let reply = zapi::answer(&mut management, request);
        // Requests are not logged: they may hold CHAP passwords.
        self.shared.events.record("zapi.call", json!({ "api": reply.api, "errno": reply.errno }));
        reply.document
    }

    /// The array for those whom it holds itself.
    pub(crate) fn downgrade(&self) -> WeakArray {
        WeakArray(Arc::downgrade(&self.shared))
    }

    /// The same array, asked by somebody: each call is judged by their role, and narrowed to their SVM.
    #[must_use]
    pub fn acting_for(&self, caller: Caller) -> Self {
        Self { shared: Arc::clone(&self.shared), caller: Some(Arc::new(caller)) }
    }

    /// The call as its caller may make it.
    fn admitted<'c>(&self, call: &'c Call) -> Result<Cow<'c, Call>, Refusal> {
        let Some(caller) = &self.caller else { return Ok(Cow::Borrowed(call)) };
        let path = rest::plain_path(&call.path);
        self.read(|cluster| cluster.authorise(caller, call.method.name(), &path))?;
        let Some(own) = caller.svm else { return Ok(Cow::Borrowed(call)) };
        let elsewhere = self.read(|cluster| match &call.svm {
            None => false,
            Some(SvmScope::Name(name)) => cluster.svm_name(own) != name,
            Some(SvmScope::Uuid(uuid)) => own.to_string() != *uuid,
        });
        if elsewhere {
            return Err(Refusal { status: 403, ..Refusal::request(6, "not authorized for that command") });
        }
        Ok(Cow::Owned(Call { svm: Some(SvmScope::Uuid(own.to_string())), ..call.clone() }))
    }

    /// Does something to the state, and to the data planes what follows from it. When it returns both
    /// are done and, with a data directory, durable. Every skin and the control endpoint change the
    /// array this way. Whether `act` refused is its own outcome.
    ///
    /// # Errors
    /// A [`Refusal`] (500) when it could not be carried out; nothing has changed then.
    pub fn change<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> Result<T, Refusal> {
        let mut cluster = self.shared.cluster.lock();
        cluster.set_clock(Timestamp::now());
        let savepoint = cluster.savepoint();
        let outcome = act(&mut cluster);
        match carry_out(&mut cluster, &self.shared.planes, self.shared.data.as_ref()) {
            Ok(()) => Ok(outcome),
            Err(error) => {
                cluster.roll_back(&savepoint);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a change could not be carried out"
                );
                self.shared.events.record("change.failed", json!({ "error": error.to_string() }));
                Err(Refusal { status: 500, ..Refusal::request(INTERNAL_ERROR, error.to_string()) })
            }
        }
    }

    /// The data planes.
    pub fn planes(&self) -> &DataPlanes {
        &self.shared.planes
    }

    /// Reads something from the state.
    pub fn read<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.shared.cluster.lock())
    }

    /// Bodies are not logged: they may hold CHAP passwords.
    fn record(&self, call: &Call, answer: &Answer) {
        let error = answer.body.pointer("/error/code").cloned();
        let job = answer.body.pointer("/job/uuid").cloned();
        let mut fields = json!({
            "method": call.method.name(),
            "path": call.path,
            "query": call.query,
            "status": answer.status,
        });
        if let Some(members) = fields.as_object_mut() {
            members.extend(error.map(|code| ("error".to_owned(), code)));
            members.extend(job.map(|job| ("job".to_owned(), job)));
        }
        let failed = answer.status >= StatusCode::BAD_REQUEST.as_u16();
        tracing::debug!(method = call.method.name(), path = %call.path, status = answer.status, failed, "answered");
        self.shared.events.record("rest.call", fields);
    }

    fn require_svm(&self, name: &str) -> Result<SvmId, ControlError> {
        self.read(|cluster| {
            let known = || cluster.svms.values().map(|svm| svm.name.as_str()).collect::<Vec<_>>().join(", ");
            let found = cluster.find_svm_named(name).map(|svm| svm.id);
            found.ok_or_else(|| ControlError::NotFound {
                message: format!("no SVM `{name}`; there are {}", known()),
            })
        })
    }

    fn no_portal(&self, portal: PortalSelector) -> ControlError {
        let planes = &self.shared.planes;
        let portals = planes.portals().into_iter().map(|portal| portal.address);
        let lifs = planes.nfs_lifs().into_iter().map(|lif| lif.address);
        let known: Vec<_> = portals.chain(lifs).map(|address| address.to_string()).collect();
        ControlError::NotFound {
            message: format!("no data LIF at {}; there are {}", portal.address, known.join(", ")),
        }
    }

    /// Moves the iSCSI LIFs that `portal` selects to a node, in the state and on the wire.
    fn migrate(&self, portal: PortalSelector, node: &str) -> Result<(), ControlError> {
        let moved = self.change(|cluster| self.moved(cluster, portal, node));
        let moved = moved.map_err(|refusal| ControlError::Failed { message: refusal.message })??;
        self.shared.events.record("lif.migrated", json!({ "portals": moved, "node": node }));
        Ok(())
    }

    fn moved(
        &self,
        cluster: &mut Cluster,
        portal: PortalSelector,
        node: &str,
    ) -> Result<Vec<SocketAddr>, ControlError> {
        let Some(destination) = cluster.find_node_named(node).map(|node| node.id) else {
            let known: Vec<_> = cluster.nodes.values().map(|node| node.name.as_str()).collect();
            let message = format!("no node `{node}`; there are {}", known.join(", "));
            return Err(ControlError::NotFound { message });
        };
        let portals = self.shared.planes.portals().into_iter();
        let (lifs, moved): (Vec<_>, Vec<_>) = portals
            .filter(|bound| portal.selects(bound.address))
            .map(|bound| (bound.lif, bound.address))
            .unzip();
        if moved.is_empty() {
            return Err(self.no_portal(portal));
        }
        for lif in lifs {
            let patch = LifPatch { node: Some(destination), ..LifPatch::default() };
            let refused = |refusal: Refusal| ControlError::Failed { message: refusal.message };
            cluster.modify_lif(lif, patch).map_err(refused)?;
        }
        Ok(moved)
    }

    fn require_lun(&self, name: &str) -> Result<LunId, ControlError> {
        self.read(|cluster| {
            let wanted = |lun: &&crate::state::lun::Lun| lun.path == name || lun.id.to_string() == name;
            cluster.luns.values().find(wanted).map(|lun| lun.id).ok_or_else(|| {
                let known: Vec<_> = cluster.luns.values().map(|lun| lun.path.as_str()).take(20).collect();
                ControlError::NotFound {
                    message: format!("no LUN `{name}`; there are [{}]", known.join(", ")),
                }
            })
        })
    }
}

/// Makes durable and true what the state has decided, or nothing of it.
fn carry_out(
    cluster: &mut Cluster,
    planes: &DataPlanes,
    data: Option<&DataDir>,
) -> Result<(), CarryOutError> {
    let changes = cluster.take_changes();
    planes.make(&changes)?;
    if let Some(data) = data
        && let Err(error) = cluster.dirty_rows().map_err(DataDirError::from).and_then(|rows| data.save(&rows))
    {
        planes.unmake(&changes);
        return Err(error.into());
    }
    if !changes.is_empty() {
        planes.apply(changes);
        cluster.set_unreachable(planes.unreachable());
    }
    cluster.forget_dirty();
    Ok(())
}

impl Controlled for Array {
    fn event_log(&self) -> &EventLog {
        &self.shared.events
    }

    fn levers(&self) -> &Levers {
        &self.shared.levers
    }

    fn schedule(&self) -> &Schedule {
        &self.shared.schedule
    }

    fn state(&self) -> Value {
        let planes = &self.shared.planes;
        let mut state = self.read(rest::portrait);
        state.insert("iscsi_sessions".into(), json!(planes.sessions()));
        let mounts = planes.nfs_clients().into_iter().map(|client| {
            json!({ "client": client.client.to_string(), "machine": client.machine, "path": client.path })
        });
        state.insert("nfs_mounts".into(), mounts.collect());
        Value::Object(state)
    }

    fn portrait(&self) -> Portrait {
        let mut cluster = self.shared.cluster.lock();
        status::portrait(&mut cluster, &self.shared.planes, &self.shared.levers)
    }

    fn digest(&self, name: &str) -> Result<Digest, ControlError> {
        let lun = self.require_lun(name)?;
        let gone = || ControlError::NotFound { message: format!("LUN `{name}` has just been deleted") };
        let content = self.shared.planes.content_of(lun).ok_or_else(gone)?.to_volume();
        let failed = |error: blockstore::BlockError| ControlError::Failed { message: error.to_string() };
        let (mut sha256, mut buffer) = (Sha256::new(), vec![0; DIGEST_CHUNK]);
        let bytes = content.size();
        let mut offset = 0;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).map_or(DIGEST_CHUNK, |left| left.min(DIGEST_CHUNK));
            let chunk = buffer.get_mut(..length).unwrap_or_default();
            content.read_at(offset, chunk).map_err(failed)?;
            sha256.update(&*chunk);
            offset = offset.saturating_add(length as u64);
        }
        let sha256 = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Digest { sha256, bytes })
    }

    fn serial_of(&self, name: &str) -> Result<String, ControlError> {
        let lun = self.require_lun(name)?;
        let gone = || ControlError::NotFound { message: format!("LUN `{name}` has just been deleted") };
        self.read(|cluster| cluster.luns.get(&lun).map(|lun| lun.serial.to_string())).ok_or_else(gone)
    }

    fn set_portal_fault(&self, portal: PortalSelector, fault: PortalFault) -> Result<(), ControlError> {
        let planes = &self.shared.planes;
        if planes.set_portal_fault(|address| portal.selects(address), fault) > 0 {
            return Ok(());
        }
        Err(self.no_portal(portal))
    }

    fn require_nfs(&self, name: &str) -> Result<(), ControlError> {
        self.require_svm(name).map(|_| ())
    }

    fn happen(&self, happening: Happening) -> Result<(), ControlError> {
        let planes = &self.shared.planes;
        match happening {
            Happening::NfsRestart { svm } => planes.restart_nfs(self.require_svm(&svm)?),
            Happening::NfsLeasesExpire { svm } => planes.expire_leases(self.require_svm(&svm)?),
            Happening::PowerCutArmed => planes.arm_power_cut(),
            Happening::PowerCut => {
                let lost = planes.cut_power();
                let lost = lost.map_err(|error| ControlError::Failed { message: error.to_string() })?;
                let fields = json!({ "lost_writes": lost.lun_writes, "lost_files": lost.files });
                self.shared.events.record("power.cut", fields);
            }
            Happening::PortalMigrates { portal, node } => self.migrate(portal, &node)?,
        }
        Ok(())
    }
}
