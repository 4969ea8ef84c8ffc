//! Schedules, from parameters to requests and from replies to JSON. Clients give them flat or inside
//! `schedule`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::params::Params;
use super::protection::span;
use super::render::time;
use crate::state::{
    ApiError, Frequency, Reply, Schedule, ScheduleId, SchedulePatch, ScheduleRequest, ScheduledSnapshot,
    VolumeId,
};

/// What `method` asks, if it is one of these.
pub(super) fn decode(method: &str, params: &mut Params) -> Result<Option<ScheduleRequest>, ApiError> {
    let id = |params: &mut Params| params.require_integer("scheduleID").map(ScheduleId);
    Ok(Some(match method {
        "CreateSchedule" => ScheduleRequest::Create(patch(params)?),
        "GetSchedule" => ScheduleRequest::Get(id(params)?),
        "ListSchedules" => ScheduleRequest::List,
        "ModifySchedule" => ScheduleRequest::Modify(id(params)?, patch(params)?),
        _ => return Ok(None),
    }))
}

fn patch(params: &mut Params) -> Result<SchedulePatch, ApiError> {
    let kind = params.find_text("scheduleType")?.unwrap_or_default();
    if !matches!(kind.to_ascii_lowercase().as_str(), "" | "snapshot") {
        return Err(ApiError::UnrecognizedEnum { member: "scheduleType", value: kind, expected: "Snapshot" });
    }
    // They come with every schedule, and are the array's to tell.
    params.drop("hasError");
    params.drop("lastRunStatus");
    params.drop("lastRunTimeStarted");
    let mut attributes = params.find_object("attributes")?;
    let named = attributes.as_mut().and_then(|attributes| attributes.shift_remove("frequency"));
    let starting = params.find_text("startingDate")?.filter(|text| !text.is_empty());
    let starting = starting.map(|text| {
        let reason = format!("startingDate `{text}` is not a time like 2026-01-02T03:04:05Z");
        text.parse::<Timestamp>().map_err(|_| ApiError::InvalidParameter { reason })
    });
    Ok(SchedulePatch {
        name: params.find_text("scheduleName")?.or(params.find_text("name")?),
        frequency: frequency(named.as_ref().and_then(Value::as_str), params)?,
        snapshot: snapshot(params)?,
        paused: params.find_flag("paused")?,
        recurring: params.find_flag("recurring")?,
        run_now: params.find_flag("runNextInterval")?.unwrap_or(false),
        starting: starting.transpose()?,
        deleted: params.find_flag("toBeDeleted")?,
        attributes,
    })
}

fn frequency(named: Option<&str>, params: &mut Params) -> Result<Option<Frequency>, ApiError> {
    let hours = params.find_integer("hours")?.unwrap_or(0);
    let minutes = params.find_integer("minutes")?.unwrap_or(0);
    if !(0..=100_000).contains(&hours) || !(0..=59).contains(&minutes) {
        let reason = format!("hours {hours} and minutes {minutes} are no time");
        return Err(ApiError::InvalidParameter { reason });
    }
    let minutes = hours * 60 + minutes;
    let month = params.find_integers("monthdays")?.unwrap_or_default().into_iter().collect();
    let week = match params.find_values("weekdays")?.filter(|days| !days.is_empty()) {
        None => Default::default(),
        Some(days) => {
            let day = |day: &Value| super::params::integer("weekdays", day.get("day").unwrap_or(day));
            days.iter().map(day).collect::<Result<_, _>>()?
        }
    };
    Ok(Some(match named {
        None => return Ok(None),
        Some("Time Interval") => Frequency::Interval { minutes },
        Some("Days Of Week") => Frequency::DaysOfWeek { days: week, minutes },
        Some("Days Of Month") => Frequency::DaysOfMonth { days: month, minutes },
        Some(other) => {
            let expected = "Time Interval, Days Of Week, Days Of Month";
            return Err(ApiError::UnrecognizedEnum { member: "frequency", value: other.into(), expected });
        }
    }))
}

fn snapshot(params: &mut Params) -> Result<Option<ScheduledSnapshot>, ApiError> {
    let Some(info) = params.find_object("scheduleInfo")? else { return Ok(None) };
    let mut info = Params::parse(Some(Value::Object(info)))?;
    let several = info.find_integers("volumes")?.or(info.find_integers("volumeIDs")?);
    let one = info.find_integer("volumeID")?.map(|id| vec![id]);
    let retention = info.find_text("retention")?.filter(|text| !text.is_empty() && text != "0");
    let retention = retention.map(|text| {
        let reason = format!("retention `{text}` is not of the form HH:mm:ss");
        span(&text).ok_or(ApiError::InvalidParameter { reason })
    });
    let name = info.find_text("name")?.or(info.find_text("snapshotName")?);
    Ok(Some(ScheduledSnapshot {
        volumes: several.or(one).unwrap_or_default().into_iter().map(VolumeId).collect(),
        name: name.filter(|name| !name.is_empty()),
        retention: retention.transpose()?,
        replicate: info.find_flag("enableRemoteReplication")?.unwrap_or(false),
    }))
}

