//! The status page in a real browser: headless Chromium, driven over WebDriver (W3C) as a person
//! would: it looks, and it clicks.

use std::process::Stdio;
use std::time::Duration;

use crate::support::Bench;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const DRIVER: &str = "/usr/bin/chromedriver";
const LONG: Duration = Duration::from_secs(120);
/// How WebDriver names an element in JSON (§12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. The driver ends it when it is dropped.
struct Browser {
    client: Client,
    session: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn start() -> Self {
        assert!(
            std::path::Path::new(DRIVER).exists(),
            "{DRIVER} is missing: install chromium and chromium-driver"
        );
        let mut driver = Command::new(DRIVER);
        driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut driver = driver.spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the driver says where it listens");
                if let Some((_, port)) = line.split_once("successfully on port ") {
                    return port.trim_end_matches('.').parse::<u16>().unwrap();
                }
            }
        };
        let port = timeout(LONG, port).await.unwrap();
        // What it goes on to say is read, lest it block.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1600,1400",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({ "args": arguments, "binary": "/usr/bin/chromium" });
        let capabilities = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let client = Client::builder().no_proxy().build().unwrap();
        let driver_url = format!("http://127.0.0.1:{port}/session");
        let session = ask(&client, Method::POST, &driver_url, capabilities).await;
        let session = format!("{driver_url}/{}", session["sessionId"].as_str().unwrap());
        Self { client, session, _driver: driver, _profile: profile }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        ask(&self.client, Method::POST, &format!("{}/{path}", self.session), body).await
    }

    /// Runs a script that calls its last argument when something is there, and waits for it.
    async fn until(&self, condition: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1], look = () => {{ const found = {condition}; \
             if (found) {{ watch.disconnect(); done(found); }} }}; \
             const watch = new MutationObserver(look); \
             watch.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }}); look();"
        );
        self.post("execute/async", json!({ "script": script, "args": [] })).await
    }

    async fn click(&self, css: &str) {
        let found = self.post("element", json!({ "using": "css selector", "value": css })).await;
        let element = found[ELEMENT].as_str().unwrap().to_owned();
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    async fn quit(self) {
        ask(&self.client, Method::DELETE, &self.session, Value::Null).await;
    }
}

async fn ask(client: &Client, method: Method, url: &str, body: Value) -> Value {
    let request = client.request(method, url).header("content-type", "application/json");
    let request = if body.is_null() { request } else { request.body(body.to_string()) };
    let response = timeout(LONG, request.send()).await.unwrap().unwrap();
    let text = response.text().await.unwrap();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["value"].get("error").is_none(), "{url}: {text}");
    answer["value"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_api_makes_and_a_click_on_a_lever_is_felt_by_the_api() {
    let bench = Bench::start().await;
    let browser = Browser::start().await;
    browser.post("timeouts", json!({ "script": 60_000 })).await;
    browser.post("url", json!({ "url": format!("http://{}/", bench.sim.control()) })).await;
    browser.until("document.querySelector('#live').dataset.live === 'yes'").await;

    let volume = json!({ "name": "seen_by_eyes", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB", "nas.path": "/v" });
    assert_eq!(bench.post("/api/storage/volumes?return_timeout=15", volume).await.status, 201);
    browser.until("document.querySelector('#volumes').textContent.includes('seen_by_eyes')").await;
    browser.until("document.querySelector('#event-list').textContent.includes('rest.call')").await;

    // A rule, by its form: 503 to the next call of the API.
    let set =
        "const form = document.querySelector('#new-rule form'); form.elements.path.value = '/api/cluster';";
    browser.post("execute/sync", json!({ "script": set, "args": [] })).await;
    browser.click("#new-rule option:nth-child(2)").await;
    browser.click("#new-rule button[type=submit]").await;
    browser.until("document.querySelector('#levers tr[data-key=rule-0]')").await;
    assert_eq!(bench.call(Method::GET, "/api/cluster", None).await.status, 503);
    browser
        .until("document.querySelector('#levers tr[data-key=rule-0]').textContent.includes('1 of 1')")
        .await;
    browser.click("#levers tr[data-key=rule-0] button").await;
    browser.until("!document.querySelector('#levers tr[data-key=rule-0]')").await;
    bench.get("/api/cluster").await;

    // A lever in a row: the LIF refuses.
    browser.click("#lifs select[data-path$='/fault'] option:nth-child(2)").await;
    browser.until("document.querySelector('#lifs label[data-set=yes]')").await;
    let (_, faults) =
        bench.control(Method::GET, "/sim/v1/events?kind=*portal_fault|*fault&text=refuse", None).await;
    assert!(!faults.as_array().unwrap().is_empty());
    assert_eq!(browser.until("document.querySelector('#notice').hidden").await, true);
    browser.quit().await;
}
