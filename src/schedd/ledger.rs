//! What was sent to pods, and for which jobs: for people who want to know.
//!
//! Looks at the messages that go to mirrors and decides nothing. Holds the last jobs only, and of
//! each the first names only.

use super::mirror::Noted;
use crate::job::Digest;
use crate::paths::{RootId, Roots};
use crate::sched::RunId;
use crate::wire::files::EntryKind;
use crate::wire::messages::{LastJob, MirrorStatus, Sent, SentWhy, ToPod};
use crate::wire::packed;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Jobs remembered.
const MOST_JOBS: usize = 100;
/// Names remembered of each.
const MOST_SENT: usize = 16;

/// The last jobs of all pods, each with the number of its run, and when it was begun.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    roots: Roots,
    jobs: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    run: Option<RunId>,
    begun: Instant,
    told: LastJob,
    /// What is sent for it bit by bit.
    awaits: Vec<Digest>,
}

impl Ledger {
    /// With none yet.
    pub(super) fn of(roots: &Roots) -> Self {
        Self {
            roots: roots.clone(),
            ..Self::default()
        }
    }

    /// What people call a file: by its name below its root, or if it is of no root, by its path.
    pub(super) fn name(&self, root: RootId, path: &Path) -> String {
        let top = self.roots.directory(root);
        let below = top.and_then(|top| path.strip_prefix(top).ok());
        below.unwrap_or(path).display().to_string()
    }

    /// A job was given to a pod, and is sent this bit by bit; without a run, a pod was told what
    /// there is.
    pub(super) fn begin(&mut self, run: Option<RunId>, mut told: LastJob, awaits: Vec<Digest>) {
        if self.jobs.len() == MOST_JOBS {
            self.jobs.pop_front();
        }
        told.job = run.map_or(0, |run| run.0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        told.begun = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
        self.jobs.push_back(Entry {
            run,
            begun: Instant::now(),
            told,
            awaits,
        });
    }

    /// A job has ended, after its tool ran so long.
    pub(super) fn end(&mut self, run: RunId, ran_us: u64) {
        let mut jobs = self.jobs.iter_mut().rev();
        if let Some(entry) = jobs.find(|entry| entry.run == Some(run)) {
            entry.told.there_us = Some(micros(entry.begun.elapsed()));
            entry.told.ran_us = ran_us;
        }
    }

    /// Content was sent to a pod: for the job that awaits it, or else the one given to it last.
    fn sent(&mut self, pod: &str, digest: Digest, sent: Sent) {
        let on_it = |entry: &&mut Entry| entry.told.pod == pod;
        let mut jobs = self.jobs.iter_mut().rev().filter(on_it);
        let awaits = |entry: &mut Entry| {
            let at = entry.awaits.iter().position(|it| *it == digest);
            at.map(|at| entry.awaits.swap_remove(at)).is_some()
        };
        let Some(last) = jobs.next() else {
            return;
        };
        let entry = match awaits(last) {
            true => last,
            false => jobs.find_map(|it| awaits(it).then_some(it)).unwrap_or(last),
        };
        entry.told.add(sent);
    }

    /// More was told to a pod than with its last job's list.
    pub(super) fn add(&mut self, pod: &str, told: LastJob) {
        let mut jobs = self.jobs.iter_mut().rev();
        if let Some(entry) = jobs.find(|entry| entry.told.pod == pod) {
            entry.told.changes += told.changes;
            entry.told.more += told.more;
            entry.told.more_bytes += told.more_bytes;
            told.sent.into_iter().for_each(|sent| entry.told.add(sent));
        }
    }

    /// The last ones, the latest last.
    pub(super) fn last(&self, most: u32) -> Vec<LastJob> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let from = self.jobs.len().saturating_sub(most);
        let last = self.jobs.iter().skip(from);
        last.map(|entry| entry.told.clone()).collect()
    }
}

