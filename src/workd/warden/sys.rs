//! The system calls that the warden and its inits need and rustix does not offer, and errors that
//! say which step failed.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::ffi::CStr;
use std::io;

/// A step of building a view that failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {errno}")]
pub(crate) struct StepError {
    pub(crate) what: String,
    pub(crate) errno: Errno,
}

/// Names the step in an error.
pub(crate) trait Step<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|errno| StepError {
            what: what(),
            errno,
        })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|error| StepError {
            what: what(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })
    }
}

/// The error of the call that just returned `result`, if it is negative.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        let error = io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    } else {
        Ok(result)
    }
}

/// A process made by [`fork_into`], seen from its parent.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: libc::pid_t,
    /// Readable once the process ended.
    pub(crate) pidfd: OwnedFd,
}

/// Forks into new namespaces (`CLONE_NEW*`). None is the child.
///
/// # Safety
/// The process must have one thread: the child goes on with whatever state memory is in.
pub(crate) unsafe fn fork_into(namespaces: libc::c_int) -> Result<Option<Child>, Errno> {
    let flags = namespaces | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2), and the caller has promised
    // that there is no other thread.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            std::ptr::null::<libc::c_void>(),
            std::ptr::null::<libc::c_void>(),
            std::ptr::null::<libc::c_void>(),
            std::ptr::null::<libc::c_void>(),
        )
    })?;
    let pid = libc::pid_t::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    // Its number stays its own until it is waited for. (Emulators of other machines know this
    // call, but not CLONE_PIDFD.)
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
    Ok(Some(Child { pid, pidfd }))
}

/// Waits for a child, or with none for any; none if there is no child at all.
pub(crate) fn wait(pid: Option<libc::pid_t>) -> Result<Option<(libc::pid_t, i32)>, Errno> {
    let mut status = 0;
    // SAFETY: `status` is a valid place to write to.
    let waited = unsafe { libc::waitpid(pid.unwrap_or(-1), &raw mut status, libc::__WALL) };
    match check(waited.into()) {
        Ok(_) => Ok(Some((waited, status))),
        Err(Errno::CHILD) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Ends this process without running anything of the parent's it was forked from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) never returns and has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Sets attributes on a mount and, if wanted, all mounts below it.
pub(crate) fn restrict_mount(path: &CStr, attributes: u64, recursive: bool) -> Result<(), Errno> {
    change_mount(path, attributes, 0, recursive)
}

/// Sets and clears attributes of a mount: mount_setattr(2), Linux 5.12.
pub(crate) fn change_mount(
    path: &CStr,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` ends with a zero and `attributes` has the size that is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Brings up the loopback interface of this process's network namespace.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let number = libc::SIOCSIFFLAGS as libc::Ioctl;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which `request` is.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const request) };
    check(set.into())?;
    Ok(())
}

/// The highest capability number there could be; numbers the kernel lacks are refused by it.
const LAST_CAPABILITY: u32 = 63;

/// Makes sure that nothing this process starts by exec can have a capability or gain one, while
/// it keeps its own. To be called once, in the warden, and inherited.
pub(crate) fn forbid_capabilities_on_exec() -> Result<(), Errno> {
    for capability in 0..=LAST_CAPABILITY {
        let number = libc::c_ulong::from(capability);
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        let dropped = check(dropped.into());
        match dropped {
            Err(Errno::INVAL) if capability > 0 => break,
            other => other?,
        };
    }
    // linux/securebits.h: NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked.
    const SECURE_BITS: libc::c_ulong = 0b11 | 0b1100 | 0b1100_0000;
    // SAFETY: PR_SET_SECUREBITS takes a number and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0) }.into())?;
    rustix::thread::set_no_new_privs(true)
}

/// Leaves the session keyring of whoever started the worker, so that jobs do not possess its keys.
pub(crate) fn leave_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; nothing is written. A kernel without
    // keyrings refuses, and then there is nothing to leave.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
}
