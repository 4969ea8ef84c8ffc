//! Logging in and out.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::time::{Duration, Instant};

use agent_core::facts::SessionState;
use contract::{ChapCredentials, Iqn, Portal};
use tokio::net::TcpStream;

use super::locks::SessionLocks;
use super::record::{self, RecordError};
use crate::command::{self, CommandError, Program};
use crate::root::HostRoot;
use crate::sysfs::iscsi::{self, Session};
use crate::sysfs::{SysfsError, scsi};

/// A portal that has not accepted a connection by then is dead for this login (hazard H08): iscsid
/// itself would try for many times as long.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// Why a session is not there, or still is.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nothing answers, or answers with a reset.
    #[error(
        "portal {portal} does not accept connections from this node: check the LIF and the network between"
    )]
    Unreachable {
        /// Where.
        portal: Portal,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing answers in time.
    #[error("portal {portal} did not answer within {limit:?}: check the LIF and the network between")]
    Silent {
        /// Where.
        portal: Portal,
        /// How long it was asked.
        limit: Duration,
    },
    /// The target wants other credentials (iscsiadm: 24).
    #[error(
        "target {target} at {portal} refused the credentials: CHAP user or secret differ from the array's, or the initiator is not allowed"
    )]
    Authentication {
        /// Target.
        target: Iqn,
        /// Where.
        portal: Portal,
        /// What iscsiadm said.
        #[source]
        source: CommandError,
    },
    /// The target let nobody in (iscsiadm: 5, 19).
    #[error("target {target} at {portal} refused the login")]
    LoginRefused {
        /// Target.
        target: Iqn,
        /// Where.
        portal: Portal,
        /// What iscsiadm said.
        #[source]
        source: CommandError,
    },
    /// iscsid does not answer (iscsiadm: 18, 20).
    #[error("iscsid is not running: start it on this node (systemctl enable --now iscsid)")]
    NoDaemon(#[source] CommandError),
    /// The connection broke or timed out (iscsiadm: 4, 8, 11).
    #[error("the login to {target} at {portal} was not answered")]
    Interrupted {
        /// Target.
        target: Iqn,
        /// Where.
        portal: Portal,
        /// What iscsiadm said.
        #[source]
        source: CommandError,
    },
    /// Anything else that iscsiadm says.
    #[error("iscsiadm failed")]
    Command(#[source] CommandError),
    /// A session is there and not usable now; iscsid is at it.
    #[error("session {sid} to {portal} is {state:?} and being recovered")]
    Recovering {
        /// Which.
        sid: u32,
        /// Where.
        portal: Portal,
        /// Its state.
        state: SessionState,
    },
    /// iscsiadm was content and sysfs shows otherwise.
    #[error("iscsiadm was content, yet {0}")]
    NotSo(String),
    /// Disks are on it: a logout would take them from their users (hazard H10).
    #[error("session {sid} still carries disks: {disks}")]
    InUse {
        /// Which.
        sid: u32,
        /// Their places.
        disks: String,
    },
    /// Another volume's login or logout took all the time.
    #[error("another call has been at the session to {target} at {portal} all the time: repeat this one")]
    Occupied {
        /// Target.
        target: Iqn,
        /// Where.
        portal: Portal,
    },
    /// The record.
    #[error("the node record is not as it should be")]
    Record(#[from] RecordError),
    /// sysfs.
    #[error("cannot see the sessions of this node")]
    Sysfs(#[from] SysfsError),
}

/// Makes a session to a portal be there. `false`: it was, or another volume's login made it.
///
/// # Errors
/// [`SessionError`].
pub async fn log_in(
    root: &HostRoot,
    locks: &SessionLocks,
    target: &Iqn,
    portal: &Portal,
    chap: Option<&ChapCredentials>,
    deadline: Instant,
) -> Result<bool, SessionError> {
    let _alone = alone(locks, target, portal, deadline).await?;
    if is_logged_in(root, target, portal)? {
        return Ok(false);
    }
    await_portal(portal, deadline).await?;
    record::write(root, target, portal, chap)?;
    make_lock_directory(root);
    let arguments = ["-m", "node", "-T", target.as_str(), "-p", &address(portal), "--login"];
    let ran = command::run(root, Program::Iscsiadm, &arguments.map(OsString::from), deadline).await;
    match ran.map_err(|error| explain(error, target, portal)) {
        Ok(_output) => {}
        // 15: somebody else's login was faster. Whose it was does not matter.
        Err(None) => {}
        Err(Some(error)) => {
            record::remove(root, target, portal)?;
            return Err(error);
        }
    }
    if is_logged_in(root, target, portal)? {
        return Ok(true);
    }
    Err(SessionError::NotSo(format!("there is no session to {target} at {portal}")))
}

async fn alone(
    locks: &SessionLocks,
    target: &Iqn,
    portal: &Portal,
    deadline: Instant,
) -> Result<impl Drop + use<>, SessionError> {
    let occupied = || SessionError::Occupied { target: target.clone(), portal: *portal };
    locks.lock(target, portal, deadline).await.ok_or_else(occupied)
}

/// The directory of iscsiadm's lock. It looks for it and then makes it, so of two that run at once
/// after a boot the slower one ends with "Could not open /run/lock/iscsi: File exists".
fn make_lock_directory(root: &HostRoot) {
    let directory = root.path("run/lock/iscsi");
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o755).create(&directory) {
        // Elsewhere on this host, or read-only: iscsiadm will tell.
        tracing::debug!(%error, directory = %directory.display(), "no lock directory made for iscsiadm");
    }
}

/// Whether there is a usable session to the portal.
fn is_logged_in(root: &HostRoot, target: &Iqn, portal: &Portal) -> Result<bool, SessionError> {
    let mut unusable = None;
    for session in iscsi::sessions(root)?.into_iter().filter(|session| session.reaches(target, portal)) {
        match session.state {
            SessionState::LoggedIn => return Ok(true),
            state => unusable = Some(SessionError::Recovering { sid: session.sid, portal: *portal, state }),
        }
    }
    unusable.map_or(Ok(false), Err)
}

/// One connection and its end: the cheapest question whether a portal lives.
async fn await_portal(portal: &Portal, deadline: Instant) -> Result<(), SessionError> {
    let until = deadline.min(Instant::now() + CONNECT_LIMIT);
    match tokio::time::timeout_at(until.into(), TcpStream::connect(portal.socket_addr())).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(source)) => Err(SessionError::Unreachable { portal: *portal, source }),
        Err(_elapsed) => Err(SessionError::Silent { portal: *portal, limit: CONNECT_LIMIT }),
    }
}

