//! Which names of a tree hold which content, and how much of the disk that takes.

use crate::job::Digest;
use crate::paths::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

/// What file systems give at least.
const BLOCK_BYTES: u64 = 4096;

/// Files that are there whole.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// With each name the number of the file, if other names are the same.
    names: HashMap<Digest, BTreeMap<Bytes, Option<NonZeroU64>>>,
    bytes: u64,
}

impl Contents {
    /// What all of it takes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has(&self, digest: Digest) -> bool {
        self.names.contains_key(&digest)
    }

    pub(super) fn names(&self, digest: Digest) -> impl Iterator<Item = &Bytes> {
        self.names.get(&digest).into_iter().flat_map(BTreeMap::keys)
    }

    /// A name holds this from now on.
    pub(super) fn insert(
        &mut self,
        (digest, size_bytes): (Digest, u64),
        name: &Bytes,
        group: Option<NonZeroU64>,
    ) {
        let names = self.names.entry(digest).or_default();
        let is_file_there = shares(names, group);
        if names.insert(name.clone(), group).is_none() && !is_file_there {
            self.bytes += on_disk(size_bytes);
        }
    }

    /// A name holds it no more.
    pub(super) fn remove(&mut self, (digest, size_bytes): (Digest, u64), name: &Bytes) {
        let Some(names) = self.names.get_mut(&digest) else {
            return;
        };
        let Some(group) = names.remove(name) else {
            return;
        };
        if !shares(names, group) {
            self.bytes -= on_disk(size_bytes).min(self.bytes);
        }
        if names.is_empty() {
            self.names.remove(&digest);
        }
    }
}

/// Whether one of the names is that very file.
fn shares(names: &BTreeMap<Bytes, Option<NonZeroU64>>, group: Option<NonZeroU64>) -> bool {
    group.is_some() && names.values().any(|other| *other == group)
}

fn on_disk(size_bytes: u64) -> u64 {
    size_bytes.next_multiple_of(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_names_counts_once() {
        let mut contents = Contents::default();
        let what = (Digest::of(b"x"), 5000);
        let group = NonZeroU64::new(7);
        for (name, group, bytes) in [
            ("a", None, 8192),
            ("a", None, 8192),
            ("b", group, 16384),
            ("c", group, 16384),
            ("d", NonZeroU64::new(8), 24576),
        ] {
            contents.insert(what, &Bytes::from(name), group);
            assert_eq!(contents.bytes(), bytes, "{name}");
        }
        for (name, bytes) in [
            ("b", 24576),
            ("c", 16384),
            ("c", 16384),
            ("a", 8192),
            ("d", 0),
        ] {
            assert!(contents.has(what.0));
            contents.remove(what, &Bytes::from(name));
            assert_eq!(contents.bytes(), bytes, "{name}");
        }
        assert!(!contents.has(what.0));
    }
}
