//! Create, publish, unpublish, delete on every driver; each call twice; restarts in between.

use csi_proto::v1;
use csi_proto::v1::volume_capability::access_mode::Mode;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use contract::{IscsiAttachment, NfsAttachment, PublishContext};

use crate::harness::{OntapArray, Running, SolidFireArray, block, claim, iqn, mount};

fn nfs(context: PublishContext) -> NfsAttachment {
    match context {
        PublishContext::Nfs(nfs) => nfs,
        PublishContext::Iscsi(other) => panic!("{other:?}"),
    }
}

fn iscsi(context: PublishContext) -> IscsiAttachment {
    match context {
        PublishContext::Iscsi(iscsi) => iscsi,
        PublishContext::Nfs(other) => panic!("{other:?}"),
    }
}

/// Addresses that the rules of a volume's own export policy let in.
async fn admitted(array: &OntapArray, policy: &str) -> Vec<String> {
    let policies = array.records(&format!("protocols/nfs/export-policies?name={policy}&fields=id")).await;
    let Some(policy) = policies.first() else { return vec!["no policy".into()] };
    let rules =
        array.records(&format!("protocols/nfs/export-policies/{}/rules?fields=clients", policy["id"])).await;
    let mut matches: Vec<_> =
        rules.iter().map(|rule| rule["clients"][0]["match"].as_str().unwrap().to_owned()).collect();
    matches.sort();
    matches
}

#[tokio::test]
async fn a_file_volume_is_shared_by_the_nodes_it_is_published_to_and_by_no_other() {
    let array = OntapArray::start(&[]).await;
    let mut running = Running::start().await;
    running
        .create_backend(&array.backend(
            "ontap-nas",
            &json!({"autoExportPolicy": true, "nfsMountOptions": "-o nfsvers=3,nolock", "defaults": {"unixPermissions": "0750"}}),
        ))
        .await
        .unwrap();
    for (node, address) in [("n1", "10.0.0.1"), ("n2", "10.0.0.2")] {
        running.register(node, address).await;
    }
    let mut request = claim("pvc-1", &[("backendType", "ontap-nas"), ("media", "ssd")]);
    request.volume_capabilities = vec![mount(Mode::MultiNodeMultiWriter)];
    let volume = running.create(request.clone()).await.unwrap();
    assert_eq!(running.create(request).await.unwrap(), volume);
    assert_eq!((volume.volume_id.as_str(), volume.capacity_bytes), ("pvc-1", 1 << 30));
    let on_array = array
        .records(
            "storage/volumes?name=trident_pvc_1&fields=nas,size,aggregates,snapshot_directory_access_enabled",
        )
        .await;
    assert_eq!(on_array[0]["nas"]["path"], "/trident_pvc_1");
    assert_eq!(on_array[0]["nas"]["unix_permissions"], 750);
    assert_eq!(on_array[0]["aggregates"][0]["name"], "aggr1");
    assert_eq!(on_array[0]["snapshot_directory_access_enabled"], false);
    assert_eq!(admitted(&array, "trident_pvc_1").await, Vec::<String>::new());

    let shared = || mount(Mode::MultiNodeMultiWriter);
    let context = nfs(running.publish_as("pvc-1", "n1", shared()).await.unwrap());
    assert_eq!(nfs(running.publish_as("pvc-1", "n1", shared()).await.unwrap()), context);
    assert_eq!(context.export, "/trident_pvc_1");
    assert_eq!(context.mount_options, ["nfsvers=3", "nolock"]);
    running.restart().await;
    running.publish_as("pvc-1", "n2", shared()).await.unwrap();
    assert_eq!(admitted(&array, "trident_pvc_1").await, ["10.0.0.1", "10.0.0.2"]);

    assert_eq!(running.delete("pvc-1").await.unwrap_err().code(), Code::FailedPrecondition);
    for _ in 0..2 {
        running.unpublish("pvc-1", "n1").await.unwrap();
        assert_eq!(admitted(&array, "trident_pvc_1").await, ["10.0.0.2"]);
    }
    running.unpublish("pvc-1", "").await.unwrap();
    assert_eq!(admitted(&array, "trident_pvc_1").await, Vec::<String>::new());
    for _ in 0..2 {
        running.delete("pvc-1").await.unwrap();
    }
    assert_eq!(array.records("storage/volumes?name=trident_pvc_1").await, Vec::<Value>::new());
    assert_eq!(admitted(&array, "trident_pvc_1").await, ["no policy"]);
}

