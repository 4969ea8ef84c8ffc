//! Backends that do not fit, controllers that do not start, and what survives a restart.

use std::time::{Duration, Instant};

use fleet_proto::admin::{CreateBackendRequest, DeleteBackendRequest, ListBackendsRequest};
use serde_json::json;
use tonic::Code;

use crate::harness::{OntapArray, Running, SolidFireArray, claim, command};

#[tokio::test]
async fn what_does_not_fit_the_array_is_one_line_that_names_the_field_within_seconds() {
    let (ontap, solidfire) = (OntapArray::start(&[]).await, SolidFireArray::start().await);
    let running = Running::start().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let nas = |changes| ontap.backend("ontap-nas", &changes);
    let san = |changes| ontap.backend("ontap-san", &changes);
    for (file, expected) in [
        (nas(json!({"managementLIF": closed})), "managementLIF 127.0.0.1:".to_owned()),
        (nas(json!({"password": "canary"})), "username or password is not accepted by".to_owned()),
        (nas(json!({"username": "nobody"})), "for user nobody: correct username or password".to_owned()),
        (nas(json!({"svm": "svm9"})), "svm svm9 does not exist, or user admin may not see it".to_owned()),
        (nas(json!({"svm": "sv*"})), "svm sv* does not exist, or user admin may not see it".to_owned()),
        (
            nas(json!({"defaults": {"exportPolicy": "def*"}})),
            "defaults.exportPolicy def* does not exist on SVM svm1".to_owned(),
        ),
        (
            nas(json!({"dataLIF": "192.0.2.9"})),
            "dataLIF 192.0.2.9 is not an NFS data LIF of SVM svm1".to_owned(),
        ),
        (san(json!({"dataLIF": "192.0.2.9"})), "dataLIF 192.0.2.9 is not an iSCSI data LIF".to_owned()),
        (
            nas(json!({"aggregate": "aggr9"})),
            "aggregate aggr9 is not assigned to SVM svm1: write one of aggr1".to_owned(),
        ),
        (
            nas(json!({"defaults": {"exportPolicy": "nope"}})),
            "defaults.exportPolicy nope does not exist on SVM svm1".to_owned(),
        ),
        (
            solidfire.backend(&json!({"SVIP": "192.0.2.9:3260"})),
            "SVIP 192.0.2.9 is not a storage address of this cluster".to_owned(),
        ),
        (
            solidfire.backend(&json!({"Endpoint": format!("https://admin:canary@{closed}/json-rpc/8.0")})),
            "Endpoint 127.0.0.1 cannot be reached".to_owned(),
        ),
    ] {
        let started = Instant::now();
        let refused = running.create_backend(&file).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
        assert!(refused.message().starts_with("backend.json:1:"), "{}", refused.message());
        assert!(refused.message().contains(&expected), "{expected}: {}", refused.message());
        assert!(!refused.message().contains('\n') && !refused.message().contains("canary"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let listed = running.admin().await.list_backends(ListBackendsRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.backends, Vec::new(), "nothing is half registered");
    assert!(!running.log().contains("canary"), "a secret is in the log");
}

#[tokio::test]
async fn a_backend_keeps_its_name_and_goes_only_when_it_is_empty() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    let file = array.backend("ontap-nas", &json!({}));
    let first = running.create_backend(&file).await.unwrap();
    assert_eq!(running.create_backend(&file).await.unwrap().uuid, first.uuid, "the same file again");
    let other = array.backend("ontap-nas", &json!({"limitVolumeSize": "1Gi"}));
    assert_eq!(running.create_backend(&other).await.unwrap_err().code(), Code::AlreadyExists);
    running.create(claim("pvc-1", &[])).await.unwrap();
    let mut admin = running.admin().await;
    let request = DeleteBackendRequest { name: "ontap-nas".into() };
    let refused = admin.delete_backend(request.clone()).await.unwrap_err();
    assert_eq!(refused.message(), "backend ontap-nas has 1 volume(s): delete them first");
    running.delete("pvc-1").await.unwrap();
    admin.delete_backend(request.clone()).await.unwrap();
    assert_eq!(admin.delete_backend(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_backend_without_a_name_is_called_after_its_data_address() {
    let array = SolidFireArray::start().await;
    let running = Running::start().await;
    let mut file = array.backend(&json!({}));
    file.as_object_mut().unwrap().remove("backendName");
    assert_eq!(running.create_backend(&file).await.unwrap().name, "solidfire_127.0.0.1");
}

#[tokio::test]
async fn an_array_that_is_away_at_a_restart_makes_its_backend_offline_and_stops_nothing_else() {
    let (ontap, solidfire) = (OntapArray::start(&[]).await, SolidFireArray::start().await);
    let mut running = Running::start().await;
    running.create_backend(&ontap.backend("ontap-nas", &json!({}))).await.unwrap();
    running.create_backend(&solidfire.backend(&json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[("backendType", "ontap-nas")])).await.unwrap();
    ontap.stop().await;
    running.restart().await;
    let refused = running.create(claim("pvc-2", &[("backendType", "ontap-nas")])).await.unwrap_err();
    assert!(refused.message().contains("backend ontap-nas is offline"), "{}", refused.message());
    assert_eq!(running.delete("pvc-1").await.unwrap_err().code(), Code::Unavailable);
    running.create(claim("pvc-3", &[("backendType", "solidfire-san")])).await.unwrap();
    let listed = running.admin().await.list_backends(ListBackendsRequest {}).await.unwrap().into_inner();
    let states: Vec<_> = listed.backends.iter().map(|backend| backend.state.as_str()).collect();
    assert_eq!(states, ["offline", "online"]);
    assert!(listed.backends[0].reason.contains("managementLIF"), "{}", listed.backends[0].reason);
}

#[tokio::test]
async fn a_wrong_backend_file_on_the_command_line_is_one_line_and_no_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.json");
    std::fs::write(&file, "{ \"version\": 1,\n  \"storageDriverName\": \"ontap-nas\", \"svn\": 1 }").unwrap();
    let output = command(directory.path()).arg("--backend").arg(&file).env("TINE_LOG", "error").output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("wrong.json:1:1: managementLIF is missing"), "{line}");
    assert!(!directory.path().join("csi.sock").exists() && !directory.path().join("ca.pem").exists());
}

#[tokio::test]
async fn a_backend_with_volumes_does_not_move_to_another_array() {
    let (first, other) = (OntapArray::start(&[]).await, OntapArray::start_seeded("8", &[]).await);
    let mut running = Running::start().await;
    running.create_backend(&first.backend("ontap-nas", &json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    running.kill().await;
    let file = running.path("moved.json");
    std::fs::write(&file, other.backend("ontap-nas", &json!({})).to_string()).unwrap();
    let mut moved = command(running.directory.path());
    let output = moved.arg("--backend").arg(&file).env("TINE_LOG", "error").output();
    let output = tokio::time::timeout(Duration::from_secs(20), output).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("backend ontap-nas has 1 volume(s) on another SVM or cluster"), "{line}");
}

#[tokio::test]
async fn a_second_controller_on_the_same_sockets_is_refused() {
    let running = Running::start().await;
    let output = command(running.directory.path()).env("TINE_LOG", "error").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("is another tine-controller using it?"), "{line}");
    let mut admin = running.admin().await;
    assert!(admin.list_backends(ListBackendsRequest {}).await.is_ok(), "the first one serves on");
    let huge = CreateBackendRequest { file_name: "x".into(), content: vec![b' '; 100] };
    assert_eq!(admin.create_backend(huge).await.unwrap_err().code(), Code::InvalidArgument);
}
