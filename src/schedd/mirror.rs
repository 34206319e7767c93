//! The roots' index, and what each mirror is told of it.
//!
//! A mirror follows the index by generations: with every job goes what changed since the last one,
//! and the content that the pod is not known to have. That is a guess; what is right is what the pod
//! says it lacks. A root is read here only through its index, so that what is left out of it, or has
//! not been seen to be at rest, is never sent.

use super::left_out::LeftOut;
use super::outbox::Outbox;
use crate::index::{Content, Entry as Found, Index, Kind, LeaveOut, Options};
use crate::job::Digest;
use crate::paths::{Bytes, RootId, Roots};
use crate::wire::files::{Change, Entry, EntryKind, More};
use crate::wire::messages::{Stamp, ToPod};
use anyhow::Context;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Bytes of content in one message, unpacked.
const PIECE_BYTES: usize = 256 << 10;
/// About so many bytes of names in one message.
const PART_BYTES: usize = 1 << 20;
/// Larger files are not mirrored.
const MOST_FILE_BYTES: u64 = 256 << 20;
/// zstd's fastest ordinary level.
const LEVEL: i32 = 1;

/// The index of every root.
#[derive(Debug)]
pub(super) struct Indexes(Vec<Index>);

impl Indexes {
    /// Walks all roots. Takes its time.
    ///
    /// # Errors
    /// A root that cannot be read.
    pub(super) fn open(roots: &Roots, left_out: &LeftOut) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for (_, path) in roots.iter() {
            let leave_out = LeaveOut::new(path, &left_out.0)?;
            let options = Options {
                cache_file: cache_file(path),
                leave_out,
                hash_up_to: MOST_FILE_BYTES,
            };
            let mut index = Index::open(path, options).context("mirror a root")?;
            index.settle().context("mirror a root")?;
            all.push(index);
        }
        Ok(Self(all))
    }
}

/// Where the digests of a root are kept; none where no cache folder is known.
fn cache_file(root: &std::path::Path) -> Option<PathBuf> {
    let folder = crate::probe::default_cache()?.parent()?.join("index");
    std::fs::create_dir_all(&folder).ok()?;
    let key = Digest::of(root.as_os_str().as_encoded_bytes()).to_string();
    Some(folder.join(&key[..16]))
}

/// A pod's mirror, as far as this hub knows it.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// The generation of each root that it was told of; 0 is none.
    told: Vec<u64>,
    /// Content that it has, or had.
    has: HashSet<Digest>,
    /// Bytes of content sent, as they travelled.
    pub(super) sent_bytes: u64,
}

impl Mirror {
    /// Tells what changed, up to now, in every root.
    ///
    /// # Errors
    /// A root is not there any more, or a message cannot be made.
    pub(super) fn update(&mut self, indexes: &mut Indexes, outbox: &Outbox) -> anyhow::Result<()> {
        self.told.resize(indexes.0.len(), 0);
        for (number, index) in indexes.0.iter_mut().enumerate() {
            let now = index.settle().context("mirror a root")?;
            let told = std::mem::replace(&mut self.told[number], now);
            if told == now {
                continue;
            }
            let root = RootId(u16::try_from(number)?);
            let known = index.changes_since(told).filter(|_| told > 0);
            let (list, end): (Vec<Change>, More) = match known {
                Some(changes) => (
                    changes.map(|(name, it)| change(name, it)).collect(),
                    More::Nothing,
                ),
                None => {
                    let all = index.changes_since(0);
                    let all = all.context("the index has lost its beginning")?;
                    (
                        all.map(|(name, it)| change(name, it)).collect(),
                        More::Everything,
                    )
                }
            };
            if end == More::Nothing {
                self.content_of(&list, index, outbox)?;
            } else {
                // What a mirror holds from before is not known here: it asks for the rest.
                self.has.extend(list.iter().filter_map(digest));
            }
            send_list(root, list, end, outbox)?;
        }
        Ok(())
    }

    fn content_of(
        &mut self,
        list: &[Change],
        index: &Index,
        outbox: &Outbox,
    ) -> anyhow::Result<()> {
        for change in list {
            if let Some(digest) = digest(change)
                && self.has.insert(digest)
            {
                let path = index.root().join(change.name.as_path());
                // One that changed meanwhile is asked for, and then known to be gone.
                self.sent_bytes += send_content(&path, digest, outbox)?.unwrap_or(0);
            }
        }
        Ok(())
    }