#[tokio::test]
async fn access_that_was_lost_on_the_array_is_given_again_by_the_next_publish() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({"autoExportPolicy": true}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    running.publish("pvc-1", "n1").await.unwrap();
    let policy = array.records("protocols/nfs/export-policies?name=trident_pvc_1&fields=id").await;
    let rules = format!("protocols/nfs/export-policies/{}/rules", policy[0]["id"]);
    let rule = array.records(&format!("{rules}?fields=index")).await;
    array.change(Method::DELETE, &format!("{rules}/{}", rule[0]["index"]), json!({})).await;
    assert_eq!(admitted(&array, "trident_pvc_1").await, Vec::<String>::new());
    running.publish("pvc-1", "n1").await.unwrap();
    assert_eq!(admitted(&array, "trident_pvc_1").await, ["10.0.0.1"]);
}

/// Path of the rules of a policy.
async fn rules_of(array: &OntapArray, policy: &str) -> String {
    let found = array.records(&format!("protocols/nfs/export-policies?name={policy}&fields=id")).await;
    format!("protocols/nfs/export-policies/{}/rules", found[0]["id"])
}

fn rule(client: &str, rw: &str) -> Value {
    json!({"clients": [{"match": client}], "protocols": ["nfs"], "ro_rule": ["any"], "rw_rule": [rw], "superuser": ["any"]})
}

#[tokio::test]
async fn a_policy_that_somebody_else_made_or_uses_is_not_adopted() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({"autoExportPolicy": true}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let policy = |name: &str| json!({"name": name, "svm": {"name": "svm1"}});
    let make = async |name: &str| {
        array.change(Method::POST, "protocols/nfs/export-policies", policy(name)).await;
    };
    // One with a rule that we do not write.
    make("trident_pvc_1").await;
    let path = rules_of(&array, "trident_pvc_1").await;
    array.change(Method::POST, &path, rule("10.0.0.0/8", "any")).await;
    // An empty one, which keeps everybody out of somebody's volume: our rules would let our nodes in.
    make("trident_pvc_2").await;
    let theirs = json!({"name": "theirs", "svm": {"name": "svm1"}, "aggregates": [{"name": "aggr1"}], "size": 1 << 30,
        "nas": {"path": "/theirs", "export_policy": {"name": "trident_pvc_2"}}});
    array.change(Method::POST, "storage/volumes", theirs).await;
    for (claimed, trace) in [("pvc-1", "10.0.0.0/8"), ("pvc-2", "volume theirs uses it")] {
        let refused = running.create(claim(claimed, &[])).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains(trace), "{}", refused.message());
    }
    assert_eq!(admitted(&array, "trident_pvc_1").await, ["10.0.0.0/8"], "it is as it was");
    assert_eq!(admitted(&array, "trident_pvc_2").await, Vec::<String>::new());
    // One that an earlier attempt of ours left.
    make("trident_pvc_3").await;
    running.create(claim("pvc-3", &[])).await.unwrap();
}

