//! Write leases (fcntl(2), `F_SETLEASE`): whoever opens a file on which there is one is held up by
//! the kernel, and this process is told, so that the content can be put there first.
//!
//! The kernel waits `/proc/sys/fs/lease-break-time` at most, and not for those who open with
//! `O_NONBLOCK`. It gives leases only on files that nobody else has open, on file systems of this
//! machine. Knows nothing of mirrors.

use super::Command;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

// Of asm-generic/fcntl.h; libc has them not for all targets.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

/// What F_SETOWN_EX takes.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    pid: libc::pid_t,
}

/// Between two looks whether the session has ended, at most; then everything is looked at, too,
/// should the kernel have had no room for a signal.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long the proof may take.
const PROVEN_WITHIN: Duration = Duration::from_secs(5);

/// A thread that hears of opened files.
#[derive(Debug)]
pub(super) struct Ear {
    thread: libc::pid_t,
    stop: Arc<AtomicBool>,
}

impl Ear {
    /// Tells `commands` of files that are opened, until it is dropped.
    pub(super) fn start(commands: mpsc::Sender<Command>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, known) = mpsc::channel();
        let ended = Arc::clone(&stop);
        let look_every = LOOK_EVERY.min(break_time()? / 10);
        thread::Builder::new()
            .name("leases".into())
            .spawn(move || match open_signals() {
                Ok((thread, signals)) => {
                    let _ = told.send(Ok(thread));
                    hear(&signals, look_every, &ended, &commands);
                }
                Err(error) => drop(told.send(Err(error))),
            })?;
        let thread = known.recv().map_err(io::Error::other)??;
        Ok(Self { thread, stop })
    }

    /// Holds up whoever opens this file, which only this process has open.
    pub(super) fn hold(&self, file: &File) -> io::Result<()> {
        let owner = Owner {
            kind: F_OWNER_TID,
            pid: self.thread,
        };
        // SAFETY: F_SETOWN_EX reads the structure it is given, which outlives the call.
        done(unsafe { libc::fcntl(file.as_raw_fd(), F_SETOWN_EX, &raw const owner) })?;
        set(file, F_SETSIG, signal())?;
        set(file, libc::F_SETLEASE, libc::F_WRLCK)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Lets those go on who wait to open it.
pub(super) fn release(file: &File) -> io::Result<()> {
    set(file, libc::F_SETLEASE, libc::F_UNLCK)
}

/// Whether somebody wants to open it, or did.
pub(super) fn is_opened(file: &File) -> bool {
    // SAFETY: takes no argument.
    let lease = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
    lease != libc::F_WRLCK
}

/// How long the kernel holds up whoever opens a file.
pub(super) fn break_time() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/sys/fs/lease-break-time")?;
    let seconds = text.trim().parse().map_err(io::Error::other)?;
    Ok(Duration::from_secs(seconds))
}

/// Proves with a file in this directory that one who opens it waits for its content.
pub(super) fn prove(dir: &Path) -> io::Result<()> {
    const CONTENT: &[u8] = b"here by now";
    let path = dir.join("lease");
    let _ = fs::remove_file(&path);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    file.set_len(CONTENT.len() as u64)?;
    let (commands, told) = mpsc::channel();
    let ear = Ear::start(commands)?;
    ear.hold(&file)?;
    let opened = path.clone();
    let reader = thread::spawn(move || {
        let mut content = Vec::new();
        File::open(opened)?.read_to_end(&mut content)?;
        io::Result::Ok(content)
    });
    let heard = loop {
        match told.recv_timeout(PROVEN_WITHIN) {
            Ok(Command::Opened(fd, _)) => break Ok(fd),
            Ok(_) => {}
            Err(error) => break Err(io::Error::other(error)),
        }
    };
    let written = file.write_all(CONTENT);
    let was_opened = is_opened(&file);
    let released = release(&file);
    let read = reader.join();
    fs::remove_file(&path)?;
    let heard = heard?;
    written.and(released)?;
    let read = read.map_err(|_| io::Error::other("a thread failed"))??;
    match heard == file.as_raw_fd() && was_opened && read == CONTENT {
        true => Ok(()),
        false => Err(io::Error::other("whoever opens a file does not wait")),
    }
}

/// The signal that tells of an opened file; tokio and the C libraries use others.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 5
}

/// Blocks the signals in this thread, and opens a way to read them.
fn open_signals() -> io::Result<(libc::pid_t, OwnedFd)> {
    // SAFETY: the set is made by sigemptyset before it is used; signalfd gives a descriptor that
    // nobody else owns.
    let signals = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal());
        // Sent instead where there is no room for another of ours.
        libc::sigaddset(&raw mut set, libc::SIGIO);
        let blocked = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        if blocked != 0 {
            return Err(io::Error::from_raw_os_error(blocked));
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        done(fd)?;
        OwnedFd::from_raw_fd(fd)
    };
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    Ok((thread, signals))
}

/// Each command says a time at which all that was told before had been heard: what it tells of
/// happened later, however late this thread, or the whole process, goes on.
fn hear(
    signals: &OwnedFd,
    look_every: Duration,
    stop: &AtomicBool,
    commands: &mpsc::Sender<Command>,
) {
    let look_every = Timespec::try_from(look_every).ok();
    let mut since = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let _ = poll(
            &mut [PollFd::new(signals, PollFlags::IN)],
            look_every.as_ref(),
        );
        let now = Instant::now();
        let mut has_one = false;
        while let Some((number, fd)) = next(signals.as_fd()) {
            has_one = number == signal();
            let told = match has_one {
                true => Command::Opened(fd, since),
                false => Command::Look(since),
            };
            if commands.send(told).is_err() {
                return;
            }
        }
        if !has_one && commands.send(Command::Look(since)).is_err() {
            return;
        }
        since = now;
    }
}

/// The next signal that came: its number and the file it is about.
fn next(signals: BorrowedFd<'_>) -> Option<(libc::c_int, RawFd)> {
    let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(signals, &mut bytes).ok()?;
    let part = |from: usize| -> Option<[u8; 4]> { bytes.get(from..from + 4)?.try_into().ok() };
    let number = u32::from_ne_bytes(part(std::mem::offset_of!(
        libc::signalfd_siginfo,
        ssi_signo
    ))?);
    let fd = i32::from_ne_bytes(part(std::mem::offset_of!(libc::signalfd_siginfo, ssi_fd))?);
    (read == bytes.len()).then_some((i32::try_from(number).ok()?, fd))
}

fn set(file: &File, what: libc::c_int, to: libc::c_int) -> io::Result<()> {
    // SAFETY: these commands take a plain number.
    done(unsafe { libc::fcntl(file.as_raw_fd(), what, to) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
