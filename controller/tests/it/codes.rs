//! What a malformed or impossible call is answered, over the real socket.

use csi_proto::v1;
use csi_proto::v1::volume_capability::access_mode::Mode;
use serde_json::json;
use tonic::Code;

use crate::harness::{OntapArray, Running, SolidFireArray, claim, mount};

type Change = fn(&mut v1::CreateVolumeRequest);

#[tokio::test]
async fn create_volume_names_what_is_missing_or_malformed() {
    let running = Running::start().await;
    let table: &[(&str, Change, &str)] = &[
        ("no name", |request| request.name.clear(), "name is missing"),
        ("long name", |request| request.name = "x".repeat(129), "129 bytes long"),
        ("no capability", |request| request.volume_capabilities.clear(), "volume_capabilities are missing"),
        (
            "no access type",
            |request| request.volume_capabilities[0].access_type = None,
            "access_type is missing",
        ),
        (
            "no access mode",
            |request| request.volume_capabilities[0].access_mode = None,
            "access_mode is missing",
        ),
        (
            "unknown mode",
            |request| request.volume_capabilities = vec![mount(Mode::Unknown)],
            "access_mode is not known",
        ),
        (
            "negative size",
            |request| request.capacity_range.as_mut().unwrap().required_bytes = -1,
            "required_bytes is negative",
        ),
        (
            "limit below",
            |request| request.capacity_range.as_mut().unwrap().limit_bytes = 1,
            "at least 1073741824 and at most 1",
        ),
        (
            "empty range",
            |request| request.capacity_range = Some(v1::CapacityRange::default()),
            "capacity_range is given and empty",
        ),
        (
            "unknown parameter",
            |request| drop(request.parameters.insert("medium".into(), "ssd".into())),
            "medium is not known: did you mean media?",
        ),
        (
            "a source",
            |request| request.volume_content_source = Some(v1::VolumeContentSource { r#type: None }),
            "neither a volume nor a snapshot",
        ),
        (
            "mutable parameters",
            |request| drop(request.mutable_parameters.insert("a".into(), "b".into())),
            "MODIFY_VOLUME",
        ),
    ];
    for (case, change, message) in table {
        let mut request = claim("pvc-1", &[]);
        change(&mut request);
        let status = running.create(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{case}: {}", status.message());
        assert!(status.message().contains(message), "{case}: {}", status.message());
    }
}

#[tokio::test]
async fn the_other_calls_name_what_is_missing_and_tell_it_from_what_does_not_exist() {
    let array = OntapArray::start(&["0.0.0.0/0"]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();

    assert_eq!(running.delete("").await.unwrap_err().code(), Code::InvalidArgument);
    running.delete("unknown").await.unwrap();
    running.delete("no/such id").await.unwrap();

    let code = async |volume, node| running.publish(volume, node).await.unwrap_err().code();
    assert_eq!(code("", "n1").await, Code::InvalidArgument);
    assert_eq!(code("pvc-1", "").await, Code::InvalidArgument);
    assert_eq!(code("unknown", "n1").await, Code::NotFound);
    assert_eq!(code("pvc-1", "unknown").await, Code::NotFound);
    let mut csi = running.csi().await;
    let request = v1::ControllerPublishVolumeRequest {
        volume_id: "pvc-1".into(),
        node_id: "n1".into(),
        ..Default::default()
    };
    let status = csi.controller_publish_volume(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "no capability");
    let readonly = v1::ControllerPublishVolumeRequest {
        readonly: true,
        volume_capability: Some(mount(Mode::SingleNodeWriter)),
        ..request
    };
    assert_eq!(csi.controller_publish_volume(readonly).await.unwrap_err().code(), Code::InvalidArgument);

    assert_eq!(running.unpublish("", "n1").await.unwrap_err().code(), Code::InvalidArgument);
    for (volume, node) in [("unknown", "n1"), ("pvc-1", "unknown"), ("pvc-1", "n1"), ("pvc-1", "")] {
        running.unpublish(volume, node).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_name_with_another_wish_is_refused_with_the_difference() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    let refusal = async |request| {
        let status: tonic::Status = running.create(request).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        status.message().to_owned()
    };
    let mut bigger = claim("pvc-1", &[]);
    bigger.capacity_range = Some(v1::CapacityRange { required_bytes: 2 << 30, limit_bytes: 0 });
    assert!(refusal(bigger).await.ends_with("differs in its size: it has 1073741824 bytes"));
    assert!(refusal(claim("pvc-1", &[("media", "ssd")])).await.ends_with("differs in its parameters"));
    let mut shared = claim("pvc-1", &[]);
    shared.volume_capabilities = vec![mount(Mode::MultiNodeMultiWriter)];
    assert!(refusal(shared).await.ends_with("differs in its capabilities"));
    let mut smaller = claim("pvc-1", &[]);
    smaller.capacity_range = Some(v1::CapacityRange { required_bytes: 1 << 20, limit_bytes: 0 });
    running.create(smaller).await.unwrap();
}

#[tokio::test]
async fn capabilities_are_confirmed_or_denied_with_the_reason() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    let mut csi = running.csi().await;
    let mut validate = async |volume: &str, capabilities: Vec<v1::VolumeCapability>| {
        let request = v1::ValidateVolumeCapabilitiesRequest {
            volume_id: volume.into(),
            volume_capabilities: capabilities,
            ..Default::default()
        };
        csi.validate_volume_capabilities(request).await.map(tonic::Response::into_inner)
    };
    let ours = vec![mount(Mode::SingleNodeWriter)];
    let confirmed = validate("pvc-1", ours.clone()).await.unwrap();
    assert_eq!(confirmed.confirmed.unwrap().volume_capabilities, ours);
    let denied = validate("pvc-1", vec![mount(Mode::MultiNodeMultiWriter)]).await.unwrap();
    assert!(denied.confirmed.is_none() && denied.message.contains("one node at a time"), "{denied:?}");
    assert_eq!(validate("", ours.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(validate("pvc-1", Vec::new()).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(validate("unknown", ours).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_advertised_works_and_the_rest_says_unimplemented() {
    let running = Running::start().await;
    let mut csi = running.csi().await;
    let capabilities =
        csi.controller_get_capabilities(v1::ControllerGetCapabilitiesRequest {}).await.unwrap();
    assert_eq!(capabilities.into_inner().capabilities.len(), 9);
    // Without the fields they require, RPCs that work say which.
    let code = csi.create_snapshot(v1::CreateSnapshotRequest::default()).await.unwrap_err().code();
    assert_eq!(code, Code::InvalidArgument);
    let code = csi.delete_snapshot(v1::DeleteSnapshotRequest::default()).await.unwrap_err().code();
    assert_eq!(code, Code::InvalidArgument);
    let code = csi.controller_get_volume(v1::ControllerGetVolumeRequest::default()).await;
    assert_eq!(code.unwrap_err().code(), Code::InvalidArgument);
    let code = csi.get_capacity(v1::GetCapacityRequest::default()).await.unwrap_err().code();
    assert_eq!(code, Code::Unimplemented);
    let code = csi.controller_modify_volume(v1::ControllerModifyVolumeRequest::default()).await;
    assert_eq!(code.unwrap_err().code(), Code::Unimplemented);
    let mut identity = running.identity().await;
    let info = identity.get_plugin_info(v1::GetPluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.name, "csi.tine.dev");
    let probe = identity.probe(v1::ProbeRequest {}).await.unwrap().into_inner();
    assert_eq!(probe.ready, Some(true));
}

#[tokio::test]
async fn a_size_no_array_has_is_refused_as_such_on_every_driver() {
    let (ontap, solidfire) = (OntapArray::start(&[]).await, SolidFireArray::start().await);
    let running = Running::start().await;
    for file in [
        ontap.backend("ontap-nas", &json!({"defaults": {"snapshotReserve": "10"}})),
        ontap.backend("ontap-san", &json!({})),
        solidfire.backend(&json!({})),
    ] {
        running.create_backend(&file).await.unwrap();
    }
    for driver in ["ontap-nas", "ontap-san", "solidfire-san"] {
        for bytes in [i64::MAX, i64::MAX / 11, 184_467_440_737_095_517, 1_677_019_461_246_322_925] {
            let mut request = claim("pvc-1", &[("backendType", driver)]);
            request.capacity_range = Some(v1::CapacityRange { required_bytes: bytes, limit_bytes: 0 });
            let refused = running.create(request).await.unwrap_err();
            assert!(
                refused.code() == Code::OutOfRange && refused.message().contains("the array's maximum of"),
                "{driver} {bytes}: {refused:?}"
            );
        }
    }
    assert!(!running.log().contains("panicked"));
}

#[tokio::test]
async fn a_filesystem_on_a_lun_for_several_nodes_is_invalid_also_beside_a_backend_that_could() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    for driver in ["ontap-nas", "ontap-san"] {
        running.create_backend(&array.backend(driver, &json!({}))).await.unwrap();
    }
    for mode in [Mode::MultiNodeMultiWriter, Mode::MultiNodeReaderOnly] {
        let mut request = claim("pvc-1", &[("backendType", "ontap-san"), ("fsType", "ext4")]);
        request.volume_capabilities = vec![mount(mode)];
        let refused = running.create(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("one node at a time"), "{}", refused.message());
    }
    // What no pool offers is another matter.
    let refused = running.create(claim("pvc-1", &[("media", "tape")])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
}
