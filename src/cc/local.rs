//! Runs the command on this machine, by becoming it.

use crate::slots::{self, Slots};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Exit codes of a launcher that could not run its command, as env(1) and timeout(1) have them.
pub const LAUNCHER_FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

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

/// Becomes the tool at once.
pub(crate) fn run(program: &Path, argv: &[OsString]) -> ExitCode {
    become_it(command(program, argv), argv)
}

fn command(program: &Path, argv: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.arg0(&argv[0]).args(&argv[1..]);
    command
}

fn become_it(mut command: Command, argv: &[OsString]) -> ExitCode {
    let error = command.exec();
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
pub(crate) fn find(name: &OsStr) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    crate::probe::find_on_path(name, &std::env::var_os("PATH")?)
}
