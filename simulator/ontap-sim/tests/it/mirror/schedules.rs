//! Relationships that are updated by the clock.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_relationship_with_a_schedule_is_updated_when_its_time_comes_unless_it_is_paused() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"first").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    let schedule =
        sites.dr.post("/api/cluster/schedules", json!({ "name": "often", "interval": "PT1S" })).await;
    assert_eq!(schedule.status, 201, "{}", schedule.body);
    write(&mut prod, "/v", "f", b"after").await;
    let since = mark(&sites.dr);
    changed(&sites.dr, &mirror, json!({ "transfer_schedule.name": "often" })).await;
    let told = happened(&sites.dr, "mirror.scheduled", since).await;
    assert!(mirror.ends_with(told["mirror"].as_str().unwrap()), "{told}");
    happened(&sites.dr, "mirror.transferred", since).await;
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"after");

    // One that is paused has no time; the other relationship's comes and goes without it.
    changed(&sites.dr, &mirror, json!({ "state": "paused" })).await;
    source_volume(&sites.prod, "w").await;
    protected_volume(&sites.dr, "w_dr").await;
    let body = json!({ "source.path": "svm1:w", "destination.path": "svm1:w_dr", "transfer_schedule.name": "often" });
    let other = made(&sites.dr, RELATIONSHIPS, body).await;
    let state = json!({ "state": "snapmirrored" });
    transferred(&sites, "mirror.transferred", &other, Some(state)).await;
    for _ in 0..2 {
        let since = mark(&sites.dr);
        let told = happened(&sites.dr, "mirror.scheduled", since).await;
        assert!(other.ends_with(told["mirror"].as_str().unwrap()), "{told}");
    }
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}
