//! What the core may do, told a second time and more simply: it remembers what the core was told
//! and judges what it does.

use crate::sched::{Action, Capabilities, Core, Event, JobId, Limits, PodId, Request, RunId};
use std::collections::{BTreeMap, BTreeSet};

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open(Option<RunId>),
    Ended,
}

/// The farm as the core was told of it.
#[derive(Debug)]
pub(super) struct Model {
    limits: Limits,
    pods: BTreeMap<PodId, (Capabilities, BTreeSet<RunId>)>,
    /// By number, as the farm counts them.
    jobs: Vec<(Request, Standing)>,
    /// Living runs.
    runs: BTreeMap<RunId, (JobId, PodId)>,
    /// Runs of which the pod has said that the tool ended.
    results: BTreeSet<RunId>,
    /// Pods that declined a job.
    declined: BTreeSet<(JobId, PodId)>,
    /// Runs that a job lost.
    lost: BTreeMap<JobId, u32>,
    latest_run: Option<RunId>,
    /// Runs that are being taken back.
    recalled: BTreeSet<RunId>,
    /// Living runs of jobs that ended, that is, were abandoned.
    orphans: usize,
    pub(super) open: usize,
    pub(super) ends: u64,
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            pods: BTreeMap::new(),
            jobs: Vec::new(),
            runs: BTreeMap::new(),
            results: BTreeSet::new(),
            declined: BTreeSet::new(),
            lost: BTreeMap::new(),
            latest_run: None,
            recalled: BTreeSet::new(),
            orphans: 0,
            open: 0,
            ends: 0,
        }
    }

    pub(super) fn is_open(&self, job: JobId) -> bool {
        matches!(self.jobs.get(job.0 as usize), Some((_, Standing::Open(_))))
    }

    /// Whether the caller may submit it, or submit it again by mistake: a number is never used
    /// for another job, and that is the caller's duty.
    pub(super) fn is_new_or_open(&self, job: JobId) -> bool {
        job.0 >= self.jobs.len() as u64 || self.is_open(job)
    }

    /// What the core is told.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::PodJoined {
                pod, capabilities, ..
            } => {
                self.drop_pod(*pod);
                let entry = (capabilities.clone(), BTreeSet::new());
                self.pods.insert(*pod, entry);
            }
            Event::PodChanged { pod, capabilities } => {
                if let Some(known) = self.pods.get_mut(pod) {
                    known.0 = capabilities.clone();
                }
            }
            Event::PodLost { pod, .. } => self.drop_pod(*pod),
            Event::PodMissed { .. } | Event::PodAwaited { .. } | Event::PodReady { .. } => {}
            Event::JobSubmitted { job, request } => {
                if job.0 == self.jobs.len() as u64 {
                    self.jobs.push((request.clone(), Standing::Open(None)));
                    self.open += 1;
                }
            }
            Event::JobAbandoned { job } => {
                if self.is_open(*job) {
                    self.end(*job);
                }
            }
            Event::RunFinished { run, .. } => {
                if self.drop_run(*run).is_some() {
                    self.results.insert(*run);
                }
            }
            Event::RunFaulted { run, .. } | Event::RunCancelled { run } => {
                let is_recalled =
                    matches!(event, Event::RunCancelled { run } if self.recalled.contains(run));
                if let Some((job, _)) = self.drop_run(*run)
                    && !is_recalled
                {
                    *self.lost.entry(job).or_default() += 1;
                }
            }
            Event::RunDeclined { run, .. } | Event::RunUnfit { run, .. } => {
                let declined = self.drop_run(*run);
                self.declined.extend(declined);
            }
        }
    }

    fn drop_pod(&mut self, pod: PodId) {
        let runs = self.pods.get(&pod).map(|known| known.1.clone());
        for run in runs.unwrap_or_default() {
            if let Some((job, _)) = self.drop_run(run) {
                *self.lost.entry(job).or_default() += 1;
            }
        }
        self.pods.remove(&pod);
    }

    fn drop_run(&mut self, run: RunId) -> Option<(JobId, PodId)> {
        let (job, pod) = self.runs.remove(&run)?;
        if let Some(known) = self.pods.get_mut(&pod) {
            known.1.remove(&run);
        }
        if let Some((_, Standing::Open(current))) = self.jobs.get_mut(job.0 as usize)
            && *current == Some(run)
        {
            *current = None;
        }
        if !self.is_open(job) {
            self.orphans -= 1;
        }
        Some((job, pod))
    }

    fn end(&mut self, job: JobId) {
        if let Some((_, standing)) = self.jobs.get_mut(job.0 as usize) {
            let Standing::Open(current) = *standing else {
                panic!("{job:?} ends twice");
            };
            self.orphans += usize::from(current.is_some());
            *standing = Standing::Ended;
            self.open -= 1;
            self.ends += 1;
        }
    }

    /// What the core does.
    pub(super) fn judge(&mut self, action: &Action) {
        match *action {
            Action::StartRun {
                run,
                job,
                pod,
                tool_index,
            } => self.judge_start(run, job, pod, tool_index),
            Action::CancelRun { run, pod } => {
                let (job, on) = self.runs.get(&run).expect("cancels a living run");
                assert_eq!(*on, pod, "cancels it where it is");
                assert!(!self.is_open(*job), "cancels for an abandoned job only");
            }
            Action::RecallRun { run, pod } => {
                let (job, on) = self.runs.get(&run).expect("takes back a living run");
                assert_eq!(*on, pod, "takes it back from where it is");
                assert!(self.is_open(*job), "takes back what is wanted");
                let (capabilities, runs) = &self.pods[&pod];
                let more = runs.len().saturating_sub(capabilities.slots as usize);
                let is_late = runs.iter().rev().take(more).any(|it| *it == run);
                assert!(is_late, "takes back what most likely waits");
                assert!(self.recalled.insert(run), "takes it back once");
            }
            Action::FinishJob { job, run } => {
                assert!(self.results.contains(&run), "a result was heard");
                self.end(job);
            }
            Action::RunLocally { job, .. } => {
                assert!(
                    self.jobs[job.0 as usize].0.hub_has_tool,
                    "the hub has the tool"
                );
                self.end(job);
            }
            Action::RefuseJob { job, .. } => {
                assert!(
                    !self.jobs[job.0 as usize].0.hub_has_tool,
                    "the hub lacks the tool"
                );
                self.end(job);
            }
        }
    }

    fn judge_start(&mut self, run: RunId, job: JobId, pod: PodId, tool_index: usize) {
        assert!(Some(run) > self.latest_run, "run numbers are new");
        self.latest_run = Some(run);
        let (request, standing) = self.jobs.get_mut(job.0 as usize).expect("a known job");
        let Standing::Open(current) = standing else {
            panic!("{job:?} starts after its end");
        };
        assert_eq!(*current, None, "{job:?} is on one pod at a time");
        *current = Some(run);
        let (capabilities, runs) = self.pods.get_mut(&pod).expect("a connected pod");
        runs.insert(run);
        let slots = capabilities.slots;
        let preload = match self.limits.preload_divisor {
            0 => 0,
            _ if capabilities.own => 0,
            divisor => (slots / divisor).max(1).max(2 * slots),
        };
        assert!(runs.len() <= (slots + preload) as usize, "slots are kept");
        let offered = &capabilities.tools[tool_index];
        assert_eq!(offered.tool, request.tool, "the right tool");
        match request.identity {
            Some(identity) => assert_eq!(offered.identity, identity, "the same tool"),
            None => assert_eq!(offered.program, request.program, "the same name"),
        }
        for need in &request.needs {
            let has = capabilities.tools.iter().any(|it| it.tool == *need);
            assert!(has, "what the tool calls is there");
        }
        assert!(capabilities.overlay || !request.overlay_only, "the view");
        let again = self.declined.contains(&(job, pod));
        assert!(!again, "a pod that declined is not asked again");
        let lost = self.lost.get(&job).copied().unwrap_or(0) + request.tries;
        assert!(lost < self.limits.tries, "tries are counted");
        self.runs.insert(run, (job, pod));
    }

    /// After everything that an event brought.
    pub(super) fn compare(&self, core: &Core) {
        assert_eq!(
            core.running(),
            self.runs.len(),
            "slots are neither leaked nor lost"
        );
        let running = self.runs.len() - self.orphans;
        assert_eq!(core.waiting() + running, self.open, "no job is forgotten");
    }
}
