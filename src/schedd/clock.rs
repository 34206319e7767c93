//! The time that a job's outputs carry.

use crate::wire::messages::Stamp;

/// The hub's time as the kernel stamps files with it: the coarse clock, since a file changed after
/// this moment must never look older than it.
pub(super) fn now_stamp() -> Stamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Stamp {
        seconds: time.tv_sec,
        nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0),
    }
}
