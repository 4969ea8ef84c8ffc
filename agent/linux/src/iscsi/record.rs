//! Node records of open-iscsi, as files.
//!
//! No discovery ever runs (hazard H08: it asks dead portals, and it finds portals that cannot reach
//! the LUN), and a secret in a file of mode 0600 is in no argument list. What a record leaves out
//! iscsiadm fills with its own defaults; read by open-iscsi 2.0.874 and later.
//!
//! Layout: `<nodes>/<target>/<address>,<port>,<tag>/default`, or, where the tag is not known,
//! the file `<nodes>/<target>/<address>,<port>`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use contract::{ChapCredentials, ChapPair, Iqn, Portal};

use crate::root::HostRoot;

/// Seconds a dead path may hold I/O back before dm-multipath fails over (Host Utilities for ONTAP
/// recommend 5 with multipath).
const REPLACEMENT_TIMEOUT: u32 = 5;
/// Seconds between pings, and to wait for their answer.
const NOOP: u32 = 2;
/// Seconds for connection and login: the portal has answered a connection just before.
const LOGIN_TIMEOUT: u32 = 8;
/// Attempts iscsid makes before it gives a first login up. Each one waits for the one before.
const LOGIN_RETRIES: u32 = 1;
/// What every draft's name begins with.
const DRAFT: &str = ".tine-";
/// Drafts of this process so far: no two of them have one name.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// Why a record could not be written or removed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file operation failed.
    #[error("cannot {what} node record {}: is {} writable on this node?", path.display(), parent(path))]
    Io {
        /// The verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A user name or secret that the record's line format cannot hold. The value is not shown.
    #[error(
        "the CHAP {0} holds a control character, or a blank at an end: open-iscsi cannot use it; set another one on the array"
    )]
    Credentials(&'static str),
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// Writes the record of one portal, in place of any that is there. Atomic: iscsiadm sees the old one
/// or the new one.
///
/// # Errors
/// [`RecordError`].
pub fn write(
    root: &HostRoot,
    target: &Iqn,
    portal: &Portal,
    chap: Option<&ChapCredentials>,
) -> Result<(), RecordError> {
    let text = text(target, portal, chap)?;
    let path = path(root, target, portal);
    for other in found(root, target, portal)? {
        if other != top(root, target, portal) {
            remove_at(&other)?;
        }
    }
    let directory = path.parent().unwrap_or(&path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("create", directory))?;
    // Beside the directories that iscsiadm takes for records, so that it never reads half of one.
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = root.iscsi_nodes().with_file_name(format!("{DRAFT}{}-{number}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(failed("write", &draft))
        .and_then(|()| fs::rename(&draft, &path).map_err(failed("write", &path)));
    if written.is_err()
        && let Err(error) = remove_at(&draft)
    {
        tracing::warn!(%error, "a draft of a node record stays until the next start");
    }
    written
}

/// Removes the drafts that a killed process left: each may hold a CHAP secret. Only for a process
/// that no other one writes beside. Answers how many there were.
///
/// # Errors
/// [`RecordError`].
pub fn sweep_drafts(root: &HostRoot) -> Result<usize, RecordError> {
    let nodes = root.iscsi_nodes();
    let directory = nodes.parent().unwrap_or(&nodes);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(failed("look for", directory)(source)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(failed("look for", directory))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT)) {
            remove_at(&entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes every record of a portal, and the target's directory with its last one. `false` when there
/// was none.
///
/// # Errors
/// [`RecordError`].
pub fn remove(root: &HostRoot, target: &Iqn, portal: &Portal) -> Result<bool, RecordError> {
    let found = found(root, target, portal)?;
    for entry in &found {
        remove_at(entry)?;
    }
    let directory = root.iscsi_nodes().join(target.as_str());
    match fs::remove_dir(&directory) {
        Ok(()) => {}
        Err(error) if is_expected(&error) => {}
        Err(source) => return Err(RecordError::Io { what: "remove", path: directory, source }),
    }
    Ok(!found.is_empty())
}

/// Others' records may stand beside ours, and an unlink may have been done by an earlier attempt.
fn is_expected(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

fn remove_at(entry: &Path) -> Result<(), RecordError> {
    let removed = if entry.is_dir() { fs::remove_dir_all(entry) } else { fs::remove_file(entry) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", entry)(error)),
        _ => Ok(()),
    }
}

/// Entries of any layout and tag that iscsiadm would take for a record of this portal.
fn found(root: &HostRoot, target: &Iqn, portal: &Portal) -> Result<Vec<PathBuf>, RecordError> {
    let directory = root.iscsi_nodes().join(target.as_str());
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RecordError::Io { what: "look for", path: directory, source }),
    };
    let exact = format!("{},{}", portal.address, portal.port);
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("look for", &directory))?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(&exact));
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(',')) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Io { what, path, source }
}

/// What stands for the portal in the target's directory.
fn top(root: &HostRoot, target: &Iqn, portal: &Portal) -> PathBuf {
    let name = match portal.known_tag() {
        Some(tag) => format!("{},{},{tag}", portal.address, portal.port),
        None => format!("{},{}", portal.address, portal.port),
    };
    root.iscsi_nodes().join(target.as_str()).join(name)
}

/// The record's file.
fn path(root: &HostRoot, target: &Iqn, portal: &Portal) -> PathBuf {
    let top = top(root, target, portal);
    if portal.known_tag().is_some() { top.join("default") } else { top }
}

fn text(target: &Iqn, portal: &Portal, chap: Option<&ChapCredentials>) -> Result<String, RecordError> {
    let tag = portal.known_tag().map_or("-1".to_owned(), |tag| tag.to_string());
    let mut lines = vec![
        "# BEGIN RECORD 2.0-874".to_owned(),
        format!("node.name = {target}"),
        format!("node.tpgt = {tag}"),
        "node.startup = manual".into(),
        "node.leading_login = No".into(),
        "iface.iscsi_ifacename = default".into(),
        "iface.transport_name = tcp".into(),
        "node.discovery_type = static".into(),
        "node.session.scan = manual".into(),
        "node.session.nr_sessions = 1".into(),
        "node.session.cmds_max = 128".into(),
        "node.session.queue_depth = 32".into(),
        format!("node.session.initial_login_retry_max = {LOGIN_RETRIES}"),
        format!("node.session.timeo.replacement_timeout = {REPLACEMENT_TIMEOUT}"),
        format!("node.session.err_timeo.abort_timeout = {REPLACEMENT_TIMEOUT}"),
        format!("node.session.err_timeo.lu_reset_timeout = {REPLACEMENT_TIMEOUT}"),
        format!("node.session.err_timeo.tgt_reset_timeout = {REPLACEMENT_TIMEOUT}"),
        "node.session.iscsi.FastAbort = Yes".into(),
        "node.session.iscsi.InitialR2T = No".into(),
        "node.session.iscsi.ImmediateData = Yes".into(),
        format!("node.conn[0].address = {}", portal.address),
        format!("node.conn[0].port = {}", portal.port),
        "node.conn[0].startup = manual".into(),
        format!("node.conn[0].timeo.login_timeout = {LOGIN_TIMEOUT}"),
        format!("node.conn[0].timeo.logout_timeout = {LOGIN_TIMEOUT}"),
        format!("node.conn[0].timeo.noop_out_interval = {NOOP}"),
        format!("node.conn[0].timeo.noop_out_timeout = {NOOP}"),
    ];
    match chap {
        None => lines.push("node.session.auth.authmethod = None".into()),
        Some(chap) => {
            lines.push("node.session.auth.authmethod = CHAP".into());
            lines.extend(pair("", &chap.initiator)?);
            if let Some(target) = &chap.target {
                lines.extend(pair("_in", target)?);
            }
        }
    }
    lines.push("# END RECORD\n".into());
    Ok(lines.join("\n"))
}

fn pair(direction: &str, pair: &ChapPair) -> Result<[String; 2], RecordError> {
    let fits = |value: &str| value == value.trim() && !value.is_empty() && !value.contains(char::is_control);
    if !fits(&pair.username) {
        return Err(RecordError::Credentials("user name"));
    }
    if !fits(pair.secret.expose()) {
        return Err(RecordError::Credentials("secret"));
    }
    Ok([
        format!("node.session.auth.username{direction} = {}", pair.username),
        format!("node.session.auth.password{direction} = {}", pair.secret.expose()),
    ])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use contract::Secret;

    use super::*;

    fn host() -> (tempfile::TempDir, HostRoot, Iqn) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("etc/iscsi/nodes")).unwrap();
        let root = HostRoot::at(directory.path());
        (directory, root, "iqn.2001-04.com.example:t".parse().unwrap())
    }

    fn portal(tag: u16) -> Portal {
        Portal { address: "192.168.0.131".parse().unwrap(), port: 3260, tag }
    }

    fn chap(secret: &str) -> ChapCredentials {
        let initiator = ChapPair { username: "user".into(), secret: Secret::new(secret.into()) };
        ChapCredentials { initiator, target: None }
    }

    fn mode(path: impl AsRef<Path>) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_record_is_readable_by_root_alone_and_asks_for_no_automatic_anything() {
        let (directory, root, target) = host();
        write(&root, &target, &portal(1030), Some(&chap("a secret word"))).unwrap();
        let node = directory.path().join("etc/iscsi/nodes/iqn.2001-04.com.example:t");
        let file = node.join("192.168.0.131,3260,1030/default");
        assert_eq!(
            (mode(&node), mode(node.join("192.168.0.131,3260,1030")), mode(&file)),
            (0o700, 0o700, 0o600)
        );
        let text = fs::read_to_string(&file).unwrap();
        for line in [
            "node.startup = manual",
            "node.session.scan = manual",
            "node.tpgt = 1030",
            "node.conn[0].address = 192.168.0.131",
            "node.session.auth.authmethod = CHAP",
            "node.session.auth.password = a secret word",
        ] {
            assert!(text.lines().any(|present| present == line), "{line}");
        }
        let beside = fs::read_dir(directory.path().join("etc/iscsi")).unwrap().count();
        assert_eq!(beside, 1, "a draft was left behind");
    }

    #[test]
    fn no_draft_outlives_an_error_or_the_next_start() {
        let (directory, root, target) = host();
        let iscsi = directory.path().join("etc/iscsi");
        let names =
            || fs::read_dir(&iscsi).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        // A directory stands where the record belongs: the draft is written and cannot be renamed.
        fs::create_dir_all(path(&root, &target, &portal(1)).join("in the way")).unwrap();
        write(&root, &target, &portal(1), Some(&chap("a secret word"))).unwrap_err();
        assert_eq!(names(), ["nodes"]);

        fs::write(iscsi.join(".tine-1-0"), "a secret word").unwrap();
        fs::write(iscsi.join("iscsid.conf"), "").unwrap();
        assert_eq!(sweep_drafts(&root).unwrap(), 1);
        let mut left = names();
        left.sort();
        assert_eq!(left, ["iscsid.conf", "nodes"]);
    }

    #[test]
    fn there_is_one_record_a_portal_whatever_tag_it_had_before() {
        let (directory, root, target) = host();
        for tag in [1030, Portal::UNKNOWN_TAG, 1031, 1031, Portal::UNKNOWN_TAG] {
            write(&root, &target, &portal(tag), None).unwrap();
            let node = directory.path().join("etc/iscsi/nodes").join(target.as_str());
            let names: Vec<_> = fs::read_dir(node).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names.len(), 1, "{names:?}");
        }
        let text = fs::read_to_string(path(&root, &target, &portal(Portal::UNKNOWN_TAG))).unwrap();
        assert!(text.contains("node.tpgt = -1\n"));
    }

    #[test]
    fn removing_a_record_leaves_the_records_of_others() {
        let (_directory, root, target) = host();
        let neighbour = Portal { port: 32600, ..portal(1) };
        write(&root, &target, &portal(1), None).unwrap();
        write(&root, &target, &neighbour, None).unwrap();
        assert!(remove(&root, &target, &portal(1)).unwrap());
        assert!(!remove(&root, &target, &portal(1)).unwrap());
        assert_eq!(found(&root, &target, &neighbour).unwrap().len(), 1);
        assert!(remove(&root, &target, &neighbour).unwrap());
        assert!(!root.iscsi_nodes().join(target.as_str()).exists());
    }

    #[test]
    fn a_secret_cannot_smuggle_a_line_into_the_record() {
        let (_directory, root, target) = host();
        for bad in ["x\nnode.startup = automatic", "", " x", "x\u{7f}"] {
            let error = write(&root, &target, &portal(1), Some(&chap(bad))).unwrap_err();
            assert!(matches!(error, RecordError::Credentials("secret")), "{bad:?}");
            assert!(bad.is_empty() || !format!("{error} {error:?}").contains(bad));
        }
    }
}
