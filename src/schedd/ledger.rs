//! What was sent to pods, and for which jobs: for people who want to know.
//!
//! Looks at the messages that go to mirrors and decides nothing. Holds the last jobs only, and of
//! each the first names only.

use crate::job::Digest;
use crate::sched::RunId;
use crate::wire::files::EntryKind;
use crate::wire::messages::{LastJob, MirrorStatus, Sent, SentWhy, ToPod};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

/// Jobs remembered.
const MOST_JOBS: usize = 100;
/// Names remembered of each.
const MOST_SENT: usize = 16;
/// Names remembered of what a pod asked for.
const MOST_ASKED: usize = 64;

/// The last jobs of all pods, each with the number of its run, and when it was begun.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    jobs: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    run: Option<RunId>,
    begun: Instant,
    told: LastJob,
}

impl Ledger {
    /// A job was given to a pod; without a run, a pod was told what there is.
    pub(super) fn begin(&mut self, run: Option<RunId>, mut told: LastJob) {
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

    /// Content was sent to a pod, for the job that was given to it last.
    fn sent(&mut self, pod: &str, sent: Sent) {
        let mut jobs = self.jobs.iter_mut().rev();
        if let Some(entry) = jobs.find(|entry| entry.told.pod == pod) {
            entry.told.add(sent);
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
            self.more += 1;
            self.more_bytes += sent.bytes;
        }
    }
}

/// What goes to one pod's mirror.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) counts: MirrorStatus,
    /// Names of what the pod asked for.
    asked: HashMap<Digest, String>,
    /// Bytes of the content that is being sent bit by bit.
    begun: HashMap<Digest, u64>,
}

impl Flow {
    /// The pod is connected anew.
    pub(super) fn begin(&mut self) {
        self.asked.clear();
        self.begun.clear();
        (self.counts.asked_bytes, self.counts.answered_bytes) = (0, 0);
    }

    /// The pod asked for content, of a file of this name and size.
    pub(super) fn asked(&mut self, digest: Digest, name: impl Fn() -> String, bytes: u64) {
        self.counts.asked_bytes += bytes;
        if self.asked.len() < MOST_ASKED {
            self.asked.insert(digest, name());
        }
    }

    /// A piece of what it asked for goes to it.
    pub(super) fn answer(&mut self, message: &ToPod, pod: &str, ledger: &mut Ledger) {
        let ToPod::Content {
            digest,
            packed,
            last,
        } = message
        else {
            return;
        };
        self.counts.answered_bytes += self.count(packed);
        let bytes = self.begun.remove(digest).unwrap_or(0) + packed.len() as u64;
        if !last {
            self.begun.insert(*digest, bytes);
            return;
        }
        let name = self.asked.remove(digest);
        let sent = Sent {
            name: name.unwrap_or_else(|| digest.to_string()),
            bytes,
            why: SentWhy::Asked,
        };
        ledger.sent(pod, sent);
    }

    fn count(&mut self, packed: &[u8]) -> u64 {
        self.counts.sent_bytes += packed.len() as u64;
        let bytes = unpacked_bytes(packed);
        self.counts.content_bytes += bytes;
        bytes
    }
}

/// What goes to a mirror at the beginning of a job.
#[derive(Debug, Default)]
pub(super) struct List {
    changes: u64,
    named_bytes: u64,
    /// Content, before the list that names it.
    content: Vec<(Digest, u64)>,
    names: HashMap<Digest, String>,
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
                for change in changes {
                    let Some(entry) = &change.entry else { continue };
                    let EntryKind::File { digest, size_bytes } = entry.what else {
                        continue;
                    };
                    self.named_bytes += size_bytes;
                    if self.names.len() < self.content.len().min(MOST_SENT)
                        && self.content.iter().any(|(sent, _)| *sent == digest)
                    {
                        self.names.insert(digest, change.name.display().to_string());
                    }
                }
            }
            _ => {}
        }
    }

    /// It was all; tells what of it is worth telling.
    pub(super) fn end(mut self, flow: &mut Flow, told: &mut LastJob) {
        flow.counts.changes += self.changes;
        flow.counts.named_bytes += self.named_bytes;
        told.changes = self.changes;
        for (digest, bytes) in self.content {
            let name = self.names.remove(&digest);
            told.add(Sent {
                // What no list names is sent because the job does.
                why: name.as_ref().map_or(SentWhy::Input, |_| SentWhy::Changed),
                name: name.unwrap_or_else(|| digest.to_string()),
                bytes,
            });
        }
    }
}

