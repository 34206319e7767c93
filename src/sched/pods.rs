//! Pods that come, change, rest and go.

use super::bits::Bits;
use super::class::{Candidate, Class};
use super::ready::Seat;
use super::state::{ClassId, Core, Past, Pod, Record};
use super::types::{Capabilities, PodId, Time};
use std::collections::BTreeSet;

/// A pod that declines so many jobs and finishes none between them rests.
const DECLINES_IN_A_ROW: u32 = 16;

impl Core {
    pub(super) fn on_pod_joined(&mut self, id: PodId, name: String, capabilities: Capabilities) {
        if self.pods.contains_key(&id) {
            self.on_pod_lost(id, "it connected again".to_owned());
        }
        let record = self.past.remove(&name).map(|past| past.record);
        let pod = Pod {
            name,
            seat: self.take_seat(id),
            capabilities,
            runs: BTreeSet::new(),
            classes: Bits::default(),
            crowd: None,
            coming: 0,
            record: record.unwrap_or_default(),
        };
        if pod.record.penalty.is_resting(self.now) {
            self.wakes.insert((pod.record.penalty.until(), id));
        }
        self.pods.insert(id, pod);
        self.match_pod(id);
        self.fill(id);
    }

    pub(super) fn on_pod_changed(&mut self, id: PodId, capabilities: Capabilities) {
        let Some(pod) = self.pods.get_mut(&id) else {
            self.totals.strays += 1;
            return;
        };
        pod.capabilities = capabilities;
        self.note_crowd(id);
        self.match_pod(id);
        self.fill(id);
    }

    pub(super) fn on_pod_lost(&mut self, id: PodId, why: String) {
        let Some(mut pod) = self.pods.remove(&id) else {
            self.totals.strays += 1;
            return;
        };
        self.wakes.remove(&(pod.record.penalty.until(), id));
        pod.record.penalty.fault(self.now, &self.limits);
        pod.record.why = why;
        for class in pod.classes.iter() {
            self.set_candidate(ClassId(class), pod.seat, None);
        }
        self.seats[pod.seat.0] = None;
        if let Some(crowd) = pod.crowd {
            self.crowded.remove(&(crowd, id));
        }
        self.forget_summaries();
        let why = format!("pod `{}` was lost: {}", pod.name, pod.record.why);
        self.remember(pod.name, pod.record);
        for class in pod.classes.iter() {
            self.settle(ClassId(class));
        }
        for run in pod.runs {
            let Some(run) = self.runs.remove(&run) else {
                continue;
            };
            self.queue.correct(run.client, run.charged_us, 0);
            self.has_come(&run);
            if let Some(job) = run.job {
                self.give_back(job, why.clone());
            }
        }
    }

    pub(super) fn on_pod_missed(&mut self, name: String, why: String) {
        if self.note_absent(&name, why) {
            self.await_no_more(&name);
        } else {
            self.totals.strays += 1;
        }
    }

    /// Why a pod is not there, for people; false if it is.
    pub(super) fn note_absent(&mut self, name: &str, why: String) -> bool {
        if self.pods.values().any(|pod| pod.name == name) {
            return false;
        }
        self.forget_summaries();
        let past = self.past.remove(name);
        let mut record = past.map_or_else(Record::default, |past| past.record);
        record.why = why;
        self.remember(name.to_owned(), record);
        true
    }

    /// The lowest seat that is free.
    fn take_seat(&mut self, id: PodId) -> Seat {
        let free = self.seats.iter().position(Option::is_none);
        let seat = free.unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[seat] = Some(id);
        Seat(seat)
    }

