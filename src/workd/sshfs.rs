//! sshfs on the pod: started with the options that were found to give no stale answer, and
//! cleared away when it is dead or stalled.
//!
//! The hub starts this program with `--sshfs DIR` at the end of an ssh connection whose other end
//! is an SFTP server on the hub; sshfs then speaks SFTP on its standard streams. So no pod holds a
//! key, and what sshfs is called with is decided where the version of sshfs is known.

use crate::paths::Bytes;
use anyhow::Context;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// With any one of these left out something is stale after a change on the hub: tried in 300 rounds
/// each. `idmap`: files of the hub's user are this user's.
const OPTIONS: &str = "ro,dir_cache=no,entry_timeout=0,attr_timeout=0,negative_timeout=0,\
                       idmap=user,nosuid,nodev,fsname=cpods";

/// The program, for error messages.
const SSHFS: &str = "sshfs";

/// Becomes sshfs, mounting on `at`. Returns only with an error.
///
/// # Errors
/// There is no sshfs, or it cannot be asked for its options.
pub(super) fn become_sshfs(at: &Path) -> anyhow::Result<()> {
    let help = Command::new(SSHFS)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .context("cannot run `sshfs` on this pod; is it installed?")?;
    let help = [help.stdout, help.stderr].concat();
    let options = options(&String::from_utf8_lossy(&help));
    fs::write(pid_file(at), std::process::id().to_string())
        .with_context(|| format!("cannot write beside `{}`", at.display()))?;
    let error = Command::new(SSHFS)
        .args(["-f", "-o", &options, ":/"])
        .arg(at)
        .exec();
    Err(error).context("cannot run `sshfs`")
}

/// What to call an sshfs with that has this help text.
fn options(help: &str) -> String {
    // Older versions call it `slave`.
    let passive = if help.contains("passive") {
        "passive"
    } else {
        "slave"
    };
    let mut options = format!("{passive},{OPTIONS}");
    // Newer versions refuse absolute symlinks and those with `..` unless told not to. The view,
    // not sshfs, is what confines a job.
    if help.contains("no_contain_symlinks") {
        options.push_str(",no_contain_symlinks");
    }
    options
}

/// Beside the mountpoint, so that it can be read when the mount is dead.
fn pid_file(at: &Path) -> PathBuf {
    at.with_extension("pid")
}

/// Whether something is mounted just there. Does not touch the mount itself.
pub(super) fn is_mounted(at: &Path) -> bool {
    mounts_below(at).iter().any(|mount| mount == at)
}

/// Everything mounted at or below a directory, the deepest first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| unescape(field).as_path().to_owned())
        .filter(|path| path.starts_with(dir))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Mount tables write blanks and backslashes as `\` and three octal digits (proc(5)).
fn unescape(field: &[u8]) -> Bytes {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let code = octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    Bytes(plain)
}

/// Ends all sshfs below `dir` and takes their mounts away. Never waits for a dead one: the process
/// first, which frees whoever waits in the mount, then the mount.
pub(super) fn clear(dir: &Path) {
    for at in mounts_below(dir) {
        end_process(&at);
        unmount(&at);
    }
}

/// Kills the sshfs that serves `at`, if its number has not been given to another process since.
fn end_process(at: &Path) {
    let Ok(text) = fs::read_to_string(pid_file(at)) else {
        return;
    };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
        return;
    };
    let words = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let serves = words
        .split(|byte| *byte == 0)
        .any(|word| word == at.as_os_str().as_bytes());
    if serves && let Err(error) = rustix::process::kill_process(pid, Signal::KILL) {
        tracing::warn!(%error, at = %at.display(), "cannot end sshfs");
    }
}

fn unmount(at: &Path) {
    // Root's own way; anyone else's mount is for the set-uid helper to take away.
    if rustix::mount::unmount(at, UnmountFlags::DETACH).is_ok() {
        return;
    }
    for helper in ["fusermount3", "fusermount"] {
        let done = Command::new(helper)
            .args(["-u", "-z", "-q", "--"])
            .arg(at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if done.is_ok_and(|status| status.success()) {
            return;
        }
    }
    if is_mounted(at) {
        tracing::warn!(at = %at.display(), "cannot unmount");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_fit_the_version() {
        assert!(options("-o slave  communicate").starts_with("slave,ro,dir_cache=no,"));
        let new = options("-o passive ...\n -o no_contain_symlinks");
        assert!(new.starts_with("passive,") && new.ends_with(",no_contain_symlinks"));
        for stale in ["auto_cache", "kernel_cache"] {
            assert!(!new.contains(stale));
        }
    }

    #[test]
    fn mount_tables_are_read_as_written() {
        assert_eq!(unescape(b"/a\\040b\\134c"), Bytes::from("/a b\\c"));
        assert_eq!(unescape(b"/plain\\"), Bytes::from("/plain\\"));
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
    }
}
