//! What a hub tells people of itself, its pods and its last jobs.

use super::files::Files;
use super::messages::Offer;
use serde::{Deserialize, Serialize};

/// The hub's state, for `cpods status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its roots, as text.
    pub roots: Vec<String>,
    /// What it knows of them, in the same order; empty unless a pod has mirrors of them.
    pub indexes: Vec<IndexStatus>,
    /// Jobs waiting for a slot.
    pub queued: u32,
    /// Jobs on pods.
    pub running: u32,
    /// Jobs that ended on pods, whatever their exit code.
    pub finished: u64,
    /// Of these, with an exit code other than 0.
    pub failed: u64,
    /// Jobs given back to their wrappers or never submitted: why, and how many.
    pub local: Vec<(String, u64)>,
    /// Every pod.
    pub pods: Vec<PodStatus>,
}

/// The index of one root in a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStatus {
    /// Names, directories and links among them.
    pub names: u64,
    /// Files.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
    /// Changes so far.
    pub generation: u64,
    /// Why the root is walked for every job, instead of being watched; empty if it is watched.
    pub scanned_why: String,
}

/// One pod in a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its name on the hub.
    pub name: String,
    /// Its address.
    pub address: String,
    /// How it comes to the files.
    pub files: Files,
    /// Why so; empty where it need not be told.
    pub files_why: String,
    /// What was done for its mirror, if it has one.
    pub mirror: Option<MirrorStatus>,
    /// Which worker serves it.
    pub worker: ServedBy,
    /// Why not the pod's service, where there is one.
    pub worker_why: String,
    /// Whether it is connected and takes jobs.
    pub up: bool,
    /// Why not, or why it rests.
    pub why: String,
    /// Jobs at a time.
    pub slots: u32,
    /// Jobs there now.
    pub running: u32,
    /// Jobs that ended there.
    pub finished: u64,
    /// Slot time used, in microseconds.
    pub busy_us: u64,
    /// The pod's offer.
    pub offer: Offer,
}

/// Which worker serves a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServedBy {
    /// It is not connected.
    #[default]
    None,
    /// One that the hub started on its own machine.
    Own,
    /// One that listens on a unix socket of the hub's machine.
    Listener,
    /// The pod's own, which runs there as a service.
    Service,
    /// One that the hub has sent, for want of such.
    Sent,
}

impl std::fmt::Display for ServedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Own => "own",
            Self::Listener => "listener",
            Self::Service => "service",
            Self::Sent => "sent",
        })
    }
}

/// What a pod's mirror came to, since the hub began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Bytes of content sent, packed as they travelled.
    pub sent_bytes: u64,
    /// The same, unpacked.
    pub content_bytes: u64,
    /// Bytes of content that was needed there, if nothing had been there before.
    pub named_bytes: u64,
    /// Changes told.
    pub changes: u64,
    /// Jobs that were run once more, since content was not there.
    pub reruns: u64,
    /// Bytes of content that the pod has asked for since it was connected ...
    pub asked_bytes: u64,
    /// ... and of these those that left this machine.
    pub answered_bytes: u64,
}

impl MirrorStatus {
    /// Bytes of content that was needed there and had not to be sent.
    pub fn saved_bytes(&self) -> u64 {
        self.named_bytes.saturating_sub(self.content_bytes)
    }
}

/// What a hub did for one of its last jobs, or for a pod that was connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastJob {
    /// The hub's number for it; says nothing where there is no program.
    pub job: u64,
    /// The program's name; none where a pod was told what there is without a job.
    pub program: String,
    /// The pod's name.
    pub pod: String,
    /// When it was given to the pod, in seconds since 1970.
    pub begun: i64,
    /// How long it waited for a slot, in microseconds.
    pub queued_us: u64,
    /// How long it then took until the pod said that it had ended, in microseconds; none if it has
    /// not yet.
    pub there_us: Option<u64>,
    /// Of that, how long the tool ran.
    pub ran_us: u64,
    /// Names of the roots that had changed.
    pub changes: u64,
    /// What was sent: the first few of it.
    pub sent: Vec<Sent>,
    /// How many more were sent ...
    pub more: u64,
    /// ... and how large these were, as they travelled.
    pub more_bytes: u64,
}

/// Content that was sent to a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The file's name, below its root.
    pub name: String,
    /// As it travelled.
    pub bytes: u64,
    /// Why it was.
    pub why: SentWhy,
}

/// Why content was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SentWhy {
    /// It had changed since the pod's last job.
    Changed,
    /// The job names it.
    Input,
    /// The pod asked for it.
    Asked,
    /// A job on the pod opened it.
    Opened,
    /// Jobs opened it before.
    Learned,
}
