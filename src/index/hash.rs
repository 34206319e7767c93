//! Digests of files, read piece by piece, several at a time.
//!
//! Never through a mapping: a file that is truncated meanwhile would kill this process.

use super::ground::Ground;
use super::stat::Stat;
use super::table::Name;
use crate::job::Digest;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;

/// Bytes read at once.
const PIECE: usize = 128 * 1024;

/// Files taken at once by a thread.
const GRAIN: usize = 16;

/// Fewer bytes than these are hashed sooner than a thread is started.
const WORTH_A_THREAD: u64 = 256 * 1024;

/// What became of a file that was to be hashed.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was this file, before and after.
    Hashed(Stat, Digest),
    /// Too large to be hashed unasked.
    TooLarge(Stat),
    /// It changed while it was read, or there was no room for reading it: worth another try.
    Changed,
    /// It may not be read, or the disk fails.
    Unreadable,
    /// It is not there any more, or no regular file.
    Gone,
}

/// Hashes one file.
pub(super) fn one(ground: &Ground, path: &[u8], up_to: u64, piece: &mut Vec<u8>) -> Outcome {
    match read(ground, path, up_to, piece) {
        Ok(outcome) => outcome,
        Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Outcome::Changed,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::XDEV) => {
            Outcome::Gone
        }
        Err(error) => {
            let name = String::from_utf8_lossy(path);
            tracing::debug!("cannot read `{name}`: {error}");
            Outcome::Unreadable
        }
    }
}

fn read(ground: &Ground, path: &[u8], up_to: u64, piece: &mut Vec<u8>) -> Result<Outcome, Errno> {
    let fd = ground.open_file(path)?;
    let before = Stat::from(rustix::fs::fstat(&fd)?);
    if before.file_type() != FileType::RegularFile {
        return Ok(Outcome::Gone);
    }
    if before.size_bytes > up_to {
        return Ok(Outcome::TooLarge(before));
    }
    piece.resize(PIECE, 0);
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    loop {
        match rustix::io::read(&fd, &mut piece[..]) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&piece[..read]);
                length += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        // One that grows as fast as it is read.
        if length > before.size_bytes {
            return Ok(Outcome::Changed);
        }
    }
    let after = Stat::from(rustix::fs::fstat(&fd)?);
    let is_same = before.is_same(&after) && length == before.size_bytes;
    Ok(if is_same {
        Outcome::Hashed(after, Digest(*hasher.finalize().as_bytes()))
    } else {
        Outcome::Changed
    })
}

/// Hashes files on all cores; outcomes in the files' order.
pub(super) fn all(ground: &Ground, files: &[(Name, u64)], up_to: u64) -> Vec<Outcome> {
    // To ask costs more than to read a small file.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    let bytes: u64 = files.iter().map(|(_, size)| *size).sum();
    let workers = CORES.min(
        files
            .len()
            .div_ceil(GRAIN)
            .max(usize::from(bytes > WORTH_A_THREAD) * files.len()),
    );
    if workers < 2 {
        let mut piece = Vec::new();
        let each = files.iter();
        return each
            .map(|(path, _)| one(ground, path, up_to, &mut piece))
            .collect();
    }
    // Few large files are shared out one by one.
    let grain = GRAIN.min(files.len().div_ceil(workers * 4)).max(1);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut piece = Vec::new();
                loop {
                    let start = next.fetch_add(grain, Ordering::Relaxed);
                    let Some(rest) = files.get(start..).filter(|rest| !rest.is_empty()) else {
                        break;
                    };
                    let part = rest.iter().take(grain);
                    let part: Vec<_> = part
                        .map(|(path, _)| one(ground, path, up_to, &mut piece))
                        .collect();
                    // Poisoned only if a sibling panicked; then `scope` panics as well.
                    if let Ok(mut done) = done.lock() {
                        done.push((start, part));
                    }
                }
            });
        }
    });
    let mut parts = done.into_inner().unwrap_or_default();
    parts.sort_unstable_by_key(|(start, _)| *start);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}
