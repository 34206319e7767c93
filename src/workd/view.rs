//! Which view a session gets: the best that proves itself on this machine and with these roots.
//!
//! Whether a kernel allows a view is not to be known from what single calls say (a namespace may be
//! granted and mounting in it denied, an overlay may be refused for the file system below it), so
//! that a view counts only once a whole job has run in it.

use super::files::Place;
use super::lower::Owned;
use super::render::Mounts;
use super::scratch::SessionDir;
use super::trial;
use super::warden::proto::{Replaced, RootDir, Sandbox, Scratch, Setup};
use super::warden::{self, Warden};
use super::worker::{ScratchChoice, ViewChoice, Worker};
use crate::paths::{Bytes, Roots};
use crate::wire::messages::ViewKind;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A view that works for a session's roots, and the warden that makes it for each job.
pub(crate) struct View {
    pub(crate) kind: ViewKind,
    pub(crate) roots: Roots,
    /// Where this pod has the roots' files.
    pub(crate) place: Rc<Place>,
    pub(crate) sandbox: Sandbox,
    pub(crate) warden: Rc<Warden>,
    /// Where inits keep their files, if on disk: one directory each, named by their number.
    pub(crate) jobs: Option<PathBuf>,
    /// Directories that need not be asked about again.
    pub(crate) owned: Arc<Owned>,
    /// A file of this pod beside the jobs that none of them may reach.
    pub(crate) outside: PathBuf,
    /// Symlinks that were put into the root for jobs' `PWD`.
    pub(crate) links: RefCell<BTreeSet<(Bytes, Bytes)>>,
}

impl View {
    /// Where the init of this number keeps its files, if on disk.
    pub(crate) fn scratch(&self, init: u32) -> Option<PathBuf> {
        Some(self.jobs.as_ref()?.join(init.to_string()))
    }

    /// Where the rewrite view shows the roots to the init of this number.
    pub(crate) fn mounts(&self, init: u32) -> Mounts {
        let Some(own) = self.scratch(init).filter(|_| self.sandbox.is_bare()) else {
            return Mounts::in_sandbox(&self.roots);
        };
        let files = self.place.dirs.iter();
        Mounts {
            files: files.map(|path| path.as_path().into()).collect(),
            out: own.join(warden::OUTPUTS).as_path().into(),
            tmp: own.join(warden::TEMPORARY).as_path().into(),
        }
    }
}

/// One way to build a view.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: ViewKind,
    memory: bool,
    sandbox: Sandbox,
}

impl Way {
    fn name(self) -> String {
        match (self.sandbox, self.kind) {
            (Sandbox::Nothing, _) => "no sandbox".into(),
            (Sandbox::Landlock, kind) => format!("{kind:?} in landlock").to_lowercase(),
            (Sandbox::Namespaces, kind) => {
                let place = if self.memory { "in memory" } else { "on disk" };
                format!("{kind:?} with scratch {place}").to_lowercase()
            }
        }
    }
}

/// The ways that the configuration allows, the best first.
fn ways(view: ViewChoice, scratch: ScratchChoice, unsandboxed: bool) -> Vec<Way> {
    let bare = |sandbox| Way {
        kind: ViewKind::Rewrite,
        memory: false,
        sandbox,
    };
    if unsandboxed {
        return vec![bare(Sandbox::Nothing)];
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
            sandbox: Sandbox::Namespaces,
        })
    };
    let mut ways: Vec<_> = kinds.iter().flat_map(|kind| each(*kind)).collect();
    if kinds.contains(&ViewKind::Rewrite) && places.contains(&false) {
        ways.push(bare(Sandbox::Landlock));
    }
    ways
}

/// Builds the best view that works with these roots: with it comes why none better does.
///
/// # Errors
/// None works: why.
pub(crate) async fn build(
    worker: &Rc<Worker>,
    roots: &Roots,
    place: &Rc<Place>,
    replaced: &[Replaced],
) -> Result<(Rc<View>, String), String> {
    let config = &worker.config;
    let mut why_not = WhyNot::default();
    for way in ways(config.view, config.scratch, config.unsandboxed) {
        let built = match start(worker, roots, place, (replaced, None), way).await {
            Ok(view) => trial::try_out(&view, &config.system).await.map(|()| view),
            Err(why) => Err(why),
        };
        match built {
            Ok(view) => {
                let better = way.kind == ViewKind::Rewrite && config.view != ViewChoice::Rewrite;
                let why = match way.sandbox {
                    Sandbox::Landlock => format!("in {}; {why_not}", warden::strength()?),
                    _ if better => why_not.to_string(),
                    _ => String::new(),
                };
                return Ok((Rc::new(view), why));
            }
            Err(why) => {
                tracing::debug!(way = way.name(), why, "view does not work");
                why_not.add(way, why);
            }
        }
    }
    Err(why_not.to_string())
}

