//! The warden: one single-threaded process for each session, which makes the session's inits.
//!
//! The worker itself has threads and memory that would make every fork dear and unsafe; the warden
//! is the same program started afresh, so that it is small. It enters a user namespace in which it
//! may mount, builds the new root once, and from then on forks inits on request and tells when
//! they are gone. It ends with the worker's end of its socket, and everything it made ends with it.

use super::proto::{FromWarden, Setup, ToWarden, receive, send};
use super::sys::{self, Child, Step, StepError};
use super::{bare, init, template};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::fs;
use std::io;

/// The name (`argv[0]`) under which a program that may host a worker is started as a warden.
pub(crate) const NAME: &str = "cpods-warden";

/// Turns this process into a warden if it was started as one, and does not return then. Every
/// program that may host a worker calls this first of all, while it has one thread.
pub fn take_over() {
    if std::env::args_os().next().is_some_and(|name| name == NAME) {
        // SAFETY: the worker passes the warden's socket as standard input, open for all its life.
        let socket = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
        let ended = serve(socket);
        sys::exit_now(i32::from(ended.is_err()));
    }
}

/// One init, as its warden sees it.
struct Made {
    init: u32,
    child: Child,
    /// Its network namespace, for the next init once it is gone.
    network: Option<OwnedFd>,
}

fn serve(socket: BorrowedFd<'_>) -> io::Result<()> {
    let Some((setup, _)) = receive::<Setup>(socket, RecvFlags::empty())? else {
        return Ok(());
    };
    become_plain();
    if let Err(error) = enter(&setup) {
        return send(
            socket,
            &FromWarden::Failed {
                why: error.to_string(),
            },
            &[],
        );
    }
    send(socket, &FromWarden::Ready, &[])?;
    Warden {
        setup,
        socket,
        made: Vec::new(),
        networks: Vec::new(),
    }
    .work()
}

/// Undoes what this process inherited or its runtime set up and a tool must not inherit.
fn become_plain() {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // SAFETY: resetting dispositions and the mask of a process with one thread; the set is
    // initialised by sigemptyset(3) before it is read.
    unsafe {
        for signal in 1..libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    // SAFETY: closes what this process inherited by mistake of whoever started the worker; nothing
    // of it is owned here, where only the standard streams are in use.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    sys::leave_keyring();
}

/// Enters the namespaces that all jobs of the session share, and builds their common root.
fn enter(setup: &Setup) -> Result<(), StepError> {
    if setup.sandbox.is_bare() {
        return Ok(());
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWUTS)
        .step(|| "make a user namespace".into())?;
    // Only one's own ids are mapped, to themselves: a job creates files as the worker's user, and
    // whatever belongs to others stays theirs.
    for (file, content) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{0} {0} 1", uid.as_raw())),
        ("gid_map", format!("{0} {0} 1", gid.as_raw())),
    ] {
        fs::write(format!("/proc/self/{file}"), content).step(|| format!("write {file}"))?;
    }
    // A kernel without cgroup namespaces shows jobs the worker's cgroup, no more.
    let _ = unshare(UnshareFlags::NEWCGROUP);
    template::build(setup)?;
    sys::forbid_capabilities_on_exec().step(|| "forbid capabilities to jobs".into())?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .step(|| "hide the warden's memory from jobs".into())
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: CLONE_FILES, the reason for which this is unsafe, is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

struct Warden<'a> {
    setup: Setup,
    socket: BorrowedFd<'a>,
    made: Vec<Made>,
    /// Network namespaces in which no process is left.
    networks: Vec<OwnedFd>,
}

