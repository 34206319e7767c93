//! What a pod is sent beside what its lists need: inputs of jobs, and what somebody there opened.

use super::{Indexes, MOST_ALONG_BYTES, Mirror, Tell};
use crate::index::{Content, Index, Kind};
use crate::job::Digest;
use crate::paths::{Bytes, RootId, RootPath};
use crate::schedd::content::{self, Piece, Source};
use crate::wire::frame::FrameError;
use crate::wire::messages::SentWhy;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

/// Contents noted for each job.
const MOST_NOTED: usize = 64;

/// Content that a pod is sent unasked.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) root: RootId,
    pub(crate) source: Source,
    /// Bit by bit, and not at once.
    pub(crate) later: bool,
}

impl Mirror {
    /// Sends what a job is sure to read and the pod is not known to have; gives what is or will be
    /// on its way.
    ///
    /// # Errors
    /// A message cannot be made.
    pub(crate) fn inputs<'i>(
        &mut self,
        indexes: &Indexes,
        inputs: impl Iterator<Item = &'i RootPath>,
        tell: Tell<'_>,
    ) -> Result<Vec<Digest>, FrameError> {
        let (mut coming, mut along) = (Vec::new(), 0);
        let now = Instant::now();
        let inputs = inputs.filter(|it| !indexes.restless.has(it.root, &it.below, now));
        for RootPath { root, below } in inputs {
            let Some(source) = named(indexes, *root, below, SentWhy::Input) else {
                continue;
            };
            if self.has.contains(&source.digest) {
                continue;
            }
            let is_coming = self.sending.contains_key(&source.digest);
            if !is_coming && along + source.size_bytes <= MOST_ALONG_BYTES {
                let (digest, size_bytes) = (source.digest, source.size_bytes);
                if self.send(*root, source, tell)? {
                    along += size_bytes;
                    coming.push(digest);
                }
            } else {
                coming.push(source.digest);
                self.push(*root, source, true);
            }
        }
        Ok(coming)
    }

    /// Sends content at once; false if it is not to be had.
    pub(super) fn send(
        &mut self,
        root: RootId,
        source: Source,
        tell: Tell<'_>,
    ) -> Result<bool, FrameError> {
        let Some(bytes) = content::send(&source, tell)? else {
            return Ok(false);
        };
        self.sent_bytes += bytes;
        self.has.insert(source.digest);
        self.note(root, source, false);
        Ok(true)
    }

    /// Content that is to be sent bit by bit, if it is not on its way already; for a job or not.
    pub(super) fn push(&mut self, root: RootId, source: Source, for_job: bool) {
        if let Entry::Vacant(new) = self.sending.entry(source.digest) {
            new.insert(Some((root, source.name.clone())));
            if for_job {
                self.note(root, source.clone(), true);
            }
            self.to_send.push((root, source));
        }
    }

    fn note(&mut self, root: RootId, source: Source, later: bool) {
        if self.noted.len() < MOST_NOTED {
            let noted = Noted {
                root,
                source,
                later,
            };
            self.noted.push(noted);
        }
    }

    /// What was sent since this was asked.
    pub(crate) fn take_noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.noted)
    }

    /// Somebody on the pod waits for this file.
    pub(crate) fn opened(
        &mut self,
        indexes: &mut Indexes,
        root: RootId,
        name: &Bytes,
        digest: Digest,
    ) -> Option<Result<Source, Digest>> {
        if let Some(learned) = indexes.learned.get_mut(usize::from(root.0)) {
            learned.learn(name);
        }
        match self.sending.entry(digest) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(new) => new.insert(Some((root, name.clone()))),
        };
        let named = named(indexes, root, name, SentWhy::Opened);
        match named.filter(|source| source.digest == digest) {
            Some(source) => Some(Ok(source)),
            None => find(indexes, root, &[digest], SentWhy::Opened).pop(),
        }
    }

    /// Content that the pod has not.
    pub(crate) fn without(
        &mut self,
        indexes: &Indexes,
        root: RootId,
        digests: &[Digest],
        first: bool,
    ) {
        for digest in digests {
            self.has.remove(digest);
        }
        let number = usize::from(root.0);
        let Some(learned) = indexes.learned.get(number).filter(|_| first) else {
            return;
        };
        let lacking: HashSet<&Digest> = digests.iter().collect();
        for name in learned.names() {
            let source = named(indexes, root, name, SentWhy::Learned);
            if let Some(source) = source.filter(|it| lacking.contains(&it.digest)) {
                self.push(root, source, false);
            }
        }
    }

    /// A piece of content was sent.
    pub(crate) fn sent(&mut self, indexes: Option<&mut Indexes>, piece: &Piece) {
        self.sent_bytes += piece.bytes();
        if piece.is_last() {
            let named = self.ended(piece.digest());
            if let (Some((root, name)), Some(indexes)) = (named, indexes) {
                indexes.restless.rested(root, &name);
            }
            self.has.insert(piece.digest());
        }
    }

    /// Of what a pod lacks, that which is not on its way already.
    pub(crate) fn not_coming(&mut self, digests: Vec<Digest>) -> Vec<Digest> {
        let digests = digests.into_iter();
        let is_new = |digest: &Digest| match self.sending.entry(*digest) {
            Entry::Occupied(_) => false,
            Entry::Vacant(new) => new.insert(None).is_none(),
        };
        digests.filter(is_new).collect()
    }
}

