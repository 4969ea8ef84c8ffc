//! The target as libiscsi sees it: its conformance suite, and its small programs on the identity.

// Code of tests alone: an array that does not start fails the test.
#![allow(clippy::unwrap_used)]

mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortGroup, Portal, Target,
    Visibility,
};
use levers::EventLog;
use suite::{Report, Verdict, run};

const ONTAP: &str = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4";
const SOLIDFIRE: &str = "iqn.2010-01.com.solidfire:mn4y.vol359.361";
/// Numbers of the ONTAP units: as they are, with 4096-byte blocks, write-protected.
const EMULATED: u16 = 0;
const NATIVE: u16 = 1;
const READ_ONLY: u16 = 2;

/// Tests that the suite is known to fail or skip: one by name, or a whole suite as `Suite.*`. Each
/// has its reason in docs/fidelity.md.
struct Known {
    failed: &'static [&'static str],
    skipped: &'static [&'static str],
}

/// What is skipped whichever array it is.
const NOT_THERE: &[&str] = &[
    "ExtendedCopy.*",
    "PreventAllow.*",
    "ReadDefectData10.*",
    "ReadDefectData12.*",
    "ReadOnly.ReadOnlySBC",
    "ReceiveCopyResults.*",
    "Sanitize.*",
    "StartStopUnit.Simple",
    "WriteAtomic16.*",
    "WriteSame10.ZeroBlocks",
    "WriteSame16.ZeroBlocks",
];

const ON_ONTAP: Known = Known { failed: &["GetLBAStatus.UnmapSingle"], skipped: NOT_THERE };
const ON_ONTAP_4KN: Known = Known { failed: &[], skipped: NOT_THERE };
const ON_SOLIDFIRE: Known = Known { failed: &["GetLBAStatus.UnmapSingle"], skipped: NOT_THERE };
/// With one path there is no multipath to test.
const WITH_ONE_PATH: &[&str] = &["MultipathIO.*"];
/// With one logical block to a physical one there is no part of one to try.
const WITH_WHOLE_BLOCKS: &[&str] = &[
    "CompareAndWrite.InvalidDataOutSize",
    "WriteSame10.InvalidDataOutSize",
    "WriteSame10.UnmapUnaligned",
    "WriteSame16.InvalidDataOutSize",
    "WriteSame16.UnmapUnaligned",
];

struct Array {
    portals: Vec<SocketAddr>,
    /// Kept for the sake of its portals.
    _server: IscsiServer,
}

impl Array {
    async fn start() -> Self {
        let server = IscsiServer::new(EventLog::new());
        let mut portals = Vec::new();
        for n in 0..2 {
            let group = PortGroup { id: 1000 + n, relative_port: 1 + n };
            let listen = "127.0.0.1:0".parse().unwrap();
            portals.push(server.bind_portal(Portal { listen, tag: 1030 + n, group }).await.unwrap());
        }
        let lun = |number, serial: &str| ontap_lun(number, serial);
        server.put_target(Target {
            iqn: ONTAP.into(),
            alias: None,
            portals: portals.clone(),
            auth: AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() },
            luns: vec![
                lun(EMULATED, "81DaR$Qq/1ii"),
                Lun { block_size: BlockSize::Native4096, ..lun(NATIVE, "ZlAFA?QMnBdX") },
                Lun { read_only: true, ..lun(READ_ONLY, "wOj4f?W9lOk7") },
            ],
        });
        let secret = ChapSecret::new("initiatorsecret");
        let chap = Auth::Chap { user: "node".into(), secret, mutual: None };
        server.put_target(Target {
            iqn: SOLIDFIRE.into(),
            alias: None,
            portals: portals.iter().take(1).copied().collect(),
            auth: AuthPolicy { default: chap, initiators: BTreeMap::new() },
            luns: vec![solidfire_lun()],
        });
        Self { portals, _server: server }
    }

    /// The unit by every path, the first one first.
    fn ontap(&self, number: u16) -> Vec<String> {
        self.portals.iter().map(|portal| format!("iscsi://{portal}/{ONTAP}/{number}")).collect()
    }

    fn solidfire(&self) -> Vec<String> {
        vec![format!("iscsi://node%initiatorsecret@{}/{SOLIDFIRE}/0", self.portals[0])]
    }
}

