//! What goes into the scheduler and what comes out of it. Plain data.

use crate::job::Digest;

/// A point on a monotonic clock that the caller owns, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// So many microseconds later.
    #[must_use]
    pub fn after_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`; 0 if it is later.
    #[must_use]
    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
    )*};
}

ids! {
    /// A connected pod, numbered by the caller. May be used again once the pod was lost.
    PodId(u32);
    /// A job, numbered by the caller, never twice.
    JobId(u64);
    /// One try of one job on one pod, numbered by the core, never twice.
    RunId(u64);
    /// One build, numbered by the caller.
    ClientId(u64);
}

/// A tool that a pod offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The rule's name.
    pub tool: String,
    /// The program's name on the pod.
    pub program: String,
    /// Everything that decides its results.
    pub identity: Digest,
    /// The same but for its headers, if jobs on this pod can be shown the hub's.
    pub bare: Option<Digest>,
}

/// What a pod can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Jobs at a time; a pod with none takes no jobs.
    pub slots: u32,
    /// Whether it proved the overlay view.
    pub overlay: bool,
    /// Whether it is the hub's own machine. Nothing is pre-loaded there.
    pub own: bool,
    /// `x86_64`, `aarch64`; for explanations only.
    pub machine: String,
    /// Its tools, in the order of its offer.
    pub tools: Vec<Capability>,
}

/// What a job needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose job it is.
    pub client: ClientId,
    /// The client's share against others; 1 is ordinary, 0 counts as 1. The latest one holds.
    pub weight: u32,
    /// The rule's name.
    pub tool: String,
    /// The program's name, as it was called.
    pub program: String,
    /// The identity it must have; none where the hub lacks the tool, then the name decides.
    pub identity: Option<Digest>,
    /// The same but for its headers, where a pod that is shown the hub's need have no more; none
    /// of a tool that has none.
    pub bare: Option<Digest>,
    /// Other tools that the pod must have, by rule name.
    pub needs: Vec<String>,
    /// Whether only the overlay view gives identical bytes.
    pub overlay_only: bool,
    /// Whether the job may be handed back to run locally.
    pub hub_has_tool: bool,
    /// How often it was given back before it came here (by a hub that died).
    pub tries: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod is connected and proved what it can do. A known id counts as lost first.
    PodJoined {
        /// Its number.
        pod: PodId,
        /// Its name. Speed and penalty are remembered by it.
        name: String,
        /// What it can do.
        capabilities: Capabilities,
    },
    /// It can do something else now. Runs on it go on.
    PodChanged {
        /// Which.
        pod: PodId,
        /// What it can do.
        capabilities: Capabilities,
    },
    /// It died, hangs, was cut off or broke the protocol. Its runs are void.
    PodLost {
        /// Which.
        pod: PodId,
        /// Why, for people.
        why: String,
    },
    /// A pod that should be there is not, will not be soon, and why. It counts where pods are counted for people.
    PodMissed {
        /// Its name.
        name: String,
        /// Why, for people.
        why: String,
    },
    /// A pod may join at any moment, or have room again: jobs that no other pod may run wait for it. It
    /// is awaited until it is ready, is missed, or the jobs' patience is over.
    PodAwaited {
        /// Its name.
        name: String,
        /// Why it is not there yet, for people.
        why: String,
    },
    /// A connected pod will not be able to do more soon than it can now.
    PodReady {
        /// Which.
        pod: PodId,
    },
    /// A client has a job.
    JobSubmitted {
        /// Its number.
        job: JobId,
        /// What it needs.
        request: Request,
    },
    /// The job's client went away.
    JobAbandoned {
        /// Which.
        job: JobId,
    },
    /// The tool ran to its end on the pod.
    RunFinished {
        /// Which.
        run: RunId,
        /// Exit code 0.
        success: bool,
        /// The tool died by a signal that the pod did not send.
        signalled: bool,
        /// From the tool's start to its end, by the pod's clock.
        wall_us: u64,
    },
    /// The pod failed, not the tool.
    RunFaulted {
        /// Which.
        run: RunId,
        /// What is wrong with the pod.
        why: String,
    },
    /// The pod is well, but cannot run this job.
    RunDeclined {
        /// Which.
        run: RunId,
        /// Why.
        why: String,
    },
    /// The job is not for this pod, as was found when it was to start; it does not count against it.
    RunUnfit {
        /// Which.
        run: RunId,
        /// Why.
        why: String,
    },
    /// A cancelled run is gone with all its processes.
    RunCancelled {
        /// Which.
        run: RunId,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the job to the pod.
    StartRun {
        /// This try's number.
        run: RunId,
        /// The job.
        job: JobId,
        /// The pod.
        pod: PodId,
        /// Which of the pod's offered tools, in the order of its last offer.
        tool_index: usize,
    },
    /// Kill it on the pod. Its slot stays taken until the pod says that it ended.
    CancelRun {
        /// The try.
        run: RunId,
        /// The pod.
        pod: PodId,
    },
    /// Take it back from the pod if it has not begun: then the pod says that it was cancelled, and
    /// the job is placed anew. Otherwise nothing comes of this.
    RecallRun {
        /// The try.
        run: RunId,
        /// The pod.
        pod: PodId,
    },
    /// Relay the result of this run to the client; the job's end.
    FinishJob {
        /// The job.
        job: JobId,
        /// The run whose result counts.
        run: RunId,
    },
    /// The client shall run it itself; the job's end.
    RunLocally {
        /// The job.
        job: JobId,
        /// Why.
        why: String,
    },
    /// It can be run nowhere; the job's end.
    RefuseJob {
        /// The job.
        job: JobId,
        /// What was looked for, and which pods exist and offer what.
        why: String,
    },
}

/// How far the core goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Runs that a job may lose to pods before it is handed back.
    pub tries: u32,
    /// Jobs that may wait, of all clients.
    pub waiting: usize,
    /// Jobs that may wait, of one client.
    pub waiting_per_client: usize,
    /// How long a job waits for a pod that may join at any moment, and one that cannot run locally
    /// for any that offers its tool.
    pub patience_us: u64,
    /// A pod is pre-loaded with its slots divided by this, at least one job, and more if its runs are
    /// short against its distance; 0 pre-loads nothing. The hub's own pod is never pre-loaded.
    pub preload_divisor: u32,
    /// A pod's rest after its first fault.
    pub rest_first_us: u64,
    /// Its longest rest.
    pub rest_longest_us: u64,
    /// In this time without a fault a penalty halves by itself.
    pub rest_half_life_us: u64,
    /// Kinds of jobs remembered while no job is of that kind.
    pub idle_classes: usize,
    /// Lost pods, and clients without jobs, remembered.
    pub remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tries: 3,
            waiting: 16_384,
            waiting_per_client: 8_192,
            patience_us: 30_000_000,
            preload_divisor: 4,
            rest_first_us: 1_000_000,
            rest_longest_us: 300_000_000,
            rest_half_life_us: 600_000_000,
            idle_classes: 64,
            remembered: 4_096,
        }
    }
}
