//! Kinds of jobs, and for each the pods that may run it, best first.
//!
//! What a pod must have is compared once per kind and pod, when either appears, and never again
//! per job. Which of the eligible pods is best is decided in `placement`; here it is a number.

use super::ready::{Ready, Seat, Step};
use super::state::{ClassId, Pod};
use super::types::{JobId, Request};
use crate::job::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// What a kind of job needs of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) tool: String,
    pub(super) program: String,
    pub(super) identity: Option<Digest>,
    pub(super) bare: Option<Digest>,
    pub(super) needs: Vec<String>,
    pub(super) overlay_only: bool,
}

/// Why a pod may not run a kind of job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    NoSlots,
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
    pub(super) tool_index: u32,
    /// Its wall time for the tool against all pods', in 1/1024.
    pub(super) speed: u32,
    /// It does not rest.
    pub(super) awake: bool,
    /// Its place among the ready ones; none if it takes no more now.
    pub(super) score: Option<Step>,
}

/// Where a job of a kind can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// No connected pod may run it.
    Nowhere,
    /// All pods that may are resting.
    AllRest,
    /// It waits for room, if it waits at all.
    Somewhere,
}

/// A kind of job.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) need: Need,
    /// Jobs of this kind that have not ended.
    pub(super) jobs: usize,
    /// By seat.
    candidates: Vec<Option<Candidate>>,
    /// Their number.
    pub(super) eligible: usize,
    /// Candidates that do not rest.
    pub(super) awake: usize,
    /// Candidates that take a job now, best first.
    pub(super) ready: Ready,
    /// Waiting jobs that some pods declined.
    pub(super) picky: BTreeSet<JobId>,
    /// Why it has no pod, in words, until the pods change.
    pub(super) summary: Option<String>,
    /// The outlook that its waiting jobs were told.
    pub(super) settled: Outlook,
    used: u64,
}

/// All kinds of jobs that there are or recently were.
#[derive(Debug, Default)]
pub(super) struct Classes {
    by_need: BTreeMap<Need, ClassId>,
    by_id: Vec<Option<Class>>,
    /// Those without jobs, by when they last had one.
    pub(super) idle: BTreeSet<(u64, ClassId)>,
    /// Numbers to use again.
    free: BTreeSet<ClassId>,
    clock: u64,
}

