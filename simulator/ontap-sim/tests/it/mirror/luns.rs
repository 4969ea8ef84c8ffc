//! LUNs in volumes that are copied: what hosts read of them at the other site.

use super::*;
use crate::sessions::{INITIATOR, log_in};
use ontap_sim::state::LunId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// SPC-4 4.5.6: sense keys.
const ILLEGAL_REQUEST: u8 = 5;
const UNIT_ATTENTION: u8 = 6;
const DATA_PROTECT: u8 = 7;

/// A host that is logged in, and speaks to LUN 0.
struct Host {
    stream: TcpStream,
    sent: u32,
}

impl Host {
    async fn at(bench: &Bench, svm: &str) -> Self {
        let service =
            bench.one(&format!("/api/protocols/san/iscsi/services?svm.name={svm}&fields=target.name")).await;
        let portal = bench.sim.array().planes().portals()[0].clone();
        Self { stream: log_in(portal.address, service["target"]["name"].as_str().unwrap()).await, sent: 0 }
    }

    /// One command of one block (RFC 7143 section 11.3), repeated while the unit has something to tell; data that
    /// came, or the sense key.
    async fn block(&mut self, operation: u8, number: u8, data: &[u8]) -> Result<Vec<u8>, u8> {
        loop {
            let mut request = [0_u8; 48];
            request[..2].copy_from_slice(&[0x01, if data.is_empty() { 0xC0 } else { 0xA0 }]);
            request[5..8].copy_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes()[1..]);
            request[16..20].copy_from_slice(&(self.sent + 1).to_be_bytes());
            request[20..24].copy_from_slice(&512_u32.to_be_bytes());
            request[24..28].copy_from_slice(&self.sent.to_be_bytes());
            request[32..42].copy_from_slice(&[operation, 0, 0, 0, 0, number, 0, 0, 1, 0]);
            self.sent += 1;
            self.stream.write_all(&[&request[..], data].concat()).await.unwrap();
            match self.answer().await {
                Err(UNIT_ATTENTION) => {}
                answer => return answer,
            }
        }
    }

    async fn answer(&mut self) -> Result<Vec<u8>, u8> {
        let mut came = Vec::new();
        loop {
            let mut header = [0_u8; 48];
            self.stream.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
            let mut data = vec![0; length.next_multiple_of(4)];
            self.stream.read_exact(&mut data).await.unwrap();
            data.truncate(length);
            match (header[0] & 0x3F, header[1] & 1, header[3]) {
                (0x25, last, 0) => {
                    came.extend(data);
                    if last == 1 {
                        return Ok(came);
                    }
                }
                (0x21, _, 0) => return Ok(came),
                (0x21, _, 2) => {
                    assert_ne!(data[4] & 0xF, ILLEGAL_REQUEST, "{data:02x?}");
                    return Err(data[4] & 0xF);
                }
                (0x20 | 0x32, ..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn read(&mut self, number: u8) -> Vec<u8> {
        self.block(0x28, number, &[]).await.unwrap()
    }

    async fn write(&mut self, number: u8, byte: u8) -> Result<(), u8> {
        self.block(0x2A, number, &[byte; 512]).await.map(drop)
    }
}

async fn content(bench: &Bench, path: &str) -> blockstore::Volume {
    let uuid =
        bench.one(&format!("/api/storage/luns?name={path}")).await["uuid"].as_str().unwrap().to_owned();
    bench.sim.array().planes().find_content(LunId(uuid.parse().unwrap())).unwrap()
}

/// Shows a LUN to the host as number 0.
async fn mapped(bench: &Bench, svm: &str, path: &str) {
    let group = json!({ "name": "hosts", "svm.name": svm, "os_type": "linux", "protocol": "iscsi",
        "initiators": [{ "name": INITIATOR }] });
    assert_eq!(bench.post("/api/protocols/san/igroups", group).await.status, 201);
    let map = json!({ "svm.name": svm, "lun.name": path, "igroup.name": "hosts", "logical_unit_number": 0 });
    let map = bench.post("/api/protocols/san/lun-maps", map).await;
    assert_eq!(map.status, 201, "{}", map.body);
}

async fn source_lun(bench: &Bench) -> blockstore::Volume {
    let body = json!({ "name": "/vol/v/l", "svm.name": "svm1", "os_type": "linux", "space.size": 16 << 20,
        "comment": "of the database" });
    let made = bench.post("/api/storage/luns", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    content(bench, "/vol/v/l").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_reads_at_the_copy_what_was_written_at_the_source_and_writes_after_the_break() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let source = source_lun(&sites.prod).await;
    source.write_at(0, &[1; 8 << 20]).unwrap();
    let (mirror, _) = mirrored(&sites).await;
    let shown = sites.dr.one("/api/storage/luns?name=/vol/v_dr/l&fields=*").await;
    assert_eq!((&shown["space"]["size"], &shown["comment"]), (&json!(16 << 20), &json!("of the database")));
    let serial = shown["serial_number"].clone();
    let other = sites.prod.one("/api/storage/luns?name=/vol/v/l&fields=serial_number").await;
    assert_ne!(other["serial_number"], serial);

    mapped(&sites.dr, "svm1", "/vol/v_dr/l").await;
    let mut host = Host::at(&sites.dr, "svm1").await;
    assert_eq!(host.read(0).await, [1; 512]);
    assert_eq!(host.write(0, 9).await, Err(DATA_PROTECT));

    // What differs comes alone, under the host's eyes.
    source.write_at(0, &[2; 512]).unwrap();
    let event = transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert!(event["bytes"].as_u64().unwrap() < 64 << 10, "{event}");
    assert_eq!((host.read(0).await, host.read(1).await), (vec![2; 512], vec![1; 512]));
    assert_eq!(sites.dr.one("/api/storage/luns?name=/vol/v_dr/l&fields=*").await["serial_number"], serial);

    changed(&sites.dr, &mirror, json!({ "state": "broken_off" })).await;
    assert_eq!(host.write(0, 9).await, Ok(()));
    assert_eq!(host.read(0).await, [9; 512]);
    source.write_at(512, &[3; 512]).unwrap();
    transferred(&sites, "mirror.transferred", &mirror, Some(json!({ "state": "snapmirrored" }))).await;
    assert_eq!((host.read(0).await, host.read(1).await), (vec![2; 512], vec![3; 512]));
    assert_eq!(host.write(0, 9).await, Err(DATA_PROTECT));

    // A LUN that is gone at the source goes at the copy, though it is mapped.
    let gone = sites.prod.one("/api/storage/luns?name=/vol/v/l").await;
    let gone = sites.prod.delete(&format!("/api/storage/luns/{}", gone["uuid"].as_str().unwrap())).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert_eq!(sites.dr.get("/api/storage/luns?name=/vol/v_dr/l").await["num_records"], 0);
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_lun_outlives_the_process_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let durable = || Configuration { data_dir: Some(directory.path().to_owned()), ..site(8) };
    let mut sites = sites(durable()).await;
    source_volume(&sites.prod, "v").await;
    let source = source_lun(&sites.prod).await;
    source.write_at(0, &[1; 1 << 20]).unwrap();
    let (mirror, _) = mirrored(&sites).await;
    mapped(&sites.dr, "svm1", "/vol/v_dr/l").await;
    sites.dr.sim.stop().await;
    sites.dr = Bench::with(durable()).await;
    let mut host = Host::at(&sites.dr, "svm1").await;
    assert_eq!(host.read(0).await, [1; 512]);
    assert_eq!(host.write(0, 9).await, Err(DATA_PROTECT));
    source.write_at(512, &[2; 512]).unwrap();
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert_eq!((host.read(0).await, host.read(1).await), (vec![1; 512], vec![2; 512]));
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}
