//! What the scheduler remembers: pods, jobs, runs. The handlers stand in their own files.

use super::bits::Bits;
use super::class::Classes;
use super::penalty::Penalty;
use super::queue::Queue;
use super::ready::Seat;
use super::types::{Action, Capabilities, ClientId, JobId, Limits, PodId, Request, RunId, Time};
use super::view::Totals;
use super::waiting::Awaited;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A kind of job: all that need the same of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassId(pub(super) usize);

/// The scheduler's core. See the module's text.
#[derive(Debug)]
pub struct Core {
    pub(super) limits: Limits,
    /// The latest time seen; never goes back.
    pub(super) now: Time,
    pub(super) pods: BTreeMap<PodId, Pod>,
    /// Pods with more runs than slots, fullest first.
    pub(super) crowded: BTreeSet<(Reverse<u64>, PodId)>,
    /// Which pod sits where in the sets of ready pods.
    pub(super) seats: Vec<Option<PodId>>,
    /// Pods that may join at any moment.
    pub(super) awaited: Awaited,
    /// Lost pods by name.
    pub(super) past: BTreeMap<String, Past>,
    /// Boxed, since the map moves its values about.
    pub(super) jobs: BTreeMap<JobId, Box<Job>>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) classes: Classes,
    pub(super) queue: Queue,
    /// How long a run of each tool takes in the mean, in microseconds.
    pub(super) means_us: BTreeMap<String, u64>,
    /// When jobs that no pod fits are refused.
    pub(super) deadlines: BTreeSet<(Time, JobId)>,
    /// When pods' rests end.
    pub(super) wakes: BTreeSet<(Time, PodId)>,
    pub(super) actions: VecDeque<Action>,
    pub(super) totals: Totals,
    pub(super) next_run: u64,
    pub(super) next_seq: u64,
}

/// A connected pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) seat: Seat,
    pub(super) capabilities: Capabilities,
    /// Runs there, cancelled ones included until they are gone.
    pub(super) runs: BTreeSet<RunId>,
    /// The classes for which it is eligible, by number.
    pub(super) classes: Bits,
    /// How crowded it is, if it is.
    pub(super) crowd: Option<Reverse<u64>>,
    /// Runs that are being taken back from other pods for its free slots.
    pub(super) coming: u32,
    pub(super) record: Record,
}

/// What is kept of a pod beyond a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) penalty: Penalty,
    /// Its last trouble, for people.
    pub(super) why: String,
    /// For each tool, its wall time against that of all pods, in 1/1024.
    pub(super) speeds: BTreeMap<String, u32>,
    pub(super) finished: u64,
    pub(super) busy_us: u64,
    /// Declined since a run last ended there by itself.
    pub(super) declines_in_a_row: u32,
    /// How long a slot stays empty between two runs, if nothing is given ahead.
    pub(super) lag_us: Option<u64>,
    /// How long the runs took of which that is known, in the mean.
    pub(super) wall_us: u64,
}

/// A pod that was lost.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) lost: Time,
    pub(super) record: Record,
}

/// A job that has not ended.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) class: ClassId,
    /// Its place in the order of submission, kept when it is given back.
    pub(super) seq: u64,
    /// Runs lost to pods.
    pub(super) tries: u32,
    /// Pods that declined it, in order.
    pub(super) declined: Vec<PodId>,
    /// What last went wrong, for people.
    pub(super) trouble: String,
    /// When it is refused unless a pod comes.
    pub(super) deadline: Option<Time>,
    /// Where it runs; none while it waits.
    pub(super) run: Option<RunId>,
}

/// A job on a pod.
#[derive(Debug)]
pub(super) struct Run {
    /// None once it is cancelled.
    pub(super) job: Option<JobId>,
    pub(super) pod: PodId,
    pub(super) client: ClientId,
    /// What the client was charged for it in advance.
    pub(super) charged_us: u64,
    pub(super) started: Time,
    /// There was a free slot for it.
    pub(super) at_once: bool,
    /// The pod with a free slot for which it is taken back.
    pub(super) taken_back_for: Option<PodId>,
}

impl Pod {
    /// Runs it may have at a time when all is well.
    pub(super) fn full_limit(&self, limits: &Limits) -> u32 {
        self.capabilities.slots.saturating_add(self.ahead(limits))
    }

    /// Runs it may have now.
    pub(super) fn limit(&self, now: Time, limits: &Limits) -> u32 {
        if self.record.penalty.is_resting(now) {
            0
        } else if self.record.penalty.is_on_trial() {
            self.capabilities.slots.min(1)
        } else {
            self.full_limit(limits)
        }
    }

    /// Runs it has, as its slots are counted.
    pub(super) fn load(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }
}

impl Core {
    /// A core without pods or jobs.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: Time::default(),
            pods: BTreeMap::new(),
            crowded: BTreeSet::new(),
            seats: Vec::new(),
            awaited: Awaited::default(),
            past: BTreeMap::new(),
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            classes: Classes::default(),
            queue: Queue::default(),
            means_us: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            wakes: BTreeSet::new(),
            actions: VecDeque::new(),
            totals: Totals::default(),
            next_run: 0,
            next_seq: 0,
        }
    }
}
