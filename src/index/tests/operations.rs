//! What may happen to the files of a root, at random.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::process::{Signal, getpid, kill_process};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Numbers that follow from a seed (splitmix64, by S. Vigna, in the public domain).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Few, so that operations meet; also such as no text can name.
const NAMES: [&[u8]; 6] = [b"a", b"b", b"c.h", b"new\nline", b"\xff\xfe", b" "];

fn place(root: &Path, random: &mut Random) -> PathBuf {
    let mut path = root.to_owned();
    for _ in 0..=random.below(3) {
        path.push(OsStr::from_bytes(NAMES[random.below(NAMES.len())]));
    }
    path
}

/// Mostly small, and often the same; sometimes more than goes along with a list, or is one piece.
pub(crate) fn content(byte: u8) -> Vec<u8> {
    match byte {
        0..4 => Vec::new(),
        4..6 => vec![byte; 300 << 10],
        6 => vec![byte; 256 << 10],
        7 => [byte, 1, 2, 3].repeat(600 << 10),
        _ => vec![byte % 32; 8],
    }
}

/// What may be done while others do something, too. Whether it can be done is of no interest.
pub(crate) fn step(root: &Path, random: &mut Random) -> io::Result<()> {
    let (at, to) = (place(root, random), place(root, random));
    let byte = random.byte();
    match random.below(40) {
        0..8 => fs::write(at, content(byte)),
        8..12 => overwrite(&at, byte),
        12..14 => {
            let found = at.symlink_metadata()?;
            overwrite(&at, byte)?;
            set_mtime(&at, found.mtime(), found.mtime_nsec())
        }
        14 => OpenOptions::new()
            .write(true)
            .open(at)?
            .set_len(byte.into()),
        15..20 => fs::rename(at, to),
        20..22 => Ok(rustix::fs::renameat_with(
            CWD,
            at,
            CWD,
            to,
            RenameFlags::EXCHANGE,
        )?),
        22..25 => symlink(OsStr::from_bytes(NAMES[random.below(NAMES.len())]), at),
        25..28 => match at.symlink_metadata()?.is_dir() {
            true => fs::remove_dir_all(at),
            false => fs::remove_file(at),
        },
        28..33 => fs::create_dir(at),
        33..35 => match at.symlink_metadata()?.is_symlink() {
            true => Ok(()),
            false => {
                let modes = [0o755, 0o640, 0o600, 0o555, 0o444, 0o711];
                let mode = modes[random.below(modes.len())];
                fs::set_permissions(at, fs::Permissions::from_mode(mode))
            }
        },
        35 => set_mtime(&at, byte.into(), 7),
        36..38 => {
            // A saved file, and a copy of it.
            let aside = at.with_extension("tmp");
            fs::write(&aside, content(byte))?;
            fs::rename(&aside, &at)?;
            fs::copy(&at, to).map(drop)
        }
        _ => {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::openat(CWD, root, flags, Mode::from(0o644))?;
            let file = fs::File::from(file);
            file.write_all_at(&content(byte), 0)?;
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, at, AtFlags::SYMLINK_FOLLOW)?;
            file.write_all_at(&[byte], 0)
        }
    }
}

/// Makes one file known by two names, which an index must see before either is used.
pub(crate) fn link(root: &Path, random: &mut Random) -> io::Result<()> {
    fs::hard_link(place(root, random), place(root, random))
}

/// In files that nobody else has names for: links, and stores through a mapping.
pub(crate) fn own(root: &Path, worker: usize, random: &mut Random) -> io::Result<()> {
    let file = open_own(root, worker)?;
    let own = own_path(root, worker);
    match random.below(4) {
        0 => fs::hard_link(own, root.join(format!("own{worker}.{}", random.below(4)))),
        1 => overwrite(
            &root.join(format!("own{worker}.{}", random.below(4))),
            random.byte(),
        ),
        _ => store(file, random),
    }
}

fn own_path(root: &Path, worker: usize) -> PathBuf {
    root.join(format!("own{worker}"))
}

/// Of a length that may be mapped.
fn open_own(root: &Path, worker: usize) -> io::Result<fs::File> {
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).create(true).truncate(false);
    let file = file.open(own_path(root, worker))?;
    file.set_len(MAPPED_BYTES as u64)?;
    Ok(file)
}

fn overwrite(path: &Path, byte: u8) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[byte], 3)
}

fn set_mtime(path: &Path, tv_sec: i64, tv_nsec: i64) -> io::Result<()> {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(CWD, path, &times, flags)?)
}

/// Stores into a file of 8 bytes through a mapping that outlives the file's being open.
fn store(file: fs::File, random: &mut Random) -> io::Result<()> {
    let mapped = map(file)?;
    for _ in 0..2 {
        poke(mapped, random);
        std::thread::yield_now();
    }
    // SAFETY: mapped by `map` with this length, and not used any more.
    unsafe { libc::munmap(mapped.cast(), MAPPED_BYTES) };
    Ok(())
}

const MAPPED_BYTES: usize = 8;

/// Maps a file of at least so many bytes.
fn map(file: fs::File) -> io::Result<*mut u8> {
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let (fd, any) = (file.as_raw_fd(), std::ptr::null_mut());
    // SAFETY: a new mapping at a place of the kernel's choice touches no memory in use.
    let mapped = unsafe { libc::mmap(any, MAPPED_BYTES, access, shared, fd, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(mapped.cast())
}

fn poke(mapped: *mut u8, random: &mut Random) {
    let at = random.below(MAPPED_BYTES);
    // SAFETY: within what `map` gave, and nobody else truncates the file.
    unsafe { mapped.add(at).write_volatile(random.byte()) };
}

/// Ends this process in the midst of writing: one file is open, and another one mapped.
pub(crate) fn die(root: &Path, worker: usize, random: &mut Random) -> ! {
    let at = place(root, random);
    let open = fs::File::create(at).and_then(|file| {
        file.write_all_at(&content(random.byte()), 0)?;
        Ok(file)
    });
    if let Ok(mapped) = open_own(root, worker).and_then(map) {
        poke(mapped, random);
    }
    let died = kill_process(getpid(), Signal::KILL);
    unreachable!("{died:?}, with {open:?}")
}