impl LastJob {
    fn add(&mut self, sent: Sent) {
        if self.sent.len() < MOST_SENT {
            self.sent.push(sent);
        } else {
            self.add_nameless(sent.bytes);
        }
    }

    fn add_nameless(&mut self, bytes: u64) {
        self.more += 1;
        self.more_bytes += bytes;
    }
}

/// What goes to one pod's mirror.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) counts: MirrorStatus,
    /// Bytes of the content that is being sent bit by bit.
    begun: HashMap<Digest, u64>,
}

impl Flow {
    /// The pod is connected anew.
    pub(super) fn begin(&mut self) {
        self.begun.clear();
        (self.counts.asked_bytes, self.counts.answered_bytes) = (0, 0);
    }

    /// The pod asked for content of this size.
    pub(super) fn asked(&mut self, bytes: u64) {
        self.counts.asked_bytes += bytes;
    }

    /// A piece of content goes to the pod of this name; the last one `ends` it, and says of what
    /// file it is, and why it was sent.
    pub(super) fn answer(
        &mut self,
        message: &ToPod,
        ends: Option<(String, SentWhy)>,
        (pod, ledger): (&str, &mut Ledger),
    ) {
        let ToPod::Content { digest, packed, .. } = message else {
            return;
        };
        self.counts.answered_bytes += self.count(packed);
        let bytes = self.begun.remove(digest).unwrap_or(0) + packed.len() as u64;
        match ends {
            Some((name, why)) => ledger.sent(pod, *digest, Sent { name, bytes, why }),
            None => drop(self.begun.insert(*digest, bytes)),
        }
    }

    fn count(&mut self, packed: &[u8]) -> u64 {
        self.counts.sent_bytes += packed.len() as u64;
        let bytes = packed::unpacked_bytes(packed);
        self.counts.content_bytes += bytes;
        bytes
    }
}

/// What goes to a mirror at the beginning of a job.
#[derive(Debug, Default)]
pub(super) struct List {
    changes: u64,
    named_bytes: u64,
    content: Vec<(Digest, u64)>,
}

impl List {
    /// Looks at a message on its way.
    pub(super) fn see(&mut self, flow: &mut Flow, message: &ToPod) {
        match message {
            ToPod::Content { digest, packed, .. } => {
                flow.count(packed);
                match self.content.last_mut() {
                    Some((known, bytes)) if known == digest => *bytes += packed.len() as u64,
                    _ => self.content.push((*digest, packed.len() as u64)),
                }
            }
            ToPod::Changes { changes, .. } => {
                self.changes += changes.len() as u64;
                let entries = changes.iter().filter_map(|change| change.entry.as_ref());
                let bytes = entries.map(|entry| match entry.what {
                    EntryKind::File { size_bytes, .. } => size_bytes,
                    _ => 0,
                });
                self.named_bytes += bytes.sum::<u64>();
            }
            _ => {}
        }
    }

    /// It was all; tells what of it is worth telling. Gives what comes bit by bit of what the mirror
    /// has noted.
    pub(super) fn end(
        self,
        flow: &mut Flow,
        told: &mut LastJob,
        (noted, ledger): (Vec<Noted>, &Ledger),
    ) -> Vec<Digest> {
        flow.counts.changes += self.changes;
        flow.counts.named_bytes += self.named_bytes;
        told.changes = self.changes;
        let (later, at_once): (Vec<_>, Vec<_>) = noted.into_iter().partition(|it| it.later);
        let mut at_once = at_once.into_iter().peekable();
        for (digest, bytes) in self.content {
            // Noted in the order in which they are sent; of very many, the first.
            match at_once.next_if(|it| it.source.digest == digest) {
                None => told.add_nameless(bytes),
                Some(Noted { root, source, .. }) => told.add(Sent {
                    name: ledger.name(root, &source.path),
                    bytes,
                    why: source.why,
                }),
            }
        }
        later.into_iter().map(|it| it.source.digest).collect()
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
