//! Memory that is not used goes back to the system.
//!
//! When a root is read, or told to a pod as a whole, the hub needs for a moment half as much again
//! as it needs for good. glibc would keep what is free between the rest for ever (malloc_trim(3)).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most of a beginning is over after the first, and the first transfer of content after the second.
const WAITS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(280)];

/// Somebody is about to.
static IS_DUE: AtomicBool = AtomicBool::new(false);

/// Gives memory back once what is begun now is done.
pub(super) async fn give_back_soon() {
    if IS_DUE.swap(true, Ordering::Relaxed) {
        return;
    }
    for wait in WAITS {
        tokio::time::sleep(wait).await;
        let _ = tokio::task::spawn_blocking(give_back).await;
    }
    IS_DUE.store(false, Ordering::Relaxed);
}

fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
