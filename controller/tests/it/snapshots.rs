//! Snapshots, copies of volumes and of snapshots, growth and lists, on every driver; each call twice,
//! a crash in between.

use csi_proto::v1;
use csi_proto::v1::volume_capability::access_mode::Mode;
use csi_proto::v1::volume_content_source::{SnapshotSource, Type as SourceType, VolumeSource};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{OntapArray, Running, SolidFireArray, block, claim, mount};

impl Running {
    async fn snapshot(&self, volume: &str, name: &str) -> Result<v1::Snapshot, Status> {
        let request = v1::CreateSnapshotRequest {
            source_volume_id: volume.into(),
            name: name.into(),
            ..Default::default()
        };
        Ok(self.csi().await.create_snapshot(request).await?.into_inner().snapshot.unwrap())
    }

    async fn delete_snapshot(&self, id: &str) -> Result<(), Status> {
        let request = v1::DeleteSnapshotRequest { snapshot_id: id.into(), ..Default::default() };
        self.csi().await.delete_snapshot(request).await.map(drop)
    }

    async fn expand(&self, volume: &str, required: i64, limit: i64) -> Result<(i64, bool), Status> {
        let request = v1::ControllerExpandVolumeRequest {
            volume_id: volume.into(),
            capacity_range: Some(v1::CapacityRange { required_bytes: required, limit_bytes: limit }),
            ..Default::default()
        };
        let grown = self.csi().await.controller_expand_volume(request).await?.into_inner();
        Ok((grown.capacity_bytes, grown.node_expansion_required))
    }

    async fn list(&self, most: i32, token: &str) -> Result<(Vec<String>, String), Status> {
        let request = v1::ListVolumesRequest { max_entries: most, starting_token: token.into() };
        let listed = self.csi().await.list_volumes(request).await?.into_inner();
        let ids = listed.entries.into_iter().map(|entry| entry.volume.unwrap().volume_id);
        Ok((ids.collect(), listed.next_token))
    }
}

