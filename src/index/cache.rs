//! Digests that outlive the process: of files that had settled, by what stat said of them.
//!
//! The file is a magic with a version, one record of fixed length for each file, and the blake3
//! digest of all that. It names files by device and inode, never by path. One that is torn,
//! of another version or not ours is as none at all: nothing but time is lost by that.

use super::entry::Time;
use super::stat::{Inode, Stat};
use crate::job::Digest;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"cpods index\0\0\0\0\x01";
const RECORD: usize = 8 + 8 + 8 + 4 + 12 + 12 + 32;

/// Digests of settled files.
pub(super) type Known = HashMap<Inode, (Stat, Digest)>;

/// What a cache file holds; nothing if it is not one.
pub(super) fn load(path: &Path) -> Known {
    let known = std::fs::read(path).ok().and_then(|bytes| decode(&bytes));
    known.unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<Known> {
    let (bytes, digest) = bytes.split_last_chunk::<32>()?;
    if Digest::of(bytes).0 != *digest {
        return None;
    }
    let (records, rest) = bytes.strip_prefix(MAGIC)?.as_chunks::<RECORD>();
    if !rest.is_empty() {
        return None;
    }
    let records = records.iter().map(|record| {
        let mut fields = Fields(record);
        let stat = Stat {
            dev: fields.u64(),
            ino: fields.u64(),
            size_bytes: fields.u64(),
            mode: fields.u32(),
            links: 1,
            mtime: fields.time(),
            ctime: fields.time(),
        };
        (stat.inode(), (stat, Digest(fields.take())))
    });
    Some(records.collect())
}

/// Takes a record apart.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // A record's fields make up its length exactly.
        let (field, rest) = self.0.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn time(&mut self) -> Time {
        Time {
            seconds: i64::from_le_bytes(self.take()),
            nanoseconds: self.u32(),
        }
    }
}

fn encode(known: impl Iterator<Item = (Stat, Digest)>, to: impl Write) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    let mut hasher = blake3::Hasher::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        to.write_all(bytes)
    };
    put(MAGIC)?;
    let mut record = Vec::with_capacity(RECORD);
    for (stat, digest) in known {
        record.clear();
        for number in [stat.dev, stat.ino, stat.size_bytes] {
            record.extend(number.to_le_bytes());
        }
        record.extend(stat.mode.to_le_bytes());
        for time in [stat.mtime, stat.ctime] {
            record.extend(time.seconds.to_le_bytes());
            record.extend(time.nanoseconds.to_le_bytes());
        }
        record.extend(digest.0);
        put(&record)?;
    }
    let digest = hasher.finalize();
    to.write_all(digest.as_bytes())?;
    to.flush()
}

/// Writes a cache file in the place of the one before, in one step for every reader.
pub(super) fn save(path: &Path, known: impl Iterator<Item = (Stat, Digest)>) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = std::fs::File::create(&temporary)
        .and_then(|file| encode(known, file))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> (Stat, Digest) {
        let time = |seconds| Time {
            seconds,
            nanoseconds: 7,
        };
        let stat = Stat {
            dev: 1,
            ino: 2,
            size_bytes: 3,
            mode: 0o100_644,
            links: 1,
            mtime: time(-4),
            ctime: time(5),
        };
        (stat, Digest([9; 32]))
    }

    #[test]
    fn comes_back_whole_or_not_at_all() {
        let space = tempfile::tempdir().unwrap();
        let path = space.path().join("cache");
        assert!(load(&path).is_empty());
        save(&path, [some()].into_iter()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(load(&path)[&some().0.inode()], some());
        assert_eq!(std::fs::read_dir(space.path()).unwrap().count(), 1);
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "{length}");
        }
        for place in 0..whole.len() {
            let mut torn = whole.clone();
            torn[place] ^= 1;
            assert_eq!(decode(&torn), None, "{place}");
        }
        assert_eq!(decode(&[whole.clone(), whole].concat()), None);
        // Of another version, and otherwise sound.
        let mut other = Vec::new();
        encode([some()].into_iter(), &mut other).unwrap();
        other.truncate(other.len() - 32);
        other[MAGIC.len() - 1] = 2;
        let digest = Digest::of(&other);
        other.extend(digest.0);
        assert_eq!(decode(&other), None);
    }
}
