//! What pods say, turned into events for the core and messages for wrappers.

use super::outbox::Outbox;
use super::state::Hub;
use crate::job::Ending;
use crate::sched::{Capabilities, Capability, Event, PodId, RunId};
use crate::wire::frame::{FrameError, Kind, split_data};
use crate::wire::messages::{FromPod, JobNumber, Offer, ToClient, ViewKind};
use std::rc::Rc;
use std::time::Duration;

/// How long a wrapper that was stopped in mid-job may keep others of its pod waiting.
const SLOWEST_CLIENT: Duration = Duration::from_secs(10);

impl Hub {
    pub(super) fn pod_lost(&self, index: u32, why: &str) {
        let was_up = {
            let mut state = self.state.borrow_mut();
            let pod = &mut state.pods[index as usize];
            let was_up = pod.outbox.take().is_some();
            if was_up || pod.why != why {
                tracing::warn!("pod `{}`: {why}", pod.name);
            }
            pod.why = why.to_owned();
            was_up
        };
        if was_up {
            self.handle(Event::PodLost {
                pod: PodId(index),
                why: why.to_owned(),
            });
        }
    }

    pub(super) fn pod_offers(&self, index: u32, offer: Offer, outbox: &Rc<Outbox>) {
        let event = {
            let mut state = self.state.borrow_mut();
            let pod = &mut state.pods[index as usize];
            let capabilities = capabilities(&offer, pod.own);
            tracing::info!(
                "pod `{}` offers {} slots, {} tools",
                pod.name,
                offer.slots,
                offer.tools.len()
            );
            pod.offer = offer;
            pod.why.clear();
            match pod.outbox.replace(Rc::clone(outbox)) {
                Some(_) => Event::PodChanged {
                    pod: PodId(index),
                    capabilities,
                },
                None => Event::PodJoined {
                    pod: PodId(index),
                    name: pod.name.clone(),
                    capabilities,
                },
            }
        };
        self.handle(event);
    }

    /// Passes a piece of a stream on to the wrapper; returns its outbox if that is full.
    pub(super) fn pod_data(
        &self,
        index: u32,
        payload: Vec<u8>,
    ) -> Result<Option<Rc<Outbox>>, FrameError> {
        let (number, ..) = split_data(&payload)?;
        let state = self.state.borrow();
        let Some(waiting) = state.running(RunId(number), PodId(index)) else {
            return Ok(None);
        };
        waiting.outbox.frame(Kind::Data, payload);
        Ok(waiting.outbox.is_full().then(|| Rc::clone(&waiting.outbox)))
    }

    /// Waits for a slow wrapper, but not for ever: one that does not read is given up.
    pub(super) async fn wait_for(&self, full: &Rc<Outbox>) {
        if tokio::time::timeout(SLOWEST_CLIENT, full.room())
            .await
            .is_err()
        {
            full.close();
        }
    }

    pub(super) fn pod_says(&self, index: u32, message: FromPod) -> Result<(), FrameError> {
        let pod = PodId(index);
        if let Some(job) = about(&message)
            && self.look(|state| {
                state
                    .runs
                    .get(&RunId(job.0))
                    .is_none_or(|run| run.pod != pod)
            })
        {
            // Of a run that no longer counts, or of another pod's.
            return Ok(());
        }
        let event = match message {
            FromPod::Output { job, index, wrote } => {
                let state = self.state.borrow();
                if let Some(waiting) = state.running(RunId(job.0), pod) {
                    waiting.outbox.message(&ToClient::Output { index, wrote })?;
                }
                return Ok(());
            }
            FromPod::Finished { job, finished } => {
                let run = RunId(job.0);
                let event = Event::RunFinished {
                    run,
                    success: finished.ending.is_success(),
                    signalled: matches!(finished.ending, Ending::Signalled(_)),
                    wall_us: finished.usage.wall_us,
                };
                if let Some(running) = self.state.borrow_mut().runs.get_mut(&run) {
                    running.finished = Some(finished);
                }
                event
            }
            FromPod::Fault { job, why } => {
                tracing::warn!("a pod's fault: {why}");
                Event::RunFaulted {
                    run: RunId(job.0),
                    why,
                }
            }
            FromPod::Declined { job, why } => Event::RunDeclined {
                run: RunId(job.0),
                why,
            },
            FromPod::Cancelled { job } => Event::RunCancelled { run: RunId(job.0) },
            FromPod::Offer(_) | FromPod::Pong => return Ok(()),
        };
        self.handle(event);
        Ok(())
    }
}

/// The run that a message is about.
fn about(message: &FromPod) -> Option<JobNumber> {
    match message {
        FromPod::Offer(_) | FromPod::Pong => None,
        FromPod::Output { job, .. }
        | FromPod::Finished { job, .. }
        | FromPod::Fault { job, .. }
        | FromPod::Declined { job, .. }
        | FromPod::Cancelled { job } => Some(*job),
    }
}

fn capabilities(offer: &Offer, own: bool) -> Capabilities {
    let tools = offer.tools.iter().map(|tool| Capability {
        tool: tool.tool.clone(),
        program: tool.program.clone(),
        identity: tool.identity,
    });
    Capabilities {
        slots: if offer.view == ViewKind::None {
            0
        } else {
            offer.slots
        },
        overlay: offer.view == ViewKind::Overlay,
        own,
        machine: offer.machine.clone(),
        tools: tools.collect(),
    }
}
