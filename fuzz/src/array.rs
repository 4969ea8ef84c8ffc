//! The array's machine as it boots, and its picture.

use clap::Parser as _;
use ontap_sim::arguments::Arguments;
use ontap_sim::array::Array;
use ontap_sim::state::Cluster;
use ontap_sim::{Configuration, OntapSim, rest};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

/// The array of the program's defaults, the same at each start.
pub fn boot() -> Cluster {
    Cluster::boot(&configuration().blueprint).expect("an array of the defaults")
}

fn configuration() -> Configuration {
    let arguments = Arguments::try_parse_from(["ontap-sim", "--seed", "7"]).expect("flags that are there");
    arguments.configuration().expect("the defaults")
}

/// Everything in the array but its jobs: one that failed is kept too.
pub fn portrait(cluster: &Cluster) -> Map<String, Value> {
    let mut portrait = rest::portrait(cluster);
    portrait.remove("cluster/jobs");
    portrait
}

/// Inputs one array takes before a fresh one follows it.
const INPUTS: u32 = 500;

/// An array with its data planes, on loopback.
#[derive(Default)]
pub struct Running {
    sim: Option<(Runtime, OntapSim)>,
    inputs: u32,
}

impl Running {
    /// The array for the next input.
    pub fn array(&mut self) -> &Array {
        if self.inputs.is_multiple_of(INPUTS) {
            self.sim = None;
        }
        self.inputs = self.inputs.wrapping_add(1);
        let (_, sim) = self.sim.get_or_insert_with(|| {
            let runtime = Runtime::new().expect("a runtime");
            let sim = runtime.block_on(OntapSim::start(configuration())).expect("free ports");
            (runtime, sim)
        });
        sim.array()
    }
}
