//! What holds of a tree whatever was done to it.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::tree::attributes::SetAttributes;
use crate::tree::content::{BLOCK, Content};
use crate::tree::image::Image;
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::namespace::{Creation, NewNode};
use crate::tree::permission::Identity;
use crate::tree::quota::Qtree;
use crate::tree::store::Meta;
use crate::tree::{Quota, RootAttributes, Tree};

pub(super) const ROOT: Identity = Identity { uid: 0, gid: 0, groups: Vec::new() };
pub(super) const CAPACITY: u64 = 1 << 20;

/// Operations over few names in few directories, so that they meet. A directory is given by an
/// index into those that exist.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(usize, u8),
    Mkdir(usize, u8),
    Symlink(usize, u8),
    Write(usize, u8, u64, usize),
    SetSize(usize, u8, u64),
    Link(usize, u8, usize, u8),
    Rename(usize, u8, usize, u8),
    Remove(usize, u8),
    Rmdir(usize, u8),
    WriteUnstable(usize, u8, u64, usize),
    Commit(usize, u8),
    PowerCut,
    Snapshot(u8),
    DeleteSnapshot(u8),
    RenameSnapshot(u8, u8),
    Restore(u8),
    Qtree(u8, u64),
    RemoveQtree(u8),
    RenameQtree(u8, u8),
    Resize(u64),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![8 => file_op(), 3 => administrators_op()]
}

fn administrators_op() -> impl Strategy<Value = Op> {
    let n = 0..4u8;
    prop_oneof![
        4 => n.clone().prop_map(Op::Snapshot),
        2 => n.clone().prop_map(Op::DeleteSnapshot),
        1 => (n.clone(), n.clone()).prop_map(|(n, m)| Op::RenameSnapshot(n, m)),
        1 => n.clone().prop_map(Op::Restore),
        2 => (n.clone(), 0..400_000u64).prop_map(|(n, bytes)| Op::Qtree(n, bytes)),
        1 => n.clone().prop_map(Op::RemoveQtree),
        1 => (n.clone(), n).prop_map(|(n, m)| Op::RenameQtree(n, m)),
        1 => (CAPACITY / 2..CAPACITY).prop_map(Op::Resize),
        1 => Just(Op::PowerCut),
    ]
}

fn file_op() -> impl Strategy<Value = Op> {
    let (dir, name) = (0..6usize, 0..4u8);
    let entry = (dir, name);
    prop_oneof![
        3 => entry.clone().prop_map(|(d, n)| Op::Create(d, n)),
        3 => entry.clone().prop_map(|(d, n)| Op::Mkdir(d, n)),
        1 => entry.clone().prop_map(|(d, n)| Op::Symlink(d, n)),
        2 => (entry.clone(), 0..900_000u64, 0..200_000usize)
            .prop_map(|((d, n), offset, length)| Op::Write(d, n, offset, length)),
        1 => (entry.clone(), 0..300_000u64).prop_map(|((d, n), size)| Op::SetSize(d, n, size)),
        2 => (entry.clone(), entry.clone()).prop_map(|((d, n), (e, m))| Op::Link(d, n, e, m)),
        6 => (entry.clone(), entry.clone()).prop_map(|((d, n), (e, m))| Op::Rename(d, n, e, m)),
        2 => entry.clone().prop_map(|(d, n)| Op::Remove(d, n)),
        2 => entry.clone().prop_map(|(d, n)| Op::Rmdir(d, n)),
        1 => entry.clone().prop_map(|(d, n)| Op::Commit(d, n)),
        2 => (entry, 0..300_000u64, 0..100_000usize)
            .prop_map(|((d, n), offset, length)| Op::WriteUnstable(d, n, offset, length)),
    ]
}

fn directories(tree: &Tree) -> Vec<InodeNumber> {
    let mut found: Vec<_> = tree
        .image
        .inodes
        .iter()
        .filter(|(_, inode)| inode.is_directory())
        .map(|(number, _)| InodeNumber(number))
        .collect();
    found.sort();
    found
}

