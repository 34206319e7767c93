//! What a pod is shown of what an index has.

use crate::index::{Content, Entry as Found, Kind};
use crate::paths::Bytes;
use crate::schedd::by_need;
use crate::wire::files::{Change, Entry, EntryKind};
use crate::wire::messages::Stamp;

/// A name's entry in a list of changes; none if it is not there.
pub(super) fn change(name: &[u8], found: Option<&Found>) -> Change {
    let (name, entry) = (Bytes::from(name), found.map(entry));
    let what = entry.as_ref().map(|entry| &entry.what);
    Change {
        later: matches!(what, Some(EntryKind::File { size_bytes, .. })
            if by_need::is_later(&name, *size_bytes)),
        name,
        entry,
    }
}

/// What a pod is shown of an entry.
fn entry(found: &Found) -> Entry {
    let what = match &found.kind {
        Kind::File {
            size_bytes,
            content: Content::Digest(digest),
        } => EntryKind::File {
            digest: *digest,
            size_bytes: *size_bytes,
        },
        // Too large to be read unasked, or written to all the time.
        Kind::File { size_bytes, .. } => EntryKind::Closed {
            size_bytes: *size_bytes,
        },
        Kind::Unreadable { is_dir: false } => EntryKind::Closed { size_bytes: 0 },
        Kind::Dir => return dir(found.mode | 0o700, found),
        // What a job finds there must be an error, not that there is nothing: it might go on.
        Kind::Unreadable { is_dir: true } | Kind::Other => return dir(0, found),
        Kind::Link { target, .. } => EntryKind::Link {
            target: Bytes::from(&target[..]),
        },
    };
    Entry {
        what,
        mode: found.mode,
        mtime: stamp(found),
        group: found.group,
    }
}

/// A directory; of no mode if nobody may look into it.
fn dir(mode: u32, found: &Found) -> Entry {
    Entry {
        what: EntryKind::Dir,
        mode,
        mtime: stamp(found),
        group: None,
    }
}

fn stamp(found: &Found) -> Stamp {
    Stamp {
        seconds: found.mtime.seconds,
        nanoseconds: found.mtime.nanoseconds,
    }
}
