//! What must always hold. Slow: looks at everything.

use super::class::Class;
use super::ready::Seat;
use super::state::{Core, Job};
use super::types::JobId;
use std::collections::{BTreeMap, BTreeSet};

impl Core {
    /// Checks every invariant.
    ///
    /// # Panics
    ///
    /// If one does not hold, which is an error of the core.
    pub fn sanity_check(&self) {
        self.check_runs();
        self.check_jobs();
        self.check_classes();
        self.check_queue();
    }

    fn check_runs(&self) {
        let mut on_pods = 0;
        let mut crowded = BTreeSet::new();
        for (id, pod) in &self.pods {
            on_pods += pod.runs.len();
            for run in &pod.runs {
                let run = self.runs.get(run).expect("a pod's run is known");
                assert_eq!(run.pod, *id, "a run is on its own pod");
            }
            assert_eq!(pod.crowd, pod.crowd_now(), "how crowded is known");
            crowded.extend(pod.crowd.map(|crowd| (crowd, *id)));
            let coming = self
                .runs
                .values()
                .filter(|run| run.taken_back_for == Some(*id));
            assert!(pod.coming as usize <= coming.count(), "what comes is known");
            if pod.record.penalty.is_resting(self.now) {
                let wake = (pod.record.penalty.until(), *id);
                assert!(self.wakes.contains(&wake), "a resting pod wakes");
            }
        }
        assert_eq!(on_pods, self.runs.len(), "every run is on one pod");
        assert_eq!(crowded, self.crowded, "crowded pods are known");
        for (id, run) in &self.runs {
            if let Some(job) = run.job {
                let job = self.jobs.get(&job).expect("a run's job is known");
                assert_eq!(job.run, Some(*id), "a job knows its only run");
            }
        }
        for (_, pod) in &self.wakes {
            assert!(self.pods.contains_key(pod), "only connected pods wake");
        }
    }

    fn check_jobs(&self) {
        let mut waiting = BTreeSet::new();
        for (id, job) in &self.jobs {
            let class = self.classes.get(job.class);
            let class = class.expect("a job's class is known");
            match job.run {
                Some(run) => assert!(self.runs.contains_key(&run), "a job's run is known"),
                None => {
                    waiting.insert(*id);
                    self.check_waiting(*id, job, class);
                }
            }
            if let Some(deadline) = job.deadline {
                assert!(
                    self.deadlines.contains(&(deadline, *id)),
                    "deadlines are set"
                );
                assert!(deadline > self.now, "deadlines are kept");
            }
        }
        for (_, job) in &self.deadlines {
            assert!(
                self.jobs.contains_key(job),
                "only living jobs have deadlines"
            );
        }
        assert_eq!(waiting, self.check_places(), "what waits is queued, once");
    }

    fn check_waiting(&self, id: JobId, job: &Job, class: &Class) {
        let declined: Vec<Seat> = job
            .declined
            .iter()
            .filter_map(|pod| Some(self.pods.get(pod)?.seat))
            .collect();
        let others = |seat: &Seat| !declined.contains(seat);
        let ready = class.ready.iter().any(|seat| others(&seat));
        assert!(!ready, "no job waits while a pod is ready");
        let candidates: Vec<Seat> = class.seats().filter(others).collect();
        let awake = |seat: &Seat| class.candidate(*seat).is_some_and(|it| it.awake);
        let has_tool = job.request.hub_has_tool;
        let soon = !candidates.iter().any(awake) && has_tool;
        assert!(
            !soon || self.is_awaiting(),
            "no job waits for nothing that may run locally"
        );
        let nowhere = candidates.is_empty() && !has_tool;
        let limited = job.deadline.is_some();
        assert_eq!(limited, nowhere || soon, "patience is for no pods");
        let picky = class.picky.contains(&id);
        assert_eq!(picky, !job.declined.is_empty(), "picky jobs are known");
    }

