//! LUN clones: LUNs that begin as another one of the same volume, or as that one in a snapshot.

use super::lun::{Lun, admit_size};
use super::{Cluster, LunId, Refusal, SvmId};

/// A new LUN that begins as another. What is absent is as with that one.
#[derive(Debug, Clone)]
pub struct LunCloneSpec {
    /// SVM of both.
    pub svm: SvmId,
    /// `/vol/<volume>/<name>`.
    pub path: String,
    /// Path of the other, `/vol/<volume>/.snapshot/<snapshot>/<name>` too, or its UUID.
    pub source: String,
    /// Bytes, not less than the other's.
    pub size: Option<u64>,
    /// Thick within the volume.
    pub reserved: Option<bool>,
    /// Free text.
    pub comment: Option<String>,
    /// Attributes.
    pub attributes: Vec<(String, String)>,
    /// QoS policy; empty or `none`: none.
    pub qos_policy: Option<String>,
}

impl Cluster {
    /// Makes a LUN clone, in constant time. It has a serial number of its own and no maps.
    ///
    /// # Errors
    /// A [`Refusal`]: path bad or in use (5374242), volume missing (917927), source missing (5374875) or in
    /// another volume (5374883, not verified against an array), size smaller than the source's (5374892).
    pub fn clone_lun(&mut self, spec: LunCloneSpec) -> Result<LunId, Refusal> {
        let volume = self.require_volume_of_path(spec.svm, &spec.path)?.clone();
        volume.admit_write(8)?;
        if self.find_lun_named(spec.svm, &spec.path).is_some() {
            let message = format!("A LUN already exists at path \"{}\"", spec.path);
            return Err(Refusal::conflict(5_374_242, message).about("name"));
        }
        let by_id = || spec.source.parse().ok().and_then(|id| self.luns.get(&LunId(id)));
        let present = || self.find_lun_named(spec.svm, &spec.source).or_else(by_id);
        let found = match self.find_lun_in_snapshot(spec.svm, &spec.source) {
            Some((lun, snapshot)) => Some((lun, Some(snapshot))),
            None => present().filter(|lun| lun.svm == spec.svm).map(|lun| (lun, None)),
        };
        let (source, snapshot) = found.ok_or_else(|| {
            let message =
                format!("LUN \"{}\" was not found in SVM \"{}\"", spec.source, self.svm_name(spec.svm));
            Refusal::missing(5_374_875, message).about("clone.source")
        })?;
        if source.volume != volume.id {
            let message = "A LUN clone must be in the volume of its source";
            return Err(Refusal::request(5_374_883, message).about("name"));
        }
        let size = spec.size.map(admit_size).transpose()?.unwrap_or(source.size);
        if size < source.size {
            let message = "A LUN clone cannot be smaller than its source";
            return Err(Refusal::request(5_374_892, message).about("space.size"));
        }
        let qos_policy = match &spec.qos_policy {
            Some(_) => self.admit_qos_policy(spec.svm, spec.qos_policy)?,
            None => source.qos_policy.clone(),
        };
        let lun = Lun {
            qos_policy,
            path: spec.path,
            size,
            reserved: spec.reserved.unwrap_or(source.reserved),
            comment: spec.comment.unwrap_or_else(|| source.comment.clone()),
            attributes: if spec.attributes.is_empty() { source.attributes.clone() } else { spec.attributes },
            created: self.now,
            ..source.clone()
        };
        let source = source.id;
        if lun.reserved {
            self.admit_reservation(&volume, size, 0)?;
        }
        Ok(self.add_lun_clone(spec.svm, lun, source, snapshot))
    }
}
