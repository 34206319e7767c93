//! Warm directories: what a tool keeps from run to run (caches, the list of its provers), made once
//! on this pod for each identity of the tool and shown to all its jobs.
//!
//! A rule's `[pod]` says what is in one. Its command runs in the sandbox, as a job does; what it
//! wrote is kept in the cache folder. Jobs get it as a lower layer that they cannot change: what
//! one job adds, the next one does not see.

use super::run::Stop;
use super::view::View;
use super::warden::proto::{FromInit, Run, Sandbox};
use super::warden::{Ended, Init};
use super::worker::Worker;
use crate::job::{Digest, Ending};
use crate::paths::Bytes;
use crate::probe::{find_on_path, path_of_jobs};
use crate::rules::{Pod, Rule, Text};
use crate::wire::messages::OfferedTool;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;

/// Where a job sees its warm directory.
pub(crate) const SHOWN: &str = "/cpods/warm";
/// In a job's own directory: what it changed in its warm directory.
pub(crate) const CHANGES: &str = "warm/up";
/// A command that prepares may take so long, whatever the limit of jobs is.
const PATIENCE: Duration = Duration::from_secs(600);
/// The directory that is below a command that prepares.
const EMPTY: &str = "empty";
/// How much of what a failing command said is passed on.
const TOLD_BYTES: usize = 400;

/// The warm directories of a worker.
#[derive(Debug)]
pub(crate) struct Warm {
    dir: PathBuf,
    /// One is made at a time; who comes meanwhile waits for it.
    making: Mutex<()>,
}

/// What a job gets.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The warm directory's name in the folder of all.
    pub(crate) name: Option<Bytes>,
    /// Variables, `NAME=value`.
    pub(crate) env: Vec<Bytes>,
}

impl Given {
    /// Sets these variables among a job's own.
    pub(crate) fn set(&self, env: &mut Vec<Bytes>) {
        for variable in &self.env {
            let name =
                |variable: &Bytes| variable.0.split(|byte| *byte == b'=').next().map(Vec::from);
            env.retain(|known| name(known) != name(variable));
            env.push(variable.clone());
        }
    }
}

impl Warm {
    /// Below the cache folder; what an unfinished command left is removed.
    pub(crate) fn open(cache: &Path) -> io::Result<Self> {
        let dir = cache.join("warm");
        fs::create_dir_all(dir.join(EMPTY))?;
        Ok(Self {
            dir,
            making: Mutex::default(),
        })
    }

