//! `/cluster`, its nodes and its jobs.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::super::value::without_nulls;
use super::{svm_reference, time};
use crate::state::job::Job;
use crate::state::{Cluster, JobId, Refusal, Version};

fn version(cluster: &Cluster) -> Value {
    let Version { generation, major, minor } = cluster.about.version;
    let full = format!("NetApp Release {generation}.{major}.{minor}P1: Wed Jul 10 06:19:04 UTC 2024");
    json!({ "full": full, "generation": generation, "major": major, "minor": minor })
}

pub(super) const CLUSTER: Resource = Resource {
    path: "cluster",
    always: &["name", "uuid"],
    readable: &[
        "name",
        "uuid",
        "version.full",
        "version.generation",
        "version.major",
        "version.minor",
        "san_optimized",
        "disaggregated",
        "contact",
        "location",
    ],
    modifiable: &["name", "contact", "location"],
    list: Some(cluster),
    modify: Some(modify),
    ..NOTHING
};

pub(super) const NODES: Resource = Resource {
    path: "cluster/nodes",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "serial_number",
        "model",
        "state",
        "membership",
        "uptime",
        "ha.enabled",
        "ha.partners.name",
        "ha.partners.uuid",
        "is_all_flash_optimized",
        "is_all_flash_select_optimized",
        "version.full",
        "version.generation",
        "version.major",
        "version.minor",
    ],
    list: Some(nodes),
    ..NOTHING
};

pub(super) const JOBS: Resource = Resource {
    path: "cluster/jobs",
    keys: &["uuid"],
    always: &["uuid"],
    readable: &[
        "uuid",
        "description",
        "state",
        "message",
        "code",
        "start_time",
        "end_time",
        "svm.name",
        "svm.uuid",
        "error.code",
        "error.message",
    ],
    flags: &["action"],
    list: Some(jobs),
    modify: Some(steer_job),
    ..NOTHING
};

fn cluster(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let text = |text: &String| if text.is_empty() { Value::Null } else { json!(text) };
    Ok(vec![json!({
        "name": cluster.about.name,
        "uuid": cluster.about.uuid.to_string(),
        "version": version(cluster),
        "contact": text(&cluster.about.contact),
        "location": text(&cluster.about.location),
    })])
}

fn modify(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_about(body.text("name")?, body.text("contact")?, body.text("location")?)
}

fn nodes(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |node: &crate::state::Node| {
        json!({
            "uuid": node.id.to_string(),
            "name": node.name,
            "serial_number": node.serial,
            "model": cluster.about.model,
            "state": "up",
            "membership": "member",
            "uptime": 86_400,
            "ha": { "enabled": true, "partners": partners(cluster, node) },
            "is_all_flash_optimized": false,
            "is_all_flash_select_optimized": false,
            "version": version(cluster),
        })
    };
    Ok(cluster.nodes.values().map(record).collect())
}

fn partners(cluster: &Cluster, node: &crate::state::Node) -> Vec<Value> {
    let others = cluster.ha_pair(node.id).into_iter().filter(|other| other.id != node.id);
    others.map(|other| json!({ "name": other.name, "uuid": other.id.to_string() })).collect()
}

fn jobs(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let jobs: Box<dyn Iterator<Item = &Job>> = match scope.exact("uuid") {
        Some(uuid) => Box::new(uuid.parse().ok().and_then(|uuid| cluster.jobs.get(&JobId(uuid))).into_iter()),
        None => Box::new(cluster.jobs.values()),
    };
    Ok(jobs.map(|job| without_nulls(job_record(cluster, job))).collect())
}

/// Jobs are finished when they are first seen: there is nothing to cancel, pause or resume. The
/// array's number for that is not verified.
fn steer_job(_: &mut Cluster, scope: &Scope<'_>, _: &Body) -> Result<(), Refusal> {
    match scope.query.text("action") {
        Some(action @ ("cancel" | "pause" | "resume")) => {
            let message = format!("Cannot {action} job {}: it is not running", scope.key(0));
            Err(Refusal::conflict(459_757, message).about("action"))
        }
        Some(other) => Err(Refusal::invalid("action", other)),
        None => Err(Refusal::required("action")),
    }
}

/// In jobs the code is a number; `error` is there for the clients that read only that.
fn job_record(cluster: &Cluster, job: &Job) -> Value {
    let (state, message, code) = match &job.failure {
        None => ("success", "success", 0),
        Some(refusal) => ("failure", refusal.message.as_str(), refusal.code),
    };
    json!({
        "uuid": job.id.to_string(),
        "description": job.description,
        "state": state,
        "message": message,
        "code": code,
        "start_time": time(job.time),
        "end_time": time(job.time),
        "svm": job.svm.map(|svm| svm_reference(cluster, svm)),
        "error": job.failure.as_ref().map(|refusal| json!({ "code": refusal.code.to_string(), "message": refusal.message })),
    })
}