    /// A job of this pod wrote content that it keeps.
    pub(super) fn made(&mut self, digests: impl Iterator<Item = Digest>) {
        self.has.extend(digests);
    }
}

/// Where content that a pod lacks may be read here; none for what is there no more.
pub(super) fn find(
    indexes: &Indexes,
    root: RootId,
    digests: &[Digest],
) -> Vec<(Digest, Option<PathBuf>)> {
    let mut wanted: HashMap<Digest, Option<PathBuf>> =
        digests.iter().map(|digest| (*digest, None)).collect();
    if let Some(index) = indexes.0.get(usize::from(root.0)) {
        for (name, entry) in index.entries() {
            if let Some(digest) = entry.digest()
                && let Some(found) = wanted.get_mut(&digest)
                && found.is_none()
            {
                *found = Some(index.root().join(Bytes::from(name).as_path()));
            }
        }
    }
    digests
        .iter()
        .map(|digest| (*digest, wanted.remove(digest).flatten()))
        .collect()
}

/// Sends content; none if the file holds another one now. Gives the bytes that travel.
///
/// # Errors
/// A message cannot be made.
pub(super) fn send_content(
    path: &std::path::Path,
    digest: Digest,
    outbox: &Outbox,
) -> anyhow::Result<Option<u64>> {
    let Some(pieces) = read(path, digest) else {
        return Ok(None);
    };
    let mut sent = 0;
    let count = pieces.len();
    for (number, packed) in pieces.into_iter().enumerate() {
        sent += packed.len() as u64;
        let last = number + 1 == count;
        outbox.message(&ToPod::Content {
            digest,
            packed,
            last,
        })?;
    }
    Ok(Some(sent))
}

/// A file's content in packed pieces; none if it cannot be read or is another one.
fn read(path: &std::path::Path, digest: Digest) -> Option<Vec<Vec<u8>>> {
    let mut file = File::open(path).ok()?;
    let (mut hasher, mut pieces) = (blake3::Hasher::new(), Vec::new());
    loop {
        let mut piece = Vec::new();
        (&mut file)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)
            .ok()?;
        if piece.is_empty() && !pieces.is_empty() {
            break;
        }
        hasher.update(&piece);
        let is_last = piece.len() < PIECE_BYTES;
        pieces.push(zstd::bulk::compress(&piece, LEVEL).ok()?);
        if is_last {
            break;
        }
    }
    (*hasher.finalize().as_bytes() == digest.0).then_some(pieces)
}

fn send_list(root: RootId, list: Vec<Change>, end: More, outbox: &Outbox) -> anyhow::Result<()> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    for change in list {
        bytes += change.name.as_os_str().len() + 64;
        if let Some(EntryKind::Link { target }) = change.entry.as_ref().map(|entry| &entry.what) {
            bytes += target.as_os_str().len();
        }
        part.push(change);
        if bytes > PART_BYTES {
            let changes = std::mem::take(&mut part);
            bytes = 0;
            outbox.message(&ToPod::Changes {
                root,
                changes,
                more: More::Part,
            })?;
        }
    }
    outbox.message(&ToPod::Changes {
        root,
        changes: part,
        more: end,
    })?;
    Ok(())
}

fn digest(change: &Change) -> Option<Digest> {
    match change.entry.as_ref()?.what {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}

fn change(name: &[u8], found: Option<&Found>) -> Change {
    Change {
        name: name.into(),
        entry: found.and_then(entry),
    }
}

/// What a pod is shown of an entry; none of what it cannot have.
fn entry(found: &Found) -> Option<Entry> {
    let what = match &found.kind {
        Kind::File {
            size_bytes,
            content: Content::Digest(digest),
        } => EntryKind::File {
            digest: *digest,
            size_bytes: *size_bytes,
        },
        // Too large to be read unasked, or written to all the time.
        Kind::File { .. } | Kind::Unreadable { is_dir: false } => EntryKind::Closed,
        Kind::Dir | Kind::Unreadable { is_dir: true } => EntryKind::Dir,
        Kind::Link { target, .. } => EntryKind::Link {
            target: Bytes::from(&target[..]),
        },
        Kind::Other => return None,
    };
    Some(Entry {
        what,
        mode: found.mode,
        mtime: Stamp {
            seconds: found.mtime.seconds,
            nanoseconds: found.mtime.nanoseconds,
        },
        group: found.group,
    })
}
