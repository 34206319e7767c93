//! What pods say, turned into events for the core and messages for wrappers.

use super::bootstrap::Served;
use super::config::Config;
use super::identity::{Own, by_version};
use super::outbox::Outbox;
use super::pod::LONG_ENOUGH;
use super::state::{Hub, Pod, State};
use super::system::{self, Comes, System};
use crate::job::{Ending, Need};
use crate::sched::{Capabilities, Capability, Event, PodId, RunId};
use crate::wire::frame::{FrameError, Kind, split_data};
use crate::wire::messages::{FromPod, JobNumber, Offer, ToClient, ViewKind};
use crate::wire::status::ServedBy;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a wrapper that was stopped in mid-job may keep others of its pod waiting.
const SLOWEST_CLIENT: Duration = Duration::from_secs(10);

impl Hub {
    /// Takes a pod into use or out of it.
    pub(super) fn want(&self, name: &str, wanted: bool) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let pod = state.pods.iter_mut().find(|pod| pod.config.name == name);
        let pod = pod.ok_or_else(|| format!("this hub has no pod `{name}`"))?;
        pod.wanted = wanted;
        // Who asks again may have made room.
        pod.no_copy = None;
        self.wanted.notify_waiters();
        pod.is_expected = wanted;
        let is_up = pod.outbox.is_some();
        let why = pod.why.clone();
        drop(state);
        if wanted && !is_up {
            let name = name.to_owned();
            self.handle(Event::PodAwaited { name, why });
        }
        Ok(())
    }

    /// Why a job cannot leave this machine: it searches directories of the system's that the tool's
    /// identity does not cover. (This machine's own pod has the same, of course.)
    pub(super) fn why_not_elsewhere(&self, need: &Need, own: Option<&Own>) -> Option<String> {
        let own = own.filter(|_| self.config().pods.iter().any(|pod| !pod.is_own()))?;
        let dir = need.system_dirs.iter().find(|dir| !own.covers(dir))?;
        let dir = dir.display();
        Some(format!("searches `{dir}`, which pods may have otherwise"))
    }

    pub(super) fn is_wanted(&self, index: u32) -> bool {
        self.look(|state| state.pods[index as usize].wanted)
    }

    /// Waits until a pod shall be used; false if the hub stops instead.
    pub(super) async fn wait_until_wanted(&self, index: u32) -> bool {
        while !self.is_stopping() {
            let changed = self.wanted.notified();
            if self.is_wanted(index) {
                return true;
            }
            tokio::select! {
                () = changed => {}
                () = self.stopped() => {}
            }
        }
        false
    }

    /// Waits until a pod shall not be used, or the hub stops.
    pub(super) async fn until_unneeded(&self, index: u32) {
        tokio::select! {
            () = self.until_unwanted(index) => {}
            () = self.stopped() => {}
        }
    }

    async fn until_unwanted(&self, index: u32) {
        loop {
            let changed = self.wanted.notified();
            if !self.is_wanted(index) {
                return;
            }
            changed.await;
        }
    }

    /// Which worker a pod has now, none between two. What should be otherwise is told once.
    pub(super) fn pod_is_served(&self, index: u32, served: &Served) {
        let mut state = self.state.borrow_mut();
        let pod = &mut state.pods[index as usize];
        pod.served = served.clone();
        if served.by != ServedBy::None && pod.told != served.why {
            pod.told.clone_from(&served.why);
            match served.why.as_str() {
                "" => tracing::info!("pod `{}` has the worker `{}`", pod.config.name, served.by),
                why => tracing::warn!("pod `{}`: {why}", pod.config.name),
            }
        }
    }

    /// A connection ended, or none came about; perhaps it is to be opened anew at once.
    pub(super) fn pod_lost(&self, index: u32, why: &str, is_anew: bool) {
        let (was_up, is_expected) = {
            let mut state = self.state.borrow_mut();
            state.readings.pod_lost(PodId(index));
            let pod = &mut state.pods[index as usize];
            let was_up = pod.outbox.take().is_some();
            let well = |since: Instant| since.elapsed() > LONG_ENOUGH;
            let is_well = pod.up_since.is_some_and(well) || pod.offer.slots == 0;
            pod.is_expected = pod.wanted && (is_anew || was_up && is_well);
            (was_up, pod.is_expected)
        };
        // Said before it is lost, so that its jobs wait for it where no other pod takes them.
        if is_expected {
            self.pod_is_away(index, why);
        }
        if was_up {
            let (pod, why) = (PodId(index), why.to_owned());
            self.handle(Event::PodLost { pod, why });
        }
        if !is_expected {
            self.pod_is_away(index, why);
        }
    }

    /// Why a pod is away, as far as is known now; told, if that is new.
    pub(super) fn pod_is_away(&self, index: u32, why: &str) {
        let why = why.to_owned();
        let event = {
            let pod = &mut self.state.borrow_mut().pods[index as usize];
            if pod.why != why {
                tracing::warn!("pod `{}`: {why}", pod.config.name);
                pod.why.clone_from(&why);
            }
            let name = pod.config.name.clone();
            match pod.is_expected {
                true => Event::PodAwaited { name, why },
                false => Event::PodMissed { name, why },
            }
        };
        self.handle(event);
    }

    /// A pod says what it can do. Jobs that wait go on waiting for it while it is made ready for them.
    pub(super) fn pod_offers(self: &Rc<Self>, index: u32, offer: Offer, outbox: &Rc<Outbox>) {
        let id = PodId(index);
        let (before, name) = self.look(|state| {
            let pod = &state.pods[index as usize];
            let is_up = pod.outbox.is_some();
            let before = is_up.then(|| self.capabilities(state, pod));
            (before, pod.config.name.clone())
        });
        let capabilities = {
            let state = &mut *self.state.borrow_mut();
            let pod = &mut state.pods[index as usize];
            tracing::info!(
                "pod `{name}` offers {} slots, {} tools",
                offer.slots,
                offer.tools.len()
            );
            pod.offer = offer;
            pod.why.clear();
            if pod.outbox.replace(Rc::clone(outbox)).is_none() {
                pod.up_since = Some(Instant::now());
            }
            self.capabilities(state, &state.pods[index as usize])
        };
        // One that has no room for a moment, as one that ends to begin anew, is soon back.
        if capabilities.slots == 0 && before.as_ref().is_some_and(|it| it.slots > 0) {
            let (name, why) = (name.clone(), "it has no room".to_owned());
            self.handle(Event::PodAwaited { name, why });
        }
        self.handle(match before {
            Some(_) => Event::PodChanged {
                pod: id,
                capabilities,
            },
            None => Event::PodJoined {
                pod: id,
                name,
                capabilities,
            },
        });
        let hub = Rc::clone(self);
        tokio::task::spawn_local(async move {
            hub.make_ready_for_all().await;
            hub.handle(Event::PodReady { pod: id });
        });
    }

    fn capabilities(&self, state: &State, pod: &Pod) -> Capabilities {
        capabilities(&pod.offer, &state.system, self.config(), pod.comes())
    }

    /// Makes ready what connected pods could do with of the tools of all jobs that there are.
    async fn make_ready_for_all(&self) {
        let tools: BTreeMap<_, _> = self.look(|state| {
            let tools = state.jobs.values().filter_map(|job| {
                let own = Rc::clone(job.own.as_ref()?);
                Some(((job.tool.clone(), job.program.clone(), own.full), own))
            });
            tools.collect()
        });
        for ((tool, program, _), own) in &tools {
            system::make_ready(self, (tool, program), own).await;
        }
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
            FromPod::Output {
                job,
                index,
                wrote,
                packed,
            } => {
                let state = self.state.borrow();
                if let Some(waiting) = state.running(RunId(job.0), pod) {
                    let output = ToClient::Output {
                        index,
                        wrote,
                        packed,
                    };
                    waiting.outbox.message(&output)?;
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
                let mut state = self.state.borrow_mut();
                let made = finished.digests.iter().map(|(_, digest)| *digest);
                state.pods[index as usize].mirror.made(made);
                state.ledger.end(run, finished.usage.wall_us);
                if let Some(running) = state.runs.get_mut(&run) {
                    running.finished = Some(finished);
                }
                drop(state);
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
            FromPod::Again { job, why } => {
                tracing::debug!("a job is run again there: {why}");
                let state = &mut *self.state.borrow_mut();
                state.pods[pod.0 as usize].flow.counts.reruns += 1;
                state.placed_again(RunId(job.0), pod);
                return Ok(());
            }
            FromPod::Offer(_)
            | FromPod::Proved { .. }
            | FromPod::Trouble { .. }
            | FromPod::Pong
            | FromPod::Mount { .. }
            | FromPod::Lacks { .. }
            | FromPod::Opened { .. }
            | FromPod::Without { .. } => return Ok(()),
        };
        self.handle(event);
        Ok(())
    }
}

