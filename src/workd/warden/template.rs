//! The new root that all jobs of a session start from: built once by the warden, copied into each
//! job's mount namespace.
//!
//! What jobs see is [`VIEW`], a small tmpfs holding the [listed](system) system directories
//! read-only, a minimal /dev, and mount points. What of the pod an init still needs to build its
//! job's view lies beside it in the warden's own root. An init makes `VIEW` its root, and closes
//! the one way back before the tool starts: a process without capabilities cannot leave its root.
//! (To detach the rest would serve as well, but each time waits for all processors.) Nothing else
//! of the pod can be named from inside: no home, no /run, no /var, no sockets.

use super::proto::{Scratch, Setup};
use super::replace;
use super::sys::{self, Step, StepError};
use super::system;
use crate::paths::Bytes;
use crate::wire::messages::ViewKind;
use crate::workd::warm;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What jobs see, in the warden's root.
pub(crate) const VIEW: &str = "/view";

const DEVICE_LINKS: &[(&str, &str)] = &[
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];
/// A file of /etc over this size is not copied but bound.
const COPY_BYTES: u64 = 1 << 20;

/// Builds the new root on `setup.stage` and makes it this process's root. The process must be
/// alone in a new user and mount namespace.
pub(crate) fn build(setup: &Setup) -> Result<(), StepError> {
    let private = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).step(|| "stop mount propagation".into())?;
    let stage = setup.stage.as_path();
    // What an init needs of the pod, and is for nobody else.
    mount_tmpfs(stage, "mode=700")?;
    let build = Builder { stage };
    build.host(setup)?;
    let view = stage.join(&VIEW[1..]);
    build.make_dir(Path::new(&VIEW[1..]))?;
    mount_tmpfs(&view, "mode=755")?;
    let build = Builder { stage: &view };
    build.directories()?;
    for name in system::names(&setup.system) {
        if setup.image.is_none() || system::is_everywhere(&name) {
            build.system(&name)?;
        }
    }
    if let Some(image) = &setup.image {
        build.image(image.as_path())?;
    }
    if setup.view == ViewKind::Overlay {
        replace::show(stage, &view, &setup.replaced)?;
    }
    build.devices()?;
    build.roots(setup)?;
    rustix::process::chdir(stage).step(|| "enter the new root".into())?;
    rustix::process::pivot_root(".", ".").step(|| "pivot_root".into())?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step(|| "detach the old root".into())?;
    rustix::process::chdir("/").step(|| "enter the new root".into())?;
    let hard = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    sys::restrict_mount(&path(Path::new(VIEW))?, hard, false).step(|| "protect the new root".into())
}

/// Makes the view this process's root. Gives the root that it had.
pub(crate) fn enter() -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let outside = rustix::fs::open("/", flags, Mode::empty()).step(|| "open the root".into())?;
    rustix::process::chdir(VIEW).step(|| "enter the view".into())?;
    rustix::process::chroot(".").step(|| "stay in the view".into())?;
    Ok(outside)
}

/// Adds symlinks to the finished view, which is otherwise read-only; what is there stays. Jobs
/// that run see them appear, which tells them no more than the hub's spelling of its own paths.
pub(crate) fn link(links: &[(Bytes, Bytes)]) -> Result<(), StepError> {
    // Links on the way lead where they lead for a job.
    let outside = enter()?;
    let linked = link_inside(links);
    rustix::process::fchdir(outside).step(|| "leave the view".into())?;
    rustix::process::chroot(".").step(|| "leave the view".into())?;
    linked
}

fn link_inside(links: &[(Bytes, Bytes)]) -> Result<(), StepError> {
    let read_only = libc::MOUNT_ATTR_RDONLY;
    sys::change_mount(c"/", 0, read_only, false).step(|| "open the root".into())?;
    let made = links.iter().try_for_each(|(path, target)| {
        let what = || format!("link `{}`", path.display());
        let path = path.as_path();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).step(what)?;
        }
        match std::os::unix::fs::symlink(target.as_path(), path) {
            // What stands there serves if it is the same link.
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists
                    && fs::read_link(path).is_ok_and(|there| there == target.as_path()) =>
            {
                Ok(())
            }
            made => made.step(what),
        }
    });
    sys::restrict_mount(c"/", read_only, false).step(|| "protect the root".into())?;
    made
}

/// Mounts an empty tmpfs.
pub(crate) fn mount_tmpfs(target: impl AsRef<Path>, options: &str) -> Result<(), StepError> {
    let target = target.as_ref();
    let what = || format!("mount a tmpfs on `{}`", target.display());
    let options = CString::new(options).map_err(|_| Errno::INVAL).step(what)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, options.as_c_str()).step(what)
}

/// A path as system calls want it.
pub(crate) fn path(path: &Path) -> Result<CString, StepError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Errno::INVAL)
        .step(|| format!("path `{}`", path.display()))
}

struct Builder<'a> {
    stage: &'a Path,
}

