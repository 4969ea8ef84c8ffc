//! Where client and servers run. Left alone, the scheduler puts the two ends of a conversation on
//! one processor or on two, differently from one second to the next; a round trip costs five times
//! more when each wake-up crosses processors, so the place decided more than the servers did.
//! Every load is therefore played in both places, each held.

use std::num::NonZero;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// Which processors the ends of a load have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Placement {
    /// Client and server share one processor: what counts is the work done.
    Shared,
    /// The client has one processor and the server another: every wake-up crosses.
    Apart,
}

/// Two processors of those this program may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    first: usize,
    second: Option<usize>,
}

impl Processors {
    /// The first two this process may run on.
    pub(crate) fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("ask for the processors of this process")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        let first = usable.next().context("this process may run on no processor")?;
        Ok(Self { first, second: usable.next() })
    }

    /// The placements possible here: with one processor there is no other place.
    pub(crate) fn placements(self) -> &'static [Placement] {
        match self.second {
            Some(_) => &[Placement::Shared, Placement::Apart],
            None => &[Placement::Shared],
        }
    }

    /// Moves this process and the servers, with every thread they have now; threads made later
    /// follow the one that makes them.
    pub(crate) fn apply(self, placement: Placement, servers: [u32; 2]) -> Result<()> {
        let theirs = match placement {
            Placement::Shared => self.first,
            Placement::Apart => self.second.context("a second processor")?,
        };
        bind(std::process::id(), self.first)?;
        servers.into_iter().try_for_each(|server| bind(server, theirs))
    }
}

fn bind(process: u32, processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    for task in std::fs::read_dir(&tasks).with_context(|| format!("list {}", tasks.display()))? {
        let name = task?.file_name();
        let id = name.to_str().and_then(|name| name.parse::<NonZero<i32>>().ok());
        let id = id.with_context(|| format!("{name:?} in {} is no thread", tasks.display()))?;
        match sched_setaffinity(Pid::from_raw(id.get()), &set) {
            // A thread that ended meanwhile needs no place.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("move thread {id} to CPU {processor}")),
        }
    }
    Ok(())
}
