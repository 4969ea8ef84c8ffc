//! The NFS service of an SVM: which versions it speaks, and the settings that are kept and told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cluster, DataPlaneChange, Refusal, SvmId};

/// The NFS service of an SVM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NfsService {
    /// Whose.
    pub svm: SvmId,
    /// Whether it serves.
    pub enabled: bool,
    /// NFS v3.
    pub v3: bool,
    /// NFS v4.0.
    pub v4_0: bool,
    /// NFS v4.1, and v4.2 with it.
    pub v4_1: bool,
    /// What else was set, by the API's dotted name; the rest has the API's defaults.
    pub settings: BTreeMap<String, Value>,
}

/// A new service, or a change of one. What is absent gets the default, or stays.
#[derive(Debug, Clone, Default)]
pub struct NfsPatch {
    /// Served or not.
    pub enabled: Option<bool>,
    /// NFS v3.
    pub v3: Option<bool>,
    /// NFS v4.0.
    pub v4_0: Option<bool>,
    /// NFS v4.1.
    pub v4_1: Option<bool>,
    /// The rest, by the API's dotted name.
    pub settings: BTreeMap<String, Value>,
}

impl Cluster {
    /// Makes the NFS service of an SVM: version 3 unless something else is said.
    ///
    /// # Errors
    /// A [`Refusal`] (1) when there is one.
    pub fn create_nfs_service(&mut self, svm: SvmId, patch: NfsPatch) -> Result<(), Refusal> {
        if self.nfs_services.contains_key(&svm) {
            return Err(Refusal::conflict(1, "duplicate entry").about("svm"));
        }
        let blank =
            NfsService { svm, enabled: true, v3: true, v4_0: false, v4_1: false, settings: BTreeMap::new() };
        self.put_nfs_service(blank, patch);
        Ok(())
    }

    /// Changes the NFS service of an SVM; clients meet the change with their next call.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when there is none.
    pub fn modify_nfs_service(&mut self, svm: SvmId, patch: NfsPatch) -> Result<(), Refusal> {
        let service = self.nfs_services.get(&svm).ok_or_else(Refusal::no_entry)?.clone();
        self.put_nfs_service(service, patch);
        Ok(())
    }

    /// Removes the NFS service of an SVM; clients get no answer any more.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when there is none.
    pub fn delete_nfs_service(&mut self, svm: SvmId) -> Result<(), Refusal> {
        self.nfs_services.remove(&svm).ok_or_else(Refusal::no_entry)?;
        self.publish_nfs_versions(svm);
        Ok(())
    }

    /// Gives an SVM the NFS service that another one has.
    pub(super) fn put_copied_nfs_service(&mut self, svm: SvmId, service: &NfsService) {
        self.nfs_services.insert(svm, NfsService { svm, ..service.clone() });
        self.publish_nfs_versions(svm);
    }

    fn put_nfs_service(&mut self, mut service: NfsService, patch: NfsPatch) {
        service.enabled = patch.enabled.unwrap_or(service.enabled);
        service.v3 = patch.v3.unwrap_or(service.v3);
        service.v4_0 = patch.v4_0.unwrap_or(service.v4_0);
        service.v4_1 = patch.v4_1.unwrap_or(service.v4_1);
        service.settings.extend(patch.settings);
        let svm = service.svm;
        self.nfs_services.insert(svm, service);
        self.publish_nfs_versions(svm);
    }

    /// Tells the data plane which versions the SVM speaks; none without a service.
    pub(super) fn publish_nfs_versions(&mut self, svm: SvmId) {
        let service = self.nfs_services.get(&svm).filter(|service| service.enabled);
        let (v3, v4_0, v4_1) = service.map_or((false, false, false), |one| (one.v3, one.v4_0, one.v4_1));
        self.change(DataPlaneChange::NfsVersions { svm, v3, v4_0, v4_1 });
    }
}