    /// The folder of all warm directories.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// What jobs of this tool get; makes its warm directory if it is not there yet.
pub(crate) async fn give(
    worker: &Worker,
    view: &View,
    rule: &Rule,
    tool: &OfferedTool,
) -> Result<Given, Stop> {
    let env = variables(&rule.pod, tool);
    if !rule.pod.is_warm() {
        return Ok(Given { name: None, env });
    }
    if view.sandbox != Sandbox::Namespaces {
        let why = format!(
            "`{}` needs a warm directory, which needs a namespace",
            rule.tool
        );
        return Err(Stop::Declined(why));
    }
    if rule.pod.prepare.is_empty() {
        let name = Some(EMPTY.into());
        return Ok(Given { name, env });
    }
    let name = name(rule, tool, &env);
    let given = Given {
        name: Some(name.as_str().into()),
        env,
    };
    let at = worker.warm.dir.join(&name);
    let _alone = worker.warm.making.lock().await;
    if !at.is_dir() {
        let made = prepare(worker, view, rule, tool, &given.env, &at).await;
        made.map_err(|why| Stop::Declined(format!("prepare `{}`: {why}", rule.tool)))?;
    }
    Ok(given)
}

fn variables(pod: &Pod, tool: &OfferedTool) -> Vec<Bytes> {
    let set = |(name, value): &(Text, Text)| {
        let variable = format!("{name}={}", fill_in(value, tool));
        variable.as_str().into()
    };
    pod.env.iter().map(set).collect()
}

fn fill_in(text: &str, tool: &OfferedTool) -> String {
    let bin = tool.path.as_path().parent().unwrap_or(Path::new("/"));
    text.replace("{warm}", SHOWN)
        .replace("{bin}", &bin.to_string_lossy())
}

/// Changes with all that decides what is in the directory.
fn name(rule: &Rule, tool: &OfferedTool, env: &[Bytes]) -> String {
    let mut all = tool.identity.0.to_vec();
    all.extend_from_slice(&tool.path.0);
    for text in rule.pod.prepare.iter().map(|word| word.as_bytes()) {
        all.push(0);
        all.extend_from_slice(text);
    }
    for variable in env {
        all.push(0);
        all.extend_from_slice(&variable.0);
    }
    let digest = Digest::of(&all).to_string();
    format!("{}-{}", rule.tool, &digest[..16])
}

/// Runs the rule's command and keeps what it wrote at `at`.
async fn prepare(
    worker: &Worker,
    view: &View,
    rule: &Rule,
    tool: &OfferedTool,
    env: &[Bytes],
    at: &Path,
) -> Result<(), String> {
    tracing::info!(tool = &*rule.tool, "preparing its warm directory");
    let words = rule.pod.prepare.iter();
    let argv: Vec<String> = words.map(|word| fill_in(word, tool)).collect();
    let path = path_of_jobs(tool.path.as_path());
    let exe = find_on_path(OsStr::new(&argv[0]), &path)
        .ok_or_else(|| format!("there is no `{}`", argv[0]))?;
    let mut all = vec![Bytes([b"PATH=", path.as_bytes()].concat())];
    let own = Given {
        name: None,
        env: env.to_vec(),
    };
    own.set(&mut all);
    let run = Run {
        exe: exe.as_path().into(),
        argv: argv.iter().map(|word| word.as_str().into()).collect(),
        env: all,
        cwd: SHOWN.into(),
        umask: 0o022,
        warm: Some(EMPTY.into()),
        ..Run::default()
    };
    let said = |error: io::Error| error.to_string();
    let mut output = scratch_file().map_err(said)?;
    let init = view.warden.take().map_err(said)?;
    let number = init.number;
    let ended = run_alone(view, init, &run, &output).await;
    let kept = match ended {
        Ok((Ending::Exited(0), scratch)) => {
            let at = at.to_owned();
            let kept = tokio::task::spawn_blocking(move || keep(&scratch, &at)).await;
            kept.map_err(|error| error.to_string())
                .and_then(|kept| kept.map_err(|error| format!("keep what it wrote: {error}")))
        }
        Ok((ending, _)) => Err(told(&argv[0], ending, &mut output)),
        Err(why) => Err(why),
    };
    if let Some(dir) = view.scratch(number) {
        worker.cleaner.directory(dir);
    }
    kept
}

async fn run_alone(
    view: &View,
    init: Init,
    run: &Run,
    output: &File,
) -> Result<(Ending, OwnedFd), String> {
    let said = |error: io::Error| error.to_string();
    init.run(run, output.as_fd(), output.as_fd())
        .map_err(said)?;
    let Ok(ended) = tokio::time::timeout(PATIENCE, init.ended()).await else {
        let _ = view.warden.kill(init).await;
        return Err(format!("it took more than {} s", PATIENCE.as_secs()));
    };
    let gone = init.release();
    match ended {
        Ended::Reported(FromInit::Ended { ending, .. }, Some(scratch)) => Ok((ending, scratch)),
        Ended::Reported(FromInit::NotSetUp { what, errno }, _) => {
            Err(format!("{what}: {}", io::Error::from_raw_os_error(errno)))
        }
        Ended::Reported(FromInit::NotStarted { errno }, _) => {
            let error = io::Error::from_raw_os_error(errno);
            Err(format!("start `{}`: {error}", run.exe.display()))
        }
        Ended::Reported(FromInit::Ended { .. }, None) | Ended::Vanished => {
            let why = gone.await.ok().flatten();
            Err(why.unwrap_or_else(|| "its first process was killed".into()))
        }
    }
}

fn scratch_file() -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    Ok(rustix::fs::memfd_create("cpods-output", flags)?.into())
}

