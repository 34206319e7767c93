//! The files of this machine's compilers, laid out in a directory of their own as they lie here:
//! what a pod is sent that has no such compiler.
//!
//! Knows nothing of pods, nor of how a directory comes to one.

use crate::probe::Closure;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A user has no more hubs at a time.
const MOST_IMAGES: usize = 100;
/// What locales there are is sent up to this size.
const MOST_LOCALES_BYTES: u64 = 64 << 20;
const LOCALES: &str = "/usr/lib/locale";

/// Such a directory, of this process alone.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) dir: PathBuf,
    /// Where a file is made before it takes its place: whoever watches the image shall not see it.
    aside: PathBuf,
    /// Files that were put into it, as they were before they were copied.
    copied: Mutex<BTreeMap<PathBuf, Stamp>>,
    _lock: OwnedFd,
}

/// Equal ones mean equal content: nobody can put a change time back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size_bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size_bytes: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Dir,
    File,
    Link(PathBuf),
}

impl Image {
    /// An empty one below `cache`.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(super) fn open(cache: &Path) -> io::Result<Self> {
        for number in 0..MOST_IMAGES {
            let dir = cache.join("toolchain").join(number.to_string());
            fs::create_dir_all(&dir)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let lock = rustix::fs::open(&dir, flags, Mode::empty())?;
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                for entry in fs::read_dir(&dir)? {
                    let entry = entry?;
                    match entry.file_type()?.is_dir() {
                        true => fs::remove_dir_all(entry.path())?,
                        false => fs::remove_file(entry.path())?,
                    }
                }
                return Ok(Self {
                    aside: dir.with_extension("new"),
                    dir,
                    copied: Mutex::default(),
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other(
            "too many folders for compilers are in use",
        ))
    }

    /// Puts these tools' files into it, and empty directories where `mounts` are.
    ///
    /// # Errors
    /// A file cannot be copied.
    pub(super) fn add(&self, closure: &Closure, mounts: &[PathBuf]) -> io::Result<()> {
        let mut wanted = BTreeMap::new();
        for path in &closure.paths {
            want(path, &mut wanted)?;
        }
        for path in beside(closure) {
            want_all(&path, &mut wanted)?;
        }
        for path in closure.paths.iter().filter(|path| path.is_dir()) {
            want_all(path, &mut wanted)?;
        }
        for path in mounts {
            want(path, &mut wanted)?;
        }
        for (path, what) in &wanted {
            self.put(path, what)?;
        }
        Ok(())
    }

    fn put(&self, path: &Path, what: &What) -> io::Result<()> {
        let to = self.dir.join(path.strip_prefix("/").unwrap_or(path));
        let aside = &self.aside;
        match what {
            What::Dir => return fs::create_dir_all(to),
            What::Link(target) => {
                if fs::read_link(&to).is_ok_and(|there| there == *target) {
                    return Ok(());
                }
                let _ = fs::remove_file(aside);
                std::os::unix::fs::symlink(target, aside)?;
            }
            What::File => {
                let found = path.metadata()?;
                // To copy it again would have everybody read it again.
                if self.copied().get(path) == Some(&Stamp::of(&found)) {
                    return Ok(());
                }
                let _ = fs::remove_file(aside);
                fs::copy(path, aside)?;
                let mode = fs::Permissions::from_mode(found.mode() & 0o555 | 0o200);
                fs::set_permissions(aside, mode)?;
                // So that the same file is the same in every image.
                let time = Timespec {
                    tv_sec: found.mtime(),
                    tv_nsec: found.mtime_nsec() as _,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                rustix::fs::utimensat(CWD, aside, &times, AtFlags::empty())?;
                fs::rename(aside, to)?;
                self.copied().insert(path.into(), Stamp::of(&found));
                return Ok(());
            }
        }
        fs::rename(aside, to)
    }

    fn copied(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Stamp>> {
        let copied = self.copied.lock();
        copied.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The programs of a tool that can say their version when asked alone.
pub(super) fn speaking(closure: &Closure) -> Vec<PathBuf> {
    let speaks = |program: &&PathBuf| {
        let mut command = Command::new(program);
        command.arg("--version").env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    closure.programs.iter().filter(speaks).cloned().collect()
}

/// What programs find by themselves: tables of character sets, beside the C library, and locales.
fn beside(closure: &Closure) -> BTreeSet<PathBuf> {
    let is_libc = |path: &&PathBuf| path.file_name().is_some_and(|name| name == "libc.so.6");
    let libc = closure.paths.iter().filter(is_libc);
    let tables = libc.filter_map(|path| Some(path.parent()?.join("gconv")));
    let mut beside: BTreeSet<PathBuf> = tables.filter(|dir| dir.is_dir()).collect();
    let locales = walkdir::WalkDir::new(LOCALES).into_iter().flatten();
    let sizes = locales.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    if sizes.sum::<u64>() <= MOST_LOCALES_BYTES && Path::new(LOCALES).is_dir() {
        beside.insert(LOCALES.into());
    }
    beside
}

/// A path with all on the way to it, links as they are.
fn want(path: &Path, wanted: &mut BTreeMap<PathBuf, What>) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    let mut left: Vec<PathBuf> = Vec::new();
    let push = |left: &mut Vec<PathBuf>, path: &Path| {
        let parts: Vec<PathBuf> = path
            .components()
            .map(|it| PathBuf::from(it.as_os_str()))
            .collect();
        left.extend(parts.into_iter().rev());
    };
    push(&mut left, path);
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.as_os_str().as_encoded_bytes() {
            b"/" => at = "/".into(),
            b"." => {}
            b".." => drop(at.pop()),
            _ => {
                at.push(part);
                let found = fs::symlink_metadata(&at)?;
                let what = if found.is_symlink() {
                    let target = fs::read_link(&at)?;
                    links += 1;
                    if links > 100 {
                        return Err(io::Error::other("too many links"));
                    }
                    push(&mut left, &target);
                    What::Link(target)
                } else if found.is_dir() {
                    What::Dir
                } else {
                    What::File
                };
                let is_link = matches!(what, What::Link(_));
                wanted.insert(at.clone(), what);
                if is_link {
                    at.pop();
                }
            }
        }
    }
    Ok(())
}

/// The same with everything below it.
fn want_all(path: &Path, wanted: &mut BTreeMap<PathBuf, What>) -> io::Result<()> {
    want(path, wanted)?;
    // Below its own name may be links to what is not there yet.
    for entry in walkdir::WalkDir::new(path.canonicalize()?).min_depth(1) {
        let entry = entry.map_err(io::Error::other)?;
        let (kind, path) = (entry.file_type(), entry.path());
        let what = match kind {
            _ if kind.is_dir() => What::Dir,
            _ if kind.is_file() => What::File,
            _ if kind.is_symlink() => What::Link(fs::read_link(path)?),
            _ => continue,
        };
        wanted.insert(path.into(), what);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_holds_all_on_the_way() {
        let space = tempfile::tempdir().unwrap();
        let dir = space.path().canonicalize().unwrap();
        let at = |name: &str| dir.join(name);
        fs::create_dir_all(at("real/lib/data")).unwrap();
        fs::write(at("real/lib/data/table"), "table").unwrap();
        fs::write(at("real/lib/cc1"), "cc1").unwrap();
        fs::set_permissions(at("real/lib/cc1"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        std::os::unix::fs::symlink("../link/lib/cc1", at("real/cc")).unwrap();
        let closure = Closure {
            paths: [at("link/cc"), at("link/lib/data")].into(),
            programs: vec![at("real/lib/cc1")],
        };
        let image = Image::open(&at("cache")).unwrap();
        fs::create_dir(at("headers")).unwrap();
        image.add(&closure, &[at("headers")]).unwrap();
        let inside = |name: &str| image.dir.join(at(name).strip_prefix("/").unwrap());
        assert_eq!(fs::read_link(inside("link")).unwrap(), Path::new("real"));
        assert_eq!(fs::read(inside("link/cc")).unwrap(), b"cc1");
        assert_eq!(
            inside("real/lib/cc1").metadata().unwrap().mode() & 0o111,
            0o111
        );
        assert!(inside("headers").is_dir());
        assert_eq!(fs::read(inside("link/lib/data/table")).unwrap(), b"table");
        // What is there is not copied again.
        let is = |name: &str| inside(name).metadata().unwrap().ino();
        let before = (is("real/lib/cc1"), is("real/lib/data/table"));
        image.add(&closure, &[]).unwrap();
        assert_eq!((is("real/lib/cc1"), is("real/lib/data/table")), before);
        // One that changed takes the place of the old one, also if it looks alike; another process
        // has its own.
        let time = at("real/lib/cc1").metadata().unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(at("real/lib/cc1"), "new").unwrap();
        let file = fs::File::options().append(true).open(at("real/lib/cc1"));
        file.unwrap().set_modified(time).unwrap();
        image.add(&closure, &[]).unwrap();
        assert_eq!(fs::read(inside("real/cc")).unwrap(), b"new");
        assert!(!image.aside.starts_with(&image.dir) && !image.aside.exists());
        assert_ne!(Image::open(&at("cache")).unwrap().dir, image.dir);
    }
}
