//! Files made ahead, to become such without content.
//!
//! On ext4 a new file is dear where many were removed in the last minutes: it takes no inode that was
//! in use just before, and looks at each. A list that jobs wait for may need hundreds of files, so
//! they are made while there is nothing else to do, each with its lease.

use super::lease::{self, Ear};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Each takes a file descriptor.
const MOST: usize = 128;

/// Files in one directory, each open and held.
#[derive(Debug)]
pub(super) struct Spares {
    dir: PathBuf,
    files: Vec<File>,
    /// How many there are to be: none before one was wanted.
    most: usize,
}

impl Spares {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            files: Vec::new(),
            most: 0,
        }
    }

    /// Puts one in a place, if there is one.
    pub(super) fn take(&mut self, at: &Path) -> Option<File> {
        self.most = MOST;
        while let Some(file) = self.files.pop() {
            let path = self.path();
            if lease::is_opened(&file) {
                // Somebody looked at it, maybe long ago: the kernel holds up nobody any more.
                let _ = fs::remove_file(path);
                continue;
            }
            // Where somebody has tidied up, there is none.
            return fs::rename(path, at).ok().map(|()| file);
        }
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= self.most
    }

    /// Makes one more. Where that is not possible there will be none: it is not worth a word, since
    /// whoever needs a file hears why there is none to be had.
    pub(super) fn add(&mut self, ear: &Ear) {
        match self.make(ear) {
            Ok(file) => self.files.push(file),
            Err(_) => self.most = self.files.len(),
        }
    }

    fn make(&self, ear: &Ear) -> io::Result<File> {
        let path = self.path();
        // What lies there may be open to somebody.
        let _ = fs::remove_file(&path);
        let mut new = File::options();
        let file = new.read(true).write(true).create_new(true).open(path)?;
        ear.hold(&file)?;
        Ok(file)
    }

    /// Of the next one.
    fn path(&self) -> PathBuf {
        self.dir.join(format!("spare.{}", self.files.len()))
    }
}
