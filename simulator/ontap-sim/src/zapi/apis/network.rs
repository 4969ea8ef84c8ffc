//! LIFs.

use super::super::field::{Column, always, each_of, plain, words};
use super::super::listing::Listing;
use super::super::{Act, Api, anyone};
use crate::management::Source;

pub(super) const CALLS: &[Api] = &[
    anyone("net-interface-get-iter", Act::List(&INTERFACES)),
    anyone("iscsi-interface-get-iter", Act::List(&ISCSI_INTERFACES)),
    anyone("fcp-interface-get-iter", Act::List(&FCP_INTERFACES)),
];

const UP: &[(&str, &str)] = &[("true", "up"), ("false", "down")];

const INTERFACES: Listing = Listing {
    source: Source::Collection("network/ip/interfaces"),
    record: "net-interface-info",
    columns: INTERFACE,
};

const INTERFACE: &[Column] = &[
    plain("interface-name", "name"),
    plain("lif-uuid", "uuid"),
    plain("vserver", "svm.name"),
    plain("address", "ip.address"),
    plain("netmask-length", "ip.netmask"),
    plain("current-node", "location.node.name"),
    plain("current-port", "location.port.name"),
    plain("home-node", "location.home_node.name"),
    plain("home-port", "location.home_port.name"),
    plain("is-home", "location.is_home"),
    words("administrative-status", "enabled", UP),
    plain("operational-status", "state"),
    plain("ipspace", "ipspace.name"),
    plain("service-policy", "service_policy.name"),
    always("role", "data"),
    each_of(
        "data-protocols",
        "data-protocol",
        "services",
        &[("data_nfs", "nfs"), ("data_cifs", "cifs"), ("data_iscsi", "iscsi"), ("data_nvme_tcp", "nvme_tcp")],
    ),
];

const ISCSI_INTERFACES: Listing = Listing {
    source: Source::Where("network/ip/interfaces", &[("services", "data_iscsi")]),
    record: "iscsi-interface-list-entry-info",
    columns: &[
        plain("interface-name", "name"),
        plain("vserver", "svm.name"),
        plain("ip-address", "ip.address"),
        always("ip-port", "3260"),
        plain("current-node", "location.node.name"),
        plain("current-port", "location.port.name"),
        plain("is-interface-enabled", "enabled"),
    ],
};

/// There is no Fibre Channel: nothing carries both services.
const FCP_INTERFACES: Listing = Listing {
    source: Source::Where("network/ip/interfaces", &[("services", "data_fcp")]),
    record: "fcp-interface-info",
    columns: &[plain("interface-name", "name"), plain("vserver", "svm.name")],
};
