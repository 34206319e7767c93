//! The roots' index, and what each mirror is told of it.
//!
//! A mirror follows the index by generations: with every job, or ahead of it, goes what changed since
//! the last list, and the content that the pod is not known to have. That is a guess; what is right
//! is what the pod says it lacks. A root is read here only through its index, so that what is left
//! out of it, or has not been seen to be at rest, is never sent.

mod indexes;
mod restless;
mod shown;
mod wanted;

pub(crate) use indexes::Indexes;
pub(super) use indexes::walk;
pub(crate) use restless::Restless;
pub(crate) use wanted::{Noted, find, out_of_reach};

use super::by_need::Learned;
use super::content::Source;
use crate::index::Index;
use crate::job::Digest;
use crate::paths::{Bytes, RootId};
use crate::wire::files::{Change, EntryKind, More};
use crate::wire::frame::FrameError;
use crate::wire::messages::{SentWhy, ToPod};
use anyhow::Context;
use shown::change;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::slice;
use std::time::Instant;

/// About so many bytes of names in one message.
const PART_BYTES: usize = 1 << 20;
/// Larger files, and what is more than this at once, does not go along with a list: the hub has
/// other things to do than to read it. The pod asks for it.
const MOST_ALONG_BYTES: u64 = 2 << 20;
/// Digests of contents that a pod had, beside those of files that are there.
const MOST_REMEMBERED: usize = 64 << 10;

/// Where messages for the pod go.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&ToPod) -> Result<(), FrameError>;

/// What becomes of content that is too much to go along with a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The pod will ask for it.
    Asked,
    /// The pod is not shown it yet, and nothing is sent that it may ask for later.
    Closed,
}

/// A pod's mirror, as far as this hub knows it.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    /// What it was told of each root.
    told: Vec<Told>,
    /// How many of the indexes it follows; none is all.
    pub(super) follows: Option<usize>,
    /// How many of the indexes, and tools beside them, it was told to show.
    pub(super) shown: Option<(usize, usize)>,
    /// Directories of the pod's that it shows empty.
    pub(super) absent: BTreeSet<Bytes>,
    /// Content that it has, or had.
    has: HashSet<Digest>,
    /// Bytes of content sent, as they travelled.
    pub(crate) sent_bytes: u64,
    /// Content on its way, bit by bit, and what it is the content of, if that is known.
    sending: HashMap<Digest, Option<(RootId, Bytes)>>,
    /// Content that is to be sent like that.
    pub(crate) to_send: Vec<(RootId, Source)>,
    /// What was sent unasked, or is to be, for people who want to know: the first of it.
    noted: Vec<Noted>,
}

/// What a mirror was told of a root.
#[derive(Debug, Default)]
struct Told {
    /// Everything up to this generation; 0 is nothing.
    generation: u64,
    /// Files that it was told are closed, only because they could not be read at that moment.
    again: BTreeSet<Bytes>,
    /// And those that are not to be tried for a while.
    resting: BTreeSet<Bytes>,
}

impl Mirror {
    /// Tells what changed, up to now, in every root.
    ///
    /// # Errors
    /// A root is not there any more, or a message cannot be made.
    pub(crate) fn update(&mut self, indexes: &mut Indexes, tell: Tell<'_>) -> anyhow::Result<()> {
        self.settle(indexes)?;
        self.tell(indexes, Rest::Asked, None, tell)
    }

    /// Tells what is known to have changed, and looks for no more.
    ///
    /// # Errors
    /// A message cannot be made.
    pub(super) fn ahead(&mut self, indexes: &Indexes, tell: Tell<'_>) -> anyhow::Result<()> {
        self.tell(indexes, Rest::Asked, None, tell)
    }

