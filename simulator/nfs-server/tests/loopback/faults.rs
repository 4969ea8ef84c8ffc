//! The server under its levers.

use levers::{Latency, NfsFaults, PortalFault};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;

/// Bounds what must happen; nothing is measured by it.
const SOON: Duration = Duration::from_secs(10);
/// How long silence is listened to.
const WHILE: Duration = Duration::from_millis(200);

impl Svm {
    /// Pulls the lever of the LIF, and returns when the server has taken notice.
    async fn pull(&self, fault: PortalFault) {
        let from = self.events.snapshot().last().map_or(0, |event| event.sequence + 1);
        self.levers.set_portal_fault(self.lif, fault);
        let noticed = self.events.await_event(from, |event| event.kind == "nfs.fault");
        let event = timeout(SOON, noticed).await.unwrap();
        assert!(event.has(&json!({ "lif": self.lif, "fault": fault })), "{event:?}");
    }

    async fn refuses(&self) -> bool {
        timeout(SOON, TcpStream::connect(self.lif)).await.unwrap().is_err()
    }
}

async fn ends(client: &mut Client) -> bool {
    timeout(SOON, client.receive_record()).await.unwrap().is_none()
}

#[tokio::test]
async fn a_lif_that_refuses_closes_its_connections_and_comes_back_at_the_same_port() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.pull(PortalFault::Refuse).await;
    assert!(ends(&mut client).await);
    assert!(svm.refuses().await);
    svm.pull(PortalFault::None).await;
    let mut client = timeout(SOON, svm.client_when_up()).await.unwrap();
    assert!(client.getattr(&root).await.is_ok());
}

impl Svm {
    /// A client as soon as the LIF listens again: an instant after the lever is back.
    async fn client_when_up(&self) -> Client {
        while self.refuses().await {
            tokio::task::yield_now().await;
        }
        self.client().await
    }
}

#[tokio::test]
async fn a_black_hole_swallows_calls_until_it_is_lifted_and_loses_none() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.pull(PortalFault::Blackhole).await;
    let xid = client.send(NFS, 1, Args::default().bytes(&root)).await;
    assert!(timeout(WHILE, client.receive_record()).await.is_err(), "answered out of a black hole");
    svm.pull(PortalFault::None).await;
    let reply = timeout(SOON, client.receive_record()).await.unwrap().unwrap();
    assert_eq!(Results(reply).word(), xid);
}

#[tokio::test]
async fn a_reset_cuts_what_is_open_and_what_comes() {
    let (svm, _tree, client, _root) = open_volume(1 << 20).await;
    svm.pull(PortalFault::Reset).await;
    for mut stream in [client.stream, TcpStream::connect(svm.lif).await.unwrap()] {
        let end = timeout(SOON, tokio::io::AsyncReadExt::read(&mut stream, &mut [0])).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_connection_is_dropped_after_so_many_calls_counted_anew_by_each_pull() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.pull(PortalFault::DropAfter { messages: 3 }).await;
    for _ in 0..3 {
        assert!(client.getattr(&root).await.is_ok());
    }
    client.send(NFS, 1, Args::default().bytes(&root)).await;
    assert!(ends(&mut client).await);
    assert!(svm.client().await.getattr(&root).await.is_ok(), "another connection has its own count");
}

#[tokio::test]
async fn a_stopped_service_refuses_on_every_lif_until_it_runs_again() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let lever = svm.levers.nfs("svm1");
    lever.set(NfsFaults { stopped: true, ..NfsFaults::default() });
    assert!(ends(&mut client).await);
    assert!(svm.refuses().await);
    lever.set(NfsFaults::default());
    let mut client = timeout(SOON, svm.client_when_up()).await.unwrap();
    assert!(client.getattr(&root).await.is_ok());
    let stops: Vec<_> = svm.events.snapshot().into_iter().filter(|event| event.kind == "nfs.fault").collect();
    assert!(stops[0].has(&json!({ "stopped": true })) && stops[1].has(&json!({ "stopped": false })));
}

#[tokio::test]
async fn handles_of_one_export_can_be_made_stale_and_good_again() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.export("/w", &tree(1 << 20), vec![open_to("0.0.0.0/0")]);
    let other = client.mount("/w").await.unwrap();
    let lever = svm.levers.nfs("svm1");
    lever.set(NfsFaults { stale: ["/v".to_owned()].into(), ..NfsFaults::default() });
    assert_eq!(client.getattr(&root).await, Err(STALE));
    assert!(client.getattr(&other).await.is_ok());
    lever.set(NfsFaults::default());
    assert!(client.getattr(&root).await.is_ok());
}

#[tokio::test]
async fn metadata_can_be_late_without_the_data_and_late_calls_do_not_add_up() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let late = Latency::Fixed { us: 300_000 };
    svm.levers.nfs("svm1").set(NfsFaults { metadata_latency: Some(late), ..NfsFaults::default() });
    let start = Instant::now();
    for _ in 0..10 {
        client.send(NFS, 1, Args::default().bytes(&root)).await;
    }
    for _ in 0..10 {
        client.receive_record().await.unwrap();
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    svm.levers.nfs("svm1").set(NfsFaults {
        metadata_latency: Some(Latency::Fixed { us: 600_000_000 }),
        ..NfsFaults::default()
    });
    assert!(timeout(SOON, client.read(&file, 0, 1)).await.unwrap().is_ok());
}

#[tokio::test]
async fn calls_are_traced_where_asked() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.events.set_tracing(true);
    client.getattr(&root).await.unwrap();
    let traced = svm.events.snapshot();
    let wanted = json!({ "client": "127.0.0.1", "program": 100_003, "version": 3, "procedure": 1 });
    assert!(traced.iter().any(|event| event.kind == "nfs.call" && event.has(&wanted)), "{traced:?}");
}
