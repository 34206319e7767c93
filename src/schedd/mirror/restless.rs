//! Files whose content was another one by the time it was to be sent, again and again: a log that a
//! program writes all the time, a data base that it has mapped. After some tries pods are shown such
//! a file closed for a while, so that a job that needs it runs here, and nothing goes round in circles.

use crate::paths::{Bytes, RootId};
use crate::wire::files::{Change, EntryKind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// So many tries are worth the reading.
const MOST_TRIES: u32 = 3;
/// Until the next one after that.
const PAUSE: Duration = Duration::from_secs(30);
/// What failed longer ago says nothing.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Restless {
    /// For tests of what goes on at random, where much is gone again and again.
    #[cfg(test)]
    is_patient: bool,
    names: BTreeMap<(RootId, Bytes), Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Restless {
    #[cfg(test)]
    pub(crate) fn patient() -> Self {
        Self {
            is_patient: true,
            ..Self::default()
        }
    }

    /// Its content could not be sent.
    pub(super) fn failed(&mut self, root: RootId, name: &Bytes, now: Instant) {
        self.names
            .retain(|_, it| now.duration_since(it.last) < FORGOTTEN_AFTER);
        let first = Failed {
            times: 0,
            last: now,
        };
        let failed = self.names.entry((root, name.clone())).or_insert(first);
        failed.times += 1;
        failed.last = now;
        if failed.times == MOST_TRIES {
            let name = name.display();
            tracing::info!("`{name}` is never at rest: jobs that need it run here");
        }
    }

    /// It was sent in full.
    pub(super) fn rested(&mut self, root: RootId, name: &Bytes) {
        if !self.names.is_empty() {
            self.names.remove(&(root, name.clone()));
        }
    }

    /// Takes those of these names that are to be tried again.
    pub(super) fn rested_of(&self, root: RootId, resting: &mut BTreeSet<Bytes>) -> BTreeSet<Bytes> {
        let now = Instant::now();
        let names = std::mem::take(resting).into_iter();
        let (still, rested) = names.partition(|name| self.has(root, name, now));
        *resting = still;
        rested
    }

    /// Shows what is not to be tried now as closed; gives its names.
    pub(super) fn close(&self, root: RootId, list: &mut [Change]) -> BTreeSet<Bytes> {
        let (now, mut closed) = (Instant::now(), BTreeSet::new());
        for change in list {
            if let Some(entry) = &mut change.entry
                && let EntryKind::File { size_bytes, .. } = entry.what
                && self.has(root, &change.name, now)
            {
                entry.what = EntryKind::Closed { size_bytes };
                change.later = false;
                closed.insert(change.name.clone());
            }
        }
        closed
    }

    /// Whether it is not to be tried now.
    pub(crate) fn has(&self, root: RootId, name: &Bytes, now: Instant) -> bool {
        #[cfg(test)]
        if self.is_patient {
            return false;
        }
        if self.names.is_empty() {
            return false;
        }
        let failed = self.names.get(&(root, name.clone()));
        failed.is_some_and(|it| {
            it.times >= MOST_TRIES && now.saturating_duration_since(it.last) < PAUSE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_some_times_and_then_once_in_a_while() {
        let mut restless = Restless::default();
        let (root, name) = (RootId(0), Bytes::from("a.log"));
        let begun = Instant::now();
        for _ in 0..MOST_TRIES {
            assert!(!restless.has(root, &name, begun));
            restless.failed(root, &name, begun);
        }
        assert!(restless.has(root, &name, begun));
        assert!(!restless.has(RootId(1), &name, begun));
        let later = begun + PAUSE;
        assert!(!restless.has(root, &name, later));
        restless.failed(root, &name, later);
        assert!(restless.has(root, &name, later), "one try is enough then");
        let much_later = later + FORGOTTEN_AFTER;
        restless.failed(root, &name, much_later);
        assert!(!restless.has(root, &name, much_later));
        for _ in 0..MOST_TRIES {
            restless.failed(root, &name, much_later);
        }
        restless.rested(root, &name);
        assert!(!restless.has(root, &name, much_later));
    }
}