fn of_snapshot(name: &str, snapshot: &str) -> v1::CreateVolumeRequest {
    let source = SourceType::Snapshot(SnapshotSource { snapshot_id: snapshot.into() });
    v1::CreateVolumeRequest {
        volume_content_source: Some(v1::VolumeContentSource { r#type: Some(source) }),
        ..claim(name, &[])
    }
}

fn of_volume(name: &str, volume: &str) -> v1::CreateVolumeRequest {
    let source = SourceType::Volume(VolumeSource { volume_id: volume.into() });
    v1::CreateVolumeRequest {
        volume_content_source: Some(v1::VolumeContentSource { r#type: Some(source) }),
        ..claim(name, &[])
    }
}

/// What every driver promises of a volume `pvc-1` that is there.
async fn a_volume_is_kept_copied_and_deleted_in_any_order(running: &mut Running) {
    let taken = running.snapshot("pvc-1", "snapshot-1").await.unwrap();
    assert!(taken.ready_to_use && taken.creation_time.is_some(), "{taken:?}");
    assert_eq!(running.snapshot("pvc-1", "snapshot-1").await.unwrap(), taken);
    running.crash().await;
    assert_eq!(running.snapshot("pvc-1", "snapshot-1").await.unwrap(), taken);

    let restored = running.create(of_snapshot("pvc-2", &taken.snapshot_id)).await.unwrap();
    assert_eq!(running.create(of_snapshot("pvc-2", &taken.snapshot_id)).await.unwrap(), restored);
    assert_eq!(restored.capacity_bytes, taken.size_bytes);
    assert!(restored.content_source.is_some());
    let cloned = running.create(of_volume("pvc-3", "pvc-1")).await.unwrap();
    assert_eq!(running.create(of_volume("pvc-3", "pvc-1")).await.unwrap(), cloned);
    let other = running.create(of_volume("pvc-3", "pvc-2")).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other}");

    // The volume would take its snapshots along.
    assert_eq!(running.delete("pvc-1").await.unwrap_err().code(), Code::FailedPrecondition);
    for _ in 0..2 {
        running.delete_snapshot(&taken.snapshot_id).await.unwrap();
    }
    for volume in ["pvc-1", "pvc-2", "pvc-3"] {
        running.delete(volume).await.unwrap();
    }
}

#[tokio::test]
async fn file_volumes_are_kept_copied_and_deleted_in_any_order() {
    let array = OntapArray::start(&[]).await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({"autoExportPolicy": true}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    a_volume_is_kept_copied_and_deleted_in_any_order(&mut running).await;
    assert_eq!(array.records("storage/volumes?name=trident_*").await, Vec::<Value>::new());
    assert_eq!(array.records("protocols/nfs/export-policies?name=trident_*").await, Vec::<Value>::new());
}

#[tokio::test]
async fn luns_are_kept_copied_and_deleted_in_any_order() {
    let array = OntapArray::start(&[]).await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    a_volume_is_kept_copied_and_deleted_in_any_order(&mut running).await;
    assert_eq!(array.records("storage/volumes?name=trident_*").await, Vec::<Value>::new());
    assert_eq!(array.records("storage/luns").await, Vec::<Value>::new());
}

#[tokio::test]
async fn solidfire_volumes_are_kept_copied_and_deleted_in_any_order() {
    let array = SolidFireArray::start().await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend(&json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[("IOPS", "8000")])).await.unwrap();
    a_volume_is_kept_copied_and_deleted_in_any_order(&mut running).await;
    assert_eq!(array.volumes().await, Vec::<Value>::new());
    assert_eq!(array.call("ListSnapshots", json!({})).await["snapshots"], json!([]));
}

#[tokio::test]
async fn a_copy_of_a_lun_has_an_identity_of_its_own_and_may_be_larger() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let first = running.create(claim("pvc-1", &[])).await.unwrap();
    let mut larger = of_volume("pvc-2", "pvc-1");
    larger.capacity_range = Some(v1::CapacityRange { required_bytes: 2 << 30, limit_bytes: 0 });
    assert_eq!(running.create(larger).await.unwrap().capacity_bytes, 2 << 30);
    assert!(first.capacity_bytes < 2 << 30);
    let context = |volume: &'static str| running.publish(volume, "n1");
    let [a, b] = [context("pvc-1").await.unwrap(), context("pvc-2").await.unwrap()];
    let [a, b] = [a, b].map(|context| match context {
        contract::PublishContext::Iscsi(iscsi) => iscsi,
        other => panic!("{other:?}"),
    });
    assert_ne!(a.identity, b.identity);
    assert_eq!((a.size, b.size), (1 << 30, 2 << 30));
    let mut smaller = of_volume("pvc-3", "pvc-2");
    smaller.capacity_range = Some(v1::CapacityRange { required_bytes: 1 << 30, limit_bytes: 0 });
    assert_eq!(running.create(smaller).await.unwrap_err().code(), Code::OutOfRange);
    let mut otherwise = of_volume("pvc-3", "pvc-1");
    otherwise.volume_capabilities = vec![mount(Mode::SingleNodeWriter)];
    otherwise.parameters.insert("fsType".into(), "xfs".into());
    let refused = running.create(otherwise).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("ext4"), "{refused}");
    let mut raw = of_volume("pvc-4", "pvc-1");
    raw.volume_capabilities = vec![block(Mode::SingleNodeWriter)];
    running.create(raw).await.unwrap();
    let mut made = of_volume("pvc-5", "pvc-4");
    made.volume_capabilities = vec![mount(Mode::SingleNodeWriter)];
    assert_eq!(running.create(made).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_not_there_or_not_ours_is_told_by_its_name() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    running.create(claim("pvc-1", &[])).await.unwrap();
    running.create(claim("pvc-2", &[])).await.unwrap();
    for (missing, error) in [
        ("snapshot nothing", running.create(of_snapshot("pvc-9", "nothing")).await.unwrap_err()),
        ("volume nothing", running.create(of_volume("pvc-9", "nothing")).await.unwrap_err()),
        ("volume nothing", running.snapshot("nothing", "s").await.unwrap_err()),
    ] {
        assert_eq!(error.code(), Code::NotFound, "{error}");
        assert!(error.message().contains(missing), "{error}");
    }
    running.snapshot("pvc-1", "s").await.unwrap();
    let taken = running.snapshot("pvc-2", "s").await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    assert!(taken.message().contains("pvc-1"), "{taken}");
    running.delete_snapshot("nothing").await.unwrap();

    // An administrator's snapshot of the name that ours would have.
    let volume =
        array.records("storage/volumes?name=trident_pvc_2").await[0]["uuid"].as_str().unwrap().to_owned();
    let snapshots = format!("storage/volumes/{volume}/snapshots");
    array.change(Method::POST, &snapshots, json!({"name": "theirs"})).await;
    let theirs = running.snapshot("pvc-2", "theirs").await.unwrap_err();
    assert_eq!(theirs.code(), Code::FailedPrecondition, "{theirs}");
    assert_eq!(array.records(&format!("{snapshots}?name=theirs")).await.len(), 1);

    // And an administrator's clone of a volume that is to go.
    let clone = json!({"name": "theirs", "svm": {"name": "svm1"},
        "clone": {"is_flexclone": true, "parent_volume": {"name": "trident_pvc_2"}}});
    array.change(Method::POST, "storage/volumes?return_timeout=15", clone).await;
    let in_use = running.delete("pvc-2").await.unwrap_err();
    assert_eq!(in_use.code(), Code::FailedPrecondition, "{in_use}");
    assert!(in_use.message().contains("theirs"), "{in_use}");
}

#[tokio::test]
async fn a_volume_grows_on_the_array_and_never_shrinks() {
    let ontap = OntapArray::start(&[]).await;
    let solidfire = SolidFireArray::start().await;
    let running = Running::start().await;
    let reserve = json!({"defaults": {"snapshotReserve": "20"}, "limitVolumeSize": "5Gi"});
    running.create_backend(&ontap.backend("ontap-nas", &reserve)).await.unwrap();
    running.create_backend(&ontap.backend("ontap-san", &json!({}))).await.unwrap();
    running.create_backend(&solidfire.backend(&json!({}))).await.unwrap();
    for (volume, driver, on_node) in
        [("nas", "ontap-nas", false), ("san", "ontap-san", true), ("sf", "solidfire-san", true)]
    {
        running.create(claim(volume, &[("backendType", driver)])).await.unwrap();
        for _ in 0..2 {
            assert_eq!(running.expand(volume, 3 << 30, 0).await.unwrap(), (3 << 30, on_node), "{volume}");
        }
        assert_eq!(running.expand(volume, 2 << 30, 0).await.unwrap().0, 3 << 30, "{volume}");
        let smaller = running.expand(volume, 1 << 30, 2 << 30).await.unwrap_err();
        assert_eq!(smaller.code(), Code::OutOfRange, "{smaller}");
    }
    let nas = ontap
        .records("storage/volumes?name=trident_nas&fields=size,space.size_available_for_snapshots")
        .await;
    assert_eq!(nas[0]["size"].as_u64().unwrap(), (3_u64 << 30) * 100 / 80);
    let san = ontap.records("storage/luns?fields=space.size").await;
    assert_eq!(san[0]["space"]["size"].as_u64().unwrap(), 3 << 30);
    assert_eq!(solidfire.volumes().await[0]["totalSize"], 3_u64 << 30);
    let limit = running.expand("nas", 6 << 30, 0).await.unwrap_err();
    assert_eq!(limit.code(), Code::OutOfRange);
    assert!(limit.message().contains("limitVolumeSize"), "{limit}");
    assert_eq!(running.expand("nothing", 1 << 30, 0).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn lists_come_in_pages_that_together_are_the_whole() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({"autoExportPolicy": true}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let names: Vec<String> = (0..5).map(|number| format!("pvc-{number}")).collect();
    for name in &names {
        running.create(claim(name, &[])).await.unwrap();
    }
    assert_eq!(running.list(0, "").await.unwrap(), (names.clone(), String::new()));
    let (mut found, mut token) = (Vec::new(), String::new());
    for length in [2, 2, 1] {
        let (ids, next) = running.list(2, &token).await.unwrap();
        assert_eq!(ids.len(), length);
        found.extend(ids);
        token = next;
    }
    assert_eq!((found, token.as_str()), (names, ""));
    assert_eq!(running.list(0, "pvc-1").await.unwrap_err().code(), Code::Aborted);

    running.publish("pvc-3", "n1").await.unwrap();
    let request = v1::ControllerGetVolumeRequest { volume_id: "pvc-3".into() };
    let volume = running.csi().await.controller_get_volume(request).await.unwrap().into_inner();
    assert_eq!(volume.status.unwrap().published_node_ids, ["n1"]);

    for (volume, name) in [("pvc-1", "a"), ("pvc-1", "b"), ("pvc-2", "c")] {
        running.snapshot(volume, name).await.unwrap();
    }
    for (of, id, expected) in [
        ("", "", &["a", "b", "c"][..]),
        ("pvc-1", "", &["a", "b"]),
        ("", "c", &["c"]),
        ("pvc-1", "c", &[]),
        ("nothing", "", &[]),
        ("", "nothing", &[]),
    ] {
        let request = v1::ListSnapshotsRequest {
            source_volume_id: of.into(),
            snapshot_id: id.into(),
            ..Default::default()
        };
        let listed = running.csi().await.list_snapshots(request).await.unwrap().into_inner();
        let ids: Vec<_> =
            listed.entries.into_iter().map(|entry| entry.snapshot.unwrap().snapshot_id).collect();
        assert_eq!(ids, expected, "{of} {id}");
    }
}
