//! When content was used last that may go where it is too much.

use crate::job::Digest;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

/// The last use of some content.
#[derive(Clone, Copy, Debug)]
struct Use {
    at: SystemTime,
    /// How many jobs had come by then: as long as one of these is here, it may use it still.
    until: u64,
}

/// Contents in the order of their last use. What is gone by other ways is still among them.
#[derive(Debug, Default)]
pub(super) struct Uses {
    all: HashMap<Digest, Use>,
    order: BTreeSet<(SystemTime, Digest)>,
}

impl Uses {
    /// It was used at that time, when so many jobs had come.
    pub(super) fn touch(&mut self, digest: Digest, at: SystemTime, until: u64) {
        let known = self.all.get(&digest).copied();
        let last = Use {
            at: known.map_or(at, |known| known.at.max(at)),
            until: known.map_or(until, |known| known.until.max(until)),
        };
        self.all.insert(digest, last);
        if let Some(known) = known {
            self.order.remove(&(known.at, digest));
        }
        self.order.insert((last.at, digest));
    }

    pub(super) fn knows(&self, digest: Digest) -> bool {
        self.all.contains_key(&digest)
    }

    /// The one that was not used for longest, and how many jobs had come when it was.
    pub(super) fn oldest(&self) -> Option<(Digest, u64)> {
        let (_, digest) = self.order.first()?;
        Some((*digest, self.all.get(digest)?.until))
    }

    pub(super) fn remove(&mut self, digest: Digest) {
        if let Some(known) = self.all.remove(&digest) {
            self.order.remove(&(known.at, digest));
        }
    }

    /// Forgets what is not there any more, if there may be much of it.
    pub(super) fn tidy(&mut self, most: usize, is_there: impl Fn(Digest) -> bool) {
        if self.all.len() > most {
            self.all.retain(|digest, _| is_there(*digest));
            self.order
                .retain(|(_, digest)| self.all.contains_key(digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_least_recently_used_is_the_oldest() {
        let mut uses = Uses::default();
        let digest = |name: u8| Digest::of(&[name]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for name in 0..4 {
            uses.touch(digest(name), at(u64::from(name)), 1);
        }
        uses.touch(digest(0), at(9), 3);
        // An earlier time says nothing new.
        uses.touch(digest(2), at(1), 0);
        assert_eq!(uses.oldest(), Some((digest(1), 1)));
        uses.remove(digest(1));
        assert_eq!(uses.oldest(), Some((digest(2), 1)));
        uses.tidy(2, |it| it != digest(2));
        uses.tidy(2, |_| false);
        assert_eq!(uses.oldest(), Some((digest(3), 1)));
        uses.remove(digest(3));
        assert_eq!(uses.oldest(), Some((digest(0), 3)));
        assert!(uses.knows(digest(0)) && !uses.knows(digest(3)));
    }
}
