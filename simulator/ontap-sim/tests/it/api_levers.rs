//! Rules of the management API over HTTP: each is set at the control endpoint, and its effect is
//! looked for where a client would see it.

use crate::support::Bench;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const RULES: &str = "/sim/v1/api/faults";

async fn rule(bench: &Bench, rule: Value) -> u64 {
    let (status, answer) = bench.control(Method::POST, RULES, Some(rule)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["id"].as_u64().unwrap()
}

async fn lift(bench: &Bench, rule: u64) {
    let (status, _) = bench.control(Method::DELETE, &format!("{RULES}/{rule}"), None).await;
    assert_eq!(status, StatusCode::OK);
}

fn volume(name: &str) -> Value {
    json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB", "nas": { "path": format!("/{name}") } })
}

async fn names(bench: &Bench) -> Vec<String> {
    let body = bench.get("/api/storage/volumes?name=!svm1_root&is_svm_root=false").await;
    let records = body["records"].as_array().unwrap().iter();
    records.map(|record| record["name"].as_str().unwrap().to_owned()).collect()
}

async fn events(bench: &Bench, kind: &str) -> Vec<Value> {
    let (_, events) = bench.control(Method::GET, &format!("/sim/v1/events?kind={kind}"), None).await;
    events.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_hit_as_many_calls_as_asked_for_in_the_arrays_own_form() {
    let bench = Bench::start().await;
    for (status, code) in [(503, "503"), (500, "500"), (429, "429"), (403, "6")] {
        let fault = json!({ "refuse": { "status": status, "retry_after": 7 } });
        rule(&bench, json!({ "method": "GET", "path": "/api/cluster", "count": 1, "fault": fault })).await;
        let url = format!("https://{}/api/cluster", bench.sim.management());
        let hit = bench.client.get(url).basic_auth("admin", Some("Netapp1!")).send().await.unwrap();
        assert_eq!((hit.status().as_u16(), hit.headers()["retry-after"].to_str().unwrap()), (status, "7"));
        let body: Value = serde_json::from_str(&hit.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], code);
        bench.get("/api/cluster").await;
    }
    let recorded = events(&bench, "api.fault").await;
    assert_eq!(recorded.len(), 4);
    assert_eq!(recorded[0]["fields"]["faults"], json!([{ "rule": 0, "fault": "refuse" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_the_arrays_own_401_until_the_rule_goes() {
    let bench = Bench::start().await;
    let other = rule(&bench, json!({ "fault": { "expire_auth": { "user": "vsadmin" } } })).await;
    bench.get("/api/cluster").await;
    let id = rule(&bench, json!({ "fault": { "expire_auth": { "user": "adm*" } } })).await;
    let refused = bench.call(Method::GET, "/api/cluster", None).await;
    assert_eq!((refused.status, &refused.body["error"]["message"]), (401, &json!("User is not authorized.")));
    lift(&bench, id).await;
    bench.get("/api/cluster").await;
    lift(&bench, other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_call_is_not_done_and_one_whose_answer_is_lost_is() {
    let bench = Bench::start().await;
    let post = || {
        let url = format!("https://{}/api/storage/volumes?return_timeout=9", bench.sim.management());
        bench.client.post(url).basic_auth("admin", Some("Netapp1!")).body(volume("v").to_string()).send()
    };
    rule(&bench, json!({ "method": "POST", "count": 1, "fault": { "cut": {} } })).await;
    assert!(post().await.is_err());
    assert!(names(&bench).await.is_empty());
    rule(&bench, json!({ "method": "POST", "count": 1, "fault": { "lose_answer": {} } })).await;
    assert!(post().await.is_err());
    assert_eq!(names(&bench).await, ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_call_waits_as_long_as_asked_and_the_others_do_not() {
    let bench = Bench::start().await;
    let fault = json!({ "latency": { "fixed": { "us": 300_000 } } });
    rule(&bench, json!({ "path": "/api/cluster", "fault": fault })).await;
    let late = tokio::time::Instant::now();
    bench.get("/api/cluster").await;
    assert!(late.elapsed().as_millis() >= 300);
    assert_eq!(events(&bench, "api.fault").await[0]["fields"]["delay_us"], 300_000);
    bench.get("/api/svm/svms").await;
    assert_eq!(events(&bench, "api.fault").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_lever_fails_has_done_nothing() {
    let bench = Bench::start().await;
    let fault = json!({ "fail_job": { "code": 917_999, "message": "No space left" } });
    let id = rule(&bench, json!({ "path": "/api/storage/*", "fault": fault })).await;
    let accepted = bench.post("/api/storage/volumes", volume("v")).await;
    let (state, job) = bench.job(&accepted).await;
    assert_eq!(
        (state.as_str(), &job["message"], &job["code"]),
        ("failure", &json!("No space left"), &json!(917_999))
    );
    let waited = bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await;
    assert_eq!((waited.status, &waited.body["error"]["code"]), (500, &json!("917999")));
    assert!(names(&bench).await.is_empty());
    lift(&bench, id).await;
    bench.succeed(bench.post("/api/storage/volumes", volume("v")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_job_runs_until_its_rule_goes_and_its_work_is_done() {
    let bench = Bench::start().await;
    let id = rule(&bench, json!({ "method": "POST", "fault": { "stick_job": {} } })).await;
    let waited = bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await;
    let (state, job) = bench.job(&waited).await;
    assert_eq!((state.as_str(), job.get("end_time")), ("running", None));
    lift(&bench, id).await;
    assert_eq!(bench.job(&waited).await.0, "success");
    assert_eq!(names(&bench).await, ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_done_by_half_is_told_to_have_failed_and_leaves_what_it_made() {
    let bench = Bench::start().await;
    let fault = json!({ "half_done": { "without": ["nas.path"] } });
    rule(&bench, json!({ "method": "POST", "fault": fault })).await;
    let accepted = bench.post("/api/storage/volumes", volume("v")).await;
    assert_eq!(bench.job(&accepted).await.0, "failure");
    let made = bench.one("/api/storage/volumes?name=v&fields=nas.path").await;
    assert_eq!(made["nas"].get("path"), None);
    let lun = json!({ "name": "/vol/v/l", "os_type": "linux", "svm.name": "svm1", "space.size": 8192 });
    assert_eq!(bench.post("/api/storage/luns", lun).await.status, 500);
    bench.one("/api/storage/luns?name=/vol/v/l").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_appears_late_in_list_query_and_instance() {
    let bench = Bench::start().await;
    let id = rule(&bench, json!({ "method": "POST", "count": 1, "fault": { "appear_late": {} } })).await;
    let made = bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await;
    assert_eq!(made.status, 201);
    let place = made.location.unwrap();
    assert_eq!(bench.call(Method::GET, &place, None).await.status, 404);
    assert!(names(&bench).await.is_empty());
    assert_eq!(bench.get("/api/storage/volumes?name=v").await["num_records"], 0);
    // The name is taken all the same, as it is where a second node answers.
    assert_eq!(bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await.status, 409);
    lift(&bench, id).await;
    assert_eq!(bench.get(&place).await["name"], "v");
    assert_eq!(names(&bench).await, ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_still_shown_and_cannot_be_changed() {
    let bench = Bench::start().await;
    let made = bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await;
    let place = made.location.unwrap();
    let id = rule(&bench, json!({ "method": "DELETE", "fault": { "disappear_late": {} } })).await;
    assert_eq!(bench.delete(&format!("{place}?return_timeout=15")).await.status, 200);
    let shown = bench.get(&format!("{place}?fields=nas.path")).await;
    assert_eq!((&shown["name"], &shown["nas"]["path"]), (&json!("v"), &json!("/v")));
    assert_eq!(names(&bench).await, ["v"]);
    assert_eq!(bench.get("/api/storage/volumes?name=w").await["num_records"], 0);
    let touched = bench.patch(&format!("{place}?return_timeout=15"), json!({ "comment": "x" })).await;
    assert!(touched.status >= 400, "{touched:?}");
    lift(&bench, id).await;
    assert_eq!(bench.call(Method::GET, &place, None).await.status, 404);
    assert!(names(&bench).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_for_assertions_shows_what_is_whatever_the_rules_hide() {
    let bench = Bench::start().await;
    rule(&bench, json!({ "fault": { "appear_late": {} } })).await;
    bench.post("/api/storage/volumes?return_timeout=15", volume("v")).await;
    let (_, state) = bench.control(Method::GET, "/sim/v1/state", None).await;
    let volumes = state["storage/volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["name"] == "v"));
}
