//! A hub and its pods for one test: real daemons on sockets in a folder of their own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where a program of this package was built.
pub(crate) fn bin(name: &str) -> PathBuf {
    PathBuf::from(match name {
        "cpods" => env!("CARGO_BIN_EXE_cpods"),
        "cpods-cc" => env!("CARGO_BIN_EXE_cpods-cc"),
        "cpods-schedd" => env!("CARGO_BIN_EXE_cpods-schedd"),
        "cpods-workd" => env!("CARGO_BIN_EXE_cpods-workd"),
        "cpods-gen" => env!("CARGO_BIN_EXE_cpods-gen"),
        other => panic!("no program `{other}`"),
    })
}

/// Long enough for any step on a busy machine; no test measures time by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `done` gives something.
pub(crate) fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < end, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A daemon, killed at the end of the test.
pub(crate) struct Daemon(pub(crate) Child);

impl Daemon {
    /// `kill -9`, and waits.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A root with files, a hub, and one pod on this machine.
pub(crate) struct Farm {
    /// Everything of this test.
    pub(crate) dir: tempfile::TempDir,
    /// The root, canonical.
    pub(crate) root: PathBuf,
    pub(crate) workd: Daemon,
    pub(crate) schedd: Daemon,
    view: String,
    slots: u32,
}

impl Farm {
    /// With one pod of two slots in the overlay view.
    pub(crate) fn new() -> Self {
        Self::with("overlay", 2)
    }

    /// With one pod of this view and so many slots.
    pub(crate) fn with(view: &str, slots: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir(&root).unwrap();
        let workd = Daemon(start_workd(dir.path(), view, slots));
        let schedd = Daemon(start_schedd(dir.path(), &root));
        let farm = Self {
            dir,
            root,
            workd,
            schedd,
            view: view.into(),
            slots,
        };
        farm.wait_up();
        farm
    }

    /// Starts the worker again, after it was killed.
    pub(crate) fn restart_workd(&mut self) {
        self.workd = Daemon(start_workd(self.dir.path(), &self.view, self.slots));
    }

    /// Starts the hub again, after it was killed.
    pub(crate) fn restart_schedd(&mut self) {
        self.schedd = Daemon(start_schedd(self.dir.path(), &self.root));
    }

    /// Until the pod takes jobs.
    pub(crate) fn wait_up(&self) {
        wait_for("the pod to join", || {
            let status = self.status()?;
            status["pods"][0]["up"].as_bool().filter(|up| *up)
        });
    }

    /// `cpods status --json`; none while the hub does not answer.
    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        let output = self
            .command(bin("cpods"))
            .args(["status", "--json"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Jobs that ended on pods.
    pub(crate) fn finished(&self) -> u64 {
        self.status().unwrap()["finished"].as_u64().unwrap()
    }

    /// Writes a file below the root, with its directories.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Reads a file below the root.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A command in the root, with this test's hub and the programs on PATH.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let bins = bin("cpods-cc").parent().unwrap().to_owned();
        let path = format!("{}:{}", bins.display(), std::env::var("PATH").unwrap());
        command
            .current_dir(&self.root)
            .env("PATH", path)
            .env("CPODS_HUB", self.hub_socket())
            .env_remove("CPODS_SLOT_HELD")
            .env("PWD", &self.root)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn hub_socket(&self) -> PathBuf {
        self.dir.path().join("hub.sock")
    }

    pub(crate) fn pod_socket(&self) -> PathBuf {
        self.dir.path().join("pod.sock")
    }

    /// Runs `cpods-cc` before this command; a fallback is an error.
    pub(crate) fn cc(&self, argv: &[&str]) -> Output {
        self.command(bin("cpods-cc"))
            .env("CPODS_FALLBACK", "0")
            .args(argv)
            .output()
            .unwrap()
    }

    /// The same, and it must succeed, on a pod.
    pub(crate) fn cc_remote(&self, argv: &[&str]) -> Output {
        let before = self.finished();
        let output = self.cc(argv);
        assert!(output.status.success(), "{argv:?}: {}", text(&output));
        assert_eq!(
            self.finished(),
            before + 1,
            "{argv:?} did not run on the pod: {}",
            text(&output)
        );
        output
    }

    /// Runs the bare command.
    pub(crate) fn bare(&self, argv: &[&str]) -> Output {
        self.command(argv[0]).args(&argv[1..]).output().unwrap()
    }

    /// The logs of both daemons.
    pub(crate) fn log(&self, daemon: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("{daemon}.log"))).unwrap_or_default()
    }
}

/// Everything a command said.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn logged(command: &mut Command, log: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn start_workd(dir: &Path, view: &str, slots: u32) -> Child {
    let mut command = Command::new(bin("cpods-workd"));
    command
        .arg("--socket")
        .arg(dir.join("pod.sock"))
        .arg("--cache")
        .arg(dir.join("cache"));
    command.args([
        "--name",
        "pod1",
        "--view",
        view,
        "--slots",
        &slots.to_string(),
    ]);
    logged(&mut command, &dir.join("workd.log"))
}

fn start_schedd(dir: &Path, root: &Path) -> Child {
    let mut command = Command::new(bin("cpods-schedd"));
    command
        .arg("--socket")
        .arg(dir.join("hub.sock"))
        .arg("--root")
        .arg(root);
    command
        .arg("--pod")
        .arg(format!("pod1=unix:{}", dir.join("pod.sock").display()));
    logged(&mut command, &dir.join("schedd.log"))
}