    /// All queued jobs.
    fn check_places(&self) -> BTreeSet<JobId> {
        let mut seen = BTreeSet::new();
        for (id, client) in &self.queue.clients {
            let mut of_client = 0;
            for (class, places) in &client.waiting {
                of_client += places.len();
                for (seq, job) in places {
                    assert!(seen.insert(*job), "a job waits once");
                    let known = &self.jobs[job];
                    let place = (known.seq, known.class, known.request.client);
                    assert_eq!(place, (*seq, *class, *id), "a job waits in its place");
                }
                assert!(!places.is_empty(), "empty sets are gone");
            }
            assert_eq!(of_client, client.waiting_count, "waiting jobs are counted");
            let classes = client.waiting.keys().map(|class| class.0);
            assert!(classes.eq(client.classes.iter()), "classes are known twice");
        }
        assert_eq!(seen.len(), self.queue.waiting, "waiting jobs are counted");
        seen
    }

    fn check_classes(&self) {
        let mut of_class = BTreeMap::new();
        for job in self.jobs.values() {
            *of_class.entry(job.class).or_insert(0) += 1;
        }
        for (id, class) in self.classes.iter() {
            let jobs = of_class.get(&id).copied().unwrap_or(0);
            assert_eq!(jobs, class.jobs, "a class's jobs are counted");
            assert_eq!(jobs == 0, self.classes.idle.iter().any(|it| it.1 == id));
            self.check_candidates(class);
            assert_eq!(
                class.settled,
                class.outlook(),
                "waiting jobs know where to go"
            );
            for pod in self.pods.values() {
                let listed = pod.classes.iter().any(|it| it == id.0);
                let candidate = class.candidate(pod.seat).is_some();
                assert_eq!(listed, candidate, "both sides know a match");
                let matches = class.need.matching(pod).is_ok();
                assert_eq!(candidate, matches, "candidates are those that match");
            }
        }
        assert!(
            self.classes.idle.len() <= self.limits.idle_classes,
            "bounded"
        );
    }

    fn check_candidates(&self, class: &Class) {
        let mut ready = Vec::new();
        let (mut awake, mut eligible) = (0, 0);
        for seat in class.seats() {
            let id = self.seats[seat.0].expect("a candidate is connected");
            let pod = &self.pods[&id];
            assert_eq!(pod.seat, seat, "a pod sits on its seat");
            let candidate = *class.candidate(seat).expect("a seat of a candidate");
            let now = self.candidate(pod, candidate.tool_index, &class.need.tool);
            assert_eq!(candidate, now, "a candidate is as it is now");
            eligible += 1;
            awake += usize::from(candidate.awake);
            ready.extend(candidate.score.map(|step| (step, seat)));
        }
        assert_eq!(eligible, class.eligible, "candidates are counted");
        assert_eq!(awake, class.awake, "those that do not rest are counted");
        assert!(
            class.ready.holds(ready.into_iter()),
            "those with room are ready"
        );
    }

    fn check_queue(&self) {
        let mut of_client = BTreeMap::new();
        for job in self.jobs.values() {
            *of_client.entry(job.request.client).or_insert(0) += 1;
        }
        for (id, client) in &self.queue.clients {
            let jobs = of_client.get(id).copied().unwrap_or(0);
            assert_eq!(jobs, client.jobs, "a client's jobs are counted");
            let place = (client.virtual_us, *id);
            let idle = self.queue.idle.contains(&place);
            assert_eq!(idle, jobs == 0, "idle clients are those without jobs");
            let waits = self.queue.order.contains(&place);
            let waiting = client.waiting_count > 0;
            assert_eq!(waits, waiting, "clients that wait are in order");
        }
        let places = self.queue.order.len() + self.queue.idle.len();
        assert!(places <= self.queue.clients.len(), "each has one place");
        let remembered = self.limits.remembered;
        assert!(
            self.queue.idle.len() <= remembered,
            "idle clients are bounded"
        );
        assert!(self.past.len() <= remembered, "lost pods are bounded");
    }
}
