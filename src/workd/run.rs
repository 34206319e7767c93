//! One job on this pod, from its start to its last message.

use super::capture::{self, Change};
use super::health::TAIL_BYTES;
use super::mapback::MapBack;
use super::render::{Layout, Rendered, render};
use super::session::{Out, Session};
use super::view::{self, View};
use super::warden::proto::{FromInit, Run};
use super::warden::{Ended, Init};
use crate::job::{Digest, Job, Program, Role, Written, Wrote};
use crate::paths::{Bytes, RootId, RootPath};
use crate::wire::frame::{OUTPUTS, STDERR, STDOUT};
use crate::wire::messages::{Finished, FromPod, JobNumber, Task, ViewKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Most bytes in one data frame.
const CHUNK_BYTES: usize = 256 << 10;
/// How long to wait before asking again for a unit of the machine's own count.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// How a job ends otherwise than by its tool.
enum Stop {
    Fault(String),
    Declined(String),
    Cancelled,
    /// The hub is gone; nobody wants an answer.
    Unheard,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fault(error.to_string())
    }
}

/// Runs a job and answers it.
pub(crate) async fn run(
    session: Rc<Session>,
    job: JobNumber,
    tool: u32,
    task: Task,
    cancel: Rc<Notify>,
) {
    let runner = Runner {
        session: &session,
        number: job,
        cancel: &cancel,
    };
    let (message, scratch) = match runner.all(tool, &task).await {
        Ok((finished, scratch)) => {
            let usage = finished.usage;
            tracing::info!(
                job = job.0,
                tool = task.job.need.tool,
                ending = ?finished.ending,
                wall_us = usage.wall_us,
                cpu_us = usage.cpu_us,
                "job done"
            );
            (FromPod::Finished { job, finished }, Some(scratch))
        }
        Err(Stop::Unheard) => return,
        Err(Stop::Cancelled) => (FromPod::Cancelled { job }, None),
        Err(Stop::Declined(why)) => {
            tracing::info!(job = job.0, why, "job declined");
            (FromPod::Declined { job, why }, None)
        }
        Err(Stop::Fault(why)) => {
            tracing::warn!(job = job.0, why, "fault of this pod");
            (FromPod::Fault { job, why }, None)
        }
    };
    session.forget(job);
    // A hub that is gone needs no answer.
    let _ = session.send(Out::Message(message)).await;
    // Lets the answer go out before the job's memory is given back.
    tokio::task::yield_now().await;
    drop(scratch);
}

struct Runner<'a> {
    session: &'a Rc<Session>,
    number: JobNumber,
    cancel: &'a Notify,
}

