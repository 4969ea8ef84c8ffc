//! Exports: which tree stands at which junction, under which policy, and who has it mounted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use levers::NfsLever;
use parking_lot::{Mutex, RwLock};

use crate::policy::ExportPolicy;
use crate::tree::FileTree;

/// Lines kept of the mount table: it is advisory, and a client can invent paths without end.
const MAX_MOUNTS: usize = 4096;

/// A tree at a junction.
#[derive(Debug, Clone)]
pub struct Export {
    /// The absolute junction path, such as `/vol_17`.
    pub path: String,
    /// What is mounted there. Its handles stay good when the same tree moves to another path.
    pub tree: FileTree,
    /// Who may reach it; asked at every operation.
    pub policy: Arc<ExportPolicy>,
}

/// A line of the mount table (RFC 1813 §5.2.2): advisory, since clients may go without a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountedClient {
    /// The client's address.
    pub client: IpAddr,
    /// The host name it gave in its AUTH_SYS credential; empty where it gave none.
    pub machine: String,
    /// The path it mounted.
    pub path: String,
}

/// The exports of one SVM.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    table: RwLock<Table>,
    mounts: Mutex<BTreeSet<MountedClient>>,
    lever: NfsLever,
}

#[derive(Debug, Default)]
struct Table {
    by_path: BTreeMap<String, Arc<Export>>,
    /// Paths of each tree, the newest last: its policy is the tree's.
    by_fsid: HashMap<u64, Vec<String>>,
}

impl Table {
    fn remove(&mut self, path: &str) -> Option<Arc<Export>> {
        let export = self.by_path.remove(path)?;
        let fsid = export.tree.fsid();
        if let Some(paths) = self.by_fsid.get_mut(&fsid) {
            paths.retain(|other| other != path);
            if paths.is_empty() {
                self.by_fsid.remove(&fsid);
            }
        }
        Some(export)
    }
}

/// A path without doubled or trailing slashes, as the table is keyed.
pub(crate) fn normal_path(path: &str) -> String {
    let mut normal = String::with_capacity(path.len() + 1);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        normal.push('/');
        normal.push_str(part);
    }
    if normal.is_empty() { "/".to_owned() } else { normal }
}

