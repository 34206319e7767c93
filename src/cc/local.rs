//! Runs the command on this machine, by becoming it.

use crate::slots::{self, Slots};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

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

fn become_it(mut command: Command, argv: &[OsString]) -> ExitCode {
    let depth = std::env::var(DEPTH)
        .ok()
        .and_then(|depth| depth.parse().ok())
        .unwrap_or(0_u32);
    if depth >= DEEPEST {
        let name = argv[0].display();
        super::complain(&format!(
            "`{name}` leads back to this wrapper, {depth} times over"
        ));
        return ExitCode::from(LAUNCHER_FAILED);
    }
    if let Some(before) = FILES_BEFORE.get() {
        let _ = setrlimit(Resource::Nofile, *before);
    }
    let error = command.env(DEPTH, (depth + 1).to_string()).exec();
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
fn find_other(name: &OsStr) -> Option<PathBuf> {
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
