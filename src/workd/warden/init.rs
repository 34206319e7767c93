//! One job's init: PID 1 of its namespaces, never the tool.
//!
//! Made before its job is known, so that everything that does not depend on the job - namespaces,
//! /proc, /tmp, /dev/shm - is ready when the job arrives. What does depend on the files' state, the
//! overlay, is mounted only then. Knows nothing of hubs and the wire.

use super::bare;
use super::overlay::{mount_root, mount_warm};
use super::proto::{FromInit, JobRoot, Room, Run, Sandbox, Scratch, Setup, receive, send};
use super::sys::{self, Step, StepError};
use super::template::{self, mount_tmpfs, path};
use super::tool::{self, Tool};
use crate::job::{Ending, Usage};
use crate::paths::Bytes;
use crate::wire::messages::ViewKind;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};
use rustix::net::RecvFlags;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs as an init and never returns. Speaks through `socket` alone.
pub(crate) fn run(setup: &Setup, number: u32, socket: &OwnedFd) -> ! {
    let answer = (|| {
        let ready = prepare(setup, number)?;
        let Ok(Some((run, mut fds))) = receive::<Run>(socket, RecvFlags::empty()) else {
            // The worker has no job for this init any more.
            sys::exit_now(0);
        };
        let (Some(stderr), Some(stdout)) = (fds.pop(), fds.pop()) else {
            sys::exit_now(1);
        };
        finish_view(setup, &ready, &run)?;
        Ok(execute(setup, ready, &run, socket.as_fd(), stdout, stderr))
    })();
    let (message, scratch) = match answer {
        Ok((message, scratch)) => (message, scratch),
        Err(StepError { what, errno }) => {
            let errno = errno.raw_os_error();
            (FromInit::NotSetUp { what, errno }, None)
        }
    };
    let fds: Vec<_> = scratch.iter().map(AsFd::as_fd).collect();
    let sent = send(socket, &message, &fds);
    sys::exit_now(i32::from(sent.is_err()));
}

/// What does not depend on the job.
pub(super) struct Ready {
    /// What the warden keeps beside the view; none without one.
    pub(super) host: Option<Host>,
    /// The job's own directory, as a path while there is a way to it.
    pub(super) own: PathBuf,
    pub(super) null: OwnedFd,
    /// The rules that the tool is confined by, if it is by Landlock.
    pub(super) rules: Option<OwnedFd>,
}

/// The way back out of the view, as long as it is open.
pub(super) struct Host(OwnedFd);

impl Host {
    /// A path to what the warden's root has of this name. There is a /proc in the view by now.
    pub(super) fn path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd())
    }
}

fn prepare(setup: &Setup, number: u32) -> Result<Ready, StepError> {
    if setup.sandbox.is_bare() {
        return bare::prepare(setup, number, open_null()?);
    }
    let host = Host(template::enter()?);
    mount_proc()?;
    mount_tmpfs(host.path("own"), "mode=755")?;
    mount_own_tmp(setup, &host)?;
    let own = match &setup.scratch {
        Scratch::Memory => host.path("own").into(),
        Scratch::Disk(_) => {
            let own = PathBuf::from(host.path(&format!("scratch/{number}")));
            make_dir(&own, 0o755)?;
            own
        }
    };
    Ok(Ready {
        host: Some(host),
        own,
        null: open_null()?,
        rules: None,
    })
}

fn open_null() -> Result<OwnedFd, StepError> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step(|| "open /dev/null".into())
}

