//! Trial jobs: what proves that a view works, and that it confines.
//!
//! Knows nothing of how views are built.

use super::files::Place;
use super::view::{self, View};
use super::warden::proto::{FromInit, Run, Sandbox};
use super::warden::{Ended, system};
use super::worker::Worker;
use crate::job::Ending;
use crate::paths::{Bytes, Roots};
use crate::wire::messages::{OfferedTool, ViewKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, MemfdFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Tries to reach the file `$1`, which lies outside a job's view. Ends with one of the codes below
/// if it can.
const REACH: &str = "(: < \"$1\") 2>/dev/null && exit 91
(: >> \"$1\") 2>/dev/null && exit 92
(: > \"$1.new\") 2>/dev/null && exit 92
exit 0";
const COULD_READ: u8 = 91;
const COULD_WRITE: u8 = 92;

/// Runs a job with all roots that tries to reach what it must not.
///
/// # Errors
/// Why the view does not work, or does not confine.
pub(super) async fn try_out(view: &View, given: &[PathBuf]) -> Result<(), String> {
    let outside = &view.outside;
    let mut argv: Vec<Bytes> = ["sh", "-c", ":"].map(Bytes::from).into();
    if view.sandbox != Sandbox::Nothing && is_outside(view, given)? {
        argv[2] = REACH.into();
        argv.extend(["sh".into(), outside.as_path().into()]);
    }
    let run = Run {
        exe: "/bin/sh".into(),
        argv,
        cwd: "/".into(),
        umask: 0o022,
        roots: view.roots.iter().map(|(root, _)| root.0.into()).collect(),
        ..Run::default()
    };
    let tried = run_alone(view, &run).await?;
    match tried.ending {
        Ending::Exited(0) => Ok(()),
        Ending::Exited(COULD_READ) => Err(reached("read", outside)),
        Ending::Exited(COULD_WRITE) => Err(reached("write", outside)),
        _ => Err(tried.failed(&run)),
    }
}

/// Has each of these programs tell its version.
///
/// # Errors
/// Which one does not run.
pub(super) async fn speak(
    view: &View,
    programs: impl Iterator<Item = &Bytes>,
) -> Result<(), String> {
    let programs: BTreeSet<&Bytes> = programs.collect();
    for program in programs {
        let run = Run {
            exe: program.clone(),
            argv: vec![program.clone(), "--version".into()],
            cwd: "/".into(),
            umask: 0o022,
            ..Run::default()
        };
        let tried = run_alone(view, &run).await?;
        if !tried.ending.is_success() {
            return Err(tried.failed(&run));
        }
    }
    Ok(())
}

fn reached(how: &str, path: &Path) -> String {
    let path = path.display();
    format!("it does not confine: a job can {how} `{path}`")
}

/// How a trial job ended.
struct Tried {
    ending: Ending,
    scratch: OwnedFd,
    /// What it said last of why it failed.
    said: String,
}

impl Tried {
    fn failed(&self, run: &Run) -> String {
        let (exe, ending, said) = (run.exe.display(), self.ending, &self.said);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("`{exe}` ended with {ending:?}{colon}{said}")
    }
}

/// Whether the file that is to be out of reach is not in a directory that jobs see with good
/// reason: a root, or one of the system's.
///
/// # Errors
/// Jobs see it with the system, so that they would see each other's files in Landlock, too.
fn is_outside(view: &View, given: &[PathBuf]) -> Result<bool, String> {
    let outside = view.outside.canonicalize().unwrap_or_default();
    let holds = |dir: &Path| dir.canonicalize().is_ok_and(|dir| outside.starts_with(dir));
    if view.place.dirs.iter().any(|dir| holds(dir)) {
        return Ok(false);
    }
    let given: Vec<_> = given.iter().map(|dir| dir.as_path().into()).collect();
    let mut shown = system::names(&given).into_iter();
    match shown.find(|name| holds(&Path::new("/").join(name))) {
        None => Ok(true),
        Some(_) if view.sandbox == Sandbox::Namespaces => Ok(false),
        Some(dir) => Err(format!(
            "the cache folder lies in `/{}`, which every job may read",
            dir.display()
        )),
    }
}

/// Runs a job with its output thrown away.
async fn run_alone(view: &View, run: &Run) -> Result<Tried, String> {
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(said("open /dev/null"))?;
    let init = view.warden.take().map_err(said("start a job"))?;
    let stderr = rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC);
    let mut stderr = File::from(stderr.map_err(|e| said("make room for stderr")(e.into()))?);
    init.run(run, null.as_fd(), stderr.as_fd())
        .map_err(said("start a job"))?;
    let ended = init.ended().await;
    let gone = init.release();
    match ended {
        Ended::Reported(FromInit::Ended { ending, .. }, Some(scratch)) => Ok(Tried {
            ending,
            scratch,
            said: last_line(&mut stderr),
        }),
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

fn last_line(stderr: &mut File) -> String {
    let mut text = Vec::new();
    let read = stderr
        .rewind()
        .and_then(|()| stderr.take(4096).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    line.filter(|_| read.is_ok()).unwrap_or_default().to_owned()
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
    let (view, why) = view::build(worker, roots, &Place::shared(roots), &[]).await?;
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
        roots: vec![0.into()],
        ..Run::default()
    };
    let tried = run_alone(&view, &run).await?;
    if !tried.ending.is_success() {
        return Err(tried.failed(&run));
    }
    let written = rustix::fs::statat(&tried.scratch, "up/0/a.o", AtFlags::SYMLINK_NOFOLLOW);
    written.map_err(|e| format!("the file that a trial job wrote is not there: {e}"))?;
    Ok((view.kind, why))
}

/// By the program's name: good enough for a trial, and no rule needs to say it.
fn is_compiler(tool: &OfferedTool) -> bool {
    ["gcc", "clang", "cc"].contains(&tool.program.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_trial_tells_what_is_within_reach() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("outside");
        let reach = |path: &Path| {
            let mut sh = Command::new("/bin/sh");
            let status = sh.args(["-c", REACH, "sh"]).arg(path).status();
            status.unwrap().code()
        };
        // A file that is missing but could be made.
        assert_eq!(reach(&file), Some(COULD_WRITE.into()));
        std::fs::write(&file, "x").unwrap();
        assert_eq!(reach(&file), Some(COULD_READ.into()));
        assert_eq!(reach(&dir.path().join("none/outside")), Some(0));
    }
}
