//! The indexes of all roots, and of what pods are shown beside them.

use super::Restless;
use crate::index::{Index, LeaveOut, Options, Read, Reading};
use crate::job::Digest;
use crate::paths::Roots;
use crate::schedd::by_need::Learned;
use crate::schedd::left_out::LeftOut;
use crate::wire::files::MOST_FILE_BYTES;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The index of every root.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    pub(crate) all: Vec<Index>,
    /// Names in each that jobs opened before their content was there.
    pub(crate) learned: Vec<Learned>,
    /// What is not to be sent for a while.
    pub(crate) restless: Restless,
}

impl Indexes {
    /// Walks all roots. Takes its time.
    ///
    /// # Errors
    /// A root that cannot be read.
    pub(in crate::schedd) fn open(roots: &Roots, left_out: &LeftOut) -> anyhow::Result<Self> {
        let (mut all, mut learned) = (Vec::new(), Vec::new());
        for (_, path) in roots.iter() {
            all.push(walk(path, LeaveOut::new(path, &left_out.0)?)?);
            let names = cache_file(path).map(|file| file.with_extension("opened"));
            learned.push(Learned::open(names));
        }
        Ok(Self {
            all,
            learned,
            restless: Restless::default(),
        })
    }

    /// Takes in what has happened so far, where that is told and little; true if there is much.
    pub(in crate::schedd) fn look_ahead(&mut self) -> bool {
        self.learned.iter_mut().for_each(Learned::save);
        let mut has_much = false;
        for index in &mut self.all {
            let has_news = index.readiness().is_some_and(|fd| {
                let heard = rustix::io::ioctl_fionread(fd);
                heard.is_ok_and(|bytes| bytes > 0)
            });
            if !has_news {
                continue;
            }
            let settled = match index.much_to_read() {
                Ok(Some(_)) => {
                    has_much = true;
                    continue;
                }
                Ok(None) => index.settle().map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = settled {
                tracing::debug!("{error}");
            }
        }
        has_much
    }

    /// Whether settling the first of these would take long. What fails here is told by settling.
    pub(in crate::schedd) fn have_much_to_read(&mut self, first: usize) -> bool {
        let mut first = self.all.iter_mut().take(first);
        first.any(|index| matches!(index.much_to_read(), Ok(Some(_))))
    }

    /// What is to be read of which index.
    pub(in crate::schedd) fn much_to_read(&mut self) -> Vec<(usize, Reading)> {
        let all = self.all.iter_mut().enumerate();
        all.filter_map(|(number, index)| Some((number, index.much_to_read().ok()??)))
            .collect()
    }

    /// Enters what was read. (An index may be another one by then, which knows nothing of it.)
    pub(in crate::schedd) fn enter(&mut self, number: usize, read: Read) {
        if let Some(Err(error)) = self.all.get_mut(number).map(|index| index.enter(read)) {
            tracing::debug!("{error}");
        }
    }

    /// Whatever does not hold still is not waited for.
    pub(in crate::schedd) fn lose_patience(&mut self) {
        self.all.iter_mut().for_each(Index::lose_patience);
    }

    /// Whether changes were looked at that are not entered yet.
    pub(in crate::schedd) fn are_half_way(&self) -> bool {
        self.all.iter().any(Index::is_half_way)
    }
}

/// The index of one root.
pub(in crate::schedd) fn walk(path: &Path, leave_out: LeaveOut) -> anyhow::Result<Index> {
    let options = Options {
        cache_file: cache_file(path),
        leave_out,
        hash_up_to: MOST_FILE_BYTES,
    };
    let mut index = Index::open(path, options).context("mirror a root")?;
    index.settle().context("mirror a root")?;
    Ok(index)
}

/// Where the digests of a root are kept; none where no cache folder is known.
fn cache_file(root: &Path) -> Option<PathBuf> {
    let folder = crate::probe::default_cache()?.parent()?.join("index");
    std::fs::create_dir_all(&folder).ok()?;
    let key = Digest::of(root.as_os_str().as_encoded_bytes()).to_string();
    Some(folder.join(&key[..16]))
}
