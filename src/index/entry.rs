//! What the index says of one name: plain data, without what it needs to keep that true.

use crate::job::Digest;
use std::num::NonZeroU64;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time of a file, or of the clock that gives files their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Since the epoch.
    pub seconds: i64,
    /// Below a second.
    pub nanoseconds: u32,
}

impl Time {
    /// The clock's time.
    pub fn now() -> Self {
        // Before the epoch only where the clock was never set; then no file's time is trusted.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Self {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        }
    }
}

/// What is known of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Its blake3 digest.
    Digest(Digest),
    /// Larger than what is hashed unasked; [`super::Index::digest`] hashes it.
    Unhashed,
    /// Written to again and again while it was hashed. A job that needs it must be kept from
    /// other machines: nobody can say which content it would see.
    Unstable,
}

/// What stands at a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File {
        /// Length in bytes.
        size_bytes: u64,
        /// What it holds.
        content: Content,
    },
    /// A directory that is part of the index.
    Dir,
    /// A symbolic link.
    Link {
        /// Where it points, as text.
        target: Box<[u8]>,
        /// Whether following it leaves the root: by its text, or through other links of the root.
        outside: bool,
    },
    /// A file or directory that this process may not read, that the disk cannot give, or that is left
    /// out; of one that is left out nothing else is told, neither mode nor time.
    Unreadable {
        /// Whether it is a directory, as far as can be told.
        is_dir: bool,
    },
    /// A device, socket or pipe, or where another file system begins.
    Other,
}

/// One name of a root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, those of setuid, setgid and sticky among them.
    pub mode: u32,
    /// Time of the last modification.
    pub mtime: Time,
    /// Of a file, or a symbolic link, with several hard links: the same number for all names of it
    /// in this root.
    pub group: Option<NonZeroU64>,
}

impl Entry {
    /// The content's digest, of a file for which it is known.
    pub fn digest(&self) -> Option<Digest> {
        match self.kind {
            Kind::File {
                content: Content::Digest(digest),
                ..
            } => Some(digest),
            _ => None,
        }
    }
}
