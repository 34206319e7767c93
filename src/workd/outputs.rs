//! What a job wrote, on its way to the hub.

use super::capture::{self, Change, Lower};
use super::mapback::MapBack;
use super::mirror::News;
use super::run::{CHUNK_BYTES, Runner, Stop};
use super::session::Out;
use super::view::{self, View};
use super::warden::proto::Run;
use crate::job::{Digest, Job, Role, Written, Wrote};
use crate::paths::{Bytes, RootId, RootPath};
use crate::wire::frame::OUTPUTS;
use crate::wire::messages::FromPod;
use crate::wire::packed;
use rustix::fd::OwnedFd;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// zstd adds at most 1/256 and a head to what cannot be made smaller (ZSTD_compressBound).
const ROOM_TO_GROW: usize = 4 << 10;

/// A job that has ended, with what is needed to send what it wrote.
pub(crate) struct Outputs<'a> {
    pub(crate) runner: &'a Runner<'a>,
    pub(crate) job: &'a Job,
    pub(crate) view: &'a View,
    pub(crate) run: &'a Run,
    pub(crate) scratch: &'a OwnedFd,
    pub(crate) map_back: &'a MapBack,
    /// What of the files the hub has changed while the job ran.
    pub(crate) news: Option<News>,
}

impl Outputs<'_> {
    /// Sends what the job wrote; gives the digests of files.
    pub(crate) async fn send(&self) -> Result<Vec<(u32, Digest)>, Stop> {
        let Self {
            job,
            view,
            run,
            scratch,
            map_back,
            ..
        } = *self;
        let unwanted = self.runner.session.globs.of(&job.scratch);
        let mut digests = Vec::new();
        let mut index = 0;
        for root in run.roots.iter().map(|root| root.index) {
            let files = view.place.dirs[usize::from(root)].clone();
            let upper = view::open_changes(scratch, root).map_err(io::Error::from)?;
            let declared: Vec<Bytes> = job
                .outputs
                .iter()
                .filter(|output| output.at.root.0 == root)
                .map(|output| output.at.below.clone())
                .collect();
            let (looked_at, news) = (upper.try_clone()?, self.news.clone());
            let changes = view.place.ask(move || {
                let declared = |below: &Path| declared.iter().any(|it| it.as_path() == below);
                let is_new = |below: &Path| news.as_ref().is_some_and(|it| it.tell_of(root, below));
                let lower = Lower {
                    dir: &files,
                    is_new: &is_new,
                };
                capture::changes(&looked_at, lower, &declared)
            });
            for change in changes.await?? {
                if unwanted.is_match(change.below.as_path()) {
                    continue;
                }
                let at = RootPath {
                    root: RootId(root),
                    below: change.below.clone(),
                };
                let depfile = job
                    .outputs
                    .iter()
                    .any(|output| output.role == Role::Depfile && output.at == at);
                let mapped = (depfile && !map_back.is_idle()).then_some(map_back);
                let (below, as_it_is) = (change.below.clone(), mapped.is_none());
                if let Some(digest) = self.output(index, at, change, &upper, mapped).await? {
                    if let Some(made) = view.place.made().filter(|_| as_it_is) {
                        made.keep(&upper, &below, digest);
                    }
                    digests.push((index, digest));
                }
                index += 1;
            }
        }
        Ok(digests)
    }

    async fn output(
        &self,
        index: u32,
        at: RootPath,
        change: Change,
        upper: &OwnedFd,
        map_back: Option<&MapBack>,
    ) -> Result<Option<Digest>, Stop> {
        let Written::File {
            mode,
            size_bytes,
            was_there,
        } = change.what
        else {
            let what = change.what;
            self.announce(index, Wrote { at, what }).await?;
            return Ok(None);
        };
        let mut file = capture::open(upper, change.below.as_path())?;
        let whole = size_bytes <= CHUNK_BYTES as u64 || map_back.is_some();
        if !whole {
            let what = Written::File {
                mode,
                size_bytes,
                was_there,
            };
            self.announce(index, Wrote { at, what }).await?;
            return self.long(index, file, size_bytes).await.map(Some);
        }
        let mut content = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0) + 1);
        file.read_to_end(&mut content)?;
        if let Some(map_back) = map_back {
            content = map_back.whole(&content);
        }
        let size_bytes = content.len() as u64;
        let what = Written::File {
            mode,
            size_bytes,
            was_there,
        };
        self.announce(index, Wrote { at, what }).await?;
        let digest = Digest::of(&content);
        for piece in content.chunks(self.piece_bytes()) {
            let piece = self.pack(piece.to_vec())?;
            self.runner.data((OUTPUTS + index, piece)).await?;
        }
        Ok(Some(digest))
    }

    /// A long file is read and hashed on another thread, piece by piece, so that other jobs' output
    /// does not wait for it.
    async fn long(&self, index: u32, file: File, size_bytes: u64) -> Result<Digest, Stop> {
        let (mut file, mut hasher) = (file.take(size_bytes), blake3::Hasher::new());
        let (most, packed) = (self.piece_bytes(), self.packed());
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; most];
                let mut filled = 0;
                while filled < most {
                    match file.read(&mut piece[filled..])? {
                        0 => break,
                        read => filled += read,
                    }
                }
                piece.truncate(filled);
                hasher.update(&piece);
                if packed && !piece.is_empty() {
                    piece = packed::pack(&piece)?;
                }
                Ok::<_, io::Error>((file, hasher, piece))
            });
            let piece;
            (file, hasher, piece) = step.await.map_err(io::Error::other)??;
            if piece.is_empty() {
                return Ok(Digest(*hasher.finalize().as_bytes()));
            }
            self.runner.data((OUTPUTS + index, piece)).await?;
        }
    }

    /// Only what crosses a network is worth the time.
    fn packed(&self) -> bool {
        self.view.place.is_far()
    }

    /// Bytes of content in one data frame: packed ones may grow by a little.
    fn piece_bytes(&self) -> usize {
        match self.packed() {
            true => CHUNK_BYTES - ROOM_TO_GROW,
            false => CHUNK_BYTES,
        }
    }

    fn pack(&self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.packed() {
            true => packed::pack(&piece),
            false => Ok(piece),
        }
    }

    async fn announce(&self, index: u32, wrote: Wrote) -> Result<(), Stop> {
        let job = self.runner.number;
        let packed = self.packed();
        let message = FromPod::Output {
            job,
            index,
            wrote,
            packed,
        };
        let sent = self.runner.session.send(Out::Message(message)).await;
        sent.map_err(|()| Stop::Unheard)
    }
}
