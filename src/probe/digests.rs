//! Digests of files, remembered as long as nothing says that the file is another one.

use super::store;
use crate::job::Digest;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds, since the epoch where it is a point in time.
pub(super) type Seconds = (i64, u32);

/// How long a file must have been left alone before its times say that it has not changed: two
/// changes within one tick of the file system's clock look like one.
const SETTLED_SECONDS: i64 = 2;

/// What the kernel says of a file. Equal stamps, long after `ctime`, mean equal content: the times
/// that `utime` can set back do not include `ctime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stamp {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime: Seconds,
    pub(super) ctime: Seconds,
    pub(super) mode: u32,
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        let nanoseconds = |value: i64| u32::try_from(value).unwrap_or_default();
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            mtime: (found.mtime(), nanoseconds(found.mtime_nsec())),
            ctime: (found.ctime(), nanoseconds(found.ctime_nsec())),
            mode: found.mode(),
        }
    }

    /// Whether it is one of a directory.
    pub(super) fn is_directory(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode).is_dir()
    }

    /// Whether a look at the file that began at `looked` may be trusted as long as the stamp stays
    /// the same. A `ctime` in the future, as a wrong clock makes it, never is.
    pub(super) fn is_settled(&self, looked: Seconds) -> bool {
        let (seconds, nanoseconds) = self.ctime;
        (seconds + SETTLED_SECONDS, nanoseconds) <= looked
    }
}

/// The time, as file systems stamp it.
pub(super) fn now() -> Seconds {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or((0, 0), |since| {
            let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
            (seconds, since.subsec_nanos())
        })
}

/// A digest that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) digest: Digest,
    /// Whether it was asked for since this process started.
    pub(super) used: bool,
}

/// The digests of many files, asked for by many threads.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: Mutex<HashMap<Stamp, Known>>,
}

impl Digests {
    /// With what an earlier process remembered.
    pub(super) fn load(cache: &Path) -> Self {
        let known = store::load(cache).into_iter();
        let used = false;
        let known = known.map(|(stamp, digest)| (stamp, Known { digest, used }));
        Self {
            known: Mutex::new(known.collect()),
        }
    }

    /// Leaves what is remembered to a later process.
    pub(super) fn save(&self, cache: &Path) -> io::Result<()> {
        let known = self.lock().clone();
        store::save(cache, known.into_iter())
    }

    /// The digest of a regular file's content.
    pub(super) fn digest(&self, path: &Path) -> io::Result<Digest> {
        self.digest_of(path, Stamp::of(&path.metadata()?))
    }

    /// The same where the file's stamp was just taken.
    pub(super) fn digest_of(&self, path: &Path, stamp: Stamp) -> io::Result<Digest> {
        if let Some(known) = self.lock().get_mut(&stamp) {
            known.used = true;
            return Ok(known.digest);
        }
        let looked = now();
        let (stamp, digest) = hash(path)?;
        if stamp.is_settled(looked) {
            let used = true;
            self.lock().insert(stamp, Known { digest, used });
        }
        Ok(digest)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Stamp, Known>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file to its end; again if it was changed meanwhile.
fn hash(path: &Path) -> io::Result<(Stamp, Digest)> {
    const TRIES: u32 = 4;
    // Not held up by a FIFO, and no terminal taken over.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    for _ in 0..TRIES {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let digest = hash_content(&mut file)?;
        let (before, after) = (Stamp::of(&before), Stamp::of(&file.metadata()?));
        if before == after {
            return Ok((after, digest));
        }
    }
    Err(io::Error::other("changes all the time"))
}

fn hash_content(file: &mut File) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest(*hasher.finalize().as_bytes())),
            Ok(bytes) => _ = hasher.update(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        dev: 1,
        ino: 2,
        size: 3,
        mtime: (50, 0),
        ctime: (100, 500),
        mode: 0o100_644,
    };

    #[test]
    fn a_file_must_be_left_alone_before_it_is_trusted() {
        for (looked, settled) in [
            ((99, 0), false),
            ((100, 500), false),
            ((102, 499), false),
            ((102, 500), true),
            ((1000, 0), true),
        ] {
            assert_eq!(STAMP.is_settled(looked), settled, "{looked:?}");
        }
    }

    #[test]
    fn only_a_settled_digest_is_remembered() {
        let space = tempfile::tempdir().unwrap();
        let path = space.path().join("new");
        std::fs::write(&path, "content").unwrap();
        let digests = Digests::default();
        assert_eq!(digests.digest(&path).unwrap(), Digest::of(b"content"));
        // Written this very moment, or at a time to come.
        assert!(digests.lock().is_empty());
    }

    #[test]
    fn a_remembered_digest_is_used_for_an_equal_stamp_only() {
        let space = tempfile::tempdir().unwrap();
        let path = space.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let stamp = Stamp::of(&path.metadata().unwrap());
        let digests = Digests::default();
        let (digest, used) = (Digest::of(b"remembered"), false);
        digests.lock().insert(stamp, Known { digest, used });
        assert_eq!(digests.digest(&path).unwrap(), digest);
        for other in [
            Stamp {
                dev: stamp.dev + 1,
                ..stamp
            },
            Stamp {
                ino: stamp.ino + 1,
                ..stamp
            },
            Stamp { size: 1, ..stamp },
            Stamp {
                mtime: (1, 1),
                ..stamp
            },
            Stamp {
                ctime: (1, 1),
                ..stamp
            },
            Stamp { mode: 0, ..stamp },
        ] {
            let found = digests.digest_of(&path, other).unwrap();
            assert_eq!(found, Digest::of(b"content"), "{other:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_file() {
        let space = tempfile::tempdir().unwrap();
        let pipe = space.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let digests = Digests::default();
        assert!(digests.digest(&pipe).is_err());
        assert!(digests.digest(space.path()).is_err());
        assert!(digests.digest(&space.path().join("absent")).is_err());
    }
}
