//! The grace after a restart: clients take back what they held, and nobody takes anything new
//! (RFC 8881 §8.4.2).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::state::{State, instance};
use crate::nfs4::status::Status;

/// A period in which state is reclaimed.
#[derive(Debug)]
pub(super) struct Grace {
    until: Duration,
    /// Who held something before (has sessions, and its owner string), and has not said that it is
    /// done; `None` where that is not known and anybody may reclaim.
    waiting: Option<BTreeSet<(bool, Bytes)>>,
}

impl State {
    /// Forgets everything, as a server does that starts again. Clients that held state have the
    /// grace period to take it back; without such clients there is no grace.
    pub(crate) fn restart(&mut self, now: Duration, boot: u32) {
        let owners: BTreeSet<_> = self
            .clients
            .values()
            .filter(|client| client.confirmed && !client.states.is_empty())
            .map(|client| (client.has_sessions(), client.owner.clone()))
            .collect();
        let still_waiting = self.grace.take().and_then(|grace| grace.waiting).unwrap_or_default();
        let waiting: BTreeSet<_> = owners.into_iter().chain(still_waiting).collect();
        self.boot = instance(if instance(boot) == self.boot { boot.wrapping_add(2) } else { boot });
        self.clients.clear();
        self.sessions.clear();
        self.files.clear();
        let until = now + self.grace_period;
        self.grace = (!waiting.is_empty()).then_some(Grace { until, waiting: Some(waiting) });
    }

    /// Starts a grace in which anybody may reclaim, for as long as `period`.
    pub(crate) fn enter_grace(&mut self, now: Duration, period: Duration) {
        self.grace = Some(Grace { until: now + period, waiting: None });
    }

    /// Are only reclaims let in?
    pub(crate) fn in_grace(&mut self, now: Duration) -> bool {
        let ended = self.grace.as_ref().is_some_and(|grace| {
            now >= grace.until || grace.waiting.as_ref().is_some_and(BTreeSet::is_empty)
        });
        if ended {
            self.grace = None;
        }
        self.grace.is_some()
    }

    /// May this client take, or take back, an open or a lock now?
    pub(super) fn require_grace_fits(
        &mut self,
        now: Duration,
        client: u32,
        reclaims: bool,
    ) -> Result<(), Status> {
        let in_grace = self.in_grace(now);
        let record = self.client(client)?;
        let has_sessions = record.has_sessions();
        match (reclaims, in_grace) {
            (true, false) => Err(Status::NoGrace),
            (true, true) if record.reclaimed => Err(Status::NoGrace),
            (true, true) => {
                let key = (has_sessions, record.owner.clone());
                let waiting = self.grace.as_ref().and_then(|grace| grace.waiting.as_ref());
                let known = waiting.is_none_or(|waiting| waiting.contains(&key));
                if known { Ok(()) } else { Err(Status::ReclaimBad) }
            }
            (false, true) => Err(Status::Grace),
            // RFC 8881 §18.51.3: first a client says that it reclaims nothing more.
            (false, false) if has_sessions && !record.reclaimed => Err(Status::Grace),
            (false, false) => Ok(()),
        }
    }

    /// RECLAIM_COMPLETE of everything (RFC 8881 §18.51). The last client that had something to
    /// reclaim ends the grace.
    pub(crate) fn complete_reclaim(&mut self, client: super::ClientId) -> Result<(), Status> {
        let number = self.require_client(client)?;
        let record = self.client_mut(number)?;
        if std::mem::replace(&mut record.reclaimed, true) {
            return Err(Status::CompleteAlready);
        }
        let key = (record.has_sessions(), record.owner.clone());
        if let Some(waiting) = self.grace.as_mut().and_then(|grace| grace.waiting.as_mut()) {
            waiting.remove(&key);
        }
        Ok(())
    }
}
