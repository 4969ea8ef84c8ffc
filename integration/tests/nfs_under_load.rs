//! The simulated NFS server under applications that check every answer, on hard mounts of the
//! kernel's client.

use std::time::Duration;

use anyhow::ensure;
use integration::bare::{self, failure, node, script};
use integration::planes::load::{EXERCISE, Fio, exercise, install};
use integration::planes::nas::{Nas, V3, mount};
use vm::{Guest, Network, Node, Process, Template};

const CAPACITY: u64 = 512 << 20;

fn scenario(
    run: impl AsyncFnOnce(Network, Template, Node, Nas) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    bare::scenario(async |network, template| {
        let nas = Nas::start(CAPACITY).await?;
        let node = node(&network, &template, 1).await?;
        install(&node.guest()).await?;
        run(network, template, node, nas).await
    })
}

/// A tree built and found again, random operations against a model, and blocks with checksums through
/// both the page cache and mapped memory.
async fn judge(node: &Node, nas: &Nas, options: &str, files: u32) -> anyhow::Result<()> {
    let guest = node.guest();
    mount(&guest, options).await?;
    exercise(&guest, &format!("tree /mnt/v/tree {files}")).await?;
    for seed in [1, 2] {
        exercise(&guest, &format!("fsx /mnt/v/fsx --seed {seed} --operations 600")).await?;
    }
    for fio in [Fio::DATABASE, Fio { engine: "mmap", direct: false, size: 8 }] {
        let verified = fio.once(&guest, "/mnt/v/data").await?;
        println!("{options}, {}: {verified:?}", fio.engine);
    }
    script(&guest, "rm /mnt/v/fsx /mnt/v/data; [ -z \"$(ls -A /mnt/v)\" ]; umount /mnt/v").await?;
    assert_eq!((nas.tree.used(), nas.tree.inodes()), (0, 1));
    Ok(())
}

/// How the service comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// Another instance over the same volume.
    Anew,
    /// The same, without the state it had.
    InPlace,
}

/// Restarts under load; the application must see no error, only a delay.
async fn restart_under_load(node: &Node, nas: &Nas, options: &str, restart: Restart) -> anyhow::Result<()> {
    let guest = node.guest();
    mount(&guest, options).await?;
    let churn = [EXERCISE, "churn", "/mnt/v/churn", "/run/stop"];
    let load = guest.spawn(churn, &[], "/run/churn.log").await?;
    for count in 1..=3 {
        // Each restart hits a service that has answered since the last.
        let seen = format!("until [ -e /mnt/v/churn ]; do sleep 0.1; done; echo {count} >/mnt/v/seen; sync");
        script(&guest, &seen).await?;
        match restart {
            Restart::Anew => nas.restart().await?,
            Restart::InPlace => nas.restart_in_place().await?,
        }
    }
    script(&guest, "grep -qx 3 /mnt/v/seen; touch /run/stop").await?;
    let ended = load.await_exit(Duration::from_secs(240)).await?;
    let told = script(&guest, "cat /run/churn.log").await?;
    println!("{options}: {told}");
    ensure!(ended.is_success(), "the application saw an error: {told}");
    script(&guest, "umount /mnt/v").await?;
    Ok(())
}

#[test]
fn version_three_holds_a_tree_random_operations_and_checksums() -> anyhow::Result<()> {
    scenario(async |_network, _template, node, nas| judge(&node, &nas, V3, 1000).await)
}

#[test]
fn a_restarted_server_is_a_delay_to_a_version_three_client() -> anyhow::Result<()> {
    scenario(async |_network, _template, node, nas| restart_under_load(&node, &nas, V3, Restart::Anew).await)
}

#[test]
fn version_four_one_holds_ten_thousand_files_random_operations_and_checksums() -> anyhow::Result<()> {
    scenario(async |_network, _template, node, nas| judge(&node, &nas, "vers=4.1", 10_000).await)
}

#[test]
fn version_four_two_holds_a_tree_random_operations_and_checksums() -> anyhow::Result<()> {
    scenario(async |_network, _template, node, nas| judge(&node, &nas, "vers=4.2", 1000).await)
}

#[test]
fn a_restarted_server_is_a_delay_to_a_version_four_client() -> anyhow::Result<()> {
    scenario(async |_network, _template, node, nas| {
        restart_under_load(&node, &nas, "vers=4.1", Restart::InPlace).await
    })
}

/// Takes a lock in the background; returns when it is held.
async fn hold(guest: &Guest, name: &str, words: &str) -> anyhow::Result<Process> {
    let log = format!("/run/{name}.log");
    let text = format!("exec {EXERCISE} lock /mnt/v/locked {words}");
    let process = guest.spawn(["/bin/sh", "-c", &text], &[], &log).await?;
    let held = format!(
        "set +x; for i in $(seq 300); do grep -q locked {log} && exit; sleep 0.1; done; cat {log} >&2; exit 1"
    );
    script(guest, &held).await?;
    Ok(process)
}

#[test]
fn locks_of_two_nodes_conflict_and_are_reclaimed_after_a_restart() -> anyhow::Result<()> {
    scenario(async |network, template, one, nas| {
        let two = node(&network, &template, 2).await?;
        let (first, second) = (one.guest(), two.guest());
        install(&second).await?;
        for guest in [&first, &second] {
            mount(guest, "vers=4.1").await?;
        }
        script(&first, "echo content >/mnt/v/locked; sync").await?;
        let lock = |words: &str| format!("{EXERCISE} lock /mnt/v/locked --release {words}");
        let conflicts = async |words: &str| -> anyhow::Result<()> {
            let refused = failure(&second, &lock(words)).await?;
            ensure!(refused.contains("conflict"), "{words}: {refused}");
            Ok(())
        };
        let held = hold(&first, "first", "--start 10 --length 10").await?;
        for words in ["", "--start 19 --length 1", "--shared --start 0 --length 11"] {
            conflicts(words).await?;
        }
        for words in ["--start 0 --length 10", "--start 20 --length 5"] {
            script(&second, &lock(words)).await?;
        }
        // The lock outlives the service: its holder reclaims it before others get a chance.
        nas.restart_in_place().await?;
        script(&first, "cat /mnt/v/locked >&2; echo more >>/mnt/v/locked; sync").await?;
        conflicts("--start 10 --length 1").await?;
        let waiting = format!("{} --wait", lock("--start 10 --length 10"));
        let (waited, released) = tokio::join!(script(&second, &waiting), held.kill());
        released?;
        assert_eq!(waited?, "locked\n");
        let shared = hold(&first, "shared", "--shared").await?;
        script(&second, &lock("--shared")).await?;
        conflicts("").await?;
        shared.kill().await?;
        script(&second, &lock("")).await?;
        Ok(())
    })
}
