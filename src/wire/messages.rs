//! What clients, hub and pods say to each other. Wire types only: no core struct travels.
//!
//! A wrapper's connection carries one job. A pod's connection carries many, told apart by id.

pub use super::files::Files;
use super::files::{Change, More};
pub use super::status::{IndexStatus, LastJob, MirrorStatus, PodStatus, Sent, SentWhy, Status};
use crate::job::{Digest, Ending, Job, Need, Surroundings, Usage, Wrote};
use crate::paths::{Bytes, RootId, Roots};
use serde::{Deserialize, Serialize};

/// The hub's number for a job, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobNumber(pub u64);

/// A point in the hub's real time, as file times have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Since the epoch.
    pub seconds: i64,
    /// Below a second.
    pub nanoseconds: u32,
}

/// One build: the Ninja, make or shell that started the wrappers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientKey {
    /// Its process id.
    pub pid: u32,
    /// Its start time in clock ticks since boot, since process ids are used again.
    pub started: u64,
}

/// A client to the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromClient {
    /// Run this on a pod. Answered by one [`ToClient::Placed`] or more, data, one last answer.
    Submit(Box<Submit>),
    /// The wrapper runs the command itself; for the counters only, not answered.
    RanLocally {
        /// The rule's name, or the program's where no rule covers it.
        tool: String,
        /// Why, in a few words that are alike for alike cases.
        why: String,
    },
    /// Show the state. Answered by [`ToClient::Status`].
    Status,
    /// Take a pod into use or out of it. Answered by [`ToClient::Done`].
    Use {
        /// The pod's name.
        pod: String,
        /// Whether it shall be used: connected, its files mounted.
        wanted: bool,
    },
    /// Tell of the last jobs on pods. Answered by [`ToClient::Last`].
    Last {
        /// At most so many.
        most: u32,
    },
}

/// A job for any pod that fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Which build.
    pub client: ClientKey,
    /// What a pod must have. The hub fills in the identity.
    pub need: Need,
    /// The program on the hub, from a search along PATH; none where the hub lacks it.
    pub program_path: Option<Bytes>,
    /// How often this job was already given back by a lost hub or pod.
    pub tries: u32,
    /// An encoded [`Task`]; the hub passes it on without reading it.
    #[serde(with = "serde_bytes")]
    pub task: Vec<u8>,
}

/// What the pod needs to run a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The command line.
    pub job: Job,
    /// The wrapper's process.
    pub surroundings: Surroundings,
}

/// The hub to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// Sent first, unasked.
    Welcome {
        /// The directories that pods may see.
        roots: Roots,
    },
    /// The job was handed to a pod. What an earlier pod sent of it is void.
    Placed {
        /// The pod's name.
        pod: String,
        /// When the job's state of the files was fixed; its outputs carry this time.
        stamp: Stamp,
        /// What of the system's own the tool may have read: directories and files that its identity
        /// covers. Empty where the rule names none.
        covered: Vec<Bytes>,
    },
    /// Content of this output follows in data frames, on channel `OUTPUTS + index`.
    Output {
        /// Counted from 0.
        index: u32,
        /// Where and what.
        wrote: Wrote,
        /// Whether each of its data frames is a zstd frame of at most a frame's bytes.
        packed: bool,
    },
    /// The last answer: the tool ran to its end.
    Finished(Finished),
    /// The last answer: run it yourself.
    RunLocally {
        /// Why.
        why: String,
    },
    /// The last answer: it cannot be run anywhere.
    Refused {
        /// Why, and what could be done.
        why: String,
    },
    /// The answer to [`FromClient::Status`].
    Status(Box<Status>),
    /// The answer to [`FromClient::Use`].
    Done {
        /// Why it cannot be done.
        trouble: Option<String>,
    },
    /// The answer to [`FromClient::Last`], the latest last.
    Last(Vec<LastJob>),
}

/// A tool ran to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How.
    pub ending: Ending,
    /// Digests of the outputs that are files, by index.
    pub digests: Vec<(u32, Digest)>,
    /// What it took.
    pub usage: Usage,
}