    /// Content that the pod asked for is no more to be had. Jobs there wait until they are told
    /// what there is instead, so that is told at once, with nothing to ask for once more: a file
    /// that is written to all the time must not hold them up for ever.
    ///
    /// # Errors
    /// As of [`Mirror::update`].
    pub(crate) fn gone(
        &mut self,
        indexes: &mut Indexes,
        root: RootId,
        digest: Digest,
        tell: Tell<'_>,
    ) -> anyhow::Result<()> {
        self.settle(indexes)?;
        tell(&ToPod::Gone { digest })?;
        self.has.remove(&digest);
        if let Some((root, name)) = self.ended(digest) {
            indexes.restless.failed(root, &name, Instant::now());
        }
        let number = usize::from(root.0);
        if let (Some(told), Some(index)) = (self.told.get_mut(number), indexes.all.get(number)) {
            let names = index.entries();
            let names = names.filter(|(_, entry)| entry.digest() == Some(digest));
            told.again.extend(names.map(|(name, _)| Bytes::from(name)));
        }
        self.tell(indexes, Rest::Closed, Some(number), tell)
    }

    /// Content is on its way no more. Gives what it is the content of, if that is known. With the
    /// last, what the list took in a first transfer is given back.
    fn ended(&mut self, digest: Digest) -> Option<(RootId, Bytes)> {
        let named = self.sending.remove(&digest).flatten();
        if self.sending.is_empty() {
            self.sending.shrink_to_fit();
        }
        named
    }

    /// Takes in all that happened so far in what this mirror follows.
    fn settle(&self, indexes: &mut Indexes) -> anyhow::Result<()> {
        let follows = self.follows.unwrap_or(usize::MAX);
        for index in indexes.all.iter_mut().take(follows) {
            index.settle().context("mirror a root")?;
        }
        Ok(())
    }

    /// Of the root `always` there is a list, were it empty.
    fn tell(
        &mut self,
        indexes: &Indexes,
        rest: Rest,
        always: Option<usize>,
        tell: Tell<'_>,
    ) -> anyhow::Result<()> {
        self.told.resize_with(indexes.all.len(), Told::default);
        let Indexes {
            all,
            learned,
            restless,
        } = indexes;
        let follows = self.follows.unwrap_or(usize::MAX);
        for (number, index) in all.iter().enumerate().take(follows) {
            let now = index.generation();
            let told = &mut self.told[number];
            let before = std::mem::replace(&mut told.generation, now);
            let root = RootId(u16::try_from(number)?);
            let mut again = std::mem::take(&mut told.again);
            again.append(&mut restless.rested_of(root, &mut told.resting));
            if before == now && again.is_empty() && always != Some(number) {
                continue;
            }
            let learned = learned.get(number);
            let known = index.changes_since(before).filter(|_| before > 0);
            if let Some(changes) = known {
                let mut list: Vec<Change> = changes.map(|(name, it)| change(name, it)).collect();
                add(&mut list, again, index);
                at_once(&mut list, learned);
                told.resting.append(&mut restless.close(root, &mut list));
                let sent = self.sent_bytes;
                let again = self.content_of(&mut list, (root, index), learned, rest, tell)?;
                self.told[number].again = again;
                let sent = self.sent_bytes - sent;
                tracing::debug!("{} changes go with {sent} bytes of content", list.len());
                let mut parts = Parts::of(root);
                list.into_iter()
                    .try_for_each(|change| parts.add(change, tell))?;
                parts.end(More::Nothing, tell)?;
                continue;
            }
            let all = index.changes_since(0);
            let all = all.context("the index has lost its beginning")?;
            // Name by name: all of them at once would take more room than the index.
            told.resting.clear();
            let mut parts = Parts::of(root);
            for (name, it) in all {
                let mut change = change(name, it);
                at_once(slice::from_mut(&mut change), learned);
                told.resting
                    .append(&mut restless.close(root, slice::from_mut(&mut change)));
                // What a mirror holds from before is not known here: it asks for the rest.
                self.has.extend(digest(&change));
                parts.add(change, tell)?;
            }
            parts.end(More::Everything, tell)?;
        }
        self.forget(indexes);
        Ok(())
    }

