//! What lists changed while a job was here: what it has copied up of that is something old.

use crate::paths::Bytes;
use crate::wire::files::Change;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names that lists changed.
#[derive(Debug, Default)]
pub(super) struct Changed(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    /// How many were made in full.
    made: u64,
    /// The last that named them, by root and name below it.
    names: HashMap<(u16, Bytes), u64>,
}

/// What was changed since a job began.
#[derive(Clone, Debug)]
pub(crate) struct News {
    changed: Arc<Changed>,
    since: u64,
}

impl Changed {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        // What it guards is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list is about to be made. What earlier ones changed is of no more use where no job is here.
    pub(super) fn begin(&self, root: u16, list: &[Change], has_guests: bool) {
        let mut lists = self.lists();
        if !has_guests {
            lists.names = HashMap::new();
        }
        let number = lists.made + 1;
        let names = list.iter().map(|it| ((root, it.name.clone()), number));
        lists.names.extend(names);
    }

    /// It was made.
    pub(super) fn end(&self) {
        self.lists().made += 1;
    }

    pub(super) fn from_now_on(self: &Arc<Self>) -> News {
        News {
            since: self.lists().made,
            changed: Arc::clone(self),
        }
    }
}

impl News {
    /// Whether they are of this name.
    pub(crate) fn tell_of(&self, root: u16, below: &Path) -> bool {
        let lists = self.changed.lists();
        let last = lists.names.get(&(root, below.into()));
        last.is_some_and(|last| *last > self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_while_a_job_is_here_is_news_to_it() {
        let changed = Arc::new(Changed::default());
        let list = |names: &[&str]| -> Vec<Change> {
            let names = names.iter().map(|name| Change {
                name: (*name).into(),
                entry: None,
                later: false,
            });
            names.collect()
        };
        changed.begin(0, &list(&["before"]), false);
        changed.end();
        changed.begin(0, &list(&["amid"]), false);
        let news = changed.from_now_on();
        changed.end();
        changed.begin(1, &list(&["after"]), true);
        changed.end();
        let told = |root, name: &str| news.tell_of(root, Path::new(name));
        assert!(!told(0, "before") && told(0, "amid"));
        assert!(told(1, "after") && !told(0, "after"));
        let later = changed.from_now_on();
        assert!(!later.tell_of(1, Path::new("after")));
        changed.begin(0, &[], false);
        assert!(!told(1, "after"), "nobody is here to ask");
    }
}
