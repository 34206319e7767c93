//! How the hub's files come to a pod, and what is said of them.

use super::messages::Stamp;
use crate::job::Digest;
use crate::paths::Bytes;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// Content of larger files is not copied.
pub const MOST_FILE_BYTES: u64 = 256 << 20;

/// What comes after one part of a list of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum More {
    /// Another part.
    Part,
    /// Nothing: the list is whole.
    Nothing,
    /// Nothing, and this was the first list for this root: all there is, and what it does not name
    /// is not there.
    Everything,
}

/// A name in a root, and what stands there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Below the root; the root itself has no name.
    pub name: Bytes,
    /// None if it was removed.
    pub entry: Option<Entry>,
    /// Of a file: its content may come once somebody opens it.
    pub later: bool,
}

/// What stands at a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub what: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Time of the last modification.
    pub mtime: Stamp,
    /// Names that are one file have the same number.
    pub group: Option<NonZeroU64>,
}

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file with this content.
    File {
        /// Its digest.
        digest: Digest,
        /// Its length.
        size_bytes: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: Bytes,
    },
    /// A file whose content nobody is shown.
    Closed {
        /// Its length; 0 of one of which nothing is told.
        size_bytes: u64,
    },
}

/// How a pod comes to the files of the hub's roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// Pod and hub have one file system.
    #[default]
    Shared,
    /// By sshfs, mounted by the hub where the pod asks for it.
    Sshfs,
    /// By a copy on the pod, which the hub keeps up to date with each job.
    Mirror,
}

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Sshfs => "sshfs",
            Self::Mirror => "mirror",
        })
    }
}