    /// Sends the content that a list names. What cannot be had just now, as of a file that changed
    /// meanwhile, is closed in the list, and its name is given back.
    fn content_of(
        &mut self,
        list: &mut [Change],
        (root, index): (RootId, &Index),
        learned: Option<&Learned>,
        rest: Rest,
        tell: Tell<'_>,
    ) -> anyhow::Result<BTreeSet<Bytes>> {
        let (mut along, mut closed) = (0, BTreeSet::new());
        for change in list {
            let Some(entry) = &mut change.entry else {
                continue;
            };
            let EntryKind::File { digest, size_bytes } = entry.what else {
                continue;
            };
            if self.has.contains(&digest) || self.sending.contains_key(&digest) {
                continue;
            }
            let is_learned = || learned.is_some_and(|learned| learned.has(&change.name));
            if change.later && !is_learned() {
                continue;
            }
            let why = match change.later {
                true => SentWhy::Learned,
                false => SentWhy::Changed,
            };
            let source = wanted::source(index, &change.name, (digest, size_bytes), why);
            let is_told = if along + size_bytes <= MOST_ALONG_BYTES {
                self.send(root, source, tell)?
            } else if change.later {
                // What was gone a moment ago would be so again: if somebody wants it, he asks.
                if rest == Rest::Asked {
                    self.push(root, source, true);
                }
                continue;
            } else {
                rest == Rest::Asked
            };
            if is_told {
                along += size_bytes;
                self.has.insert(digest);
            } else {
                entry.what = EntryKind::Closed { size_bytes };
                closed.insert(change.name.clone());
            }
        }
        Ok(closed)
    }

    /// Keeps the memory of what the pod had within bounds.
    fn forget(&mut self, indexes: &Indexes) {
        let names: usize = indexes.all.iter().map(Index::len).sum();
        if self.has.len() > 2 * names + MOST_REMEMBERED {
            let entries = indexes.all.iter().flat_map(Index::entries);
            let there: HashSet<Digest> = entries.filter_map(|(_, entry)| entry.digest()).collect();
            self.has.retain(|digest| there.contains(digest));
        }
    }

    /// A job of this pod wrote content that it keeps.
    pub(crate) fn made(&mut self, digests: impl Iterator<Item = Digest>) {
        self.has.extend(digests);
    }
}

/// Adds names to a list, if it has not got them and they are still there.
fn add(list: &mut Vec<Change>, names: BTreeSet<Bytes>, index: &Index) {
    if names.is_empty() {
        return;
    }
    let known: HashSet<Bytes> = list.iter().map(|change| change.name.clone()).collect();
    for name in names.into_iter().filter(|name| !known.contains(name)) {
        let raw = name.as_os_str().as_bytes();
        if let Some(found) = index.get(raw) {
            list.push(change(raw, Some(found)));
        }
    }
}

/// Of directories that are no roots nothing comes later: pods have most of it themselves.
fn at_once(list: &mut [Change], learned: Option<&Learned>) {
    list.iter_mut()
        .for_each(|change| change.later &= learned.is_some());
}

/// A list on its way, in messages of about [`PART_BYTES`].
struct Parts {
    root: RootId,
    changes: Vec<Change>,
    bytes: usize,
}

impl Parts {
    fn of(root: RootId) -> Self {
        Self {
            root,
            changes: Vec::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, change: Change, tell: Tell<'_>) -> Result<(), FrameError> {
        self.bytes += change.name.as_os_str().len() + 64;
        if let Some(EntryKind::Link { target }) = change.entry.as_ref().map(|entry| &entry.what) {
            self.bytes += target.as_os_str().len();
        }
        self.changes.push(change);
        match self.bytes > PART_BYTES {
            true => self.tell(More::Part, tell),
            false => Ok(()),
        }
    }

    fn end(mut self, end: More, tell: Tell<'_>) -> Result<(), FrameError> {
        self.tell(end, tell)
    }

    fn tell(&mut self, more: More, tell: Tell<'_>) -> Result<(), FrameError> {
        self.bytes = 0;
        tell(&ToPod::Changes {
            root: self.root,
            changes: std::mem::take(&mut self.changes),
            more,
        })
    }
}

fn digest(change: &Change) -> Option<Digest> {
    match change.entry.as_ref()?.what {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}
