//! Kinds of jobs, and for each the pods that may run it, best first.
//!
//! What a pod must have is compared once per kind and pod, when either appears, and never again
//! per job. A job that a pod declined becomes of another kind, one that excludes the pod.
//! Which of the eligible pods is best is decided in `placement`; here it is a number.

use super::state::{ClassId, Pod};
use super::types::{PodId, Request};
use crate::job::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// What a kind of job needs of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) tool: String,
    pub(super) program: String,
    pub(super) identity: Option<Digest>,
    pub(super) needs: Vec<String>,
    pub(super) overlay_only: bool,
    /// Sorted.
    pub(super) not_on: Vec<PodId>,
}

/// Why a pod may not run a kind of job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    NoSlots,
    Declined,
    NoTool,
    OtherProgram(String),
    OtherIdentity(Digest),
    Lacks(String),
    NoOverlay,
}

/// A pod that may run a kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Which of its tools.
    pub(super) tool_index: usize,
    /// Its wall time for the tool against all pods', in 1/1024.
    pub(super) speed: u64,
    /// It does not rest.
    pub(super) awake: bool,
    /// Its place among the ready ones; none if it takes no more now.
    pub(super) score: Option<u64>,
}

/// A kind of job.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) need: Need,
    /// Jobs of this kind that have not ended.
    pub(super) jobs: usize,
    pub(super) candidates: BTreeMap<PodId, Candidate>,
    /// Candidates that do not rest.
    pub(super) awake: usize,
    /// Candidates that take a job now, best first.
    pub(super) ready: BTreeSet<(u64, PodId)>,
    /// Why it has no pod, in words, until the pods change.
    pub(super) summary: Option<String>,
    used: u64,
}

/// All kinds of jobs that there are or recently were.
#[derive(Debug, Default)]
pub(super) struct Classes {
    by_need: BTreeMap<Need, ClassId>,
    pub(super) by_id: BTreeMap<ClassId, Class>,
    /// Those without jobs, by when they last had one.
    pub(super) idle: BTreeSet<(u64, ClassId)>,
    next: u64,
    clock: u64,
}

impl Need {
    pub(super) fn of(request: &Request, declined: &[PodId]) -> Self {
        let mut not_on = declined.to_vec();
        not_on.sort_unstable();
        not_on.dedup();
        Self {
            tool: request.tool.clone(),
            program: request.program.clone(),
            identity: request.identity,
            needs: request.needs.clone(),
            overlay_only: request.overlay_only,
            not_on,
        }
    }

    /// Which of the pod's tools runs such a job, or why none does. With an identity the name does
    /// not matter, since a tool has other names on other machines; the same name is preferred.
    pub(super) fn matching(&self, id: PodId, pod: &Pod) -> Result<usize, Mismatch> {
        let capabilities = &pod.capabilities;
        if capabilities.slots == 0 {
            return Err(Mismatch::NoSlots);
        }
        if self.not_on.binary_search(&id).is_ok() {
            return Err(Mismatch::Declined);
        }
        let mut mismatch = Mismatch::NoTool;
        let mut found = None;
        for (index, offered) in capabilities.tools.iter().enumerate() {
            if offered.tool != self.tool {
                continue;
            }
            let same_name = offered.program == self.program;
            let fits = self.identity.map_or(same_name, |it| it == offered.identity);
            if fits && (found.is_none() || same_name) {
                found = Some(index);
                if same_name {
                    break;
                }
            } else if self.identity.is_some() {
                if same_name || mismatch == Mismatch::NoTool {
                    mismatch = Mismatch::OtherIdentity(offered.identity);
                }
            } else if mismatch == Mismatch::NoTool {
                mismatch = Mismatch::OtherProgram(offered.program.clone());
            }
        }
        let Some(index) = found else {
            return Err(mismatch);
        };
        let has = |tool: &String| capabilities.tools.iter().any(|it| it.tool == *tool);
        if let Some(lacking) = self.needs.iter().find(|tool| !has(tool)) {
            return Err(Mismatch::Lacks(lacking.clone()));
        }
        if self.overlay_only && !capabilities.overlay {
            return Err(Mismatch::NoOverlay);
        }
        Ok(index)
    }
}

impl Class {
    /// Takes a candidate in, out, or changes it.
    pub(super) fn set(&mut self, pod: PodId, candidate: Option<Candidate>) {
        let before = match candidate {
            Some(it) => self.candidates.insert(pod, it),
            None => self.candidates.remove(&pod),
        };
        let score = |it: Option<Candidate>| it.and_then(|it| it.score);
        let awake = |it: Option<Candidate>| usize::from(it.is_some_and(|it| it.awake));
        self.awake = self.awake + awake(candidate) - awake(before);
        if score(before) != score(candidate) {
            if let Some(score) = score(before) {
                self.ready.remove(&(score, pod));
            }
            if let Some(score) = score(candidate) {
                self.ready.insert((score, pod));
            }
        }
    }
}

impl Classes {
    /// The kind with this need; `Err` with a new one, for which the caller sets the candidates.
    pub(super) fn enter(&mut self, need: Need) -> Result<ClassId, ClassId> {
        if let Some(&id) = self.by_need.get(&need) {
            if let Some(class) = self.by_id.get_mut(&id) {
                if class.jobs == 0 {
                    self.idle.remove(&(class.used, id));
                }
                class.jobs += 1;
            }
            return Ok(id);
        }
        let id = ClassId(self.next);
        self.next += 1;
        self.by_need.insert(need.clone(), id);
        let class = Class {
            need,
            jobs: 1,
            candidates: BTreeMap::new(),
            awake: 0,
            ready: BTreeSet::new(),
            summary: None,
            used: 0,
        };
        self.by_id.insert(id, class);
        Err(id)
    }

    /// A job of this kind ended or is of another kind now. Returns a kind that is forgotten, with
    /// the pods that are to forget it too.
    pub(super) fn leave(&mut self, id: ClassId, keep: usize) -> Option<(ClassId, Class)> {
        let class = self.by_id.get_mut(&id)?;
        class.jobs = class.jobs.saturating_sub(1);
        if class.jobs > 0 {
            return None;
        }
        self.clock += 1;
        class.used = self.clock;
        // One that excludes pods came of a single job's bad luck and will hardly be seen again.
        let gone = if class.need.not_on.is_empty() {
            self.idle.insert((self.clock, id));
            if self.idle.len() <= keep {
                return None;
            }
            self.idle.pop_first()?.1
        } else {
            id
        };
        let class = self.by_id.remove(&gone)?;
        self.by_need.remove(&class.need);
        Some((gone, class))
    }
}