/// The run that a message is about.
fn about(message: &FromPod) -> Option<JobNumber> {
    match message {
        FromPod::Offer(_)
        | FromPod::Proved { .. }
        | FromPod::Trouble { .. }
        | FromPod::Pong
        | FromPod::Mount { .. }
        | FromPod::Lacks { .. }
        | FromPod::Opened { .. }
        | FromPod::Without { .. } => None,
        FromPod::Again { job, .. } => Some(*job),
        FromPod::Output { job, .. }
        | FromPod::Finished { job, .. }
        | FromPod::Fault { job, .. }
        | FromPod::Declined { job, .. }
        | FromPod::Cancelled { job } => Some(*job),
    }
}

/// What the core is told of a pod: what it offers, less what the configuration forbids. A tool that
/// may not be used keeps its place, since jobs name tools by it.
pub(super) fn capabilities(
    offer: &Offer,
    system: &System,
    config: &Config,
    (pod, files): Comes<'_>,
) -> Capabilities {
    let tools = offer.tools.iter().map(|tool| Capability {
        tool: if pod.allows(&tool.tool) {
            tool.tool.clone()
        } else {
            String::new()
        },
        program: tool.program.clone(),
        identity: match config.relaxed.contains(&tool.tool) {
            true => by_version(tool),
            false => tool.identity,
        },
        bare: system.bare(tool, offer, files),
    });
    Capabilities {
        slots: if offer.view == ViewKind::None {
            0
        } else {
            offer.slots.min(pod.slots.unwrap_or(u32::MAX))
        },
        overlay: offer.view == ViewKind::Overlay,
        own: pod.is_own(),
        machine: offer.machine.clone(),
        tools: tools.chain(system.sent(offer, (pod, files))).collect(),
    }
}
