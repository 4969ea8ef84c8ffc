//! What the array is, and its jobs.

use serde_json::Value;

use super::super::change::Creation;
use super::super::failure::Failure;
use super::super::field::{Column, Kind, computed, may, plain, time, words};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone};
use super::{attributes, number, text};
use crate::management::{Management, Source};
use crate::shell;

pub(super) const CALLS: &[Api] = &[
    anyone("system-get-ontapi-version", Act::Run(ontapi_version)),
    anyone("system-get-version", Act::Run(version)),
    anyone("system-cli", Act::Run(system_cli)),
    anyone("cluster-identity-get", Act::Run(cluster_identity)),
    anyone("system-node-get-iter", Act::List(&NODES)),
    anyone("job-get-iter", Act::List(&JOBS)),
    anyone("job-schedule-get-iter", Act::List(&SCHEDULES)),
    anyone("ems-autosupport-log", Act::Create(&EMS)),
];

const NODES: Listing = Listing {
    source: Source::Collection("cluster/nodes"),
    record: "node-details-info",
    columns: &[
        plain("node", "name"),
        plain("node-uuid", "uuid"),
        plain("node-serial-number", "serial_number"),
        plain("node-model", "model"),
        plain("product-version", "version.full"),
        words("is-node-healthy", "state", &[("up", "true"), ("down", "false")]),
        plain("is-all-flash-optimized", "is_all_flash_optimized"),
    ],
};

const JOBS: Listing = Listing {
    source: Source::Collection("cluster/jobs"),
    record: "job-info",
    columns: &[
        computed("job-id", |job| Some(job_number(&text(job, "uuid")).to_string())),
        plain("job-uuid", "uuid"),
        plain("job-description", "description"),
        plain("job-state", "state"),
        plain("job-completion", "message"),
        plain("job-status-code", "code"),
        plain("job-vserver", "svm.name"),
        time("job-start-time", "start_time"),
        time("job-end-time", "end_time"),
    ],
};

const SCHEDULES: Listing = Listing {
    source: Source::Collection("cluster/schedules"),
    record: "job-schedule-info",
    columns: SCHEDULE,
};

const SCHEDULE: &[Column] = &[
    plain("job-schedule-name", "name"),
    words("job-schedule-type", "type", &[("cron", "cron"), ("interval", "interval")]),
];

const EMS: Creation = Creation {
    within: None,
    path: "support/ems/application-logs",
    inputs: &[
        may("app-version", "app_version", Kind::Text),
        may("auto-support", "autosupport_required", Kind::Boolean),
        may("category", "category", Kind::Text),
        may("computer-name", "computer_name", Kind::Text),
        may("event-description", "event_description", Kind::Text),
        may("event-id", "event_id", Kind::Number),
        may("event-source", "event_source", Kind::Text),
        // ONTAPI has syslog's numbers, the management API their names; 6 and 7 need no telling.
        may(
            "log-level",
            "severity",
            Kind::Words(&[
                ("3", "error"),
                ("4", "warning"),
                ("5", "notice"),
                ("6", "informational"),
                ("7", "debug"),
            ]),
        ),
    ],
    fixed: &[],
};

/// ONTAPI has numbers for jobs, the management API has identifiers: the number is the identifier's first 31
/// bits, so that it needs no table and is the same after a restart.
pub(super) fn job_number(uuid: &str) -> u32 {
    let digits: String = uuid.chars().take(8).collect();
    u32::from_str_radix(&digits, 16).unwrap_or(0) & 0x7fff_ffff
}

fn cluster(management: &mut Management<'_>) -> Result<Value, Failure> {
    Ok(management.records("cluster", &[])?.into_iter().next().unwrap_or_default())
}

/// The minor version of ONTAPI that goes with the release: 150 is 9.5, 251 is 9.15.1.
pub(in super::super) fn ontapi_minor(management: &mut Management<'_>) -> u64 {
    let cluster = cluster(management).unwrap_or_default();
    let part = |field: &str| number(&cluster, field).unwrap_or(0);
    part("version.major").saturating_mul(10).saturating_add(part("version.minor")).saturating_add(100)
}

fn ontapi_version(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    Ok(vec![Element::leaf("major-version", 1), Element::leaf("minor-version", ontapi_minor(management))])
}

fn version(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    let cluster = cluster(management)?;
    let part = |name: &str| Element::leaf(name, text(&cluster, &format!("version.{name}")));
    let tuple = Element::of("system-version-tuple", vec![part("generation"), part("major"), part("minor")]);
    Ok(vec![
        // 2024-07-10, the day in the release's name.
        Element::leaf("build-timestamp", 1_720_592_344),
        Element::leaf("is-clustered", true),
        Element::leaf("version", text(&cluster, "version.full")),
        Element::of("version-tuple", vec![tuple]),
    ])
}

fn cluster_identity(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    let cluster = cluster(management)?;
    Ok(attributes(Element::of(
        "cluster-identity-info",
        vec![
            Element::leaf("cluster-name", text(&cluster, "name")),
            Element::leaf("cluster-uuid", text(&cluster, "uuid")),
        ],
    )))
}

/// Runs a command of the shell; a failed one is told by its result value and what it printed.
fn system_cli(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let words: Vec<_> = request.all("args/arg").into_iter().map(|word| word.text.clone()).collect();
    if words.is_empty() {
        return Err(Failure::missing_input("args"));
    }
    let (output, succeeded) = shell::execute(management, &words);
    Ok(vec![Element::leaf("cli-output", output), Element::leaf("cli-result-value", u8::from(succeeded))])
}
