//! Schedules: snapshots that the cluster takes by itself. Times are UTC, as everywhere in the API.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::require_small;
use super::limits::{SCHEDULE_COUNT_MAX, SCHEDULE_NAME_LENGTH};
use super::machine::State;
use super::{ApiError, DataPlaneChange, Expiry, NewSnapshot, Reply, ScheduleId, VolumeId};

/// When a schedule runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frequency {
    /// Each time so many minutes have gone, from the start on.
    Interval {
        /// From 1.
        minutes: i64,
    },
    /// On these days of the week, 0 is Sunday.
    DaysOfWeek {
        /// From 0 to 6; none: every day.
        days: BTreeSet<i64>,
        /// Minutes after midnight.
        minutes: i64,
    },
    /// On these days of the month.
    DaysOfMonth {
        /// From 1 to 31.
        days: BTreeSet<i64>,
        /// Minutes after midnight.
        minutes: i64,
    },
}

/// Minutes of a day.
const DAY: i64 = 24 * 60;

impl Frequency {
    fn check(&self) -> Result<(), ApiError> {
        let (days, bounds, minutes): (_, std::ops::RangeInclusive<i64>, _) = match self {
            Self::Interval { minutes } if *minutes >= 1 => return Ok(()),
            Self::Interval { .. } => {
                let reason = "hours and minutes of a time interval must not both be 0".into();
                return Err(ApiError::InvalidParameter { reason });
            }
            Self::DaysOfWeek { days, minutes } => (days, 0..=6, minutes),
            Self::DaysOfMonth { days, .. } if days.is_empty() => {
                return Err(ApiError::MissingParameter { member: "monthdays" });
            }
            Self::DaysOfMonth { days, minutes } => (days, 1..=31, minutes),
        };
        match days.iter().find(|day| !bounds.contains(*day)) {
            Some(day) => {
                let reason = format!("day {day} is not in {}..{}", bounds.start(), bounds.end());
                Err(ApiError::InvalidParameter { reason })
            }
            None if !(0..DAY).contains(minutes) => {
                Err(ApiError::InvalidParameter { reason: "hours and minutes are no time of day".into() })
            }
            None => Ok(()),
        }
    }

    /// The first time after `now` that it runs; `start` is when it may begin. Never for a day of the month
    /// that there is in no month of the next years.
    fn next(&self, start: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let after = now.max(start);
        match self {
            Self::Interval { minutes } => {
                let step = SignedDuration::from_mins(*minutes);
                let gone = after.duration_since(start).as_secs() / step.as_secs().max(1);
                let steps = i32::try_from(gone).ok()?.checked_add(1)?;
                start.checked_add(step.checked_mul(steps)?).ok()
            }
            Self::DaysOfWeek { days, minutes } => at_a_day(after, *minutes, |date| {
                days.is_empty() || days.contains(&i64::from(date.weekday().to_sunday_zero_offset()))
            }),
            Self::DaysOfMonth { days, minutes } => {
                at_a_day(after, *minutes, |date| days.contains(&i64::from(date.day())))
            }
        }
    }
}

/// The first time after `after` that is so many minutes into a wanted day.
fn at_a_day(after: Timestamp, minutes: i64, wanted: impl Fn(jiff::civil::Date) -> bool) -> Option<Timestamp> {
    let today = after.to_zoned(TimeZone::UTC).date();
    // A 31st is never further away than two months.
    (0..=62).find_map(|days| {
        let date = today.checked_add(days.days()).ok().filter(|date| wanted(*date))?;
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        midnight.checked_add(SignedDuration::from_mins(minutes)).ok().filter(|at| *at > after)
    })
}

/// What a schedule does: snapshots of volumes, a group snapshot where there are several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledSnapshot {
    /// The volumes.
    pub volumes: Vec<VolumeId>,
    /// Name of the snapshots; the time when there is none.
    pub name: Option<String>,
    /// How long they stay; for ever when there is nothing.
    pub retention: Option<SignedDuration>,
    /// Whether a paired cluster is to get them.
    pub replicate: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its number.
    pub id: ScheduleId,
    /// Its name, unique.
    pub name: String,
    /// When it runs.
    pub frequency: Frequency,
    /// What it does.
    pub snapshot: ScheduledSnapshot,
    /// Whether it rests.
    pub paused: bool,
    /// Whether it runs again after the first time.
    pub recurring: bool,
    /// When it may begin.
    pub starting: Timestamp,
    /// When it runs next.
    pub next: Option<Timestamp>,
    /// When it ran last, and whether that failed.
    pub last: Option<(Timestamp, bool)>,
    /// Whether it is gone but for lists; it never runs again.
    pub deleted: bool,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

