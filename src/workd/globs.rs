//! Compiled globs, kept since jobs of one tool all have the same.

use globset::{Glob, GlobSet, GlobSetBuilder};
use std::cell::RefCell;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(crate) struct Globs(RefCell<HashMap<Vec<String>, GlobSet>>);

impl Globs {
    /// These; bad ones are left out, with a line in the log.
    pub(crate) fn of(&self, globs: &[String]) -> GlobSet {
        if let Some(known) = self.0.borrow().get(globs) {
            return known.clone();
        }
        let mut builder = GlobSetBuilder::new();
        for glob in globs {
            match Glob::new(glob) {
                Ok(glob) => drop(builder.add(glob)),
                Err(error) => tracing::warn!(glob, %error, "a job's rule has a bad glob"),
            }
        }
        let set = builder.build().unwrap_or_default();
        self.0.borrow_mut().insert(globs.to_vec(), set.clone());
        set
    }
}