/// As iscsiadm's `-p` wants it: the tag picks the record where it is known.
fn address(portal: &Portal) -> String {
    portal.known_tag().map_or_else(|| portal.socket_addr().to_string(), |_tag| portal.to_string())
}

/// What iscsiadm's exit code means (iscsiadm(8), "EXIT STATUS"); `None` for "session exists".
fn explain(error: CommandError, target: &Iqn, portal: &Portal) -> Option<SessionError> {
    let (target, portal) = (target.clone(), *portal);
    Some(match error.exit_code() {
        Some(15) => return None,
        Some(5 | 19) => SessionError::LoginRefused { target, portal, source: error },
        Some(4 | 8 | 11) => SessionError::Interrupted { target, portal, source: error },
        Some(18 | 20) => SessionError::NoDaemon(error),
        Some(24) => SessionError::Authentication { target, portal, source: error },
        _ => SessionError::Command(error),
    })
}

/// Makes a session and its record be gone. `false`: both were.
///
/// # Errors
/// [`SessionError`]; [`SessionError::InUse`] while any disk is on the session.
pub async fn log_out(
    root: &HostRoot,
    locks: &SessionLocks,
    sid: u32,
    target: &Iqn,
    portal: &Portal,
    deadline: Instant,
) -> Result<bool, SessionError> {
    let _alone = alone(locks, target, portal, deadline).await?;
    let is_it = |session: &Session| session.reaches(target, portal);
    let Some(session) = iscsi::session(root, sid)?.filter(is_it) else {
        return Ok(record::remove(root, target, portal)?);
    };
    let disks = disks(root, &session)?;
    if !disks.is_empty() {
        return Err(SessionError::InUse { sid, disks: disks.join(", ") });
    }
    make_lock_directory(root);
    let arguments = ["-m", "session", "-r", &sid.to_string(), "--logout"].map(OsString::from);
    match command::run(root, Program::Iscsiadm, &arguments, deadline).await {
        Ok(_output) => {}
        // 2, 21: it is gone already.
        Err(error) if matches!(error.exit_code(), Some(2 | 21)) => {}
        Err(error) => return Err(explain(error, target, portal).unwrap_or_else(|| not_gone(sid))),
    }
    if iscsi::session(root, sid)?.is_some_and(|session| is_it(&session)) {
        return Err(not_gone(sid));
    }
    record::remove(root, target, portal)?;
    Ok(true)
}

