//! A simulated SolidFire cluster judged by the Linux kernel's initiator, in a worker node.

use anyhow::{Context as _, Result, ensure};
use integration::bare::{self, failure, node, script};
use integration::planes::element::{Element, SVIP, attach, log_in, log_out, record};
use serde_json::{Value, json};
use vm::{Guest, Node};

/// Where the nodes serve iSCSI: volumes 1, 3, 5… on the first, the others on the second.
const NODES: [&str; 2] = ["192.168.1.101:3260", "192.168.0.101:3262"];
const ACCOUNT: &str = "tenant";
const SECRET: &str = "initiatorsec1";
const TARGET_SECRET: &str = "targetsecret1";
const CHAP: [(&str, &str); 3] = [("authmethod", "CHAP"), ("username", ACCOUNT), ("password", SECRET)];

fn scenario(run: impl AsyncFnOnce(Node, Element, u64) -> Result<()> + Send) -> Result<()> {
    bare::scenario(async |network, template| {
        let one = node(&network, &template, 1).await?;
        let element = Element::start(&["--node-address", &NODES.join(",")]).await?;
        let secrets = json!({
            "username": ACCOUNT, "initiatorSecret": SECRET, "targetSecret": TARGET_SECRET,
        });
        let added = element.call("AddAccount", secrets).await?;
        run(one, element, added["accountID"].as_u64().unwrap_or_default()).await
    })
}

/// The portals that the cluster's sessions came through, in order of login.
async fn portals(element: &Element) -> Result<Vec<String>> {
    let state = element.control("state").await?;
    let sessions = state["sessions"].as_array().context("no list of sessions")?;
    Ok(sessions.iter().filter_map(|session| session["portal"].as_str().map(str::to_owned)).collect())
}

/// Writes 4 KiB of one letter, past the page cache.
fn fill(device: &str, letter: char) -> String {
    format!(
        "head -c 4096 /dev/zero | tr '\\0' {letter} | dd of={device} bs=4k seek=3 oflag=direct iflag=fullblock 2>&1\n"
    )
}

/// The letter that 4 KiB are full of, read past the page cache.
async fn letter(guest: &Guest, device: &str) -> Result<String> {
    let read = format!("dd if={device} bs=4k skip=3 count=1 iflag=direct 2>/dev/null | tr -s '[:alpha:]'");
    script(guest, &read).await
}

#[test]
fn chap_one_way_and_mutual_lets_in_whoever_follows_the_redirection() -> Result<()> {
    scenario(async |one, element, account| {
        let guest = one.guest();
        let (_, iqn) = element.create_volume("first", account).await?;
        let (_, other) = element.create_volume("second", account).await?;
        let wrong = [("authmethod", "CHAP"), ("username", ACCOUNT), ("password", "wrong-secret-x")];
        failure(&guest, &format!("set -e\n{}{}", record(&iqn, &wrong), log_in(&iqn))).await?;
        let events = element.control("events").await?.to_string();
        ensure!(
            events.contains("\"status\":\"0201\""),
            "the cluster did not refuse the wrong secret: {events}"
        );
        ensure!(portals(&element).await?.is_empty());
        // One way: the volume's node is on another network than the SVIP.
        attach(&guest, &iqn, &CHAP).await?;
        ensure!(portals(&element).await? == [NODES[0]], "{:?}", portals(&element).await?);
        let seen = script(&guest, "iscsiadm -m session -P 1").await?;
        for line in [format!("Current Portal: {},1", NODES[0]), format!("Persistent Portal: {SVIP},1")] {
            ensure!(seen.contains(&line), "no `{line}` in\n{seen}");
        }
        // Mutual: the cluster proves itself with the account's other secret, or the node leaves.
        let proof = [("username_in", ACCOUNT), ("password_in", "another-target")];
        let mutual: Vec<_> = CHAP.into_iter().chain(proof).collect();
        failure(&guest, &format!("set -e\n{}{}", record(&other, &mutual), log_in(&other))).await?;
        let proof = [("username_in", ACCOUNT), ("password_in", TARGET_SECRET)];
        let mutual: Vec<_> = CHAP.into_iter().chain(proof).collect();
        attach(&guest, &other, &mutual).await?;
        ensure!(portals(&element).await? == NODES, "{:?}", portals(&element).await?);
        script(&guest, &format!("{}{}", log_out(&iqn), log_out(&other))).await?;
        ensure!(portals(&element).await?.is_empty());
        Ok(())
    })
}