impl Builder<'_> {
    fn directories(&self) -> Result<(), StepError> {
        for dir in ["proc", "tmp", "dev/shm", "etc", &warm::SHOWN[1..]] {
            self.make_dir(Path::new(dir))?;
        }
        Ok(())
    }

    /// All that an init needs of the pod.
    fn host(&self, setup: &Setup) -> Result<(), StepError> {
        self.make_dir(Path::new("own"))?;
        // A process may mount a fresh /proc only while it can see a whole one.
        self.bind(&whole_proc(), Path::new("proc"))?;
        if let Scratch::Disk(dir) = &setup.scratch {
            self.bind(dir.as_path(), Path::new("scratch"))?;
        }
        self.bind(setup.warm.as_path(), Path::new("warm"))?;
        for (index, root) in setup.roots.iter().enumerate() {
            self.bind(root.files.as_path(), Path::new(&format!("root/{index}")))?;
        }
        Ok(())
    }

    /// One system file or directory as the pod has it; nothing where the pod has none.
    fn system(&self, name: &Path) -> Result<(), StepError> {
        let from = Path::new("/").join(name);
        let to = self.stage.join(name);
        let Ok(meta) = fs::symlink_metadata(&from) else {
            return Ok(());
        };
        let what = || format!("show `{}`", from.display());
        if meta.is_symlink() {
            let target = fs::read_link(&from).step(what)?;
            self.make_parent(name)?;
            // Of a link to somewhere that is not shown, what it leads to is shown in its place.
            let leads_inside = fs::canonicalize(&from).is_ok_and(|end| end.starts_with("/usr"));
            if leads_inside {
                return std::os::unix::fs::symlink(target, &to).step(what);
            }
            return match fs::metadata(&from) {
                Ok(meta) if meta.is_file() => self.copy_or_bind(name, &from, meta.len()),
                _ => std::os::unix::fs::symlink(target, &to).step(what),
            };
        }
        if meta.is_dir() {
            // Directories that this user may not read would only fail in the tool's hands.
            self.bind_protected(&from, name)
        } else if meta.is_file() {
            self.copy_or_bind(name, &from, meta.len())
        } else {
            Ok(())
        }
    }

    fn copy_or_bind(&self, name: &Path, from: &Path, size_bytes: u64) -> Result<(), StepError> {
        if size_bytes > COPY_BYTES {
            return self.bind_protected(from, name);
        }
        self.make_parent(name)?;
        match fs::copy(from, self.stage.join(name)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error).step(|| format!("copy `{}`", from.display())),
        }
    }

    /// Another system's directories and links, all that there are.
    fn image(&self, image: &Path) -> Result<(), StepError> {
        let what = || format!("show `{}`", image.display());
        for entry in fs::read_dir(image).step(what)? {
            let entry = entry.step(what)?;
            let (from, name) = (entry.path(), entry.file_name());
            if from.is_symlink() {
                let target = fs::read_link(&from).step(what)?;
                std::os::unix::fs::symlink(target, self.stage.join(name)).step(what)?;
            } else if from.is_dir() {
                self.bind_protected(&from, Path::new(&name))?;
            }
        }
        Ok(())
    }

    fn devices(&self) -> Result<(), StepError> {
        for name in system::DEVICES {
            let device = Path::new("dev").join(name);
            self.bind(&Path::new("/").join(&device), &device)?;
        }
        for (link, target) in DEVICE_LINKS {
            std::os::unix::fs::symlink(target, self.stage.join(link))
                .step(|| format!("link `/{link}`"))?;
        }
        Ok(())
    }

    /// In the overlay view every root is shown read-only at its own path, for jobs that only pass
    /// by; a job's own roots get their overlay on top. In the rewrite view roots have numbers.
    fn roots(&self, setup: &Setup) -> Result<(), StepError> {
        for (index, root) in setup.roots.iter().enumerate() {
            let shown = root.path.as_path();
            if setup.view == ViewKind::Rewrite {
                let mount = format!("cpods/root/{index}");
                self.bind_protected(root.files.as_path(), Path::new(&mount))?;
            } else if !shown.starts_with("/tmp") {
                let shown = shown.strip_prefix("/").unwrap_or(shown);
                self.bind_protected(root.files.as_path(), shown)?;
            }
        }
        if setup.view == ViewKind::Rewrite {
            self.make_dir(Path::new("cpods/out"))?;
        }
        Ok(())
    }

    fn make_dir(&self, name: &Path) -> Result<(), StepError> {
        let dir = self.stage.join(name);
        if dir.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&dir).step(|| format!("make `/{}` in the new root", name.display()))
    }

    fn make_parent(&self, name: &Path) -> Result<(), StepError> {
        name.parent().map_or(Ok(()), |parent| self.make_dir(parent))
    }

    /// Shows `from`, with what is mounted below it, at `name` of the new root.
    fn bind(&self, from: &Path, name: &Path) -> Result<(), StepError> {
        let what = || format!("show `{}`", from.display());
        if fs::metadata(from).step(what)?.is_dir() {
            self.make_dir(name)?;
        } else {
            self.make_parent(name)?;
            File::create(self.stage.join(name)).step(what)?;
        }
        rustix::mount::mount_bind_recursive(from, self.stage.join(name)).step(what)
    }

    fn bind_protected(&self, from: &Path, name: &Path) -> Result<(), StepError> {
        self.bind(from, name)?;
        let hard = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        sys::restrict_mount(&path(&self.stage.join(name))?, hard, true)
            .step(|| format!("protect `{}`", from.display()))
    }
}

/// A /proc with nothing mounted over parts of it, as containers have it; else the usual one.
fn whole_proc() -> std::path::PathBuf {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Root of the mount, mountpoint, ..., `-`, type (proc_pid_mountinfo(5)).
    let mounts: Vec<(&str, &Path, bool)> = table
        .lines()
        .filter_map(|line| {
            let (fields, kind) = line.split_once(" - ")?;
            let mut fields = fields.split(' ').skip(3);
            let (root, at) = (fields.next()?, fields.next()?);
            Some((root, Path::new(at), kind.starts_with("proc ")))
        })
        .collect();
    let is_whole = |at: &Path| {
        let mut below = mounts.iter().filter(|(_, other, _)| other.starts_with(at));
        below.next().is_some() && below.next().is_none()
    };
    let whole = mounts
        .iter()
        .find(|(root, at, is_proc)| *is_proc && *root == "/" && is_whole(at));
    whole.map_or_else(|| "/proc".into(), |(_, at, _)| at.to_path_buf())
}