fn told(program: &str, ending: Ending, output: &mut File) -> String {
    let mut said = Vec::new();
    // Only for people: what cannot be read is not told.
    let _ = output.rewind().and_then(|()| output.read_to_end(&mut said));
    let start = said.len().saturating_sub(TOLD_BYTES);
    let said = String::from_utf8_lossy(&said[start..]);
    let said = said.trim().replace('\n', "; ");
    format!("`{program}` ended with {ending:?}: {said}")
}

/// Copies what a command wrote to `at`, which appears whole or not at all.
fn keep(scratch: &OwnedFd, at: &Path) -> io::Result<()> {
    let from = format!("/proc/self/fd/{}/{CHANGES}", scratch.as_raw_fd());
    let new = at.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_dir_all(&new);
    copy(Path::new(&from), &new)?;
    match fs::rename(&new, at) {
        // Another worker with the same cache folder was faster.
        Err(_) if at.is_dir() => fs::remove_dir_all(&new),
        other => other,
    }
}

/// Copies files, directories and links, with their times: caches go by them.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            let time = entry.metadata()?.modified()?;
            let times = FileTimes::new().set_modified(time);
            File::options()
                .write(true)
                .open(&target)?
                .set_times(times)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    fn tool(identity: u8) -> OfferedTool {
        OfferedTool {
            tool: "x".into(),
            program: "x".into(),
            path: "/opt/x/bin/x".into(),
            identity: Digest([identity; 32]),
            bare: None,
            searched: Vec::new(),
            version: String::new(),
        }
    }

    fn rule() -> Rule {
        Rule {
            tool: "x".into(),
            pod: Pod {
                env: vec![
                    ("HOME".into(), "{warm}".into()),
                    ("X".into(), "{bin}/y".into()),
                ]
                .into(),
                prepare: vec!["x".into(), "--warm={warm}".into()].into(),
                ..Pod::default()
            },
            ..Rule::default()
        }
    }

    #[test]
    fn a_pods_variables_stand_in_for_the_hubs() {
        let env = variables(&rule().pod, &tool(0));
        let given = Given { name: None, env };
        let mut all = vec![Bytes::from("HOME=/home/me"), Bytes::from("HOMER=1")];
        given.set(&mut all);
        assert_eq!(
            all,
            ["HOMER=1", "HOME=/cpods/warm", "X=/opt/x/bin/y"].map(Bytes::from)
        );
    }

    #[test]
    fn another_tool_has_another_directory() {
        let (rule, other) = (rule(), RuleSet::builtin().rule("z3").unwrap());
        let known = name(&rule, &tool(0), &[]);
        assert!(known.starts_with("x-"));
        assert_eq!(known, name(&rule, &tool(0), &[]));
        assert_ne!(known, name(&rule, &tool(1), &[]));
        assert_ne!(known, name(&rule, &tool(0), &["A=1".into()]));
        assert_ne!(known, name(other, &tool(0), &[]));
    }

    #[test]
    fn copies_keep_times_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "x").unwrap();
        std::os::unix::fs::symlink("file", from.join("sub/link")).unwrap();
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = File::options().write(true).open(from.join("sub/file"));
        file.unwrap().set_modified(old).unwrap();
        copy(&from, &to).unwrap();
        let copied = fs::metadata(to.join("sub/file")).unwrap();
        assert_eq!(copied.modified().unwrap(), old);
        assert_eq!(
            fs::read_link(to.join("sub/link")).unwrap(),
            Path::new("file")
        );
    }
}
