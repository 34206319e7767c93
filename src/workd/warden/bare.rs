//! Without namespaces: where a job's own files lie on the pod, and how its processes are found and
//! ended when no PID namespace holds them.
//!
//! The init is the sub-reaper of its job, so that whatever the tool leaves behind becomes its
//! child; it kills its children until there is none. A process that is not a descendant is never
//! touched. The worker cancels a bare job by closing the init's socket: SIGKILL would leave
//! orphans.

use super::confine;
use super::init::{Ready, make_dir};
use super::proto::{Sandbox, Scratch, Setup};
use super::sys::{self, Step, StepError};
use crate::paths::Bytes;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::fs;
use std::path::Path;

/// In a job's own directory: what it writes to its roots, one directory each.
pub(crate) const OUTPUTS: &str = "up";
/// In a job's own directory: its temporary files.
pub(crate) const TEMPORARY: &str = "tmp";

/// Makes the directories of the init of this number, and the rules of its job.
pub(crate) fn prepare(setup: &Setup, number: u32, null: OwnedFd) -> Result<Ready, StepError> {
    let Scratch::Disk(dir) = &setup.scratch else {
        return Err(Errno::INVAL).step(|| "scratch in memory needs a namespace".into());
    };
    let own = dir.as_path().join(number.to_string());
    make_dir(&own, 0o755)?;
    make_dir(own.join(OUTPUTS), 0o755)?;
    make_dir(own.join(TEMPORARY), 0o700)?;
    let rules = match setup.sandbox {
        Sandbox::Landlock => Some(confine::rules(setup, &own)?),
        _ => None,
    };
    Ok(Ready {
        host: None,
        own,
        null,
        rules,
    })
}

/// The environment of a job whose directory is `own`: its temporary files go there, and with it.
pub(crate) fn environment(env: &[Bytes], own: &Path) -> Vec<Bytes> {
    let mut env: Vec<_> = env
        .iter()
        .filter(|variable| !variable.0.starts_with(b"TMPDIR="))
        .cloned()
        .collect();
    let dir = Bytes::from(own.join(TEMPORARY).as_path());
    env.push(Bytes([b"TMPDIR=", dir.0.as_slice()].concat()));
    env
}

/// Makes this process the one that inherits its descendants' orphans.
pub(crate) fn adopt_orphans() {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Waits until the tool has ended (it is not yet reaped then) or the worker has closed `socket`;
/// the latter ends the job and this process.
pub(crate) fn wait_for(tool: libc::pid_t, socket: BorrowedFd<'_>) {
    let pidfd = Pid::from_raw(tool)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(pidfd) = pidfd else {
        return;
    };
    loop {
        let mut fds = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(socket, PollFlags::empty()),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return,
            Ok(_) if !fds[1].revents().is_empty() => {
                end_descendants();
                sys::exit_now(1);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Kills all descendants of this process and waits until they are gone.
pub(crate) fn end_descendants() {
    loop {
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        for pid in children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            // SAFETY: kill(2) touches no memory; the process is a child not yet waited for, so
            // that its number cannot have been given to another.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        match sys::wait(None) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
