//! Digests that outlive the process: of files that had settled, by what stat said of them.
//!
//! The file is a magic with a version, when it was written and in which boot, one record of fixed
//! length for each file, and the blake3 digest of all that. It names files by device and inode, never
//! by path. One that is torn, of another version or not ours is as none at all: nothing but time is
//! lost by that.
//!
//! Where the power fails, a file system may have kept that a file was overwritten in place, its new
//! change time, and not the new content, which it writes some half a minute later. Whenever that was,
//! it was after the cache was written; so of what was written in an earlier boot those files are not
//! believed that had been changed shortly before, or after. They are read again, after each start of
//! the machine: that costs little, and nobody need tell a failure from an orderly end.

use super::entry::Time;
use super::stat::{Inode, Stat};
use crate::job::Digest;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"cpods index\0\0\0\0\x02";
/// In which boot of the machine.
type Boot = [u8; 36];
const WRITTEN: usize = size_of::<Boot>() + 12;
/// How long after a change the disk may still have the content of before. The kernel's half a minute
/// (`vm.dirty_expire_centisecs`), and what a slow disk and other settings add.
const LOSSY_SECONDS: i64 = 300;
const RECORD: usize = 8 + 8 + 8 + 4 + 12 + 12 + 32;

/// Digests of settled files.
pub(super) type Known = HashMap<Inode, (Stat, Digest)>;

/// What a cache file holds; nothing if it is not one.
pub(super) fn load(path: &Path) -> Known {
    let bytes = std::fs::read(path).ok();
    let known = bytes.and_then(|bytes| decode(&bytes, boot()));
    known.unwrap_or_default()
}

/// None where the kernel does not tell: then it is never the same.
fn boot() -> Option<Boot> {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    id.first_chunk().copied()
}

fn decode(bytes: &[u8], boot: Option<Boot>) -> Option<Known> {
    let (bytes, digest) = bytes.split_last_chunk::<32>()?;
    if Digest::of(bytes).0 != *digest {
        return None;
    }
    let (written, bytes) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<WRITTEN>()?;
    let mut written = Fields(written);
    let is_same_boot = boot == Some(written.take());
    let at = written.time();
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        return None;
    }
    let is_on_disk = |stat: &Stat| {
        let surely = Time {
            seconds: stat.ctime.seconds.saturating_add(LOSSY_SECONDS),
            ..stat.ctime
        };
        is_same_boot || surely <= at
    };
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
    let kept = records.filter(|(_, (stat, _)): &(Inode, (Stat, Digest))| is_on_disk(stat));
    Some(kept.collect())
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

fn encode(
    known: impl Iterator<Item = (Stat, Digest)>,
    (boot, at): (Boot, Time),
    to: impl Write,
) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    let mut hasher = blake3::Hasher::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        to.write_all(bytes)
    };
    put(MAGIC)?;
    put(&boot)?;
    put(&at.seconds.to_le_bytes())?;
    put(&at.nanoseconds.to_le_bytes())?;
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

/// Writes a cache file in the place of the one before, in one step for every reader; `at` is now.
pub(super) fn save(
    path: &Path,
    known: impl Iterator<Item = (Stat, Digest)>,
    at: Time,
) -> io::Result<()> {
    // Where it is not told, no boot is that.
    let boot = boot().unwrap_or([0; 36]);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = std::fs::File::create(&temporary)
        .and_then(|file| encode(known, (boot, at), file))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Boot = [b'a'; 36];
    const NOW: Time = Time {
        seconds: 9,
        nanoseconds: 8,
    };

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
        save(&path, [some()].into_iter(), NOW).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(load(&path)[&some().0.inode()], some());
        assert_eq!(std::fs::read_dir(space.path()).unwrap().count(), 1);
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length], boot()), None, "{length}");
        }
        for place in 0..whole.len() {
            let mut torn = whole.clone();
            torn[place] ^= 1;
            assert_eq!(decode(&torn, boot()), None, "{place}");
        }
        assert_eq!(decode(&[whole.clone(), whole].concat(), boot()), None);
        // Of another version, and otherwise sound.
        let mut other = Vec::new();
        encode([some()].into_iter(), (BOOT, NOW), &mut other).unwrap();
        other.truncate(other.len() - 32);
        other[MAGIC.len() - 1] = 1;
        let digest = Digest::of(&other);
        other.extend(digest.0);
        assert_eq!(decode(&other, Some(BOOT)), None);
    }

    #[test]
    fn what_changed_shortly_before_another_boot_is_read_again() {
        let (stat, digest) = some();
        let after = |seconds| Time {
            seconds: stat.ctime.seconds + seconds,
            ..stat.ctime
        };
        let is_believed = |at: Time, boot: Option<Boot>| {
            let mut bytes = Vec::new();
            encode([(stat, digest)].into_iter(), (BOOT, at), &mut bytes).unwrap();
            !decode(&bytes, boot).unwrap().is_empty()
        };
        let just_before = after(LOSSY_SECONDS - 1);
        assert!(is_believed(just_before, Some(BOOT)));
        assert!(!is_believed(just_before, Some([b'b'; 36])));
        assert!(!is_believed(just_before, None), "it may be another one");
        assert!(
            !is_believed(after(-7), Some([b'b'; 36])),
            "a clock put back"
        );
        assert!(is_believed(after(LOSSY_SECONDS), Some([b'b'; 36])));
    }
}
