//! Jobs: the records of what was asked asynchronously. The work is done before the job is seen, so a
//! job is born finished; clients poll it all the same.

use jiff::Timestamp;

use super::{Cluster, JobId, Refusal, SvmId};

/// How many jobs are kept. An array keeps finished jobs for minutes; clients that poll late still
/// find theirs.
const KEPT: usize = 10_000;

/// A finished job.
#[derive(Debug, Clone)]
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

impl Cluster {
    /// Records the end of an asynchronous call.
    pub fn finish_job(&mut self, description: String, svm: Option<SvmId>, failure: Option<Refusal>) -> JobId {
        let id = JobId(self.mint.uuid());
        if self.jobs.len() >= KEPT {
            self.jobs.pop_front();
        }
        self.jobs.push_back(Job { id, description, svm, failure, time: self.now });
        id
    }
}
