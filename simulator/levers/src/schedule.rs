//! Levers that pull themselves: after a time, or with the nth event of a kind.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::ApiRule;
use crate::gate::Mode;
use crate::lun::{Attention, LunFaults};
use crate::nfs::NfsFaults;
use crate::portal::PortalFault;
use crate::{Event, EventLog, Levers, MAX_DELAY};

/// When something scheduled happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// After so long, at most [`MAX_DELAY`].
    After {
        /// Milliseconds from now.
        ms: u64,
    },
    /// With an event: before the data plane that recorded it goes on.
    On {
        /// Its kind.
        kind: String,
        /// The how-manieth from now, from 1.
        #[serde(default = "first")]
        count: u64,
        /// Fields it must have, an object; any event of the kind if null.
        #[serde(default)]
        fields: Value,
    },
}

fn first() -> u64 {
    1
}

/// What a schedule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Sets a portal's fault.
    Portal {
        /// The portal.
        address: SocketAddr,
        /// The fault.
        fault: PortalFault,
    },
    /// Sets a logical unit's faults.
    Lun {
        /// Its serial number.
        serial: String,
        /// The faults.
        faults: LunFaults,
    },
    /// Raises a unit attention.
    Attention {
        /// The unit's serial number.
        serial: String,
        /// The attention.
        attention: Attention,
    },
    /// Sets an NFS service's faults.
    Nfs {
        /// Its name.
        server: String,
        /// The faults.
        faults: NfsFaults,
    },
    /// Adds a rule to the management API's.
    Api(Box<ApiRule>),
    /// Changes between auto and single-step mode.
    Mode(Mode),
}

/// Things to happen once. Dropped, what has not happened yet does not.
pub struct Schedule {
    levers: Levers,
    events: EventLog,
    pending: Arc<Mutex<Vec<Pending>>>,
    timers: Mutex<JoinSet<()>>,
}

struct Pending {
    kind: String,
    /// Events still to come, this one included.
    count: u64,
    fields: Value,
    deed: Box<dyn FnOnce() + Send>,
}

impl Schedule {
    /// An empty schedule over these levers; what it does is recorded in `events` as
    /// `schedule.fired`.
    #[must_use]
    pub fn new(levers: Levers, events: EventLog) -> Self {
        let pending = Arc::<Mutex<Vec<Pending>>>::default();
        let watched = Arc::downgrade(&pending);
        events.tap(move |event| {
            let Some(pending) = watched.upgrade() else { return };
            let due = take_due(&mut pending.lock(), event);
            due.into_iter().for_each(|deed| deed());
        });
        Self { levers, events, pending, timers: Mutex::default() }
    }

    /// Does `action` when `trigger` says so. Must be called within a tokio runtime.
    pub fn plan(&self, trigger: Trigger, action: Action) {
        let (levers, events) = (self.levers.clone(), self.events.clone());
        self.when(trigger, move || {
            levers.act(&action);
            events.record("schedule.fired", json!({ "action": action }));
        });
    }

    /// Does anything when `trigger` says so. Must be called within a tokio runtime.
    pub fn when(&self, trigger: Trigger, deed: impl FnOnce() + Send + 'static) {
        match trigger {
            Trigger::After { ms } => {
                let delay = Duration::from_millis(ms).min(MAX_DELAY);
                self.timers.lock().spawn(async move {
                    tokio::time::sleep(delay).await;
                    deed();
                });
            }
            Trigger::On { kind, count, fields } => {
                let pending = Pending { kind, count: count.max(1), fields, deed: Box::new(deed) };
                self.pending.lock().push(pending);
            }
        }
    }

    /// What waits for an event that has not come.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.lock().len()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

fn take_due(pending: &mut Vec<Pending>, event: &Event) -> Vec<Box<dyn FnOnce() + Send>> {
    let mut due = Vec::new();
    for mut waiting in std::mem::take(pending) {
        if waiting.kind == event.kind && event.has(&waiting.fields) {
            waiting.count -= 1;
        }
        if waiting.count == 0 { due.push(waiting.deed) } else { pending.push(waiting) }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 3260))
    }

    #[tokio::test]
    async fn the_nth_event_pulls_the_lever_before_its_recorder_goes_on() {
        let (levers, events) = (Levers::new(), EventLog::new());
        let schedule = Schedule::new(levers.clone(), events.clone());
        let trigger = Trigger::On { kind: "scsi.command".into(), count: 2, fields: json!({ "op": 42 }) };
        schedule.plan(trigger, Action::Portal { address: address(), fault: PortalFault::Refuse });
        let portal = levers.watch_portal(address());
        for (op, expected) in [(42, PortalFault::None), (1, PortalFault::None), (42, PortalFault::Refuse)] {
            events.record("scsi.command", json!({ "op": op }));
            assert_eq!(*portal.borrow(), expected);
        }
        assert_eq!((schedule.pending(), events.snapshot().len()), (0, 4));
        assert_eq!(events.snapshot()[3].kind, "schedule.fired");
    }

    #[tokio::test]
    async fn a_time_that_has_come_pulls_the_lever_and_a_dropped_schedule_does_not() {
        let levers = Levers::new();
        let schedule = Schedule::new(levers.clone(), EventLog::new());
        let kept = Schedule::new(levers.clone(), EventLog::new());
        let fault = |fault| Action::Portal { address: address(), fault };
        schedule.plan(Trigger::After { ms: 10 }, fault(PortalFault::Blackhole));
        kept.plan(Trigger::After { ms: 20 }, fault(PortalFault::Reset));
        drop(schedule);
        let mut portal = levers.watch_portal(address());
        portal.changed().await.unwrap();
        assert_eq!(*portal.borrow(), PortalFault::Reset);
    }
}