/// The `result` of these methods.
pub(super) fn result(reply: &Reply) -> Option<Value> {
    Some(match reply {
        Reply::ScheduleCreated(one) => json!({"scheduleID": one.id.0, "schedule": record(one)}),
        Reply::Schedule(one) => json!({"schedule": record(one)}),
        Reply::Schedules(many) => json!({"schedules": many.iter().map(record).collect::<Vec<_>>()}),
        _ => return None,
    })
}

fn record(schedule: &Schedule) -> Value {
    let days = |days: &std::collections::BTreeSet<i64>| days.iter().copied().collect::<Vec<_>>();
    let (name, minutes, month, week) = match &schedule.frequency {
        Frequency::Interval { minutes } => ("Time Interval", *minutes, Vec::new(), Vec::new()),
        Frequency::DaysOfWeek { days: week, minutes } => ("Days Of Week", *minutes, Vec::new(), days(week)),
        Frequency::DaysOfMonth { days: month, minutes } => {
            ("Days Of Month", *minutes, days(month), Vec::new())
        }
    };
    let mut attributes = Map::from_iter([("frequency".to_owned(), Value::from(name))]);
    attributes.extend(schedule.attributes.clone());
    let status = match schedule.last {
        Some((_, true)) => "Failed",
        _ => "Success",
    };
    json!({
        "scheduleID": schedule.id.0,
        "scheduleName": schedule.name,
        "scheduleType": "Snapshot",
        "attributes": attributes,
        "hasError": schedule.last.is_some_and(|(_, failed)| failed),
        "hours": minutes / 60,
        "minutes": minutes % 60,
        "monthdays": month,
        "weekdays": week.into_iter().map(|day| json!({"day": day, "offset": 1})).collect::<Vec<_>>(),
        "paused": schedule.paused,
        "recurring": schedule.recurring,
        "runNextInterval": false,
        "startingDate": time(schedule.starting),
        "lastRunStatus": status,
        "lastRunTimeStarted": schedule.last.map(|(at, _)| time(at)),
        "toBeDeleted": schedule.deleted,
        "scheduleInfo": info(&schedule.snapshot),
    })
}

fn info(what: &ScheduledSnapshot) -> Value {
    let mut info = Map::new();
    match what.volumes.as_slice() {
        [one] => info.insert("volumeID".into(), one.0.into()),
        several => info.insert("volumes".into(), several.iter().map(|id| id.0).collect()),
    };
    if let Some(name) = &what.name {
        info.insert("name".into(), name.as_str().into());
    }
    if let Some(retention) = what.retention {
        let seconds = retention.as_secs();
        let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        info.insert("retention".into(), text.into());
    }
    info.insert("enableRemoteReplication".into(), what.replicate.into());
    info.into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, cluster, refused};
    use super::*;

    #[test]
    fn a_schedule_is_told_as_it_was_given_and_changed() {
        let api = cluster();
        let new = json!({"scheduleName": "nightly", "scheduleType": "Snapshot", "hours": 1, "minutes": 30,
            "attributes": {"frequency": "Days Of Week"}, "weekdays": [{"day": 0, "offset": 1}],
            "scheduleInfo": {"volumeID": "1", "name": "kept", "retention": "24:00:00"}});
        assert_eq!(call(&api, "CreateSchedule", &new)["scheduleID"], 1);
        let told = &call(&api, "GetSchedule", &json!({"scheduleID": 1}))["schedule"];
        assert_eq!((&told["hours"], &told["minutes"]), (&json!(1), &json!(30)));
        assert_eq!(told["weekdays"], new["weekdays"]);
        assert_eq!(told["scheduleInfo"]["retention"], "24:00:00");
        let change = json!({"scheduleID": 1, "paused": true, "scheduleName": "rests"});
        call(&api, "ModifySchedule", &change);
        let all = call(&api, "ListSchedules", &json!({}));
        let told = &all["schedules"][0];
        assert_eq!((&told["paused"], &told["scheduleName"]), (&json!(true), &json!("rests")));
        assert_eq!(told["attributes"]["frequency"], "Days Of Week");
        for (bad, name) in [
            (json!({"scheduleName": "x"}), "xMissingParameter"),
            (json!({"scheduleName": "x", "attributes": {"frequency": "Yearly"}}), "xUnrecognizedEnumString"),
            (
                json!({"scheduleName": "x", "attributes": {"frequency": "Time Interval"}, "minutes": 5,
                "scheduleInfo": {"volumeID": 9}}),
                "xVolumeIDDoesNotExist",
            ),
        ] {
            assert_eq!(refused(&api, "CreateSchedule", &bad), name, "{bad}");
        }
        assert_eq!(refused(&api, "GetSchedule", &json!({"scheduleID": 2})), "xScheduleIDDoesNotExist");
    }
}
