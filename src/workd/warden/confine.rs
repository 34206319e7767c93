//! A sandbox without namespaces: what Landlock lets a job reach of the pod it sees.
//!
//! The kernel checks every file that is opened against the rules made here, whatever name led to
//! it. Stronger kernels refuse more: what this one cannot refuse is told, for people to read. The
//! init itself stays outside, so that its job can neither trace nor (where the kernel can refuse
//! that) signal it.
//!
//! What no kernel refuses, and a sandbox of namespaces does: to look at names, sizes and modes of
//! any file; to change modes, owners, times and attributes of files that are the worker's own;
//! System V and POSIX message queues and shared memory that are the worker's own. /proc is readable
//! as a whole, since a rule cannot follow the numbers that processes will have and tools read what
//! /proc/self says of them (memory maps, descriptors): a job sees which processes there are and
//! their command lines. Their memory, environment and files it cannot see, as that is what
//! ptrace(2) may, and Landlock refuses this across its border. /tmp and /dev/shm are the pod's and
//! out of reach; `TMPDIR` names a directory of the job's own.

use super::bare;
use super::proto::Setup;
use super::sys::{self, Step, StepError};
use super::system;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

/// The newest rights known here; a kernel that knows fewer gets those it knows.
const NEWEST: ABI = ABI::V10;

/// Before this version a job could empty any file of the worker's user: no sandbox to speak of.
const LEAST: i64 = 3;

/// What a kernel cannot refuse before it has this version of Landlock.
const REFUSED_SINCE: &[(i64, &str)] = &[
    (4, "TCP"),
    (5, "ioctl on devices"),
    (6, "signals and abstract sockets"),
    (9, "sockets that have a path"),
    (10, "UDP"),
];

/// What Landlock is on this machine, for people.
///
/// # Errors
/// Why there is none.
pub(crate) fn strength() -> Result<String, String> {
    let version = version().map_err(|errno| match errno {
        Errno::OPNOTSUPP => "Landlock is switched off in this kernel".to_owned(),
        Errno::NOSYS => "this kernel has no Landlock".to_owned(),
        other => format!("ask for Landlock: {other}"),
    })?;
    if version < LEAST {
        return Err(format!(
            "this kernel's Landlock ({version}) cannot keep jobs from truncating files; Linux 6.2 can"
        ));
    }
    Ok(describe(version))
}

fn describe(version: i64) -> String {
    let open: Vec<_> = REFUSED_SINCE
        .iter()
        .filter(|(since, _)| version < *since)
        .map(|(_, what)| *what)
        .collect();
    let open = if open.is_empty() {
        String::new()
    } else {
        format!(", which cannot refuse {}", open.join(", "))
    };
    format!("Landlock {version}{open}")
}

/// The kernel's version of Landlock.
fn version() -> Result<i64, Errno> {
    const CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag, a null attribute of size 0 is what the call wants; it makes nothing.
    sys::check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    })
}

/// The rules for the job of the bare init whose directory is `own`.
pub(crate) fn rules(setup: &Setup, own: &Path) -> Result<OwnedFd, StepError> {
    let mut rules = Rules(empty().step(|| "make Landlock rules".into())?);
    let run = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    for name in system::names(&setup.system) {
        let path = Path::new("/").join(name);
        // As in the new root: a link to a directory shows nothing that is not shown anyway.
        if path.is_symlink() && path.is_dir() {
            continue;
        }
        if path.exists() {
            rules.allow(&path, run)?;
        }
    }
    for root in &setup.roots {
        rules.allow(root.files.as_path(), run)?;
    }
    rules.allow("/proc".as_ref(), AccessFs::ReadFile | AccessFs::ReadDir)?;
    // Those devices have no ioctl that matters; refused, its error would be another than usual.
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    for name in system::DEVICES {
        rules.allow(&Path::new("/dev").join(name), device)?;
    }
    // A device file would be taken for an overlay's mark of something removed.
    let all = AccessFs::from_all(NEWEST)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    for name in [bare::OUTPUTS, bare::TEMPORARY] {
        rules.allow(&own.join(name), all)?;
    }
    let rules: Option<OwnedFd> = rules.0.into();
    // None where the kernel lost its Landlock since it was asked for it, which does not happen.
    rules
        .ok_or(Errno::NOSYS)
        .step(|| "make Landlock rules".into())
}

/// Rules that refuse everything.
fn empty() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()
}

struct Rules(RulesetCreated);

impl Rules {
    /// Allows this at and below a path, as far as it applies to what is there.
    fn allow(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), StepError> {
        let what = || format!("let jobs reach `{}`", path.display());
        let access = if fs::metadata(path).step(what)?.is_dir() {
            access
        } else {
            access & AccessFs::from_file(NEWEST)
        };
        let place = PathFd::new(path).map_err(io::Error::other).step(what)?;
        (&mut self.0)
            .add_rule(PathBeneath::new(place, access))
            .map(drop)
            .step(what)
    }
}

impl<T> Step<T> for Result<T, RulesetError> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|error| {
            let mut source: Option<&(dyn Error + 'static)> = Some(&error);
            let mut errno = Errno::INVAL;
            while let Some(error) = source {
                if let Some(error) = error.downcast_ref::<io::Error>() {
                    errno = Errno::from_io_error(error).unwrap_or(errno);
                }
                source = error.source();
            }
            StepError {
                what: what(),
                errno,
            }
        })
    }
}

/// Confines this process, and whatever it will execute, for good. Calls nothing but the kernel, so
/// that a child that shares memory can call it; gives a negative number on failure, with errno set.
///
/// # Safety
/// `rules` must be the number of an open descriptor made by [`rules`].
pub(crate) unsafe fn enter(rules: libc::c_int) -> libc::c_long {
    // SAFETY: both take numbers alone and touch no memory.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return -1;
        }
        libc::syscall(libc::SYS_landlock_restrict_self, rules, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_kernel_cannot_refuse() {
        assert_eq!(describe(10), "Landlock 10");
        let seven = "Landlock 7, which cannot refuse sockets that have a path, UDP";
        assert_eq!(describe(7), seven);
        assert!(describe(3).contains("TCP, ioctl"));
    }
}
