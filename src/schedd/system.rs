//! Directories of this machine's system that pods are shown in place of their own: those in which
//! its compilers find headers. With them a pod need have the same compiler, not the same headers.
//!
//! They are mirrored as roots are, numbered after them, to the pods that run a job only thanks to
//! them. A pod that has the same headers is told nothing.

use super::config::PodConfig;
use super::identity::Own;
use super::mirror::{self, Indexes, Mirror, Tell};
use super::outbox::Outbox;
use super::pods::capabilities;
use super::state::{Hub, State};
use crate::index::LeaveOut;
use crate::job::Digest;
use crate::paths::{Bytes, Roots};
use crate::sched::{Event, PodId};
use crate::wire::messages::{Files, Offer, OfferedTool, ToPod, ViewKind};
use anyhow::bail;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What can be shown by now.
#[derive(Debug, Default)]
pub(super) struct System {
    /// How many of the indexes are of roots; the others are of these directories.
    pub(super) roots: usize,
    /// Bare identities of tools whose headers are indexed.
    ready: BTreeSet<Digest>,
}

impl System {
    pub(super) fn of(roots: &Roots) -> Self {
        Self {
            roots: roots.iter().count(),
            ready: BTreeSet::new(),
        }
    }

    /// By what a pod's tool may be told, beside its identity.
    pub(super) fn bare(&self, tool: &OfferedTool, of: &Offer, pod: &PodConfig) -> Option<Digest> {
        let bare = tool.bare.filter(|_| can_show(of, pod))?;
        self.ready.contains(&bare).then_some(bare)
    }
}

/// Whether jobs on this pod can be shown other headers than its own.
fn can_show(offer: &Offer, pod: &PodConfig) -> bool {
    pod.files == Files::Mirror && offer.view == ViewKind::Overlay
}

/// Walks the headers of the hub's own tool, if a pod could do with them and they are not indexed
/// yet.
pub(super) async fn make_ready(hub: &Hub, tool: &str, own: &Own) {
    let Some(bare) = own.bare else { return };
    let missing = |state: &State| {
        let shown = |dir: &&PathBuf| !state.has(dir);
        own.trees.iter().filter(shown).cloned().collect::<Vec<_>>()
    };
    let is_ready = |state: &State| state.system.ready.contains(&bare) && missing(state).is_empty();
    let helps = |state: &State| {
        state.indexes.is_some()
            && state.pods.iter().any(|pod| {
                let mut tools = pod.offer.tools.iter().filter(|it| it.tool == tool);
                can_show(&pod.offer, &pod.config)
                    && pod.outbox.is_some()
                    && tools.any(|it| it.identity != own.full && it.bare == Some(bare))
            })
    };
    if hub.look(|state| is_ready(state) || !helps(state)) {
        return;
    }
    let _turn = hub.walking.lock().await;
    if hub.look(is_ready) {
        return;
    }
    let missing = hub.look(missing);
    let walked = tokio::task::spawn_blocking(move || {
        let walk = |dir: &PathBuf| mirror::walk(dir, LeaveOut::default());
        missing.iter().map(walk).collect::<anyhow::Result<Vec<_>>>()
    });
    match walked.await {
        Ok(Ok(walked)) => {
            let state = &mut *hub.state.borrow_mut();
            // Those of roots are there since the pod is.
            if let Some(indexes) = &mut state.indexes {
                indexes.all.extend(walked);
                state.system.ready.insert(bare);
            }
        }
        Ok(Err(error)) => return tracing::warn!("headers are not shown to pods: {error:#}"),
        Err(error) => return tracing::warn!("headers are not shown to pods: {error}"),
    }
    announce(hub);
}

/// Tells the core anew what pods can do.
fn announce(hub: &Hub) {
    let changed = hub.look(|state| {
        let pods = state.pods.iter().zip(0..);
        let pods =
            pods.filter(|(pod, _)| pod.outbox.is_some() && can_show(&pod.offer, &pod.config));
        let changed = pods.map(|(pod, number)| Event::PodChanged {
            pod: PodId(number),
            capabilities: capabilities(&pod.offer, &state.system, hub.config(), &pod.config),
        });
        changed.collect::<Vec<_>>()
    });
    changed.into_iter().for_each(|event| hub.handle(event));
}

/// Tells a pod's mirror, if it has one, of everything that a job on it is to see.
///
/// # Errors
/// A directory cannot be read, or a message cannot be made.
pub(super) fn update(
    mirror: &mut Mirror,
    (indexes, roots): (&mut Option<Indexes>, usize),
    job: Option<(&Own, &OfferedTool)>,
    outbox: &Outbox,
) -> anyhow::Result<()> {
    // Told of nothing at its beginning, it is none.
    let Some(indexes) = indexes.as_mut().filter(|_| mirror.follows.is_some()) else {
        return Ok(());
    };
    let tell = &mut |it: &ToPod| outbox.message(it);
    show(mirror, (indexes, roots), job, tell)?;
    mirror.update(indexes, tell)
}

/// Tells a pod, before a job of a tool that is its own but for the headers, to show this machine's.
fn show(
    mirror: &mut Mirror,
    (indexes, roots): (&Indexes, usize),
    job: Option<(&Own, &OfferedTool)>,
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    let Some((own, offered)) = job.filter(|(own, offered)| own.full != offered.identity) else {
        return Ok(());
    };
    let Some(bare) = own.bare.filter(|bare| offered.bare == Some(*bare)) else {
        // Relaxed by the configuration.
        return Ok(());
    };
    if let Some(dir) = own.trees.iter().find(|dir| !has(indexes, roots, dir)) {
        bail!(
            "headers in `{}`, of {bare:?}, are not indexed",
            dir.display()
        );
    }
    let searched = mirror.absent.iter().chain(&offered.searched);
    let absent = searched.filter(|dir| !has(indexes, roots, dir.as_path()));
    let absent: BTreeSet<Bytes> = absent.cloned().collect();
    if mirror.follows == Some(indexes.all.len()) && mirror.absent == absent {
        return Ok(());
    }
    let trees = indexes.all.iter().skip(roots);
    tell(&ToPod::System {
        trees: trees.map(|index| index.root().into()).collect(),
        absent: absent.iter().cloned().collect(),
    })?;
    mirror.follows = Some(indexes.all.len());
    mirror.absent = absent;
    Ok(())
}

/// Whether a directory is, or lies in, one that pods are shown.
fn has(indexes: &Indexes, roots: usize, dir: &Path) -> bool {
    let mut trees = indexes.all.iter().skip(roots);
    trees.any(|index| dir.starts_with(index.root()))
}

impl State {
    fn has(&self, dir: &Path) -> bool {
        let indexes = self.indexes.as_ref();
        indexes.is_some_and(|indexes| has(indexes, self.system.roots, dir))
    }

    /// Something is wrong with the files. It may be that a directory of the system's is gone, or is
    /// another one now: all of these are walked anew when they are needed, and the pods that follow
    /// them begin anew.
    pub(super) fn forget_system(&mut self) {
        let roots = self.system.roots;
        if let Some(indexes) = &mut self.indexes {
            indexes.all.truncate(roots);
        }
        self.system.ready.clear();
        for pod in &mut self.pods {
            if pod.mirror.follows.is_some_and(|follows| follows > roots)
                && let Some(outbox) = &pod.outbox
            {
                outbox.close();
            }
        }
    }
}
