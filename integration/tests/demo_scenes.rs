//! The scenes of the demo, each on fresh worker nodes: journeys J4 to J7, hazards H01, H03, H05, H06, H08.

use std::sync::Arc;

use anyhow::Result;
use integration::lab::Lab;
use integration::scenes::{foreign, leftovers, nas, san, solidfire};
use integration::timeline::{Display, Timeline};

/// Plays a scene, then looks whether both nodes are what they were before it.
fn play(scene: impl AsyncFnOnce(&Lab) -> Result<()> + Send) -> Result<()> {
    let timeline = Arc::new(Timeline::new(Display::Quiet));
    Lab::play(timeline, async |lab: &Lab| {
        let before = leftovers::before(lab).await?;
        scene(lab).await?;
        leftovers::compare(lab, &before).await
    })
}

#[test]
fn a_nas_volume_written_on_one_node_is_read_on_the_other() -> Result<()> {
    play(nas::play)
}

#[test]
fn b_writes_go_on_through_a_cut_fabric_and_the_volume_moves_unchanged() -> Result<()> {
    play(san::play_with_a_late_disk)
}

#[test]
fn c_a_solidfire_volume_moves_with_chap_and_its_secret_is_seen_nowhere() -> Result<()> {
    play(solidfire::play)
}

#[test]
fn d_a_lun_with_a_foreign_filesystem_is_refused_and_keeps_its_bytes() -> Result<()> {
    play(foreign::play)
}

#[test]
fn e_after_all_unstages_nothing_is_left_on_either_node() -> Result<()> {
    play(async |lab: &Lab| {
        nas::play(lab).await?;
        solidfire::play(lab).await?;
        foreign::play(lab).await
    })
}
