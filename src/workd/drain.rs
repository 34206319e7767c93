//! Ends a worker between two jobs, on SIGUSR1 or for the service of its machine: so that one worker
//! can take another's place while builds go on. Hubs are told that there is no room any more; what
//! has begun is ended first. Who starts the next worker is not known here.

use super::worker::Worker;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::Signal;

/// What hubs are told meanwhile.
pub(super) const ENDING: &str = "ending after its jobs";
/// For the last results to get through to hubs, once no job runs. What does not get through is
/// done again elsewhere.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Waits for the signal, and then until no job runs.
pub(super) async fn when_asked(worker: Rc<Worker>, mut asked: Signal) {
    asked.recv().await;
    tracing::info!("asked to end; waiting for the jobs that there are");
    drain(&worker).await;
}

/// Takes no more jobs, and waits for the ends of those that there are.
pub(super) async fn drain(worker: &Worker) {
    worker.take_no_more();
    until_idle(worker).await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// What a hub sends now waits, and moves when the connection ends.
async fn until_idle(worker: &Worker) {
    worker.turns.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;
    use crate::workd::worker::{Config, FindTools, ScratchChoice, ViewChoice};
    use std::future::Future;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_has_begun_is_ended_and_nothing_more_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let worker = Worker::open(Config {
            late_after: None,
            mirror_bytes: 0,
            name: "w".into(),
            slots: 2,
            cache: dir.path().into(),
            view: ViewChoice::Auto,
            scratch: ScratchChoice::Auto,
            unsandboxed: false,
            system: Vec::new(),
            warden: "/proc/self/exe".into(),
            tools: FindTools::fixed(Vec::new()),
            rules: Arc::new(RuleSet::builtin().clone()),
            machine_slots: None,
            in_use: None,
        })
        .unwrap();
        let hub = worker.turns.share();
        let job = hub.turn().await;
        worker.take_no_more();
        assert_eq!(worker.offer().slots, 0);
        assert_eq!(worker.offer().view_why, ENDING);
        let mut idle = std::pin::pin!(until_idle(&worker));
        let mut look = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(idle.as_mut().poll(&mut look).is_pending(), "a job runs");
        drop(job);
        assert!(idle.as_mut().poll(&mut look).is_ready(), "none does");
        let mut more = std::pin::pin!(hub.turn());
        assert!(
            more.as_mut().poll(&mut look).is_pending(),
            "nothing more is begun"
        );
    }
}