    /// Keeps a lost pod's record, of a bounded number of pods.
    fn remember(&mut self, name: String, record: Record) {
        let lost = self.now;
        self.past.insert(name, Past { lost, record });
        if self.past.len() > self.limits.remembered {
            let oldest = self.past.iter().min_by_key(|(_, past)| past.lost);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.past.remove(&name);
            }
        }
    }

    /// A pod that declines whatever it is given would be given everything, since it is always free.
    pub(super) fn count_decline(&mut self, id: PodId, why: &str) {
        let Some(pod) = self.pods.get_mut(&id) else {
            return;
        };
        pod.record.declines_in_a_row += 1;
        if pod.record.declines_in_a_row >= DECLINES_IN_A_ROW {
            pod.record.declines_in_a_row = 0;
            let why = format!("declined {DECLINES_IN_A_ROW} jobs in a row, the last: {why}");
            self.rest(id, why);
        }
    }

    /// A pod failed: it rests, unless it does already.
    pub(super) fn rest(&mut self, id: PodId, why: String) {
        let Some(pod) = self.pods.get_mut(&id) else {
            return;
        };
        self.wakes.remove(&(pod.record.penalty.until(), id));
        pod.record.penalty.fault(self.now, &self.limits);
        pod.record.why = why;
        self.wakes.insert((pod.record.penalty.until(), id));
        self.forget_summaries();
        self.refresh_and_settle(id);
    }

    fn refresh_and_settle(&mut self, id: PodId) {
        self.refresh(id);
        let classes = self.pods.get(&id).map(|pod| pod.classes.clone());
        for class in classes.unwrap_or_default().iter() {
            self.settle(ClassId(class));
        }
    }

    /// Rests that are over.
    pub(super) fn wake_pods(&mut self) {
        while let Some(&(until, id)) = self.wakes.first() {
            if until > self.now {
                return;
            }
            self.wakes.pop_first();
            self.forget_summaries();
            self.refresh_and_settle(id);
            self.fill(id);
            self.on_pod_ready(id);
        }
    }

    /// Compares what a pod offers with what every kind of job needs.
    fn match_pod(&mut self, id: PodId) {
        self.forget_summaries();
        let Some(pod) = self.pods.get(&id) else {
            return;
        };
        let mut matches: Vec<(ClassId, Option<Candidate>)> = Vec::new();
        for (class_id, class) in self.classes.iter() {
            let found = class.need.matching(pod).ok();
            let candidate = found.map(|index| self.candidate(pod, index, &class.need.tool));
            matches.push((class_id, candidate));
        }
        let mut classes = Bits::default();
        for (class, _) in matches.iter().filter(|it| it.1.is_some()) {
            classes.insert(class.0);
        }
        let seat = pod.seat;
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.classes = classes;
        }
        for &(class, candidate) in &matches {
            self.set_candidate(class, seat, candidate);
        }
        for (class, _) in matches {
            self.settle(class);
        }
    }

    /// Compares what a new kind of job needs with what every pod offers.
    pub(super) fn match_class(&mut self, id: ClassId) {
        let Some(class) = self.classes.get(id) else {
            return;
        };
        let found: Vec<(PodId, Candidate)> = self
            .pods
            .iter()
            .filter_map(|(&pod_id, pod)| {
                let index = class.need.matching(pod).ok()?;
                Some((pod_id, self.candidate(pod, index, &class.need.tool)))
            })
            .collect();
        for (pod, candidate) in found {
            if let Some(pod) = self.pods.get_mut(&pod) {
                pod.classes.insert(id.0);
                let seat = pod.seat;
                self.set_candidate(id, seat, Some(candidate));
            }
        }
    }

    /// The pods forget a kind of job that is forgotten.
    pub(super) fn unmatch_class(&mut self, id: ClassId, class: &Class) {
        for seat in class.seats() {
            let pod = self.seats.get(seat.0).copied().flatten();
            if let Some(pod) = pod.and_then(|pod| self.pods.get_mut(&pod)) {
                pod.classes.remove(id.0);
            }
        }
    }

    fn set_candidate(&mut self, class: ClassId, seat: Seat, candidate: Option<Candidate>) {
        if let Some(class) = self.classes.get_mut(class) {
            class.set(seat, candidate);
        }
    }

    fn forget_summaries(&mut self) {
        for class in self.classes.iter_mut() {
            class.summary = None;
        }
    }

    /// When a rest ends next.
    pub(super) fn next_wake(&self) -> Option<Time> {
        self.wakes.first().map(|&(until, _)| until)
    }
}
