//! The control endpoint judged by its own description: every request that is described is there, every
//! answer is as described, and nothing that anybody sends is answered in another way.

// Helpers of tests fail the test that called them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::{Bench, EVIL};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The description, as a started endpoint serves it.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Bench::start().await.json("GET", "/openapi.json", None).await.1 })
    })
    .join()
    .unwrap()
});

/// A request that is described.
#[derive(Debug, Clone)]
struct Operation {
    method: String,
    path: String,
    description: Value,
}

fn operations() -> Vec<Operation> {
    let described = |(path, item): (&String, &Value)| {
        let operation = |(method, description): (&String, &Value)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            description: description.clone(),
        };
        item.as_object().unwrap().iter().map(operation).collect::<Vec<_>>()
    };
    DESCRIPTION["paths"].as_object().unwrap().iter().flat_map(described).collect()
}

/// Judges by a schema of the description.
fn validator(schema: &Value) -> Validator {
    let mut document = schema.clone();
    document["components"] = DESCRIPTION["components"].clone();
    jsonschema::draft202012::new(&document).unwrap()
}

impl Operation {
    fn answers_json(&self) -> Option<&Value> {
        self.description.pointer("/responses/200/content/application~1json/schema")
    }

    fn body(&self) -> Option<&Value> {
        self.description.pointer("/requestBody/content/application~1json/schema")
    }

    fn is_stream(&self) -> bool {
        self.path.ends_with("/stream")
    }

    /// A path and query that name what is there.
    fn target(&self) -> String {
        let path = self.path.replace("{portal}", "10.0.0.1:3260").replace("{svm}", "s").replace("{id}", "0");
        let parameters = self.description["parameters"].as_array().cloned().unwrap_or_default();
        if parameters.iter().any(|parameter| parameter["name"] == "name") {
            format!("{path}?name=a")
        } else {
            path
        }
    }
}

