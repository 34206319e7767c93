//! One job's talk with the hub: submit, relay what the tool says, collect what it wrote, commit.

use super::commit::{Commit, CommitError};
use super::depfile::Known;
use super::hub::Hub;
use super::listener::Listener;
use super::output::Spool;
use crate::job::{Ending, Role, Wrote};
use crate::paths::{Bytes, RootPath, Roots};
use crate::wire::blocking::Frame;
use crate::wire::frame::{MAX_DATA_BYTES, OUTPUTS, STDERR};
use crate::wire::messages::{Finished, FromClient, Stamp, Submit, ToClient};
use crate::wire::packed;
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How a try ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The tool ran, its output was shown, what it wrote is in place.
    Ran(Ending),
    /// The same with exit code 0, but the rule says that it failed: why.
    Judged(String),
    /// The hub says: run it yourself.
    Local(String),
    /// The tool failed and said that a file is not there. Nothing was shown or put in place.
    Missing,
    /// It read this file of the pod's own, or one that is not here any more. Nothing was shown or
    /// put in place.
    Foreign(PathBuf),
    /// The hub says: it cannot be run anywhere.
    Refused(String),
    /// The hub is gone.
    Lost(io::Error),
}

/// A result that cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Of a file.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A pod named a place that no job may write.
    #[error("the pod sent a file outside the roots: `{0}`")]
    Outside(String),
    /// Content that cannot be unpacked.
    #[error("the pod sent a damaged file")]
    Packed(#[source] io::Error),
    /// Our own stdout or stderr.
    #[error("cannot pass on the tool's output")]
    Output(#[source] io::Error),
}

/// What stays the same over the tries of one job.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// Roles that the command line gives to what is written.
    pub(crate) outputs: &'a [crate::job::Output],
    pub(crate) spool: Spool,
    /// What the tool says when it misses a file. Empty where it cannot be run here either.
    pub(crate) not_found: &'a [crate::rules::Text],
    /// Whether it may say so and exit with 0.
    pub(crate) misses_softly: bool,
    /// What it may have read, by its depfile.
    pub(crate) known: Known<'a>,
    /// To what the tool says.
    pub(crate) listener: Listener<'a>,
}

struct Try {
    roots: Roots,
    commit: Commit,
    stamp: Option<Stamp>,
    /// What of the system's own the tool may have read.
    covered: Vec<Bytes>,
    /// Outputs whose content comes compressed.
    packed: BTreeSet<u32>,
}

impl Session<'_> {
    /// One try with one hub.
    pub(crate) fn run(&mut self, hub: &mut Hub, submit: &Submit) -> Result<End, SessionError> {
        if let Err(error) = hub.say(&FromClient::Submit(Box::new(submit.clone()))) {
            return Ok(End::Lost(error));
        }
        self.restart();
        let mut this = Try {
            roots: hub.roots.clone(),
            commit: Commit::default(),
            stamp: None,
            covered: Vec::new(),
            packed: BTreeSet::new(),
        };
        loop {
            let frame = match hub.connection().frame() {
                Ok(frame) => frame,
                Err(error) => return Ok(End::Lost(error)),
            };
            match frame {
                Frame::Data(_, channel, bytes) if channel <= STDERR => {
                    let shown = self.listener.hear(channel, bytes);
                    self.spool
                        .push(channel, &shown)
                        .map_err(SessionError::Output)?;
                }
                Frame::Data(_, channel, bytes) => {
                    let index = channel - OUTPUTS;
                    if this.packed.contains(&index) {
                        let plain = packed::unpack(bytes, MAX_DATA_BYTES);
                        this.commit
                            .write(index, &plain.map_err(SessionError::Packed)?)?;
                    } else {
                        this.commit.write(index, bytes)?;
                    }
                }
                Frame::Message(_) => match frame.message() {
                    Err(error) => return Ok(End::Lost(error)),
                    Ok(message) => {
                        if let Some(end) = self.on_message(&mut this, message)? {
                            return Ok(end);
                        }
                    }
                },
            }
        }
    }

    fn restart(&mut self) {
        self.spool.restart();
        self.listener.restart();
    }

    fn on_message(
        &mut self,
        this: &mut Try,
        message: ToClient,
    ) -> Result<Option<End>, SessionError> {
        match message {
            ToClient::Placed { stamp, covered, .. } => {
                this.covered = covered;
                this.packed.clear();
                this.commit = Commit::default();
                this.stamp = Some(stamp);
                self.restart();
            }
            ToClient::Output {
                index,
                wrote,
                packed,
            } => {
                self.begin(this, index, wrote)?;
                if packed {
                    this.packed.insert(index);
                }
            }
            ToClient::Finished(finished) => return self.finish(this, &finished).map(Some),
            ToClient::RunLocally { why } => return Ok(Some(End::Local(why))),
            ToClient::Refused { why } => return Ok(Some(End::Refused(why))),
            ToClient::Welcome { .. }
            | ToClient::Status(_)
            | ToClient::Done { .. }
            | ToClient::Last(_) => {}
        }
        Ok(None)
    }

    fn begin(&self, this: &mut Try, index: u32, wrote: Wrote) -> Result<(), SessionError> {
        let path = place(&this.roots, &wrote.at)?;
        Ok(this
            .commit
            .begin(index, path, self.role(&wrote.at), wrote.what)?)
    }

    fn role(&self, at: &RootPath) -> Option<Role> {
        self.outputs
            .iter()
            .find(|output| output.at == *at)
            .map(|output| output.role)
    }

    /// The files first, then what the tool said: who reads of success finds the files.
    fn finish(&mut self, this: &mut Try, finished: &Finished) -> Result<End, SessionError> {
        let Some(stamp) = this.stamp else {
            return Ok(End::Lost(io::Error::other(
                "the hub sent a result before a place",
            )));
        };
        for (channel, bytes) in self.listener.rest() {
            let pushed = self.spool.push(channel, &bytes);
            pushed.map_err(SessionError::Output)?;
        }
        // A file outside the roots, which no pod is shown, may well be there on this machine.
        let may_miss = !finished.ending.is_success() || self.misses_softly;
        if may_miss && self.spool.holds_any(self.not_found) {
            return Ok(End::Missing);
        }
        for depfile in this.commit.depfiles()? {
            if let Some(path) = self
                .known
                .first_unknown(&depfile, &this.roots, &this.covered)
            {
                return Ok(End::Foreign(path));
            }
        }
        let failure = self.failure(this, finished);
        let is_inside = |path: &Path| is_inside(&this.roots, path);
        std::mem::take(&mut this.commit).finish(stamp, &finished.digests, &is_inside)?;
        self.spool.show().map_err(SessionError::Output)?;
        Ok(match failure {
            Some(why) => End::Judged(why),
            None => End::Ran(finished.ending),
        })
    }

    /// Why the rule takes a tool's success for a failure.
    fn failure(&mut self, this: &Try, finished: &Finished) -> Option<String> {
        if !finished.ending.is_success() {
            return None;
        }
        let primary = self
            .outputs
            .iter()
            .filter(|output| output.role == Role::Output);
        let paths = primary.filter_map(|output| this.roots.absolute(&output.at));
        let missing = || paths.filter(|path| !this.commit.has_file(path)).collect();
        self.listener.failure(missing)
    }
}