records::untagged!(Schedule);

/// Parameters of a schedule that is made or changed; what is absent stays, or is as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulePatch {
    /// Name.
    pub name: Option<String>,
    /// When it runs.
    pub frequency: Option<Frequency>,
    /// What it does.
    pub snapshot: Option<ScheduledSnapshot>,
    /// Whether it rests.
    pub paused: Option<bool>,
    /// Whether it runs again.
    pub recurring: Option<bool>,
    /// Whether it runs at once, besides its times.
    pub run_now: bool,
    /// When it may begin.
    pub starting: Option<Timestamp>,
    /// Whether it goes.
    pub deleted: Option<bool>,
    /// The client's own notes.
    pub attributes: Option<Map<String, Value>>,
}

/// What a client may ask about schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleRequest {
    /// `CreateSchedule`.
    Create(SchedulePatch),
    /// `GetSchedule`.
    Get(ScheduleId),
    /// `ListSchedules`.
    List,
    /// `ModifySchedule`.
    Modify(ScheduleId, SchedulePatch),
}

impl State {
    pub(super) fn schedule(&mut self, request: ScheduleRequest, now: Timestamp) -> Result<Reply, ApiError> {
        match request {
            ScheduleRequest::Create(patch) => {
                if self.schedules.len() >= SCHEDULE_COUNT_MAX {
                    return Err(ApiError::ExceededLimit { what: "schedules", maximum: SCHEDULE_COUNT_MAX });
                }
                let missing = |member| ApiError::MissingParameter { member };
                let schedule = Schedule {
                    id: self.last.edit().schedule.advance(),
                    name: patch.name.clone().ok_or_else(|| missing("scheduleName"))?,
                    frequency: patch.frequency.clone().ok_or_else(|| missing("attributes"))?,
                    snapshot: patch.snapshot.clone().ok_or_else(|| missing("scheduleInfo"))?,
                    paused: false,
                    recurring: true,
                    starting: now,
                    next: None,
                    last: None,
                    deleted: false,
                    attributes: Map::new(),
                };
                self.settle_schedule(schedule, patch, now).map(Reply::ScheduleCreated)
            }
            ScheduleRequest::Get(id) => Ok(Reply::Schedule(self.require_schedule(id)?.clone())),
            ScheduleRequest::List => Ok(Reply::Schedules(self.schedules.values().cloned().collect())),
            ScheduleRequest::Modify(id, patch) => {
                let schedule = self.require_schedule(id)?.clone();
                self.settle_schedule(schedule, patch, now).map(Reply::Schedule)
            }
        }
    }

    fn require_schedule(&self, id: ScheduleId) -> Result<&Schedule, ApiError> {
        self.schedules.get(&id).ok_or(ApiError::ScheduleIdDoesNotExist(id))
    }

    fn settle_schedule(
        &mut self,
        mut schedule: Schedule,
        patch: SchedulePatch,
        now: Timestamp,
    ) -> Result<Schedule, ApiError> {
        schedule.name = patch.name.unwrap_or(schedule.name);
        schedule.frequency = patch.frequency.unwrap_or(schedule.frequency);
        schedule.snapshot = patch.snapshot.unwrap_or(schedule.snapshot);
        schedule.paused = patch.paused.unwrap_or(schedule.paused);
        schedule.recurring = patch.recurring.unwrap_or(schedule.recurring);
        schedule.starting = patch.starting.unwrap_or(schedule.starting);
        schedule.deleted = patch.deleted.unwrap_or(schedule.deleted);
        schedule.attributes = patch.attributes.unwrap_or(schedule.attributes);
        if !SCHEDULE_NAME_LENGTH.contains(&schedule.name.chars().count()) {
            let reason = "scheduleName must have 1 to 244 characters".into();
            return Err(ApiError::InvalidParameter { reason });
        }
        require_small(&schedule.attributes)?;
        schedule.frequency.check()?;
        if schedule.snapshot.volumes.is_empty() {
            return Err(ApiError::MissingParameter { member: "volumeID" });
        }
        schedule.snapshot.volumes.iter().try_for_each(|volume| self.require_active(*volume).map(drop))?;
        let next = if patch.run_now { Some(now) } else { schedule.frequency.next(schedule.starting, now) };
        schedule.next = next.filter(|_| !schedule.paused && !schedule.deleted);
        self.schedules.insert(schedule.id, schedule.clone());
        Ok(schedule)
    }

