//! Runs the command on this machine, by becoming it.

use super::listener::Listener;
use crate::job::Ending;
use crate::slots::{self, Slots};
use crate::wire::frame::{STDERR, STDOUT};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, OnceLock};

/// Exit codes of a launcher that could not run its command, as env(1) and timeout(1) have them.
pub const LAUNCHER_FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// How many wrappers stand around this one. A script around the wrapper, in the place of the real
/// tool, would be found as the real tool again and again.
const DEPTH: &str = "CPODS_DEPTH";
const DEEPEST: u32 = 200;

/// Whether this wrapper already runs inside another's slot.
fn inside_a_slot() -> bool {
    std::env::var_os(slots::HELD).is_some()
}

/// Becomes the tool, in one of the machine's slots. Returns only if that failed.
///
/// A wrapper below another one's tool (a driver that calls compilers) takes no slot of its own:
/// its parent waits for it, and with one core both would wait for ever.
pub(crate) fn run_in_slot(program: &Path, argv: &[OsString]) -> ExitCode {
    let mut command = command(program, argv);
    if !inside_a_slot() {
        // Without a lock file the job still runs: a limit lost is better than a build lost.
        if let Ok(slots) = Slots::open() {
            let _ = slots.take().keep_for_exec();
            command.env(slots::HELD, "1");
        }
    }
    become_it(command, argv)
}

/// The limit as it was, for the tool that this wrapper may become.
static FILES_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the number of files that this process may hold open, for a job that wrote many, as far
/// as it may; false if that is no further.
pub(crate) fn allow_more_files() -> bool {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum || FILES_BEFORE.set(before).is_err() {
        return false;
    }
    let most = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, most).is_ok()
}

/// Runs the tool in one of the machine's slots, passing on what it says, and waits for its end.
///
/// # Errors
/// It cannot be run: the exit code.
pub(crate) fn watch_in_slot(
    program: &Path,
    argv: &[OsString],
    listener: &mut Listener<'_>,
) -> Result<Ending, ExitCode> {
    let mut command = command(program, argv);
    // Given back when the tool has ended.
    let _slot = if inside_a_slot() {
        None
    } else {
        command.env(slots::HELD, "1");
        Slots::open().ok().map(Slots::take)
    };
    // SAFETY: prctl(2) is a plain system call, and all that is done between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // A tool whose wrapper was ended would go on unseen.
            let with_parent = Some(rustix::process::Signal::TERM);
            Ok(rustix::process::set_parent_process_death_signal(
                with_parent,
            )?)
        });
    }
    command.env(DEPTH, next_depth(argv)?.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let cannot_run = |error: io::Error| not_run(argv, &error);
    let mut child = command.spawn().map_err(cannot_run)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let heard = Mutex::new(listener);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(out, io::stdout(), STDOUT, &heard));
        scope.spawn(|| pass_on(err, io::stderr(), STDERR, &heard));
    });
    if let Ok(listener) = heard.into_inner() {
        for (channel, bytes) in listener.rest() {
            let _ = match channel {
                STDOUT => io::stdout()
                    .write_all(&bytes)
                    .and_then(|()| io::stdout().flush()),
                _ => io::stderr().write_all(&bytes),
            };
        }
    }
    let status = child.wait().map_err(|error| not_run(argv, &error))?;
    let low = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(low(code)),
        (None, signal) => Ending::Signalled(low(signal.unwrap_or_default())),
    })
}

/// Copies a stream of the tool to our own until its end.
fn pass_on(
    from: Option<impl Read>,
    mut to: impl Write,
    channel: u32,
    heard: &Mutex<&mut Listener<'_>>,
) {
    let mut buffer = vec![0; 64 << 10];
    let Some(mut from) = from else { return };
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            return;
        }
        let piece = match heard.lock() {
            Ok(mut listener) => listener.hear(channel, &buffer[..read]).into_owned(),
            Err(_) => return,
        };
        // Who listened is gone: so the tool is told when it writes on.
        if to.write_all(&piece).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// Becomes what would have run without this wrapper, at once.
pub(crate) fn run(argv: &[OsString]) -> ExitCode {
    match find_other(&argv[0]) {
        Some(program) => become_it(command(&program, argv), argv),
        None => {
            let name = argv[0].display();
            super::complain(&format!("cannot run `{name}`: not found along PATH"));
            ExitCode::from(NOT_FOUND)
        }
    }
}

fn command(program: &Path, argv: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.arg0(&argv[0]).args(&argv[1..]);
    command
}

/// How deep the next wrapper would be.
fn next_depth(argv: &[OsString]) -> Result<u32, ExitCode> {
    let depth = std::env::var(DEPTH)
        .ok()
        .and_then(|depth| depth.parse().ok())
        .unwrap_or(0_u32);
    if depth >= DEEPEST {
        let name = argv[0].display();
        super::complain(&format!(
            "`{name}` leads back to this wrapper, {depth} times over"
        ));
        return Err(ExitCode::from(LAUNCHER_FAILED));
    }
    Ok(depth + 1)
}

fn become_it(mut command: Command, argv: &[OsString]) -> ExitCode {
    if let Some(before) = FILES_BEFORE.get() {
        let _ = setrlimit(Resource::Nofile, *before);
    }
    match next_depth(argv) {
        Ok(depth) => not_run(argv, &command.env(DEPTH, depth.to_string()).exec()),
        Err(code) => code,
    }
}

fn not_run(argv: &[OsString], error: &io::Error) -> ExitCode {
    let code = if error.kind() == std::io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        NOT_EXECUTABLE
    };
    super::complain(&format!("cannot run `{}`: {error}", argv[0].display()));
    ExitCode::from(code)
}

/// The program that `name` stands for on this machine: itself if it holds a slash, else the first
/// along PATH that is no launcher (a masquerade would send the job round in circles).
pub(crate) fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    crate::probe::find_on_path(name, &std::env::var_os("PATH")?)
}

/// The same, but only this wrapper itself is looked past: another launcher is what the user wanted.
pub(crate) fn find_other(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|found| {
            let is_ours = || {
                found
                    .canonicalize()
                    .is_ok_and(|real| real.ends_with(super::NAME))
            };
            found.is_file()
                && rustix::fs::access(found, rustix::fs::Access::EXEC_OK).is_ok()
                && !is_ours()
        })
}
