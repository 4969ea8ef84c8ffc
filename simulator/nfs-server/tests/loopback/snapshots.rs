//! Snapshots and clones, as a v3 client meets them.

use super::*;

const ROFS: u32 = 30;

/// A volume with `d/f` reading "new", and "old" in snapshot `s1`.
async fn volume_with_a_snapshot() -> (Svm, FileTree, Client, Vec<u8>, Vec<u8>) {
    let (svm, tree, mut client, root) = open_volume(64 << 20).await;
    let dir = client.mkdir(&root, "d", 0o755).await.unwrap();
    let file = client.create(&dir, "f", 0o644).await.unwrap();
    client.write(&file, 0, b"old").await;
    tree.take_snapshot("s1").unwrap();
    client.write(&file, 0, b"new").await;
    (svm, tree, client, root, file)
}

fn names(entries: &[(u64, String)]) -> Vec<&str> {
    entries.iter().map(|(_, name)| &**name).collect()
}

#[tokio::test]
async fn a_snapshot_is_found_in_every_directory_and_cannot_be_changed() {
    let (_svm, tree, mut client, root, file) = volume_with_a_snapshot().await;
    assert_eq!(client.lookup(&root, ".snapshot").await, Err(2), "hidden unless shown");
    tree.set_snapshot_directory(true).unwrap();
    let dir = client.lookup(&root, "d").await.unwrap();
    let within = client.lookup(&dir, ".snapshot").await.unwrap();
    assert_eq!(names(&client.readdir(&within, 0, 4096).await.unwrap().0), [".", "..", "s1"]);
    let then = client.lookup(&within, "s1").await.unwrap();
    let held = client.lookup(&then, "f").await.unwrap();
    assert_eq!(client.read(&held, 0, 9).await.unwrap().0, b"old");
    assert_eq!(client.read(&file, 0, 9).await.unwrap().0, b"new");
    let inodes = (client.getattr(&held).await.unwrap().inode, client.getattr(&file).await.unwrap().inode);
    assert_ne!(inodes.0, inodes.1, "two files must not look like one with two names");
    assert_eq!(client.write(&held, 0, b"x").await.0, ROFS);
    assert_eq!(client.create(&then, "g", 0o644).await, Err(ROFS));
    assert_eq!(client.unlink(12, &then, "f").await, ROFS);
    assert_eq!(client.unlink(13, &dir, ".snapshot").await, ROFS);
    assert_eq!(client.mkdir(&dir, ".snapshot", 0o755).await, Err(17));
    let (_, mut access) = client.nfs(4, Args::default().bytes(&held).word(0x3f)).await;
    access.attributes();
    assert_eq!(access.word(), 0x01);
    let above = client.mount("/v/.snapshot/s1").await.unwrap();
    assert_eq!(client.lookup(&then, "..").await, Ok(above));
    assert_eq!(client.lookup(&within, "..").await, Ok(dir));
}

#[tokio::test]
async fn the_snapshot_directory_is_listed_at_the_root_alone_and_a_snapshot_can_be_mounted() {
    let (_svm, tree, mut client, root, _) = volume_with_a_snapshot().await;
    tree.set_snapshot_directory(true).unwrap();
    let dir = client.lookup(&root, "d").await.unwrap();
    assert_eq!(names(&client.readdir(&root, 0, 4096).await.unwrap().0), [".", "..", "d", ".snapshot"]);
    assert_eq!(names(&client.readdir(&dir, 0, 4096).await.unwrap().0), [".", "..", "f"]);
    let mounted = client.mount("/v/.snapshot/s1").await.unwrap();
    assert_eq!(names(&client.readdir(&mounted, 0, 4096).await.unwrap().0), [".", "..", "d"]);
    assert!(client.mount("/v/d/.snapshot/s1").await.is_ok());
    tree.rename_snapshot("s1", "s2").unwrap();
    assert!(client.getattr(&mounted).await.is_ok(), "a handle outlives the name");
    assert_eq!(client.mount("/v/.snapshot/s1").await, Err(2));
    tree.set_snapshot_directory(false).unwrap();
    assert_eq!(client.getattr(&mounted).await, Err(STALE));
    tree.set_snapshot_directory(true).unwrap();
    assert!(client.getattr(&mounted).await.is_ok());
    tree.delete_snapshot("s2").unwrap();
    assert_eq!(client.getattr(&mounted).await, Err(STALE));
}