fn ontap_lun(number: u16, serial: &str) -> Lun {
    let mut naa = [0; 16];
    naa[..4].copy_from_slice(&[0x60, 0x0a, 0x09, 0x80]);
    naa[4..].copy_from_slice(serial.as_bytes());
    Lun {
        number,
        volume: Volume::new(64 << 20),
        identity: Identity {
            vendor: "NETAPP".into(),
            product: "LUN C-Mode".into(),
            revision: "9151".into(),
            serial: serial.into(),
            naa,
            eui: None,
            t10: format!("LUN {serial}"),
        },
        block_size: BlockSize::Emulated512,
        access: Visibility::Everyone,
        thin: true,
        read_only: false,
        optimized_groups: BTreeSet::from([1000]),
        governor: None,
    }
}

fn solidfire_lun() -> Lun {
    let eui = *b"mn4y\x00\x00\x01\x69\xf4\x7a\xcc\x01\x00\x00\x00\x00";
    let text: String = eui.iter().map(|byte| format!("{byte:02x}")).collect();
    let identity = Identity {
        vendor: "SolidFir".into(),
        product: "SSD SAN".into(),
        revision: "0001".into(),
        serial: text.clone(),
        naa: *b"\x6f\x47\xac\xc1\x00\x00\x00\x00mn4y\x00\x00\x01\x69",
        eui: Some(eui),
        t10: text,
    };
    Lun { identity, optimized_groups: BTreeSet::new(), ..ontap_lun(0, "solidfire000") }
}

/// The tests that names and whole suites stand for.
fn expand<'a>(report: &'a Report, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let each = |name: &'a str| match name.strip_suffix(".*") {
        Some(suite) => report.of_suite(suite),
        None => vec![name],
    };
    let mut tests: Vec<&str> = known.into_iter().flat_map(each).collect();
    tests.sort_unstable();
    tests
}

