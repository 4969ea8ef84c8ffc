//! What a copy holds comes back.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_copy_comes_back_into_the_volume_it_was_taken_of() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"first").await;
    let volume = sites.prod.one("/api/storage/volumes?name=v").await["uuid"].as_str().unwrap().to_owned();
    let snapshots = format!("/api/storage/volumes/{volume}/snapshots");
    made(&sites.prod, &snapshots, json!({ "name": "good" })).await;
    write(&mut prod, "/v", "f", b"later").await;
    let (_, _) = mirrored(&sites).await;
    write(&mut prod, "/v", "f", b"spoilt").await;

    // The other way round: the copy is the source, and the volume stays one that clients write.
    let peer = json!({ "svm.name": "svm1", "peer.svm.name": "svm1", "peer.cluster.name": "dr",
        "applications": ["snapmirror"] });
    let known = sites.prod.get("/api/svm/peers").await;
    if known["num_records"] == 0 {
        made(&sites.prod, "/api/svm/peers", peer).await;
    }
    let body = json!({ "restore": true, "source.path": "svm1:v_dr", "destination.path": "svm1:v" });
    let back = made(&sites.prod, RELATIONSHIPS, body).await;
    assert_eq!(sites.prod.get(&format!("{back}?fields=restore")).await["restore"], true);
    let since = mark(&sites.prod);
    let transfer = sites.prod.post(&format!("{back}/transfers"), json!({ "source_snapshot": "good" })).await;
    assert!(transfer.status < 300, "{}", transfer.body);
    happened(&sites.prod, "mirror.transferred", since).await;
    assert_eq!(read(&mut prod, "/v", "f").await, b"first");
    write(&mut prod, "/v", "f", b"again").await;
    // The relationship is over, at both ends.
    assert_eq!(sites.prod.get(RELATIONSHIPS).await["num_records"], 0);
    assert_eq!(sites.dr.get(&format!("{RELATIONSHIPS}?list_destinations_only=true")).await["num_records"], 0);

    // A snapshot that is not there fails, and the volume stays.
    let body = json!({ "restore": true, "source.path": "svm1:v_dr", "destination.path": "svm1:v" });
    let back = made(&sites.prod, RELATIONSHIPS, body).await;
    let since = mark(&sites.prod);
    sites.prod.post(&format!("{back}/transfers"), json!({ "source_snapshot": "none" })).await;
    let failed = happened(&sites.prod, "mirror.failed", since).await;
    assert!(failed["error"].as_str().unwrap().contains("none"), "{failed}");
    assert_eq!(read(&mut prod, "/v", "f").await, b"again");
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}