#[tokio::test]
async fn the_rules_of_our_own_policy_converge_and_strangers_keep_no_revoked_node_in() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({"autoExportPolicy": true}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    let path = rules_of(&array, "trident_pvc_1").await;
    // The array takes the first rule that matches: this one would shut the node out.
    array.change(Method::POST, &path, rule("10.0.0.1", "never")).await;
    running.publish("pvc-1", "n1").await.unwrap();
    let rules = array.records(&format!("{path}?fields=clients,rw_rule")).await;
    assert_eq!((rules.len(), &rules[0]["rw_rule"][0]), (1, &json!("any")), "{rules:?}");
    // An administrator's rule stays, and the node has access by it: revoking must not say OK.
    array.change(Method::POST, &path, rule("10.0.0.0/24", "any")).await;
    let refused = running.unpublish("pvc-1", "n1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("10.0.0.0/24"), "{}", refused.message());
    assert_eq!(admitted(&array, "trident_pvc_1").await, ["10.0.0.0/24"]);
    let index = array.records(&format!("{path}?fields=index")).await[0]["index"].clone();
    array.change(Method::DELETE, &format!("{path}/{index}"), json!({})).await;
    running.unpublish("pvc-1", "n1").await.unwrap();
}

#[tokio::test]
async fn an_igroup_of_the_nodes_name_without_our_mark_is_not_adopted() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    running.publish("pvc-1", "n1").await.unwrap();
    let made = array.records("protocols/san/igroups?fields=name,comment").await;
    assert!(made[0]["comment"].as_str().unwrap().contains("n1"), "{made:?}");
    running.unpublish("pvc-1", "n1").await.unwrap();
    assert_eq!(array.records("protocols/san/igroups").await, Vec::<Value>::new());
    // Somebody else's, whose initiator would see what is mapped to it.
    let theirs = json!({"name": made[0]["name"], "svm": {"name": "svm1"}, "protocol": "iscsi", "os_type": "linux",
        "initiators": [{"name": iqn("stranger")}]});
    array.change(Method::POST, "protocols/san/igroups", theirs).await;
    let refused = running.publish("pvc-1", "n1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("igroup n1-"), "{}", refused.message());
    let igroups = array.records("protocols/san/igroups?fields=initiators.name").await;
    assert_eq!(igroups[0]["initiators"], json!([{"name": iqn("stranger")}]), "it is as it was");
    assert_eq!(array.records("protocols/san/lun-maps").await, Vec::<Value>::new());
}

#[tokio::test]
async fn with_the_administrators_own_policy_a_node_is_let_in_or_told_what_is_missing() {
    let array = OntapArray::start(&["10.0.0.0/24"]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    running.register("inside", "10.0.0.7").await;
    running.register("outside", "10.9.0.7").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    let refused = running.publish("pvc-1", "outside").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "export policy default of SVM svm1 has no read-write NFS rule for node outside (10.9.0.7): \
         add one, or set autoExportPolicy in the backend file"
    );
    // The refused node holds nothing: the other may have the volume alone.
    running.publish("pvc-1", "inside").await.unwrap();
    let exclusive = running.publish("pvc-1", "outside").await.unwrap_err();
    assert_eq!(exclusive.code(), Code::FailedPrecondition);
    assert!(exclusive.message().contains("published to node inside"), "{}", exclusive.message());
}

/// igroup name to LUN paths mapped to it.
async fn maps(array: &OntapArray) -> Vec<(String, String)> {
    let maps = array.records("protocols/san/lun-maps?fields=lun.name,igroup.name").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    maps.iter().map(|map| (text(&map["igroup"]["name"]), text(&map["lun"]["name"]))).collect()
}

#[tokio::test]
async fn a_lun_is_mapped_to_the_one_node_it_is_published_to_and_unmapped_before_unpublish_says_so() {
    let array = OntapArray::start(&[]).await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    for (node, address) in [("n1", "10.0.0.1"), ("n2", "10.0.0.2")] {
        running.register(node, address).await;
    }
    let parameters = [("backendType", "ontap-san"), ("csi.storage.k8s.io/fstype", "xfs")];
    for name in ["pvc-1", "pvc-2"] {
        let volume = running.create(claim(name, &parameters)).await.unwrap();
        assert_eq!(running.create(claim(name, &parameters)).await.unwrap(), volume);
    }
    let luns = array
        .records("storage/luns?name=/vol/trident_pvc_1/lun0&fields=serial_number,space,attributes")
        .await;
    assert_eq!(luns[0]["space"]["size"], 1 << 30);
    assert_eq!(luns[0]["attributes"], json!([{"name": "com.netapp.ndvp.fstype", "value": "xfs"}]));
    let volumes = array.records("storage/volumes?name=trident_pvc_1&fields=size").await;
    let needed = (1_u64 << 30) * 11 / 10;
    let size = volumes[0]["size"].as_u64().unwrap();
    assert!((needed..needed + 8192).contains(&size), "{size}");

    let context = iscsi(running.publish("pvc-1", "n1").await.unwrap());
    assert_eq!(iscsi(running.publish("pvc-1", "n1").await.unwrap()), context);
    let serial = luns[0]["serial_number"].as_str().unwrap();
    let hex: String = serial.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(context.identity.serial.as_str(), serial);
    assert_eq!(context.identity.wwid.as_str(), format!("3600a0980{hex}"));
    assert_eq!((context.size, context.lun.0), (1 << 30, 0));
    assert_eq!(context.default_fs, contract::FsType::Xfs);
    assert!(!context.authenticated);
    assert_eq!(context.portals.len(), 2, "one LIF on the owning node, one on its partner");
    assert_owner_first(&array, &context).await;
    let second = iscsi(running.publish("pvc-2", "n1").await.unwrap());
    assert_eq!(second.lun.0, 1);

    let refused = running.publish("pvc-1", "n2").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    running.crash().await;
    let mapped = maps(&array).await;
    assert_eq!(mapped.len(), 2);
    assert!(mapped.iter().all(|(igroup, _)| igroup.starts_with("n1-")), "{mapped:?}");
    let igroups = array.records("protocols/san/igroups?fields=initiators.name").await;
    assert_eq!(igroups[0]["initiators"][0]["name"], iqn("n1"));

    for _ in 0..2 {
        running.unpublish("pvc-1", "n1").await.unwrap();
        assert_eq!(maps(&array).await.len(), 1, "the other volume stays mapped");
    }
    running.publish("pvc-1", "n2").await.unwrap();
    for (volume, node) in [("pvc-1", "n2"), ("pvc-2", "n1")] {
        running.unpublish(volume, node).await.unwrap();
        running.delete(volume).await.unwrap();
        running.delete(volume).await.unwrap();
    }
    for collection in ["protocols/san/lun-maps", "protocols/san/igroups", "storage/luns"] {
        assert_eq!(array.records(collection).await, Vec::<Value>::new(), "{collection}");
    }
    assert_eq!(array.records("storage/volumes?name=trident_*").await, Vec::<Value>::new());
}

/// The first portal is on the node that owns the LUN.
async fn assert_owner_first(array: &OntapArray, context: &IscsiAttachment) {
    let luns = array.records("storage/luns?name=/vol/trident_pvc_1/lun0&fields=location.node.name").await;
    let lifs =
        array.records("network/ip/interfaces?services=data_iscsi&fields=ip.address,location.node.name").await;
    let first = context.portals[0].address.to_string();
    let lif = lifs.iter().find(|lif| lif["ip"]["address"] == first.as_str()).unwrap();
    assert_eq!(lif["location"]["node"]["name"], luns[0]["location"]["node"]["name"]);
}

#[tokio::test]
async fn a_raw_device_may_be_shared_and_a_filesystem_on_one_may_not() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.register("n2", "10.0.0.2").await;
    let mut request = claim("pvc-1", &[]);
    request.volume_capabilities = vec![mount(Mode::MultiNodeMultiWriter)];
    assert_eq!(running.create(request.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    request.volume_capabilities = vec![block(Mode::MultiNodeMultiWriter)];
    running.create(request).await.unwrap();
    for node in ["n1", "n2"] {
        running.publish_as("pvc-1", node, block(Mode::MultiNodeMultiWriter)).await.unwrap();
    }
    assert_eq!(maps(&array).await.len(), 2);
    let otherwise = running.publish_as("pvc-1", "n1", block(Mode::SingleNodeWriter)).await.unwrap_err();
    assert_eq!(otherwise.code(), Code::AlreadyExists);
    let mounted = running.publish("pvc-1", "n1").await.unwrap_err();
    assert_eq!(mounted.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_raw_solidfire_device_is_for_one_node_at_a_time() {
    let array = SolidFireArray::start().await;
    let running = Running::start().await;
    running.create_backend(&array.backend(&json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let mut request = claim("pvc-1", &[]);
    for mode in [Mode::MultiNodeMultiWriter, Mode::MultiNodeReaderOnly] {
        request.volume_capabilities = vec![block(mode)];
        let refused = running.create(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("revoke one node's access alone"), "{}", refused.message());
    }
    request.volume_capabilities = vec![block(Mode::SingleNodeWriter)];
    running.create(request).await.unwrap();
    let shared = block(Mode::MultiNodeMultiWriter);
    let refused = running.publish_as("pvc-1", "n1", shared.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let validated = v1::ValidateVolumeCapabilitiesRequest {
        volume_id: "pvc-1".into(),
        volume_capabilities: vec![shared],
        ..Default::default()
    };
    let answer = running.csi().await.validate_volume_capabilities(validated).await.unwrap().into_inner();
    assert!(answer.confirmed.is_none() && answer.message.contains("single-node"), "{answer:?}");
    running.publish_as("pvc-1", "n1", block(Mode::SingleNodeWriter)).await.unwrap();
}

#[tokio::test]
async fn a_solidfire_volume_has_its_types_qos_and_is_locked_while_nobody_is_to_use_it() {
    let array = SolidFireArray::start().await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend(&json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    running.register("n2", "10.0.0.2").await;
    let parameters = [("backendType", "solidfire-san"), ("IOPS", "8000"), ("fsType", "ext4")];
    let volume = running.create(claim("pvc-1", &parameters)).await.unwrap();
    assert_eq!(running.create(claim("pvc-1", &parameters)).await.unwrap(), volume);
    let on_array = array.volumes().await;
    assert_eq!(on_array.len(), 1);
    assert_eq!(on_array[0]["name"], "trident-pvc-1");
    assert_eq!(on_array[0]["qos"]["minIOPS"], 6001);
    assert_eq!(on_array[0]["qos"]["burstIOPS"], 10000);

    let context = iscsi(running.publish("pvc-1", "n1").await.unwrap());
    assert_eq!(iscsi(running.publish("pvc-1", "n1").await.unwrap()), context);
    assert_eq!(context.target.as_str(), on_array[0]["iqn"]);
    assert_eq!(
        context.identity.wwid.as_str(),
        format!("3{}", on_array[0]["scsiNAADeviceID"].as_str().unwrap())
    );
    assert_eq!(context.identity.serial.as_str(), on_array[0]["scsiEUIDeviceID"]);
    assert_eq!(context.size, on_array[0]["totalSize"].as_u64().unwrap());
    assert_eq!(i64::try_from(context.size).unwrap(), volume.capacity_bytes);
    assert!(context.authenticated && context.lun.0 == 0 && context.portals.len() == 1);

    running.restart().await;
    for _ in 0..2 {
        running.unpublish("pvc-1", "n1").await.unwrap();
        assert_eq!(array.volumes().await[0]["access"], "locked");
    }
    running.publish("pvc-1", "n2").await.unwrap();
    assert_eq!(array.volumes().await[0]["access"], "readWrite");
    running.unpublish("pvc-1", "").await.unwrap();
    running.delete("pvc-1").await.unwrap();
    running.delete("pvc-1").await.unwrap();
    assert_eq!(array.volumes().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_class_that_no_pool_satisfies_says_which_attribute_of_which_pool() {
    let (ontap, solidfire) = (OntapArray::start(&[]).await, SolidFireArray::start().await);
    let running = Running::start().await;
    let no_backend = running.create(claim("pvc-1", &[])).await.unwrap_err();
    assert_eq!(no_backend.code(), Code::ResourceExhausted);
    assert!(no_backend.message().contains("tinectl create backend"), "{}", no_backend.message());
    running.create_backend(&ontap.backend("ontap-nas", &json!({"limitVolumeSize": "2Gi"}))).await.unwrap();
    running.create_backend(&solidfire.backend(&json!({}))).await.unwrap();
    let refusal = async |request| {
        let status: tonic::Status = running.create(request).await.unwrap_err();
        (status.code(), status.message().to_owned())
    };
    let (code, message) = refusal(claim("pvc-1", &[("IOPS", "50000")])).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(message.contains("solidfire-san/Gold: IOPS are 6001 to 8000, not 50000"), "{message}");
    assert!(message.contains("ontap-nas/aggr1: it promises no IOPS"), "{message}");
    let (code, message) = refusal(claim("pvc-1", &[("backendType", "ontap-nas"), ("media", "hybrid")])).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(message.contains("ontap-nas/aggr2: media is hdd, not hybrid"), "{message}");
    let mut big = claim("pvc-1", &[("backendType", "ontap-nas")]);
    big.capacity_range.as_mut().unwrap().required_bytes = 3 << 30;
    let (code, message) = refusal(big).await;
    assert_eq!(code, Code::OutOfRange);
    assert!(message.contains("limitVolumeSize of 2Gi"), "{message}");
}

#[tokio::test]
async fn a_volume_that_another_made_is_neither_adopted_nor_deleted() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    let svm = array.records("svm/svms?name=svm1").await[0]["uuid"].clone();
    let foreign = json!({"name": "trident_pvc_1", "svm": {"uuid": svm}, "aggregates": [{"name": "aggr1"}], "size": 1 << 30});
    array.change(Method::POST, "storage/volumes?return_timeout=15", foreign).await;
    let refused = running.create(claim("pvc-1", &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("was not made by this controller"), "{}", refused.message());
    running.delete("pvc-1").await.unwrap();
    assert_eq!(array.records("storage/volumes?name=trident_pvc_1").await.len(), 1);
}

#[tokio::test]
async fn claims_made_at_once_each_get_a_volume_of_their_own() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let one = async |index: usize| {
        let name = format!("pvc-{}", index / 2); // each twice at once
        running.create(claim(&name, &[])).await.unwrap();
        running.publish(&name, "n1").await.unwrap();
    };
    futures_util::future::join_all((0..12).map(one)).await;
    assert_eq!(array.records("storage/luns").await.len(), 6);
    assert_eq!(array.records("protocols/san/igroups").await.len(), 1);
    let mut numbers: Vec<_> = array
        .records("protocols/san/lun-maps?fields=logical_unit_number")
        .await
        .iter()
        .map(|map| map["logical_unit_number"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn killed_at_any_moment_of_a_call_the_same_call_again_ends_in_the_same_state() {
    let array = OntapArray::start(&[]).await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend("ontap-san", &json!({}))).await.unwrap();
    running.register("n1", "10.0.0.1").await;
    let mut cut_short = 0;
    for round in 0..12 {
        let name = format!("pvc-{round}");
        // From before the first effect to past the last one.
        let moment = std::time::Duration::from_micros(500 * round);
        let whole = async {
            running.create(claim(&name, &[])).await?;
            running.publish(&name, "n1").await.map(drop)
        };
        cut_short += usize::from(tokio::time::timeout(moment, whole).await.is_err());
        running.crash().await;
        running.create(claim(&name, &[])).await.unwrap();
        running.publish(&name, "n1").await.unwrap();
        assert_eq!(maps(&array).await.len(), 1);
        assert_eq!(array.records("storage/luns").await.len(), 1);
        let moment = std::time::Duration::from_micros(500 * round);
        let whole = async {
            running.unpublish(&name, "n1").await?;
            running.delete(&name).await
        };
        cut_short += usize::from(tokio::time::timeout(moment, whole).await.is_err());
        running.crash().await;
        running.unpublish(&name, "n1").await.unwrap();
        running.delete(&name).await.unwrap();
        for collection in ["protocols/san/lun-maps", "protocols/san/igroups", "storage/luns"] {
            assert_eq!(array.records(collection).await, Vec::<Value>::new(), "{collection}");
        }
    }
    assert!(cut_short > 4, "only {cut_short} calls were cut short: the moments are too late");
}
