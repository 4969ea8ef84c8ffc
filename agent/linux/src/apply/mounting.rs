//! Steps that mount: each looks first what stands at the place (hazard H13), and checks the device
//! again before it uses it.

use std::path::Path;
use std::time::Instant;

use agent_core::facts::DeviceNumber;
use agent_core::path::HostPath;
use agent_core::proof::{Device, Verified};
use contract::FsType;

use crate::blocking::{BulkheadError, Bulkheads, Claim};
use crate::device::{self, DeviceError};
use crate::mount::attach::{self, MountError};
use crate::mount::nfs::NfsMount;
use crate::mount::table::{self, Mount, MountTableError};
use crate::root::HostRoot;
use crate::sysfs::{SysfsError, block};

/// Why it is not mounted.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountingError {
    #[error("{at} carries another mount already ({found}): unmount it")]
    Occupied { at: String, found: String },
    #[error("nothing is mounted at {at}, which was to be bound elsewhere")]
    NotMounted { at: String },
    #[error("the device is not used")]
    Device(#[from] DeviceError),
    #[error("the mount failed")]
    Mount(#[from] MountError),
    #[error("the mount hangs")]
    Hung(#[from] BulkheadError),
    #[error("cannot see the mounts of this node")]
    Table(#[from] MountTableError),
    #[error("cannot see the devices behind mounts")]
    Sysfs(#[from] SysfsError),
}

/// What a mounting step works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) root: &'a HostRoot,
    pub(super) bulkheads: &'a Bulkheads,
    pub(super) at: &'a HostPath,
    pub(super) deadline: Instant,
}

impl Place<'_> {
    /// Whether what is wanted is mounted here, on top. Anything else in its place is an error.
    fn is_done(&self, wanted: impl Fn(&Mount) -> bool) -> Result<bool, MountingError> {
        match topmost(self.root, self.at)? {
            None => Ok(false),
            Some(mount) if wanted(&mount) => Ok(true),
            Some(mount) => {
                let found = format!(
                    "{} of {}",
                    String::from_utf8_lossy(&mount.fs_type),
                    String::from_utf8_lossy(&mount.source)
                );
                Err(MountingError::Occupied { at: self.at.to_string(), found })
            }
        }
    }

    async fn attach(
        &self,
        what: &str,
        call: impl FnOnce(&Path, &Claim) -> Result<(), MountingError> + Send + 'static,
    ) -> Result<bool, MountingError> {
        let at = self.at.as_path().to_owned();
        let what = format!("{what} at {}", self.at);
        self.bulkheads.run(what, self.deadline, move |claim| call(&at, claim)).await??;
        Ok(true)
    }
}

fn topmost(root: &HostRoot, at: &HostPath) -> Result<Option<Mount>, MountTableError> {
    Ok(table::read(root)?.into_iter().rev().find(|mount| mount.is_at(at.as_str())))
}

fn is_read_only(mount: &Mount) -> bool {
    mount.options.split(|byte| *byte == b',').any(|option| option == b"ro")
}

/// Mounts an export. `false`: it was.
pub(super) async fn nfs(place: Place<'_>, mount: NfsMount) -> Result<bool, MountingError> {
    let source = mount.source().into_bytes();
    if place.is_done(|found| found.fs_type.starts_with(b"nfs") && found.source == source)? {
        return Ok(false);
    }
    let what = format!("mount of {}", mount.source());
    place.attach(&what, move |at, claim| Ok(mount.mount(at, claim)?)).await
}

/// Mounts a device's filesystem. `false`: it was.
pub(super) async fn device(
    place: Place<'_>,
    device: Verified<Device>,
    fs: FsType,
    options: Vec<String>,
) -> Result<bool, MountingError> {
    let wanted = device.what().clone();
    let is_it = |found: &Mount| found.device == wanted.number && found.fs_type == fs.as_str().as_bytes();
    if place.is_done(is_it)? {
        return Ok(false);
    }
    let root = place.root.clone();
    let what = format!("mount of {}", wanted.wwid);
    let call = move |at: &Path, claim: &Claim| {
        let open = device::open(&root, &wanted.wwid, wanted.number)?;
        let node = device::node(&root, wanted.number);
        attach::mount_device(fs.as_str(), &node, &options, at, claim)?;
        drop(open);
        Ok(())
    };
    place.attach(&what, call).await
}

/// Binds what is mounted at `from`. `false`: it was.
pub(super) async fn bind(place: Place<'_>, from: HostPath, read_only: bool) -> Result<bool, MountingError> {
    let Some(origin) = topmost(place.root, &from)? else {
        return Err(MountingError::NotMounted { at: from.to_string() });
    };
    let is_it = |found: &Mount| {
        found.device == origin.device && found.root == origin.root && (is_read_only(found) || !read_only)
    };
    if place.is_done(is_it)? {
        return Ok(false);
    }
    let what = format!("bind of {from}");
    let call = move |at: &Path, claim: &Claim| Ok(attach::bind(from.as_path(), at, read_only, claim)?);
    place.attach(&what, call).await
}

/// Binds a device's node on a file. `false`: it was.
pub(super) async fn bind_device(
    place: Place<'_>,
    device: Verified<Device>,
    read_only: bool,
) -> Result<bool, MountingError> {
    let wanted = device.what().clone();
    if let Some(found) = topmost(place.root, place.at)? {
        if node_of(place.root, &found)? != Some(wanted.number) {
            place.is_done(|_| false)?;
        }
        return Ok(false);
    }
    let root = place.root.clone();
    let what = format!("bind of {}", wanted.wwid);
    let call = move |at: &Path, claim: &Claim| {
        let open = device::open(&root, &wanted.wwid, wanted.number)?;
        attach::bind(&device::node(&root, wanted.number), at, read_only, claim)?;
        drop(open);
        Ok(())
    };
    place.attach(&what, call).await
}

fn node_of(root: &HostRoot, mount: &Mount) -> Result<Option<DeviceNumber>, SysfsError> {
    mount.device_node().map_or(Ok(None), |name| block::number(root, &name))
}
