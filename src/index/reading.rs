//! Reading what changed beside everything else.
//!
//! Where much has changed, hashing it takes seconds, and the owner of the index may have better to do
//! than to wait: it has the files read elsewhere ([`Reading::read`]) and enters what came of it. The
//! index is not settled by that; settling afterwards finds little left to read.

use super::ground::Ground;
use super::hash::{self, Outcome};
use super::stat::Stat;
use super::table::Name;
use super::{Index, IndexError, ROUNDS, Time};

/// So many bytes are read sooner than somebody else is asked to.
const MUCH_BYTES: u64 = 16 << 20;

/// What opening and closing a file takes, in bytes that could be read meanwhile.
const FILE_BYTES: u64 = 32 << 10;

/// Larger files are not read again and again while somebody waits.
const LARGE_BYTES: u64 = 1 << 20;

/// All names of a file that is to be hashed, with what stat tells of it.
pub(super) type Names = Vec<(Name, Stat)>;

/// Files to be read.
#[derive(Debug)]
pub struct Reading {
    ground: Ground,
    files: Vec<Names>,
    up_to: u64,
    /// Before anything of them was looked at.
    begun: Time,
}

/// Files that were read.
#[derive(Debug)]
pub struct Read {
    files: Vec<Names>,
    outcomes: Vec<Outcome>,
    begun: Time,
}

impl Reading {
    /// Reads them. Takes its time.
    pub fn read(self) -> Read {
        let firsts: Vec<(Name, u64)> = self.files.iter().filter_map(first).collect();
        let outcomes = hash::all(&self.ground, &firsts, self.up_to);
        Read {
            files: self.files,
            outcomes,
            begun: self.begun,
        }
    }
}

/// The name by which a file is read, and its size.
pub(super) fn first(names: &Names) -> Option<(Name, u64)> {
    let (name, stat) = names.first()?;
    Some((name.clone(), stat.size_bytes))
}

impl Index {
    /// What settling would have to read now, if it is much: to be read elsewhere, [entered](Self::enter),
    /// and asked for again, until there is no more or patience ends ([`Index::lose_patience`]). None if
    /// it is little, or where all is walked for each settling anyway.
    ///
    /// # Errors
    /// As of [`Index::settle`].
    pub fn much_to_read(&mut self) -> Result<Option<Reading>, IndexError> {
        self.reading_of(MUCH_BYTES)
    }

    /// What settling would have to read, if it is more than so much.
    pub(super) fn reading_of(&mut self, bytes: u64) -> Result<Option<Reading>, IndexError> {
        let begun = Time::now();
        self.now = begun;
        self.check_ground()?;
        self.drain()?;
        if self.watch.is_none() {
            return Ok(None);
        }
        self.reads_elsewhere = true;
        let resolved = self.resolve_all();
        self.reads_elsewhere = false;
        resolved?;
        let files = self.unread();
        let still = files.iter().flatten().cloned();
        self.pending.extend(still);
        let restless = &self.restless;
        let files: Vec<Names> = files
            .into_iter()
            .filter(|names| !names.iter().any(|(name, _)| restless.contains(name)))
            .collect();
        let much: u64 = files
            .iter()
            .filter_map(first)
            .map(|(_, size)| {
                FILE_BYTES
                    + if size > self.options.hash_up_to {
                        0
                    } else {
                        size
                    }
            })
            .sum();
        if much <= bytes {
            return Ok(None);
        }
        Ok(Some(Reading {
            ground: self
                .ground
                .again()
                .map_err(super::failed("open root", self.root()))?,
            files,
            up_to: self.options.hash_up_to,
            begun,
        }))
    }

    fn resolve_all(&mut self) -> Result<(), IndexError> {
        for _ in 0..ROUNDS {
            if self.ears.doubt.is_empty() {
                break;
            }
            self.resolve();
            self.drain()?;
        }
        Ok(())
    }

    /// Enters what was read, as far as it holds: of what has changed meanwhile nothing is believed.
    ///
    /// # Errors
    /// As of [`Index::settle`].
    pub fn enter(&mut self, read: Read) -> Result<(), IndexError> {
        self.drain()?;
        self.now = read.begun;
        for (names, outcome) in read.files.into_iter().zip(read.outcomes) {
            self.hashed += 1;
            for (name, seen) in names {
                let is_awaited = self.pending.get(&name) == Some(&seen);
                if is_awaited && !self.is_in_doubt(&name, seen.inode()) {
                    self.pending.remove(&name);
                    self.put_outcome(name, seen, &outcome);
                }
            }
        }
        Ok(())
    }

    /// What is large and has still to be read does not hold still: the next settling does not try it
    /// again.
    pub fn lose_patience(&mut self) {
        let large = self
            .pending
            .iter()
            .filter(|(_, stat)| stat.size_bytes > LARGE_BYTES);
        self.restless = large.map(|(name, _)| name.clone()).collect();
    }

    /// Whether changes were looked at that are not entered yet.
    pub fn is_half_way(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes those that are not to be tried out of the files that wait.
    pub(super) fn spare_restless(&mut self) -> Names {
        let mut spared = Names::new();
        if !self.restless.is_empty() {
            self.pending.retain(|name, stat| {
                let is_tried = !self.restless.contains(name);
                if !is_tried {
                    spared.push((name.clone(), *stat));
                }
                is_tried
            });
        }
        spared
    }
}
