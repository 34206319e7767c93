//! The hub's state: the core, and who is at the other end of what it decides.
//!
//! Translates between wire messages and core events; decides nothing itself.

mod start;

use super::bootstrap::Served;
use super::choice::{Choice, NoCopy, Surveyed};
use super::clock::Stamper;
use super::config::{Config, PodConfig};
use super::identity::{Identities, Own};
use super::ledger::{Flow, Ledger};
use super::mirror::{Indexes, Mirror};
use super::outbox::Outbox;
use super::reading::Readings;
use super::status::Counted;
use super::system::System;
use crate::paths::Roots;
use crate::sched::{Action, ClientId, Core, Event, JobId, Limits, PodId, RunId, Time};
use crate::wire::messages::{ClientKey, Finished, JobNumber, Offer, Stamp, ToClient, ToPod};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Why a pod is down that was not yet tried.
pub const NOT_YET: &str = "not yet connected";

/// Clients remembered; more are counted anew.
const MOST_CLIENTS: usize = 4096;

/// The hub.
#[derive(Debug)]
pub(super) struct Hub {
    config: Rc<Config>,
    pub(super) identities: Identities,
    begun: Instant,
    pub(super) state: RefCell<State>,
    /// What is known of the roots without an index.
    pub(super) surveyed: Surveyed,
    /// One walk at a time, of the roots or of what the system has.
    pub(super) walking: tokio::sync::Mutex<()>,
    /// Pods were taken into use or out of it.
    pub(super) wanted: Notify,
    /// The core's next time-out may have changed.
    pub(super) tick: Notify,
    stopping: Cell<bool>,
    stop: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Core,
    pub(super) next_job: u64,
    clients: HashMap<ClientKey, ClientId>,
    stamper: Stamper,
    pub(super) jobs: HashMap<JobId, Waiting>,
    pub(super) runs: HashMap<RunId, Running>,
    pub(super) pods: Vec<Pod>,
    pub(super) counts: Counts,
    /// What was done for the last jobs.
    pub(super) ledger: Ledger,
    /// Once a pod has a mirror.
    pub(super) indexes: Option<Indexes>,
    /// What is read of the roots beside, and what waits for it.
    pub(super) readings: Readings,
    /// What was counted of these.
    pub(super) counted: Counted,
    /// What there is in these beside the roots.
    pub(super) system: System,
}

/// A job whose wrapper waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) outbox: Rc<Outbox>,
    /// The hub's own tool for it, if it has one.
    pub(super) own: Option<Rc<Own>>,
    pub(super) task: Vec<u8>,
    pub(super) run: Option<RunId>,
    pub(super) tool: String,
    pub(super) program: String,
    pub(super) since: Instant,
}

/// A job on a pod.
#[derive(Debug)]
pub(super) struct Running {
    job: JobId,
    pub(super) pod: PodId,
    /// When its state of the files was fixed.
    stamp: Stamp,
    pub(super) finished: Option<Finished>,
}

/// A configured pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) config: PodConfig,
    /// Whether it shall be used.
    pub(super) wanted: bool,
    pub(super) outbox: Option<Rc<Outbox>>,
    pub(super) offer: Offer,
    /// How it comes to the files.
    pub(super) choice: Choice,
    /// Why it shall have no copy of them, if so.
    pub(super) no_copy: Option<NoCopy>,
    /// What its mirror was told, where it has one.
    pub(super) mirror: Mirror,
    /// What came of that.
    pub(super) flow: Flow,
    /// There is content to be sent beside everything else.
    pub(super) due: Rc<Notify>,
    /// Which worker it has.
    pub(super) served: Served,
    /// What was told last of why it has that.
    pub(super) told: String,
    /// Why it is not connected.
    pub(super) why: String,
    /// When it was connected and offered something, last.
    pub(super) up_since: Option<Instant>,
    /// It was not tried yet, or was cut off a moment ago after it had served well.
    pub(super) is_expected: bool,
    /// When it was given a job, last.
    pub(super) used: Option<Instant>,
}

/// What `cpods status` and the summary count.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) local: BTreeMap<String, u64>,
}

