//! What the operator sees of the scheduler.

use super::state::{Core, Record};
use super::types::{Capabilities, JobId, PodId, RunId, Time};

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that came.
    pub submitted: u64,
    /// Runs that were started.
    pub started: u64,
    /// Jobs whose result was relayed.
    pub finished: u64,
    /// Jobs handed back to run locally.
    pub locally: u64,
    /// Jobs refused.
    pub refused: u64,
    /// Jobs whose client went away.
    pub abandoned: u64,
    /// Runs lost with their pod or by its fault.
    pub given_back: u64,
    /// Runs that waited on their pod and were taken back for another's free slot.
    pub taken_back: u64,
    /// Faults of pods.
    pub faults: u64,
    /// Duplicate, late or unknown messages, which were ignored.
    pub strays: u64,
}

/// How a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// It takes jobs.
    Up,
    /// It failed and gets one job at a time until one succeeds.
    OnTrial,
    /// It failed and takes no jobs until then.
    Resting {
        /// The end of the rest.
        until: Time,
    },
    /// It is not connected.
    Lost,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct PodView<'a> {
    /// Its number; none if it is not connected.
    pub pod: Option<PodId>,
    /// Its name.
    pub name: &'a str,
    /// How it is.
    pub state: PodState,
    /// Its last trouble; empty if it had none.
    pub why: &'a str,
    /// What it offers; none if it is not connected.
    pub capabilities: Option<&'a Capabilities>,
    /// Runs there now.
    pub running: usize,
    /// Runs that ended there by themselves.
    pub finished: u64,
    /// Slot time used, in microseconds.
    pub busy_us: u64,
}

impl<'a> PodView<'a> {
    fn new(name: &'a str, record: &'a Record) -> Self {
        Self {
            pod: None,
            name,
            state: PodState::Lost,
            why: &record.why,
            capabilities: None,
            running: 0,
            finished: record.finished,
            busy_us: record.busy_us,
        }
    }
}

impl Core {
    /// Every pod: connected ones by number, then lost ones by name.
    pub fn pods(&self) -> impl Iterator<Item = PodView<'_>> {
        let connected = self.pods.iter().map(|(&id, pod)| {
            let penalty = &pod.record.penalty;
            let state = if penalty.is_resting(self.now) {
                let until = penalty.until();
                PodState::Resting { until }
            } else if penalty.is_on_trial() {
                PodState::OnTrial
            } else {
                PodState::Up
            };
            PodView {
                pod: Some(id),
                state,
                capabilities: Some(&pod.capabilities),
                running: pod.runs.len(),
                ..PodView::new(&pod.name, &pod.record)
            }
        });
        let lost = self.past.iter();
        connected.chain(lost.map(|(name, past)| PodView::new(name, &past.record)))
    }

    /// Jobs that wait for a pod.
    pub fn waiting(&self) -> usize {
        self.queue.waiting
    }

    /// Runs on pods, cancelled ones included until they are gone.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// What was counted.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Where a job runs; none while it waits and after its end.
    pub fn run_of(&self, job: JobId) -> Option<(RunId, PodId)> {
        let run = self.jobs.get(&job)?.run?;
        Some((run, self.runs.get(&run)?.pod))
    }
}
