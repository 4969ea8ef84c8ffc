//! The administrator's door: `tinectl` against a controller that serves two nodes (journeys J4, J10).

use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use integration::lab::Lab;
use integration::orchestrator::{Claim, View};
use integration::timeline::{Display, Timeline};

const CLAIM: Claim = Claim {
    name: "pvc-0ad31115-0000-4000-8000-000000000001",
    parameters: &[("backendType", "ontap-nas")],
    size: 1 << 30,
    view: View::Directory(""),
    mode: Mode::MultiNodeMultiWriter,
};

#[test]
fn tinectl_shows_backends_volumes_and_nodes_and_refuses_a_bad_file_in_one_line() -> Result<()> {
    Lab::play(Arc::new(Timeline::new(Display::Quiet)), async |lab: &Lab| {
        let backends = shown(&lab.tinectl(&["get", "backend"]).await?)?;
        for driver in ["ontap-nas", "ontap-san", "solidfire-san"] {
            let line = backends.lines().find(|line| line.contains(driver)).unwrap_or_default();
            ensure!(line.contains("online"), "{driver} is not online:\n{backends}");
        }
        ensure!(backends.contains("customBackendName"), "the backend's name is missing:\n{backends}");

        let calls = lab.orchestrator();
        let bound = calls.provision(&CLAIM).await?;
        let volumes = shown(&lab.tinectl(&["get", "volume"]).await?)?;
        ensure!(
            volumes.contains("customBackendName") && volumes.contains("file"),
            "no such volume:\n{volumes}"
        );
        calls.delete(&bound).await?;
        let volumes = shown(&lab.tinectl(&["get", "volume", "-o", "name"]).await?)?;
        ensure!(volumes.trim().is_empty(), "a deleted volume is still listed:\n{volumes}");

        let nodes = shown(&lab.tinectl(&["get", "node"]).await?)?;
        for name in ["w1", "w2"] {
            let line = nodes.lines().find(|line| line.contains(name)).unwrap_or_default();
            ensure!(line.contains("true"), "{name} is not connected:\n{nodes}");
        }

        a_bad_file_changes_nothing(lab).await?;
        a_second_backend_is_created_from_a_file(lab).await
    })
}

async fn a_bad_file_changes_nothing(lab: &Lab) -> Result<()> {
    let good = std::fs::read_to_string(lab.dir().join("backend-ontap-nas.json"))?;
    let renamed = good.replace("customBackendName", "half");
    for (what, text, parts) in [
        (
            "a misspelt field that must be there",
            good.replace("managementLIF", "managmentLIF"),
            &["2:3", "managmentLIF", "managementLIF"][..],
        ),
        (
            "a misspelt field that may be left out",
            renamed.replace("\"svm\"", "\"limitVolumeSiz\": \"1Gi\", \"svm\""),
            &["limitVolumeSiz", "limitVolumeSize"],
        ),
        ("a password the array refuses", renamed.replace("Netapp1!", "wrong"), &["192.168.0.101"]),
    ] {
        ensure!(text != good && text != renamed, "{what}: the file is the good one");
        is_refused(lab, &text, parts).await.context(what)?;
    }
    Ok(())
}

async fn is_refused(lab: &Lab, text: &str, parts: &[&str]) -> Result<()> {
    let before = shown(&lab.tinectl(&["get", "backend", "-o", "name"]).await?)?;
    std::fs::write(lab.dir().join("bad.json"), text)?;
    let output = lab.tinectl(&["create", "backend", "-f", "bad.json"]).await?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "it was accepted");
    ensure!(error.trim_end().lines().count() == 1, "not one line:\n{error}");
    for part in parts.iter().chain(&["bad.json"]) {
        ensure!(error.contains(part), "the error does not name {part}: {error}");
    }
    let after = shown(&lab.tinectl(&["get", "backend", "-o", "name"]).await?)?;
    ensure!(before == after, "a refused file changed the backends:\n{before}\n{after}");
    Ok(())
}

async fn a_second_backend_is_created_from_a_file(lab: &Lab) -> Result<()> {
    let text = std::fs::read_to_string(lab.dir().join("backend-ontap-nas.json"))?;
    std::fs::write(lab.dir().join("second.json"), text.replace("customBackendName", "second"))?;
    let created = shown(&lab.tinectl(&["create", "backend", "-f", "second.json"]).await?)?;
    ensure!(
        created.contains("second") && created.contains("online"),
        "no table of the new backend:\n{created}"
    );
    let backends = shown(&lab.tinectl(&["get", "backend"]).await?)?;
    ensure!(backends.contains("second"), "the new backend is not listed:\n{backends}");
    Ok(())
}

fn shown(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "tinectl failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
