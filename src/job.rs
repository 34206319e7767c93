//! A job: one command line of one tool, in a form that any pod can render for its own view.
//!
//! Plain data, made by `rules::classify`, read by the worker. Nothing here is rewritten yet: which
//! files a pod has and which view it builds is the pod's business.

use crate::paths::{Bytes, RootPath};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A blake3 digest: of a file's content, or of a tool's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.12}", self.to_string())
    }
}

/// What a path on a command line is to the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A file that is read.
    Input,
    /// A directory in which the tool looks for files (`-I`).
    SearchDir,
    /// The file the job is for, committed last (`-o`).
    Output,
    /// A file written beside it (`.gcno`, `.dwo`, a log).
    SideOutput,
    /// A Make-style list of what was read (`-MF`).
    Depfile,
    /// A directory into which the tool writes.
    OutputDir,
}

impl Role {
    /// Whether the tool writes there.
    pub fn is_written(self) -> bool {
        !matches!(self, Self::Input | Self::SearchDir)
    }
}

/// A part of one argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Piece {
    /// Passed on as it stands.
    Text(Bytes),
    /// A path below a root.
    Path {
        /// Where it leads.
        at: RootPath,
        /// What it is to the tool.
        role: Role,
        /// As it was written, absolute or relative to the working directory.
        text: Bytes,
    },
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arg {
    /// The pieces of a single word.
    Word(Vec<Piece>),
    /// A response file. Where the view shows the file at the path that was written, `word` is
    /// passed (so that the tool sees the very same command line); otherwise its content is.
    Response {
        /// The `@file` word itself.
        word: Vec<Piece>,
        /// The arguments found in it, nested response files included.
        content: Vec<Arg>,
    },
}

impl Arg {
    /// A word of plain text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Word(vec![Piece::Text(text.into())])
    }
}

/// A file the job is expected to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// Where it goes.
    pub at: RootPath,
    /// [`Role::Output`], [`Role::SideOutput`], [`Role::Depfile`] or [`Role::OutputDir`].
    pub role: Role,
}

/// What a pod must have to be given a job. Read by the scheduler; the rest of the job is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Need {
    /// The rule's name, as in `ninja-rules/<tool>.toml`.
    pub tool: String,
    /// The program's name without directories, as it was called (`gcc-12`); of an executable inside
    /// a root, the machine it is for.
    pub program: String,
    /// The identity of the hub's own tool; none where the hub lacks it, then the name decides.
    pub identity: Option<Digest>,
    /// Other tools that this one calls, by rule name.
    pub needs: Vec<String>,
    /// Why the rewrite view would not give identical bytes; then only overlay pods are eligible.
    pub overlay_only: Option<String>,
    /// Directories of the system's that the command line names to be searched: the same on a pod
    /// only where the tool's identity covers them.
    pub system_dirs: Vec<Bytes>,
}

/// The program to run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Program {
    /// Looked up by the pod among the tools it offers.
    Tool,
    /// An executable inside a root.
    InRoot(Vec<Piece>),
}

/// One command line of one tool. See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What a pod must have.
    pub need: Need,
    /// What runs.
    pub program: Program,
    /// `argv[0]` as the tool shall see it.
    pub argv0: Bytes,
    /// The arguments after `argv[0]`.
    pub args: Vec<Arg>,
    /// Added at the front of the arguments in the rewrite view (prefix maps and the like). A word
    /// may hold `{mount:N}` and `{root:N}`, which the pod replaces for root `N`.
    pub rewrite_args: Vec<Arg>,
    /// The working directory.
    pub cwd: RootPath,
    /// The environment that the rule lets travel.
    pub env: Vec<(Bytes, Vec<Piece>)>,
    /// Files that the command line names as inputs.
    pub inputs: Vec<RootPath>,
    /// Files that the command line says will be written. In the overlay view whatever else is
    /// written comes back too.
    pub outputs: Vec<Output>,
    /// Globs (on paths below a root) of what the tool writes and nobody wants back.
    pub scratch: Vec<String>,
    /// How much it may take on the pod.
    pub limits: Limits,
}

#[cfg(test)]
impl Job {
    /// One of gcc's, with nothing but these.
    pub(crate) fn of_gcc(args: Vec<Arg>, cwd: RootPath) -> Self {
        Self {
            need: Need {
                tool: "gcc".into(),
                program: "gcc".into(),
                identity: None,
                needs: vec![],
                overlay_only: None,
                system_dirs: vec![],
            },
            program: Program::Tool,
            argv0: "gcc".into(),
            args,
            rewrite_args: vec![],
            cwd,
            env: vec![],
            inputs: vec![],
            outputs: vec![],
            scratch: vec![],
            limits: Limits::default(),
        }
    }
}

impl Job {
    /// Files that it is sure to read, as far as its command line says.
    pub fn reads(&self) -> impl Iterator<Item = &RootPath> {
        let program = match &self.program {
            Program::InRoot(pieces) => pieces.as_slice(),
            Program::Tool => &[],
        };
        let program = program.iter().filter_map(|piece| match piece {
            Piece::Path { at, .. } => Some(at),
            Piece::Text(_) => None,
        });
        self.inputs.iter().chain(program)
    }
}

/// What a job may take on a pod; 0 is as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time from its start; then it is ended, and the exit code is [`OUT_OF_TIME`].
    pub seconds: u32,
    /// Address space of each of its processes, in MiB.
    pub memory_mib: u32,
}

/// Exit code of a job that was ended at its limit, as timeout(1) has it.
pub const OUT_OF_TIME: u8 = 124;

/// What of the wrapper's own process the tool shall see again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The file mode creation mask.
    pub umask: u32,
    /// `PWD`, where it names the working directory by another spelling.
    pub pwd: Option<Bytes>,
    /// Symlinks outside the roots that `pwd` passes: path and target, each.
    pub pwd_links: Vec<(Bytes, Bytes)>,
    /// Soft resource limits as (`RLIMIT_*` number, soft limit); `u64::MAX` is none.
    pub limits: Vec<(u32, u64)>,
}

/// How a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// With this exit code.
    Exited(u8),
    /// By this signal.
    Signalled(u8),
}

impl Ending {
    /// Exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// What stands at a path that a job wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Written {
    /// A regular file; its content follows on a channel of its own.
    File {
        /// Permission bits, setuid and setgid already stripped.
        mode: u32,
        /// Content in bytes.
        size_bytes: u64,
        /// Whether the job changed a file that was there, rather than made one.
        was_there: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as text.
        target: Bytes,
    },
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// The job removed what was there.
    Removed,
}

/// One thing that a job wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// Where.
    pub at: RootPath,
    /// What.
    pub what: Written,
}

/// What running the tool took on the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From fork to exit, in microseconds.
    pub wall_us: u64,
    /// User and system time of the whole process tree, in microseconds.
    pub cpu_us: u64,
    /// Largest resident set of one process, in KiB.
    pub peak_kib: u64,
}
