//! A real `cpods-workd` and a small hub that gives it jobs, for tests and benchmarks of the worker.

use cpods::job::{
    Arg, Digest, Ending, Job, Limits, Need, Output, Piece, Program, Role, Surroundings, Written,
};
use cpods::paths::Roots;
use cpods::wire::blocking::{Connection, Frame};
use cpods::wire::codec;
use cpods::wire::frame::{OUTPUTS, Peer, STDERR, STDOUT};
use cpods::wire::messages::{Files, Finished, FromPod, JobNumber, Offer, Task, ToPod};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A worker of the test's own.
pub(crate) struct Pod {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) cache: TempDir,
}

/// The worker's program.
pub(crate) const WORKD: &str = env!("CARGO_BIN_EXE_cpods-workd");
/// The tools that every test's worker offers, in this order.
pub(crate) const SH: u32 = 0;
/// A compiler.
pub(crate) const GCC: u32 = 1;
/// A tool that is not there.
pub(crate) const ABSENT: u32 = 2;

impl Pod {
    /// Starts a worker with these further options.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_by(Command::new(WORKD), options)
    }

    /// Starts a worker in a user namespace in which no further one can be made: this is found out
    /// late, when it is tried.
    pub(crate) fn start_without_namespaces(options: &[&str]) -> Self {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-Ur", "sh", "-c", script, "sh", WORKD]);
        Self::start_by(command, options)
    }

    /// Starts a worker by a command that becomes one.
    pub(crate) fn start_by(mut command: Command, options: &[&str]) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let socket = cache.path().join("workd.sock");
        command
            .arg("--socket")
            .arg(&socket)
            .arg("--cache")
            .arg(cache.path().join("cache"))
            .args(["--tool", "sh=/bin/sh", "--tool", "gcc=/usr/bin/gcc"])
            .args(options)
            .stdin(Stdio::null());
        if std::env::var_os("CPODS_TEST_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let child = command.spawn().unwrap();
        Self {
            child,
            socket,
            cache,
        }
    }

    /// A hub's connection, before anything was said.
    pub(crate) fn connect(&self) -> UnixStream {
        for _ in 0..1000 {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the worker does not listen on {}", self.socket.display());
    }

    /// A hub with these roots.
    pub(crate) fn hub(&self, roots: &[&Path]) -> Hub {
        let mut connection = Connection::new(self.connect());
        let roots = Roots::new(roots).unwrap();
        let configure = ToPod::Configure {
            roots: roots.clone(),
            own: false,
            files: Files::Shared,
            hub: String::new(),
        };
        connection.send(Some(Peer::Hub), &configure).unwrap();
        connection.hello(Peer::Pod).unwrap();
        let offer = match connection.frame().unwrap().message().unwrap() {
            FromPod::Offer(offer) => offer,
            other => panic!("{other:?} where an offer belongs"),
        };
        Hub {
            connection,
            roots,
            offer,
            next: 1,
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A hub's side of one session.
pub(crate) struct Hub {
    pub(crate) connection: Connection<UnixStream>,
    pub(crate) roots: Roots,
    pub(crate) offer: Offer,
    next: u64,
}

/// All that came back of one job.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// By absolute path, with contents of files.
    pub(crate) wrote: BTreeMap<PathBuf, (Written, Vec<u8>)>,
    pub(crate) end: Option<FromPod>,
}

impl Answer {
    pub(crate) fn finished(&self) -> &Finished {
        match &self.end {
            Some(FromPod::Finished { finished, .. }) => finished,
            _ => panic!("not finished: {self:?}"),
        }
    }

    pub(crate) fn ending(&self) -> Ending {
        self.finished().ending
    }

    /// Whether the tool ran and ended with 0.
    pub(crate) fn succeeded(&self) -> bool {
        matches!(&self.end, Some(FromPod::Finished { finished, .. }) if finished.ending.is_success())
    }

    /// The tool succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.ending(), Ending::Exited(0), "{self:?}");
        self
    }

    /// The names of what was written.
    pub(crate) fn names(&self) -> Vec<&str> {
        let name = |path: &'_ PathBuf| path.file_name().unwrap().to_str().unwrap().len();
        self.wrote
            .keys()
            .map(|path| {
                let text = path.to_str().unwrap();
                &text[text.len() - name(path)..]
            })
            .collect()
    }
}

/// One job as tests write it.
pub(crate) struct Spec {
    pub(crate) tool: u32,
    pub(crate) task: Task,
    roots: Roots,
    cwd: PathBuf,
}

impl Spec {
    /// A word as it stands.
    pub(crate) fn arg(mut self, text: impl AsRef<std::ffi::OsStr>) -> Self {
        self.task.job.args.push(Arg::text(text.as_ref()));
        self
    }

    /// A word that is a path below a root.
    pub(crate) fn path(mut self, role: Role, text: &str) -> Self {
        let at = self.roots.locate(&self.cwd, Path::new(text)).unwrap();
        if role.is_written() {
            let at = at.clone();
            self.task.job.outputs.push(Output { at, role });
        }
        let text = text.into();
        self.task
            .job
            .args
            .push(Arg::Word(vec![Piece::Path { at, role, text }]));
        self
    }

    /// Declares an output that no word names.
    pub(crate) fn output(mut self, role: Role, text: &str) -> Self {
        let at = self.roots.locate(&self.cwd, Path::new(text)).unwrap();
        self.task.job.outputs.push(Output { at, role });
        self
    }
}

impl Hub {
    /// A job in this directory.
    pub(crate) fn job(&self, tool: u32, name: &str, cwd: &Path) -> Spec {
        let job = Job {
            need: Need {
                tool: name.into(),
                program: name.into(),
                identity: None,
                needs: vec![],
                overlay_only: None,
                system_dirs: Vec::new(),
            },
            program: Program::Tool,
            argv0: name.into(),
            args: vec![],
            rewrite_args: vec![],
            cwd: self.roots.locate(cwd, Path::new("")).unwrap(),
            env: vec![],
            inputs: vec![],
            outputs: vec![],
            scratch: vec![],
            limits: Limits::default(),
        };
        let surroundings = Surroundings {
            umask: 0o022,
            pwd: None,
            pwd_links: Vec::new(),
            limits: vec![],
        };
        Spec {
            tool,
            task: Task { job, surroundings },
            roots: self.roots.clone(),
            cwd: cwd.into(),
        }
    }

    /// A shell script in this directory.
    pub(crate) fn script(&self, cwd: &Path, script: &str) -> Spec {
        self.job(SH, "sh", cwd).arg("-c").arg(script)
    }

    /// Runs a shell script in this directory.
    pub(crate) fn sh(&mut self, cwd: &Path, script: &str) -> Answer {
        let spec = self.script(cwd, script);
        self.run(&spec)
    }

    /// Starts a job.
    pub(crate) fn start(&mut self, spec: &Spec) -> JobNumber {
        self.start_by(spec, None)
    }

    /// The same with a tool that was chosen by this identity; none is the one that is offered.
    pub(crate) fn start_by(&mut self, spec: &Spec, chosen: Option<Digest>) -> JobNumber {
        let job = JobNumber(self.next);
        self.next += 1;
        // The worker offers its tools in the order in which it was given them.
        let name = ["sh", "gcc", "absent"][spec.tool as usize];
        let place = self.offer.tools.iter().position(|tool| tool.tool == name);
        let start = ToPod::Start {
            job,
            tool: place.map_or(u32::MAX, |place| u32::try_from(place).unwrap()),
            chosen: chosen.or_else(|| Some(self.offer.tools.get(place?)?.identity)),
            task: codec::encode(&spec.task).unwrap(),
            inputs: Vec::new(),
        };
        self.connection.send(None, &start).unwrap();
        job
    }

    /// Runs a job to its end.
    pub(crate) fn run(&mut self, spec: &Spec) -> Answer {
        let job = self.start(spec);
        self.wait(job).unwrap()
    }

    /// Collects what comes of one job, the only one that runs.
    pub(crate) fn wait(&mut self, job: JobNumber) -> io::Result<Answer> {
        let mut all = self.wait_all(&[job])?;
        Ok(all.remove(&job.0).unwrap())
    }

    /// Collects what comes of several jobs.
    pub(crate) fn wait_all(&mut self, jobs: &[JobNumber]) -> io::Result<BTreeMap<u64, Answer>> {
        let mut answers: BTreeMap<_, _> =
            jobs.iter().map(|job| (job.0, Answer::default())).collect();
        let mut raw: BTreeMap<(u64, u32), Vec<u8>> = BTreeMap::new();
        let mut places: BTreeMap<(u64, u32), PathBuf> = BTreeMap::new();
        let mut open = jobs.len();
        while open > 0 {
            let message = match self.connection.frame()? {
                Frame::Data(job, channel, bytes) => {
                    raw.entry((job, channel)).or_default().extend(bytes);
                    continue;
                }
                frame @ Frame::Message(_) => frame.message::<FromPod>()?,
            };
            match message {
                FromPod::Offer(offer) => self.offer = offer,
                FromPod::Pong | FromPod::Trouble { .. } | FromPod::Proved { .. } => {}
                FromPod::Mount { .. }
                | FromPod::Lacks { .. }
                | FromPod::Opened { .. }
                | FromPod::Without { .. }
                | FromPod::Again { .. } => panic!("the files are shared"),
                FromPod::Output {
                    job, index, wrote, ..
                } => {
                    let path = self.roots.absolute(&wrote.at).unwrap();
                    let answer = answers.get_mut(&job.0).unwrap();
                    answer.wrote.insert(path.clone(), (wrote.what, vec![]));
                    places.insert((job.0, OUTPUTS + index), path);
                }
                FromPod::Finished { job, .. }
                | FromPod::Fault { job, .. }
                | FromPod::Declined { job, .. }
                | FromPod::Cancelled { job } => {
                    open -= 1;
                    answers.get_mut(&job.0).unwrap().end = Some(message);
                }
            }
        }
        for ((job, channel), bytes) in raw {
            let answer = answers.get_mut(&job).unwrap();
            match channel {
                STDOUT => answer.stdout = String::from_utf8_lossy(&bytes).into_owned(),
                STDERR => answer.stderr = String::from_utf8_lossy(&bytes).into_owned(),
                _ => {
                    let path = &places[&(job, channel)];
                    answer.wrote.get_mut(path).unwrap().1 = bytes;
                }
            }
        }
        for (job, answer) in &answers {
            check_digests(*job, answer, &places);
        }
        Ok(answers)
    }
}

fn check_digests(job: u64, answer: &Answer, places: &BTreeMap<(u64, u32), PathBuf>) {
    let Some(FromPod::Finished { finished, .. }) = &answer.end else {
        return;
    };
    for (index, digest) in &finished.digests {
        let (what, content) = &answer.wrote[&places[&(job, OUTPUTS + index)]];
        assert_eq!(Digest::of(content), *digest);
        let Written::File { size_bytes, .. } = what else {
            panic!("a digest of {what:?}");
        };
        assert_eq!(content.len() as u64, *size_bytes);
    }
    let files = answer.wrote.values();
    let files = files.filter(|(what, _)| matches!(what, Written::File { .. }));
    assert_eq!(files.count(), finished.digests.len());
}
