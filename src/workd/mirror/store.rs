//! Content on its way into a mirror: what the hub sends, and what jobs of this pod wrote.
//!
//! Files named by their digest in one directory. Nothing in it outlives a session: what a crash
//! leaves is swept by the next, and the hub sends again what is asked for.

use crate::job::Digest;
use crate::paths::Bytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A piece is a frame's payload at most.
const MOST_PIECE_BYTES: usize = crate::wire::frame::MAX_MESSAGE_BYTES;

/// The directory, and the content that is coming in.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    coming: Option<Coming>,
}

#[derive(Debug)]
struct Coming {
    digest: Digest,
    hasher: Box<blake3::Hasher>,
    file: File,
}

impl Store {
    /// An empty one in this directory.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(dir)?,
        }
        Ok(Self {
            dir: dir.into(),
            coming: None,
        })
    }

    /// Where content of this digest lies, if it is there.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    pub(super) fn has(&self, digest: Digest) -> bool {
        rustix::fs::accessat(
            CWD,
            self.path(digest),
            rustix::fs::Access::EXISTS,
            AtFlags::empty(),
        )
        .is_ok()
    }

    /// A name for something that is to be put in place by a rename.
    pub(super) fn aside(&self) -> PathBuf {
        self.dir.join("aside")
    }

    /// Takes the next piece of content; true if that was the last.
    ///
    /// # Errors
    /// The disk's, or content that is not what its digest says.
    pub(super) fn receive(
        &mut self,
        digest: Digest,
        packed: &[u8],
        last: bool,
    ) -> io::Result<bool> {
        let part = self.dir.join("part");
        let mut coming = match self.coming.take() {
            Some(coming) if coming.digest == digest => coming,
            Some(_) => return Err(io::Error::other("two contents at a time")),
            None => Coming {
                digest,
                hasher: Box::default(),
                file: File::create(&part)?,
            },
        };
        let bytes = zstd::bulk::decompress(packed, MOST_PIECE_BYTES)?;
        coming.hasher.update(&bytes);
        coming.file.write_all(&bytes)?;
        if !last {
            self.coming = Some(coming);
            return Ok(false);
        }
        if *coming.hasher.finalize().as_bytes() != digest.0 {
            return Err(io::Error::other("content came in damaged"));
        }
        fs::rename(part, self.path(digest))?;
        Ok(true)
    }
}

/// Where jobs leave what they wrote, for the mirror to take it from there.
#[derive(Clone, Debug)]
pub(crate) struct Made(pub(super) PathBuf);

impl Made {
    /// Keeps a file that a job wrote, whose job is over. That it is kept is not promised: it may lie
    /// on another file system.
    pub(crate) fn keep(&self, upper: &OwnedFd, below: &Bytes, digest: Digest) {
        // The name may lead through a link that the job made: then nothing is kept.
        let how = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(upper, below.as_path(), how, Mode::empty(), resolve);
        if let Ok(file) = opened {
            let here = format!(
                "/proc/self/fd/{}",
                std::os::fd::AsRawFd::as_raw_fd(&file.as_fd())
            );
            let there = self.0.join(digest.to_string());
            let _ = rustix::fs::linkat(CWD, here, CWD, there, AtFlags::SYMLINK_FOLLOW);
        }
    }
}
