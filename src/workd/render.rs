//! From a job's pieces to the words that the tool gets in this pod's view.
//!
//! In the overlay view every piece is the text that was written. In the rewrite view paths that
//! are read lead to the root's mount and paths that are written lead to the job's scratch; what
//! the tool will print of them is mapped back by the pairs given here. Pure: asks no file system.

mod quote;

use self::quote::quote;
use crate::job::{Arg, Job, Piece, Program, Role, Surroundings};
use crate::paths::{Bytes, RootId, RootPath, Roots};
use crate::probe::path_of_jobs;
use crate::wire::messages::ViewKind;
use std::collections::BTreeSet;
use std::path::Path;
use thiserror::Error;

/// The response file, among temporary files, when a command line is too long without.
const RESPONSE_FILE: &str = ".cpods-arguments";
/// Where tools have temporary files unless told otherwise.
const USUAL_TMP: &str = "/tmp";
/// Arguments longer than this in all go into a response file; exec(2) takes at least as much.
const ARGUMENTS_BYTES: usize = 96 << 10;

/// Where the roots are in a view.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Which view.
    pub view: ViewKind,
    /// The roots, as on the hub.
    pub roots: &'a Roots,
    /// The view's directories; those of the roots are not looked at for the overlay.
    pub mounts: &'a Mounts,
    /// Where the tool is on this pod; empty for a program in a root.
    pub tool: &'a Path,
}

/// The rewrite view's directories for each root, and the one for temporary files.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// Where root `N`'s files are, read-only.
    pub files: Vec<Bytes>,
    /// The directory below which outputs of root `N` go, in a sub-directory `N`.
    pub out: Bytes,
    /// Where the job has its temporary files.
    pub tmp: Bytes,
}

impl Mounts {
    /// As the sandbox has them.
    pub fn in_sandbox(roots: &Roots) -> Self {
        let place = |root: RootId| format!("/cpods/root/{}", root.0);
        let files = roots.iter().map(|(root, _)| place(root).as_str().into());
        Self {
            files: files.collect(),
            out: "/cpods/out".into(),
            tmp: USUAL_TMP.into(),
        }
    }
}

/// A command line for this pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The program's path, where it is not a tool of the offer.
    pub exe: Option<Bytes>,
    /// All words, `argv[0]` first.
    pub argv: Vec<Bytes>,
    /// `NAME=value`.
    pub env: Vec<Bytes>,
    /// The working directory.
    pub cwd: Bytes,
    /// The roots that the job touches, in order.
    pub roots: Vec<u16>,
    /// Directories in which outputs are written (rewrite view): to be made where the root has them.
    pub out_dirs: Vec<RootPath>,
    /// Files to be written before the tool starts.
    pub files: Vec<(Bytes, Bytes)>,
    /// What to map back in all that the tool prints (rewrite view).
    pub map_back: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A job that this view cannot run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RenderError {
    /// A root that was not configured.
    #[error("the job names root {0}, which this pod was not told of")]
    Root(u16),
    /// The tool would write into the working directory, which is read-only.
    #[error(
        "output `{0}` is not named on the command line, and only the overlay view could catch it"
    )]
    UnnamedOutput(String),
}

/// Renders a job.
///
/// # Errors
/// See [`RenderError`]; such a job belongs on another pod.
pub fn render(
    job: &Job,
    surroundings: &Surroundings,
    layout: Layout<'_>,
) -> Result<Rendered, RenderError> {
    let mut renderer = Renderer {
        layout,
        cwd: &job.cwd,
        roots: BTreeSet::new(),
        done: Rendered::default(),
    };
    renderer.directory(job, surroundings)?;
    renderer.outputs(job)?;
    if let Program::InRoot(pieces) = &job.program {
        renderer.done.exe = Some(renderer.word(pieces)?);
    }
    renderer.arguments(job)?;
    for (name, value) in &job.env {
        let value = renderer.word(value)?;
        renderer.done.env.push(variable(name, &value));
    }
    if !job.env.iter().any(|(name, _)| name.0 == b"PATH") {
        let path = path_of_jobs(layout.tool).into();
        renderer.done.env.push(variable(&"PATH".into(), &path));
    }
    for at in &job.inputs {
        renderer.absolute(at)?;
    }
    renderer.map_roots_back()?;
    let mut done = renderer.done;
    done.roots = renderer.roots.into_iter().collect();
    done.out_dirs.sort();
    done.out_dirs.dedup();
    Ok(done)
}

