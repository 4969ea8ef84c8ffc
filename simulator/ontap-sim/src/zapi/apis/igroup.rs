//! Initiator groups.

use super::super::change::{Change, Creation, Deletion, Find};
use super::super::failure::{NO_SUCH_IGROUP, NO_SUCH_INITIATOR};
use super::super::field::{Kind, each, may, must, plain};
use super::super::listing::Listing;
use super::super::{Act, Api, anyone, vserver};
use crate::management::Source;

pub(super) const CALLS: &[Api] = &[
    anyone("igroup-get-iter", Act::List(&IGROUPS)),
    vserver("igroup-create", Act::Create(&CREATE)),
    vserver("igroup-rename", Act::Change(&RENAME)),
    vserver("igroup-destroy", Act::Delete(&Deletion { find: IGROUP, force: FORCE })),
    vserver("igroup-add", Act::Create(&ADD)),
    vserver("igroup-remove", Act::Delete(&Deletion { find: INITIATOR, force: FORCE })),
];

const FORCE: Option<(&str, &str)> = Some(("force", "allow_delete_while_mapped"));

const IGROUP: Find = Find {
    within: None,
    path: "protocols/san/igroups",
    by: &[("initiator-group-name", "name")],
    missing: NO_SUCH_IGROUP,
};

const INITIATOR: Find = Find {
    within: Some(&IGROUP),
    path: "initiators",
    by: &[("initiator", "name")],
    missing: NO_SUCH_INITIATOR,
};

/// The listing of igroups, which `lun-map-list-info` shows too.
pub(super) const IGROUPS: Listing = Listing {
    source: Source::Collection("protocols/san/igroups"),
    record: "initiator-group-info",
    columns: &[
        plain("initiator-group-name", "name"),
        plain("initiator-group-uuid", "uuid"),
        plain("initiator-group-type", "protocol"),
        plain("initiator-group-os-type", "os_type"),
        plain("vserver", "svm.name"),
        each("initiators", "initiator-info/initiator-name", "initiators.name"),
    ],
};

const CREATE: Creation = Creation {
    within: None,
    path: "protocols/san/igroups",
    inputs: &[
        must("initiator-group-name", "name", Kind::Text),
        must("initiator-group-type", "protocol", Kind::Text),
        may("os-type", "os_type", Kind::Text),
    ],
    fixed: &[],
};

const RENAME: Change =
    Change { find: IGROUP, inputs: &[must("initiator-group-new-name", "name", Kind::Text)], fixed: &[] };

const ADD: Creation = Creation {
    within: Some(&IGROUP),
    path: "initiators",
    inputs: &[must("initiator", "name", Kind::Text)],
    fixed: &[],
};
