//! Making ready what a pod is to be shown or sent of this machine's tools, beside everything else.

use super::{Image, System, announce, can_send, can_show};
use crate::index::{Index, LeaveOut};
use crate::job::Digest;
use crate::schedd::identity::Own;
use crate::schedd::mirror::{self, Indexes};
use crate::schedd::state::{Hub, State};
use crate::schedd::toolchain;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A tool that could not be made ready is tried again after this time.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

impl System {
    /// Whether making a tool ready failed a short time ago: it may be for want of open files, or of
    /// room.
    fn has_failed(&self, full: Digest, now: Instant) -> bool {
        let at = self.failed.get(&full);
        at.is_some_and(|at| now.saturating_duration_since(*at) < TRY_AGAIN_AFTER)
    }

    /// What was walked can be shown from now on; not if all was forgotten since that was begun, as
    /// it was to go with what is not there any more.
    fn add(
        &mut self,
        indexes: &mut Indexes,
        begun: u64,
        (walked, image): (Vec<Index>, Option<Arc<Image>>),
        bare: Digest,
    ) -> bool {
        if self.forgotten != begun {
            return false;
        }
        indexes.all.extend(walked);
        self.ready.insert(bare);
        if let Some(image) = image {
            self.image = Some((image, indexes.all.len() - 1));
        }
        true
    }
}

/// What a connected pod could do with.
#[derive(Clone, Copy, Default)]
struct Wanted {
    headers: bool,
    tool: bool,
}

impl Wanted {
    fn of(state: &State, tool: &str, own: &Own) -> Self {
        let mut wanted = Self::default();
        let pods = state.pods.iter().filter(|pod| pod.outbox.is_some());
        for pod in pods.filter(|pod| can_show(&pod.offer, pod.choice.files)) {
            let tools = || pod.offer.tools.iter().filter(|it| it.tool == tool);
            if tools().any(|it| it.identity == own.full) {
                continue;
            }
            let is_bare_same = tools().any(|it| it.bare == own.bare);
            wanted.headers |= is_bare_same;
            wanted.tool |= !is_bare_same && can_send(&pod.offer, pod.comes());
        }
        wanted
    }

    fn is_met(self, state: &State, bare: Digest, own: &Own) -> bool {
        if state.system.has_failed(own.full, Instant::now()) {
            return true;
        }
        let has_headers = state.missing(own).is_empty();
        (!self.headers || has_headers && state.system.ready.contains(&bare))
            && (!self.tool || has_headers && state.system.has_sent(own))
    }
}

/// Makes ready what a connected pod could do with of the hub's own tool: its headers, or all of it.
pub(in crate::schedd) async fn make_ready(hub: &Hub, (tool, program): (&str, &str), own: &Own) {
    let (Some(bare), true) = (own.bare, hub.look(|state| state.indexes.is_some())) else {
        return;
    };
    let mut wanted = hub.look(|state| Wanted::of(state, tool, own));
    wanted.tool &= own.closure.is_some();
    if hub.look(|state| wanted.is_met(state, bare, own)) {
        return;
    }
    let _turn = hub.walking.lock().await;
    if hub.look(|state| wanted.is_met(state, bare, own)) {
        return;
    }
    let (missing, begun) = hub.look(|state| (state.missing(own), state.system.forgotten));
    let image = hub.look(|state| Some(Arc::clone(&state.system.image.as_ref()?.0)));
    let closure = own.closure.clone().filter(|_| wanted.tool);
    let trees = own.trees.clone();
    let walked = tokio::task::spawn_blocking(move || {
        let walk = |dir: &PathBuf| mirror::walk(dir, LeaveOut::default());
        let mut walked = missing
            .iter()
            .map(walk)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let Some(closure) = closure else {
            return Ok((walked, None));
        };
        let is_new = image.is_none();
        let image = match image {
            Some(image) => image,
            None => Arc::new(Image::open(&cache_folder()?)?),
        };
        image.add(&closure, &trees).context("lay out a compiler")?;
        if is_new {
            walked.push(walk(&image.dir)?);
        }
        anyhow::Ok((walked, Some((image, is_new, toolchain::speaking(&closure)))))
    });
    match walked.await.map_err(anyhow::Error::from).and_then(|it| it) {
        Ok((walked, sent)) => {
            let state = &mut *hub.state.borrow_mut();
            // Those of roots are there since the pod is.
            let Some(indexes) = &mut state.indexes else {
                return;
            };
            let new = sent.as_ref().filter(|(_, is_new, _)| *is_new);
            let walked = (walked, new.map(|(image, ..)| Arc::clone(image)));
            if !state.system.add(indexes, begun, walked, bare) {
                // The next job has it made ready anew.
                return;
            }
            if let Some((_, _, programs)) = sent {
                state.system.add_sent((tool, program), own, &programs);
            }
        }
        Err(error) => {
            let failed = &mut hub.state.borrow_mut().system.failed;
            failed.insert(own.full, Instant::now());
            return tracing::warn!("`{program}` is not shown to pods: {error:#}");
        }
    }
    announce(hub);
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let digests = crate::probe::default_cache().context("no cache folder is known")?;
    Ok(digests.parent().context("no cache folder is known")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Options;

    #[test]
    fn what_was_forgotten_while_it_was_walked_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut indexes = Indexes::default();
        let mut system = System::default();
        let walk = || Index::open(dir.path(), Options::default()).unwrap();
        let image = || Arc::new(Image::open(dir.path()).unwrap());
        let bare = Digest([1; 32]);
        let begun = system.forgotten;
        assert!(system.add(&mut indexes, begun, (vec![walk()], Some(image())), bare));
        assert!(system.image.is_some() && system.ready.contains(&bare));
        // Another walk begins that needs the image no more, and then it is forgotten.
        let mut system = System {
            forgotten: begun + 1,
            ..System::default()
        };
        indexes.all.clear();
        assert!(!system.add(&mut indexes, begun, (vec![walk()], None), bare));
        assert!(indexes.all.is_empty() && system.ready.is_empty());
    }

    #[test]
    fn what_failed_is_tried_again() {
        let (mut system, now) = (System::default(), Instant::now());
        let tool = Digest([1; 32]);
        assert!(!system.has_failed(tool, now));
        system.failed.insert(tool, now);
        assert!(system.has_failed(tool, now));
        assert!(!system.has_failed(tool, now + TRY_AGAIN_AFTER));
    }
}
