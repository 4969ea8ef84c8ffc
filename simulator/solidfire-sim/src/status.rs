//! What the status page shows of the cluster.

use serde_json::json;
use sim_front::{Cell, Lever, PortalFault, Portrait, Row, Section, unit_levers};

use crate::cluster::Cluster;
use crate::state::{Access, Account, AccountStatus, State, Volume};

/// Rows of a table; the rest is counted.
const SHOWN: usize = 100;

pub(crate) fn portrait(cluster: &Cluster) -> Portrait {
    cluster.with_state(|state| Portrait {
        product: "solidfire-sim".into(),
        name: state.identity().name.clone(),
        facts: vec![
            ("MVIP", state.identity().mvip.to_string()),
            ("SVIP", state.identity().svip.to_string()),
            ("Unique ID", state.identity().unique_id.to_string()),
        ],
        sections: vec![portals(cluster), accounts(state), volumes(cluster, state), sessions(cluster)],
    })
}

fn portals(cluster: &Cluster) -> Section {
    let svip = cluster.data_plane().svip();
    let set = |fault: PortalFault| json!({ "fault": fault });
    let slow = levers::Latency::Fixed { us: 20_000 };
    let lever = Lever {
        label: "SVIP",
        method: "PUT",
        path: format!("/sim/v1/portals/{svip}/fault"),
        choices: vec![
            ("well", set(PortalFault::None)),
            ("refuse", set(PortalFault::Refuse)),
            ("blackhole", set(PortalFault::Blackhole)),
            ("reset", set(PortalFault::Reset)),
            ("slow by 20 ms", set(PortalFault::Slow(slow))),
            ("drop after 100", set(PortalFault::DropAfter { messages: 100 })),
        ],
        now: set(*cluster.fault_levers().watch_portal(svip).borrow()),
    };
    let cells = vec![Cell::Code(svip.to_string()), Cell::Text("iSCSI".into())];
    let row = Row { key: "svip".into(), cells, levers: vec![lever] };
    Section {
        id: "portals",
        title: "SVIP",
        columns: &["Address", "Protocol"],
        rows: vec![row],
        total: 1,
        empty: "",
    }
}

fn accounts(state: &State) -> Section {
    let row = |account: &Account| {
        let volumes = state.volumes().filter(|volume| volume.account == account.id).count();
        let (status, well) = match account.status {
            AccountStatus::Active => ("active", true),
            AccountStatus::Locked => ("locked", false),
        };
        let cells = vec![
            Cell::Text(account.id.0.to_string()),
            Cell::Code(account.username.clone()),
            Cell::State { text: status.into(), well },
            Cell::Text(volumes.to_string()),
        ];
        Row { key: account.id.0.to_string(), cells, levers: Vec::new() }
    };
    Section {
        id: "accounts",
        title: "Accounts",
        columns: &["ID", "Name", "Status", "Volumes"],
        rows: state.accounts().take(SHOWN).map(row).collect(),
        total: state.accounts().count(),
        empty: "No account.",
    }
}

fn volumes(cluster: &Cluster, state: &State) -> Section {
    let row = |volume: &Volume| {
        let used = cluster.data_plane().find_content(volume.id).map_or(0, |content| content.allocated());
        let (status, well) = match (&volume.deletion, volume.access) {
            (Some(_), _) => ("deleted", false),
            (None, Access::ReadWrite) => ("readWrite", true),
            (None, Access::ReadOnly) => ("readOnly", true),
            (None, Access::Locked) => ("locked", false),
            (None, Access::ReplicationTarget) => ("replicationTarget", true),
            (None, Access::SnapMirrorTarget) => ("snapMirrorTarget", true),
        };
        let account = state.accounts().find(|account| account.id == volume.account);
        let eui = volume.names.eui.to_string();
        let cells = vec![
            Cell::Text(volume.id.0.to_string()),
            Cell::Code(volume.name.clone()),
            Cell::Code(account.map(|account| account.username.clone()).unwrap_or_default()),
            Cell::State { text: status.into(), well },
            Cell::Share { used, of: volume.size },
            Cell::Code(eui.clone()),
        ];
        let id = volume.id.0.to_string();
        let levers = unit_levers(&id, &cluster.fault_levers().lun(&eui));
        Row { key: id, cells, levers }
    };
    Section {
        id: "volumes",
        title: "Volumes",
        columns: &["ID", "Name", "Account", "Access", "Used", "EUI-64"],
        rows: state.volumes().take(SHOWN).map(row).collect(),
        total: state.volumes().count(),
        empty: "No volume.",
    }
}

fn sessions(cluster: &Cluster) -> Section {
    let sessions = cluster.data_plane().list_sessions();
    let rows = sessions.iter().take(SHOWN).map(|session| {
        let cells = vec![
            Cell::Code(session.initiator.clone()),
            Cell::Code(session.peer.to_string()),
            Cell::Code(session.target.clone()),
            Cell::Operations(session.traffic.operations),
            Cell::Rate(session.traffic.read),
            Cell::Rate(session.traffic.written),
        ];
        Row { key: session.tsih.to_string(), cells, levers: Vec::new() }
    });
    Section {
        id: "sessions",
        title: "iSCSI sessions",
        columns: &["Initiator", "From", "Target", "Commands", "Read", "Written"],
        rows: rows.collect(),
        total: sessions.len(),
        empty: "Nobody is logged in.",
    }
}