/// The path on this machine where a pod's output goes: below a root by name, and also in truth,
/// whatever symlinks stand on the way.
fn place(roots: &Roots, at: &RootPath) -> Result<PathBuf, SessionError> {
    let outside = || SessionError::Outside(at.below.display().into_owned());
    let below = at.below.as_path();
    // Git runs what lies in its folder on the hub: no job has business there.
    let is_plain = below
        .components()
        .all(|part| matches!(part, Component::Normal(name) if name != ".git"));
    let directory = roots.directory(at.root).ok_or_else(outside)?;
    if !is_plain || below.as_os_str().is_empty() {
        return Err(outside());
    }
    let path = directory.join(below);
    if is_inside(roots, &path) {
        Ok(path)
    } else {
        Err(outside())
    }
}

/// Whether the directory of a path below a root is truly there, by way of whatever symlinks.
fn is_inside(roots: &Roots, path: &Path) -> bool {
    let parent = path.parent().unwrap_or(path);
    let root = roots.locate(Path::new("/"), path);
    let Some(directory) = root.and_then(|at| roots.directory(at.root)) else {
        return false;
    };
    if !has_symlink(directory, parent) {
        return true;
    }
    let real = parent.canonicalize();
    real.is_ok_and(|real| roots.locate(Path::new("/"), &real).is_some())
}

/// Whether the way from `directory` down to `parent` passes a symlink. One call for the usual no.
fn has_symlink(directory: &Path, parent: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    let Ok(below) = parent.strip_prefix(directory) else {
        return true;
    };
    if below.as_os_str().is_empty() {
        return false;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = open(directory, flags, Mode::empty()) else {
        return true;
    };
    openat2(
        &root,
        below,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )
    .is_err_and(|error| error != rustix::io::Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::RootId;

    fn at(below: &str) -> RootPath {
        RootPath {
            root: RootId(0),
            below: below.into(),
        }
    }

    #[test]
    fn a_pod_cannot_write_outside_the_roots() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        std::os::unix::fs::symlink("in", root.join("alias")).unwrap();
        let roots = Roots::new([&root]).unwrap();
        for good in ["a.o", "in/a.o", "alias/a.o", "out", "new/a.o"] {
            assert_eq!(place(&roots, &at(good)).unwrap(), root.join(good), "{good}");
        }
        for bad in [
            "../a.o",
            "/etc/a.o",
            "out/a.o",
            "",
            "in/../../a",
            ".git/hooks/x",
        ] {
            assert!(place(&roots, &at(bad)).is_err(), "{bad}");
        }
        assert!(
            place(
                &roots,
                &RootPath {
                    root: RootId(7),
                    below: "a".into()
                }
            )
            .is_err()
        );
    }
}
