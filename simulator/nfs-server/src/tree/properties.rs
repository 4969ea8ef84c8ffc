//! What holds of a tree whatever was done to it.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::tree::attributes::SetAttributes;
use crate::tree::content::Content;
use crate::tree::inode::{InodeNumber, Kind};
use crate::tree::namespace::{Creation, NewNode};
use crate::tree::permission::Identity;
use crate::tree::{RootAttributes, Tree};

const ROOT: Identity = Identity { uid: 0, gid: 0, groups: Vec::new() };
const CAPACITY: u64 = 1 << 20;

/// Operations over few names in few directories, so that they meet. A directory is given by an
/// index into those that exist.
#[derive(Debug, Clone)]
enum Op {
    Create(usize, u8),
    Mkdir(usize, u8),
    Symlink(usize, u8),
    Write(usize, u8, u64, usize),
    SetSize(usize, u8, u64),
    Link(usize, u8, usize, u8),
    Rename(usize, u8, usize, u8),
    Remove(usize, u8),
    Rmdir(usize, u8),
}

fn op() -> impl Strategy<Value = Op> {
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
        2 => entry.prop_map(|(d, n)| Op::Rmdir(d, n)),
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
fn apply(tree: &mut Tree, op: &Op) {
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
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn links_names_and_space_agree_after_any_operations(ops in proptest::collection::vec(op(), 1..80)) {
        let mut tree = Tree::new(1, CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        for op in &ops {
            let before = tree.last_change;
            apply(&mut tree, op);
            assert_sound(&tree);
            prop_assert!(tree.last_change >= before);
        }
    }
}
