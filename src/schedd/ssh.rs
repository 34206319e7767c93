//! ssh as a child process: what it is told, what it complains of, how it ends.
//!
//! Everything about hosts, keys and jumps is the user's own `~/.ssh/config`. Only what a connection
//! of ours must or must not do is said here.

use crate::job::Digest;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No questions, no forwards of any kind, no connection shared with somebody else's session, and a
/// dead peer noticed within 12 s.
const OPTIONS: &[&str] = &[
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlMaster=no",
    "ControlPath=none",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ConnectTimeout=10",
    "ServerAliveInterval=4",
    "ServerAliveCountMax=3",
];

/// Lines of complaint that are kept; ssh takes fifteen for a changed host key.
const MOST_LINES: usize = 30;
/// Longest such line.
const MOST_LINE_BYTES: usize = 400;
/// How long a process whose streams are closed may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Where the environment or the configuration names no other.
pub(crate) const DEFAULT_COMMAND: &str = "ssh";

type Lines = Rc<RefCell<VecDeque<String>>>;

/// A running process whose standard error is read and kept.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    said: Lines,
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts a command with these streams. It gets a process group of its own: a Ctrl-C at the
    /// terminal is for the build.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        mut command: Command,
        name: &str,
        stdin: OwnedFd,
        stdout: OwnedFd,
    ) -> io::Result<Self> {
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let said = Lines::default();
        let stderr = child.stderr.take();
        let reader = tokio::task::spawn_local(keep_lines(stderr, Rc::clone(&said), name.into()));
        Ok(Self {
            child,
            said,
            reader,
        })
    }

    /// Waits until it has ended, by itself or by force; says what it complained of last.
    pub(super) async fn end(mut self) -> Option<String> {
        if timeout(ENDS_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        // All it said is in the pipe by now; a grandchild may still hold it open.
        let _ = timeout(ENDS_WITHIN / 10, &mut self.reader).await;
        explain(&self.said.borrow())
    }

    /// Waits for it to end by itself.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Ends it at once.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

async fn keep_lines(stderr: Option<ChildStderr>, said: Lines, name: String) {
    let Some(stderr) = stderr else { return };
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = &line[..line.len().min(MOST_LINE_BYTES)];
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        tracing::debug!("{name}: {line}");
        let mut said = said.borrow_mut();
        if said.len() == MOST_LINES {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// A command line of ssh. `remote` is for the login shell there, whichever that is.
pub(super) fn command(ssh: &[OsString], host: &str, remote: &str) -> Command {
    let (program, first) = ssh
        .split_first()
        .map_or((OsStr::new(DEFAULT_COMMAND), &[][..]), |(program, args)| {
            (program.as_os_str(), args)
        });
    let mut command = Command::new(program);
    command.args(first).arg("-T");
    for option in OPTIONS {
        command.arg("-o").arg(option);
    }
    command.arg("--").arg(host).arg(remote);
    command
}

/// Words for a shell that may be of any family: in single quotes, which all take alike.
pub(super) fn quote(word: &str) -> String {
    shell_words::quote(word).into_owned()
}

/// A short name for a program by its content.
pub(super) fn short_name(content: &[u8]) -> String {
    let digest = Digest::of(content);
    digest.0[..12].iter().map(|b| format!("{b:02x}")).collect()
}

/// What a person should know of what ssh said; none if it said nothing.
fn explain(said: &VecDeque<String>) -> Option<String> {
    let has = |text: &str| said.iter().any(|line| line.contains(text));
    let last = said.iter().rev().find(|line| is_complaint(line))?;
    Some(if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        "its host key is not the one that is known, so the connection was refused; if that is \
         right, remove the old one with `ssh-keygen -R`"
            .into()
    } else if has("Host key verification failed") {
        "its host key is not known; connect once by hand with `ssh` to accept it".into()
    } else if has("Permission denied (") {
        format!("{last}; ssh must get in without asking (a key, perhaps in an agent)")
    } else {
        last.clone()
    })
}

/// Not an empty line, nor one that a worker logs in the course of things.
fn is_complaint(line: &str) -> bool {
    let is_log = line.starts_with("20") && line.split(' ').next().is_some_and(|w| w.ends_with('Z'));
    let level = line.split_whitespace().nth(1).unwrap_or_default();
    let is_routine = is_log && ["INFO", "DEBUG", "TRACE"].contains(&level);
    !line.is_empty() && !is_routine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Option<String> {
        explain(&lines.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn complaints_become_advice() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["a", ""]).unwrap(), "a");
        let log = "2026-11-22T16:11:11.250603Z  INFO ready view=Overlay";
        assert_eq!(told(&[log]), None);
        assert_eq!(told(&["a", log]).unwrap(), "a");
        let changed = [
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            "Host key verification failed.",
        ];
        assert!(told(&changed).unwrap().contains("ssh-keygen -R"));
        assert!(told(&changed[1..]).unwrap().contains("by hand"));
        let key = "me@far: Permission denied (publickey).";
        assert!(told(&[key]).unwrap().starts_with(key));
    }

    #[test]
    fn a_destination_is_never_an_option() {
        let command = command(&["ssh".into(), "-F".into(), "x".into()], "host", "true");
        let args: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(args[..3], ["-F", "x", "-T"]);
        assert_eq!(args[args.len() - 3..], ["--", "host", "true"]);
    }
}