impl Need {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            tool: request.tool.clone(),
            program: request.program.clone(),
            identity: request.identity,
            bare: request.bare,
            needs: request.needs.clone(),
            overlay_only: request.overlay_only,
        }
    }

    /// Which of the pod's tools runs such a job, or why none does. With an identity the name does
    /// not matter, since a tool has other names on other machines; the same name is preferred.
    pub(super) fn matching(&self, pod: &Pod) -> Result<u32, Mismatch> {
        let capabilities = &pod.capabilities;
        if capabilities.slots == 0 {
            return Err(Mismatch::NoSlots);
        }
        let mut mismatch = Mismatch::NoTool;
        let mut found = None;
        for (index, offered) in capabilities.tools.iter().enumerate() {
            if offered.tool != self.tool {
                continue;
            }
            let same_name = offered.program == self.program;
            let is_bare_same = self.bare.is_some() && self.bare == offered.bare;
            let fits = match self.identity {
                None => same_name,
                Some(identity) => identity == offered.identity || is_bare_same,
            };
            if fits && (found.is_none() || same_name) {
                found = u32::try_from(index).ok();
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
    /// Where its jobs can go now.
    pub(super) fn outlook(&self) -> Outlook {
        self.outlook_without(&mut std::iter::empty())
    }

    /// Where a job can go that the pods on these seats declined.
    pub(super) fn outlook_without(&self, seats: &mut dyn Iterator<Item = Seat>) -> Outlook {
        let (mut eligible, mut awake) = (self.eligible, self.awake);
        for candidate in seats.filter_map(|seat| self.candidate(seat)) {
            eligible -= 1;
            awake -= usize::from(candidate.awake);
        }
        if awake > 0 {
            Outlook::Somewhere
        } else if eligible == 0 {
            Outlook::Nowhere
        } else {
            Outlook::AllRest
        }
    }

    /// The candidate that the pod on this seat is.
    pub(super) fn candidate(&self, seat: Seat) -> Option<&Candidate> {
        self.candidates.get(seat.0)?.as_ref()
    }

    /// The pod's speed was measured anew; its score follows with its load.
    pub(super) fn set_speed(&mut self, seat: Seat, speed: u32) {
        if let Some(Some(candidate)) = self.candidates.get_mut(seat.0) {
            candidate.speed = speed;
        }
    }

    /// The seats of all candidates.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        let seats = self.candidates.iter().enumerate();
        seats.filter_map(|(index, it)| it.map(|_| Seat(index)))
    }

    /// Takes a candidate in, out, or changes it.
    pub(super) fn set(&mut self, seat: Seat, candidate: Option<Candidate>) {
        if self.candidates.len() <= seat.0 {
            self.candidates.resize(seat.0 + 1, None);
        }
        let before = std::mem::replace(&mut self.candidates[seat.0], candidate);
        let score = |it: Option<Candidate>| it.and_then(|it| it.score);
        let awake = |it: Option<Candidate>| usize::from(it.is_some_and(|it| it.awake));
        let there = |it: Option<Candidate>| usize::from(it.is_some());
        self.awake = self.awake + awake(candidate) - awake(before);
        self.eligible = self.eligible + there(candidate) - there(before);
        if score(before) != score(candidate) {
            if let Some(step) = score(before) {
                self.ready.remove(step, seat);
            }
            if let Some(step) = score(candidate) {
                self.ready.insert(step, seat);
            }
        }
    }
}

impl Classes {
    pub(super) fn get(&self, id: ClassId) -> Option<&Class> {
        self.by_id.get(id.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.by_id.get_mut(id.0)?.as_mut()
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        let all = self.by_id.iter().enumerate();
        all.filter_map(|(index, it)| Some((ClassId(index), it.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Class> {
        self.by_id.iter_mut().flatten()
    }

    /// The kind with this need; `Err` with a new one, for which the caller sets the candidates.
    pub(super) fn enter(&mut self, need: Need) -> Result<ClassId, ClassId> {
        if let Some(&id) = self.by_need.get(&need) {
            if let Some(Some(class)) = self.by_id.get_mut(id.0) {
                if class.jobs == 0 {
                    self.idle.remove(&(class.used, id));
                }
                class.jobs += 1;
            }
            return Ok(id);
        }
        let class = Class {
            need: need.clone(),
            jobs: 1,
            candidates: Vec::new(),
            eligible: 0,
            awake: 0,
            ready: Ready::default(),
            picky: BTreeSet::new(),
            summary: None,
            settled: Outlook::Nowhere,
            used: 0,
        };
        let id = match self.free.pop_first() {
            Some(id) => {
                self.by_id[id.0] = Some(class);
                id
            }
            None => {
                self.by_id.push(Some(class));
                ClassId(self.by_id.len() - 1)
            }
        };
        self.by_need.insert(need, id);
        Err(id)
    }

    /// A job of this kind ended. Returns a kind that is forgotten; the
    /// pods are to forget it too.
    pub(super) fn leave(&mut self, id: ClassId, keep: usize) -> Option<(ClassId, Class)> {
        let class = self.by_id.get_mut(id.0)?.as_mut()?;
        class.jobs = class.jobs.saturating_sub(1);
        if class.jobs > 0 {
            return None;
        }
        self.clock += 1;
        class.used = self.clock;
        self.idle.insert((self.clock, id));
        if self.idle.len() <= keep {
            return None;
        }
        let (_, gone) = self.idle.pop_first()?;
        let class = self.by_id.get_mut(gone.0)?.take()?;
        self.by_need.remove(&class.need);
        self.free.insert(gone);
        Some((gone, class))
    }
}
