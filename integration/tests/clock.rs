//! `tine-bench` against our own driver: the clock reaches any CSI driver through its two sockets.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::lab::{Lab, program};
use integration::scenes::leftovers;
use integration::timeline::{Display, Timeline};

#[test]
fn the_clock_takes_volumes_through_their_whole_life_and_leaves_nothing() -> Result<()> {
    Lab::play(Arc::new(Timeline::new(Display::Quiet)), async |lab: &Lab| {
        let before = leftovers::before(lab).await?;
        let mut bench = tokio::process::Command::new(program("tine-bench")?);
        bench.args([
            "--json",
            "--volumes",
            "3",
            "--concurrency",
            "2",
            "--parameter",
            "backendType=ontap-nas",
        ]);
        bench.arg("--controller").arg(format!("unix://{}", lab.dir().join("csi.sock").display()));
        bench.arg("--node").arg(format!("http://{}", lab.workers().0.csi_address()));
        let output = bench.kill_on_drop(true).output().await.context("start tine-bench")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tine-bench failed: {error}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(report["driver"].as_str().is_some_and(|name| name.starts_with("csi.tine.dev")), "{report}");
        let phases = report["phases"].as_array().context("a report has phases")?;
        ensure!(phases.len() == 8, "not every phase was measured: {report}");
        for phase in phases {
            ensure!(phase["count"] == 3 && phase["p50_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{phase}");
        }
        leftovers::compare(lab, &before).await
    })
}
