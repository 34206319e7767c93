//! The directories that a tool searches, and everything that a look-up in them can end at: what
//! another machine must be shown for the tool to find there what it finds here.

use super::evidence::Evidence;
use super::identity::{Sources, Unreadable};
use std::collections::VecDeque;
use std::path::PathBuf;

/// What a tool finds in the directories that it searches. All paths are real ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The directories that it searches, in its order.
    pub searched: Vec<PathBuf>,
    /// Directories that hold all of it, none of them inside another.
    pub trees: Vec<PathBuf>,
    /// Why directories alone cannot show it to the tool elsewhere.
    pub why_not: Option<String>,
}

impl Headers {
    pub(super) fn of(
        evidence: &Evidence,
        sources: &mut Sources<'_, '_>,
    ) -> Result<Self, Unreadable> {
        let found = evidence
            .searched
            .iter()
            .filter_map(|(_, path)| path.clone());
        let mut headers = Self::default();
        for path in found {
            if !headers.searched.contains(&path) {
                headers.searched.push(path);
            }
        }
        let mut todo: VecDeque<PathBuf> = headers.searched.clone().into();
        let (mut dirs, mut files, mut hops) = (Vec::<PathBuf>::new(), Vec::new(), Vec::new());
        while let Some(path) = todo.pop_front() {
            if dirs.iter().any(|dir| path.starts_with(dir)) {
                continue;
            }
            if !path.is_dir() {
                files.push(path);
                continue;
            }
            let summary = sources.forest.summary(&path);
            let summary = summary.map_err(|error| (path.clone(), error))?;
            todo.extend(summary.leads.iter().cloned());
            hops.extend(summary.hops.iter().cloned());
            dirs.push(path);
        }
        dirs.sort();
        // Sorted, an outer one comes first.
        dirs.dedup_by(|inner, outer| inner.starts_with(outer));
        let is_shown = |path: &PathBuf| dirs.iter().any(|dir| path.starts_with(dir));
        let unshown = files.iter().chain(&hops).find(|path| !is_shown(path));
        headers.why_not =
            unshown.map(|path| format!("its headers lead through `{}`", path.display()));
        headers.trees = dirs;
        Ok(headers)
    }
}
