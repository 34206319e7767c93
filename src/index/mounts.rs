//! Where other file systems begin below a root, and which file systems tell of changes.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mount points below a root, proc_pid_mountinfo(5).
#[derive(Debug)]
pub(super) struct Mounts {
    /// None where /proc is not mounted; then only a directory's device tells.
    file: Option<File>,
    points: BTreeSet<Vec<u8>>,
}

impl Mounts {
    pub(super) fn open(root: &Path) -> Self {
        let mut mounts = Self {
            file: File::open("/proc/thread-self/mountinfo").ok(),
            points: BTreeSet::new(),
        };
        mounts.points = mounts.read(root);
        mounts
    }

    /// Whether something is mounted at a path below the root.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.points.contains(path)
    }

    /// Where something was mounted or unmounted since the last call. Mounting raises no event that
    /// inotify has.
    pub(super) fn changed(&mut self, root: &Path) -> Vec<Vec<u8>> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(file, PollFlags::PRI)];
        if !matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
            return Vec::new();
        }
        let points = self.read(root);
        let changed = self.points.symmetric_difference(&points).cloned().collect();
        self.points = points;
        changed
    }

    fn read(&mut self, root: &Path) -> BTreeSet<Vec<u8>> {
        let mut text = Vec::new();
        if let Some(file) = &mut self.file {
            let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
            if let Err(error) = read {
                tracing::debug!("cannot read the table of mounts: {error}");
            }
        }
        points(&text, root.as_os_str().as_bytes())
    }
}

fn points(text: &[u8], root: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let points = points.map(unescape);
    points
        .filter_map(|point| Some(point.strip_prefix(root)?.strip_prefix(b"/")?.to_vec()))
        .filter(|point| !point.is_empty())
        .collect()
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        let digits = (first == b'\\').then(|| more.first_chunk::<3>()).flatten();
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(first));
        if code.is_some() {
            rest = &more[3..];
        }
    }
    plain
}

/// Where other file systems are mounted below a directory, which is known by its real path.
pub fn mounted_below(root: &Path) -> BTreeSet<Vec<u8>> {
    Mounts::open(root).points
}

/// Why a file system is not to be relied upon to tell of changes: those that others write to
/// unheard (network, FUSE, shared folders of virtual machines), and whatever is not known here.
pub fn why_silent(fd: BorrowedFd<'_>) -> Option<String> {
    /// statfs(2): ext2 to 4, XFS, Btrfs, tmpfs, ramfs, F2FS, overlay, bcachefs, ZFS, JFS, ReiserFS,
    /// NILFS, UBIFS; and what never changes: SquashFS, EROFS, ISO 9660.
    const TELLING: [u64; 16] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x8584_58f6,
        0xf2f5_2010,
        0x794c_7630,
        0xca45_1a4e,
        0x2fc1_2fc1,
        0x3153_464a,
        0x5265_4973,
        0x3434,
        0x2405_1905,
        0x7371_7368,
        0xe0f5_e1e2,
        0x9660,
    ];
    let magic = match rustix::fs::fstatfs(fd) {
        Ok(found) => found.f_type as u64 & 0xffff_ffff,
        Err(error) => return Some(format!("its file system is not known: {error}")),
    };
    if TELLING.contains(&magic) {
        return None;
    }
    let name = match magic {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9p",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        other => {
            return Some(format!(
                "file system type {other:#x} is not known to tell of changes"
            ));
        }
    };
    Some(format!("{name} does not tell of what others change"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_below_the_root_alone() {
        let text = b"1 0 8:1 / / rw - ext4 a rw\n\
            2 1 0:5 / /w/root rw - tmpfs t rw\n\
            3 2 0:6 /x /w/root/a\\040b\\134c rw shared:1 - tmpfs t rw\n\
            4 1 0:7 / /w/rootless/d rw - tmpfs t rw\n\
            5 2 0:6 / /w/root/d/e rw - tmpfs t rw\n";
        let expected = [&b"a b\\c"[..], b"d/e"].map(<[u8]>::to_vec);
        assert_eq!(points(text, b"/w/root"), expected.into());
    }

    #[test]
    fn proc_is_not_relied_upon() {
        let proc = File::open("/proc").unwrap();
        use std::os::fd::AsFd;
        assert!(why_silent(proc.as_fd()).unwrap().contains("0x9fa0"));
        let here = tempfile::tempdir().unwrap();
        let here = File::open(here.path()).unwrap();
        assert_eq!(why_silent(here.as_fd()), None);
    }
}