/// Whether it succeeds is not asked: only that the tree is sound after.
pub(super) fn apply(tree: &mut Tree, op: &Op) {
    let all = directories(tree);
    let dir = |index: &usize| all[index % all.len()];
    let none = SetAttributes::default();
    match op {
        Op::Create(d, n) => {
            let _ = tree.create(dir(d), &ROOT, &[b'a' + n], Creation::Unchecked(none));
        }
        Op::Mkdir(d, n) => {
            let _ = tree.make(dir(d), &ROOT, &[b'a' + n], NewNode::Directory, &none);
        }
        Op::Symlink(d, n) => {
            let _ = tree.make(dir(d), &ROOT, &[b'a' + n], NewNode::Symlink(b"to".to_vec()), &none);
        }
        Op::Write(d, n, offset, length) => {
            if let Ok(file) = tree.lookup(dir(d), &ROOT, &[b'a' + n]) {
                let _ = tree.write(file, &ROOT, *offset, &vec![1; *length]);
            }
        }
        Op::SetSize(d, n, size) => {
            if let Ok(file) = tree.lookup(dir(d), &ROOT, &[b'a' + n]) {
                let cut = SetAttributes { size: Some(*size), ..none };
                let _ = tree.set_attributes(file, &ROOT, &cut, None);
            }
        }
        Op::Link(d, n, e, m) => {
            if let Ok(file) = tree.lookup(dir(d), &ROOT, &[b'a' + n]) {
                let _ = tree.link(file, dir(e), &ROOT, &[b'a' + m]);
            }
        }
        Op::Rename(d, n, e, m) => {
            let _ = tree.rename(&ROOT, (dir(d), &[b'a' + n]), (dir(e), &[b'a' + m]));
        }
        Op::Remove(d, n) => {
            let _ = tree.remove(dir(d), &ROOT, &[b'a' + n]);
        }
        Op::Rmdir(d, n) => {
            let _ = tree.remove_directory(dir(d), &ROOT, &[b'a' + n]);
        }
        Op::WriteUnstable(d, n, offset, length) => {
            if let Ok(file) = tree.lookup(dir(d), &ROOT, &[b'a' + n]) {
                let _ = tree.write_unstable(file, &ROOT, *offset, &vec![2; *length]);
            }
        }
        Op::Commit(d, n) => {
            if let Ok(file) = tree.lookup(dir(d), &ROOT, &[b'a' + n]) {
                let _ = tree.commit(file);
            }
        }
        other => administer(tree, other),
    }
}

fn administer(tree: &mut Tree, op: &Op) {
    let snapshot = |n: &u8| format!("s{n}");
    let qtree = |n: &u8| char::from(b'a' + n).to_string();
    match op {
        Op::PowerCut => drop(tree.cut_power()),
        Op::Snapshot(n) => drop(tree.take_snapshot(&snapshot(n))),
        Op::DeleteSnapshot(n) => {
            if let Ok(id) = tree.find_snapshot(&snapshot(n)) {
                tree.drop_snapshot(id);
            }
        }
        Op::RenameSnapshot(n, m) => drop(tree.rename_snapshot(&snapshot(n), &snapshot(m))),
        Op::Restore(n) => {
            if let Ok(id) = tree.find_snapshot(&snapshot(n)) {
                tree.restore_snapshot(id).unwrap();
            }
        }
        Op::Qtree(n, bytes) => {
            let root = RootAttributes { mode: 0o777, uid: 0, gid: 0 };
            let _ = tree.create_qtree(u32::from(*n) + 1, &qtree(n), root);
            if let Ok((id, found)) = tree.find_qtree(&qtree(n)) {
                tree.put_qtree(id, Qtree { quota: Quota { bytes: Some(*bytes), files: Some(9) }, ..found });
            }
        }
        Op::RemoveQtree(n) => drop(tree.remove_qtree(&qtree(n))),
        Op::RenameQtree(n, m) => drop(tree.rename_qtree(&qtree(n), &qtree(m))),
        Op::Resize(bytes) => drop(tree.resize(*bytes)),
        _ => unreachable!("not an administrator's"),
    }
}

/// All that an image says, in words.
pub(super) fn describe(image: &Image) -> Vec<String> {
    let mut lines: Vec<_> =
        image.inodes.iter().map(|(number, inode)| describe_inode(number, inode)).collect();
    lines.push(format!("{} blocks, {:?}", image.used_blocks, image.qtrees));
    lines
}

fn describe_inode(number: u64, inode: &Inode) -> String {
    let meta = Meta::of(inode);
    match &inode.kind {
        Kind::File { content, .. } => {
            let mut crc = 0;
            content.lend(0, content.size() as usize, |bytes| crc = crc32c::crc32c_append(crc, &bytes));
            format!("{number}: {meta:?} {} bytes {} blocks {crc:x}", content.size(), content.blocks())
        }
        Kind::Directory(directory) => {
            format!("{number}: {meta:?} {:?}", directory.entries().collect::<Vec<_>>())
        }
        _ => format!("{number}: {meta:?}"),
    }
}

