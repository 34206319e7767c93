//! Takes in what changes in the roots: what is little at once, what is much beside the hub's other work.
//!
//! Jobs of pods with mirrors wait for what is read beside; nothing else does. That is what keeps a hub
//! answering while gigabytes are unpacked into a root.

use super::mirrors;
use super::state::{Hub, State};
use crate::sched::{Event, JobId, PodId, RunId};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Between two looks at what has changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often more is read that changed while the last was, before what is still on the move counts as
/// such.
const ROUNDS: usize = 3;

/// A job that starts once all is read.
#[derive(Debug)]
pub(super) struct Postponed {
    pub(super) run: RunId,
    pub(super) job: JobId,
    pub(super) pod: PodId,
    pub(super) tool_index: usize,
    /// It is not to start any more.
    is_cancelled: bool,
}

/// What is read beside, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Readings {
    under_way: usize,
    postponed: Vec<Postponed>,
    /// Somebody waits.
    pub(super) due: Rc<tokio::sync::Notify>,
}

impl Readings {
    /// Whether a run waits; it is not to start any more.
    pub(super) fn cancel(&mut self, run: RunId) -> bool {
        let waits = self.postponed.iter_mut().find(|it| it.run == run);
        waits.map(|it| it.is_cancelled = true).is_some()
    }

    /// A pod is lost, and all its runs.
    pub(super) fn pod_lost(&mut self, pod: PodId) {
        self.postponed.retain(|it| it.pod != pod);
    }
}

impl State {
    /// Whether a job has to wait until what changed is read; then it is noted.
    pub(super) fn postpones(
        &mut self,
        (run, job): (RunId, JobId),
        pod: PodId,
        tool_index: usize,
    ) -> bool {
        let follows = self.pods[pod.0 as usize].mirror.follows;
        let (Some(indexes), Some(follows)) = (&mut self.indexes, follows) else {
            return false;
        };
        if self.readings.under_way == 0 && !indexes.have_much_to_read(follows) {
            return false;
        }
        self.readings.due.notify_one();
        self.readings.postponed.push(Postponed {
            run,
            job,
            pod,
            tool_index,
            is_cancelled: false,
        });
        true
    }
}

/// Takes in what changes while no job asks, and tells it to pods in use, so that neither a job nor
/// anybody else has to wait for it all at once, and the kernel need not keep more than it does. Takes
/// a tenth of the time at most: a file that is just being written is read for nothing.
pub(super) async fn look_ahead(hub: Rc<Hub>) {
    let due = hub.look(|state| Rc::clone(&state.readings.due));
    let mut pause = LOOK_EVERY;
    loop {
        let is_due = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = due.notified() => true,
            () = hub.stopped() => return,
        };
        let begun = Instant::now();
        let has_much = match &mut hub.state.borrow_mut().indexes {
            Some(indexes) => indexes.look_ahead(),
            None => false,
        };
        if is_due || has_much {
            read_all(&hub, false).await;
        }
        mirrors::tell_ahead(&hub);
        pause = LOOK_EVERY.max(10 * begun.elapsed());
    }
}

/// Reads what has changed, and starts the jobs that waited for it. Patience with what is on the move
/// begins when somebody waits: who comes while a file's writing ends is not told that it never rests.
pub(super) async fn read_all(hub: &Rc<Hub>, mut is_awaited: bool) {
    hub.state.borrow_mut().readings.under_way += 1;
    let mut rounds = 0;
    let is_restless = loop {
        if !is_awaited && hub.look(|state| !state.readings.postponed.is_empty()) {
            (is_awaited, rounds) = (true, 0);
        }
        if rounds == ROUNDS {
            break is_awaited;
        }
        rounds += 1;
        let found = match &mut hub.state.borrow_mut().indexes {
            Some(indexes) => indexes.much_to_read(),
            None => Vec::new(),
        };
        if found.is_empty() {
            break false;
        }
        for (number, reading) in found {
            let Ok(read) = tokio::task::spawn_blocking(move || reading.read()).await else {
                break;
            };
            if let Some(indexes) = &mut hub.state.borrow_mut().indexes {
                indexes.enter(number, read);
            }
        }
    };
    let postponed = {
        let state = &mut *hub.state.borrow_mut();
        state.readings.under_way -= 1;
        if state.readings.under_way > 0 {
            return;
        }
        // What is still on the move is so for these jobs.
        if let Some(indexes) = state.indexes.as_mut().filter(|_| is_restless) {
            indexes.lose_patience();
        }
        std::mem::take(&mut state.readings.postponed)
    };
    for it in postponed {
        let event = match it.is_cancelled {
            true => Some(Event::RunCancelled { run: it.run }),
            false => {
                let state = &mut *hub.state.borrow_mut();
                state.start_now((it.run, it.job), it.pod, it.tool_index)
            }
        };
        if let Some(event) = event {
            hub.handle(event);
        }
    }
}
