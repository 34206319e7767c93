//! Time: what a job's outputs carry, and when the core is to be woken.

use super::state::Hub;
use crate::wire::messages::Stamp;
use rustix::fs::{MemfdFlags, Timespec, Timestamps, UTIME_NOW, fstat, futimens, memfd_create};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Tells the hub's time as the kernel stamps files with it: no file that was changed before is
/// newer, and none that is changed after looks older.
///
/// Neither clock that the kernel offers does for that. The precise one is ahead of the stamps by up
/// to a tick; the coarse one is behind those that Linux gives since 6.13 to a file that somebody
/// has looked at since it last changed ("multigrain timestamps"). So a file of ours is touched, and
/// asked.
#[derive(Debug)]
pub(super) struct Stamper {
    /// None where the kernel gives us no such file.
    file: Option<OwnedFd>,
}

impl Stamper {
    pub(super) fn new() -> Self {
        Self {
            file: memfd_create("cpods-clock", MemfdFlags::CLOEXEC).ok(),
        }
    }

    pub(super) fn now(&self) -> Stamp {
        let touched = self.file.as_ref().and_then(|file| touch(file).ok());
        touched.unwrap_or_else(|| {
            let time = clock_gettime(ClockId::RealtimeCoarse);
            stamp(time.tv_sec, u32::try_from(time.tv_nsec))
        })
    }
}

/// That it is looked at before as after makes its stamp a fine one.
fn touch(file: &OwnedFd) -> io::Result<Stamp> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let now = Timestamps {
        last_access: now,
        last_modification: now,
    };
    fstat(file)?;
    futimens(file, &now)?;
    let found = fstat(file)?;
    Ok(stamp(found.st_mtime, u32::try_from(found.st_mtime_nsec)))
}

fn stamp<E>(seconds: i64, nanoseconds: Result<u32, E>) -> Stamp {
    Stamp {
        seconds,
        nanoseconds: nanoseconds.unwrap_or(0),
    }
}

/// Wakes the core when it asked to be woken.
pub(super) async fn keep_time(hub: Rc<Hub>) {
    while !hub.is_stopping() {
        let next = hub.look(|state| state.core.poll_timeout());
        let sleep = next.map_or(Duration::from_secs(3600), |at| {
            Duration::from_micros(at.since_us(hub.now()))
        });
        tokio::select! {
            () = tokio::time::sleep(sleep) => {
                let now = hub.now();
                let mut state = hub.state.borrow_mut();
                state.core.handle_timeout(now);
                state.act(now);
            }
            () = hub.tick.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    fn stamp_of(path: &Path) -> (i64, i64) {
        let found = path.metadata().unwrap();
        (found.mtime(), found.mtime_nsec())
    }

    #[test]
    fn what_changed_before_is_never_newer_and_what_changes_after_never_older() {
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        std::fs::write(&before, "").unwrap();
        let stamper = Stamper::new();
        for round in 0..500 {
            // A file that was looked at since its last change, as Ninja looks at an output.
            let _ = stamp_of(&before);
            std::fs::write(&before, "changed").unwrap();
            let stamp = stamper.now();
            let stamp = (stamp.seconds, i64::from(stamp.nanoseconds));
            std::fs::write(&after, "new").unwrap();
            assert!(stamp_of(&before) <= stamp, "round {round}");
            assert!(stamp <= stamp_of(&after), "round {round}");
            std::fs::remove_file(&after).unwrap();
        }
    }
}
