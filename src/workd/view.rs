//! Which view a session gets: the best that proves itself on this machine and with these roots.
//!
//! Whether a kernel allows a view is not to be known from what single calls say (a namespace may be
//! granted and mounting in it denied, an overlay may be refused for the file system below it), so
//! that a view counts only once a whole job has run in it.

use super::files::Place;
use super::lower::Owned;
use super::render::Mounts;
use super::scratch::SessionDir;
use super::warden::proto::{FromInit, RootDir, Run, Scratch, Setup};
use super::warden::{Ended, Warden};
use super::worker::{ScratchChoice, ViewChoice, Worker};
use crate::job::Ending;
use crate::paths::{Bytes, Roots};
use crate::wire::messages::{OfferedTool, ViewKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A view that works for a session's roots, and the warden that makes it for each job.
pub(crate) struct View {
    pub(crate) kind: ViewKind,
    pub(crate) roots: Roots,
    /// Where this pod has the roots' files.
    pub(crate) place: Rc<Place>,
    pub(crate) sandbox: bool,
    pub(crate) warden: Rc<Warden>,
    /// Where inits keep their files, if on disk: one directory each, named by their number.
    pub(crate) jobs: Option<PathBuf>,
    /// Directories that need not be asked about again.
    pub(crate) owned: Arc<Owned>,
    /// Symlinks that were put into the root for jobs' `PWD`.
    pub(crate) links: RefCell<BTreeSet<(Bytes, Bytes)>>,
}

impl View {
    /// Where the rewrite view shows the roots to the init of this number.
    pub(crate) fn mounts(&self, init: u32) -> Mounts {
        match &self.jobs {
            Some(jobs) if !self.sandbox => Mounts {
                files: self
                    .place
                    .dirs
                    .iter()
                    .map(|path| path.as_path().into())
                    .collect(),
                out: jobs.join(init.to_string()).join("up").as_path().into(),
            },
            _ => Mounts::in_sandbox(&self.roots),
        }
    }
}

/// One way to build a view.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: ViewKind,
    memory: bool,
    sandbox: bool,
}

impl Way {
    fn name(self) -> String {
        match (self.sandbox, self.kind) {
            (false, _) => "no sandbox".into(),
            (true, kind) => {
                let place = if self.memory { "in memory" } else { "on disk" };
                format!("{kind:?} with scratch {place}").to_lowercase()
            }
        }
    }
}

/// The ways that the configuration allows, the best first.
fn ways(view: ViewChoice, scratch: ScratchChoice, unsandboxed: bool) -> Vec<Way> {
    if unsandboxed {
        return vec![Way {
            kind: ViewKind::Rewrite,
            memory: false,
            sandbox: false,
        }];
    }
    let kinds: &[_] = match view {
        ViewChoice::Auto => &[ViewKind::Overlay, ViewKind::Rewrite],
        ViewChoice::Overlay => &[ViewKind::Overlay],
        ViewChoice::Rewrite => &[ViewKind::Rewrite],
    };
    let places: &[_] = match scratch {
        ScratchChoice::Auto => &[true, false],
        ScratchChoice::Memory => &[true],
        ScratchChoice::Disk => &[false],
    };
    let each = |kind| {
        places.iter().map(move |memory| Way {
            kind,
            memory: *memory,
            sandbox: true,
        })
    };
    kinds.iter().flat_map(|kind| each(*kind)).collect()
}

/// Builds the best view that works with these roots: with it comes why none better does.
///
/// # Errors
/// None works: why.
pub(crate) async fn build(
    worker: &Rc<Worker>,
    roots: &Roots,
    place: &Rc<Place>,
) -> Result<(Rc<View>, String), String> {
    let config = &worker.config;
    let mut why_not = Vec::new();
    for way in ways(config.view, config.scratch, config.unsandboxed) {
        let built = match start(worker, roots, place, way).await {
            Ok(view) => try_out(&view).await.map(|()| view),
            Err(why) => Err(why),
        };
        match built {
            Ok(view) => {
                let better = way.kind == ViewKind::Rewrite && config.view != ViewChoice::Rewrite;
                let why = if better {
                    why_not.join("; ")
                } else {
                    String::new()
                };
                return Ok((Rc::new(view), why));
            }
            Err(why) => {
                tracing::debug!(way = way.name(), why, "view does not work");
                why_not.push(format!("{}: {why}", way.name()));
            }
        }
    }
    Err(why_not.join("; "))
}

async fn start(
    worker: &Rc<Worker>,
    roots: &Roots,
    place: &Rc<Place>,
    way: Way,
) -> Result<View, String> {
    let config = &worker.config;
    let dir = SessionDir::new(&config.cache)
        .map_err(|e| format!("make scratch in `{}`: {e}", config.cache.display()))?;
    let jobs = (!way.memory).then(|| dir.jobs());
    let setup = Setup {
        view: way.kind,
        sandbox: way.sandbox,
        scratch: match &jobs {
            None => Scratch::Memory,
            Some(jobs) => Scratch::Disk(jobs.as_path().into()),
        },
        roots: roots
            .iter()
            .zip(&place.dirs)
            .map(|((_, path), files)| RootDir {
                path: path.into(),
                files: files.as_path().into(),
            })
            .collect(),
        system: config
            .system
            .iter()
            .map(|dir| dir.as_path().into())
            .collect(),
        stage: dir.stage().as_path().into(),
    };
    let keep_ready = config.slots.clamp(1, MOST_READY) as usize;
    let cleaner = worker.cleaner.clone();
    let on_end = move |child| cleaner.session(dir, Some(child));
    Ok(View {
        kind: way.kind,
        roots: roots.clone(),
        place: Rc::clone(place),
        sandbox: way.sandbox,
        warden: Warden::start(&config.warden, &setup, keep_ready, on_end).await?,
        jobs,
        owned: Arc::default(),
        links: RefCell::default(),
    })
}

