//! Files that begin as others, made by the array: what hypervisor drivers do with disk images on NFS.

use super::{Cluster, DataPlaneChange, Refusal, VolumeId};

impl Cluster {
    /// Makes a file that begins as another one of the volume. Paths are within the volume.
    ///
    /// # Errors
    /// A [`Refusal`]: volume missing or offline, no such source (4), a source that is no file, a
    /// destination that is there and is not to be replaced (1). The array's own numbers are not verified.
    pub fn clone_file(
        &mut self,
        volume: VolumeId,
        source: &str,
        destination: &str,
        replace: bool,
    ) -> Result<(), Refusal> {
        let found = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?;
        if !found.online {
            return Err(Refusal::conflict(917_666, format!("Volume \"{}\" is offline", found.name)));
        }
        let at = |path: &str| self.usage.as_ref().and_then(|usage| usage.holds_file(volume, path));
        match at(source) {
            Some(true) => {}
            Some(false) => return Err(Refusal::request(3, "Only files are cloned").about("source_path")),
            None => {
                let message = format!("There is no file \"{source}\" in volume \"{}\"", found.name);
                return Err(Refusal::missing(4, message).about("source_path").when_executed());
            }
        }
        let (above, name) = destination.trim_matches('/').rsplit_once('/').unwrap_or(("", destination));
        let in_snapshot = destination.split('/').any(|name| name == ".snapshot");
        if name.trim_matches('/').is_empty() || in_snapshot || at(above) != Some(false) {
            return Err(Refusal::invalid("destination_path", destination));
        }
        match at(destination) {
            None => {}
            Some(true) if replace && source.trim_matches('/') != destination.trim_matches('/') => {}
            Some(_) => {
                let message = format!("\"{destination}\" exists in volume \"{}\"", found.name);
                return Err(Refusal::conflict(1, message).about("destination_path"));
            }
        }
        let (source, destination) = (source.to_owned(), destination.to_owned());
        self.change(DataPlaneChange::CopyFile { volume, source, destination, replace });
        Ok(())
    }
}
