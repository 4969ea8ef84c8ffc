//! One flight a volume at a time: a repeated call joins the one that is under way and gets its
//! result, a different one waits its turn, and other volumes notice nothing (hazard H09).
//!
//! A flight belongs to no caller: it goes on when the caller's deadline has passed, and the next
//! call for the same thing finds it.

use std::collections::HashMap;
use std::sync::Arc;

use agent_core::intent::Intent;
use contract::VolumeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Report;

/// Flights of one volume that may wait. The orchestrator has at most a few calls out for one volume.
const MAX_WAITING: usize = 16;

/// The result of a flight, once there is one.
pub(super) type Landing = watch::Receiver<Option<Arc<Report>>>;

#[derive(Debug)]
struct Flight {
    number: u64,
    intent: Intent,
    landing: Landing,
}

/// All flights of this agent.
#[derive(Debug, Default)]
pub(super) struct Flights {
    volumes: Mutex<(u64, HashMap<VolumeId, Vec<Flight>>)>,
}

/// What a caller got.
#[derive(Debug)]
pub(super) enum Ticket {
    /// The flight that does what was asked is there already.
    Joined(Landing),
    /// A new one; the caller starts it.
    New(Start),
}

/// A flight to be started.
#[derive(Debug)]
pub(super) struct Start {
    /// Number of the flight, for [`Flights::landed`].
    pub(super) number: u64,
    /// The flight it waits for.
    pub(super) after: Option<Landing>,
    /// Where its result goes.
    pub(super) result: watch::Sender<Option<Arc<Report>>>,
    /// Where its result is found.
    pub(super) landing: Landing,
}

/// Too many flights wait for one volume.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_WAITING} calls for volume {0} are waiting already: wait for one of them")]
pub struct QueueFull(VolumeId);

impl Flights {
    pub(super) fn join_or_start(&self, intent: &Intent) -> Result<Ticket, QueueFull> {
        let mut guard = self.volumes.lock();
        let (counter, volumes) = &mut *guard;
        let queue = volumes.entry(intent.volume().clone()).or_default();
        for flight in queue.iter().rev() {
            if flight.intent == *intent {
                return Ok(Ticket::Joined(flight.landing.clone()));
            }
            if !commute(&flight.intent, intent) {
                break;
            }
        }
        if queue.len() >= MAX_WAITING {
            return Err(QueueFull(intent.volume().clone()));
        }
        *counter += 1;
        let (result, landing) = watch::channel(None);
        let after = queue.last().map(|flight| flight.landing.clone());
        queue.push(Flight { number: *counter, intent: intent.clone(), landing: landing.clone() });
        Ok(Ticket::New(Start { number: *counter, after, result, landing }))
    }

    /// Takes the flight off the list: whoever asks from now on gets a new one.
    pub(super) fn landed(&self, volume: &VolumeId, number: u64) {
        let mut guard = self.volumes.lock();
        let (_, volumes) = &mut *guard;
        if let Some(queue) = volumes.get_mut(volume) {
            queue.retain(|flight| flight.number != number);
            if queue.is_empty() {
                volumes.remove(volume);
            }
        }
    }
}

/// Whether the order of two intents of one volume is without meaning: then a call may join a
/// flight that is not the last in the queue.
fn commute(one: &Intent, other: &Intent) -> bool {
    match (target(one), target(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

fn target(intent: &Intent) -> Option<&agent_core::path::HostPath> {
    match intent {
        Intent::Publish(publish) => Some(&publish.target),
        Intent::Unpublish(unpublish) => Some(&unpublish.target),
        Intent::Stage(_) | Intent::Unstage(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::intent::{Unpublish, Unstage};

    fn unstage(volume: &str) -> Intent {
        let staging = "/s".parse().unwrap();
        Intent::Unstage(Unstage { volume: volume.parse().unwrap(), staging })
    }

    fn unpublish(target: &str) -> Intent {
        Intent::Unpublish(Unpublish { volume: "v".parse().unwrap(), target: target.parse().unwrap() })
    }

    fn is_new(ticket: &Ticket) -> bool {
        matches!(ticket, Ticket::New(_))
    }

    #[test]
    fn the_same_wish_joins_unless_another_came_between() {
        let flights = Flights::default();
        assert!(is_new(&flights.join_or_start(&unpublish("/a")).unwrap()));
        assert!(is_new(&flights.join_or_start(&unpublish("/b")).unwrap()));
        assert!(!is_new(&flights.join_or_start(&unpublish("/a")).unwrap()), "targets are independent");
        assert!(is_new(&flights.join_or_start(&unstage("v")).unwrap()));
        assert!(is_new(&flights.join_or_start(&unpublish("/a")).unwrap()), "the unstage came between");
        assert!(is_new(&flights.join_or_start(&unstage("other")).unwrap()));
    }

    #[test]
    fn a_queue_has_a_bound_and_forgets_what_landed() {
        let flights = Flights::default();
        let mut numbers = Vec::new();
        for index in 0..MAX_WAITING {
            let Ok(Ticket::New(start)) = flights.join_or_start(&unpublish(&format!("/{index}"))) else {
                panic!()
            };
            numbers.push(start.number);
        }
        assert!(flights.join_or_start(&unpublish("/more")).is_err());
        for number in numbers {
            flights.landed(&"v".parse().unwrap(), number);
        }
        let Ok(Ticket::New(start)) = flights.join_or_start(&unpublish("/more")) else { panic!() };
        assert!(start.after.is_none());
    }
}
