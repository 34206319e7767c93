//! An sshd for one test, on the loopback interface, with keys of its own: the pod is this machine,
//! but everything goes the way of any other.

use crate::support::{Daemon, Farm, bin, wait_for};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A running sshd, and a configuration for ssh that names it `far`.
pub(crate) struct Sshd {
    pub(crate) dir: PathBuf,
    _daemon: Daemon,
    pub(crate) port: u16,
}

impl Sshd {
    /// Starts one in a folder of its own.
    pub(crate) fn start(dir: &Path) -> Self {
        let dir = dir.join("sshd");
        fs::create_dir(&dir).unwrap();
        for name in ["key", "host"] {
            make_key(&dir.join(name));
        }
        let port = free_port();
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout);
        let user = user.unwrap();
        let at = dir.display();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\n\
             AuthorizedKeysFile {at}/key.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin prohibit-password\nSetEnv XDG_CACHE_HOME={at}/cache \
             XDG_RUNTIME_DIR={at}/run XDG_CONFIG_HOME={at}/etc\n"
        );
        let client = format!(
            "Host far\nHostName 127.0.0.1\nPort {port}\nUser {user}IdentityFile {at}/key\n\
             IdentitiesOnly yes\nUserKnownHostsFile {at}/known\nGlobalKnownHostsFile none\n"
        );
        fs::write(dir.join("sshd_config"), server).unwrap();
        fs::write(dir.join("config"), client).unwrap();
        let host = fs::read_to_string(dir.join("host.pub")).unwrap();
        fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {host}")).unwrap();
        for made in ["cache", "run"] {
            fs::create_dir(dir.join(made)).unwrap();
        }
        // What earlier tests found of this machine's tools is as true here.
        let known = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache/cpods/digests");
        fs::create_dir(dir.join("cache/cpods")).unwrap();
        let _ = fs::copy(known, dir.join("cache/cpods/digests"));
        // Where it stops being root it wants this directory.
        let _ = fs::create_dir("/run/sshd");
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self {
            dir,
            _daemon: Daemon::new(child),
            port,
        }
    }

    /// What to call ssh with.
    pub(crate) fn ssh(&self) -> String {
        format!("ssh -F {}", self.dir.join("config").display())
    }

    /// Where workers keep their things.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.join("cache/cpods")
    }
}

/// A folder with the worker to send, without what is only for debuggers: a twentieth of the size.
pub(crate) fn workers() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workers");
        fs::create_dir_all(&folder).unwrap();
        let worker = folder.join("cpods-workd");
        let aside = folder.join(format!("aside-{}", std::process::id()));
        let stripped = Command::new("strip")
            .arg("-o")
            .arg(&aside)
            .arg(bin("cpods-workd"))
            .status()
            .unwrap();
        assert!(stripped.success());
        fs::rename(aside, worker).unwrap();
        folder
    })
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// One that nobody has at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// `cpods run` with a pod at the other end of this sshd.
pub(crate) fn run(farm: &Farm, sshd: &Sshd) -> Command {
    let mut command = farm.command(bin("cpods"));
    command
        .env_remove("CPODS_HUB")
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", workers())
        .args(["run", "--pod", "far", "--root"])
        .arg(&farm.root);
    command
}