impl Warden<'_> {
    fn work(&mut self) -> io::Result<()> {
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(self.socket, PollFlags::IN)];
            fds.extend(
                self.made
                    .iter()
                    .map(|made| PollFd::new(&made.child.pidfd, PollFlags::IN)),
            );
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            // From the end, so that what is taken out leaves the rest in place.
            for index in (0..self.made.len()).rev() {
                if ready[index + 1] {
                    self.bury(index)?;
                }
            }
            if ready[0] {
                match receive(self.socket, RecvFlags::empty())? {
                    Some((message, fds)) => self.obey(message, fds)?,
                    None => {
                        self.end();
                        return Ok(());
                    }
                }
            }
        }
    }

    fn obey(&mut self, message: ToWarden, mut fds: Vec<OwnedFd>) -> io::Result<()> {
        match message {
            ToWarden::Make { init } => {
                let socket = fds.pop().ok_or(io::ErrorKind::InvalidData)?;
                if let Err(error) = self.make(init, &socket) {
                    let why = Some(error.to_string());
                    send(self.socket, &FromWarden::Gone { init, why }, &[])?;
                }
            }
            ToWarden::Kill { init } if !self.setup.sandbox.is_bare() => {
                if let Some(made) = self.made.iter().find(|made| made.init == init) {
                    // It may have ended by itself; then there is nothing to kill.
                    let _ = rustix::process::pidfd_send_signal(&made.child.pidfd, Signal::KILL);
                }
            }
            ToWarden::Link { request, links } => {
                let why = template::link(&links).err().map(|error| error.to_string());
                send(self.socket, &FromWarden::Linked { request, why }, &[])?;
            }
            // A bare init kills what it started when its socket is closed.
            ToWarden::Kill { .. } => {}
        }
        Ok(())
    }

    fn make(&mut self, init: u32, socket: &OwnedFd) -> Result<(), StepError> {
        let (network, namespaces) = if self.setup.sandbox.is_bare() {
            (None, 0)
        } else {
            let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC;
            (Some(self.enter_network()?), namespaces)
        };
        // SAFETY: the warden has one thread.
        let child =
            unsafe { sys::fork_into(namespaces) }.step(|| "start a job's first process".into())?;
        let Some(child) = child else {
            self.be_init(init, socket);
        };
        self.made.push(Made {
            init,
            child,
            network,
        });
        Ok(())
    }

    /// In the child.
    fn be_init(&self, number: u32, socket: &OwnedFd) -> ! {
        if self.setup.sandbox.is_bare() {
            bare::adopt_orphans();
        } else {
            // The warden dies with the session; then no job of it may go on. A bare init sees its
            // socket closed instead, and has orphans to end first.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        }
        init::run(&self.setup, number, socket)
    }

    /// Enters a network namespace with nothing but a loopback interface and no process in it. To
    /// make one is the dearest part of a sandbox, so each serves one job after another; a job has
    /// no capability to change anything in it, and its sockets end with it.
    fn enter_network(&mut self) -> Result<OwnedFd, StepError> {
        if let Some(network) = self.networks.pop() {
            rustix::thread::move_into_link_name_space(
                network.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .step(|| "enter a network namespace".into())?;
            return Ok(network);
        }
        unshare(UnshareFlags::NEWNET).step(|| "make a network namespace".into())?;
        sys::loopback_up().step(|| "bring up the loopback interface".into())?;
        let path = "/proc/thread-self/ns/net";
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .step(|| "open a network namespace".into())
    }

    /// An init has ended: takes it away and says so.
    fn bury(&mut self, index: usize) -> io::Result<()> {
        let made = self.made.swap_remove(index);
        let _ = sys::wait(Some(made.child.pid));
        self.networks.extend(made.network);
        let init = made.init;
        send(self.socket, &FromWarden::Gone { init, why: None }, &[])
    }

    /// The worker has closed the session: everything of it ends, and this process with it.
    fn end(&mut self) {
        for made in &self.made {
            if !self.setup.sandbox.is_bare() {
                let _ = rustix::process::pidfd_send_signal(&made.child.pidfd, Signal::KILL);
            }
        }
        while !matches!(sys::wait(None), Ok(None)) {}
    }
}
