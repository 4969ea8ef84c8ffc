//! Transfers that cannot be: the copy stays what it was.

use super::*;

/// The volume of this name at the source, deleted and made again.
async fn made_anew(bench: &Bench, name: &str) {
    let found = bench.one(&format!("/api/storage/volumes?name={name}&svm.name=svm1")).await;
    let path = format!("/api/storage/volumes/{}?return_timeout=20", found["uuid"].as_str().unwrap());
    let gone = bench.delete(&path).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    source_volume(bench, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_made_anew_does_not_overwrite_its_copy() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"whole").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    let held = sites.dr.get(&format!("{copy}/snapshots?fields=uuid")).await["records"].clone();
    assert_eq!(held.as_array().map(Vec::len), Some(1));

    made_anew(&sites.prod, "v").await;
    write(&mut prod, "/v", "f", b"other").await;
    let failed = transferred(&sites, "mirror.failed", &mirror, None).await;
    assert!(failed["error"].as_str().unwrap().contains("No common Snapshot copy"), "{failed}");
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"whole");
    assert_eq!(sites.dr.get(&format!("{copy}/snapshots?fields=uuid")).await["records"], held);
    assert_eq!(sites.dr.get(&mirror).await["state"], "snapmirrored");
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resynchronization_that_a_clone_forbids_leaves_what_was_written_since_the_break() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"whole").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    changed(&sites.dr, &mirror, json!({ "state": "broken_off" })).await;
    let mut dr = nfs(&sites.dr).await;
    write(&mut dr, "/v_dr", "f", b"local").await;
    made(&sites.dr, &format!("{copy}/snapshots"), json!({ "name": "mine" })).await;
    let clone = json!({ "name": "c", "svm.name": "svm1", "clone.is_flexclone": true,
        "clone.parent_volume.name": "v_dr", "clone.parent_snapshot.name": "mine" });
    made(&sites.dr, "/api/storage/volumes", clone).await;
    write(&mut prod, "/v", "f", b"newer").await;
    transferred(&sites, "mirror.failed", &mirror, Some(json!({ "state": "snapmirrored" }))).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"local");
    assert_eq!(sites.dr.get(&mirror).await["state"], "broken_off");
    // It is still a volume that clients write.
    write(&mut dr, "/v_dr", "f", b"again").await;
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}
