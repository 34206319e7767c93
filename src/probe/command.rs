//! Runs a program to hear what it says of itself, for a bounded time.
//!
//! Does not know what is asked or what the answer means.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// More than any tool says of itself (the longest known, a cross compiler's specs, is 61 KB).
const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// A program that could not be asked.
#[derive(Clone, Debug, Error)]
pub enum CommandError {
    /// It did not start, or its pipes broke.
    #[error("cannot be run")]
    Io(#[source] Arc<io::Error>),
    /// It was killed, with its process group.
    #[error("did not end within {0:?}")]
    Hung(Duration),
    /// It was killed, since it would not stop talking.
    #[error("printed more than {MAX_OUTPUT_BYTES} bytes")]
    TooMuch,
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// What a program said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Exit code, or 128 and the signal.
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// A child that leads a process group of its own and does not outlive this value.
struct Group(Child);

impl Group {
    /// Kills what is left of the group. The child is not yet waited for, so that the number still
    /// names this group and no newer one.
    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            // Fails only if all are gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.0.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Runs `program` with a bare environment: the search path, and messages in the C locale.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    path: &OsStr,
    limit: Duration,
) -> Result<Said, CommandError> {
    let mut command = Command::new(program);
    command.args(args).env_clear();
    command.env("PATH", path).env("LC_ALL", "C");
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group(command.spawn()?);
    let mut said = listen(&mut group.0, limit)?;
    let status = group.end()?;
    said.code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(said)
}

/// Reads both pipes until the child has ended. A grandchild that holds them open is not waited for.
fn listen(child: &mut Child, limit: Duration) -> Result<Said, CommandError> {
    let deadline = Instant::now() + limit;
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut pipes = [
        child
            .stdout
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe))),
        child
            .stderr
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe))),
    ];
    let mut heard = [Vec::new(), Vec::new()];
    let mut alive = true;
    while alive || pipes.iter().any(Option::is_some) {
        let left = match alive {
            true => deadline.saturating_duration_since(Instant::now()),
            // Only what already is in the pipes.
            false => Duration::ZERO,
        };
        if alive && left.is_zero() {
            return Err(CommandError::Hung(limit));
        }
        let (ready, gone) = wait(&pipes, alive.then_some(&ended), left)?;
        for stream in 0..pipes.len() {
            if ready[stream] && !take(&mut pipes[stream], &mut heard[stream])? {
                pipes[stream] = None;
            }
        }
        if !alive && ready == [false; 2] {
            break;
        }
        alive &= !gone;
    }
    let [stdout, stderr] = heard;
    Ok(Said {
        code: 0,
        stdout,
        stderr,
    })
}

/// Waits until a pipe can be read or the process has ended: tells which pipes, and whether it has.
fn wait(
    pipes: &[Option<File>; 2],
    process: Option<&OwnedFd>,
    limit: Duration,
) -> io::Result<([bool; 2], bool)> {
    let open = pipes.iter().flatten().map(AsFd::as_fd);
    let mut fds: Vec<_> = open
        .chain(process.map(AsFd::as_fd))
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, Timespec::try_from(limit).ok().as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(([false; 2], false)),
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    let mut next = |asked: bool| asked && ready.next().unwrap_or_default();
    let readable = [next(pipes[0].is_some()), next(pipes[1].is_some())];
    Ok((readable, next(process.is_some())))
}

/// Takes what a ready pipe has; false at its end.
fn take(pipe: &mut Option<File>, into: &mut Vec<u8>) -> Result<bool, CommandError> {
    let Some(pipe) = pipe else { return Ok(false) };
    let mut buffer = [0; 16 << 10];
    let bytes = pipe.read(&mut buffer)?;
    if into.len() + bytes > MAX_OUTPUT_BYTES {
        return Err(CommandError::TooMuch);
    }
    into.extend_from_slice(&buffer[..bytes]);
    Ok(bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Said, CommandError> {
        let path = OsStr::new("/usr/bin:/bin");
        run(Path::new("/bin/sh"), ["-c", script], path, limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn hears_both_streams_and_the_code() {
        let said = sh("echo out; echo err >&2; exit 3", LONG).unwrap();
        assert_eq!(said.stdout, b"out\n");
        assert_eq!(said.stderr, b"err\n");
        assert_eq!(said.code, 3);
        assert_eq!(sh("kill -9 $$", LONG).unwrap().code, 137);
    }

    #[test]
    fn hears_more_than_a_pipe_holds() {
        let said = sh(
            "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2",
            LONG,
        )
        .unwrap();
        assert_eq!((said.stdout.len(), said.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn a_hanging_program_is_killed_with_its_children() {
        let space = tempfile::tempdir().unwrap();
        let note = space.path().join("pids");
        let script = format!("sleep 1000 & echo $$ $! > {}; wait", note.display());
        let limit = Duration::from_secs(2);
        assert!(matches!(sh(&script, limit), Err(CommandError::Hung(_))));
        let pids = std::fs::read_to_string(&note).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2);
        for pid in pids.split_whitespace() {
            // Only the program itself is waited for; its orphan was killed, and dies in its time.
            let is_gone = || {
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                state.map_or(true, |stat| stat.contains(") Z "))
            };
            let end = Instant::now() + LONG;
            while !is_gone() {
                assert!(Instant::now() < end, "process {pid} is left");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn a_closed_program_that_stays_is_killed() {
        let script = "exec >&- 2>&-; exec sleep 1000";
        let limit = Duration::from_millis(300);
        assert!(matches!(sh(script, limit), Err(CommandError::Hung(_))));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_is_not_waited_for() {
        let said = sh("sleep 1000 & echo done", LONG).unwrap();
        assert_eq!(said.stdout, b"done\n");
    }

    #[test]
    fn endless_talk_is_cut() {
        assert!(matches!(sh("yes", LONG), Err(CommandError::TooMuch)));
    }
}