    /// Runs the schedules whose time has come. One that was missed by more than its interval runs once.
    pub(super) fn run_schedules(&mut self, now: Timestamp, changes: &mut Vec<DataPlaneChange>) {
        let due = |schedule: &&Schedule| schedule.next.is_some_and(|next| next <= now);
        let due: Vec<_> = self.schedules.values().filter(due).cloned().collect();
        for schedule in due {
            let (marks, before) = (self.mark_rows(), changes.len());
            let failed = self.run(&schedule.snapshot, now, changes).is_err();
            if failed {
                self.roll_back_rows(&marks);
                changes.truncate(before);
            }
            if let Some(mut row) = self.schedules.get_mut(&schedule.id) {
                row.last = Some((now, failed));
                row.paused |= !row.recurring;
                row.next = row.frequency.next(row.starting, now).filter(|_| row.recurring);
            }
        }
    }

    fn run(
        &mut self,
        what: &ScheduledSnapshot,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<(), ApiError> {
        let new = NewSnapshot {
            name: what.name.clone(),
            replicate: what.replicate,
            expiry: what.retention.map_or(Expiry::Never, Expiry::After),
            attributes: Map::new(),
        };
        match what.volumes.as_slice() {
            [one] => self.take_one(*one, &new, now, changes),
            several => self.take_group(several, &new, now, changes).map(drop),
        }
    }

    /// When something is to happen by itself: a schedule, the end of a snapshot, the purge of a volume.
    pub fn next_event(&self) -> Option<Timestamp> {
        let schedules = self.schedules.values().filter_map(|schedule| schedule.next);
        let expiries = self.snapshots.values().filter_map(|snapshot| snapshot.expires);
        let purges = self.volumes.values().filter_map(|volume| Some(volume.deletion?.purge_at));
        schedules.chain(expiries).chain(purges).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_follow_the_interval_the_week_and_the_month() {
        let start = at("2026-11-21T00:00:00Z");
        let next = |frequency: &Frequency, now| frequency.next(start, at(now)).unwrap().to_string();
        let quarter = Frequency::Interval { minutes: 15 };
        assert_eq!(next(&quarter, "2026-11-21T10:20:00Z"), "2026-11-21T10:30:00Z");
        assert_eq!(next(&quarter, "2026-11-21T10:30:00Z"), "2026-11-21T10:45:00Z");
        assert_eq!(next(&quarter, "2026-11-20T10:30:00Z"), "2026-11-21T00:15:00Z");
        // The 21st of November 2026 is a Saturday.
        let week = Frequency::DaysOfWeek { days: BTreeSet::from([0, 6]), minutes: 90 };
        assert_eq!(next(&week, "2026-11-21T01:29:00Z"), "2026-11-21T01:30:00Z");
        assert_eq!(next(&week, "2026-11-21T01:30:00Z"), "2026-11-22T01:30:00Z");
        assert_eq!(next(&week, "2026-11-23T00:00:00Z"), "2026-11-28T01:30:00Z");
        let month = Frequency::DaysOfMonth { days: BTreeSet::from([31]), minutes: 0 };
        assert_eq!(next(&month, "2026-11-21T00:00:00Z"), "2026-12-31T00:00:00Z");
        assert_eq!(next(&month, "2026-12-31T00:00:00Z"), "2027-01-31T00:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let month =
            |days: &[i64], minutes| Frequency::DaysOfMonth { days: days.iter().copied().collect(), minutes };
        for bad in [Frequency::Interval { minutes: 0 }, month(&[], 0), month(&[0], 0), month(&[1], DAY)] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(month(&[1, 31], DAY - 1).check().is_ok());
    }
}
