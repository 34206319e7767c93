//! Content that this pod has itself: of directories of the system's, which machines have alike.

use super::on_disk::content;
use super::store::Store;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::files::{Change, EntryKind};
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Larger files are rather asked for: what is compared is read whole.
const MOST_BYTES: u64 = 16 << 20;

/// Copies what files below `own` have of what is lacking; that is lacking no more.
///
/// # Errors
/// Of the store. What cannot be read is not there.
pub(super) fn take(
    own: &Path,
    list: &[Change],
    lacking: &mut Vec<Digest>,
    store: &Store,
) -> io::Result<()> {
    let mut wanted: HashSet<Digest> = lacking.iter().copied().collect();
    for Change { name, entry, .. } in list {
        let Some(entry) = entry else { continue };
        let Some(digest) = content(entry).filter(|digest| wanted.contains(digest)) else {
            continue;
        };
        if let Some(bytes) = same(own, name, &entry.what) {
            let aside = store.aside();
            fs::write(&aside, bytes)?;
            fs::rename(aside, store.path(digest))?;
            wanted.remove(&digest);
        }
    }
    lacking.retain(|digest| wanted.contains(digest));
    Ok(())
}

/// This pod's file of this name, if it has the same content.
fn same(own: &Path, name: &Bytes, what: &EntryKind) -> Option<Vec<u8>> {
    let EntryKind::File { digest, size_bytes } = what else {
        return None;
    };
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).ok()?;
    let mut file = File::options();
    let file = file.read(true).custom_flags(flags);
    let file = file.open(own.join(name.as_path())).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() != *size_bytes || found.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    (Digest::of(&bytes) == *digest).then_some(bytes)
}
