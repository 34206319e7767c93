//! Directories of the pod in which sessions keep what they need on disk, and their removal.
//!
//! Each session has one below the cache folder, locked for as long as the session lives, so that
//! what a crash left behind is told from what another worker uses. Removal is slow where a disk is
//! busy, so a thread does it.

use super::sshfs;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// The name of the file that no job may reach.
const OUTSIDE: &str = "outside";

/// A session's directory. Dropping it does not remove it; the [`Cleaner`] does.
#[derive(Debug)]
pub(crate) struct SessionDir {
    path: PathBuf,
    _lock: OwnedFd,
}

impl SessionDir {
    /// Makes one below `cache`.
    pub(crate) fn new(cache: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent = cache.join("work");
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true).create(&parent)?;
        let path = parent.join(format!("{}-{}-{count}", host(), std::process::id()));
        private.recursive(false).create(&path)?;
        let lock = lock(&path)?
            .ok_or_else(|| io::Error::other(format!("`{}` is in use", path.display())))?;
        for name in ["stage", "jobs", "files"] {
            private.create(path.join(name))?;
        }
        fs::write(path.join(OUTSIDE), "out of reach\n")?;
        Ok(Self { path, _lock: lock })
    }

    /// An empty directory for the warden to mount on.
    pub(crate) fn stage(&self) -> PathBuf {
        self.path.join("stage")
    }

    /// An empty directory for the hub to mount its files on.
    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.path.join("files")
    }

    /// A file beside the jobs that none of them may reach.
    pub(crate) fn outside(&self) -> PathBuf {
        self.path.join(OUTSIDE)
    }

    /// Where jobs have their scratch directories, if they are to be on disk.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.path.join("jobs")
    }
}

/// This machine's name: a home may be shared by several, and locks need not be.
fn host() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().replace('/', "_")
}

/// Locks a directory; none if another process holds it.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(dir)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes what workers that no longer run left below `cache`.
pub(crate) fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache.join("work")) else {
        return;
    };
    let own = format!("{}-", host());
    let own = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(&own)
    });
    for path in own.map(|entry| entry.path()) {
        // Looks at the directory itself, never into a mount that may be dead.
        if let Ok(Some(_lock)) = lock(&path) {
            tracing::debug!(path = %path.display(), "removing what an earlier worker left");
            sshfs::clear(&path);
            remove(&path);
        }
    }
}

/// Something to be taken away.
#[derive(Debug)]
enum Rubbish {
    Directory(PathBuf),
    Session(SessionDir, Option<Child>),
}

/// The thread that removes. When its last handle is dropped, all that was to be removed is.
#[derive(Clone, Debug)]
pub(crate) struct Cleaner(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    sender: Option<mpsc::Sender<Rubbish>>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.sender.take());
        // A panic in there was reported when it happened.
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

impl Cleaner {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Rubbish>();
        let thread = std::thread::Builder::new().name("cleaner".into());
        let handle = thread.spawn(move || {
            for rubbish in receiver {
                match rubbish {
                    Rubbish::Directory(path) => remove(&path),
                    Rubbish::Session(dir, child) => {
                        // Nothing below is mounted or in use once the warden is gone.
                        let _ = child.map(|mut child| child.wait());
                        sshfs::clear(&dir.path);
                        remove(&dir.path);
                    }
                }
            }
        })?;
        Ok(Self(Arc::new(Thread {
            sender: Some(sender),
            handle: Some(handle),
        })))
    }

    fn send(&self, rubbish: Rubbish) {
        if let Some(sender) = &self.0.sender {
            // The thread lives as long as this sender.
            let _ = sender.send(rubbish);
        }
    }

    /// Removes a directory.
    pub(crate) fn directory(&self, path: PathBuf) {
        self.send(Rubbish::Directory(path));
    }

    /// Waits for a session's warden, then removes the session's directory.
    pub(crate) fn session(&self, dir: SessionDir, warden: Option<Child>) {
        self.send(Rubbish::Session(dir, warden));
    }
}

/// Removes a tree from the top, giving itself leave where a mode forbids (overlayfs makes its
/// inner work directory with mode 000).
///
/// Never crosses into another file system: what could not be unmounted is somebody's files.
fn remove(path: &Path) {
    let Ok(top) = fs::symlink_metadata(path) else {
        return;
    };
    remove_on(top.dev(), path);
}

fn remove_on(device: u64, path: &Path) {
    let failed = (|| -> io::Result<()> {
        let found = fs::symlink_metadata(path)?;
        if found.dev() != device {
            return Err(io::Error::other("something is mounted there"));
        }
        if !found.is_dir() {
            return fs::remove_file(path);
        }
        let entries = fs::read_dir(path).or_else(|_| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
            fs::read_dir(path)
        })?;
        if fs::metadata(path)?.permissions().mode() & 0o300 != 0o300 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        for entry in entries {
            remove_on(device, &entry?.path());
        }
        fs::remove_dir(path)
    })();
    if let Err(error) = failed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_what_nobody_holds() {
        let cache = tempfile::tempdir().unwrap();
        let held = SessionDir::new(cache.path()).unwrap();
        let dead = cache.path().join(format!("work/{}-1-1", host()));
        let elsewhere = cache.path().join("work/another-machine-1-1");
        fs::create_dir(&elsewhere).unwrap();
        let inner = dead.join("work");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o0)).unwrap();
        sweep(cache.path());
        assert!(!dead.exists());
        assert!(elsewhere.exists(), "not ours to judge");
        assert!(held.stage().is_dir());
    }
}
