//! The event log of the array (EMS): what clients told it, and what happened to it. The newest
//! events are kept.

use jiff::Timestamp;
use records::untagged;
use serde::{Deserialize, Serialize};

use super::{Cluster, NodeId, Refusal};

/// Events that are kept (the array rotates its log by size).
const KEPT: usize = 2_000;

/// How grave an event is, gravest first.
pub const SEVERITIES: [&str; 6] = ["emergency", "alert", "error", "notice", "informational", "debug"];

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmsEvent {
    /// Its number; ascends.
    pub index: u64,
    /// The node that logged it.
    pub node: NodeId,
    /// When.
    pub time: Timestamp,
    /// Its name, such as `app.log.notice`.
    pub name: String,
    /// One of [`SEVERITIES`].
    pub severity: String,
    /// What logged it.
    pub source: String,
    /// The text.
    pub message: String,
    /// What the text is made of.
    pub parameters: Vec<(String, String)>,
}

untagged!(EmsEvent);

/// What an application has to tell.
#[derive(Debug, Clone)]
pub struct ApplicationLog {
    /// The computer that it runs on.
    pub computer: String,
    /// The application.
    pub source: String,
    /// Its version.
    pub version: String,
    /// The application's number of the event.
    pub id: u64,
    /// Kind of event.
    pub category: String,
    /// Words.
    pub description: String,
    /// One of [`SEVERITIES`].
    pub severity: String,
}

impl Cluster {
    /// Files what an application has to tell.
    ///
    /// # Errors
    /// A [`Refusal`] for a severity that there is not.
    pub fn log_for_application(&mut self, log: ApplicationLog) -> Result<(), Refusal> {
        if !SEVERITIES.contains(&log.severity.as_str()) {
            return Err(Refusal::invalid("severity", &log.severity));
        }
        let message = format!(
            "{}: {} {}: ({}) {}: {}",
            log.computer, log.source, log.version, log.id, log.category, log.description
        );
        let parameters = [
            ("computer_name", log.computer),
            ("event_source", log.source),
            ("app_version", log.version),
            ("event_id", log.id.to_string()),
            ("category", log.category),
            ("event_description", log.description),
        ];
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.log_event(format!("app.log.{}", log.severity), log.severity, message, parameters);
        Ok(())
    }

    fn log_event(
        &mut self,
        name: String,
        severity: String,
        message: String,
        parameters: Vec<(String, String)>,
    ) {
        let Some(node) = self.nodes.first().map(|node| node.id) else { return };
        let index = self.ems_events.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        let (time, source) = (self.now, "mgwd".to_owned());
        let event = EmsEvent { index, node, time, name, severity, source, message, parameters };
        self.ems_events.insert(index, event);
        let oldest = self.ems_events.keys().next().copied().filter(|_| self.ems_events.len() > KEPT);
        if let Some(oldest) = oldest {
            self.ems_events.remove(&oldest);
        }
    }
}