fn variable(name: &Bytes, value: &Bytes) -> Bytes {
    Bytes([name.0.as_slice(), b"=", &value.0].concat())
}

struct Renderer<'a> {
    layout: Layout<'a>,
    cwd: &'a RootPath,
    roots: BTreeSet<u16>,
    done: Rendered,
}

impl Renderer<'_> {
    fn is_overlay(&self) -> bool {
        self.layout.view == ViewKind::Overlay
    }

    fn directory(&mut self, job: &Job, surroundings: &Surroundings) -> Result<(), RenderError> {
        self.done.cwd = self.absolute(&job.cwd)?;
        let pwd = match &surroundings.pwd {
            Some(pwd) if self.is_overlay() => {
                if let Some(at) = self.layout.roots.locate(Path::new("/"), pwd.as_path()) {
                    self.roots.insert(at.root.0);
                }
                pwd.clone()
            }
            _ => self.done.cwd.clone(),
        };
        self.done.env.push(variable(&"PWD".into(), &pwd));
        Ok(())
    }

    fn outputs(&mut self, job: &Job) -> Result<(), RenderError> {
        for output in &job.outputs {
            self.absolute(&output.at)?;
            if self.is_overlay() {
                continue;
            }
            let dir = match output.role {
                Role::OutputDir => output.at.clone(),
                _ => parent(&output.at),
            };
            self.done.out_dirs.push(dir);
            if output.role == Role::Output && !is_named(job, &output.at) {
                let name = output.at.below.display().into_owned();
                return Err(RenderError::UnnamedOutput(name));
            }
        }
        Ok(())
    }

    fn arguments(&mut self, job: &Job) -> Result<(), RenderError> {
        let mut words = Vec::new();
        if !self.is_overlay() {
            for arg in &job.rewrite_args {
                self.argument(arg, true, &mut words)?;
            }
        }
        let mut spilled = false;
        for arg in &job.args {
            spilled |= self.argument(arg, false, &mut words)?;
        }
        // Only where a response file was taken apart is one known to be understood by the tool.
        let length: usize = words.iter().map(|word: &Bytes| word.0.len() + 1).sum();
        if spilled && length > ARGUMENTS_BYTES {
            let content = words.iter().flat_map(quote).collect();
            let file = join(&self.layout.mounts.tmp, &RESPONSE_FILE.into());
            words = vec![Bytes([b"@", file.0.as_slice()].concat())];
            self.done.files = vec![(file, Bytes(content))];
        }
        self.done.argv = vec![job.argv0.clone()];
        self.done.argv.extend(words);
        Ok(())
    }

    /// Renders one argument; says whether a response file was taken apart.
    fn argument(
        &mut self,
        arg: &Arg,
        templates: bool,
        words: &mut Vec<Bytes>,
    ) -> Result<bool, RenderError> {
        match arg {
            Arg::Word(pieces) => {
                let mut word = self.word(pieces)?;
                if templates {
                    word = self.fill_in(&word)?;
                }
                words.push(word);
                Ok(false)
            }
            Arg::Response { word, .. } if self.is_overlay() && has_path(word) => {
                let word = self.word(word)?;
                words.push(word);
                Ok(false)
            }
            Arg::Response { content, .. } => {
                for arg in content {
                    self.argument(arg, templates, words)?;
                }
                Ok(true)
            }
        }
    }

    fn word(&mut self, pieces: &[Piece]) -> Result<Bytes, RenderError> {
        let mut word = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => word.extend_from_slice(&text.0),
                Piece::Path { at, role, text } => word.extend(self.path(at, *role, text)?.0),
            }
        }
        Ok(Bytes(word))
    }

    fn path(&mut self, at: &RootPath, role: Role, text: &Bytes) -> Result<Bytes, RenderError> {
        let absolute = self.absolute(at)?;
        if self.is_overlay() {
            return Ok(text.clone());
        }
        if role.is_written() {
            let out = join(&self.out_dir(at.root), &at.below);
            self.done.map_back.push((out.0.clone(), text.0.clone()));
            return Ok(out);
        }
        let holds = self.holds_in_mount(at, text);
        Ok(if holds { text.clone() } else { absolute })
    }

    /// Whether a relative path leads to the same file from the root's mount as from the root:
    /// not if it climbs out of the root, or to another one.
    fn holds_in_mount(&self, at: &RootPath, text: &Bytes) -> bool {
        use std::path::Component;
        if text.as_path().is_absolute() || at.root != self.cwd.root {
            return false;
        }
        let mut depth = self.cwd.below.as_path().components().count();
        for part in text.as_path().components() {
            match part {
                Component::ParentDir if depth == 0 => return false,
                Component::ParentDir => depth -= 1,
                Component::Normal(_) => depth += 1,
                _ => {}
            }
        }
        true
    }

    /// The place in the view where it is read; notes that the job touches the root.
    fn absolute(&mut self, at: &RootPath) -> Result<Bytes, RenderError> {
        let unknown = RenderError::Root(at.root.0);
        let path = if self.is_overlay() {
            let path = self.layout.roots.absolute(at).ok_or(unknown)?;
            path.as_path().into()
        } else {
            let mount = self.layout.mounts.files.get(usize::from(at.root.0));
            join(mount.ok_or(unknown)?, &at.below)
        };
        self.roots.insert(at.root.0);
        Ok(path)
    }

    fn out_dir(&self, root: RootId) -> Bytes {
        join(&self.layout.mounts.out, &root.0.to_string().as_str().into())
    }

    /// Replaces `{mount:N}` and `{root:N}`.
    fn fill_in(&self, word: &Bytes) -> Result<Bytes, RenderError> {
        let mut filled = Vec::new();
        let mut rest = word.0.as_slice();
        while let Some(open) = rest.iter().position(|byte| *byte == b'{') {
            filled.extend_from_slice(&rest[..open]);
            rest = &rest[open..];
            let Some((name, root, after)) = template(rest) else {
                filled.push(b'{');
                rest = &rest[1..];
                continue;
            };
            let path = match name {
                "mount" => self.layout.mounts.files.get(usize::from(root)).cloned(),
                _ => self.layout.roots.directory(RootId(root)).map(Bytes::from),
            };
            filled.extend(path.ok_or(RenderError::Root(root))?.0);
            rest = after;
        }
        filled.extend_from_slice(rest);
        Ok(Bytes(filled))
    }

    fn map_roots_back(&mut self) -> Result<(), RenderError> {
        if self.is_overlay() {
            return Ok(());
        }
        for (root, directory) in self.layout.roots.iter() {
            let hub = Bytes::from(directory).0;
            let mount = self.layout.mounts.files.get(usize::from(root.0));
            let mount = mount.ok_or(RenderError::Root(root.0))?;
            self.done.map_back.push((self.out_dir(root).0, hub.clone()));
            if mount.0 != hub {
                self.done.map_back.push((mount.0.clone(), hub));
            }
        }
        let tmp = &self.layout.mounts.tmp.0;
        if tmp != USUAL_TMP.as_bytes() {
            self.done.map_back.push((tmp.clone(), USUAL_TMP.into()));
        }
        Ok(())
    }
}

