//! Schedules that jobs of the array can be given: at times of the clock, or at intervals.

use records::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, Refusal};

/// Times of the clock; an empty list is every one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// 0 to 59.
    pub minutes: Vec<u64>,
    /// 0 to 23.
    pub hours: Vec<u64>,
    /// 1 to 31.
    pub days: Vec<u64>,
    /// 1 to 12.
    pub months: Vec<u64>,
    /// 0 (Sunday) to 6.
    pub weekdays: Vec<u64>,
}

/// When it is time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timing {
    /// At times of the clock.
    Cron(Cron),
    /// At intervals (ISO 8601, such as `P1DT2H`).
    Interval(String),
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it is time.
    pub timing: Timing,
}

/// Found under its name.
impl Row for Schedule {
    type Tag = String;

    fn tags(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

/// Name, minutes, hours, days, weekdays.
type Builtin = (&'static str, &'static [u64], &'static [u64], &'static [u64], &'static [u64]);

/// Schedules every cluster has.
const BUILTIN: [Builtin; 8] = [
    ("5min", &[0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55], &[], &[], &[]),
    ("8hour", &[15], &[2, 10, 18], &[], &[]),
    ("10min", &[0, 10, 20, 30, 40, 50], &[], &[], &[]),
    ("12-hourly", &[15], &[0, 12], &[], &[]),
    ("daily", &[10], &[0], &[], &[]),
    ("hourly", &[5], &[], &[], &[]),
    ("weekly", &[15], &[0], &[], &[0]),
    ("monthly", &[20], &[0], &[1], &[]),
];

impl Cluster {
    /// The schedule of this name.
    pub fn find_schedule_named(&self, name: &str) -> Option<&Schedule> {
        self.schedules.find(&name.to_owned())
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use (1), times that no clock shows.
    pub fn create_schedule(&mut self, name: &str, timing: Timing) -> Result<Uuid, Refusal> {
        let shaped = !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_schedule_named(name).is_some() {
            return Err(Refusal::conflict(1, format!("Schedule \"{name}\" already exists")).about("name"));
        }
        admit(&timing)?;
        let id = self.mint.edit().uuid();
        self.schedules.insert(id, Schedule { id, name: name.to_owned(), timing });
        Ok(id)
    }

    /// Changes when a schedule's time is.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_schedule`]; its kind stays what it is.
    pub fn modify_schedule(&mut self, id: Uuid, timing: Timing) -> Result<(), Refusal> {
        admit(&timing)?;
        let mut schedule = self.schedules.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let same = matches!(
            (&schedule.timing, &timing),
            (Timing::Cron(_), Timing::Cron(_)) | (Timing::Interval(_), Timing::Interval(_))
        );
        if !same {
            let message = "A schedule does not change between cron and interval";
            return Err(Refusal::request(2, message));
        }
        schedule.timing = timing;
        drop(schedule);
        self.reschedule();
        Ok(())
    }

    /// Deletes a schedule.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_schedule(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.schedules.remove(&id).map(drop).ok_or_else(Refusal::no_entry)
    }

    pub(super) fn create_builtin_schedules(&mut self) {
        for (name, minutes, hours, days, weekdays) in BUILTIN {
            let id = self.mint.edit().uuid();
            let cron = Cron {
                minutes: minutes.to_vec(),
                hours: hours.to_vec(),
                days: days.to_vec(),
                months: Vec::new(),
                weekdays: weekdays.to_vec(),
            };
            let schedule = Schedule { id, name: name.to_owned(), timing: Timing::Cron(cron) };
            self.schedules.insert(id, schedule);
        }
    }
}

fn admit(timing: &Timing) -> Result<(), Refusal> {
    match timing {
        Timing::Cron(cron) => {
            within("cron.minutes", &cron.minutes, 0, 59)?;
            within("cron.hours", &cron.hours, 0, 23)?;
            within("cron.days", &cron.days, 1, 31)?;
            within("cron.months", &cron.months, 1, 12)?;
            within("cron.weekdays", &cron.weekdays, 0, 6)?;
            if cron.minutes.is_empty() { Err(Refusal::required("cron.minutes")) } else { Ok(()) }
        }
        Timing::Interval(text) => {
            let span: Result<jiff::Span, _> = text.parse();
            let good = span.is_ok_and(|span| span.is_positive());
            if good { Ok(()) } else { Err(Refusal::invalid("interval", text)) }
        }
    }
}

fn within(field: &str, values: &[u64], least: u64, most: u64) -> Result<(), Refusal> {
    match values.iter().find(|value| **value < least || **value > most) {
        Some(bad) => Err(Refusal::invalid(field, &bad.to_string())),
        None => Ok(()),
    }
}
