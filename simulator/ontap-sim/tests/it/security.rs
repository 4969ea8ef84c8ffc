//! Who may do what over HTTPS: accounts, passwords, locks, roles, scopes, doors and certificates.

use crate::support::Bench;
use reqwest::{Certificate, Client, Identity, Method};
use serde_json::{Value, json};

const PASSWORD: &str = "S3cret-word";

/// A call by somebody else than the bench's administrator.
async fn call(
    client: &Client,
    at: &str,
    (user, password): (&str, &str),
    method: Method,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let mut request = client.request(method, format!("https://{at}{path}")).basic_auth(user, Some(password));
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn get(bench: &Bench, user: (&str, &str), path: &str) -> (u16, Value) {
    let at = bench.sim.management().to_string();
    call(&bench.client, &at, user, Method::GET, path, Value::Null).await
}

/// Two SVMs; the administrator of the second can log in.
async fn two_tenants(bench: &Bench) -> String {
    let made = bench
        .post(
            "/api/svm/svms?return_timeout=9",
            json!({ "name": "svm2", "aggregates": [{ "name": "aggr1" }] }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let account = bench.one("/api/security/accounts?name=vsadmin&owner.name=svm2").await;
    let path = format!("/api/security/accounts/{}/vsadmin", account["owner"]["uuid"].as_str().unwrap());
    let unlocked = bench.patch(&path, json!({ "locked": false })).await;
    assert_eq!(unlocked.status, 400, "an account without a password is not unlocked: {}", unlocked.body);
    assert_eq!(bench.patch(&path, json!({ "password": PASSWORD })).await.status, 200);
    assert_eq!(get(bench, ("vsadmin", PASSWORD), "/api/cluster").await.0, 401, "still locked");
    assert_eq!(bench.patch(&path, json!({ "locked": false })).await.status, 200);
    path
}

#[tokio::test]
async fn who_is_not_known_gets_the_arrays_401_and_who_may_not_its_403() {
    let bench = Bench::start().await;
    let (status, body) = get(&bench, ("admin", "wrong"), "/api/cluster").await;
    let error = json!({ "error": { "message": "User is not authorized.", "code": "6691623" } });
    assert_eq!((status, body), (401, error));
    let reader = json!({ "name": "reader", "role": "readonly", "password": PASSWORD,
        "applications": [{ "application": "http", "authentication_methods": ["password"] }] });
    let made = bench.post("/api/security/accounts", reader).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let user = ("reader", PASSWORD);
    assert_eq!(get(&bench, user, "/api/storage/volumes").await.0, 200);
    let at = bench.sim.management().to_string();
    let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"] });
    let (status, body) = call(&bench.client, &at, user, Method::POST, "/api//storage/volumes/", volume).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("6")));
    assert_eq!(bench.get("/api/storage/volumes?name=v").await["num_records"], 0);
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_svms_administrator_sees_that_svm_alone_and_nothing_of_the_cluster() {
    let bench = Bench::start().await;
    two_tenants(&bench).await;
    let other = bench.one("/api/storage/volumes?name=svm1_root").await["uuid"].as_str().unwrap().to_owned();
    let user = ("vsadmin", PASSWORD);
    let (status, svms) = get(&bench, user, "/api/svm/svms").await;
    assert_eq!((status, &svms["num_records"], &svms["records"][0]["name"]), (200, &json!(1), &json!("svm2")));
    let (_, volumes) = get(&bench, user, "/api/storage/volumes").await;
    assert_eq!((&volumes["num_records"], &volumes["records"][0]["name"]), (&json!(1), &json!("svm2_root")));
    assert_eq!(get(&bench, user, &format!("/api/storage/volumes/{other}")).await.0, 404);
    let (_, accounts) = get(&bench, user, "/api/security/accounts").await;
    assert_eq!(accounts["num_records"], 1);
    for (path, status) in [
        ("/api/cluster", 200),
        ("/api/cluster/nodes", 403),
        ("/api/cluster/peers", 403),
        ("/api/storage/disks", 403),
        ("/api/network/ip/interfaces", 200),
    ] {
        assert_eq!(get(&bench, user, path).await.0, status, "{path}");
    }
    let at = bench.sim.management().to_string();
    let mine = json!({ "name": "v", "aggregates.name": ["aggr1"], "size": "20MB" });
    let path = "/api/storage/volumes?return_timeout=9";
    let (status, body) = call(&bench.client, &at, user, Method::POST, path, mine).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(bench.one("/api/storage/volumes?name=v&fields=svm").await["svm"]["name"], "svm2");
    let theirs = json!({ "name": "w", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "20MB" });
    let (status, body) = call(&bench.client, &at, user, Method::POST, path, theirs).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("2621462")));
    let delete = format!("/api/storage/volumes/{other}");
    assert_eq!(call(&bench.client, &at, user, Method::DELETE, &delete, Value::Null).await.0, 404);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_management_lif_is_the_door_of_its_svm_for_the_svms_own_accounts() {
    let bench = Bench::start().await;
    two_tenants(&bench).await;
    let lif = json!({ "name": "mgmt", "svm.name": "svm2", "ip": { "address": "127.0.0.41", "netmask": "24" },
        "service_policy.name": "default-management" });
    assert_eq!(bench.post("/api/network/ip/interfaces", lif).await.status, 201);
    let at = format!("127.0.0.41:{}", bench.sim.management().port());
    let through = |user| call(&bench.client, &at, user, Method::GET, "/api/svm/svms", Value::Null);
    assert_eq!(through(("vsadmin", PASSWORD)).await.1["records"][0]["name"], "svm2");
    assert_eq!(through(("admin", "Netapp1!")).await.0, 401);
    let lif = bench.one("/api/network/ip/interfaces?name=mgmt").await["uuid"].as_str().unwrap().to_owned();
    assert_eq!(bench.delete(&format!("/api/network/ip/interfaces/{lif}")).await.status, 200);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_password_is_changed_judged_and_never_shown_and_the_last_administrator_stays() {
    let bench = Bench::start().await;
    let account = two_tenants(&bench).await;
    let same = bench.patch(&account, json!({ "password": PASSWORD })).await;
    assert!(same.body["error"]["message"].as_str().unwrap().starts_with("New password must be different"));
    assert_eq!(bench.patch(&account, json!({ "password": "short1" })).await.status, 400);
    let changed = json!({ "name": "vsadmin", "owner.name": "svm2", "password": "An0ther-word" });
    assert_eq!(bench.post("/api/security/authentication/password", changed).await.status, 201);
    assert_eq!(get(&bench, ("vsadmin", PASSWORD), "/api/cluster").await.0, 401);
    assert_eq!(get(&bench, ("vsadmin", "An0ther-word"), "/api/cluster").await.0, 200);
    let shown = bench.get("/api/security/accounts?fields=**").await.to_string();
    assert!(!shown.contains("An0ther") && !shown.contains("hash"), "{shown}");
    let cluster = bench.get("/api/cluster").await["uuid"].as_str().unwrap().to_owned();
    let last = bench.delete(&format!("/api/security/accounts/{cluster}/admin")).await;
    assert_eq!((last.status, &last.body["error"]["code"]), (409, &json!("8")));
    assert_eq!(bench.delete(&account).await.status, 200);
    assert_eq!(get(&bench, ("vsadmin", "An0ther-word"), "/api/cluster").await.0, 401);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_role_made_by_the_administrator_decides_by_the_longest_path() {
    let bench = Bench::start().await;
    let role = json!({ "name": "keeper", "privileges": [{ "path": "/api/storage", "access": "readonly" },
        { "path": "/api/storage/volumes", "access": "all" }] });
    let made = bench.post("/api/security/roles", role).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let location = made.location.unwrap();
    let account = json!({ "name": "k", "role.name": "keeper", "password": PASSWORD,
        "applications": [{ "application": "http", "authentication_methods": ["password"] }] });
    assert_eq!(bench.post("/api/security/accounts", account).await.status, 201);
    let user = ("k", PASSWORD);
    let at = bench.sim.management().to_string();
    for (method, path, status) in [
        (Method::GET, "/api/storage/luns", 200),
        (Method::DELETE, "/api/storage/luns?name=x", 403),
        (Method::DELETE, "/api/storage/volumes?name=x", 200),
        (Method::GET, "/api/svm/svms", 403),
    ] {
        let (got, body) = call(&bench.client, &at, user, method, path, Value::Null).await;
        assert_eq!(got, status, "{path}: {body}");
    }
    let taken =
        bench.patch(&format!("{location}/privileges/%2Fapi%2Fstorage"), json!({ "access": "none" })).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_eq!(get(&bench, user, "/api/storage/luns").await.0, 403);
    assert_eq!(bench.delete(&location).await.status, 409, "an account has it");
    bench.sim.stop().await;
}

/// An authority and a certificate of it for `name`: the authority's PEM, and what a client shows.
fn client_certificate(name: &str) -> (String, String) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let named = |name: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let mut authority = named("an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let mut own = named(name);
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own_key = KeyPair::generate().unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    (authority_pem, format!("{}{}", own.pem(), own_key.serialize_pem()))
}

#[tokio::test]
async fn a_client_certificate_logs_in_once_its_authority_is_installed_and_the_account_takes_it() {
    let bench = Bench::start().await;
    let (authority, shown) = client_certificate("robot");
    let ca = Certificate::from_pem(bench.sim.ca_pem().as_bytes()).unwrap();
    let identity = Identity::from_pem(shown.as_bytes()).unwrap();
    let robot = Client::builder().tls_certs_only([ca]).identity(identity).no_proxy().build().unwrap();
    let url = format!("https://{}/api/cluster", bench.sim.management());
    let status = async || robot.get(&url).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 401, "nobody vouches for it");
    let installed = json!({ "type": "client_ca", "public_certificate": authority });
    let made = bench.post("/api/security/certificates?return_records=true", installed).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["records"][0]["common_name"], "an authority");
    assert_eq!(status().await, 401, "no such account");
    let account = json!({ "name": "robot", "role": "admin",
        "applications": [{ "application": "http", "authentication_methods": ["certificate"] }] });
    assert_eq!(bench.post("/api/security/accounts", account).await.status, 201);
    assert_eq!(status().await, 200);
    let uuid = made.body["records"][0]["uuid"].as_str().unwrap();
    assert_eq!(bench.delete(&format!("/api/security/certificates/{uuid}")).await.status, 200);
    assert_eq!(status().await, 401, "trust ends with the authority, on standing connections too");
    bench.sim.stop().await;
}
