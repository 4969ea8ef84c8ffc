//! What the array does by the clock: when a schedule's time is next, and which relationships are updated then.
//!
//! Nobody asks again and again: `crate::replication` sleeps until [`Cluster::next_due`], and is told by
//! [`Errand::Reschedule`] when that may be another time.

use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp, ToSpan as _, Unit, Zoned};
use uuid::Uuid;

use super::change::Errand;
use super::mirror::{Mirror, MirrorState};
use super::schedule::{Cron, Schedule, Timing};
use super::{Cluster, DataPlaneChange};

/// A 29th of February comes once in eight years at worst; days that never come are not looked for longer.
const DAYS: usize = 8 * 366;

impl Schedule {
    /// The first time after `last` that is its time, in UTC; `None` where no calendar shows such a day.
    pub fn next_after(&self, last: Timestamp) -> Option<Timestamp> {
        match &self.timing {
            Timing::Cron(cron) => cron.next_after(&last.to_zoned(TimeZone::UTC)),
            Timing::Interval(text) => {
                let span: jiff::Span = text.parse().ok()?;
                let length = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()?;
                // Intervals are counted from one beginning for all: those of others do not put them off.
                let length = (length as i64).max(1);
                let next = last.as_second().div_euclid(length).checked_add(1)?.checked_mul(length)?;
                Timestamp::from_second(next).ok()
            }
        }
    }
}

impl Cron {
    fn next_after(&self, last: &Zoned) -> Option<Timestamp> {
        let mut day = last.start_of_day().ok()?;
        for _ in 0..DAYS {
            if self.has_day(&day)
                && let Some(time) = self.times_of(&day).find(|time| *time > last.timestamp())
            {
                return Some(time);
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }

    /// Days of the month and of the week are alternatives where both are given, as in every cron.
    fn has_day(&self, day: &Zoned) -> bool {
        let number = |value: i8| u64::try_from(value).unwrap_or(0);
        let any_month = self.months.is_empty() || self.months.contains(&number(day.month()));
        let of_month = self.days.contains(&number(day.day()));
        let of_week = self.weekdays.contains(&number(day.weekday().to_sunday_zero_offset()));
        let any_day = match (self.days.is_empty(), self.weekdays.is_empty()) {
            (true, true) => true,
            (false, true) => of_month,
            (true, false) => of_week,
            (false, false) => of_month || of_week,
        };
        any_month && any_day
    }

    fn times_of<'c>(&'c self, day: &'c Zoned) -> impl Iterator<Item = Timestamp> {
        let listed = |wanted: &'c [u64], all: i64| {
            (0..all).filter(move |value| {
                wanted.is_empty() || wanted.iter().any(|one| i64::try_from(*one) == Ok(*value))
            })
        };
        listed(&self.hours, 24).flat_map(move |hour| {
            let minutes = listed(&self.minutes, 60);
            minutes.filter_map(move |minute| {
                Some(day.checked_add(hour.hours().minutes(minute)).ok()?.timestamp())
            })
        })
    }
}

impl Cluster {
    /// When a relationship is next updated by its schedule, after `last`.
    pub fn next_due(&self, last: Timestamp) -> Option<Timestamp> {
        let next = |mirror: &Mirror| self.schedule_of(mirror)?.next_after(last);
        self.mirrors.values().filter_map(next).min()
    }

    /// Updates the relationships whose time was after `last` and is not to come; which they are. One that is being
    /// transferred already is left out, as on the array.
    pub fn update_due(&mut self, last: Timestamp) -> Vec<Uuid> {
        let due = |mirror: &&Mirror| {
            let next = self.schedule_of(mirror).and_then(|schedule| schedule.next_after(last));
            next.is_some_and(|next| next <= self.now)
        };
        let due: Vec<_> = self.mirrors.values().filter(due).map(|mirror| mirror.id).collect();
        due.into_iter().filter(|mirror| self.update_mirror(*mirror, None).is_ok()).collect()
    }

    /// The schedule that has something to do for a relationship.
    fn schedule_of(&self, mirror: &Mirror) -> Option<&Schedule> {
        let active = mirror.state == MirrorState::Mirrored && !mirror.quiesced;
        self.find_schedule_named(mirror.schedule.as_deref().filter(|_| active)?)
    }

    /// Says that something else may be due next.
    pub(super) fn reschedule(&mut self) {
        self.change(DataPlaneChange::Errand(Errand::Reschedule));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(timing: Timing, last: &str) -> String {
        let schedule = Schedule { id: Uuid::nil(), name: "s".into(), timing };
        let next = schedule.next_after(last.parse().unwrap());
        next.map_or_else(|| "never".to_owned(), |next| next.to_string())
    }

    #[test]
    fn a_schedules_time_is_the_next_that_its_fields_admit() {
        let hourly = || Cron { minutes: vec![5], ..Cron::default() };
        let cron = |cron| Timing::Cron(cron);
        for (timing, last, wanted) in [
            (cron(hourly()), "2026-11-21T23:04:59Z", "2026-11-21T23:05:00Z"),
            (cron(hourly()), "2026-11-21T23:05:00Z", "2026-11-22T00:05:00Z"),
            (cron(Cron { hours: vec![2, 10], ..hourly() }), "2026-11-21T03:00:00Z", "2026-11-21T10:05:00Z"),
            // A Sunday, the 22nd; and then the first of the month, whichever day of the week that is.
            (
                cron(Cron { hours: vec![0], weekdays: vec![0], ..hourly() }),
                "2026-11-21T12:00:00Z",
                "2026-11-22T00:05:00Z",
            ),
            (
                cron(Cron { hours: vec![0], weekdays: vec![2], days: vec![29], ..hourly() }),
                "2026-11-25T00:00:00Z",
                "2026-11-29T00:05:00Z",
            ),
            (
                cron(Cron { months: vec![2], days: vec![29], hours: vec![0], ..hourly() }),
                "2026-11-21T00:00:00Z",
                "2028-02-29T00:05:00Z",
            ),
            (cron(Cron { months: vec![2], days: vec![30], ..hourly() }), "2026-11-21T00:00:00Z", "never"),
            (Timing::Interval("PT90M".into()), "2026-11-21T23:00:00Z", "2026-11-22T00:00:00Z"),
            (Timing::Interval("PT90M".into()), "2026-11-21T22:29:00Z", "2026-11-21T22:30:00Z"),
        ] {
            assert_eq!(next(timing.clone(), last), wanted, "{timing:?} after {last}");
        }
    }
}