/// `path` relative to `junction`, if it is there or below.
fn below<'path>(path: &'path str, junction: &str) -> Option<&'path str> {
    if junction == "/" {
        return Some(path);
    }
    path.strip_prefix(junction).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Exports {
    /// No exports yet; `lever` can make the handles of each stale.
    pub(crate) fn new(lever: NfsLever) -> Self {
        Self { lever, ..Self::default() }
    }

    pub(crate) fn put(&self, export: Export) {
        let path = normal_path(&export.path);
        let fsid = export.tree.fsid();
        let mut table = self.table.write();
        table.remove(&path);
        table.by_path.insert(path.clone(), Arc::new(Export { path: path.clone(), ..export }));
        table.by_fsid.entry(fsid).or_default().push(path);
    }

    /// Was there one?
    pub(crate) fn remove(&self, path: &str) -> bool {
        let path = normal_path(path);
        let removed = self.table.write().remove(&path).is_some();
        self.mounts.lock().retain(|mount| below(&mount.path, &path).is_none());
        removed
    }

    /// The export a handle points into, unless a lever has made its handles stale.
    pub(crate) fn find_by_fsid(&self, fsid: u64) -> Option<Arc<Export>> {
        let table = self.table.read();
        let export = table.by_path.get(table.by_fsid.get(&fsid)?.last()?)?;
        let is_stale = self.lever.faults().is_some_and(|faults| faults.stale.contains(&export.path));
        (!is_stale).then(|| export.clone())
    }

    /// The exports on the way to a normal path, from the root down: the last one holds it.
    pub(crate) fn along(&self, path: &str) -> Vec<Arc<Export>> {
        let table = self.table.read();
        let mut found: Vec<_> =
            table.by_path.values().filter(|export| below(path, &export.path).is_some()).cloned().collect();
        found.sort_by_key(|export| export.path.len());
        found
    }

    /// The export mounted at `name` in the root of the export of a tree.
    pub(crate) fn find_junction(&self, fsid: u64, name: &str) -> Option<Arc<Export>> {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return None;
        }
        let table = self.table.read();
        let parent = table.by_fsid.get(&fsid)?.last()?;
        let path = normal_path(&format!("{parent}/{name}"));
        table.by_path.get(&path).filter(|export| export.tree.fsid() != fsid).cloned()
    }

    /// Name and fsid of every export mounted in the root of the export of a tree.
    pub(crate) fn junctions_in(&self, fsid: u64) -> Vec<(String, u64)> {
        let table = self.table.read();
        let Some(parent) = table.by_fsid.get(&fsid).and_then(|paths| paths.last()) else {
            return Vec::new();
        };
        let name_in_parent = |export: &Export| {
            let name = below(&export.path, parent)?.strip_prefix('/')?;
            (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
        };
        let others = table.by_path.values().filter(|export| export.tree.fsid() != fsid);
        others.filter_map(|export| Some((name_in_parent(export)?, export.tree.fsid()))).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Export>> {
        self.table.read().by_path.values().cloned().collect()
    }

    pub(crate) fn add_mount(&self, mount: MountedClient) {
        let mut mounts = self.mounts.lock();
        if mounts.len() >= MAX_MOUNTS {
            mounts.pop_first();
        }
        mounts.insert(mount);
    }

    /// Forgets one mount of a client, or all.
    pub(crate) fn drop_mounts(&self, client: IpAddr, path: Option<&str>) {
        self.mounts
            .lock()
            .retain(|mount| mount.client != client || path.is_some_and(|path| mount.path != path));
    }

    pub(crate) fn mounts(&self) -> Vec<MountedClient> {
        self.mounts.lock().iter().cloned().collect()
    }
}

impl Export {
    /// The part of a normal path that lies inside this export.
    pub(crate) fn path_within<'path>(&self, path: &'path str) -> &'path str {
        below(path, &self.path).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::RootAttributes;

    fn export(path: &str, tree: &FileTree) -> Export {
        Export { path: path.into(), tree: tree.clone(), policy: Arc::default() }
    }

    fn tree() -> FileTree {
        FileTree::new(1 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 })
    }

    #[test]
    fn the_way_to_a_path_runs_over_whole_names() {
        let exports = Exports::default();
        for path in ["/", "/a", "/a/b", "/ab"] {
            exports.put(export(path, &tree()));
        }
        let way: Vec<_> = exports.along("/a/b/c").iter().map(|export| export.path.clone()).collect();
        assert_eq!(way, ["/", "/a", "/a/b"]);
        assert_eq!(exports.along("/a/b/c")[2].path_within("/a/b/c"), "/c");
        assert_eq!(exports.along("/abc").len(), 1);
    }

    #[test]
    fn a_tree_that_moved_keeps_its_handles_and_one_removed_does_not() {
        let (exports, tree) = (Exports::default(), tree());
        exports.put(export("/old", &tree));
        exports.put(export("/new/", &tree));
        exports.remove("/old");
        assert_eq!(exports.find_by_fsid(tree.fsid()).unwrap().path, "/new");
        exports.remove("//new");
        assert!(exports.find_by_fsid(tree.fsid()).is_none());
    }

    #[test]
    fn another_tree_at_the_same_path_ends_the_first_one() {
        let (exports, first, second) = (Exports::default(), tree(), tree());
        exports.put(export("/v", &first));
        exports.put(export("/v", &second));
        assert!(exports.find_by_fsid(first.fsid()).is_none());
        assert!(exports.find_by_fsid(second.fsid()).is_some());
    }

    #[test]
    fn the_mount_table_is_bounded() {
        let exports = Exports::default();
        for n in 0..MAX_MOUNTS + 10 {
            let client = IpAddr::from([127, 0, 0, 1]);
            exports.add_mount(MountedClient { client, machine: String::new(), path: format!("/{n}") });
        }
        assert_eq!(exports.mounts().len(), MAX_MOUNTS);
        exports.drop_mounts(IpAddr::from([127, 0, 0, 1]), None);
        assert!(exports.mounts().is_empty());
    }
}
