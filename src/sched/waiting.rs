//! Jobs that wait: for what, and for how long.
//!
//! One that no pod can run goes home at once, if it can be run there, and otherwise is patient. But
//! pods that are about to come (at the hub's start, and after one that served well was cut off) are
//! waited for a little by all: sent home at once, a whole build would crowd the hub, and its pods
//! stand idle.

use super::class::Outlook;
use super::state::{ClassId, Core, Job};
use super::types::{JobId, PodId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Pods that may join at any moment, by name, and until when jobs wait for them.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    until: BTreeMap<String, Time>,
    order: BTreeSet<(Time, String)>,
}

impl Awaited {
    fn insert(&mut self, name: String, until: Time) {
        if !self.until.contains_key(&name) {
            self.order.insert((until, name.clone()));
            self.until.insert(name, until);
        }
    }

    fn remove(&mut self, name: &str) -> bool {
        let known = self.until.remove_entry(name);
        known.is_some_and(|(name, until)| self.order.remove(&(until, name)))
    }

    /// When the first of them is given up.
    pub(super) fn next(&self) -> Option<Time> {
        self.order.first().map(|&(until, _)| until)
    }
}

impl Core {
    /// A pod may join at any moment. That it is said again gives it no more time.
    pub(super) fn on_pod_awaited(&mut self, name: String, why: String) {
        let until = self.now.after_us(self.limits.patience_us);
        self.note_absent(&name, why);
        self.awaited.insert(name, until);
    }

    /// A pod is there, with all that it will have soon. A rest is waited for, and room that it has
    /// said it will have.
    pub(super) fn on_pod_ready(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(&id) else {
            self.totals.strays += 1;
            return;
        };
        let rest = pod.record.penalty.until();
        let rests_shortly = rest > self.now && rest < self.now.after_us(self.limits.patience_us);
        if pod.capabilities.slots > 0 && !rests_shortly {
            let name = pod.name.clone();
            self.await_no_more(&name);
        }
    }

    /// A pod is there, or will not come: nobody waits for it any more.
    pub(super) fn await_no_more(&mut self, name: &str) {
        if self.awaited.remove(name) {
            self.settle_if_last();
        }
    }

    /// Those that did not come in time are awaited no more.
    pub(super) fn forget_late(&mut self) {
        let mut any = false;
        while self.awaited.next().is_some_and(|until| until <= self.now) {
            let late = self.awaited.order.pop_first();
            any |= late.is_some_and(|(_, name)| self.awaited.until.remove(&name).is_some());
        }
        if any {
            self.settle_if_last();
        }
    }

    /// Nobody is awaited any more: jobs that waited go elsewhere, before their time.
    fn settle_if_last(&mut self) {
        if self.awaited.next().is_some() {
            return;
        }
        let classes: Vec<ClassId> = self.classes.iter().map(|(id, _)| id).collect();
        for class in classes {
            let jobs: Vec<JobId> = self.queue.in_order(class).collect();
            jobs.into_iter().for_each(|job| self.settle_job(job));
        }
    }

    /// Whether jobs that could run here wait for pods to come.
    pub(super) fn is_awaiting(&self) -> bool {
        let last = self.awaited.order.last();
        last.is_some_and(|&(until, _)| until > self.now)
    }

    /// A job has waited long enough: on a large farm there are always pods that are awaited.
    pub(super) fn run_out(&mut self, id: JobId) {
        let waited_s = self.limits.patience_us / 1_000_000;
        let why = format!("{}; waited {waited_s} s", self.why_nowhere(id));
        self.end_without_pod(id, why);
    }

    /// Where a job can go.
    fn outlook(&self, job: &Job) -> Outlook {
        let Some(class) = self.classes.get(job.class) else {
            return Outlook::Nowhere;
        };
        let declined = job.declined.iter();
        let mut seats = declined.filter_map(|pod| Some(self.pods.get(pod)?.seat));
        class.outlook_without(&mut seats)
    }

    /// The pods of a class changed: its waiting jobs go, get a deadline, or lose it.
    pub(super) fn settle(&mut self, id: ClassId) {
        let Some(class) = self.classes.get_mut(id) else {
            return;
        };
        let outlook = class.outlook();
        let jobs: Vec<JobId> = if class.settled == outlook {
            class.picky.iter().copied().collect()
        } else {
            self.queue.in_order(id).collect()
        };
        class.settled = outlook;
        for job in jobs {
            self.settle_job(job);
        }
    }

    /// A waiting job goes, gets a deadline, or loses it.
    pub(super) fn settle_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        match (self.outlook(job), job.request.hub_has_tool) {
            (Outlook::Nowhere | Outlook::AllRest, true) if self.is_awaiting() => {
                self.set_deadline(id, self.limits.patience_us);
            }
            (Outlook::Nowhere | Outlook::AllRest, true) => {
                let why = self.why_nowhere(id);
                self.locally(id, why);
            }
            (Outlook::Nowhere, false) => self.set_deadline(id, self.limits.patience_us),
            (Outlook::AllRest, false) | (Outlook::Somewhere, _) => self.clear_deadline(id),
        }
    }

    fn set_deadline(&mut self, id: JobId, after_us: u64) {
        let deadline = self.now.after_us(after_us);
        if let Some(job) = self.jobs.get_mut(&id)
            && job.deadline.is_none()
        {
            job.deadline = Some(deadline);
            self.deadlines.insert((deadline, id));
        }
    }

    fn clear_deadline(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id)
            && let Some(deadline) = job.deadline.take()
        {
            self.deadlines.remove(&(deadline, id));
        }
    }
}
