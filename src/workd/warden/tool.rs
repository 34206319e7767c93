//! Starts the tool: from an init to exec, by a child that borrows the init's memory (as vfork(2)),
//! which saves the copy of the page tables.

use super::sys::check;
use crate::paths::Bytes;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::{CString, c_char, c_void};

/// Everything the child needs, so that it allocates nothing.
struct Plan {
    exe: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    stdin: i32,
    stdout: i32,
    stderr: i32,
    limits: *const (u32, u64),
    limits_count: usize,
    /// Landlock rules to be confined by; negative for none.
    rules: i32,
    drop_capabilities: bool,
    die_with_init: bool,
    /// The child's error, written in the memory it shares with the init.
    errno: i32,
}

/// Words as exec wants them: the strings, and pointers to them with a null at the end.
struct Words {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    fn new(words: &[Bytes]) -> Result<Self, Errno> {
        let strings: Vec<_> = words
            .iter()
            .map(|word| CString::new(word.0.as_slice()).map_err(|_| Errno::INVAL))
            .collect::<Result<_, _>>()?;
        let ends = std::iter::once(std::ptr::null());
        let pointers = strings
            .iter()
            .map(|word| word.as_ptr())
            .chain(ends)
            .collect();
        Ok(Self {
            _strings: strings,
            pointers,
        })
    }
}

/// What to execute.
pub(crate) struct Tool<'a> {
    pub(crate) exe: &'a Bytes,
    pub(crate) argv: &'a [Bytes],
    pub(crate) env: &'a [Bytes],
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    pub(crate) limits: &'a [(u32, u64)],
    /// Landlock rules to be confined by.
    pub(crate) rules: Option<BorrowedFd<'a>>,
    /// False only without a sandbox.
    pub(crate) drop_capabilities: bool,
    /// The tool dies with its init. Needed without namespaces; in them the kernel sees to it.
    pub(crate) die_with_init: bool,
}

/// Starts the tool; returns after exec, or with exec's error.
pub(crate) fn start(tool: &Tool<'_>) -> Result<libc::pid_t, Errno> {
    const STACK_BYTES: usize = 64 << 10;
    let exe = CString::new(tool.exe.0.as_slice()).map_err(|_| Errno::INVAL)?;
    let argv = Words::new(tool.argv)?;
    let env = Words::new(tool.env)?;
    let mut plan = Plan {
        exe: exe.as_ptr(),
        argv: argv.pointers.as_ptr(),
        envp: env.pointers.as_ptr(),
        stdin: tool.stdin.as_raw_fd(),
        stdout: tool.stdout.as_raw_fd(),
        stderr: tool.stderr.as_raw_fd(),
        limits: tool.limits.as_ptr(),
        limits_count: tool.limits.len(),
        rules: tool.rules.map_or(-1, |rules| rules.as_raw_fd()),
        drop_capabilities: tool.drop_capabilities,
        die_with_init: tool.die_with_init,
        errno: 0,
    };
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / size_of::<u128>());
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    // SAFETY: CLONE_VFORK stops this process (which has one thread) until the child has executed
    // or exited, so that everything `plan` points to, and the stack, outlive the child's use. The
    // stack grows downwards from its aligned end. The child calls nothing but system calls.
    let pid = check(
        unsafe {
            libc::clone(
                enter,
                top.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw mut plan).cast(),
            )
        }
        .into(),
    )?;
    let pid = libc::pid_t::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
    if plan.errno == 0 {
        return Ok(pid);
    }
    // The child has exited; take it away so that it is not mistaken for the tool.
    let _ = super::sys::wait(Some(pid));
    Err(Errno::from_raw_os_error(plan.errno))
}

extern "C" fn enter(plan: *mut c_void) -> i32 {
    // SAFETY: `start` passes a `Plan` that lives until this process executes or exits, and does
    // not touch it meanwhile.
    let plan = unsafe { &mut *plan.cast::<Plan>() };
    // SAFETY: see `become_tool`.
    plan.errno = unsafe { become_tool(plan) };
    super::sys::exit_now(127)
}

/// Returns only on failure, with the error number.
///
/// # Safety
/// To be called in the child of [`start`] alone, with a plan whose pointers are valid.
unsafe fn become_tool(plan: &Plan) -> i32 {
    // SAFETY: plain system calls on this child's own descriptors, limits and credentials; every
    // pointer is valid, as `start` made it; nothing allocates or takes a lock.
    unsafe {
        libc::setsid();
        if plan.die_with_init {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        for (from, to) in [(plan.stdin, 0), (plan.stdout, 1), (plan.stderr, 2)] {
            if libc::dup2(from, to) < 0 {
                return *libc::__errno_location();
            }
        }
        // Before the rules' own descriptor is closed with all others.
        if plan.rules >= 0 && super::confine::enter(plan.rules) < 0 {
            return *libc::__errno_location();
        }
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) < 0 {
            return *libc::__errno_location();
        }
        for (resource, soft) in std::slice::from_raw_parts(plan.limits, plan.limits_count) {
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            if libc::getrlimit(*resource as _, &raw mut limit) == 0 {
                limit.rlim_cur = (*soft).min(limit.rlim_max);
                libc::setrlimit(*resource as _, &raw const limit);
            }
        }
        if plan.drop_capabilities && drop_capabilities() < 0 {
            return *libc::__errno_location();
        }
        libc::execve(plan.exe, plan.argv, plan.envp);
        *libc::__errno_location()
    }
}

/// capset(2) with three empty sets.
///
/// # Safety
/// To be called in the child of [`start`] alone.
unsafe fn drop_capabilities() -> libc::c_long {
    const VERSION_3: u32 = 0x2008_0522;
    let head: [u32; 2] = [VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: version 3 takes a head of two words and data of six, which these are.
    unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), none.as_ptr()) }
}