/// Mounts a /tmp and a /dev/shm of this job's own over the pod's, and again what is shown below /tmp.
fn mount_own_tmp(setup: &Setup, host: &Host) -> Result<(), StepError> {
    let system = setup.system.iter().map(Bytes::as_path);
    let below = system.filter(|dir| dir.starts_with("/tmp") && dir.is_dir());
    let kept = below.map(|dir| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(CWD, dir, flags | OpenTreeFlags::OPEN_TREE_CLOEXEC);
        Ok((dir, tree.step(|| format!("open `{}`", dir.display()))?))
    });
    let kept: Vec<(&Path, OwnedFd)> = kept.collect::<Result<_, StepError>>()?;
    for (from, to) in [("tmp", "/tmp"), ("shm", "/dev/shm")] {
        let from = host.path(&format!("own/{from}"));
        make_dir(&from, 0o1777)?;
        rustix::mount::mount_bind(from.as_str(), to).step(|| format!("bind `{to}`"))?;
    }
    for (dir, tree) in kept {
        make_below_tmp(dir)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(tree, "", CWD, dir, flags)
            .step(|| format!("show `{}`", dir.display()))?;
    }
    for (index, root) in setup.roots.iter().enumerate() {
        let shown = root.path.as_path();
        if setup.view == ViewKind::Overlay && shown.starts_with("/tmp") {
            make_below_tmp(shown)?;
            let from = host.path(&format!("root/{index}"));
            let what = |verb: &str| format!("{verb} `{}`", shown.display());
            rustix::mount::mount_bind_recursive(from, shown).step(|| what("bind"))?;
            sys::restrict_mount(&path(shown)?, libc::MOUNT_ATTR_RDONLY, true)
                .step(|| what("protect"))?;
        }
    }
    Ok(())
}

fn make_below_tmp(dir: &Path) -> Result<(), StepError> {
    std::fs::create_dir_all(dir).step(|| format!("make `{}`", dir.display()))
}

/// Mounts a /proc of this job's own, and forbids further user namespaces: in one of its own a job
/// could mount again, and reach kernel code that is not meant for it. Not done by the warden, since
/// a container has the pod's own /proc/sys read-only.
fn mount_proc() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).step(|| "mount /proc".into())?;
    std::fs::write("/proc/sys/user/max_user_namespaces", "0")
        .step(|| "forbid user namespaces to jobs".into())?;
    sys::restrict_mount(c"/proc", libc::MOUNT_ATTR_RDONLY, false).step(|| "protect /proc".into())
}