fn template(text: &[u8]) -> Option<(&'static str, u16, &[u8])> {
    let close = text.iter().position(|byte| *byte == b'}')?;
    let (name, number) = std::str::from_utf8(&text[1..close]).ok()?.split_once(':')?;
    let name = ["mount", "root"].into_iter().find(|known| *known == name)?;
    Some((name, number.parse().ok()?, &text[close + 1..]))
}

fn join(dir: &Bytes, below: &Bytes) -> Bytes {
    if below.0.is_empty() {
        dir.clone()
    } else {
        Bytes([dir.0.as_slice(), b"/", &below.0].concat())
    }
}

fn parent(at: &RootPath) -> RootPath {
    let below = at.below.as_path().parent();
    RootPath {
        root: at.root,
        below: below.map(Bytes::from).unwrap_or_default(),
    }
}

fn has_path(pieces: &[Piece]) -> bool {
    pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Path { .. }))
}

/// Whether the command line says where this output goes, by itself or by its directory.
fn is_named(job: &Job, output: &RootPath) -> bool {
    fn in_pieces(pieces: &[Piece], output: &RootPath) -> bool {
        pieces.iter().any(|piece| match piece {
            Piece::Path { at, role, .. } if role.is_written() => {
                at.root == output.root
                    && (at == output
                        || *role == Role::OutputDir
                            && output.below.as_path().starts_with(at.below.as_path()))
            }
            _ => false,
        })
    }
    fn in_arg(arg: &Arg, output: &RootPath) -> bool {
        match arg {
            Arg::Word(pieces) => in_pieces(pieces, output),
            Arg::Response { content, .. } => content.iter().any(|arg| in_arg(arg, output)),
        }
    }
    job.args.iter().any(|arg| in_arg(arg, output))
        || job.env.iter().any(|(_, value)| in_pieces(value, output))
}

#[cfg(test)]
mod tests;