impl Runner<'_> {
    async fn all(&self, tool: u32, task: &Task) -> Result<(Finished, OwnedFd), Stop> {
        let worker = &self.session.worker;
        let view = self.or_cancelled(self.session.view()).await?;
        let view = view.map_err(Stop::Fault)?;
        let exe = self.tool(tool, &task.job)?;
        if view.kind == ViewKind::Overlay {
            check_owners(&task.job, &view).map_err(Stop::Declined)?;
        }
        let slot = self.or_cancelled(worker.slots.acquire()).await?;
        let slot = slot.map_err(|_| Stop::Declined("the pod is shutting down".into()))?;
        let _machine_slot = match &worker.config.machine_slots {
            Some(take) if self.session.is_own() => Some(
                self.or_cancelled(async {
                    loop {
                        if let Some(slot) = take() {
                            return slot;
                        }
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                })
                .await?,
            ),
            _ => None,
        };
        let init = view.warden.take()?;
        let mounts = view.mounts(init.number);
        let layout = Layout {
            view: view.kind,
            roots: &view.roots,
            mounts: &mounts,
        };
        let rendered = match render(&task.job, &task.surroundings, layout) {
            Ok(rendered) => rendered,
            Err(error) => {
                view.warden.put_back(init);
                return Err(Stop::Declined(error.to_string()));
            }
        };
        let map_back = MapBack::new(rendered.map_back.iter().cloned());
        let run = to_run(rendered, exe, task, &view);
        let number = init.number;
        let ended = self.watch(&view, init, &run, &map_back).await;
        drop(slot);
        let (ended, gone, tail) = ended?;
        self.clean_later(&view, number, gone);
        let (ending, usage, room, scratch) = match ended {
            (
                FromInit::Ended {
                    ending,
                    usage,
                    room,
                },
                Some(scratch),
            ) => (ending, usage, room, scratch),
            (FromInit::NotStarted { errno }, _) => return Err(not_started(&run.exe, errno)),
            (FromInit::NotSetUp { what, errno }, _) => {
                let error = io::Error::from_raw_os_error(errno);
                return Err(Stop::Fault(format!("{what}: {error}")));
            }
            (FromInit::Ended { .. }, None) => {
                return Err(Stop::Fault("a job's files are lost".into()));
            }
        };
        if let Some(why) = worker.health.fault(ending, &room, &tail) {
            return Err(Stop::Fault(why));
        }
        let digests = self
            .send_outputs(&task.job, &view, &run, &scratch, &map_back)
            .await?;
        let finished = Finished {
            ending,
            digests,
            usage,
        };
        Ok((finished, scratch))
    }

    /// The executable, if it is one of the offer's tools.
    fn tool(&self, tool: u32, job: &Job) -> Result<Option<Bytes>, Stop> {
        match &job.program {
            Program::InRoot(_) => Ok(None),
            Program::Tool => {
                let offer = self.session.worker.offer.borrow();
                match offer.tools.get(tool as usize) {
                    Some(offered) => Ok(Some(offered.path.clone())),
                    None => Err(Stop::Declined(format!("no tool {tool} is offered here"))),
                }
            }
        }
    }

    async fn or_cancelled<T>(&self, what: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.cancel.notified() => Err(Stop::Cancelled),
            done = what => Ok(done),
        }
    }

    /// Runs the tool, passing on what it prints, until nothing of it runs any more.
    async fn watch(
        &self,
        view: &View,
        init: Init,
        run: &Run,
        map_back: &MapBack,
    ) -> Result<Watched, Stop> {
        let mut stdout = Stream::new(STDOUT, map_back)?;
        let mut stderr = Stream::new(STDERR, map_back)?;
        let (out, err) = (stdout.1, stderr.1);
        init.run(run, out.as_fd(), err.as_fd())?;
        drop((out, err));
        // While the tool runs, the next job's init is made ready.
        view.warden.restock();
        let (stdout, stderr) = (&mut stdout.0, &mut stderr.0);
        let ended = loop {
            let piece = tokio::select! {
                biased;
                () = self.cancel.notified() => {
                    // Nobody is told before everything of the job is gone.
                    let _ = view.warden.kill(init).await;
                    return Err(Stop::Cancelled);
                }
                piece = stderr.read(), if stderr.open => piece?,
                piece = stdout.read(), if stdout.open => piece?,
                ended = init.ended() => break ended,
            };
            self.data(piece).await?;
        };
        let gone = init.release();
        let Ended::Reported(report, scratch) = ended else {
            let why = gone.await.ok().flatten();
            let why = why.unwrap_or_else(|| "the job's first process was killed".into());
            return Err(Stop::Fault(why));
        };
        // All writers are gone, so what is in the pipes now is all there will be.
        for stream in [&mut *stdout, &mut *stderr] {
            while stream.open {
                let piece = stream.take()?;
                self.data(piece).await?;
            }
            let rest = stream.map_back.finish();
            self.data((stream.channel, rest)).await?;
        }
        let tail = std::mem::take(&mut stderr.tail);
        Ok(((report, scratch), gone, tail))
    }

    async fn data(&self, (channel, bytes): (u32, Vec<u8>)) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        let data = Out::Data(self.number.0, channel, bytes);
        self.session.send(data).await.map_err(|()| Stop::Unheard)
    }

    /// Removes what an init kept on disk, once its mounts are gone.
    fn clean_later(
        &self,
        view: &View,
        init: u32,
        gone: tokio::sync::oneshot::Receiver<Option<String>>,
    ) {
        if let Some(jobs) = &view.jobs {
            let (dir, cleaner) = (
                jobs.join(init.to_string()),
                self.session.worker.cleaner.clone(),
            );
            tokio::task::spawn_local(async move {
                let _ = gone.await;
                cleaner.directory(dir);
            });
        }
    }

    /// Sends what the job wrote; gives the digests of files.
    async fn send_outputs(
        &self,
        job: &Job,
        view: &View,
        run: &Run,
        scratch: &OwnedFd,
        map_back: &MapBack,
    ) -> Result<Vec<(u32, Digest)>, Stop> {
        let unwanted = self.session.globs(&job.scratch);
        let mut digests = Vec::new();
        let mut index = 0;
        for root in &run.roots {
            let files = &view.files[usize::from(*root)];
            let upper = view::open_changes(scratch, *root).map_err(io::Error::from)?;
            let declared = |below: &Path| {
                job.outputs
                    .iter()
                    .any(|output| output.at.root.0 == *root && output.at.below.as_path() == below)
            };
            for change in capture::changes(&upper, files, &declared)? {
                if unwanted.is_match(change.below.as_path()) {
                    continue;
                }
                let at = RootPath {
                    root: RootId(*root),
                    below: change.below.clone(),
                };
                let depfile = job
                    .outputs
                    .iter()
                    .any(|output| output.role == Role::Depfile && output.at == at);
                let mapped = (depfile && !map_back.is_idle()).then_some(map_back);
                if let Some(digest) = self.send_output(index, at, change, &upper, mapped).await? {
                    digests.push((index, digest));
                }
                index += 1;
            }
        }
        Ok(digests)
    }

    async fn send_output(
        &self,
        index: u32,
        at: RootPath,
        change: Change,
        upper: &OwnedFd,
        map_back: Option<&MapBack>,
    ) -> Result<Option<Digest>, Stop> {
        let Written::File { mode, size_bytes } = change.what else {
            let what = change.what;
            self.announce(index, Wrote { at, what }).await?;
            return Ok(None);
        };
        let mut file = capture::open(upper, change.below.as_path())?;
        let whole = size_bytes <= CHUNK_BYTES as u64 || map_back.is_some();
        if !whole {
            let what = Written::File { mode, size_bytes };
            self.announce(index, Wrote { at, what }).await?;
            return self.send_long(index, file, size_bytes).await.map(Some);
        }
        let mut content = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0) + 1);
        file.read_to_end(&mut content)?;
        if let Some(map_back) = map_back {
            content = map_back.whole(&content);
        }
        let size_bytes = content.len() as u64;
        let what = Written::File { mode, size_bytes };
        self.announce(index, Wrote { at, what }).await?;
        let digest = Digest::of(&content);
        for piece in content.chunks(CHUNK_BYTES) {
            self.data((OUTPUTS + index, piece.to_vec())).await?;
        }
        Ok(Some(digest))
    }

    /// A long file is read and hashed on another thread, piece by piece, so that other jobs' output
    /// does not wait for it.
    async fn send_long(&self, index: u32, file: File, size_bytes: u64) -> Result<Digest, Stop> {
        let (mut file, mut hasher) = (file.take(size_bytes), blake3::Hasher::new());
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; CHUNK_BYTES];
                let mut filled = 0;
                while filled < CHUNK_BYTES {
                    match file.read(&mut piece[filled..])? {
                        0 => break,
                        read => filled += read,
                    }
                }
                piece.truncate(filled);
                hasher.update(&piece);
                Ok::<_, io::Error>((file, hasher, piece))
            });
            let piece;
            (file, hasher, piece) = step.await.map_err(io::Error::other)??;
            if piece.is_empty() {
                return Ok(Digest(*hasher.finalize().as_bytes()));
            }
            self.data((OUTPUTS + index, piece)).await?;
        }
    }

    async fn announce(&self, index: u32, wrote: Wrote) -> Result<(), Stop> {
        let job = self.number;
        let message = FromPod::Output { job, index, wrote };
        let sent = self.session.send(Out::Message(message)).await;
        sent.map_err(|()| Stop::Unheard)
    }
}

