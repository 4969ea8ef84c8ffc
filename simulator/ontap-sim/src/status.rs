//! What the status page shows of the array: the tables of an administrator, out of the records of the
//! REST skin, and who is connected, out of the data planes.

use levers::{Levers, NfsFaults, PortalFault};
use serde_json::{Value, json};
use sim_front::{Cell, Lever, Portrait, Row, Section};

use crate::dataplane::DataPlanes;
use crate::rest::{self, Call, Method};
use crate::state::Cluster;

/// Rows of a table; the rest is counted.
const SHOWN: usize = 100;

/// Paints the array as it is, whatever the API's levers show.
pub(crate) fn portrait(cluster: &mut Cluster, planes: &DataPlanes, levers: &Levers) -> Portrait {
    let nodes: Vec<_> = cluster.nodes.values().map(|node| node.name.clone()).collect();
    Portrait {
        product: "ontap-sim".into(),
        name: cluster.about.name.clone(),
        facts: facts(cluster, &nodes),
        sections: vec![
            svms(cluster, levers),
            lifs(cluster, planes, levers, &nodes),
            aggregates(cluster),
            volumes(cluster),
            exports(cluster),
            luns(cluster, levers),
            sessions(planes),
            mounts(planes),
            jobs(cluster),
        ],
    }
}

/// The records of a collection, the first [`SHOWN`] of them, and how many there are.
fn records(cluster: &mut Cluster, path: &str, query: &str) -> (Vec<Value>, usize) {
    let mut look = |query: String| {
        let path = format!("/api/{path}");
        rest::answer(cluster, &Call { method: Method::Get, path, query, svm: None, body: Value::Null }).body
    };
    let mut page = look(format!("{query}&max_records={SHOWN}"));
    let records: Vec<_> = match page.get_mut("records").map(Value::take) {
        Some(Value::Array(records)) => records,
        _ => Vec::new(),
    };
    let total = if records.len() < SHOWN {
        records.len()
    } else {
        let counted = look(format!("{query}&return_records=false"));
        counted.get("num_records").and_then(Value::as_u64).and_then(|n| n.try_into().ok()).unwrap_or(SHOWN)
    };
    (records, total)
}