#[track_caller]
fn assert_as_known(report: &Report, unit: &str, known: &Known, more_skipped: &[&'static str]) {
    report.print(unit);
    let skipped = known.skipped.iter().chain(more_skipped).copied();
    assert_eq!(
        report.named(Verdict::Failed),
        expand(report, known.failed.iter().copied()),
        "failed, {unit}; the suite said:\n{}",
        report.said()
    );
    assert_eq!(report.named(Verdict::Skipped), expand(report, skipped), "skipped, {unit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes_on_an_ontap_lun_but_for_what_is_known() {
    let array = Array::start().await;
    let report = Report::of("ALL", &array.ontap(EMULATED)).await;
    assert_as_known(&report, "ONTAP, two paths", &ON_ONTAP, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes_on_a_lun_with_large_blocks_but_for_what_is_known() {
    let array = Array::start().await;
    let report = Report::of("ALL", &array.ontap(NATIVE)).await;
    assert_as_known(&report, "ONTAP, 4096-byte blocks, two paths", &ON_ONTAP_4KN, WITH_WHOLE_BLOCKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes_on_a_solidfire_volume_but_for_what_is_known() {
    let array = Array::start().await;
    let report = Report::of("ALL", &array.solidfire()).await;
    assert_as_known(&report, "SolidFire, CHAP, one path", &ON_SOLIDFIRE, WITH_ONE_PATH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_protected_unit_passes_the_tests_of_one() {
    let array = Array::start().await;
    let report = Report::of("ALL.ReadOnly", &array.ontap(READ_ONLY)[..1]).await;
    assert_as_known(&report, "ONTAP, write-protected", &Known { failed: &[], skipped: &[] }, &[]);
}

#[test]
fn each_known_failure_and_skip_has_its_reason_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fidelity.md");
    let text = std::fs::read_to_string(path).unwrap();
    for known in [ON_ONTAP, ON_ONTAP_4KN, ON_SOLIDFIRE] {
        let tables = [known.failed, known.skipped, WITH_ONE_PATH, WITH_WHOLE_BLOCKS];
        for name in tables.into_iter().flatten() {
            let mut rows = text.lines().filter(|line| line.starts_with('|'));
            assert!(rows.any(|row| row.contains(&format!("`{name}`"))), "{name} has no row");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iscsi_ls_finds_every_portal_and_unit() {
    let array = Array::start().await;
    let said = run("iscsi-ls", &["--show-luns", &format!("iscsi://{}", array.portals[1])]).await;
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    for (portal, tag) in array.portals.iter().zip(1030..) {
        assert!(lines.contains(&format!("Target:{ONTAP} Portal:{portal},{tag}").as_str()), "{said}");
    }
    // Size as the program rounds it: the last block's address, in MiB.
    for number in [EMULATED, NATIVE, READ_ONLY] {
        let unit = format!("Lun:{number}    Type:DIRECT_ACCESS (Size:63M)");
        assert_eq!(lines.iter().filter(|line| **line == unit).count(), 2, "{unit} by both paths: {said}");
    }
}

/// Standard INQUIRY data or a vital product data page, as `iscsi-inq` prints it.
async fn inquire(url: &str, page: Option<u8>) -> Vec<String> {
    let code = page.unwrap_or(0).to_string();
    let mut arguments = vec![url];
    if page.is_some() {
        arguments.extend(["--evpd=1", "--pagecode", &code]);
    }
    run("iscsi-inq", &arguments).await.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[track_caller]
fn assert_tells(said: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(said.iter().any(|its| its == line), "{line:?} is not in {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iscsi_inq_shows_an_ontap_lun() {
    let array = Array::start().await;
    let url = &array.ontap(EMULATED)[1];
    let standard = inquire(url, None).await;
    assert_tells(
        &standard,
        &["Vendor:NETAPP", "Product:LUN C-Mode", "Revision:9151", "TPGS:1", "Removable:0"],
    );
    assert_tells(&standard, &["Version Descriptor:0460 SPC-4", "Version Descriptor:04c0 SBC-3"]);
    let pages = inquire(url, Some(0x00)).await;
    let listed: Vec<&str> = pages.iter().filter_map(|line| line.split_whitespace().next()).collect();
    let wanted = ["00", "80", "83", "86", "b0", "b1", "b2"].map(|code| format!("Page:0x{code}"));
    assert_eq!(listed, wanted);
    assert_tells(&inquire(url, Some(0x80)).await, &["Unit Serial Number:[81DaR$Qq/1ii]"]);
    let names = inquire(url, Some(0x83)).await;
    assert_tells(
        &names,
        &[
            "Designator Type:(3) NAA",
            "Designator:[NETAPP  LUN 81DaR$Qq/1ii]",
            "Designator Type:(4) RELATIVE_TARGET_PORT",
            "Designator Type:(5) TARGET_PORT_GROUP",
        ],
    );
    // The NAA name is not text: its last twelve bytes are, the serial.
    assert!(names.iter().any(|line| line.ends_with("81DaR$Qq/1ii]") && !line.contains("LUN")), "{names:#?}");
    let limits = inquire(url, Some(0xb0)).await;
    let wanted = ["optimal transfer length granularity:8", "optimal transfer length:128"];
    assert_tells(&limits, &wanted);
    assert_tells(&limits, &["maximum compare and write length:128", "optimal unmap granularity:8"]);
    assert_tells(&inquire(url, Some(0xb1)).await, &["Medium Rotation Rate:1RPM"]);
    let provisioning = inquire(url, Some(0xb2)).await;
    assert_tells(&provisioning, &["lbpu:1", "lbpws:1", "lbpws10:1", "lbprz:1", "provisioning type:2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iscsi_inq_shows_a_solidfire_volume() {
    let array = Array::start().await;
    let url = &array.solidfire()[0];
    let standard = inquire(url, None).await;
    assert_tells(&standard, &["Vendor:SolidFir", "Product:SSD SAN", "TPGS:0"]);
    assert_tells(&inquire(url, Some(0x80)).await, &["Unit Serial Number:[6d6e347900000169f47acc0100000000]"]);
    let names = inquire(url, Some(0x83)).await;
    assert_tells(&names, &["Designator Type:(3) NAA", "Designator Type:(2) EUI_64"]);
    assert!(!names.iter().any(|line| line.contains("TARGET_PORT_GROUP")), "{names:#?}");
}