type Watched = (
    (FromInit, Option<OwnedFd>),
    tokio::sync::oneshot::Receiver<Option<String>>,
    Vec<u8>,
);

fn not_started(exe: &Bytes, errno: i32) -> Stop {
    let error = io::Error::from_raw_os_error(errno);
    let why = format!("start `{}`: {error}", exe.display());
    match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Stop::Fault(why),
        _ => Stop::Declined(why),
    }
}

fn to_run(rendered: Rendered, exe: Option<Bytes>, task: &Task, view: &View) -> Run {
    let mut out_dirs = Vec::new();
    for dir in &rendered.out_dirs {
        // Only where the root has the directory: a tool that would fail for want of it shall.
        let there = view.files[usize::from(dir.root.0)].join(dir.below.as_path());
        if there.is_dir() {
            let mut way = Path::new(&dir.root.0.to_string()).to_path_buf();
            for part in dir.below.as_path() {
                way.push(part);
                out_dirs.push(Bytes::from(way.as_path()));
            }
        }
    }
    Run {
        exe: rendered.exe.or(exe).unwrap_or_default(),
        argv: rendered.argv,
        env: rendered.env,
        cwd: rendered.cwd,
        umask: task.surroundings.umask & 0o777,
        limits: task.surroundings.limits.clone(),
        roots: rendered.roots,
        out_dirs,
        files: rendered.files,
    }
}

