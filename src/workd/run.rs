//! One job on this pod, from its start to its last message.

mod leave;
mod rest;

use super::limits;
use super::lower;
use super::mapback::MapBack;
use super::mirror::{self, Pass};
use super::outputs::Outputs;
use super::pipes::{Piece, Stream};
use super::render::{Layout, render};
use super::session::{Out, Session};
use super::spelling;
use super::start;
use super::view::View;
use super::warden::proto::{FromInit, Run};
use super::warden::{Ended, Init};
use super::warm::{self, Given};
use crate::job::{Digest, Ending, Job, Usage};
use crate::wire::frame::{STDERR, STDOUT};
use crate::wire::messages::{Finished, FromPod, JobNumber, OfferedTool, Task, ViewKind};
use rustix::fd::{AsFd, OwnedFd};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Most bytes in one data frame.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// How a job ends otherwise than by its tool.
pub(crate) enum Stop {
    Fault(String),
    Declined(String),
    Cancelled,
    /// Ended at its limit of time.
    OutOfTime,
    /// The hub is gone; nobody wants an answer.
    Unheard,
    /// A file's content was not there: once more, when this content has come.
    Again(Vec<Digest>),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fault(error.to_string())
    }
}

/// Runs a job and answers it, once so many lists of changes to the files are made, and the content
/// has come that the hub is sending for it.
pub(crate) async fn run(
    session: Rc<Session>,
    (job, come, inputs): (JobNumber, u64, Vec<Digest>),
    (tool, chosen): (u32, Option<Digest>),
    task: Task,
    cancel: Rc<Notify>,
) {
    // Before anything of it may be used.
    let guest = session.mirror();
    let guest = guest.map(|mirror| mirror.guest(task.job.reads().cloned()));
    let mut runner = Runner {
        session: &session,
        number: job,
        come,
        chosen,
        inputs,
        may_retry: Cell::new(true),
        cancel: &cancel,
    };
    let ended = loop {
        match runner.all(tool, &task).await {
            Err(Stop::Again(late)) => {
                let why = "for want of content".to_owned();
                tracing::info!(job = job.0, why, "once more");
                if session
                    .send(Out::Message(FromPod::Again { job, why }))
                    .await
                    .is_err()
                {
                    return;
                }
                runner.inputs = late;
                runner.come = session.mirror().map_or(0, |mirror| mirror.come());
            }
            ended => break ended,
        }
    };
    let (message, scratch) = match ended {
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
        Err(Stop::Unheard | Stop::Again(_)) => return,
        Err(Stop::Cancelled) => (FromPod::Cancelled { job }, None),
        Err(Stop::OutOfTime) => (runner.out_of_time(&task.job).await, None),
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
    drop(guest);
    // A hub that is gone needs no answer.
    let _ = session.send(Out::Message(message)).await;
    // Lets the answer go out before the job's memory is given back.
    tokio::task::yield_now().await;
    drop(scratch);
}

pub(crate) struct Runner<'a> {
    pub(crate) session: &'a Rc<Session>,
    pub(crate) number: JobNumber,
    come: u64,
    /// The identity of the tool by which the hub chose.
    chosen: Option<Digest>,
    inputs: Vec<Digest>,
    /// A job that fails may be run once more.
    may_retry: Cell<bool>,
    cancel: &'a Notify,
}

