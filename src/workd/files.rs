//! Where this pod has the files of a hub's roots: in place, or in a mount that the hub serves.
//!
//! A mount can die or stall at any time, and a tool takes either for an answer (`__has_include` of
//! an unreachable file is just false). So it is looked at every few seconds, and once more after
//! every job, before the job's result is believed.

use super::health;
use super::mirror::{Made, Mirror, make_room};
use super::scratch::{Cleaner, SessionDir};
use super::session::{Out, Session};
use super::sshfs;
use crate::paths::Roots;
use crate::wire::messages::{Files, FromPod};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long the hub may take to mount.
const MOUNTED_WITHIN: Duration = Duration::from_secs(25);
/// Between two looks whether it is mounted.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Between two looks whether a mount is alive.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A look that takes longer finds a stalled mount.
const STALLED_AFTER: Duration = Duration::from_secs(6);
/// How long the hub may take to hear of trouble, and to end the session.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// After a mount that could not be had: the first pause, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A place where this pod has the roots' files.
#[derive(Debug)]
pub(crate) struct Place {
    /// Each root's directory.
    pub(crate) dirs: Vec<PathBuf>,
    /// How they come there; none where pod and hub have one file system.
    by: Option<By>,
}

#[derive(Debug)]
enum By {
    Mount(Mount),
    Mirror(Rc<Mirror>),
}

#[derive(Debug)]
struct Mount {
    at: PathBuf,
    /// Somebody found it dead.
    dead: Notify,
}

impl Place {
    /// In place, for pods that share the hub's file system.
    pub(crate) fn shared(roots: &Roots) -> Rc<Self> {
        Rc::new(Self {
            dirs: roots.iter().map(|(_, path)| path.into()).collect(),
            by: None,
        })
    }

    fn mirrored(mirror: Rc<Mirror>) -> Rc<Self> {
        Rc::new(Self {
            dirs: mirror.dirs(),
            by: Some(By::Mirror(mirror)),
        })
    }

    fn mounted(roots: &Roots, at: &Path) -> Rc<Self> {
        Rc::new(Self {
            dirs: roots
                .iter()
                .map(|(root, _)| at.join(root.0.to_string()))
                .collect(),
            by: Some(By::Mount(Mount {
                at: at.into(),
                dead: Notify::new(),
            })),
        })
    }

    /// Whether the hub is another machine.
    pub(crate) fn is_far(&self) -> bool {
        self.by.is_some()
    }

    /// Where what jobs wrote is to be kept, if anywhere.
    pub(crate) fn made(&self) -> Option<&Made> {
        match &self.by {
            Some(By::Mirror(mirror)) => Some(mirror.made()),
            _ => None,
        }
    }

    /// Looks at the files, which must be there.
    ///
    /// # Errors
    /// Why they are not.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mount = match &self.by {
            None => return Ok(()),
            Some(By::Mirror(mirror)) => return mirror.check(),
            Some(By::Mount(mount)) => mount,
        };
        let at = mount.at.clone();
        let look = tokio::task::spawn_blocking(move || rustix::fs::stat(at.join(".")));
        let why = match timeout(STALLED_AFTER, look).await {
            Ok(Ok(Ok(_))) if sshfs::is_mounted(&mount.at) => return Ok(()),
            Ok(Ok(Ok(_))) => "the mount of the hub's files is gone".to_owned(),
            Ok(Ok(Err(errno))) => format!("the mount of the hub's files is dead: {errno}"),
            Ok(Err(_)) | Err(_) => "the mount of the hub's files is stalled".to_owned(),
        };
        mount.dead.notify_one();
        Err(why)
    }

    /// Does something that asks the file system: beside everything else where an answer may take a
    /// network's time, at once where it cannot.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<T> {
        if !matches!(self.by, Some(By::Mount(_))) {
            return Ok(what());
        }
        tokio::task::spawn_blocking(what)
            .await
            .map_err(std::io::Error::other)
    }

    /// Until it is found dead.
    async fn watch(&self) -> String {
        loop {
            if let Some(By::Mount(mount)) = &self.by {
                let _ = timeout(LOOK_EVERY, mount.dead.notified()).await;
            }
            if let Err(why) = self.check().await {
                return why;
            }
        }
    }
}

/// A mountpoint; dropped, it is cleared and removed, whatever state the mount is in.
struct Mountpoint {
    dir: Option<SessionDir>,
    at: PathBuf,
    cleaner: Cleaner,
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take() {
            self.cleaner.session(dir, None);
        }
    }
}