#[tokio::test]
async fn a_restore_brings_back_bytes_under_the_same_handles_and_ends_later_files() {
    let (_svm, tree, mut client, root, file) = volume_with_a_snapshot().await;
    let later = client.create(&root, "later", 0o644).await.unwrap();
    tree.take_snapshot("s2").unwrap();
    tree.restore_snapshot("s1").unwrap();
    assert_eq!(client.read(&file, 0, 9).await.unwrap().0, b"old");
    assert_eq!(client.getattr(&later).await, Err(STALE));
    let left: Vec<_> = tree.snapshots().into_iter().map(|taken| taken.name).collect();
    assert_eq!((left, tree.snapshot_used()), (vec!["s1".to_owned()], 0), "later snapshots are gone");
}

#[tokio::test]
async fn a_clone_has_the_bytes_and_goes_its_own_way() {
    let (svm, tree, mut client, _root, file) = volume_with_a_snapshot().await;
    let clone = tree.clone_snapshot("s1").unwrap();
    assert_ne!(clone.fsid(), tree.fsid());
    svm.export("/clone", &clone, vec![open_to("0.0.0.0/0")]);
    let root = client.mount("/clone").await.unwrap();
    let dir = client.lookup(&root, "d").await.unwrap();
    let twin = client.lookup(&dir, "f").await.unwrap();
    client.write(&twin, 3, b"er").await;
    assert_eq!(client.read(&twin, 0, 9).await.unwrap().0, b"older");
    assert_eq!(client.read(&file, 0, 9).await.unwrap().0, b"new");
    tree.delete_snapshot("s1").unwrap();
    assert_eq!(client.read(&twin, 0, 9).await.unwrap().0, b"older");
}

#[tokio::test]
async fn snapshots_hold_space_until_they_are_deleted() {
    let (_svm, tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    assert_eq!(client.write(&file, 0, &[1; 640 << 10]).await.0, 0);
    tree.take_snapshot("s1").unwrap();
    assert_eq!(client.write(&file, 0, &[2; 256 << 10]).await.0, 0);
    assert_eq!((tree.used(), tree.snapshot_used()), (640 << 10, 256 << 10));
    assert_eq!(client.write(&file, 256 << 10, &[2; 256 << 10]).await.0, 28, "no room to keep both");
    assert_eq!(
        client.write(&file, 0, &[3; 256 << 10]).await.0,
        0,
        "what is no longer shared is free to change"
    );
    let (_, mut space) = client.nfs(18, Args::default().bytes(&root)).await;
    space.attributes();
    assert_eq!((space.long(), space.long()), (1 << 20, 128 << 10));
    tree.delete_snapshot("s1").unwrap();
    assert_eq!((tree.used(), tree.snapshot_used()), (640 << 10, 0));
    assert_eq!(client.write(&file, 256 << 10, &[2; 256 << 10]).await.0, 0);
}

#[test]
fn snapshots_of_several_trees_are_taken_all_or_none() {
    let root = RootAttributes { mode: 0o755, uid: 0, gid: 0 };
    let trees: Vec<_> = (0..3).map(|_| FileTree::new(1 << 20, root)).collect();
    let names = |tree: &FileTree| tree.snapshots().into_iter().map(|taken| taken.name).collect::<Vec<_>>();
    let all = |name| trees.iter().cloned().map(|tree| (tree, name)).collect::<Vec<_>>();
    FileTree::take_snapshots(&all("both")).unwrap();
    assert!(trees.iter().all(|tree| names(tree) == ["both"]));
    for taken in &trees {
        taken.take_snapshot("own").unwrap();
        assert!(FileTree::take_snapshots(&all("own")).is_err());
        let others = trees.iter().filter(|tree| tree.fsid() != taken.fsid());
        assert!(others.clone().all(|tree| names(tree) == ["both"]));
        taken.delete_snapshot("own").unwrap();
    }
}
