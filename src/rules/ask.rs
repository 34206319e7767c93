//! What goes into classification and what comes out of it.

use crate::job::Job;
use std::ffi::OsString;
use std::path::Path;

/// What stands at a path, symlinks followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing, or a symlink to nothing.
    Missing,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// `/dev/null`, by whatever name.
    DevNull,
    /// A device, socket or pipe.
    Other,
}

/// What classification may ask of the disk. Paths are absolute.
pub trait Look {
    /// The content of a response file; none where it cannot be read.
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
    /// What stands there.
    fn kind(&self, path: &Path) -> FileKind;
    /// The machine an ELF executable is for (`x86_64`, `aarch64`); none for anything else.
    fn machine(&self, path: &Path) -> Option<String>;
}

/// A command line where it was given.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// The program and its arguments.
    pub argv: &'a [OsString],
    /// The working directory as getcwd(3) has it, never by the spelling of `PWD`: the kernel takes
    /// relative words from the directory itself, so that after `cd /w/link` the word `../a.c` is
    /// beside what `link` leads to, not in `/w`.
    ///
    /// What a compiler writes down as its directory is `PWD`, letter for letter, where that leads to
    /// the same place. It travels with the job; and where it differs from this path, the wrapper
    /// asks for the overlay view, so that what the rewrite view adds (`{cwd}`) may be this path.
    pub cwd: &'a Path,
    /// The whole environment.
    pub env: &'a [(OsString, OsString)],
}

/// Why a command line runs locally.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// In a few words, alike for alike cases (`links`), fit for counting.
    pub why: String,
    /// The flag, file or variable that is the cause; may be empty.
    pub detail: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.detail.as_str() {
            "" => f.write_str(&self.why),
            detail => write!(f, "{} (`{detail}`)", self.why),
        }
    }
}

/// What is to be done with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Any pod that fits may run it.
    Remote(Box<Job>),
    /// It runs here.
    Local(Reason),
}