/// Makes the record of a portal without session be gone. `false`: it was.
///
/// # Errors
/// [`SessionError`].
pub async fn forget(
    root: &HostRoot,
    locks: &SessionLocks,
    target: &Iqn,
    portal: &Portal,
    deadline: Instant,
) -> Result<bool, SessionError> {
    let _alone = alone(locks, target, portal, deadline).await?;
    Ok(record::remove(root, target, portal)?)
}

fn not_gone(sid: u32) -> SessionError {
    SessionError::NotSo(format!("session {sid} is still there"))
}

/// Places of the disks on a session.
fn disks(root: &HostRoot, session: &Session) -> Result<Vec<String>, SysfsError> {
    let mut disks = Vec::new();
    for hctl in session.devices(root)? {
        if scsi::disk_at(root, hctl)?.is_some() {
            disks.push(hctl.to_string());
        }
    }
    Ok(disks)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn portal(port: u16) -> Portal {
        Portal { address: "127.0.0.1".parse().unwrap(), port, tag: Portal::UNKNOWN_TAG }
    }

    #[tokio::test]
    async fn a_portal_that_refuses_connections_is_told_at_once() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = await_portal(&portal(free), Instant::now() + Duration::from_secs(10)).await.unwrap_err();
        assert!(matches!(error, SessionError::Unreachable { .. }), "{error}");
    }

    /// Logs in as open-iscsi does: a while passes before the session is seen, and a second login in
    /// that while is told that the session exists (15).
    const ISCSIADM: &str = r#"#!/bin/sh
echo run >> ROOT/runs
mkdir ROOT/under-way 2> /dev/null || exit 15
sleep 0.3
mkdir -p ROOT/sys/class/iscsi_session ROOT/sys/class/iscsi_connection/connection1:0 ROOT/made
echo 127.0.0.1 > ROOT/sys/class/iscsi_connection/connection1:0/persistent_address
echo PORT > ROOT/sys/class/iscsi_connection/connection1:0/persistent_port
echo TARGET > ROOT/made/targetname
echo LOGGED_IN > ROOT/made/state
mkdir -p ROOT/sys/class/host1
ln -s ../host1/../../../made ROOT/sys/class/iscsi_session/session1
"#;

    #[tokio::test]
    async fn two_volumes_of_one_target_log_in_once_and_both_have_the_session() {
        let directory = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let portal = portal(listener.local_addr().unwrap().port());
        let target: Iqn = "iqn.2001-04.com.example:t".parse().unwrap();
        for made in ["etc/iscsi/nodes", "usr/sbin"] {
            fs::create_dir_all(directory.path().join(made)).unwrap();
        }
        let program = directory.path().join("usr/sbin/iscsiadm");
        let script = ISCSIADM.replace("ROOT", &directory.path().display().to_string());
        let script = script.replace("PORT", &portal.port.to_string()).replace("TARGET", target.as_str());
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let (root, locks) = (HostRoot::at(directory.path()), SessionLocks::default());
        let deadline = Instant::now() + Duration::from_secs(10);
        let login = || log_in(&root, &locks, &target, &portal, None, deadline);
        let (first, second) = tokio::join!(login(), login());
        assert!(first.unwrap(), "the first one made it");
        assert!(!second.unwrap(), "the second one found it");
        assert_eq!(fs::read_to_string(directory.path().join("runs")).unwrap(), "run\n");
        assert!(
            directory.path().join("run/lock/iscsi").is_dir(),
            "there before two iscsiadm make it at once"
        );
        let record = directory.path().join("etc/iscsi/nodes").join(target.as_str());
        assert_eq!(fs::read_dir(record).unwrap().count(), 1, "its record stays");
    }

    #[test]
    fn a_portal_is_named_with_its_tag_only_where_that_is_known() {
        assert_eq!(address(&portal(3260)), "127.0.0.1:3260");
        assert_eq!(address(&Portal { tag: 7, ..portal(3260) }), "127.0.0.1:3260,7");
    }
}