/// The hub to a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPod {
    /// Sent first: whose pod it is now.
    Configure {
        /// The directories that this hub's jobs may see, as they stand on the hub.
        roots: Roots,
        /// Whether this pod is the hub's own machine and shares its slots with local runs.
        own: bool,
        /// How this pod comes to the roots' files.
        files: Files,
        /// Names this hub among others of the pod's.
        hub: String,
    },
    /// The answer to a [`FromPod::Mount`] that cannot be served.
    NotMounted {
        /// Which.
        at: Bytes,
        /// Why.
        why: String,
    },
    /// Run this.
    Start {
        /// The job.
        job: JobNumber,
        /// The offered tool's index in the pod's last [`FromPod::Offer`]; or see [`ToPod::System`].
        tool: u32,
        /// That tool's identity; none of one that the hub has sent.
        chosen: Option<Digest>,
        /// An encoded [`Task`].
        #[serde(with = "serde_bytes")]
        task: Vec<u8>,
        /// Contents that it is sure to read and that are on their way.
        inputs: Vec<Digest>,
    },
    /// Jobs from here on shall see these directories of the hub's system at their own paths, in
    /// place of the pod's. Each is mirrored as a root of its own: they are numbered on from the
    /// last root, and new ones are only ever added at the end.
    System {
        /// By their real paths on the hub.
        trees: Vec<Bytes>,
        /// Directories of the pod's that the hub has not, and that shall be seen empty.
        absent: Vec<Bytes>,
        /// Tools of the hub's own, for jobs whose tool is [`SENT`] and a number of one of these.
        /// Their files are the tree `/`; such jobs see that, and nothing of the pod's system.
        sent: Vec<SentTool>,
    },
    /// What changed in a root since the last such message, which a mirror takes over before any
    /// job that comes after it. Long lists come in parts.
    Changes {
        /// The root.
        root: RootId,
        /// In an order in which they can be applied.
        changes: Vec<Change>,
        /// What comes next.
        more: More,
    },
    /// Content of a file, in pieces: of one that [`ToPod::Changes`] will name, or that the pod lacks.
    Content {
        /// The whole content's.
        digest: Digest,
        /// The next bytes of it, a zstd frame.
        #[serde(with = "serde_bytes")]
        packed: Vec<u8>,
        /// Whether there are more.
        last: bool,
    },
    /// Content that the pod lacks and that this hub has not, any more, also if pieces of it came.
    /// What there is instead is told in the next list of changes, if it was not yet; until then no
    /// job begins.
    Gone {
        /// Of which content.
        digest: Digest,
    },
    /// End it at once; answered by [`FromPod::Cancelled`] unless its end is already on the way.
    Cancel {
        /// The job.
        job: JobNumber,
    },
    /// Do not begin it: another pod has a free slot. Answered by [`FromPod::Cancelled`], and by
    /// nothing if it has begun.
    Recall {
        /// The job.
        job: JobNumber,
    },
    /// Are you there? Answered by [`FromPod::Pong`].
    Ping,
}

/// A pod to the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromPod {
    /// The roots' files are needed at this directory, root `N` in its sub-directory `N`. Whatever
    /// was mounted for this session before is gone.
    Mount {
        /// The worker's own program, which mounts when called with `--sshfs` and `at`.
        program: Bytes,
        /// An empty directory of the pod.
        at: Bytes,
    },
    /// Sent first, and whenever it changes.
    Offer(Offer),
    /// Content of this output follows in data frames.
    Output {
        /// The job.
        job: JobNumber,
        /// Counted from 0.
        index: u32,
        /// Where and what.
        wrote: Wrote,
        /// Whether each of its data frames is a zstd frame of at most a frame's bytes.
        packed: bool,
    },
    /// The tool ran to its end.
    Finished {
        /// The job.
        job: JobNumber,
        /// How.
        finished: Finished,
    },
    /// The pod, not the tool, failed.
    Fault {
        /// The job.
        job: JobNumber,
        /// What is wrong with the pod.
        why: String,
    },
    /// The job cannot be run here, but the pod is well; another may do, or the hub itself.
    Declined {
        /// The job.
        job: JobNumber,
        /// Why.
        why: String,
    },
    /// A cancelled job is gone, with all its processes.
    Cancelled {
        /// The job.
        job: JobNumber,
    },
    /// To a ping.
    Pong,
    /// Content that changes name and that is not here. What came after those changes waits for it.
    Lacks {
        /// The root.
        root: RootId,
        /// Which.
        digests: Vec<Digest>,
    },
    /// Somebody opened a file whose content is not here, and waits for it.
    Opened {
        /// The root.
        root: RootId,
        /// One of the file's names, or the last one it had.
        name: Bytes,
        /// The content.
        digest: Digest,
    },
    /// Content that may come later and that is not here.
    Without {
        /// The root.
        root: RootId,
        /// Which.
        digests: Vec<Digest>,
        /// All such content that a first list names; otherwise it was here until now.
        first: bool,
    },
    /// A job is run once more, here, for want of a file's content: what came of it is void.
    Again {
        /// The job.
        job: JobNumber,
        /// Why.
        why: String,
    },
    /// The mirror cannot go on, and so this session ends.
    Trouble {
        /// Why.
        why: String,
    },
    /// What the worker proved of its views when it began, before it has any files: a hub that would
    /// send files for another view alone need not.
    Proved {
        /// The view.
        view: ViewKind,
        /// Why not a better one; empty for overlay.
        why: String,
    },
}

/// What a pod can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The pod's own name for itself.
    pub name: String,
    /// Jobs at a time.
    pub slots: u32,
    /// `x86_64`, `aarch64`.
    pub machine: String,
    /// The view it proved.
    pub view: ViewKind,
    /// Why not a better view, in words; empty for overlay.
    pub view_why: String,
    /// The tools it found.
    pub tools: Vec<OfferedTool>,
}

/// Added to the number of a tool that the hub has sent.
pub const SENT: u32 = 1 << 31;

/// A tool of the hub's that a pod runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTool {
    /// The rule's name.
    pub tool: String,
    /// The program's name on the hub.
    pub program: String,
    /// Its path there.
    pub path: Bytes,
    /// All programs that it consists of. Each can say its version.
    pub programs: Vec<Bytes>,
}

/// What a job sees on a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewKind {
    /// The roots at their own paths.
    Overlay,
    /// The roots elsewhere, paths rewritten.
    Rewrite,
    /// None that is safe: the pod takes no jobs.
    #[default]
    None,
}

/// A tool on a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedTool {
    /// The rule's name.
    pub tool: String,
    /// The program's name there.
    pub program: String,
    /// Its path there.
    pub path: Bytes,
    /// Everything that decides its results.
    pub identity: Digest,
    /// For people.
    pub version: String,
    /// The same as the identity but for the directories that it searches, if it searches any.
    pub bare: Option<Digest>,
    /// These directories, by their real paths there.
    pub searched: Vec<Bytes>,
}
