//! An SFTP server on the hub that sees the roots and nothing else, and cannot write.
//!
//! It serves a pod's sshfs. Root `N` is its directory `/N`: a pod learns nothing of the hub's paths
//! that the job's own command line does not tell. Confined by bubblewrap, in namespaces of its own,
//! without network; what it needs of the system besides (its program, libraries, one line of a
//! user table) is readable to it and holds no secret.

use super::left_out::LeftOut;
use crate::paths::Roots;
use crate::slots;
use anyhow::Context;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where systems keep the server.
const SERVERS: &[&str] = &[
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// Libraries, with the links that lead to them.
const LIBRARIES: &[&str] = &["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/libexec"];

/// The command of a jailed server for these roots.
///
/// # Errors
/// There is no server on this machine, or a file cannot be read or written.
pub(super) fn command(roots: &Roots, left_out: &LeftOut) -> anyhow::Result<Command> {
    let server = SERVERS.iter().map(Path::new).find(|path| path.exists());
    let server =
        server.context("this machine has no `sftp-server`; install openssh-sftp-server")?;
    let own = OwnFiles::make()?;
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session"]);
    command.args(["--cap-drop", "ALL", "--clearenv"]);
    for library in LIBRARIES.iter().map(Path::new) {
        match fs::symlink_metadata(library) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(library)?;
                command.arg("--symlink").args([&target, library]);
            }
            Ok(_) => drop(command.arg("--ro-bind").args([library, library])),
            Err(_) => {}
        }
    }
    command.args(["--dev", "/dev"]);
    command.arg("--ro-bind").arg(&own.users).arg("/etc/passwd");
    for (root, path) in roots.iter() {
        let shown = PathBuf::from(format!("/{}", root.0));
        command.arg("--ro-bind").args([path, &shown]);
        hide(&mut command, &own, left_out, path, &shown)?;
    }
    command.args(["--remount-ro", "/", "--chdir", "/", "--"]);
    command.arg(server).args(["-e", "-R", "-l", "ERROR"]);
    Ok(command)
}

/// What the jail shows that is neither a root nor the system's; the same for all jails of a user.
struct OwnFiles {
    /// A user table in which the server finds its user, without which it does not start.
    users: PathBuf,
    /// Nobody may open these.
    closed_file: PathBuf,
    closed_dir: PathBuf,
}

impl OwnFiles {
    fn make() -> anyhow::Result<Self> {
        let dir = slots::make_runtime_dir()?.join("jail");
        let own = Self {
            users: dir.join("passwd"),
            closed_file: dir.join("closed"),
            closed_dir: dir.join("closed.d"),
        };
        let uid = rustix::process::geteuid().as_raw();
        let line = format!("hub:x:{uid}:{}::/:/\n", rustix::process::getegid().as_raw());
        let closed = fs::Permissions::from_mode(0o0);
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&own.users, line))
            .and_then(|()| match own.closed_file.exists() {
                true => Ok(()),
                false => fs::write(&own.closed_file, ""),
            })
            .and_then(|()| fs::set_permissions(&own.closed_file, closed.clone()))
            .and_then(|()| fs::create_dir_all(&own.closed_dir))
            .and_then(|()| fs::set_permissions(&own.closed_dir, closed))
            .with_context(|| format!("cannot write in `{}`", dir.display()))?;
        Ok(own)
    }
}

/// Covers what is left out of a root by what nobody may open, so that a job is refused it, and does
/// not take it for absent.
fn hide(
    command: &mut Command,
    own: &OwnFiles,
    left_out: &LeftOut,
    root: &Path,
    shown: &Path,
) -> anyhow::Result<()> {
    for path in left_out.find(root)? {
        let below = path.strip_prefix(root).unwrap_or(&path);
        let cover = if path.is_dir() {
            &own.closed_dir
        } else {
            &own.closed_file
        };
        command.arg("--ro-bind").args([cover, &shown.join(below)]);
    }
    Ok(())
}
