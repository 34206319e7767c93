//! What pods are given ahead of a free slot, and when it is taken back.
//!
//! A pod has a few runs more than slots, so that a slot that becomes free need not wait for the hub.
//! How many more follows from how long a slot stays empty without them, against how long runs take.
//! Should the queue be empty when a slot becomes free elsewhere, such a run is taken back, if it has
//! not begun, and goes there.

use super::placement::score;
use super::state::{Core, Pod, Record, Run};
use super::types::{Action, Limits, PodId, RunId};
use std::cmp::Reverse;

/// However short its runs and however far it is: so many runs ahead for each slot at most.
const MOST_AHEAD: u32 = 2;

/// A run is not taken back for less than this much of its tool's usual time against what the two
/// pods' distance costs.
const WORTH_IT: u64 = 2;

/// Of many crowded pods the fullest are asked only: this is done whenever a slot is free.
const MOST_LOOKED_AT: usize = 32;

impl Record {
    /// A run that did not wait for a slot took so long on the pod, and so long as the hub saw it.
    pub(super) fn measure_lag(&mut self, wall_us: u64, elapsed_us: u64) {
        let sample = elapsed_us.saturating_sub(wall_us);
        self.lag_us = match self.lag_us {
            None => Some(sample),
            // Content on its way makes it long now and then; the distance is the short ones.
            Some(lag) if sample < lag => Some(u64::midpoint(lag, sample)),
            Some(lag) => Some(lag + (sample - lag) / 16),
        };
        self.wall_us = match self.wall_us {
            0 => wall_us,
            mean => (mean * 15).saturating_add(wall_us) / 16,
        }
        .max(1);
    }
}

impl Pod {
    /// Runs that it may have beside those for which it has slots.
    pub(super) fn ahead(&self, limits: &Limits) -> u32 {
        let slots = self.capabilities.slots;
        if limits.preload_divisor == 0 || self.capabilities.own || slots == 0 {
            return 0;
        }
        let least = (slots / limits.preload_divisor).max(1);
        let lag_us = self.record.lag_us.unwrap_or(0);
        let idle = u64::from(slots).saturating_mul(lag_us);
        let wanted = idle.div_ceil(self.record.wall_us.max(1));
        let most = slots.saturating_mul(MOST_AHEAD);
        u32::try_from(wanted)
            .unwrap_or(u32::MAX)
            .clamp(least, most.max(least))
    }

    /// More runs than slots: some wait there. Not on one that takes no more: what it has, it runs.
    pub(super) fn is_crowded(&self) -> bool {
        self.capabilities.slots > 0 && self.load() > self.capabilities.slots
    }

    /// How crowded it is, in 1/1024 of its slots, if it is.
    pub(super) fn crowd_now(&self) -> Option<Reverse<u64>> {
        let slots = u64::from(self.capabilities.slots.max(1));
        let load = u64::from(self.load()) * 1024 / slots;
        self.is_crowded().then_some(Reverse(load))
    }

    /// Slots that are free, as far as the hub knows.
    fn idle(&self, limit: u32) -> u32 {
        limit
            .min(self.capabilities.slots)
            .saturating_sub(self.load())
    }
}

impl Core {
    /// Nothing waits for the pod's free slots: asks another pod to give back what it was given
    /// ahead, as many runs as there are slots.
    pub(super) fn take_back_for(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(&id) else {
            return;
        };
        let idle = pod.idle(pod.limit(self.now, &self.limits));
        for _ in pod.coming..idle {
            let Some((run_id, from)) = self.best_to_take_back(id) else {
                return;
            };
            if let (Some(run), Some(pod)) = (self.runs.get_mut(&run_id), self.pods.get_mut(&id)) {
                run.taken_back_for = Some(id);
                pod.coming += 1;
            }
            self.actions.push_back(Action::RecallRun {
                run: run_id,
                pod: from,
            });
        }
    }

    /// The latest run of the fullest pod that may go to this one, and where it is now.
    fn best_to_take_back(&self, id: PodId) -> Option<(RunId, PodId)> {
        let to = self.pods.get(&id)?;
        let fullest = self.crowded.iter().take(MOST_LOOKED_AT);
        fullest.into_iter().find_map(|(_, from_id)| {
            let from = self.pods.get(from_id)?;
            let waiting = from.load().saturating_sub(from.capabilities.slots) as usize;
            let latest = from.runs.iter().rev().take(waiting);
            let mut fit = latest.filter(|run| self.would_gain(**run, (id, to), from));
            fit.next().map(|run| (*run, *from_id))
        })
    }

    /// Whether a run that waits on a pod would better be on another.
    fn would_gain(&self, run: RunId, (to_id, to): (PodId, &Pod), from: &Pod) -> bool {
        let Some(Run {
            job: Some(job),
            taken_back_for: None,
            ..
        }) = self.runs.get(&run)
        else {
            return false;
        };
        let Some(job) = self.jobs.get(job) else {
            return false;
        };
        let class = self.classes.get(job.class);
        let speed = |pod: &Pod| Some(class?.candidate(pod.seat)?.speed);
        let (Some(there), Some(here)) = (speed(to), speed(from)) else {
            return false;
        };
        let lag_us = [to, from].map(|pod| pod.record.lag_us.unwrap_or(0));
        let mean_us = self.means_us.get(&job.request.tool).copied();
        let is_long = mean_us.is_none_or(|mean| mean >= WORTH_IT * (lag_us[0] + lag_us[1]));
        let is_better = score(to, there, to.load()) < score(from, here, from.load() - 1);
        is_long && is_better && !job.declined.contains(&to_id)
    }

    /// A run is over, or was taken back: whoever waited for it waits no more.
    pub(super) fn has_come(&mut self, run: &Run) {
        let pod = run.taken_back_for.and_then(|id| self.pods.get_mut(&id));
        if let Some(pod) = pod {
            pod.coming = pod.coming.saturating_sub(1);
        }
    }

    /// Keeps in mind which pods have more runs than slots.
    pub(super) fn note_crowd(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else {
            return;
        };
        let crowd = pod.crowd_now();
        if crowd == pod.crowd {
            return;
        }
        let before = std::mem::replace(&mut pod.crowd, crowd);
        if let Some(before) = before {
            self.crowded.remove(&(before, id));
        }
        if let Some(crowd) = crowd {
            self.crowded.insert((crowd, id));
        }
    }
}
