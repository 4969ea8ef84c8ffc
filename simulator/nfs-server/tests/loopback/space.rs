//! Sizes, quotas, and what `df` shows.

use nfs_server::{AdminError, Quota};

use super::*;

const NOSPC: u32 = 28;
const DQUOT: u32 = 69;

/// FSSTAT: bytes in all, bytes free, files in all, files free.
async fn space(client: &mut Client, handle: &[u8]) -> (u64, u64, u64, u64) {
    let (status, mut results) = client.nfs(18, Args::default().bytes(handle)).await;
    assert_eq!(status, 0);
    results.attributes();
    let (total, free, available) = (results.long(), results.long(), results.long());
    assert_eq!(free, available);
    (total, free, results.long(), results.long())
}

#[tokio::test]
async fn a_volume_of_one_gibibyte_shows_973_mebibytes_under_the_usual_reserve() {
    let (_svm, tree, mut client, root) = open_volume(1 << 30).await;
    tree.set_snapshot_reserve(5).unwrap();
    let (total, free, ..) = space(&mut client, &root).await;
    assert_eq!((total.div_ceil(1 << 20), total), (973, free), "as df -h rounds");
    tree.resize(2 << 30).unwrap();
    assert_eq!(space(&mut client, &root).await.0.div_ceil(1 << 20), 1946, "at once");
}

#[tokio::test]
async fn a_size_below_what_is_held_is_refused_and_changes_nothing() {
    let (_svm, tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    client.write(&file, 0, &[1; 500 << 10]).await;
    assert!(matches!(tree.resize(400 << 10), Err(AdminError::BelowUsed { wanted: 409_600, used: 512_000 })));
    assert_eq!(tree.capacity(), 1 << 20);
    tree.resize(500 << 10).unwrap();
    assert_eq!(client.write(&file, 500 << 10, b"x").await.0, NOSPC);
}

#[tokio::test]
async fn a_quota_binds_within_its_qtree_and_is_the_size_seen_there() {
    let (_svm, tree, mut client, root) = open_volume(1 << 20).await;
    tree.create_qtree(1, "q", RootAttributes { mode: 0o777, uid: 0, gid: 0 }).unwrap();
    tree.set_quota("q", Quota { bytes: Some(64 << 10), files: Some(3) }).unwrap();
    let qtree = client.mount("/v/q").await.unwrap();
    let inner = client.mkdir(&qtree, "inner", 0o755).await.unwrap();
    let file = client.create(&inner, "f", 0o644).await.unwrap();
    assert_eq!(client.create(&inner, "one too many", 0o644).await, Err(DQUOT));
    assert_eq!(client.write(&file, 0, &[1; 60 << 10]).await.0, 0);
    assert_eq!(client.write(&file, 60 << 10, &[1; 8 << 10]).await.0, DQUOT);
    assert_eq!(space(&mut client, &file).await, (64 << 10, 4 << 10, 3, 0));
    assert_eq!(space(&mut client, &root).await.0, 1 << 20);
    assert_eq!(tree.qtree_used("q").unwrap(), (60 << 10, 3));
    let outside = client.create(&root, "g", 0o644).await.unwrap();
    assert_eq!(client.write(&outside, 0, &[1; 100 << 10]).await.0, 0);
    tree.set_quota("q", Quota { bytes: None, files: None }).unwrap();
    assert_eq!(client.write(&file, 60 << 10, &[1; 8 << 10]).await.0, 0);
    assert_eq!(client.unlink(12, &inner, "f").await, 0);
    assert_eq!(tree.qtree_used("q").unwrap(), (0, 2));
}

#[tokio::test]
async fn names_do_not_cross_a_qtrees_border_and_its_directory_is_the_administrators() {
    let (_svm, tree, mut client, root) = open_volume(1 << 20).await;
    tree.create_qtree(7, "q", RootAttributes { mode: 0o755, uid: 5, gid: 6 }).unwrap();
    let qtree = client.lookup(&root, "q").await.unwrap();
    let attributes = client.getattr(&qtree).await.unwrap();
    assert_eq!((attributes.mode, attributes.uid, attributes.gid), (0o755, 5, 6));
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let rename = Args::default().bytes(&root).bytes(b"f").bytes(&qtree).bytes(b"f");
    assert_eq!(client.nfs(14, rename).await.0, 18);
    let link = Args::default().bytes(&file).bytes(&qtree).bytes(b"f");
    assert_eq!(client.nfs(15, link).await.0, 18);
    assert_eq!(client.unlink(13, &root, "q").await, 1);
    tree.rename_qtree("q", "r").unwrap();
    assert_eq!(client.lookup(&root, "r").await.as_ref(), Ok(&qtree));
    client.create(&qtree, "g", 0o644).await.unwrap();
    tree.remove_qtree("r").unwrap();
    assert_eq!(client.getattr(&qtree).await, Err(STALE));
    assert_eq!(tree.inodes(), 2, "the root and f");
}
