//! Remembered digests on disk, so that a new process need not read every header again.
//!
//! A file of records of one size, behind a magic and before a digest over all of it. A file that is
//! damaged, or of another version, holds nothing: everything is hashed again and the file replaced.

use super::digests::{Known, Seconds, Stamp};
use crate::job::Digest;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const MAGIC: [u8; 8] = *b"cpodsD\0\x01";
const RECORD_BYTES: usize = 8 + 8 + 8 + 12 + 12 + 4 + 32;
/// Above this, only what this process used is kept.
const MAX_RECORDS: usize = 200_000;

/// What was saved; nothing where it cannot be read.
pub(super) fn load(cache: &Path) -> Vec<(Stamp, Digest)> {
    fs::read(cache)
        .ok()
        .and_then(|bytes| parse(&bytes))
        .unwrap_or_default()
}

/// Replaces what was saved, in one step.
pub(super) fn save(
    cache: &Path,
    known: impl ExactSizeIterator<Item = (Stamp, Known)>,
) -> io::Result<()> {
    let all = known.len() <= MAX_RECORDS;
    let records = known.filter(|(_, known)| all || known.used);
    let bytes = render(records.map(|(stamp, known)| (stamp, known.digest)));
    if let Some(directory) = cache.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
    }
    let mut temporary = cache.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&temporary, cache));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn render(records: impl Iterator<Item = (Stamp, Digest)>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let time = |bytes: &mut Vec<u8>, (seconds, nanoseconds): Seconds| {
        bytes.extend(seconds.to_le_bytes());
        bytes.extend(nanoseconds.to_le_bytes());
    };
    for (stamp, digest) in records {
        for number in [stamp.dev, stamp.ino, stamp.size] {
            bytes.extend(number.to_le_bytes());
        }
        time(&mut bytes, stamp.mtime);
        time(&mut bytes, stamp.ctime);
        bytes.extend(stamp.mode.to_le_bytes());
        bytes.extend(digest.0);
    }
    let seal = Digest::of(&bytes);
    bytes.extend(seal.0);
    bytes
}

fn parse(bytes: &[u8]) -> Option<Vec<(Stamp, Digest)>> {
    let (content, seal) = bytes.split_last_chunk::<32>()?;
    if Digest::of(content).0 != *seal {
        return None;
    }
    let records = content.strip_prefix(&MAGIC)?;
    records.chunks(RECORD_BYTES).map(parse_record).collect()
}

fn parse_record(mut rest: &[u8]) -> Option<(Stamp, Digest)> {
    let rest = &mut rest;
    let stamp = Stamp {
        dev: u64::from_le_bytes(take(rest)?),
        ino: u64::from_le_bytes(take(rest)?),
        size: u64::from_le_bytes(take(rest)?),
        mtime: (
            i64::from_le_bytes(take(rest)?),
            u32::from_le_bytes(take(rest)?),
        ),
        ctime: (
            i64::from_le_bytes(take(rest)?),
            u32::from_le_bytes(take(rest)?),
        ),
        mode: u32::from_le_bytes(take(rest)?),
    };
    Some((stamp, Digest(take(rest)?)))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<(Stamp, Digest)> {
        (0..3u32)
            .map(|number| {
                let stamp = Stamp {
                    dev: 1 << 40,
                    ino: u64::from(number),
                    size: u64::MAX,
                    mtime: (-1, 999_999_999),
                    ctime: (1 << 40, number),
                    mode: 0o100_755,
                };
                (stamp, Digest::of(&number.to_le_bytes()))
            })
            .collect()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let space = tempfile::tempdir().unwrap();
        let cache = space.path().join("new/digests");
        let used = false;
        let known = records();
        let known = known.iter().map(|(stamp, digest)| {
            let digest = *digest;
            (*stamp, Known { digest, used })
        });
        save(&cache, known).unwrap();
        assert_eq!(load(&cache), records());
        let left: Vec<_> = fs::read_dir(space.path().join("new")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_damaged_file_holds_nothing() {
        let whole = render(records().into_iter());
        assert_eq!(parse(&whole), Some(records()));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            assert_eq!(parse(&damaged), None, "byte {at}");
            assert_eq!(parse(&whole[..at]), None, "cut at {at}");
        }
        assert_eq!(load(Path::new("/nonexistent/cache")), []);
    }
}
