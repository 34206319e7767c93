//! Directories of this machine's system that pods are shown in place of their own: those in which
//! its compilers find headers. With them a pod need have the same compiler, not the same headers.
//!
//! They are mirrored as roots are, numbered after them, to the pods that run a job only thanks to
//! them. A pod that has the same headers is told nothing. Where a pod is to be sent compilers that it
//! has not, their files are one more such directory.

mod ready;

pub(super) use ready::make_ready;

use super::config::PodConfig;
use super::identity::Own;
use super::mirror::{Indexes, Mirror, Tell};
use super::pods::capabilities;
use super::state::{Hub, Pod, State};
use super::toolchain::Image;
use crate::job::Digest;
use crate::paths::{Bytes, Roots};
use crate::sched::{Capability, Event, PodId};
use crate::wire::messages::{Files, Offer, OfferedTool, SENT, SentTool, ToPod, ViewKind};
use anyhow::bail;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What can be shown by now.
#[derive(Debug, Default)]
pub(super) struct System {
    /// How many of the indexes are of roots; the others are of these directories.
    pub(super) roots: usize,
    /// Bare identities of tools whose headers are indexed.
    ready: BTreeSet<Digest>,
    /// Identities of tools with which that failed, and when.
    failed: BTreeMap<Digest, Instant>,
    /// How often all of this was forgotten.
    forgotten: u64,
    /// The files of tools that are sent, and the number of their index.
    image: Option<(Arc<Image>, usize)>,
    /// These tools, each at a place of its own for good.
    sent: Vec<Sent>,
}

/// A tool of this machine's that pods are sent.
#[derive(Debug)]
struct Sent {
    /// By which jobs ask for it; none once it is another one.
    identity: Option<Digest>,
    full: Digest,
    tool: SentTool,
}

impl System {
    pub(super) fn of(roots: &Roots) -> Self {
        Self {
            roots: roots.iter().count(),
            ..Self::default()
        }
    }

    /// By what a pod's tool may be told, beside its identity.
    pub(super) fn bare(&self, tool: &OfferedTool, of: &Offer, files: Files) -> Option<Digest> {
        let bare = tool.bare.filter(|_| can_show(of, files))?;
        self.ready.contains(&bare).then_some(bare)
    }

    /// What a pod can do with tools that it is sent: after those of its offer, in their order.
    pub(super) fn sent(&self, offer: &Offer, pod: Comes<'_>) -> Vec<Capability> {
        let sent = self.sent.iter().filter(|_| can_send(offer, pod));
        let sent = sent.map(|sent| {
            let of = sent.identity.filter(|_| pod.0.allows(&sent.tool.tool));
            Capability {
                tool: of.map(|_| sent.tool.tool.clone()).unwrap_or_default(),
                program: sent.tool.program.clone(),
                identity: sent.identity.unwrap_or(sent.full),
                bare: None,
            }
        });
        sent.collect()
    }

    fn has_sent(&self, own: &Own) -> bool {
        self.sent.iter().any(|sent| {
            let is_it = sent.full == own.full && sent.tool.path.as_path() == own.path;
            sent.identity == Some(own.identity) && is_it
        })
    }
}

/// The number by which a pod knows a tool of the core's.
pub(super) fn number(tool_index: usize, offer: &Offer) -> u32 {
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    match tool_index.checked_sub(offer.tools.len()) {
        None => number(tool_index),
        Some(sent) => SENT | number(sent),
    }
}

/// A pod's configuration, and how it comes to the files.
pub(super) type Comes<'a> = (&'a PodConfig, Files);

impl Pod {
    pub(super) fn comes(&self) -> Comes<'_> {
        (&self.config, self.choice.files)
    }
}

/// Whether jobs on this pod can be shown other headers than its own.
fn can_show(offer: &Offer, files: Files) -> bool {
    files == Files::Mirror && offer.view == ViewKind::Overlay
}

/// Whether this machine's compilers run there, and may.
fn can_send(offer: &Offer, (pod, files): Comes<'_>) -> bool {
    can_show(offer, files) && pod.sends_tools && offer.machine == std::env::consts::ARCH
}

