//! The iSCSI service and how initiators log in.

use serde_json::Value;

use super::super::change::{Change, Creation, Deletion, Find};
use super::super::failure::{API_ERROR, Failure};
use super::super::field::{Column, Input, Kind, computed, may, must, plain};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::text;
use crate::management::{Management, Source};

pub(super) const CALLS: &[Api] = &[
    anyone("iscsi-service-get-iter", Act::List(&SERVICES)),
    vserver("iscsi-node-get-name", Act::Run(node_name)),
    vserver("fcp-node-get-name", Act::Run(no_fibre_channel)),
    anyone("iscsi-initiator-get-iter", Act::List(&SESSIONS)),
    anyone("iscsi-initiator-auth-get-iter", Act::List(&CREDENTIALS)),
    vserver("iscsi-initiator-get-auth", Act::Run(authentication)),
    vserver("iscsi-initiator-get-default-auth", Act::Run(default_authentication)),
    vserver("iscsi-initiator-set-default-auth", Act::Run(set_default_authentication)),
    vserver("iscsi-initiator-add-auth", Act::Create(&ADD)),
    vserver("iscsi-initiator-modify-chap-params", Act::Change(&MODIFY)),
    vserver("iscsi-initiator-delete-auth", Act::Delete(&Deletion { find: CREDENTIAL, force: None })),
];

/// `EISCSISECINITNOTFOUNDERROR`.
const NO_SUCH_CREDENTIAL: u32 = 13_112;

const SERVICES: Listing = Listing {
    source: Source::Collection("protocols/san/iscsi/services"),
    record: "iscsi-service-info",
    columns: &[
        plain("vserver", "svm.name"),
        plain("node-name", "target.name"),
        plain("alias-name", "target.alias"),
        plain("is-available", "enabled"),
    ],
};

const SESSIONS: Listing = Listing {
    source: Source::Collection("protocols/san/iscsi/sessions"),
    record: "iscsi-initiator-list-entry-info",
    columns: &[
        plain("vserver", "svm.name"),
        plain("initiator-nodename", "initiator.name"),
        plain("initiator-aliasname", "initiator.alias"),
        plain("target-session-id", "tsih"),
        plain("tpgroup-name", "target_portal_group"),
        plain("tpgroup-tag", "target_portal_group_tag"),
        plain("isid", "isid"),
    ],
};

const CREDENTIALS: Listing = Listing {
    source: Source::Collection("protocols/san/iscsi/credentials"),
    record: "iscsi-security-entry-info",
    columns: CREDENTIAL_COLUMNS,
};

const CREDENTIAL_COLUMNS: &[Column] = &[
    plain("vserver", "svm.name"),
    plain("initiator", "initiator"),
    computed("auth-type", |record| Some(method(record))),
    plain("user-name", "chap.inbound.user"),
    plain("outbound-user-name", "chap.outbound.user"),
];

const CREDENTIAL: Find = Find {
    within: None,
    path: "protocols/san/iscsi/credentials",
    by: &[("initiator", "initiator")],
    missing: NO_SUCH_CREDENTIAL,
};

const CHAP: &[Input] = &[
    must("auth-type", "authentication_type", Kind::Text),
    may("user-name", "chap.inbound.user", Kind::Text),
    may("passphrase", "chap.inbound.password", Kind::Text),
    may("outbound-user-name", "chap.outbound.user", Kind::Text),
    may("outbound-passphrase", "chap.outbound.password", Kind::Text),
];

const ADD: Creation = Creation {
    within: None,
    path: "protocols/san/iscsi/credentials",
    inputs: &[
        must("initiator", "initiator", Kind::Text),
        must("auth-type", "authentication_type", Kind::Text),
        may("user-name", "chap.inbound.user", Kind::Text),
        may("passphrase", "chap.inbound.password", Kind::Text),
        may("outbound-user-name", "chap.outbound.user", Kind::Text),
        may("outbound-passphrase", "chap.outbound.password", Kind::Text),
    ],
    fixed: &[],
};

const MODIFY: Change = Change {
    find: CREDENTIAL,
    inputs: &[
        may("user-name", "chap.inbound.user", Kind::Text),
        may("passphrase", "chap.inbound.password", Kind::Text),
        may("outbound-user-name", "chap.outbound.user", Kind::Text),
        may("outbound-passphrase", "chap.outbound.password", Kind::Text),
    ],
    fixed: &[],
};

/// ONTAPI writes the protocol in capitals.
fn method(record: &Value) -> String {
    match text(record, "authentication_type").as_str() {
        "chap" => "CHAP".into(),
        other => other.into(),
    }
}

fn node_name(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    let service = management.records("protocols/san/iscsi/services", &[])?.into_iter().next();
    let service = service.ok_or_else(|| Failure::new(API_ERROR, "The iSCSI service does not exist"))?;
    Ok(vec![Element::leaf("node-name", text(&service, "target.name"))])
}

fn no_fibre_channel(_: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    Err(Failure::new(API_ERROR, "The FCP service does not exist"))
}

fn authentication(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    Ok(shown(&CREDENTIAL.require(management, request)?))
}

fn default_authentication(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    Ok(shown(&CREDENTIAL.require(management, &default_initiator())?))
}

fn set_default_authentication(
    management: &mut Management<'_>,
    request: &Element,
) -> Result<Vec<Element>, Failure> {
    let mut named = request.clone();
    named.children.extend(default_initiator().children);
    Change { find: CREDENTIAL, inputs: CHAP, fixed: &[] }.run(management, &named)
}

fn default_initiator() -> Element {
    Element::of("default", vec![Element::leaf("initiator", "default")])
}

fn shown(record: &Value) -> Vec<Element> {
    let mut shown = vec![Element::leaf("auth-type", method(record))];
    for (name, field) in [("user-name", "chap.inbound.user"), ("outbound-user-name", "chap.outbound.user")] {
        shown.push(Element::leaf(name, text(record, field)));
    }
    shown
}
