//! What a job may take on this pod, and what is told of one that took more time.

use crate::job::{Ending, Job, OUT_OF_TIME, Usage};
use crate::wire::messages::{Finished, Task};

/// `RLIMIT_AS` on x86, Arm and RISC-V (its type differs between C libraries).
const ADDRESS_SPACE: u32 = 9;

/// The soft limits of its processes: the wrapper's own, and the rule's on memory.
pub(crate) fn of_processes(task: &Task) -> Vec<(u32, u64)> {
    let mut limits = task.surroundings.limits.clone();
    let memory = u64::from(task.job.limits.memory_mib) << 20;
    if memory > 0 {
        let is_memory = |(number, _): &(u32, u64)| *number == ADDRESS_SPACE;
        let own = limits.iter().find(|limit| is_memory(limit));
        let least = own.map_or(memory, |(_, own)| memory.min(*own));
        limits.retain(|limit| !is_memory(limit));
        limits.push((ADDRESS_SPACE, least));
    }
    limits
}

/// What is said on stderr of a job that was ended at its limit.
pub(crate) fn out_of_time_line(job: &Job) -> String {
    let (tool, seconds) = (&job.need.tool, job.limits.seconds);
    format!(
        "cpods: `{tool}` was ended after {seconds} s, its limit (CPODS_SECONDS sets another, 0 none)\n"
    )
}

/// How such a job ended. What it wrote until then nobody gets.
pub(crate) fn out_of_time(job: &Job) -> Finished {
    Finished {
        ending: Ending::Exited(OUT_OF_TIME),
        digests: Vec::new(),
        usage: Usage {
            wall_us: u64::from(job.limits.seconds) * 1_000_000,
            ..Usage::default()
        },
    }
}