/// Walks from the root: names of each inode, subdirectories of each directory.
fn references(tree: &Tree) -> (HashMap<InodeNumber, u32>, HashMap<InodeNumber, u32>) {
    let (mut names, mut subdirectories) = (HashMap::new(), HashMap::new());
    let mut open = vec![InodeNumber::ROOT];
    while let Some(dir) = open.pop() {
        let directory = tree.inode(dir).unwrap().directory().unwrap();
        for (_, name, number) in directory.entries_behind(2, dir) {
            let first = *names.entry(number).and_modify(|count| *count += 1).or_insert(1) == 1;
            let inode = tree.inode(number).expect("an entry names an inode that is there");
            if let Kind::Directory(child) = &inode.kind {
                assert!(first, "directory {number:?} has a second name {name:?}");
                assert_eq!(child.parent(), dir);
                *subdirectories.entry(dir).or_insert(0) += 1;
                open.push(number);
            }
        }
    }
    (names, subdirectories)
}

fn assert_sound(tree: &Tree) {
    let (names, subdirectories) = references(tree);
    for (number, inode) in tree.image.inodes.iter().map(|(number, inode)| (InodeNumber(number), inode)) {
        if inode.is_directory() {
            assert_eq!(inode.links, 2 + subdirectories.get(&number).copied().unwrap_or(0));
            assert!(number == InodeNumber::ROOT || names.contains_key(&number), "an orphan directory");
        } else {
            assert_eq!(Some(&inode.links), names.get(&number), "links of {number:?} and its names");
        }
    }
    let blocks: u64 =
        tree.image.inodes.iter().filter_map(|(_, inode)| inode.content().ok()).map(Content::blocks).sum();
    assert_eq!(tree.image.used_blocks, blocks);
    assert!(tree.used() <= CAPACITY);
    assert_qtrees_counted(&tree.image);
    assert_snapshots_counted(tree);
}

fn assert_qtrees_counted(image: &Image) {
    for (id, qtree) in &image.qtrees {
        let own = || image.inodes.iter().map(|(_, inode)| inode).filter(|inode| inode.qtree == *id);
        let blocks: u64 = own().filter_map(|inode| inode.content().ok()).map(Content::blocks).sum();
        assert_eq!((qtree.files, qtree.used_blocks), (own().count() as u64, blocks));
    }
}

/// Each block that the present does not hold is counted once, with the last snapshot that holds it.
fn assert_snapshots_counted(tree: &Tree) {
    let images: Vec<_> = tree.snapshots.iter().map(|(_, taken)| &taken.image).collect();
    let later = images.iter().skip(1).copied().chain([&tree.image]);
    let counted: Vec<_> =
        images.iter().zip(later).map(|(image, later)| image.blocks_besides(later)).collect();
    let told: Vec<_> = tree.snapshot_infos().iter().map(|info| info.retained_bytes / BLOCK).collect();
    assert_eq!(told, counted);
    assert_eq!(tree.snapshots.retained_blocks(), counted.iter().sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn links_names_space_and_snapshots_agree_after_any_operations(
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut tree = Tree::new(1, CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let mut taken = HashMap::new();
        for op in &ops {
            let before = tree.last_change;
            apply(&mut tree, op);
            assert_sound(&tree);
            prop_assert!(tree.last_change >= before);
            for (id, snapshot) in tree.snapshots.iter() {
                let now = describe(&snapshot.image);
                let then = taken.entry(id).or_insert_with(|| describe(&tree.image));
                prop_assert_eq!(&now, &*then, "snapshot {}", id);
            }
        }
    }
}

#[test]
fn a_qtree_goes_whole_though_a_file_in_it_has_two_names() {
    let mut tree = Tree::new(1, CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
    for op in [Op::Qtree(0, 0), Op::Symlink(1, 2), Op::Link(1, 2, 1, 0), Op::RemoveQtree(0)] {
        apply(&mut tree, &op);
        assert_sound(&tree);
    }
    assert!(tree.find_qtree("a").is_err());
    assert_eq!(tree.image.inodes.iter().count(), 1, "the root alone");
}
