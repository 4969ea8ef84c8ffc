//! Jobs: the records of what was asked asynchronously. The work is done before the job is seen, so a
//! job is born finished; clients poll it all the same.

use jiff::Timestamp;
use records::untagged;
use serde::{Deserialize, Serialize};

use super::{Cluster, JobId, Refusal, SvmId};

/// How many jobs are kept. An array keeps finished jobs for minutes; clients that poll late still
/// find theirs.
const KEPT: usize = 10_000;

/// A finished job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its identifier.
    pub id: JobId,
    /// The call that started it, such as `POST /api/storage/volumes`.
    pub description: String,
    /// The SVM it worked for.
    pub svm: Option<SvmId>,
    /// Why it failed, if it did.
    pub failure: Option<Refusal>,
    /// When it started and ended.
    pub time: Timestamp,
}

untagged!(Job);

impl Cluster {
    /// Records the end of an asynchronous call.
    pub fn finish_job(&mut self, description: String, svm: Option<SvmId>, failure: Option<Refusal>) -> JobId {
        let id = JobId(self.mint.edit().uuid());
        let time = self.now;
        self.jobs.insert(id, Job { id, description, svm, failure, time });
        // Identifiers ascend: the first is the oldest.
        let oldest = self.jobs.keys().next().copied().filter(|_| self.jobs.len() > KEPT);
        if let Some(oldest) = oldest {
            self.jobs.remove(&oldest);
        }
        id
    }

    /// Makes a finished job one that failed. A job that is forgotten stays so.
    pub fn fail_job(&mut self, id: JobId, failure: Refusal) {
        if let Some(mut job) = self.jobs.get_mut(&id) {
            job.failure = Some(failure);
        }
    }
}
