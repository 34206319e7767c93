//! A hub and its pods for one test: real daemons on sockets in a folder of their own.

use rustix::process::{Pid, Signal, kill_process};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

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

/// Waits until a daemon answers. Its socket is there a moment before anybody listens (bind(2),
/// then listen(2)), and a wrapper that is refused runs its command here.
pub(crate) fn wait_for_answer(what: &str, socket: &Path) {
    wait_for(what, || UnixStream::connect(socket).ok().map(drop));
}

/// Waits for a child, but not for ever.
pub(crate) fn wait_for_end(what: &str, child: &mut Child) -> ExitStatus {
    wait_for(what, || child.try_wait().unwrap())
}

/// A daemon, ended with the test.
pub(crate) struct Daemon {
    child: RefCell<Child>,
}

impl Daemon {
    pub(crate) fn new(child: Child) -> Self {
        Self {
            child: child.into(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    /// `kill -9`, and waits.
    pub(crate) fn kill(&self) {
        let _ = self.child.borrow_mut().kill();
        let _ = self.child.borrow_mut().wait();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.borrow()), signal).unwrap();
    }

    /// Waits for its end, but not for ever.
    pub(crate) fn wait(&self) -> ExitStatus {
        wait_for_end("a daemon's end", &mut self.child.borrow_mut())
    }

    fn has_ended(&self) -> bool {
        self.child.borrow_mut().try_wait().unwrap().is_some()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked first, so that a worker can unmount and clean up.
        if !self.has_ended() {
            self.signal(Signal::CONT);
            self.signal(Signal::TERM);
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end && !self.has_ended() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.kill();
    }
}

/// A pod as a test wants it: its view and its slots.
pub(crate) type PodSpec<'a> = (&'a str, u32);

/// A root with files, a hub, and pods on this machine.
pub(crate) struct Farm {
    /// The root, canonical.
    pub(crate) root: PathBuf,
    pub(crate) schedd: Daemon,
    /// The workers, the first named `pod1`.
    pub(crate) workds: Vec<Daemon>,
    pods: Vec<(String, u32)>,
    more: Vec<String>,
    /// Everything of this test; dropped after the daemons.
    pub(crate) dir: tempfile::TempDir,
}

impl Farm {
    /// With one pod of two slots in the overlay view.
    pub(crate) fn new() -> Self {
        Self::with("overlay", 2)
    }

    /// With one pod of this view and so many slots.
    pub(crate) fn with(view: &str, slots: u32) -> Self {
        Self::of(&[(view, slots)], &[])
    }

    /// A root, and a hub that is not there any more.
    pub(crate) fn without_hub() -> Self {
        let farm = Self::of(&[], &[]);
        farm.schedd.signal(Signal::TERM);
        assert!(farm.schedd.wait().success());
        farm
    }