/// How large content is, unpacked, as it says itself.
fn unpacked_bytes(packed: &[u8]) -> u64 {
    let told = zstd::zstd_safe::get_frame_content_size(packed);
    told.ok().flatten().unwrap_or(packed.len() as u64)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::files::{Change, Entry, More};
    use crate::wire::messages::Stamp;

    fn content(text: &[u8]) -> ToPod {
        ToPod::Content {
            digest: Digest::of(text),
            packed: zstd::bulk::compress(text, 1).unwrap(),
            last: true,
        }
    }

    fn named(name: &str, text: &[u8]) -> Change {
        let entry = Entry {
            what: EntryKind::File {
                digest: Digest::of(text),
                size_bytes: text.len() as u64,
            },
            mode: 0o644,
            mtime: Stamp {
                seconds: 0,
                nanoseconds: 0,
            },
            group: None,
        };
        Change {
            later: false,
            name: name.into(),
            entry: Some(entry),
        }
    }

    #[test]
    fn content_is_counted_and_named() {
        let (mut flow, mut ledger) = (Flow::default(), Ledger::default());
        let (new, old, input) = ([b'n'; 5000], [b'o'; 7000], [b'i'; 900]);
        let mut list = List::default();
        list.see(&mut flow, &content(&new));
        list.see(&mut flow, &content(&input));
        let changes = vec![named("new.h", &new), named("old.h", &old)];
        list.see(
            &mut flow,
            &ToPod::Changes {
                root: crate::paths::RootId(0),
                changes,
                more: More::Nothing,
            },
        );
        let mut told = LastJob {
            pod: "far".into(),
            ..LastJob::default()
        };
        list.end(&mut flow, &mut told);
        ledger.begin(Some(RunId(7)), told);
        flow.asked(Digest::of(&old), || "old.h".into(), 7000);
        flow.answer(&content(&old), "far", &mut ledger);
        flow.answer(&content(&old), "other", &mut ledger);
        ledger.end(RunId(7), 5);
        let last = ledger.last(10);
        let sent: Vec<_> = last[0]
            .sent
            .iter()
            .map(|it| (&it.name[..5], it.why))
            .collect();
        let input = Digest::of(&input).to_string();
        assert_eq!(
            sent,
            [
                ("new.h", SentWhy::Changed),
                (&input[..5], SentWhy::Input),
                ("old.h", SentWhy::Asked)
            ]
        );
        assert_eq!((last[0].job, last[0].ran_us, last[0].changes), (7, 5, 2));
        assert!(last[0].there_us.is_some());
        let counts = flow.counts;
        assert_eq!(counts.content_bytes, 5000 + 900 + 7000 + 7000);
        assert_eq!((counts.asked_bytes, counts.named_bytes), (7000, 12_000));
        assert!(counts.sent_bytes < 1000, "as it travels");
    }

    #[test]
    fn no_more_is_kept_than_is_worth_it() {
        let mut ledger = Ledger::default();
        for run in 0..1000 {
            let mut told = LastJob::default();
            for number in 0..50 {
                told.add(Sent {
                    name: String::new(),
                    bytes: number,
                    why: SentWhy::Changed,
                });
            }
            ledger.begin(Some(RunId(run)), told);
        }
        let last = ledger.last(u32::MAX);
        assert_eq!(last.len(), MOST_JOBS);
        assert_eq!(last.last().unwrap().job, 999);
        assert_eq!((last[0].sent.len(), last[0].more), (MOST_SENT, 50 - 16));
        assert_eq!(ledger.last(3).len(), 3);
    }
}