/// In an overlay nothing can be written in a directory of another user or group: the kernel gives
/// EOVERFLOW, which a tool reports as its own failure.
fn check_owners(job: &Job, view: &View) -> Result<(), String> {
    let ours = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut seen = std::collections::BTreeSet::new();
    for output in &job.outputs {
        let Some(files) = view.files.get(usize::from(output.at.root.0)) else {
            continue;
        };
        for place in output.at.below.as_path().ancestors() {
            if !seen.insert((output.at.root, place)) {
                break;
            }
            let path = files.join(place);
            if let Ok(stat) = rustix::fs::lstat(&path)
                && (stat.st_uid, stat.st_gid) != ours
            {
                return Err(format!(
                    "`{}` belongs to user {} and group {}, not to the worker's",
                    path.display(),
                    stat.st_uid,
                    stat.st_gid
                ));
            }
        }
    }
    Ok(())
}

/// One of the tool's two streams.
struct Stream {
    channel: u32,
    pipe: pipe::Receiver,
    open: bool,
    map_back: MapBack,
    /// The end of what went by.
    tail: Vec<u8>,
}

impl Stream {
    /// With the end to write into.
    fn new(channel: u32, map_back: &MapBack) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let stream = Self {
            channel,
            pipe: pipe::Receiver::from_owned_fd(read)?,
            open: true,
            map_back: map_back.clone(),
            tail: Vec::new(),
        };
        Ok((stream, write))
    }

    /// The next bytes. Cancel safe.
    async fn read(&mut self) -> io::Result<(u32, Vec<u8>)> {
        self.pipe.readable().await?;
        self.take_if_there()
            .map(|bytes| (self.channel, bytes.unwrap_or_default()))
    }

    /// Whatever is there now; the stream is at its end if nothing is.
    fn take(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let bytes = self.take_if_there()?;
        self.open &= bytes.is_some();
        Ok((self.channel, bytes.unwrap_or_default()))
    }

    fn take_if_there(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 64 << 10];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => {
                self.open = false;
                Ok(Some(Vec::new()))
            }
            Ok(read) => {
                let bytes = &buffer[..read];
                if self.channel == STDERR {
                    self.tail.extend_from_slice(bytes);
                    let over = self.tail.len().saturating_sub(TAIL_BYTES);
                    self.tail.drain(..over);
                }
                Ok(Some(if self.map_back.is_idle() {
                    buffer.truncate(read);
                    buffer
                } else {
                    self.map_back.push(bytes)
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