#[test]
fn an_access_group_lets_its_initiators_in_and_the_disk_is_what_the_api_says() -> Result<()> {
    scenario(async |one, element, account| {
        let guest = one.guest();
        let (id, iqn) = element.create_volume("data", account).await?;
        let (_, hidden) = element.create_volume("hidden", account).await?;
        let group = json!({"name": "hosts", "initiators": [one.initiator_name()], "volumes": [id]});
        element.call("CreateVolumeAccessGroup", group).await?;
        // Discovery shows what the group opens, at the SVIP and nowhere else.
        let discover =
            format!("iscsiadm -m discovery -t sendtargets -p {SVIP}; iscsiadm -m node -o delete >&2");
        let found = script(&guest, &discover).await?;
        ensure!(found.trim() == format!("{SVIP},1 {iqn}"), "{found}");
        ensure!(!found.contains(&hidden));
        let device = attach(&guest, &iqn, &[]).await?;
        the_disk_is(&guest, &element, id, &device).await?;
        snapshots_and_clones(&guest, &element, id, &device).await?;
        // Out of the group, a session that ended does not come back.
        let leaving = json!({"volumeAccessGroupID": 1, "volumes": [id]});
        element.call("RemoveVolumesFromVolumeAccessGroup", leaving).await?;
        script(&guest, &log_out(&iqn)).await?;
        failure(&guest, &format!("set -e\n{}{}", record(&iqn, &[]), log_in(&iqn))).await?;
        ensure!(portals(&element).await?.is_empty());
        Ok(())
    })
}

/// INQUIRY and vital product data, as the kernel and udev show them.
async fn the_disk_is(guest: &Guest, element: &Element, volume: u64, device: &str) -> Result<()> {
    let listed = element.call("ListVolumes", json!({"volumeIDs": [volume]})).await?["volumes"][0].take();
    let text = |member: &str| listed[member].as_str().unwrap_or_default().to_owned();
    let (naa, eui) = (text("scsiNAADeviceID"), text("scsiEUIDeviceID"));
    let look = format!(
        "cd /sys/block/$(basename {device}); cat device/vendor device/model device/wwid queue/logical_block_size \
         queue/physical_block_size
         tr -d '\\0' <device/vpd_pg80; echo
         udevadm info --query=property --property=ID_SERIAL {device}
         sg_vpd --page=di {device}; sg_inq {device}"
    );
    let seen = script(guest, &look).await?;
    let plain = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    println!("{plain}");
    for expected in [
        format!("SolidFir SSD SAN naa.{naa} 512 4096"),
        format!("ID_SERIAL=3{naa}"),
        format!("0x{naa}"),
        format!("Unit serial number: {eui}"),
        "TPGS=0".to_owned(),
    ] {
        ensure!(plain.contains(&expected), "no `{expected}` in\n{seen}");
    }
    let size = script(guest, &format!("blockdev --getsize64 {device}")).await?;
    ensure!(size.trim().parse().ok() == listed["totalSize"].as_u64(), "{size}");
    Ok(())
}

/// What a snapshot kept comes back under the node's feet, and is in a clone of it.
async fn snapshots_and_clones(guest: &Guest, element: &Element, volume: u64, device: &str) -> Result<()> {
    script(guest, &fill(device, 'a')).await?;
    let snapshot = element.call("CreateSnapshot", json!({"volumeID": volume})).await?["snapshotID"].take();
    script(guest, &fill(device, 'b')).await?;
    ensure!(letter(guest, device).await? == "b");
    let cloned = json!({"volumeID": volume, "snapshotID": snapshot, "name": "copy", "access": "readWrite"});
    let clone: Value = element.call("CloneVolume", cloned).await?["volumeID"].take();
    let back = json!({"volumeID": volume, "snapshotID": snapshot, "saveCurrentState": false});
    element.call("RollbackToSnapshot", back).await?;
    ensure!(letter(guest, device).await? == "a", "the rollback is not seen");
    script(guest, &fill(device, 'c')).await?;
    let listed = element.call("ListVolumes", json!({"volumeIDs": [clone]})).await?["volumes"][0].take();
    let iqn = listed["iqn"].as_str().unwrap_or_default();
    let copy = attach(guest, iqn, &CHAP).await?;
    ensure!(letter(guest, &copy).await? == "a", "the clone is not what the snapshot was");
    let wwid = script(guest, &format!("cat /sys/block/$(basename {copy})/device/wwid")).await?;
    ensure!(wwid.trim() == format!("naa.{}", listed["scsiNAADeviceID"].as_str().unwrap_or_default()));
    script(guest, &log_out(iqn)).await.map(drop)
}