/// Tells the core anew what pods can do.
fn announce(hub: &Hub) {
    let changed = hub.look(|state| {
        let pods = state.pods.iter().zip(0..);
        let pods =
            pods.filter(|(pod, _)| pod.outbox.is_some() && can_show(&pod.offer, pod.choice.files));
        let changed = pods.map(|(pod, number)| Event::PodChanged {
            pod: PodId(number),
            capabilities: capabilities(&pod.offer, &state.system, hub.config(), pod.comes()),
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
    indexes: &mut Option<Indexes>,
    (system, job): (&System, Option<(&Own, Option<&OfferedTool>)>),
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    // Told of nothing at its beginning, it is none.
    let Some(indexes) = indexes.as_mut().filter(|_| mirror.follows.is_some()) else {
        return Ok(());
    };
    if let Some((own, offered)) = job {
        show(mirror, indexes, (system, own, offered), tell)?;
    }
    mirror.update(indexes, tell)
}

/// Tells a pod, before a job, to show this machine's headers, if the tool is its own but for them, or
/// if the tool is sent.
fn show(
    mirror: &mut Mirror,
    indexes: &Indexes,
    (system, own, offered): (&System, &Own, Option<&OfferedTool>),
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    let is_own = |tool: &OfferedTool| {
        // The last one is relaxed by the configuration.
        tool.identity == own.full || own.bare.is_none() || tool.bare != own.bare
    };
    if offered.is_some_and(is_own) {
        return Ok(());
    }
    let roots = system.roots;
    if offered.is_none() && !system.has_sent(own) {
        bail!("`{}` is another one by now", own.path.display());
    }
    if let Some(dir) = own.trees.iter().find(|dir| !has(indexes, roots, dir)) {
        bail!("headers in `{}` are not indexed", dir.display());
    }
    let searched = offered.iter().flat_map(|tool| &tool.searched);
    let searched = mirror.absent.iter().chain(searched);
    let absent = searched.filter(|dir| !has(indexes, roots, dir.as_path()));
    let absent: BTreeSet<Bytes> = absent.cloned().collect();
    let state = (indexes.all.len(), system.sent.len());
    if mirror.shown == Some(state) && mirror.absent == absent {
        return Ok(());
    }
    let image = system.image.as_ref().map(|(_, number)| *number);
    let trees = indexes.all.iter().enumerate().skip(roots);
    let trees = trees.map(|(number, index)| match image == Some(number) {
        true => "/".into(),
        false => index.root().into(),
    });
    tell(&ToPod::System {
        trees: trees.collect(),
        absent: absent.iter().cloned().collect(),
        sent: system.sent.iter().map(|sent| sent.tool.clone()).collect(),
    })?;
    mirror.follows = Some(indexes.all.len());
    mirror.shown = Some(state);
    mirror.absent = absent;
    Ok(())
}

/// Whether a directory is, or lies in, one that pods are shown.
fn has(indexes: &Indexes, roots: usize, dir: &Path) -> bool {
    let mut trees = indexes.all.iter().skip(roots);
    trees.any(|index| dir.starts_with(index.root()))
}

impl System {
    fn add_sent(&mut self, (tool, program): (&str, &str), own: &Own, programs: &[PathBuf]) {
        for sent in &mut self.sent {
            // Its files were those that are now the new one's.
            if sent.tool.path.as_path() == own.path {
                sent.identity = None;
            }
        }
        self.sent.push(Sent {
            identity: Some(own.identity),
            full: own.full,
            tool: SentTool {
                tool: tool.to_owned(),
                program: program.to_owned(),
                path: own.path.as_path().into(),
                programs: programs.iter().map(|it| it.as_path().into()).collect(),
            },
        });
    }
}

impl State {
    /// Headers of a tool that are not indexed.
    fn missing(&self, own: &Own) -> Vec<PathBuf> {
        let missing = own.trees.iter().filter(|dir| !self.has(dir));
        missing.cloned().collect()
    }

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
        self.system = System {
            roots,
            forgotten: self.system.forgotten + 1,
            ..System::default()
        };
        for pod in &mut self.pods {
            if pod.mirror.follows.is_some_and(|follows| follows > roots)
                && let Some(outbox) = &pod.outbox
            {
                outbox.close();
            }
        }
    }
}