impl Runner<'_> {
    async fn all(&self, offered: u32, task: &Task) -> Result<(Finished, OwnedFd), Stop> {
        let view = self.or_cancelled(self.session.view()).await?;
        let mut view = view.map_err(Stop::Fault)?;
        let shown = self.session.shown();
        let sent = shown.tool(offered, &task.job);
        if sent.is_none() {
            self.tool(offered, &task.job)?;
        }
        self.files_are_here().await?;
        if sent.is_some() {
            let built = self.or_cancelled(shown.view(self.session)).await?;
            let not = |why| Stop::Declined(format!("the hub's tools do not run here: {why}"));
            view = built.map_err(not)?;
        }
        if view.kind == ViewKind::Overlay {
            let outputs = task.job.outputs.clone();
            let (place, dirs) = (&view.place, view.place.dirs.clone());
            let owned = Arc::clone(&view.owned);
            let checked = place.ask(move || lower::check_owners(&outputs, &dirs, &owned));
            checked.await?.map_err(Stop::Declined)?;
            let known = spelling::make_known(&view, &task.surroundings.pwd_links);
            known.await.map_err(Stop::Declined)?;
        }
        let slot = self.slot().await?;
        let heard = self.tools_known().await?;
        let tool = match &sent {
            Some(_) => sent.clone(),
            None => self.tool(offered, &task.job)?,
        };
        let given = self.given(&view, tool.as_ref(), &task.job).await?;
        let pass = self.or_cancelled(self.pass()).await?;
        let init = view.warden.take()?;
        let mounts = view.mounts(init.number);
        let layout = Layout {
            view: view.kind,
            roots: &view.roots,
            mounts: &mounts,
            tool: tool
                .as_ref()
                .map_or(Path::new(""), |tool| tool.path.as_path()),
        };
        let rendered = match render(&task.job, &task.surroundings, layout) {
            Ok(rendered) => rendered,
            Err(error) => {
                view.warden.put_back(init);
                return Err(Stop::Declined(error.to_string()));
            }
        };
        let map_back = MapBack::new(rendered.map_back.iter().cloned());
        let exe = tool.map(|tool| tool.path);
        let near = self.writes_near(&task.job);
        let mut run = start::to_run(rendered, exe, task, (&view, near)).await?;
        given.set(&mut run.env);
        run.warm = given.name;
        let number = init.number;
        let seconds = task.job.limits.seconds;
        let limits = (seconds, pass.as_ref(), slot);
        let watching = self.watch(&view, init, &run, &map_back, limits);
        let watched = watching.await;
        // Nothing of it runs any more, so that it opens no more files.
        let news = pass.as_ref().map(|pass| pass.news.clone());
        let opened = pass.map_or(0, |pass| pass.opened);
        let watched = watched.inspect_err(|_| self.clean(&view, number))?;
        let gone = watched.gone;
        let ended = async {
            if sent.is_none() {
                self.tools_are_those(heard)?;
            }
            let (ending, usage, scratch) =
                self.judge(watched.report, watched.scratch, &watched.tail, &run)?;
            // A tool takes a file that is out of reach for one that is not there.
            view.place.check().await.map_err(Stop::Fault)?;
            let may_be_refused = !ending.is_success() || !self.waits(&task.job);
            if may_be_refused && self.is_worth_a_retry(opened).await? {
                return Err(Stop::Again(Vec::new()));
            }
            let outputs = Outputs {
                runner: self,
                job: &task.job,
                view: &view,
                run: &run,
                scratch: &scratch,
                map_back: &map_back,
                news,
            };
            let digests: Vec<(u32, Digest)> = outputs.send().await?;
            let finished = Finished {
                ending,
                digests,
                usage,
            };
            Ok((finished, scratch))
        };
        let ended = ended.await;
        // Not before: what lies on disk is what was just read.
        self.clean_later(&view, number, gone);
        ended
    }

    /// Whether the job's tool writes near its outputs only. In a mirror alone: to ask where that is
    /// must not go over a network.
    fn writes_near(&self, job: &Job) -> bool {
        let rule = self.session.worker.config.rules.rule(&job.need.tool);
        self.session.mirror().is_some() && rule.is_some_and(|rule| rule.pod.writes_near)
    }

    /// What the pod gives to a job of this tool.
    async fn given(
        &self,
        view: &View,
        tool: Option<&OfferedTool>,
        job: &Job,
    ) -> Result<Given, Stop> {
        let worker = &self.session.worker;
        match (worker.config.rules.rule(&job.need.tool), tool) {
            (Some(rule), Some(tool)) => {
                let given = warm::give(worker, view, rule, tool);
                self.or_cancelled(given).await?
            }
            _ => Ok(Given::default()),
        }
    }

    /// Says that a job was ended at its limit.
    async fn out_of_time(&self, job: &Job) -> FromPod {
        let line = limits::out_of_time_line(job);
        tracing::info!(job = self.number.0, "ended at its limit");
        // A hub that is gone needs no answer.
        let _ = self.data((STDERR, line.into_bytes())).await;
        let (job, finished) = (self.number, limits::out_of_time(job));
        FromPod::Finished { job, finished }
    }

    /// Tells the tool's end from the pod's failing.
    fn judge(
        &self,
        report: FromInit,
        scratch: Option<OwnedFd>,
        stderr: &[u8],
        run: &Run,
    ) -> Result<(Ending, Usage, OwnedFd), Stop> {
        let (ending, usage, room) = match report {
            FromInit::Ended {
                ending,
                usage,
                room,
            } => (ending, usage, room),
            FromInit::NotStarted { errno } => return Err(start::not_started(&run.exe, errno)),
            FromInit::NotSetUp { what, errno } => {
                let error = io::Error::from_raw_os_error(errno);
                return Err(Stop::Fault(format!("{what}: {error}")));
            }
        };
        let scratch = scratch.ok_or_else(|| Stop::Fault("a job's files are lost".into()))?;
        match self.session.worker.health.fault(ending, &room, stderr) {
            Some(why) => Err(Stop::Fault(why)),
            None => Ok((ending, usage, scratch)),
        }
    }

    async fn or_cancelled<T>(&self, what: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.cancel.notified() => Err(Stop::Cancelled),
            done = what => Ok(done),
        }
    }

    /// Runs the tool, passing on what it prints, until nothing of it runs any more. The slot is free
    /// from that moment: what is left to do is not the next job's to wait for.
    async fn watch(
        &self,
        view: &View,
        init: Init,
        run: &Run,
        map_back: &MapBack,
        (seconds, pass, slot): (u32, Option<&Pass>, leave::Room),
    ) -> Result<Watched, Stop> {
        let mut stdout = Stream::new(STDOUT, map_back)?;
        let mut stderr = Stream::new(STDERR, map_back)?;
        let (out, err) = (stdout.1, stderr.1);
        init.run(run, out.as_fd(), err.as_fd())?;
        drop((out, err));
        // While the tool runs, the next job's init is made ready.
        view.warden.restock();
        let (stdout, stderr) = (&mut stdout.0, &mut stderr.0);
        let limit = tokio::time::sleep(Duration::from_secs(seconds.into()));
        let spoiled = mirror::spoiled(pass);
        tokio::pin!(limit, spoiled);
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
                () = &mut limit, if seconds > 0 => {
                    let _ = view.warden.kill(init).await;
                    self.counts(pass).await?;
                    return Err(Stop::OutOfTime);
                }
                late = &mut spoiled => {
                    let _ = view.warden.kill(init).await;
                    return Err(Stop::Again(late));
                }
            };
            self.data(piece).await?;
        };
        drop(slot);
        let gone = init.release();
        let Ended::Reported(report, scratch) = ended else {
            let why = gone.await.ok().flatten();
            let why = why.unwrap_or_else(|| "the job's first process was killed".into());
            return Err(Stop::Fault(why));
        };
        self.counts(pass).await?;
        // All writers are gone, so what is in the pipes now is all there will be.
        for stream in [&mut *stdout, &mut *stderr] {
            while stream.open {
                let piece = stream.take()?;
                self.data(piece).await?;
            }
            self.data(stream.rest()).await?;
        }
        let tail = stderr.tail();
        Ok(Watched {
            report,
            scratch,
            gone,
            tail,
        })
    }

    pub(crate) async fn data(&self, (channel, bytes): Piece) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        let data = Out::Data(self.number.0, channel, bytes);
        self.session.send(data).await.map_err(|()| Stop::Unheard)
    }
}

/// What is known once nothing of a job runs any more.
struct Watched {
    report: FromInit,
    scratch: Option<OwnedFd>,
    /// Tells when the init's mounts are gone, too.
    gone: oneshot::Receiver<Option<String>>,
    /// The end of stderr.
    tail: Vec<u8>,
}
