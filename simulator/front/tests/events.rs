//! The event stream: complete, in order, in both forms, and an end that is told.

// Helpers of tests fail the test that called them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use levers::EventLog;
use serde_json::{Value, json};
use support::Bench;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

/// Reads a stream until `enough` is true of what came.
async fn read(response: &mut reqwest::Response, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let reading = async {
        while !enough(&text) {
            let Some(chunk) = response.chunk().await.unwrap() else { return };
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    timeout(LONG, reading).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_every_event_of_many_recorders_once_and_in_order() {
    let bench = Bench::over(EventLog::with_capacity(20_000)).await;
    let mut stream = bench.send("GET", "/sim/v1/events/stream", None).await;
    let recorders: Vec<_> = (0..4)
        .map(|recorder| {
            let array = bench.array.clone();
            std::thread::spawn(move || {
                (0..500).for_each(|n| array.record("test.tick", json!({ "recorder": recorder, "n": n })));
            })
        })
        .collect();
    let text = read(&mut stream, |text| text.matches('\n').count() >= 2000).await;
    recorders.into_iter().for_each(|recorder| recorder.join().unwrap());
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (0..2000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_is_too_slow_is_told_with_a_last_event_how_much_is_lost_and_where_to_go_on() {
    let bench = Bench::over(EventLog::with_capacity(8)).await;
    (0..4).for_each(|n| bench.array.record("test.tick", json!({ "n": n })));
    let mut stream = bench.send("GET", "/sim/v1/events/stream?since=2", None).await;
    read(&mut stream, |text| text.matches("test.tick").count() == 2).await;
    // The reader sleeps: events larger than what sockets hold go by.
    let large = "x".repeat(100_000);
    (0..400).for_each(|n| bench.array.record("test.tick", json!({ "n": n, "large": large })));
    let rest = read(&mut stream, |_| false).await;
    let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(last["kind"], "events.lost");
    let (from, lost) = (last["fields"]["from"].as_u64().unwrap(), last["fields"]["lost"].as_u64().unwrap());
    let seen: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = seen.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    // Without a gap up to the one that is told.
    let whole = sequences.len() - 1;
    assert_eq!(sequences[..whole], (4..from).collect::<Vec<_>>());
    assert!(lost > 0 && from + lost <= 396 && sequences[whole] == from + lost - 1, "{from} {lost}");
    assert!(last["fields"]["cure"].as_str().unwrap().contains(&format!("since={}", from + lost)));
    let mut again = bench.send("GET", "/sim/v1/events/stream?since=396", None).await;
    let again = read(&mut again, |text| text.matches('\n').count() >= 8).await;
    assert!(again.starts_with("{\"sequence\":396,"), "{}", &again[..40]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_server_sent_events_and_goes_on_where_it_was() {
    let bench = Bench::start().await;
    (0..3).for_each(|n| bench.array.record("test.tick", json!({ "n": n })));
    let request = bench.client.get(bench.url("/sim/v1/events/stream")).header("accept", "text/event-stream");
    let mut stream = request.header("last-event-id", "1").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = read(&mut stream, |text| text.ends_with("\n\n")).await;
    let data = text.strip_prefix("id: 2\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["fields"]["n"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_by_kind_and_text_in_list_and_stream() {
    let bench = Bench::start().await;
    for (kind, name) in [("iscsi.login", "a"), ("nfs.mount", "b"), ("iscsi.logout", "b"), ("rest.call", "b")]
    {
        bench.array.record(kind, json!({ "name": name }));
    }
    let sequences = async |query: &str| {
        let (status, events) = bench.json("GET", &format!("/sim/v1/events?{query}"), None).await;
        assert_eq!(status, 200, "{events}");
        let events = events.as_array().unwrap().iter();
        events.map(|event| event["sequence"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sequences("kind=iscsi.*").await, [0, 2]);
    assert_eq!(sequences("kind=iscsi.*|nfs.*&text=%22b%22").await, [1, 2]);
    assert_eq!(sequences("since=1&limit=2").await, [1, 2]);
    let mut stream = bench.send("GET", "/sim/v1/events/stream?kind=rest.*&since=1", None).await;
    let text = read(&mut stream, |text| text.ends_with('\n')).await;
    assert!(text.starts_with("{\"sequence\":3,") && text.lines().count() == 1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_hold_up_the_stop() {
    let bench = Bench::start().await;
    let mut stream = bench.send("GET", "/sim/v1/events/stream", None).await;
    bench.stop.cancel();
    assert_eq!(read(&mut stream, |_| false).await, "");
    timeout(LONG, bench.serving.stopped()).await.unwrap();
}
