//! LUNs, their attributes, their clones and their maps.

use serde_json::Value;

use super::super::change::{Change, Creation, Deletion, Find};
use super::super::failure::{Failure, NO_SUCH_ATTRIBUTE, NO_SUCH_LUN, NO_SUCH_LUN_MAP};
use super::super::field::{Column, Kind, always, computed, each, may, members, must, plain, time};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::{igroup, number, text};
use crate::management::{Management, Members, Source, href};

pub(super) const CALLS: &[Api] = &[
    anyone("lun-get-iter", Act::List(&LUNS)),
    vserver("lun-create-by-size", Act::Run(create)),
    vserver(
        "lun-destroy",
        Act::Delete(&Deletion { find: LUN, force: Some(("force", "allow_delete_while_mapped")) }),
    ),
    vserver("lun-get-serial-number", Act::Run(serial_number)),
    vserver("lun-get-attribute", Act::Run(attribute)),
    vserver("lun-set-attribute", Act::Run(set_attribute)),
    vserver("lun-set-comment", Act::Change(&COMMENT)),
    vserver("lun-set-qos-policy-group", Act::Change(&QOS)),
    vserver("lun-move", Act::Change(&MOVE)),
    vserver("lun-online", Act::Change(&Change { find: LUN, inputs: &[], fixed: &[("enabled", "true")] })),
    vserver("lun-offline", Act::Change(&Change { find: LUN, inputs: &[], fixed: &[("enabled", "false")] })),
    vserver("lun-resize", Act::Run(resize)),
    vserver("lun-map", Act::Run(map)),
    vserver("lun-unmap", Act::Delete(&Deletion { find: MAP, force: None })),
    anyone("lun-map-get-iter", Act::List(&MAPS)),
    vserver("lun-map-list-info", Act::Run(maps_of)),
    vserver("clone-create", Act::Run(clone)),
];

const LUN: Find = Find { within: None, path: "storage/luns", by: &[("path", "name")], missing: NO_SUCH_LUN };

const MAP: Find = Find {
    within: None,
    path: "protocols/san/lun-maps",
    by: &[("path", "lun.name"), ("initiator-group", "igroup.name")],
    missing: NO_SUCH_LUN_MAP,
};

const LUNS: Listing =
    Listing { source: Source::Collection("storage/luns"), record: "lun-info", columns: LUN_COLUMNS };

const LUN_COLUMNS: &[Column] = &[
    plain("path", "name"),
    plain("uuid", "uuid"),
    plain("vserver", "svm.name"),
    plain("volume", "location.volume.name"),
    computed("qtree", |lun| Some(text(lun, "location.qtree.name"))),
    plain("node", "location.node.name"),
    plain("size", "space.size"),
    plain("size-used", "space.used"),
    plain("serial-number", "serial_number"),
    plain("multiprotocol-type", "os_type"),
    plain("online", "enabled"),
    plain("state", "status.state"),
    plain("mapped", "status.mapped"),
    plain("read-only", "status.read_only"),
    plain("comment", "comment"),
    plain("is-space-reservation-enabled", "space.guarantee.requested"),
    plain("is-space-alloc-enabled", "space.scsi_thin_provisioning_support_enabled"),
    plain("qos-policy-group", "qos_policy.name"),
    time("creation-timestamp", "create_time"),
    always("block-size", "512"),
    always("class", "regular"),
];

const CREATE: Creation = Creation {
    within: None,
    path: "storage/luns",
    inputs: &[
        must("path", "name", Kind::Text),
        must("size", "space.size", Kind::Size),
        must("ostype", "os_type", Kind::Text),
        may("space-reservation-enabled", "space.guarantee.requested", Kind::Boolean),
        may("space-allocation-enabled", "space.scsi_thin_provisioning_support_enabled", Kind::Boolean),
        may("comment", "comment", Kind::Text),
        may("qos-policy-group", "qos_policy.name", Kind::Text),
    ],
    fixed: &[],
};

const COMMENT: Change = Change { find: LUN, inputs: &[must("comment", "comment", Kind::Text)], fixed: &[] };
const QOS: Change =
    Change { find: LUN, inputs: &[must("qos-policy-group", "qos_policy.name", Kind::Text)], fixed: &[] };
const MOVE: Change = Change { find: LUN, inputs: &[must("new-path", "name", Kind::Text)], fixed: &[] };