/// Why a job that reads these cannot run where the files are copied, if so.
pub(crate) fn out_of_reach<'i>(
    indexes: &Indexes,
    mut inputs: impl Iterator<Item = &'i RootPath>,
) -> Option<&'static str> {
    let now = Instant::now();
    inputs.find_map(|RootPath { root, below }| {
        let index = indexes.all.get(usize::from(root.0))?;
        let Kind::File { content, .. } = index.get(below.as_os_str().as_bytes())?.kind else {
            return None;
        };
        match content {
            Content::Unhashed => Some("an input is too large to be copied"),
            Content::Unstable => Some("an input is written to all the time"),
            Content::Digest(_) => indexes
                .restless
                .has(*root, below, now)
                .then_some("an input is written to all the time"),
        }
    })
}

/// Where content that a pod lacks may be read here, if it is still there.
pub(crate) fn find(
    indexes: &Indexes,
    root: RootId,
    digests: &[Digest],
    why: SentWhy,
) -> Vec<Result<Source, Digest>> {
    let mut wanted: HashMap<Digest, Result<Source, Digest>> = digests
        .iter()
        .map(|digest| (*digest, Err(*digest)))
        .collect();
    if let Some(index) = indexes.all.get(usize::from(root.0)) {
        for (name, entry) in index.entries() {
            if let Some(digest) = entry.digest()
                && let Kind::File { size_bytes, .. } = entry.kind
                && let Some(found) = wanted.get_mut(&digest)
                && found.is_err()
            {
                let name = Bytes::from(name);
                *found = Ok(source(index, &name, (digest, size_bytes), why));
            }
        }
    }
    let found = digests.iter().filter_map(|digest| wanted.remove(digest));
    found.collect()
}

/// The file of this name, if there is one.
fn named(indexes: &Indexes, root: RootId, name: &Bytes, why: SentWhy) -> Option<Source> {
    let index = indexes.all.get(usize::from(root.0))?;
    let entry = index.get(name.as_os_str().as_bytes())?;
    match (&entry.kind, entry.digest()) {
        (Kind::File { size_bytes, .. }, Some(digest)) => {
            Some(source(index, name, (digest, *size_bytes), why))
        }
        _ => None,
    }
}

pub(super) fn source(
    index: &Index,
    name: &Bytes,
    (digest, size_bytes): (Digest, u64),
    why: SentWhy,
) -> Source {
    Source {
        digest,
        name: name.clone(),
        path: index.root().join(name.as_path()),
        size_bytes,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedd::content::{Answer, Asked};

    #[test]
    fn a_first_transfer_leaves_no_memory_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut mirror = Mirror::default();
        for number in 0..100 {
            let (name, content) = (format!("{number}"), format!("content {number}"));
            let path = dir.path().join(&name);
            std::fs::write(&path, &content).unwrap();
            let source = Source {
                digest: Digest::of(content.as_bytes()),
                name: Bytes::from(name.as_bytes()),
                path,
                size_bytes: content.len() as u64,
                why: SentWhy::Learned,
            };
            mirror.push(RootId(0), source, false);
        }
        let files = std::mem::take(&mut mirror.to_send);
        let mut asked = Asked::new(files.into_iter().map(|(_, source)| Ok(source)).collect());
        assert!(mirror.sending.capacity() >= 100);
        loop {
            let answers = asked.turn();
            if answers.is_empty() {
                break;
            }
            for answer in answers {
                let Answer::Piece(piece) = answer else {
                    panic!("{answer:?}");
                };
                mirror.sent(None, &piece);
            }
        }
        assert_eq!((mirror.has.len(), mirror.sending.capacity()), (100, 0));
    }
}