impl Hub {
    pub(super) fn new(config: Config) -> Rc<Self> {
        let pods = config.pods.iter().map(|pod| Pod {
            config: pod.clone(),
            wanted: true,
            outbox: None,
            offer: Offer::default(),
            choice: Choice::at_first(pod),
            no_copy: None,
            mirror: Mirror::default(),
            flow: Flow::default(),
            due: Rc::default(),
            served: Served::default(),
            told: String::new(),
            why: NOT_YET.into(),
            up_since: None,
            is_expected: true,
            used: None,
        });
        let limits = Limits {
            patience_us: u64::try_from(config.patience.as_micros()).unwrap_or(u64::MAX),
            ..Limits::default()
        };
        let state = State {
            core: Core::new(limits),
            next_job: 0,
            clients: HashMap::new(),
            stamper: Stamper::new(),
            jobs: HashMap::new(),
            runs: HashMap::new(),
            pods: pods.collect(),
            counts: Counts::default(),
            ledger: Ledger::of(&config.roots),
            indexes: None,
            readings: Readings::default(),
            counted: Counted::default(),
            system: System::of(&config.roots),
        };
        let hub = Rc::new(Self {
            identities: Identities::new(Arc::clone(&config.rules), config.relaxed.clone()),
            config: Rc::new(config),
            begun: Instant::now(),
            state: RefCell::new(state),
            surveyed: Surveyed::default(),
            walking: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            tick: Notify::new(),
            stopping: Cell::new(false),
            stop: Notify::new(),
        });
        for pod in &hub.config.pods {
            let (name, why) = (pod.name.clone(), NOT_YET.to_owned());
            hub.handle(Event::PodAwaited { name, why });
        }
        hub
    }

    pub(super) fn config(&self) -> &Rc<Config> {
        &self.config
    }

    pub(super) fn roots(&self) -> &Roots {
        &self.config.roots
    }

    /// A look at the state.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.borrow())
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
    }

    /// Waits for the stop.
    pub(super) async fn stopped(&self) {
        let told = self.stop.notified();
        if !self.is_stopping() {
            told.await;
        }
    }

    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn handle(&self, event: Event) {
        let ended = match &event {
            Event::RunFinished { run, .. }
            | Event::RunFaulted { run, .. }
            | Event::RunDeclined { run, .. }
            | Event::RunUnfit { run, .. }
            | Event::RunCancelled { run } => Some(*run),
            _ => None,
        };
        let now = self.now();
        let mut state = self.state.borrow_mut();
        state.core.handle(now, event);
        state.act(now);
        if let Some(run) = ended {
            state.runs.remove(&run);
        }
        drop(state);
        self.tick.notify_one();
    }
}

impl State {
    pub(super) fn client(&mut self, key: ClientKey) -> ClientId {
        if self.clients.len() >= MOST_CLIENTS {
            self.clients.clear();
        }
        // A build's process is named once in a boot: its number is the client's.
        let fresh = ClientId(key.started << 22 ^ u64::from(key.pid));
        *self.clients.entry(key).or_insert(fresh)
    }

    /// The wrapper that waits for this run, if the run still counts.
    pub(super) fn running(&self, run: RunId, pod: PodId) -> Option<&Waiting> {
        let running = self.runs.get(&run).filter(|running| running.pod == pod)?;
        self.jobs
            .get(&running.job)
            .filter(|waiting| waiting.run == Some(run))
    }

    /// Does what the core wants done.
    pub(super) fn act(&mut self, now: Time) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::StartRun {
                    run,
                    job,
                    pod,
                    tool_index,
                } => {
                    if let Some(event) = self.start((run, job), pod, tool_index) {
                        self.core.handle(now, event);
                    }
                }
                Action::CancelRun { run, .. } | Action::RecallRun { run, .. }
                    if self.readings.cancel(run) => {}
                Action::CancelRun { run, pod } => {
                    let job = JobNumber(run.0);
                    self.tell(pod, &ToPod::Cancel { job });
                }
                Action::RecallRun { run, pod } => {
                    let job = JobNumber(run.0);
                    self.tell(pod, &ToPod::Recall { job });
                }
                Action::FinishJob { job, run } => self.finish(job, run),
                Action::RunLocally { job, why } => {
                    *self.counts.local.entry(why.clone()).or_default() += 1;
                    self.answer(job, &ToClient::RunLocally { why });
                }
                Action::RefuseJob { job, why } => self.answer(job, &ToClient::Refused { why }),
            }
        }
    }

    fn tell(&self, pod: PodId, message: &ToPod) {
        if let Some(outbox) = &self.pods[pod.0 as usize].outbox {
            let _ = outbox.message(message);
        }
    }

    fn finish(&mut self, job: JobId, run: RunId) {
        let Some(finished) = self
            .runs
            .get_mut(&run)
            .and_then(|running| running.finished.take())
        else {
            return;
        };
        self.counts.finished += 1;
        self.counts.failed += u64::from(!finished.ending.is_success());
        self.answer(job, &ToClient::Finished(finished));
    }

    /// The last word to a wrapper.
    fn answer(&mut self, job: JobId, message: &ToClient) {
        if let Some(waiting) = self.jobs.remove(&job) {
            let _ = waiting.outbox.message(message);
        }
    }
}