/// Keeps the files of a configured session in reach until it ends; returns before only to say why
/// it should.
pub(super) async fn keep(session: &Rc<Session>) -> String {
    let (roots, files) = session.configured().await;
    if files == Files::Sshfs {
        // What a mirror left may be too much for the jobs that are to come, and for the trial.
        let cache = session.worker.config.cache.clone();
        let made = tokio::task::spawn_blocking(move || make_room(&cache)).await;
        if made.unwrap_or(false) {
            session.worker.looked().await;
            session.worker.refresh().await;
        }
    }
    if files != Files::Shared {
        session.worker.looked().await;
        let (view, why) = {
            let proven = session.worker.offer.borrow();
            (proven.view, proven.view_why.clone())
        };
        let proved = Out::Message(FromPod::Proved { view, why });
        let _ = session.send(proved).await;
    }
    if let Some(mirror) = session.mirror() {
        let why = match mirror.whole().await {
            Err(why) => why,
            Ok(()) => {
                session.set_place(Ok(Place::mirrored(Rc::clone(&mirror))));
                mirror.trouble().await
            }
        };
        let why = health::with_inodes(why, &session.worker.config.cache);
        let told = FromPod::Trouble { why: why.clone() };
        if session.send(Out::Message(told)).await.is_ok() {
            // The hub ends the session when it hears that.
            sleep(TOLD_WITHIN).await;
        }
        return why;
    }
    if files == Files::Shared {
        session.set_place(Ok(Place::shared(&roots)));
        return std::future::pending().await;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        // Without its program nothing is mounted any more: the hub brings another with the next
        // connection.
        let program = match own_program() {
            Ok(program) => program,
            Err(why) => return why,
        };
        let why = match mount(session, &program).await {
            Err(why) => why,
            Ok(mountpoint) => {
                pause = FIRST_PAUSE;
                let place = Place::mounted(&roots, &mountpoint.at);
                session.set_place(Ok(Rc::clone(&place)));
                place.watch().await
            }
        };
        tracing::warn!(why, "the hub's files are not in reach");
        session.set_place(Err(why));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// This worker's own program, by a name that leads to it or to what has replaced it.
fn own_program() -> Result<PathBuf, String> {
    let link = std::fs::read_link("/proc/self/exe").map_err(|e| format!("find myself: {e}"))?;
    there(link).map_err(|link| format!("the worker's program `{}` is gone", link.display()))
}

/// What the kernel calls `NAME (deleted)` may have been replaced by another of its name.
fn there(link: PathBuf) -> Result<PathBuf, PathBuf> {
    let name = link.as_os_str().as_bytes();
    let before = name.strip_suffix(b" (deleted)").map(OsStr::from_bytes);
    let mut names = [Some(link.as_os_str()), before].into_iter().flatten();
    let found = names.find(|name| Path::new(name).exists());
    found.map(PathBuf::from).ok_or(link.clone())
}

async fn mount(session: &Rc<Session>, program: &Path) -> Result<Mountpoint, String> {
    let worker = &session.worker;
    let cache = &worker.config.cache;
    let dir = SessionDir::new(cache).map_err(|e| format!("make a mountpoint: {e}"))?;
    let mountpoint = Mountpoint {
        at: dir.mountpoint(),
        dir: Some(dir),
        cleaner: worker.cleaner.clone(),
    };
    let wanted = FromPod::Mount {
        program: program.into(),
        at: mountpoint.at.as_path().into(),
    };
    let mut refused = session.refused_mounts();
    if session.send(Out::Message(wanted)).await.is_err() {
        return Err("the hub is gone".into());
    }
    let mounted = async {
        while !sshfs::is_mounted(&mountpoint.at) {
            sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        done = timeout(MOUNTED_WITHIN, mounted) => match done {
            Ok(()) => Ok(mountpoint),
            Err(_) => Err(format!("the hub mounted nothing within {MOUNTED_WITHIN:?}")),
        },
        why = async {
            loop {
                // The last word on another mount may come late.
                let refused = refused.wait_for(|(at, _)| at.as_path() == mountpoint.at).await;
                match refused {
                    Ok(refused) => return refused.1.clone(),
                    Err(_) => std::future::pending().await,
                }
            }
        } => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_that_was_replaced_is_found_and_one_that_is_gone_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("worker");
        let deleted = dir.path().join("worker (deleted)");
        assert_eq!(there(program.clone()), Err(program.clone()));
        assert_eq!(there(deleted.clone()), Err(deleted.clone()));
        fs::write(&program, "").unwrap();
        assert_eq!(there(program.clone()), Ok(program.clone()));
        assert_eq!(there(deleted.clone()), Ok(program));
        fs::write(&deleted, "").unwrap();
        assert_eq!(there(deleted.clone()), Ok(deleted), "it may be called so");
    }
}
