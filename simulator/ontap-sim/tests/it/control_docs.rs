//! What the documentation shows of the control endpoint, run as it stands.

use crate::support::Bench;
use tokio::process::Command;

/// The blocks of the documentation that are marked so.
fn blocks(mark: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulators.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = format!("\n```{mark}\n");
    text.split(&begin).skip(1).map(|block| block.split("\n```\n").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_that_is_shown_for_the_control_endpoint_works_as_it_stands() {
    let bench = Bench::start().await;
    let blocks = blocks("sh control");
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for block in blocks {
        let mut shell = Command::new("/bin/bash");
        shell.args(["-e", "-u", "-o", "pipefail", "-c", &block]);
        shell.env("control", bench.sim.control().to_string()).env("no_proxy", "*");
        let output = shell.output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let erred = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{told}\n{erred}");
        assert!(!told.is_empty() || block.contains("since=0"), "{block}");
    }
}