/// What had to wait for the job: its roots, and the end of the host's paths.
fn finish_view(setup: &Setup, ready: &Ready, run: &Run) -> Result<(), StepError> {
    let up = ready.own.join("up");
    make_dir(&up, 0o755)?;
    for JobRoot { index, writable } in &run.roots {
        let root = setup
            .roots
            .get(usize::from(*index))
            .ok_or(Errno::INVAL)
            .step(|| format!("root {index}"))?;
        make_dir(up.join(index.to_string()), 0o755)?;
        if let (ViewKind::Overlay, Some(host)) = (setup.view, &ready.host) {
            let (lower, root) = (host.path(&format!("root/{index}")), root.path.as_path());
            let upper = (*index, ready.own.as_path());
            let mounted = mount_root(lower.clone(), writable.as_path(), root, upper);
            // A directory may have gone, or become another's, since the worker looked.
            if mounted.is_err() && !writable.0.is_empty() {
                mount_root(lower, Path::new(""), root, upper)?;
            } else {
                mounted?;
            }
        }
    }
    if let (Some(name), Some(host)) = (&run.warm, &ready.host) {
        mount_warm(&host.path(&format!("warm/{}", name.display())), &ready.own)?;
    }
    for dir in &run.out_dirs {
        make_dir(up.join(dir.as_path()), 0o755)?;
    }
    if !setup.sandbox.is_bare() && setup.view == ViewKind::Rewrite {
        rustix::mount::mount_bind(&up, "/cpods/out").step(|| "bind `/cpods/out`".into())?;
    }
    for (path, content) in &run.files {
        std::fs::write(path.as_path(), &content.0)
            .step(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}

type Answer = (FromInit, Option<OwnedFd>);

/// Runs the tool to its end and nothing of it any longer.
fn execute(
    setup: &Setup,
    mut ready: Ready,
    run: &Run,
    socket: BorrowedFd<'_>,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> Answer {
    let not_set_up = |StepError { what, errno }| {
        let errno = errno.raw_os_error();
        (FromInit::NotSetUp { what, errno }, None)
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = match rustix::fs::open(&ready.own, flags, Mode::empty()) {
        Ok(own) => own,
        Err(errno) => {
            let what = "open the scratch directory".into();
            return not_set_up(StepError { what, errno });
        }
    };
    let bare = setup.sandbox.is_bare();
    drop(ready.host.take());
    if let Err(errno) = rustix::process::chdir(run.cwd.as_path()) {
        let what = format!("enter `{}`", run.cwd.display());
        return not_set_up(StepError { what, errno });
    }
    rustix::process::umask(Mode::from_raw_mode(run.umask));
    let env = if bare {
        bare::environment(&run.env, &ready.own)
    } else {
        run.env.clone()
    };
    let started = Instant::now();
    let tool = tool::start(&Tool {
        exe: &run.exe,
        argv: &run.argv,
        env: &env,
        stdin: ready.null.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        limits: &run.limits,
        rules: ready.rules.as_ref().map(AsFd::as_fd),
        drop_capabilities: setup.sandbox != Sandbox::Nothing,
        die_with_init: bare,
    });
    // The pipes' last write ends are now the job's own.
    drop((stdout, stderr));
    let tool = match tool {
        Ok(tool) => tool,
        Err(errno) => {
            let errno = errno.raw_os_error();
            return (FromInit::NotStarted { errno }, None);
        }
    };
    if bare {
        bare::wait_for(tool, socket);
    }
    let ending = reap(tool);
    let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if bare {
        bare::end_descendants();
    } else {
        end_all_in_sandbox();
    }
    let message = FromInit::Ended {
        ending,
        usage: usage(wall_us),
        room: [room(own.as_fd()), room_of_tmp(setup.sandbox, own.as_fd())],
    };
    (message, Some(own))
}

/// Waits for the tool, and on the way for whatever it left to this init.
fn reap(tool: libc::pid_t) -> Ending {
    loop {
        match sys::wait(None) {
            Ok(Some((pid, status))) if pid == tool => {
                return if libc::WIFSIGNALED(status) {
                    Ending::Signalled(u8::try_from(libc::WTERMSIG(status)).unwrap_or(u8::MAX))
                } else {
                    Ending::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
                };
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            // Cannot be: the tool is a child that nobody else waits for.
            Ok(None) | Err(_) => return Ending::Signalled(libc::SIGKILL as u8),
        }
    }
}

/// Kills everything in this PID namespace but this init, and waits until it is gone.
fn end_all_in_sandbox() {
    // SAFETY: kill(2) touches no memory. This process is PID 1 of a namespace of its own (the
    // caller has checked that there is one), so that -1 means nothing outside it.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    while !matches!(sys::wait(None), Ok(None)) {}
}

fn usage(wall_us: u64) -> Usage {
    // SAFETY: all-zero bytes are a valid `rusage`, and getrusage(2) writes one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Usage {
        wall_us,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    }
}

fn room(dir: BorrowedFd<'_>) -> Room {
    let stat = rustix::fs::fstatvfs(dir);
    stat.map_or_else(
        |_| Room {
            free_bytes: u64::MAX,
            free_inodes: None,
        },
        |stat| Room {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            free_inodes: (stat.f_files > 0).then_some(stat.f_favail),
        },
    )
}

/// Room for temporary files: in a bare job confined by Landlock they lie beside its outputs.
fn room_of_tmp(sandbox: Sandbox, own: BorrowedFd<'_>) -> Room {
    if sandbox == Sandbox::Landlock {
        return room(own);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/tmp", flags, Mode::empty()).map_or_else(
        |_| Room {
            free_bytes: u64::MAX,
            free_inodes: None,
        },
        |dir| room(dir.as_fd()),
    )
}

/// Makes a directory with exactly this mode.
pub(super) fn make_dir(path: impl AsRef<Path>, mode: u32) -> Result<(), StepError> {
    let path = path.as_ref();
    let step = || format!("make `{}`", path.display());
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(errno).step(step),
    }
    // The warden's umask takes away what /tmp must have.
    if mode > 0o755 {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).step(step)?;
    }
    Ok(())
}
