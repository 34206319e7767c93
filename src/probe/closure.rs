//! All the files that a tool is: what another machine needs to run this very tool.

use super::elf::Needs;
use super::evidence::Evidence;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The files of a tool, without what is in the directories that it searches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Files and directories, by the names that they are found by: links on the way belong to it.
    pub paths: BTreeSet<PathBuf>,
    /// The programs among them.
    pub programs: Vec<PathBuf>,
}

impl Closure {
    /// Of the tool called by `path`; none of a tool of whose files not all are known.
    pub(super) fn of(
        path: &Path,
        evidence: &Evidence,
        needs: &HashMap<PathBuf, Needs>,
    ) -> Option<Self> {
        if !evidence.libraries || path.as_os_str().is_empty() {
            return None;
        }
        let mut closure = Self::default();
        closure.paths.insert(path.into());
        closure.paths.extend(evidence.named.iter().cloned());
        let files = evidence.files.iter().filter_map(|(_, file)| file.clone());
        closure.paths.extend(files);
        for program in evidence
            .programs
            .iter()
            .filter_map(|(_, path)| path.as_ref())
        {
            closure.paths.insert(program.clone());
            if !closure.programs.contains(program) {
                closure.programs.push(program.clone());
            }
            let needs = needs.get(program)?;
            if !needs.missing.is_empty() {
                return None;
            }
            closure.paths.extend(needs.files.iter().cloned());
        }
        Some(closure)
    }
}