/// What is shown in place of the pod's own: directories, and the whole of its system.
type Shows<'a> = (&'a [Replaced], Option<&'a Path>);

/// Builds a view of another system than the pod's, in which these programs run.
///
/// # Errors
/// None works: why.
pub(crate) async fn build_sent(
    worker: &Rc<Worker>,
    roots: &Roots,
    place: &Rc<Place>,
    shows: Shows<'_>,
    programs: impl Iterator<Item = &Bytes> + Clone,
) -> Result<Rc<View>, String> {
    let config = &worker.config;
    let ways = ways(ViewChoice::Overlay, config.scratch, config.unsandboxed);
    let mut why_not = WhyNot::default();
    for way in ways.into_iter().filter(|way| !way.sandbox.is_bare()) {
        // That such a view confines is known from the session's other one.
        let built = match start(worker, roots, place, shows, way).await {
            Ok(view) => trial::speak(&view, programs.clone()).await.map(|()| view),
            Err(why) => Err(why),
        };
        match built {
            Ok(view) => return Ok(Rc::new(view)),
            Err(why) => why_not.add(way, why),
        }
    }
    Err(why_not.to_string())
}

/// Why ways do not work; those that fail alike in a row are named together.
#[derive(Default)]
struct WhyNot(Vec<(Vec<String>, String)>);

impl WhyNot {
    fn add(&mut self, way: Way, why: String) {
        match self.0.last_mut() {
            Some((ways, same)) if *same == why => ways.push(way.name()),
            _ => self.0.push((vec![way.name()], why)),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (ways, why)) in self.0.iter().enumerate() {
            let and = if index > 0 { "; " } else { "" };
            write!(f, "{and}{}: {why}", ways.join(", "))?;
        }
        Ok(())
    }
}

async fn start(
    worker: &Rc<Worker>,
    roots: &Roots,
    place: &Rc<Place>,
    (replaced, image): Shows<'_>,
    way: Way,
) -> Result<View, String> {
    if way.sandbox == Sandbox::Landlock {
        warden::strength()?;
    }
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
        replaced: replaced.to_vec(),
        image: image.map(Into::into),
        warm: worker.warm.dir().into(),
        stage: dir.stage().as_path().into(),
    };
    let keep_ready = config.slots.clamp(1, MOST_READY) as usize;
    let outside = dir.outside();
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
        outside,
        links: RefCell::default(),
    })
}

/// Inits kept ready for a session, at most: more would only be memory, as one that is taken is
/// replaced while its job runs.
const MOST_READY: u32 = 4;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landlock_comes_last_and_only_where_it_can() {
        let names = |view, scratch| -> Vec<_> {
            let ways = ways(view, scratch, false);
            ways.into_iter().map(Way::name).collect()
        };
        let auto = names(ViewChoice::Auto, ScratchChoice::Auto);
        assert_eq!(auto.len(), 5);
        assert_eq!(auto[4], "rewrite in landlock");
        let overlay = names(ViewChoice::Overlay, ScratchChoice::Auto);
        assert_eq!(overlay.len(), 2, "{overlay:?}");
        let memory = names(ViewChoice::Rewrite, ScratchChoice::Memory);
        assert_eq!(memory, ["rewrite with scratch in memory"]);
    }

    #[test]
    fn ways_that_fail_alike_are_named_together() {
        let mut why_not = WhyNot::default();
        for (way, why) in ways(ViewChoice::Auto, ScratchChoice::Disk, false)
            .into_iter()
            .zip(["no", "no", "other"])
        {
            why_not.add(way, why.into());
        }
        assert_eq!(
            why_not.to_string(),
            "overlay with scratch on disk, rewrite with scratch on disk: no; \
             rewrite in landlock: other"
        );
    }
}
