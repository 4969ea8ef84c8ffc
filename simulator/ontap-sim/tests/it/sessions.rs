//! `/protocols/san/iscsi/sessions`: who is logged in on the wire, as the API tells it.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Bench;

pub(crate) const INITIATOR: &str = "iqn.2026-11.example:host1";

/// Logs in with one request, security stage left out (RFC 7143 section 6.3), and keeps the connection.
pub(crate) async fn log_in(portal: SocketAddr, target: &str) -> TcpStream {
    let text = format!("InitiatorName={INITIATOR}\0SessionType=Normal\0TargetName={target}\0");
    let mut request = [0_u8; 48];
    request[..2].copy_from_slice(&[0x43, 0x87]);
    request[4..8].copy_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    request[8..14].copy_from_slice(&[0x40, 0, 1, 0x37, 0, 0]);
    let mut request = request.to_vec();
    request.extend(text.into_bytes());
    request.resize(request.len().next_multiple_of(4), 0);
    let mut stream = TcpStream::connect(portal).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut response = [0_u8; 48];
    stream.read_exact(&mut response).await.unwrap();
    assert_eq!((response[0], response[1] & 0x83, response[36]), (0x23, 0x83, 0), "{response:?}");
    let length = u32::from_be_bytes([0, response[5], response[6], response[7]]) as usize;
    let mut keys = vec![0; length.next_multiple_of(4)];
    stream.read_exact(&mut keys).await.unwrap();
    stream
}

#[tokio::test]
async fn a_session_is_listed_with_its_lif_initiator_and_igroup() {
    let bench = Bench::start().await;
    assert_eq!(bench.get("/api/protocols/san/iscsi/sessions").await["num_records"], 0);
    let igroup = json!({ "name": "hosts", "svm": { "name": "svm1" }, "os_type": "linux", "protocol": "iscsi",
        "initiators": [{ "name": INITIATOR }] });
    assert_eq!(bench.post("/api/protocols/san/igroups", igroup).await.status, 201);
    let service = bench.one("/api/protocols/san/iscsi/services?fields=target.name").await;
    let portal = bench.sim.array().planes().portals()[1].clone();
    let stream = log_in(portal.address, service["target"]["name"].as_str().unwrap()).await;

    let session =
        bench.one(&format!("/api/protocols/san/iscsi/sessions?initiator.name={INITIATOR}&fields=**")).await;
    assert_eq!(session["svm"]["name"], "svm1");
    assert_eq!(session["isid"], "40:00:01:37:00:00");
    assert_eq!(session["target_portal_group_tag"], portal.tag);
    assert_eq!(session["igroups"][0]["name"], "hosts");
    let connection = &session["connections"][0];
    let lif = bench.one("/api/network/ip/interfaces?ip.address=127.0.0.2&services=data_iscsi").await;
    assert_eq!(connection["interface"]["name"], lif["name"]);
    assert_eq!(session["target_portal_group"], lif["name"]);
    assert_eq!(connection["initiator_address"]["port"], stream.local_addr().unwrap().port());
    let href = session["_links"]["self"]["href"].as_str().unwrap();
    assert_eq!(bench.get(href).await["tsih"], session["tsih"]);
    bench.sim.stop().await;
}