/// What stands at a pointer, as text; arrays joined.
fn text(record: &Value, pointer: &str) -> String {
    match record.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let name = |item: &Value| match item.get("name") {
                Some(name) => text(name, ""),
                None => text(item, ""),
            };
            items.iter().map(name).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

fn plain(record: &Value, pointer: &str) -> Cell {
    Cell::Text(text(record, pointer))
}

fn code(record: &Value, pointer: &str) -> Cell {
    Cell::Code(text(record, pointer))
}

fn bytes(record: &Value, pointer: &str) -> u64 {
    record.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn state(record: &Value, pointer: &str, well: &[&str]) -> Cell {
    let text = text(record, pointer);
    Cell::State { well: well.contains(&text.as_str()), text }
}

fn row(record: &Value, cells: Vec<Cell>) -> Row {
    Row { key: text(record, "/uuid"), cells, levers: Vec::new() }
}

fn facts(cluster: &mut Cluster, nodes: &[String]) -> Vec<(&'static str, String)> {
    let look = |cluster: &mut Cluster| {
        let call = Call {
            method: Method::Get,
            path: "/api/cluster".into(),
            query: String::new(),
            svm: None,
            body: Value::Null,
        };
        rest::answer(cluster, &call).body
    };
    let full = text(&look(cluster), "/version/full");
    let release = full.split(':').next().unwrap_or_default().to_owned();
    vec![("Release", release), ("Nodes", nodes.join(", ")), ("UUID", cluster.about.uuid.to_string())]
}

fn svms(cluster: &mut Cluster, levers: &Levers) -> Section {
    let (records, total) = records(cluster, "svm/svms", "fields=*");
    let rows = records.iter().map(|svm| {
        let name = text(svm, "/name");
        let cells = vec![code(svm, "/name"), state(svm, "/state", &["running"]), code(svm, "/aggregates")];
        Row { key: text(svm, "/uuid"), cells, levers: nfs_levers(&name, levers) }
    });
    Section {
        id: "svms",
        title: "SVMs",
        columns: &["Name", "State", "Aggregates"],
        rows: rows.collect(),
        total,
        empty: "No data SVM.",
    }
}

fn nfs_levers(svm: &str, levers: &Levers) -> Vec<Lever> {
    let now = levers.nfs(svm).faults().map_or_else(NfsFaults::default, |faults| (*faults).clone());
    let slow = levers::Latency::Fixed { us: 100_000 };
    let choice = |faults: NfsFaults| json!(faults);
    let faults = Lever {
        label: "NFS",
        method: "PUT",
        path: format!("/sim/v1/nfs/{}/faults", in_path(svm)),
        choices: vec![
            ("well", choice(NfsFaults::default())),
            ("stopped", choice(NfsFaults { stopped: true, ..NfsFaults::default() })),
            ("data late by 100 ms", choice(NfsFaults { data_latency: Some(slow), ..NfsFaults::default() })),
            (
                "metadata late by 100 ms",
                choice(NfsFaults { metadata_latency: Some(slow), ..NfsFaults::default() }),
            ),
        ],
        now: json!(now),
    };
    let happening = |label, verb: &str| Lever {
        label,
        method: "POST",
        path: format!("/sim/v1/nfs/{}/{verb}", in_path(svm)),
        choices: Vec::new(),
        now: Value::Null,
    };
    vec![faults, happening("Restart NFS", "restart"), happening("Expire leases", "expire-leases")]
}

/// Escapes what may not stand in a path or a query value.
fn in_path(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

fn lifs(cluster: &mut Cluster, planes: &DataPlanes, levers: &Levers, nodes: &[String]) -> Section {
    let (records, total) = records(cluster, "network/ip/interfaces", "fields=*");
    let iscsi = planes.portals();
    let rows = records.iter().map(|lif| {
        let address = text(lif, "/ip/address");
        let of_iscsi = iscsi.iter().map(|portal| portal.address).find(|at| at.ip().to_string() == address);
        let of_nfs =
            planes.nfs_lifs().iter().map(|lif| lif.address).find(|at| at.ip().to_string() == address);
        // One address may serve both; then the services tell which of its LIFs this is.
        let services = text(lif, "/services");
        let bound = if services.contains("iscsi") {
            of_iscsi
        } else if services.contains("nfs") {
            of_nfs
        } else {
            None
        };
        let (mut row_levers, mut shown) = (Vec::new(), address);
        if let Some(bound) = bound {
            shown = bound.to_string();
            row_levers.push(portal_lever(bound, levers));
        }
        if let (Some(bound), true) = (bound, of_iscsi == bound) {
            let node = text(lif, "/location/node/name");
            row_levers.extend(nodes.iter().filter(|other| **other != node).map(|other| Lever {
                label: "Migrate",
                method: "POST",
                path: format!("/sim/v1/portals/{bound}/migrate"),
                choices: vec![("to the partner", json!({ "node": other }))],
                now: Value::Null,
            }));
        }
        let cells = vec![
            code(lif, "/name"),
            Cell::Code(shown),
            plain(lif, "/svm/name"),
            plain(lif, "/location/node/name"),
            Cell::Text(services),
            state(lif, "/state", &["up", ""]),
        ];
        Row { key: text(lif, "/uuid"), cells, levers: row_levers }
    });
    Section {
        id: "lifs",
        title: "LIFs",
        columns: &["Name", "Address", "SVM", "Node", "Services", "State"],
        rows: rows.collect(),
        total,
        empty: "No LIF.",
    }
}

fn portal_lever(address: std::net::SocketAddr, levers: &Levers) -> Lever {
    let set = |fault: PortalFault| json!({ "fault": fault });
    let now = *levers.watch_portal(address).borrow();
    Lever {
        label: "LIF",
        method: "PUT",
        path: format!("/sim/v1/portals/{address}/fault"),
        choices: vec![
            ("well", set(PortalFault::None)),
            ("refuse", set(PortalFault::Refuse)),
            ("blackhole", set(PortalFault::Blackhole)),
            ("reset", set(PortalFault::Reset)),
            ("slow by 20 ms", set(PortalFault::Slow(levers::Latency::Fixed { us: 20_000 }))),
            ("drop after 100", set(PortalFault::DropAfter { messages: 100 })),
        ],
        now: set(now),
    }
}

fn aggregates(cluster: &mut Cluster) -> Section {
    let (records, total) = records(cluster, "storage/aggregates", "fields=*,space");
    let rows = records.iter().map(|aggregate| {
        let share = Cell::Share {
            used: bytes(aggregate, "/space/block_storage/used"),
            of: bytes(aggregate, "/space/block_storage/size"),
        };
        let node = plain(aggregate, "/node/name");
        let media = plain(aggregate, "/block_storage/storage_type");
        row(aggregate, vec![code(aggregate, "/name"), node, media, share])
    });
    Section {
        id: "aggregates",
        title: "Aggregates",
        columns: &["Name", "Node", "Media", "Used"],
        rows: rows.collect(),
        total,
        empty: "No aggregate.",
    }
}

fn volumes(cluster: &mut Cluster) -> Section {
    let (records, total) =
        records(cluster, "storage/volumes", "fields=*,nas.path,nas.export_policy.name,space&order_by=name");
    let rows = records.iter().map(|volume| {
        let used = bytes(volume, "/space/used");
        let cells = vec![
            code(volume, "/name"),
            plain(volume, "/svm/name"),
            state(volume, "/state", &["online"]),
            plain(volume, "/style"),
            Cell::Share { used, of: bytes(volume, "/size") },
            code(volume, "/nas/path"),
            code(volume, "/nas/export_policy/name"),
            code(volume, "/aggregates"),
        ];
        row(volume, cells)
    });
    Section {
        id: "volumes",
        title: "Volumes",
        columns: &["Name", "SVM", "State", "Style", "Used", "Junction", "Policy", "Aggregate"],
        rows: rows.collect(),
        total,
        empty: "No volume.",
    }
}

fn exports(cluster: &mut Cluster) -> Section {
    let (records, total) = records(cluster, "protocols/nfs/export-policies", "fields=*,rules");
    let rows = records.iter().map(|policy| {
        let rules = policy.pointer("/rules").and_then(Value::as_array).cloned().unwrap_or_default();
        let rule = |rule: &Value| {
            let clients = rule.get("clients").and_then(Value::as_array).cloned().unwrap_or_default();
            let clients: Vec<_> = clients.iter().map(|client| text(client, "/match")).collect();
            format!("{} ro={} rw={}", clients.join(","), text(rule, "/ro_rule"), text(rule, "/rw_rule"))
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        let shown = if rules.is_empty() { "nobody mounts".to_owned() } else { rules.join("; ") };
        let cells = vec![code(policy, "/name"), plain(policy, "/svm/name"), Cell::Text(shown)];
        Row { key: text(policy, "/id"), cells, levers: Vec::new() }
    });
    Section {
        id: "exports",
        title: "Export policies",
        columns: &["Name", "SVM", "Rules"],
        rows: rows.collect(),
        total,
        empty: "No export policy.",
    }
}

fn luns(cluster: &mut Cluster, levers: &Levers) -> Section {
    let (records, total) = records(cluster, "storage/luns", "fields=*,lun_maps&order_by=name");
    let rows = records.iter().map(|lun| {
        let maps = lun.pointer("/lun_maps").and_then(Value::as_array).cloned().unwrap_or_default();
        let map =
            |map: &Value| format!("{}:{}", text(map, "/igroup/name"), text(map, "/logical_unit_number"));
        let maps: Vec<_> = maps.iter().map(map).collect();
        let cells = vec![
            code(lun, "/name"),
            plain(lun, "/svm/name"),
            state(lun, "/status/state", &["online"]),
            Cell::Share { used: bytes(lun, "/space/used"), of: bytes(lun, "/space/size") },
            Cell::Code(maps.join(", ")),
            code(lun, "/serial_number"),
        ];
        Row { key: text(lun, "/uuid"), cells, levers: lun_levers(lun, levers) }
    });
    Section {
        id: "luns",
        title: "LUNs",
        columns: &["Path", "SVM", "State", "Used", "Mapped (igroup:number)", "Serial"],
        rows: rows.collect(),
        total,
        empty: "No LUN.",
    }
}

fn lun_levers(lun: &Value, levers: &Levers) -> Vec<Lever> {
    let (name, serial) = (in_path(&text(lun, "/uuid")), text(lun, "/serial_number"));
    sim_front::unit_levers(&name, &levers.lun(&serial))
}

fn sessions(planes: &DataPlanes) -> Section {
    let sessions = planes.sessions();
    let rows = sessions.iter().take(SHOWN).map(|session| {
        let luns: Vec<_> = session.luns.iter().map(u16::to_string).collect();
        let cells = vec![
            Cell::Code(session.initiator.clone()),
            Cell::Code(session.peer.to_string()),
            Cell::Code(session.portal.to_string()),
            Cell::Text(luns.join(", ")),
            Cell::Operations(session.traffic.operations),
            Cell::Rate(session.traffic.read),
            Cell::Rate(session.traffic.written),
        ];
        Row { key: session.tsih.to_string(), cells, levers: Vec::new() }
    });
    Section {
        id: "sessions",
        title: "iSCSI sessions",
        columns: &["Initiator", "From", "Through", "LUNs", "Commands", "Read", "Written"],
        rows: rows.collect(),
        total: sessions.len(),
        empty: "Nobody is logged in.",
    }
}

fn mounts(planes: &DataPlanes) -> Section {
    let clients = planes.nfs_clients();
    let rows = clients.iter().take(SHOWN).map(|client| {
        let traffic = planes.nfs_traffic(client.client);
        let cells = vec![
            Cell::Code(client.client.to_string()),
            Cell::Text(client.machine.clone()),
            Cell::Code(client.path.clone()),
            Cell::Operations(traffic.operations),
            Cell::Rate(traffic.written),
            Cell::Rate(traffic.read),
        ];
        Row { key: format!("{} {}", client.client, client.path), cells, levers: Vec::new() }
    });
    Section {
        id: "mounts",
        title: "NFS clients",
        columns: &["Client", "Machine", "Mounted", "Calls of the client", "From it", "To it"],
        rows: rows.collect(),
        total: clients.len(),
        empty: "Nobody has mounted anything.",
    }
}

fn jobs(cluster: &mut Cluster) -> Section {
    let (records, total) = records(cluster, "cluster/jobs", "fields=*");
    let rows = records.iter().take(20).map(|job| {
        let time = text(job, "/start_time");
        let cells = vec![
            Cell::Text(time),
            code(job, "/description"),
            state(job, "/state", &["success", "running"]),
            plain(job, "/message"),
        ];
        row(job, cells)
    });
    Section {
        id: "jobs",
        title: "Jobs",
        columns: &["Started", "Call", "State", "Message"],
        rows: rows.collect(),
        total,
        empty: "No job yet.",
    }
}
