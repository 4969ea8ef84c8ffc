//! LUNs and their maps.

use super::super::command::{Act, Command, Kind, Target, command, key, may, must};
use super::super::table::{Form, Table, column, formed};
use super::{of, saying};
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["lun", "show"], &[], Act::Show(&LUNS)),
    command(
        &["lun", "create"],
        &[
            key("vserver", "svm.name"),
            key("path", "name"),
            must("size", "space.size", Kind::Size),
            must("ostype", "os_type", Kind::Text),
            may("space-reserve", "space.guarantee.requested", Kind::Enabled),
            may("space-allocation", "space.scsi_thin_provisioning_support_enabled", Kind::Enabled),
            may("comment", "comment", Kind::Text),
        ],
        Act::Create(&saying(&LUNS, "\nCreated a LUN of size {size}\n\n")),
    ),
    command(
        &["lun", "modify"],
        &[
            key("vserver", ""),
            key("path", ""),
            may("comment", "comment", Kind::Text),
            may("space-reserve", "space.guarantee.requested", Kind::Enabled),
            may("state", "enabled", Kind::Words(&[("online", "true"), ("offline", "false")])),
        ],
        Act::Modify(&of(&LUNS)),
    ),
    command(
        &["lun", "resize"],
        &[key("vserver", ""), key("path", ""), must("size", "space.size", Kind::Size)],
        Act::Modify(&of(&LUNS)),
    ),
    command(
        &["lun", "online"],
        &[key("vserver", ""), key("path", "")],
        Act::Modify(&Target { fixed: &[("enabled", "true")], ..of(&LUNS) }),
    ),
    command(
        &["lun", "offline"],
        &[key("vserver", ""), key("path", "")],
        Act::Modify(&Target { fixed: &[("enabled", "false")], ..of(&LUNS) }),
    ),
    command(
        &["lun", "move-in-volume"],
        &[key("vserver", ""), key("path", ""), must("new-path", "name", Kind::Text)],
        Act::Modify(&of(&LUNS)),
    ),
    command(
        &["lun", "delete"],
        &[
            key("vserver", ""),
            key("path", ""),
            may("force", "", Kind::Boolean),
            may("force-mapped", "", Kind::Boolean),
        ],
        Act::Delete(&Target { flags: &[("allow_delete_while_mapped", "true")], ..of(&LUNS) }),
    ),
    command(
        &["lun", "mapping", "create"],
        &[
            key("vserver", "svm.name"),
            key("path", "lun.name"),
            key("igroup", "igroup.name"),
            may("lun-id", "logical_unit_number", Kind::Number),
        ],
        Act::Create(&of(&MAPS)),
    ),
    command(
        &["lun", "mapping", "delete"],
        &[key("vserver", ""), key("path", ""), key("igroup", "")],
        Act::Delete(&of(&MAPS)),
    ),
    command(&["lun", "mapping", "show"], &[], Act::Show(&MAPS)),
    command(
        &["lun", "map"],
        &[
            key("vserver", "svm.name"),
            key("path", "lun.name"),
            key("igroup", "igroup.name"),
            may("lun-id", "logical_unit_number", Kind::Number),
        ],
        Act::Create(&of(&MAPS)),
    ),
    command(
        &["lun", "unmap"],
        &[key("vserver", ""), key("path", ""), key("igroup", "")],
        Act::Delete(&of(&MAPS)),
    ),
];

const LUNS: Table = Table {
    source: Source::Collection("storage/luns"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("path", "LUN Path", "name"),
        column("volume", "Volume Name", "location.volume.name"),
        column("qtree", "Qtree Name", "location.qtree.name"),
        column("lun", "LUN Name", "location.logical_unit"),
        formed("size", "LUN Size", "space.size", Form::Size),
        column("ostype", "OS Type", "os_type"),
        formed(
            "space-reserve",
            "Space Reservation",
            "space.guarantee.requested",
            Form::Words(&[("true", "enabled"), ("false", "disabled")]),
        ),
        column("serial", "Serial Number", "serial_number"),
        column("comment", "Comment", "comment"),
        formed("state", "State", "status.state", Form::Plain),
        column("uuid", "LUN UUID", "uuid"),
        formed(
            "mapped",
            "Mapped",
            "status.mapped",
            Form::Words(&[("true", "mapped"), ("false", "unmapped")]),
        ),
        formed("size-used", "Used Size", "space.used", Form::Size),
        column("creation-time", "Creation Time", "create_time"),
        column("node", "Node Hosting the LUN", "location.node.name"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 9),
        ("path", "Path", 31),
        ("state", "State", 7),
        ("mapped", "Mapped", 8),
        ("ostype", "Type", 8),
        ("size", "Size", 8),
    ],
};

const MAPS: Table = Table {
    source: Source::Collection("protocols/san/lun-maps"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("path", "LUN Path", "lun.name"),
        column("igroup", "Igroup Name", "igroup.name"),
        column("lun-id", "LUN ID", "logical_unit_number"),
        column("ostype", "OS Type", "igroup.os_type"),
        column("protocol", "Protocol", "igroup.protocol"),
        column("reporting-nodes", "Reporting Nodes", "reporting_nodes.name"),
    ],
    keys: 3,
    shown: &[
        ("vserver", "Vserver", 10),
        ("path", "Path", 40),
        ("igroup", "Igroup", 7),
        ("lun-id", "LUN ID", 6),
        ("protocol", "Protocol", 8),
    ],
};