fn good_body(operation: &Operation) -> Option<Value> {
    let schema = operation.body()?["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    Some(match schema.as_str() {
        "Switch" => json!({ "on": false }),
        "LunFaults" => {
            json!({ "offline": true, "medium_errors": [{ "first": 0, "last": 9 }], "latency": { "spikes": { "us": 1, "spike_us": 2, "one_in": 3 } } })
        }
        "Attention" => json!({ "asc": 63, "ascq": 14 }),
        "SetPortalFault" => json!({ "fault": { "drop_after": { "messages": 5 } } }),
        "Destination" => json!({ "node": "n" }),
        "NfsFaults" => {
            json!({ "stale": ["/v"], "data_latency": { "uniform": { "min_us": 1, "max_us": 2 } } })
        }
        "ApiRule" => json!({ "method": "GET", "count": 2, "fault": { "refuse": { "status": 503 } } }),
        "SetMode" => json!({ "mode": "auto" }),
        "Steps" => json!({ "count": 1 }),
        "Planned" => {
            json!({ "trigger": { "on": { "kind": "never" } }, "action": { "api": { "fault": { "cut": {} } } } })
        }
        other => panic!("no example for {other}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_is_described_is_there_and_answers_as_described() {
    let bench = Bench::start().await;
    // Something for the lists, and a rule to remove.
    bench.array.record("test.tick", json!({ "n": 1 }));
    let rule = json!({ "fault": { "half_done": { "without": ["a.b"] } } });
    bench.json("POST", "/sim/v1/api/faults", Some(rule)).await;
    let (removals, rest): (Vec<_>, Vec<_>) = operations().into_iter().partition(|one| one.method == "DELETE");
    let by_number = removals.into_iter().rev();
    for operation in rest.into_iter().chain(by_number) {
        if let Some(body) = good_body(&operation) {
            let judge = validator(operation.body().unwrap());
            judge.validate(&body).unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        }
        let body = good_body(&operation).map(|body| body.to_string());
        let response = bench.send(&operation.method, &operation.target(), body).await;
        assert_eq!(response.status(), 200, "{operation:?}");
        let content = response.headers()["content-type"].to_str().unwrap().to_owned();
        let described = operation.description["responses"]["200"]["content"].as_object().unwrap();
        assert!(described.contains_key(&content), "{content} of {operation:?}");
        if let Some(schema) = operation.answers_json() {
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            validator(schema)
                .validate(&answer)
                .unwrap_or_else(|error| panic!("{operation:?}: {error}: {answer}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_or_path_that_is_not_described_is_not_there() {
    let bench = Bench::start().await;
    let judge = validator(&json!({ "$ref": "#/components/schemas/Error" }));
    for operation in operations() {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "PROPFIND"] {
            let described = operations().iter().any(|one| one.path == operation.path && one.method == method);
            if !described {
                let (status, error) = bench.json(method, &operation.target(), None).await;
                assert_eq!(status, 405, "{method} {}", operation.path);
                assert!(judge.is_valid(&error), "{error}");
            }
        }
        let beyond = format!("{}/more/more", operation.path.trim_end_matches('/').replace(['{', '}'], ""));
        let (status, error) = bench.json("GET", &beyond, None).await;
        assert!(status == 404 && judge.is_valid(&error), "{beyond}: {status} {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_request_is_told_with_its_place_and_the_cure() {
    let bench = Bench::start().await;
    let rules = "/sim/v1/api/faults";
    let luns = "/sim/v1/luns/faults?name=a";
    for (method, path, body, status, place, word) in [
        ("POST", rules, r#"{"fault":{"refuse":{"status":200}}}"#, 400, "body.fault", "200"),
        ("POST", rules, r#"{"fault":{"refuse":{"status":503}},"pathh":"/"}"#, 400, "body.pathh", "pathh"),
        ("POST", rules, r#"{"fault":{"cut":{}},"skip":-1}"#, 400, "body.skip", "-1"),
        ("POST", rules, r#"{"fault":"#, 400, "body", "EOF"),
        ("POST", rules, r#"{"fault":{"cut":{}}} {}"#, 400, "body", "trailing"),
        (
            "PUT",
            luns,
            r#"{"medium_errors":[{"first":1,"last":2},{"first":"x","last":2}]}"#,
            400,
            "body.medium_errors[1].first",
            "\"x\"",
        ),
        ("PUT", luns, "", 400, "body", "EOF"),
        ("PUT", "/sim/v1/luns/faults", "{}", 400, "query", "name"),
        ("PUT", "/sim/v1/luns/faults?name=b", "{}", 404, "name", "there is a"),
        ("GET", "/sim/v1/events?since=soon", "", 400, "query", "since"),
        ("GET", "/sim/v1/events?sinse=1", "", 400, "query", "sinse"),
        ("PUT", "/sim/v1/portals/nowhere/fault", r#"{"fault":"none"}"#, 400, "path", "ADDRESS"),
        ("PUT", "/sim/v1/portals/%ff/fault", r#"{"fault":"none"}"#, 400, "path", "UTF-8"),
        ("DELETE", "/sim/v1/api/faults/7", "", 404, "path", "no rule 7"),
        ("DELETE", "/sim/v1/api/faults/x", "", 400, "path", "`x`"),
        ("GET", "/nothing", "", 404, "path", "/nothing"),
    ] {
        let response = bench.send(method, path, Some(body.to_owned())).await;
        let (code, text) = (response.status().as_u16(), response.text().await.unwrap());
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path} {body}: {text}"));
        let part = |name: &str| error[name].as_str().unwrap().to_owned();
        assert_eq!(code, status, "{path} {body}: {text}");
        assert!(part("where").contains(place), "{path} {body}: {text}");
        assert!(part("error").contains(word), "{path} {body}: {text}");
        assert!(!part("cure").is_empty(), "{path} {body}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_is_refused_whether_or_not_it_tells_its_length() {
    let bench = Bench::start().await;
    let large = vec![b' '; (1 << 20) + 1];
    let response = bench.client.put(bench.url("/sim/v1/trace")).body(large.clone()).send().await;
    // The refusal may be there before the body is sent: then the connection ends under the client.
    if let Ok(response) = response {
        assert_eq!(response.status(), 413);
    }
    let mut stream = TcpStream::connect(bench.serving.local_address()).await.unwrap();
    let head = "PUT /sim/v1/trace HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut answers, mut requests) = stream.split();
    let sent = async {
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        for _ in 0..17 {
            if requests.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let mut answer = [0; 12];
    let (_, read) = tokio::join!(sent, answers.read_exact(&mut answer));
    read.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_is_slow_with_a_body_is_told_so_and_holds_up_nobody() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.serving.local_address()).await.unwrap();
    let head = "PUT /sim/v1/trace HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n{\"on\"";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(bench.send("GET", "/sim/v1/trace", None).await.status(), 200);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_pulls_no_lever() {
    let bench = Bench::start().await;
    let own = bench.url("");
    for (origin, status) in [("http://evil.example", 403), ("null", 403), (own.as_str(), 200)] {
        let request = bench.client.post(bench.url("/sim/v1/power-cut")).header("origin", origin);
        assert_eq!(request.send().await.unwrap().status(), status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_names_as_text_and_runs_nothing_but_its_own_script() {
    let bench = Bench::start().await;
    bench.array.record("test.evil", json!({ "name": EVIL }));
    for path in ["/", "/status/sections"] {
        let response = bench.send("GET", path, None).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        let page = response.text().await.unwrap();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;alert"), "{path}: {page}");
    }
    let page = bench.send("GET", "/", None).await.text().await.unwrap();
    for (path, _) in DESCRIPTION["paths"].as_object().unwrap() {
        let lever = path.replace("{portal}", "").replace("{svm}", "").replace("{id}", "");
        if lever.starts_with("/sim/v1/luns/") && !lever.ends_with("digest") {
            assert!(page.contains(&lever), "{lever} has no control");
        }
    }
}

/// Whatever a schema may mean, and now and then something else.
fn any_value(schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    let wrong = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({ "surplus": 1 })),
    ];
    if depth == 0 {
        return wrong.boxed();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return any_value(DESCRIPTION.pointer(reference.trim_start_matches('#')).unwrap(), depth);
    }
    let right: BoxedStrategy<Value> = if let Some(choices) = schema["oneOf"].as_array() {
        proptest::strategy::Union::new(choices.iter().map(|choice| any_value(choice, depth - 1))).boxed()
    } else if let Some(words) = schema["enum"].as_array() {
        prop::sample::select(words.clone()).boxed()
    } else {
        match schema["type"].as_str() {
            Some("object") => any_object(schema, depth),
            Some("array") => prop::collection::vec(any_value(&schema["items"], depth - 1), 0..3)
                .prop_map(Value::from)
                .boxed(),
            Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
            Some("integer") => prop_oneof![0_u64..600, any::<u64>()].prop_map(Value::from).boxed(),
            Some("number") => (0.0_f64..1.5).prop_map(Value::from).boxed(),
            Some("string") => {
                prop_oneof!["[a-z*|/]{0,6}", "127\\.0\\.0\\.1:[1-9]"].prop_map(Value::from).boxed()
            }
            _ => wrong.clone().boxed(),
        }
    };
    prop_oneof![20 => right, 1 => wrong].boxed()
}

fn any_object(schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let strategies: Vec<_> = members
        .iter()
        .map(|(name, member)| {
            let likely = if required.contains(&json!(name)) { 0.97 } else { 0.5 };
            let name = name.clone();
            prop::option::weighted(likely, any_value(member, depth - 1))
                .prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    strategies.prop_map(|members| Value::Object(members.into_iter().flatten().collect())).boxed()
}

fn any_request() -> impl Strategy<Value = (Operation, String, Option<Value>)> {
    let operations: Vec<_> = operations().into_iter().filter(|operation| !operation.is_stream()).collect();
    prop::sample::select(operations).prop_flat_map(|operation| {
        let body = match operation.body() {
            Some(schema) => any_value(schema, 8).prop_map(Some).boxed(),
            None => prop::option::weighted(0.1, any_value(&Value::Null, 0)).boxed(),
        };
        let segment = prop_oneof![3 => Just("10.0.0.1".to_owned()), 3 => Just("s".to_owned()), 1 => Just("0".to_owned()), 1 => "[a-z0-9.:%-]{1,8}"];
        let query = prop_oneof![
            6 => Just("name=a".to_owned()), 4 => Just(String::new()), 1 => "(since|limit|kind|text|name)=[0-9a-z%*|+&]{0,6}"
        ];
        (Just(operation), segment, query, body).prop_map(|(operation, segment, query, body)| {
            let path: Vec<_> = operation.path.split('/').collect();
            let path = path.iter().map(|part| if part.starts_with('{') { segment.as_str() } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            (operation, target, body)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_as_described_or_refused_as_described() {
    let bench = Bench::start().await;
    let refusal = validator(&json!({ "$ref": "#/components/schemas/Error" }));
    let judges: std::collections::BTreeMap<_, _> = operations()
        .into_iter()
        .filter_map(|one| Some(((one.path.clone(), one.method.clone()), validator(one.answers_json()?))))
        .collect();
    let mut runner = TestRunner::default();
    let strategy = any_request();
    let (mut done, mut refused) = (0, 0);
    for _ in 0..1500 {
        let (operation, target, body) = strategy.new_tree(&mut runner).unwrap().current();
        let context = format!("{} {target} {body:?}", operation.method);
        let Ok(_) = target.parse::<axum::http::Uri>() else { continue };
        let sent = bench.send(&operation.method, &target, body.map(|body| body.to_string()));
        let response = tokio::time::timeout(Duration::from_secs(60), sent).await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if status == 200 {
            done += 1;
            let Some(judge) = judges.get(&(operation.path.clone(), operation.method.clone())) else {
                continue;
            };
            let answer = serde_json::from_str(&text).unwrap();
            judge.validate(&answer).unwrap_or_else(|error| panic!("{context}: {error}: {text}"));
        } else {
            refused += 1;
            assert!((400..500).contains(&status), "{context}: {status} {text}");
            let answer = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{context}: {text}"));
            assert!(refusal.is_valid(&answer), "{context}: {text}");
        }
    }
    assert!(done > 200 && refused > 200, "{done} done, {refused} refused: the mixture tells nothing");
}