    /// With these pods, and more arguments for the hub.
    pub(crate) fn of(pods: &[PodSpec<'_>], more: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("cpods-test-")
            .tempdir()
            .unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir(&root).unwrap();
        fs::create_dir(dir.path().join("run")).unwrap();
        let pods: Vec<_> = pods
            .iter()
            .map(|(view, slots)| ((*view).into(), *slots))
            .collect();
        let more: Vec<_> = more.iter().map(ToString::to_string).collect();
        let workds = (0..pods.len()).map(|n| Daemon::new(start_workd(dir.path(), n, &pods[n])));
        let workds = workds.collect();
        let schedd = Daemon::new(start_schedd(dir.path(), &root, pods.len(), &more));
        let farm = Self {
            root,
            schedd,
            workds,
            pods,
            more,
            dir,
        };
        farm.wait_up();
        farm
    }

    /// Starts the first worker again, after it was killed.
    pub(crate) fn start_workd_again(&self) -> Daemon {
        Daemon::new(start_workd(self.dir.path(), 0, &self.pods[0]))
    }

    /// Starts the hub again, after it was killed.
    pub(crate) fn start_schedd_again(&self) -> Daemon {
        let child = start_schedd(self.dir.path(), &self.root, self.pods.len(), &self.more);
        Daemon::new(child)
    }

    /// Until every pod takes jobs.
    pub(crate) fn wait_up(&self) {
        wait_for("the pods to join", || {
            let status = self.status()?;
            let pods = status["pods"].as_array()?;
            pods.iter().all(|pod| pod["up"] == true).then_some(())
        });
    }

    /// In the arguments of every process of this test, and in no other's.
    pub(crate) fn tag(&self) -> String {
        self.dir
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
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
        self.command_in(&self.root, program)
    }

    /// A command in a directory of the root.
    pub(crate) fn command_in(&self, dir: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let bins = bin("cpods-cc").parent().unwrap().to_owned();
        let path = format!("{}:{}", bins.display(), std::env::var("PATH").unwrap());
        set_surroundings(&mut command, self.dir.path());
        command
            .current_dir(dir)
            .env("PATH", path)
            .env("CPODS_HUB", self.hub_socket())
            .env("PWD", dir)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn hub_socket(&self) -> PathBuf {
        self.dir.path().join("hub.sock")
    }

    /// The first worker's.
    pub(crate) fn pod_socket(&self) -> PathBuf {
        self.dir.path().join("pod1.sock")
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

    /// A daemon's log: of `schedd`, `pod1`, ...
    pub(crate) fn log(&self, daemon: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("{daemon}.log"))).unwrap_or_default()
    }
}

/// A test that fails leaves wrappers and their tools behind, which would wait for ever, and hold
/// the output of the tests open. Daemons end by themselves, in order.
///
/// With `CPODS_TEST_KEEP` set its folder is left, for people to look at.
impl Drop for Farm {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("CPODS_TEST_KEEP").is_some() {
            eprintln!("left: {}", self.dir.path().display());
            self.dir.disable_cleanup(true);
        }
        let tag = self.tag().into_bytes();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let name = process.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
            let ours = read("environ").windows(tag.len()).any(|part| part == tag);
            let daemon = [&b"cpods-workd"[..], b"cpods-schedd"];
            if ours && !daemon.contains(&read("comm").trim_ascii_end()) {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
        }
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

/// Slots of this test's own, and nothing of the environment around the tests: `cargo test` sets
/// `LD_LIBRARY_PATH`, with which no tool goes to a pod.
fn set_surroundings(command: &mut Command, dir: &Path) {
    const KEPT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LANG", "RUST_BACKTRACE"];
    command.env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("XDG_RUNTIME_DIR", dir.join("run"));
    // One memory of the tools' files for all tests, and for the next run of them.
    command.env(
        "XDG_CACHE_HOME",
        concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"),
    );
}

fn logged(command: &mut Command, dir: &Path, name: &str, runtime: &Path) -> Child {
    let log = dir.join(format!("{name}.log"));
    let log = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .unwrap();
    set_surroundings(command, dir);
    command
        .env("XDG_RUNTIME_DIR", runtime)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn start_workd(dir: &Path, number: usize, (view, slots): &(String, u32)) -> Child {
    let name = format!("pod{}", number + 1);
    let mut command = Command::new(bin("cpods-workd"));
    command
        .arg("--socket")
        .arg(dir.join(format!("{name}.sock")));
    command
        .arg("--cache")
        .arg(dir.join(format!("{name}.cache")));
    command.args([
        "--name",
        &name,
        "--view",
        view,
        "--slots",
        &slots.to_string(),
    ]);
    // Each stands for a machine of its own, with slots of its own.
    let runtime = dir.join(format!("{name}.run"));
    fs::create_dir_all(&runtime).unwrap();
    logged(&mut command, dir, &name, &runtime)
}

fn start_schedd(dir: &Path, root: &Path, pods: usize, more: &[String]) -> Child {
    let mut command = Command::new(bin("cpods-schedd"));
    command
        .arg("--socket")
        .arg(dir.join("hub.sock"))
        .arg("--root")
        .arg(root)
        .args(more);
    for name in (1..=pods).map(|n| format!("pod{n}")) {
        let socket = dir.join(format!("{name}.sock"));
        command
            .arg("--pod")
            .arg(format!("{name}=unix:{}", socket.display()));
    }
    logged(&mut command, dir, "schedd", &dir.join("run"))
}
