//! What a job may take on this pod, and what is told of one that took more time.

use crate::job::{Ending, Job, OUT_OF_TIME, Usage};
use crate::wire::messages::{Finished, Task};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// `RLIMIT_AS` on x86, Arm and RISC-V (its type differs between C libraries).
const ADDRESS_SPACE: u32 = 9;

/// How many files this process might have open at its start.
static FILES_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as it may: a mirror holds many.
pub(super) fn raise_files() {
    let before = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if FILES_BEFORE.set(before).is_ok() {
        // Without, more content is brought at once.
        let _ = setrlimit(Resource::Nofile, most);
    }
}

/// Gives a child that runs jobs the limit as it was, before it executes.
pub(super) fn restore_files(command: &mut Command) {
    let Some(before) = FILES_BEFORE.get().copied() else {
        return;
    };
    let restore = move || Ok(setrlimit(Resource::Nofile, before)?);
    // SAFETY: a single system call, on memory that the closure owns.
    unsafe { command.pre_exec(restore) };
}

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