const MAPS: Listing = Listing {
    source: Source::Collection("protocols/san/lun-maps"),
    record: "lun-map-info",
    columns: MAP_COLUMNS,
};

const MAP_COLUMNS: &[Column] = &[
    plain("path", "lun.name"),
    plain("lun-uuid", "lun.uuid"),
    plain("initiator-group", "igroup.name"),
    plain("initiator-group-uuid", "igroup.uuid"),
    plain("lun-id", "logical_unit_number"),
    plain("vserver", "svm.name"),
    plain("node", "lun.node.name"),
    each("reporting-nodes", "node-name", "reporting_nodes.name"),
];

fn create(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    CREATE.run(management, request)?;
    let lun = LUN.require(management, request)?;
    Ok(vec![Element::leaf("actual-size", text(&lun, "space.size"))])
}

fn serial_number(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let lun = LUN.require(management, request)?;
    Ok(vec![Element::leaf("serial-number", text(&lun, "serial_number"))])
}

const ATTRIBUTE: Find =
    Find { within: Some(&LUN), path: "attributes", by: &[("name", "name")], missing: NO_SUCH_ATTRIBUTE };

fn attribute(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let attribute = ATTRIBUTE.require(management, request)?;
    Ok(vec![Element::leaf("value", text(&attribute, "value"))])
}

/// Sets what is there and makes what is not.
fn set_attribute(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let members = members(&[must("name", "name", Kind::Text), must("value", "value", Kind::Text)], request)?;
    match ATTRIBUTE.require(management, request) {
        Ok(attribute) => {
            let value = members.into_iter().filter(|(name, _)| name == "value").collect();
            management.modify(href(&attribute), value)?;
        }
        Err(failure) if failure.errno == NO_SUCH_ATTRIBUTE => {
            let lun = LUN.require(management, request)?;
            management.create(&format!("{}/attributes", href(&lun)), members)?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(Vec::new())
}

fn resize(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let lun = LUN.require(management, request)?;
    management.modify(href(&lun), members(&[must("size", "space.size", Kind::Size)], request)?)?;
    let lun = LUN.require(management, request)?;
    Ok(vec![Element::leaf("actual-size", text(&lun, "space.size"))])
}

fn map(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let inputs = [
        must("path", "lun.name", Kind::Text),
        must("initiator-group", "igroup.name", Kind::Text),
        may("lun-id", "logical_unit_number", Kind::Number),
    ];
    management.create(MAP.path, members(&inputs, request)?)?;
    let map = MAP.require(management, request)?;
    Ok(vec![Element::leaf("lun-id-assigned", text(&map, "logical_unit_number"))])
}

/// The igroups that a LUN is mapped to.
fn maps_of(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let lun = LUN.require(management, request)?;
    let name = text(&lun, "name");
    let mut groups = Vec::new();
    for map in management.exactly(MAP.path, &[("lun.name", &name)])? {
        let found = management.exactly("protocols/san/igroups", &[("name", &text(&map, "igroup.name"))])?;
        groups.extend(found.iter().map(|found| {
            let mut group = igroup::IGROUPS.shown(found);
            group.children.push(Element::leaf("lun-id", number(&map, "logical_unit_number").unwrap_or(0)));
            group
        }));
    }
    Ok(vec![Element::of("initiator-groups", groups)])
}

/// A clone of a LUN within its volume, of now or of a snapshot.
fn clone(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let needed = |name: &'static str| request.text_at(name).ok_or_else(|| Failure::missing_input(name));
    let (volume, source, destination) =
        (needed("volume")?, needed("source-path")?, needed("destination-path")?);
    let path = |name: &str| format!("/vol/{volume}/{}", name.trim_start_matches('/'));
    let source = match request.text_at("snapshot-name") {
        Some(snapshot) => path(&format!(".snapshot/{snapshot}/{}", source.trim_start_matches('/'))),
        None => path(source),
    };
    let mut body = Members::from_iter([
        ("name".to_owned(), Value::from(path(destination))),
        ("clone.source.name".to_owned(), source.into()),
    ]);
    body.extend(members(&[may("space-reserve", "space.guarantee.requested", Kind::Boolean)], request)?);
    management.create("storage/luns", body)?;
    Ok(Vec::new())
}