/// Inits kept ready for a session, at most: more would only be memory, as one that is taken is
/// replaced while its job runs.
const MOST_READY: u32 = 4;

/// Runs a job that does nothing with all roots.
async fn try_out(view: &View) -> Result<(), String> {
    let run = Run {
        exe: "/bin/true".into(),
        argv: vec!["true".into()],
        cwd: "/".into(),
        umask: 0o022,
        roots: view.roots.iter().map(|(root, _)| root.0).collect(),
        ..Run::default()
    };
    run_alone(view, &run).await.map(drop)
}

/// Runs a job with its output thrown away; gives its scratch directory.
async fn run_alone(view: &View, run: &Run) -> Result<OwnedFd, String> {
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let null = std::fs::File::options().write(true).open("/dev/null");
    let null = null.map_err(said("open /dev/null"))?;
    let init = view.warden.take().map_err(said("start a job"))?;
    init.run(run, null.as_fd(), null.as_fd())
        .map_err(said("start a job"))?;
    let ended = init.ended().await;
    let gone = init.release();
    match ended {
        Ended::Reported(FromInit::Ended { ending, .. }, Some(scratch)) => match ending {
            Ending::Exited(0) => Ok(scratch),
            other => Err(format!("`{}` ended with {other:?}", run.exe.display())),
        },
        Ended::Reported(FromInit::NotSetUp { what, errno }, _) => Err(format!(
            "{what}: {}",
            std::io::Error::from_raw_os_error(errno)
        )),
        Ended::Reported(FromInit::NotStarted { errno }, _) => {
            let error = std::io::Error::from_raw_os_error(errno);
            Err(format!("start `{}`: {error}", run.exe.display()))
        }
        Ended::Reported(FromInit::Ended { .. }, None) | Ended::Vanished => {
            let why = gone.await.ok().flatten();
            Err(why.unwrap_or_else(|| "a job's first process was killed".into()))
        }
    }
}

/// Proves a view on a root of its own: compiles in it with the first compiler among `tools`, or,
/// where there is none, lets a shell write a file.
///
/// # Errors
/// No view works: why.
pub(crate) async fn prove(
    worker: &Rc<Worker>,
    tools: &[OfferedTool],
) -> Result<(ViewKind, String), String> {
    let said = |error: std::io::Error| format!("make a directory to try views in: {error}");
    let dir = worker
        .config
        .cache
        .join(format!("try-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(said)?;
    std::fs::write(dir.join("a.c"), "int f(void) { return 0; }\n").map_err(said)?;
    let roots = dir
        .canonicalize()
        .map_err(said)
        .and_then(|dir| Roots::new([dir]).map_err(|error| error.to_string()));
    let proven = match roots {
        Ok(roots) => prove_in(worker, tools, &roots).await,
        Err(why) => Err(why),
    };
    worker.cleaner.directory(dir);
    proven
}

async fn prove_in(
    worker: &Rc<Worker>,
    tools: &[OfferedTool],
    roots: &Roots,
) -> Result<(ViewKind, String), String> {
    let (view, why) = build(worker, roots, &Place::shared(roots)).await?;
    let init = view.warden.take().map_err(|e| e.to_string())?;
    // Its number decides where a bare job writes, so the job is rendered for this very init.
    let mounts = view.mounts(init.number);
    view.warden.put_back(init);
    let root = roots.iter().next().map(|(_, path)| path);
    let cwd = match view.kind {
        ViewKind::Overlay => root.map(Bytes::from),
        _ => mounts.files.first().cloned(),
    };
    let out = match view.kind {
        ViewKind::Overlay => "a.o".to_owned(),
        _ => format!("{}/0/a.o", mounts.out.display()),
    };
    let compiler = tools.iter().find(|tool| is_compiler(tool));
    let (exe, argv): (Bytes, Vec<Bytes>) = match compiler {
        Some(tool) => {
            let words = [&*tool.program, "-c", "a.c", "-o", &out].map(Bytes::from);
            (tool.path.clone(), words.into())
        }
        None => {
            let script = format!("echo x > '{out}'");
            (
                "/bin/sh".into(),
                ["sh", "-c", &script].map(Bytes::from).into(),
            )
        }
    };
    let run = Run {
        exe,
        argv,
        env: vec!["PATH=/usr/bin:/bin".into()],
        cwd: cwd.unwrap_or_default(),
        umask: 0o022,
        roots: vec![0],
        ..Run::default()
    };
    let scratch = run_alone(&view, &run).await?;
    let written = rustix::fs::statat(&scratch, "up/0/a.o", AtFlags::SYMLINK_NOFOLLOW);
    written.map_err(|e| format!("the file that a trial job wrote is not there: {e}"))?;
    Ok((view.kind, why))
}

/// By the program's name: good enough for a trial, and no rule needs to say it.
fn is_compiler(tool: &OfferedTool) -> bool {
    ["gcc", "clang", "cc"].contains(&tool.program.as_str())
}

/// Opens the directory in which an init left what a job wrote to root `root`.
pub(crate) fn open_changes(scratch: &OwnedFd, root: u16) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = Path::new("up").join(root.to_string());
    // The job may have changed the mode of its root directory.
    let leave = Mode::from_raw_mode(0o700);
    match rustix::fs::openat(scratch, &path, flags, Mode::empty()) {
        Err(rustix::io::Errno::ACCESS) => {
            rustix::fs::chmodat(scratch, &path, leave, AtFlags::empty())?;
            rustix::fs::openat(scratch, &path, flags, Mode::empty())
        }
        other => other,
    }
}
