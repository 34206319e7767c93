//! Which pod a job goes to, and which job a pod with room gets.
//!
//! The one place of that decision. Between events a class never has both a waiting job and a ready
//! pod, so a job that arrives looks at pods only, and room that appears looks at jobs only.

use super::class::Candidate;
use super::ready::Step;
use super::state::{ClassId, Core, Pod, Run};
use super::types::{Action, JobId, PodId, RunId};

/// What a run of a tool is charged before one was measured, in microseconds.
const UNKNOWN_COST_US: u64 = 100_000;

/// 1 in the arithmetic of speeds and scores.
const ONE: u32 = 1024;

/// The lower the better: how long a job would take there, seen from how long such jobs took there
/// before and how full it would be. Of two alike, and also where they look a third apart, which what
/// is measured of them may be by chance, a job goes to an idle slot before it waits for a busy one; a
/// pod more than twice as slow stands back behind a little waiting at a fast one.
pub(super) fn score(pod: &Pod, speed: u32, load: u32) -> Step {
    let slots = u64::from(pod.capabilities.slots.max(1));
    let load = u64::from(load) + 1;
    let waiting = match load.saturating_sub(slots) {
        0 => 0,
        before => before + slots / 4,
    };
    Step::of(u64::from(speed).saturating_mul(slots + load + waiting) / slots)
}

impl Core {
    /// The candidate that a pod is for a class now.
    pub(super) fn candidate(&self, pod: &Pod, tool_index: u32, tool: &str) -> Candidate {
        let speed = pod.record.speeds.get(tool).copied().unwrap_or(ONE);
        let room = pod.load() < pod.limit(self.now, &self.limits);
        Candidate {
            tool_index,
            speed,
            awake: !pod.record.penalty.is_resting(self.now),
            score: room.then(|| score(pod, speed, pod.load())),
        }
    }

    /// The pod's load, speed or rest changed: moves it among the ready pods of its classes.
    pub(super) fn refresh(&mut self, id: PodId) {
        self.note_crowd(id);
        let Some(pod) = self.pods.get(&id) else {
            return;
        };
        let room = pod.load() < pod.limit(self.now, &self.limits);
        let awake = !pod.record.penalty.is_resting(self.now);
        for class in pod.classes.iter() {
            let Some(class) = self.classes.get_mut(ClassId(class)) else {
                continue;
            };
            let Some(&before) = class.candidate(pod.seat) else {
                continue;
            };
            let score = room.then(|| score(pod, before.speed, pod.load()));
            let after = Candidate {
                awake,
                score,
                ..before
            };
            if after != before {
                class.set(pod.seat, Some(after));
            }
        }
    }

    /// A waiting or new job of a class with a ready pod starts there.
    pub(super) fn start_best(&mut self, class_id: ClassId, job_id: JobId) -> bool {
        let Some((pod_id, tool_index)) = self.best(class_id, job_id) else {
            return false;
        };
        let (Some(job), Some(pod)) = (self.jobs.get_mut(&job_id), self.pods.get_mut(&pod_id))
        else {
            return false;
        };
        let mean_us = self.means_us.get(&job.request.tool).copied();
        let charged_us = mean_us.unwrap_or(UNKNOWN_COST_US).max(1);
        let run = RunId(self.next_run);
        self.next_run += 1;
        let client = job.request.client;
        job.run = Some(run);
        pod.runs.insert(run);
        let new = Run {
            job: Some(job_id),
            pod: pod_id,
            client,
            charged_us,
            started: self.now,
            at_once: !pod.is_crowded(),
            taken_back_for: None,
        };
        self.runs.insert(run, new);
        self.queue.charge(client, charged_us);
        self.totals.started += 1;
        self.actions.push_back(Action::StartRun {
            run,
            job: job_id,
            pod: pod_id,
            tool_index: tool_index as usize,
        });
        self.refresh(pod_id);
        true
    }

    /// The ready pod that is best for a job, and which of its tools.
    fn best(&self, class: ClassId, job: JobId) -> Option<(PodId, u32)> {
        let class = self.classes.get(class)?;
        let declined = &self.jobs.get(&job)?.declined;
        class.ready.iter().find_map(|seat| {
            let pod = self.seats.get(seat.0).copied()??;
            let candidate = class.candidate(seat)?;
            (!declined.contains(&pod)).then_some((pod, candidate.tool_index))
        })
    }

    /// The pod has room: gives it jobs, the client furthest behind first.
    pub(super) fn fill(&mut self, id: PodId) {
        while let Some((class, job)) = self.next_for(id) {
            self.stop_waiting(job);
            if !self.start_best(class, job) {
                debug_assert!(false, "a pod with room is ready in all its classes");
                return;
            }
        }
        self.take_back_for(id);
    }

    /// The job that a pod with room gets next.
    fn next_for(&self, id: PodId) -> Option<(ClassId, JobId)> {
        let pod = self.pods.get(&id)?;
        if self.queue.waiting == 0 || pod.load() >= pod.limit(self.now, &self.limits) {
            return None;
        }
        let job = self.queue.next(&pod.classes, |class, job| {
            let picky = self
                .classes
                .get(class)
                .is_some_and(|it| !it.picky.is_empty());
            !picky || !self.has_declined(id, job)
        })?;
        Some((self.jobs.get(&job)?.class, job))
    }

    fn has_declined(&self, pod: PodId, job: JobId) -> bool {
        let job = self.jobs.get(&job);
        job.is_some_and(|job| job.declined.contains(&pod))
    }

    /// Puts a job into the queue.
    pub(super) fn start_waiting(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if !job.declined.is_empty()
            && let Some(class) = self.classes.get_mut(job.class)
        {
            class.picky.insert(id);
        }
        let client = job.request.client;
        self.queue.push(client, job.class, (job.seq, id));
    }

    /// Takes a job out of the queue.
    pub(super) fn stop_waiting(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if let Some(deadline) = job.deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        let (class, seq) = (job.class, job.seq);
        if !job.declined.is_empty()
            && let Some(class) = self.classes.get_mut(class)
        {
            class.picky.remove(&id);
        }
        self.queue.remove(job.request.client, class, (seq, id));
    }

    /// What a run that succeeded says about its tool and its pod.
    pub(super) fn measure(&mut self, id: PodId, tool: &str, wall_us: u64) {
        if wall_us == 0 {
            return;
        }
        let mean_us = match self.means_us.get_mut(tool) {
            Some(mean_us) => {
                *mean_us = ((*mean_us * 63).saturating_add(wall_us) / 64).max(1);
                *mean_us
            }
            None => *self.means_us.entry(tool.to_owned()).or_insert(wall_us),
        };
        let Some(pod) = self.pods.get_mut(&id) else {
            return;
        };
        // Jobs of one tool differ; a single one moves the picture a little only.
        let sample = wall_us.saturating_mul(u64::from(ONE)) / mean_us;
        let sample = u32::try_from(sample)
            .unwrap_or(u32::MAX)
            .clamp(ONE / 4, ONE * 4);
        let speed = match pod.record.speeds.get_mut(tool) {
            Some(speed) => {
                *speed = (*speed * 15 + sample) / 16;
                *speed
            }
            None => *pod
                .record
                .speeds
                .entry(tool.to_owned())
                .or_insert((ONE * 15 + sample) / 16),
        };
        for class in pod.classes.iter() {
            if let Some(class) = self.classes.get_mut(ClassId(class))
                && class.need.tool == tool
            {
                class.set_speed(pod.seat, speed);
            }
        }
    }
}
