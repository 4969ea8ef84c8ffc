//! Aggregates, as the cluster and as an SVM see them.

use serde_json::Value;

use super::super::failure::{Failure, NO_SUCH_VSERVER};
use super::super::field::{always, computed, each, plain};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone};
use super::{number, text};
use crate::management::{Management, Source};
use crate::rest::{text_of, values_at};

pub(super) const CALLS: &[Api] = &[
    anyone("aggr-get-iter", Act::List(&AGGREGATES)),
    anyone("aggr-space-get-iter", Act::List(&SPACE)),
    anyone("vserver-show-aggr-get-iter", Act::Run(vserver_aggregates)),
];

const AGGREGATES: Listing = Listing {
    source: Source::Collection("storage/aggregates"),
    record: "aggr-attributes",
    columns: &[
        plain("aggregate-name", "name"),
        plain("aggregate-uuid", "uuid"),
        each("nodes", "node-name", "node.name"),
        plain("aggr-ownership-attributes/owner-name", "node.name"),
        plain("aggr-ownership-attributes/home-name", "home_node.name"),
        plain("aggr-raid-attributes/aggregate-type", "block_storage.primary.disk_type"),
        plain("aggr-raid-attributes/raid-type", "block_storage.primary.raid_type"),
        plain("aggr-raid-attributes/state", "state"),
        always("aggr-raid-attributes/is-root-aggregate", "false"),
        always("aggr-raid-attributes/has-local-root", "false"),
        always("aggr-raid-attributes/is-hybrid", "false"),
        plain("aggr-space-attributes/size-total", "space.block_storage.size"),
        plain("aggr-space-attributes/size-used", "space.block_storage.used"),
        plain("aggr-space-attributes/size-available", "space.block_storage.available"),
        computed("aggr-space-attributes/percent-used-capacity", percent_used),
        plain("aggr-volume-count-attributes/flexvol-count", "volume_count"),
    ],
};

const SPACE: Listing = Listing {
    source: Source::Collection("storage/aggregates"),
    record: "space-information",
    columns: &[
        plain("aggregate", "name"),
        plain("aggregate-size", "space.block_storage.size"),
        plain("volume-footprints", "space.footprint"),
        computed("volume-footprints-percent", percent_used),
        plain("used-including-snapshot-reserve", "space.block_storage.used"),
        computed("used-including-snapshot-reserve-percent", percent_used),
    ],
};

/// What `vserver-show-aggr-get-iter` shows of each aggregate assigned to the SVM.
const SHOWN: Listing = Listing {
    source: Source::Collection("storage/aggregates"),
    record: "show-aggregates",
    columns: &[
        plain("aggregate-name", "name"),
        plain("aggregate-type", "block_storage.primary.disk_type"),
        plain("available-size", "space.block_storage.available"),
        plain("size-total", "space.block_storage.size"),
    ],
};

fn percent_used(aggregate: &Value) -> Option<String> {
    let (used, size) =
        (number(aggregate, "space.block_storage.used")?, number(aggregate, "space.block_storage.size")?);
    used.saturating_mul(100).checked_div(size).map(|percent| percent.to_string())
}

fn vserver_aggregates(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let named = request.text_at("vserver").or(management.svm()).map(str::to_owned);
    let name = named.ok_or_else(|| Failure::missing_input("vserver"))?;
    let svm = management.exactly("svm/svms", &[("name", &name)])?.into_iter().next();
    let svm =
        svm.ok_or_else(|| Failure::new(NO_SUCH_VSERVER, format!("Specified vserver not found: \"{name}\"")))?;
    let assigned: Vec<_> = values_at(&svm, "aggregates.name").into_iter().map(text_of).collect();
    let all = management.records("storage/aggregates", &[])?;
    let of_svm = all.iter().filter(|aggregate| assigned.contains(&text(aggregate, "name")));
    let records: Vec<_> = of_svm.map(|aggregate| SHOWN.shown(aggregate)).collect();
    let number = Element::leaf("num-records", records.len());
    Ok(vec![Element::of("attributes-list", records), number])
}
