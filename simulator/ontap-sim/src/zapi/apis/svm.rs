//! SVMs and their peers.

use super::super::failure::{Failure, NO_SUCH_VSERVER};
use super::super::field::{Column, always, each, each_of, plain, words};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::attributes;
use crate::management::{Management, Source};

pub(super) const CALLS: &[Api] = &[
    anyone("vserver-get-iter", Act::List(&VSERVERS)),
    vserver("vserver-get", Act::Run(vserver_get)),
    anyone("vserver-peer-get-iter", Act::List(&PEERS)),
];

const VSERVERS: Listing =
    Listing { source: Source::Collection("svm/svms"), record: "vserver-info", columns: VSERVER };

const VSERVER: &[Column] = &[
    plain("vserver-name", "name"),
    plain("uuid", "uuid"),
    plain("state", "state"),
    words("operational-state", "state", &[("running", "running"), ("starting", "running")]),
    always("vserver-type", "data"),
    words("vserver-subtype", "subtype", &[("dp_destination", "dp-destination")]),
    plain("comment", "comment"),
    plain("ipspace", "ipspace.name"),
    plain("language", "language"),
    plain("snapshot-policy", "snapshot_policy.name"),
    plain("max-volumes", "max_volumes"),
    each("aggr-list", "aggr-name", "aggregates.name"),
    each("vserver-aggr-info-list", "vserver-aggr-info/aggr-name", "aggregates.name"),
    each_of("allowed-protocols", "protocol", "nfs.allowed", &[("true", "nfs")]),
    each_of("allowed-protocols", "protocol", "iscsi.allowed", &[("true", "iscsi")]),
    each_of("allowed-protocols", "protocol", "nvme.allowed", &[("true", "nvme")]),
];

const PEERS: Listing = Listing {
    source: Source::Collection("svm/peers"),
    record: "vserver-peer-info",
    columns: &[
        plain("vserver", "svm.name"),
        plain("peer-vserver", "peer.svm.name"),
        plain("peer-vserver-uuid", "peer.svm.uuid"),
        plain("peer-cluster", "peer.cluster.name"),
        plain("peer-state", "state"),
        each("applications", "vserver-peer-application", "applications"),
    ],
};

/// The SVM that the call is tunnelled to.
fn vserver_get(management: &mut Management<'_>, _: &Element) -> Result<Vec<Element>, Failure> {
    let name = management.svm().unwrap_or_default().to_owned();
    let found = management.exactly("svm/svms", &[("name", &name)])?.into_iter().next();
    let svm = found.ok_or_else(|| Failure::new(NO_SUCH_VSERVER, format!("Vserver {name} not found")))?;
    Ok(attributes(VSERVERS.shown(&svm)))
}
