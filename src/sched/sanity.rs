//! What must always hold. Slow: looks at everything.

use super::class::Class;
use super::state::Core;
use super::types::JobId;
use std::collections::BTreeSet;

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
        for (id, pod) in &self.pods {
            on_pods += pod.runs.len();
            for run in &pod.runs {
                let run = self.runs.get(run).expect("a pod's run is known");
                assert_eq!(run.pod, *id, "a run is on its own pod");
            }
            if pod.record.penalty.is_resting(self.now) {
                let wake = (pod.record.penalty.until(), *id);
                assert!(self.wakes.contains(&wake), "a resting pod wakes");
            }
        }
        assert_eq!(on_pods, self.runs.len(), "every run is on one pod");
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
            let class = self.classes.by_id.get(&job.class);
            let class = class.expect("a job's class is known");
            match job.run {
                Some(run) => assert!(self.runs.contains_key(&run), "a job's run is known"),
                None => {
                    waiting.insert(*id);
                    assert!(class.ready.is_empty(), "no job waits while a pod is ready");
                    let stuck = class.awake == 0 && job.request.hub_has_tool;
                    assert!(!stuck, "no job waits for nothing that may run locally");
                    let nowhere = class.candidates.is_empty();
                    assert_eq!(job.deadline.is_some(), nowhere, "patience is for no pods");
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
                let lane = self.queue.lanes.get(class).expect("a lane");
                assert!(
                    lane.contains(&(client.virtual_us, *id)),
                    "it is in its lane"
                );
            }
            assert_eq!(of_client, client.waiting_count, "waiting jobs are counted");
        }
        assert_eq!(seen.len(), self.queue.waiting, "waiting jobs are counted");
        seen
    }

    fn check_classes(&self) {
        for (id, class) in &self.classes.by_id {
            let jobs = self.jobs.values().filter(|job| job.class == *id).count();
            assert_eq!(jobs, class.jobs, "a class's jobs are counted");
            assert_eq!(jobs == 0, self.classes.idle.iter().any(|it| it.1 == *id));
            self.check_candidates(class);
            for (pod_id, pod) in &self.pods {
                let listed = pod.classes.iter().filter(|it| *it == id).count();
                let candidate = class.candidates.contains_key(pod_id);
                assert_eq!(listed, usize::from(candidate), "both sides know a match");
                let matches = class.need.matching(*pod_id, pod).is_ok();
                assert_eq!(candidate, matches, "candidates are those that match");
            }
        }
        assert!(
            self.classes.idle.len() <= self.limits.idle_classes,
            "bounded"
        );
    }

    fn check_candidates(&self, class: &Class) {
        let mut ready = BTreeSet::new();
        let mut awake = 0;
        for (id, candidate) in &class.candidates {
            let pod = self.pods.get(id).expect("a candidate is connected");
            let now = self.candidate(pod, candidate.tool_index, &class.need.tool);
            assert_eq!(*candidate, now, "a candidate is as it is now");
            awake += usize::from(candidate.awake);
            ready.extend(candidate.score.map(|score| (score, *id)));
        }
        assert_eq!(awake, class.awake, "those that do not rest are counted");
        assert_eq!(ready, class.ready, "those with room are ready");
    }

    fn check_queue(&self) {
        for (class, lane) in &self.queue.lanes {
            assert!(!lane.is_empty(), "empty lanes are gone");
            for (virtual_us, id) in lane {
                let client = &self.queue.clients[id];
                assert_eq!(client.virtual_us, *virtual_us, "a lane is in order");
                assert!(
                    client.waiting.contains_key(class),
                    "a lane has waiting jobs"
                );
            }
        }
        for (id, client) in &self.queue.clients {
            let jobs = self.jobs.values().filter(|job| job.request.client == *id);
            assert_eq!(jobs.count(), client.jobs, "a client's jobs are counted");
            let idle = self.queue.idle.contains(&(client.virtual_us, *id));
            assert_eq!(
                idle,
                client.jobs == 0,
                "idle clients are those without jobs"
            );
        }
        let remembered = self.limits.remembered;
        assert!(
            self.queue.idle.len() <= remembered,
            "idle clients are bounded"
        );
        assert!(self.past.len() <= remembered, "lost pods are bounded");
    }
}
