//! Time: what a job's outputs carry, and when the core is to be woken.

use super::state::Hub;
use crate::wire::messages::Stamp;
use std::rc::Rc;
use std::time::Duration;

/// The hub's time as the kernel stamps files with it: the coarse clock, since a file changed after
/// this moment must never look older than it.
pub(super) fn now_stamp() -> Stamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Stamp {
        seconds: time.tv_sec,
        nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0),
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
