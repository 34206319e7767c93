//! Without a sandbox: how a job's processes are found and ended when no PID namespace holds them.
//!
//! The init is the sub-reaper of its job, so that whatever the tool leaves behind becomes its
//! child; it kills its children until there is none. A process that is not a descendant is never
//! touched. The worker cancels a bare job by closing the init's socket: SIGKILL would leave
//! orphans.

use super::sys;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::fs;

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
